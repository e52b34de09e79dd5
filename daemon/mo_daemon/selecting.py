"""Running only some tests: how a gate command is narrowed to the ids that `testids` gives.

What is selected may be more than was asked for, never less: a run is judged on the ids that were asked for
alone.  An id that does not exist at a commit selects nothing, and is no error.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mo_daemon.commandline import added, recognise, replaced, words_of
from mo_daemon.packagescripts import script_of
from mo_git.model import Command

IDS_FILE = "ids.json"
TEMPLATE_IDS = "{ids}"
_ROOM = 60_000  # characters that may be added to a command: Linux takes 128 KiB for one argument
_PLUGIN = "mo_select"


@dataclass(frozen=True, slots=True)
class Selection:
    """A command that runs little more than what was asked for.

    `env` is added to the environment; `files` are to be written into the directory of the reports first.
    """

    command: Command
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Ask:
    """What is narrowed: words[at] says which runner it is; `dashes`: behind a manager that wants a `--`."""

    command: Command
    words: list[str]
    at: int
    ids: Sequence[str]
    reports: Path
    top: Path
    dashes: bool = False

    def names(self) -> list[str]:
        """What follows the first part of each id that has one."""
        return sorted({rest for key in self.ids for rest in [key.partition("::")[2]] if rest})

    def files(self) -> list[str]:
        """The first parts that are files of the worktree."""
        found = sorted({key.partition("::")[0] for key in self.ids})
        return [name for name in found if (self.top / name).is_file()]

    def more(self, extra: Iterable[str]) -> Command:
        """The command with further words for the runner."""
        prefix = ["--"] if self.dashes and "--" not in self.words else []
        return added(self.command, [*prefix, *extra])


def select(
    command: Command, ids: frozenset[str], reports: Path, top: Path, template: str = ""
) -> Selection | None:
    """How to run only these tests; None where that is not possible, so that everything has to run.

    `template` is a command of the user's own (gate.select) in which {ids} stands for the quoted ids.
    """
    wanted = sorted(ids)
    if template:
        text = shlex.join(wanted)
        return Selection(template.replace(TEMPLATE_IDS, text)) if len(text) <= _ROOM else None
    words = words_of(command)
    found = recognise(words, 0) if words else None
    if not words or not found:
        return None
    runner, at = found
    dashes = False
    if runner == "package":
        script = script_of(words, at, top)
        if script is None or script.strict or script.runner not in _THROUGH_SCRIPTS:
            return None
        runner, dashes = script.runner, script.dashes
    chosen = _WAYS[runner](_Ask(command, words, at, wanted, reports, top, dashes))
    return chosen if chosen and _fits(command, chosen.command) else None


def uncached(command: Command) -> Command:
    """The command without the runner's own memory of passed tests (`go test` has one)."""
    words = words_of(command)
    found = recognise(words, 0) if words else None
    if not words or not found or found[0] != "go" or any(word.startswith("-count") for word in words):
        return command
    return _go_with(command, words, found[1], ["-count=1"]) or command


def _fits(before: Command, after: Command) -> bool:
    return len(_text(after)) - len(_text(before)) <= _ROOM


def _text(command: Command) -> str:
    return command if isinstance(command, str) else " ".join(command)


def _any_of(names: Iterable[str]) -> str:
    """A pattern of JavaScript and Go that matches exactly these texts."""
    return "^(?:" + ("|".join(re.escape(name) for name in names) or "-") + ")$"


def _ids_file(ask: _Ask) -> dict[str, str]:
    places = sorted({str(ask.top), str(ask.top.resolve())}, key=len, reverse=True)
    return {IDS_FILE: json.dumps({"ids": ask.ids, "places": places})}


# -- Python -------------------------------------------------------------------------------------------

