"""Where a repository is, found by reading files alone: no process, so that fast commands stay fast."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from mo_git.errors import Exit, MoError

_HEADER = re.compile(r"\[\s*([^\]\s\"]+)(?:\s+\"[^\"]*\")?\s*\]")
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b"}


@dataclass(frozen=True, slots=True)
class Layout:
    """The main worktree's root, the common git directory, and the worktree that we stand in."""

    top: Path
    common_dir: Path
    here: Path
    is_linked: bool

    @property
    def git_dir(self) -> Path:
        """The git directory of the worktree we stand in (HEAD and index live there)."""
        return git_dir_of(self.here) if self.is_linked else self.common_dir


def discover(start: Path) -> Layout:
    """The layout seen from a directory; works below a linked worktree and in a submodule.

    GIT_* variables are ignored on purpose: hooks of linked worktrees export GIT_DIR.
    Raises MoError: not a repository, a bare one, or one whose main worktree cannot be told.
    """
    if not start.is_dir():
        raise MoError(f"{start} is not a directory", code=Exit.NOT_FOUND)
    real = Path(os.path.realpath(start))
    for directory in (real, *real.parents):
        pointer = directory / ".git"
        if pointer.is_file() or is_git_dir(pointer):
            return _layout_of(directory)
        if is_git_dir(directory):
            raise _not_a_worktree(directory)
    raise MoError(f"{start} is not in a git repository", "git init", Exit.NOT_FOUND)


def _layout_of(here: Path) -> Layout:
    git_dir = git_dir_of(here)
    common = common_dir_of(git_dir)
    linked = common != git_dir
    if core_settings(common).get("bare") in _TRUE:
        raise _not_a_worktree(common)
    return Layout(main_top(common) if linked else here, common, here, linked)


def _not_a_worktree(directory: Path) -> MoError:
    if core_settings(directory).get("bare") not in _TRUE:
        return MoError(f"{directory} is inside a git directory", "cd into the checkout", Exit.USAGE)
    if directory.name == ".git":
        remedy = f"git -C {directory} config core.bare false"
    else:
        remedy = f"git clone {directory}, and work in the clone"
    return MoError(f"{directory} is a bare repository", remedy, Exit.USAGE)


def is_git_dir(path: Path) -> bool:
    """Whether git would take this directory for a git directory."""
    return (path / "objects").is_dir() and (path / "refs").is_dir() and os.path.lexists(path / "HEAD")


def git_dir_of(worktree: Path) -> Path:
    """The git directory that the `.git` entry of a worktree names."""
    pointer = worktree / ".git"
    if pointer.is_dir():
        return Path(os.path.realpath(pointer))
    text = read_text(pointer)
    target = Path(os.path.realpath(worktree / text.removeprefix("gitdir:").strip("\n").lstrip(" ")))
    if not text.startswith("gitdir:") or not (target / "HEAD").exists():
        raise MoError(f"{pointer} does not point at a git directory", "git worktree repair", Exit.USAGE)
    return target


def common_dir_of(git_dir: Path) -> Path:
    """The common directory behind a linked worktree's git directory, or the directory itself."""
    pointer = git_dir / "commondir"
    if not pointer.is_file():
        return git_dir
    return Path(os.path.realpath(git_dir / read_text(pointer).strip("\n")))


def main_top(common_dir: Path) -> Path:
    """The root of the main worktree.

    git records it nowhere for `git init --separate-git-dir`, unless core.worktree says it.
    """
    named = core_settings(common_dir).get("worktree")
    if named:
        top = Path(os.path.realpath(common_dir / named))
    elif common_dir.name == ".git":
        top = common_dir.parent
    else:
        hint = f'in the main worktree run: git --git-dir={common_dir} config core.worktree "$PWD"'
        raise MoError(f"cannot tell where the main worktree of {common_dir} is", hint, Exit.USAGE)
    if not os.path.lexists(top / ".git"):
        raise MoError(f"the main worktree {top} is gone", "git worktree list", Exit.NOT_FOUND)
    return top


def read_text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape")


_TRUE = frozenset({"true", "yes", "on", "1"})


def core_settings(common_dir: Path) -> dict[str, str]:
    """Keys of the [core] section of a repository's own config file, in lower case."""
    settings: dict[str, str] = {}
    section = ""
    try:
        lines = read_text(common_dir / "config").split("\n")
    except OSError:
        return settings
    for line in lines:
        rest = line.strip()
        if header := _HEADER.match(rest):
            section = header[1].lower()
            rest = rest[header.end() :].strip()
        if section == "core" and rest and rest[0] not in "#;":
            key, equals, value = rest.partition("=")
            settings[key.strip().lower()] = _config_value(value) if equals else "true"
    return {key: value.lower() if key == "bare" else value for key, value in settings.items()}


def _config_value(raw: str) -> str:
    """A value as git-config(1) writes it: quotes, escapes, a comment at the end."""
    value, quoted, letters = "", False, iter(raw.strip())
    for letter in letters:
        if letter == "\\":
            escaped = next(letters, "")
            value += _ESCAPES.get(escaped, escaped)
        elif letter == '"':
            quoted = not quoted
        elif letter in "#;" and not quoted:
            return value.rstrip()
        else:
            value += letter
    return value
