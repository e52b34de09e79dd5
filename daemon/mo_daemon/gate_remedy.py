"""What a gate really used instead of the commit it was given, and the commands that put it right.

Reads directories, starts nothing but git.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from mo_daemon.commandline import recognise, words_of
from mo_daemon.detection import detect, node_setup, python_setup
from mo_daemon.gate import GateRun
from mo_daemon.verdicts import NO_RESULTS
from mo_git.git.binary import Git
from mo_git.model import Command
from mo_git.tomltext import toml_value

_SHOWN = 5
_PYTHON_RUNNERS = ("pytest", "unittest", "tox")
_LARGE = 2**20
_MODULES = (".py", ".pyc", ".so", ".pyd")  # endings of what Python imports


# -- what was really used -----------------------------------------------------------------------------


def leaks(top: Path, main_top: Path, tracked: Collection[str], modules: Iterable[str]) -> tuple[str, ...]:
    """Places outside the commit's files that hold the project's code and were used, the surest first.

    `tracked` are the files of the commit, checked out at `top`; `modules` the real paths of what Python
    imported.
    """
    top, main = top.resolve(), main_top.resolve()
    inside, copies = [], []
    for name in sorted(modules):
        path = Path(name)
        if path.is_relative_to(main) and str(path.relative_to(main)) in tracked:
            inside.append(name)
        elif not (path.is_relative_to(top) and str(path.relative_to(top)) in tracked) and _copied(
            path, tracked
        ):
            copies.append(name)
    packages = sorted({*_links(top, main), *_packages(top, tracked)})
    return tuple((inside + packages + copies)[:_SHOWN])


def led_to(top: Path, main_top: Path, tracked: Collection[str], searched: Iterable[str]) -> tuple[str, ...]:
    """Files of the commit, named as in the main checkout, to which what is installed leads.

    `searched` are the directories on Python's search path.  No program that does not see the main checkout
    can import anything from there.
    """
    top, main = top.resolve(), main_top.resolve()
    places = {place for name in sorted(searched) for place in _references(Path(name), main)}
    modules = (_first_module(place.relative_to(main), tracked) for place in sorted(places))
    found = dict.fromkeys(str(main / module) for module in modules if module)
    return (*found, *_links(top, main))[:_SHOWN]


def _references(site: Path, main: Path) -> Iterator[Path]:
    """What the files by which pip installs a project in place say about a checkout."""
    if site.name not in ("site-packages", "dist-packages") or not site.is_dir():
        return
    wanted = re.compile(re.escape(str(main)) + r"(?:/[^'\"\n;]*)?(?=['\"\n;]|$)")
    for pattern in ("*.pth", "*.egg-link", "__editable__*.py"):
        for file in site.glob(pattern):
            if file.is_file() and file.stat().st_size < _LARGE:
                yield from map(Path, wanted.findall(file.read_text("utf-8", "replace")))


def _first_module(place: Path, tracked: Collection[str]) -> str:
    """The module that stands for a directory of the project: a package before a file, the outermost first."""
    paths = [PurePosixPath(path) for path in tracked if path.endswith(".py")]
    inside = [path for path in paths if path.is_relative_to(place.as_posix())]
    ranked = min(inside, key=lambda path: (path.name != "__init__.py", len(path.parts), path), default="")
    return str(ranked)


def _copied(path: Path, tracked: Collection[str]) -> bool:
    """Whether an installed module has the place in its package that a tracked file has in the project."""
    for marker in ("site-packages", "dist-packages"):
        if marker in path.parts:
            inner = "/".join(path.parts[path.parts.index(marker) + 1 :])
            return inner in tracked or f"src/{inner}" in tracked or f"lib/{inner}" in tracked
    return False


def _links(top: Path, main: Path) -> Iterator[str]:
    """Entries of node_modules that lead to code of the main checkout."""
    modules = top / "node_modules"
    if not modules.is_dir():
        return
    for entry in sorted(modules.iterdir()):
        for one in sorted(entry.iterdir()) if entry.name.startswith("@") and entry.is_dir() else [entry]:
            real = one.resolve()
            if real.is_relative_to(main) and "node_modules" not in real.relative_to(main).parts:
                yield str(real)


def _packages(top: Path, tracked: Collection[str]) -> Iterator[str]:
    """What node_modules has in place of the project's own packages: copies, and links to elsewhere."""
    for path in tracked:
        if PurePosixPath(path).name != "package.json" or path == "package.json":
            continue
        try:
            name = json.loads((top / path).read_text("utf-8")).get("name")
        except (OSError, ValueError, AttributeError):
            continue
        entry = top / "node_modules" / name if isinstance(name, str) and name else None
        if entry and os.path.lexists(entry) and entry.resolve() != (top / path).parent:
            yield str(entry.resolve())