# Names are made as pytest's junitxml makes them (mangle_test_address), cleaned as `testids` cleans them.
# A file is known by the dotted name in front of the class: its own path may be that of a base class.
_PYTEST = r'''
"""Selects the tests of a gate run; written and removed by mo."""
import json, os, re
import pytest
HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "ids.json"), encoding="utf-8") as file:
    ASKED = json.load(file)
IDS = frozenset(ASKED["ids"])
DOTTED = frozenset(part for key in IDS for part in key.split("::", 2)[1:2])

def clean(text):
    for place in ASKED["places"]:
        text = text.replace(place + "/", "").replace(place, ".")
    return re.sub(r"0x[0-9a-fA-F]{9,16}\b", "0x", text)

def escape(text):
    try:
        from _pytest.junitxml import bin_xml_escape
        return str(bin_xml_escape(text))
    except ImportError:
        return text

def dotted(path):
    return re.sub(r"\.py$", "", path.replace("\\", "/").replace("/", "."))

def prefix(config):
    found = config.getoption("junitprefix", None)
    return [found] if found else []

def key_of(item):
    address, bracket, parameters = item.nodeid.partition("[")
    names = address.split("::")
    names[0] = dotted(names[0])
    names[-1] += bracket + parameters
    parts = (item.location[0], ".".join(prefix(item.config) + names[:-1]), escape(names[-1]))
    return "::".join(clean(part) for part in parts if part)

def wanted(path, config):
    name = clean(".".join(prefix(config) + [dotted(os.path.relpath(path, config.rootpath))]))
    return any(part == name or part.startswith(name + ".") for part in DOTTED)

if int(pytest.__version__.split(".")[0]) >= 7:
    def pytest_ignore_collect(collection_path, config):
        if collection_path.is_file() and collection_path.name != "__init__.py":
            return None if wanted(collection_path, config) else True
        return None

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    left = [item for item in items if key_of(item) not in IDS]
    items[:] = [item for item in items if key_of(item) in IDS]
    config.hook.pytest_deselected(items=left)
'''

_PATH_SETTING = re.compile(r"(?<![\w$])PYTHONPATH=")


def _pytest(ask: _Ask) -> Selection | None:
    """A plugin leaves out the other files and tests: arguments would change what pytest takes as its root."""
    runner = ask.words[: ask.at + 1]
    if any(re.fullmatch(r"-[A-Za-z]*[IE][A-Za-z]*", word) for word in runner):
        return None  # this Python looks into no PYTHONPATH
    options = ["-p", _PLUGIN]
    files = {**_ids_file(ask), f"{_PLUGIN}.py": _PYTEST}
    env = {"PYTHONPATH": str(ask.reports)}
    command = _with_path(ask.command, ask.reports)
    if "--" in ask.words[ask.at :]:
        return Selection(command, {**env, "PYTEST_ADDOPTS": shlex.join(options)}, files)
    return Selection(replace(ask, command=command).more(options), env, files)


def _with_path(command: Command, reports: Path) -> Command:
    """A command that sets PYTHONPATH itself sets it to the plugin's directory, too."""
    if isinstance(command, tuple):
        return tuple(_PATH_SETTING.sub(lambda match: f"{match[0]}{reports}:", word, 1) for word in command)
    return _PATH_SETTING.sub(lambda match: f"{match[0]}{shlex.quote(f'{reports}:')}", command, count=1)


def _unittest(ask: _Ask) -> Selection:
    """The recorder of `runners` selects by itself where the file is there."""
    return Selection(ask.command, files=_ids_file(ask))


# -- JavaScript ---------------------------------------------------------------------------------------


def _vitest(ask: _Ask) -> Selection:
    """-t is matched against the names from the outermost suite on, joined by spaces."""
    names = [name for found in ask.names() for name in {found, found.replace(" > ", " ")}]
    files = [f"./{name}" if name.startswith("-") else name for name in ask.files()]
    return Selection(ask.more(["--passWithNoTests", "-t", _any_of(sorted(names)), *files]))


