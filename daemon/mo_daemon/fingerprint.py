"""What decides whether set-up has to run again: its commands, the manifests they read, and the tools.

Equal fingerprints mean that set-up would make the same thing, as far as that can be told without running it.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mo_git import process
from mo_git.errors import MoError
from mo_git.git.binary import Git
from mo_git.model import Command

_MANIFESTS = (
    *("package.json", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "pnpm-workspace.yaml"),
    *("yarn.lock", ".yarnrc.yml", "bun.lock", "bun.lockb", "deno.json", "deno.lock", ".npmrc", ".nvmrc"),
    *(".node-version", "pyproject.toml", "setup.py", "setup.cfg", "uv.lock", "uv.toml", "poetry.lock"),
    *("pdm.lock", "Pipfile", "Pipfile.lock", "pixi.lock", "requirements*.txt", "requirements*.in"),
    *("constraints*.txt", ".python-version", "environment.yml", "environment.yaml", "conda-lock.yml"),
    *("Cargo.toml", "Cargo.lock", "rust-toolchain", "rust-toolchain.toml"),
    *("go.mod", "go.sum", "go.work", "go.work.sum", "Gemfile", "Gemfile.lock", ".ruby-version"),
    *("composer.json", "composer.lock", "mix.exs", "mix.lock", "flake.nix", "flake.lock"),
    *("pom.xml", "build.gradle", "build.gradle.kts", "gradle.lockfile"),
    *("Package.swift", "Package.resolved", ".tool-versions", "mise.toml"),
)
_MANIFEST = re.compile("|".join(fnmatch.translate(name) for name in _MANIFESTS))
_RUNNERS = {
    "make": "Makefile",
    "gmake": "Makefile",
    "just": "justfile",
    "task": "Taskfile.yml",
    "rake": "Rakefile",
}
_SEPARATORS = frozenset(
    {"&&", "||", ";", "|", "&", "(", ")", "{", "}", "!", "then", "do", "else", "if", "while"}
)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_VERSION_SECONDS = 10.0


class Fingerprints:
    """Computes fingerprints; remembers each tool's version as long as its file stays the same."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self._commands = tuple(commands)
        self._words = [words(command) for command in commands]
        self._tools = sorted({tool for found in self._words for tool in first_words(found)})
        self._versions: dict[tuple[str, int, int], bytes] = {}

    def of(self, worktree: Path, env: Mapping[str, str]) -> str:
        """The fingerprint (64 hex digits) of set-up in this worktree with this environment."""
        digest = hashlib.sha256()
        for command in self._commands:
            _add(digest, "command", repr(command).encode())
        for name in self._inputs(worktree):
            with contextlib.suppress(OSError):
                _add(digest, name, (worktree / name).read_bytes())
        for tool in self._tools:
            _add(digest, f"tool {tool}", self._tool(tool, worktree, env))
        return digest.hexdigest()

    def tools(self, env: Mapping[str, str]) -> str:
        """A digest (64 hex digits) of the tools alone: resolved paths and versions, outside any worktree."""
        digest = hashlib.sha256()
        for tool in self._tools:
            _add(digest, f"tool {tool}", self._tool(tool, Path(os.devnull), env))
        return digest.hexdigest()

    def _inputs(self, worktree: Path) -> list[str]:
        """Manifests at the root and one level down, and files that the commands name; never ignored ones.

        Ignored files are what set-up makes: with them the fingerprint would change by running it.
        """
        found = set(_manifests(worktree))
        named = {word.removeprefix("./") for line in self._words for word in line}
        named |= {_RUNNERS[tool] for tool in self._tools if tool in _RUNNERS}
        found |= {name for name in named if _is_inside(name) and (worktree / name).is_file()}
        if not found:
            return []
        git = Git(worktree, env={"GIT_LITERAL_PATHSPECS": "1"})
        known = git("ls-files", "-z", "-c", "-o", "--exclude-standard", "--", *sorted(found))
        return sorted({os.fsdecode(name) for name in known.out.split(b"\0") if name})

    def _tool(self, name: str, worktree: Path, env: Mapping[str, str]) -> bytes:
        """Resolved path and version of a tool; nothing for one of the worktree or one that isn't there."""
        inside = os.path.join(os.path.normpath(worktree), "")  # noqa: PTH118 - texts: asked for every gate run
        outer = [
            entry
            for entry in env.get("PATH", os.defpath).split(os.pathsep)
            if entry.startswith(os.sep) and not f"{os.path.normpath(entry)}{os.sep}".startswith(inside)
        ]
        path = (
            shutil.which(name, path=os.pathsep.join(outer))
            if os.sep not in name or Path(name).is_absolute()
            else None
        )
        if path is None:
            return b""
        real = Path(path).resolve()
        status = real.stat()
        key = (path, status.st_mtime_ns, status.st_size)
        if key not in self._versions:
            self._versions[key] = _version(path, env)
        return os.fsencode(real) + b"\0" + self._versions[key]


def _version(path: str, env: Mapping[str, str]) -> bytes:
    try:
        done = process.run([path, "--version"], cwd="/", env=env, timeout=_VERSION_SECONDS)
    except (MoError, OSError):
        return b""
    return done.out + done.err


def _add(digest: hashlib._Hash, name: str, content: bytes) -> None:
    """Add one named part; lengths keep neighbouring parts apart."""
    head = name.encode("utf-8", "surrogateescape")
    digest.update(f"{len(head)}:{len(content)}:".encode() + head + content)


def _manifests(worktree: Path) -> Iterator[str]:
    with os.scandir(worktree) as listing:
        top = sorted(listing, key=lambda entry: entry.name)
    for entry in top:
        if entry.is_file() and _MANIFEST.match(entry.name):
            yield entry.name
        elif entry.is_dir(follow_symlinks=False) and entry.name not in {".git", "node_modules", ".venv"}:
            with os.scandir(entry.path) as inner:
                names = [one.name for one in inner if _MANIFEST.match(one.name) and one.is_file()]
            yield from (f"{entry.name}/{name}" for name in sorted(names))


def _is_inside(name: str) -> bool:
    path = Path(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and len(name) < 1024


def words(command: Command) -> list[str]:
    """The words of a command, operators of the shell as words of their own; best effort for odd quoting."""
    if not isinstance(command, str):
        return list(command)
    lexer = shlex.shlex(command.replace("\n", ";"), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:
        return command.split()


def first_words(line: Sequence[str]) -> list[str]:
    """The programs that the words of a command name first: one for an argv, one per part of a shell line."""
    found = []
    expecting = True
    for word in line:
        if word in _SEPARATORS or word.strip("&|;()") == "":
            expecting = True
        elif expecting and not _ASSIGNMENT.match(word):
            found.append(word)
            expecting = False
    return found