# -- what to do about it ------------------------------------------------------------------------------


def remedy(top: Path, main_top: Path, command: Command, leaked: Sequence[str]) -> str:
    """The commands after which the gate tests the commit, for a gate that was green without it."""
    if not leaked:
        return _other_command(top, command)
    if not leaked[0].endswith(_MODULES):
        return f"install in each worktree: {_set('workspace.setup', node_setup(top))}"
    lines = _environment(top, command)
    if not lines:
        return _search_path(top, main_top, command, leaked[0])
    hint = f"give each worktree an environment of its own: {_set('workspace.setup', lines)}"
    if by_name := _by_name(command):
        hint += f"; and let the gate use it: {_set('gate.command', by_name)}"
    if ".venv" in lines[0] and not _is_ignored(top, ".venv/bin"):
        hint += "; and let git ignore it: echo .venv/ >> .git/info/exclude"
    return hint


def unknown_remedy(top: Path, command: Command, run: GateRun) -> str:
    """The same for a gate that gave no result at all."""
    if run.exit_code == 127 or NO_RESULTS in run.reason:
        for found in detect(top):
            if found.setup:
                return (
                    f"if something has to be installed first: {_set('workspace.setup', found.setup)}"
                    f"; the log is {run.log}"
                )
    return f"correct gate.command, gate.timeout or workspace.setup; the log is {run.log}"


def _set(key: str, value: str | Sequence[str]) -> str:
    text = value if isinstance(value, str) else toml_value(list(value))
    return f"mo config set {key} {shlex.quote(text)}"


def _other_command(top: Path, command: Command) -> str:
    """Name the command that would test the project, if it is another than the configured one."""
    for found in detect(top):
        if found.command != command:
            return f"set gate.command to what runs your tests: {_set('gate.command', found.command)}"
    return "set gate.command to what runs your tests, and let the tests use the project's code"


def _environment(top: Path, command: Command) -> tuple[str, ...]:
    """Commands that make an environment of the worktree's own; empty where nothing can be installed."""
    words = words_of(command) or []
    found = recognise(words, 0) if words else None
    pytest = bool(found and found[0] == "pytest")
    runners = ("pytest",) if pytest else _PYTHON_RUNNERS
    setup = next((one.setup for one in detect(top) if one.runner in runners), ())
    return setup or python_setup(top, *(["pytest"] if pytest else []))


def _by_name(command: Command) -> str:
    """A command that names an interpreter or a tool by its absolute path, without it; else nothing."""
    words = words_of(command) if isinstance(command, str) else None
    first = next((word for word in words or () if "=" not in word), "")
    if not isinstance(command, str) or not first.startswith("/"):
        return ""
    return command.replace(first, PurePosixPath(first).name, 1)


def _search_path(top: Path, main_top: Path, command: Command, leaked: str) -> str:
    """For a project that nothing installs: Python's search path leads to the worktree."""
    main = main_top.resolve()
    parts = Path(leaked).relative_to(main).parts if Path(leaked).is_relative_to(main) else ()
    root = parts[0] if len(parts) > 1 and not (top / parts[0] / "__init__.py").exists() else "."
    text = command if isinstance(command, str) else shlex.join(command)
    return f"let the tests import the worktree's code: {_set('gate.command', f'PYTHONPATH={root} {text}')}"


def _is_ignored(top: Path, path: str) -> bool:
    return Git(top)("check-ignore", "-q", "--", path, check=False).code == 0