def _jest(ask: _Ask) -> Selection:
    files = [f"/{re.escape(name)}$" for name in ask.files()]
    return Selection(ask.more(["--passWithNoTests", "-t", _any_of(ask.names()), *files]))


def _node(ask: _Ask) -> Selection | None:
    """Node up to 20 matches a test's own name, later ones the names from the outermost on."""
    forms: set[str] = set()
    for name in ask.names():
        parts = name.split(" > ")
        forms |= {name, *parts, *(" ".join(parts[:size]) for size in range(1, len(parts) + 1))}
    options = ["--test", f"--test-name-pattern={_any_of(sorted(forms))}"]
    behind, files = ask.words[ask.at + 1 :], ask.files()
    if files and not any(word.startswith("-") for word in [*behind, *files]):
        count = len(behind) + 1
        changed = replaced(
            ask.command, ask.words, ask.at, count, [*options, *files], r"(?s)(?<=\s)--test(?=\s|$).*"
        )
    else:
        changed = replaced(ask.command, ask.words, ask.at, 1, options, r"(?<=\s)--test(?=\s|$)")
    return Selection(changed) if changed is not None else None


# -- Go and Rust --------------------------------------------------------------------------------------


def _go_with(command: Command, words: list[str], at: int, flags: list[str]) -> Command | None:
    """`go test` with flags before all others."""
    new = [words[at - 1], "test", *flags]
    return replaced(command, words, at - 1, 2, new, r"\S*\bgo\s+test(?=\s|$)")


def _go(ask: _Ask) -> Selection | None:
    """Whole tests: a subtest runs with its parent."""
    roots = sorted({name.partition("/")[0] for name in ask.names()})
    command, packages = ask.command, _go_packages(ask)
    if packages and ask.words.count("./...") == 1:
        here = ask.words.index("./...")
        narrowed = replaced(command, ask.words, here, 1, packages, r"(?<=\s)\./\.\.\.(?=\s|$)")
        command = narrowed if narrowed is not None else command
    words = words_of(command) or ask.words
    changed = _go_with(command, words, ask.at, ["-run", _any_of(roots)])
    return Selection(changed) if changed is not None else None


def _go_packages(ask: _Ask) -> list[str]:
    """Directories of the packages that are there; empty where they can't be told from the ids.

    A package that does not build is an id without a test; it is looked for everywhere.
    """
    try:
        module = re.search(r"^module\s+(\S+)", (ask.top / "go.mod").read_text("utf-8"), re.MULTILINE)
    except (OSError, ValueError):
        return []
    found = sorted({key.partition("::")[0] for key in ask.ids if "::" in key})
    if not module or len(found) != len({key.partition("::")[0] for key in ask.ids}) or "-C" in ask.words:
        return []
    inner = [f".{name[len(module[1]) :]}" for name in found if f"{name}/".startswith(f"{module[1]}/")]
    if len(inner) != len(found):
        return []
    return [name for name in inner if any((ask.top / name).glob("*.go"))]


def _cargo(ask: _Ask) -> Selection:
    """Names are matched in full; the names of doc tests hold a line number, so they are matched in part."""
    names, parts = set(), False
    for key in ask.ids:
        kind, _, rest = key.partition("::")
        name = rest.partition("::")[2]
        if kind == "doc":
            name, parts = re.sub(r"#\d+$", "", name), True
        names.add(name or key)
    exact = [] if parts else ["--exact"]
    dashes = [] if "--" in ask.words else ["--"]
    return Selection(added(ask.command, [*dashes, *exact, *sorted(names)]))


_WAYS: Mapping[str, Callable[[_Ask], Selection | None]] = {
    "pytest": _pytest,
    "unittest": _unittest,
    "vitest": _vitest,
    "jest": _jest,
    "node": _node,
    "go": _go,
    "cargo": _cargo,
}
# What a manager hands on: node takes no pattern behind the files, and none from NODE_OPTIONS.
_THROUGH_SCRIPTS = ("pytest", "vitest", "jest")
