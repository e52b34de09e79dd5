"""Putting back what is surely not the user's, where that is safe: nothing is lost.

A value that is taken away is kept first: of a ref by another ref, of a file by a copy.  Of a config file only
the settings that are meant are put back, under git's own lock.  What changed again meanwhile is left alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mo_daemon.sandbox import gitconfig
from mo_daemon.sandbox.blame import Finding, name_of
from mo_daemon.sandbox.tripwire import HEAD, Difference, File, look
from mo_git.errors import MoError
from mo_git.git import refs, worktrees
from mo_git.git.binary import Git
from mo_git.git.repo import Repo

Keeper = Callable[[str], str]  # object id -> the ref that holds it from now on


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where what is taken away goes: `ref` keeps an object, files are copied below `directory`."""

    ref: Keeper
    directory: Path


def undo(repo: Repo, finding: Finding, shelf: Shelf, *, index_moved: bool = False) -> str:
    """Put one difference back; empty, or why it was left."""
    difference = finding.difference
    try:
        if difference.name.startswith("refs/"):
            return _ref(repo, difference, shelf)
        if finding.settings:
            return _settings(repo, finding)
        if difference.name == HEAD and index_moved:
            return "the files of the checkout changed as well"
        return _file(repo.common_dir, difference, shelf)
    except MoError as error:
        return error.message
    except OSError as error:
        return f"cannot write {repo.common_dir / difference.name}: {error.strerror}"


def _ref(repo: Repo, difference: Difference, shelf: Shelf) -> str:
    name, before, after = difference.name, difference.before, difference.after
    assert not isinstance(before, File)
    assert not isinstance(after, File)
    if any(value and not repo.exists(value) for value in (before, after)):
        return "it is a symbolic ref, or its object is missing"
    if after is None:
        return "" if refs.swap(repo, name, before or "", None, "put back by mo") else "it changed again"
    shelf.ref(after)
    if before is None:
        return "" if refs.delete(repo, name, after) else "it changed again"
    return "" if refs.swap(repo, name, before, after, "put back by mo") else "it changed again"


def _settings(repo: Repo, finding: Finding) -> str:
    """The settings as they were; the rest of the file may be the user's."""
    before = finding.difference.before
    old = list(gitconfig.parse(before.text)) if isinstance(before, File) else []
    git, path = Git(repo.top or repo.common_dir), str(repo.common_dir / finding.difference.name)
    for name in finding.settings:
        git("config", "--file", path, "--unset-all", name, check=False)
        for setting in old:
            if name_of(setting) == name:
                git("config", "--file", path, "--add", name, setting.value or "true")
    return ""


def _file(common_dir: Path, difference: Difference, shelf: Shelf) -> str:
    """Replace a file in one step, under the lock that git would take for it."""
    path = common_dir / difference.name
    before, after = difference.before, difference.after
    assert not isinstance(before, str)
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return f"{lock} exists"
    try:
        if _meaning(look(common_dir, difference.name)) != _meaning(after):
            return "it changed again"
        if isinstance(after, File):
            _copy(after, shelf.directory, difference.name)
        if before is None:
            path.unlink(missing_ok=True)
        else:
            _write(lock, path, before)
    finally:
        lock.unlink(missing_ok=True)
    return ""


def _copy(file: File, directory: Path, name: str) -> None:
    """Contents only: nobody runs it from there, and nobody else reads it."""
    directory.mkdir(parents=True, exist_ok=True)
    copy = directory / name.replace("/", "-")
    copy.touch(0o600)
    copy.write_bytes(file.content)


def _write(lock: Path, path: Path, file: File) -> None:
    if stat.S_ISLNK(file.stamp[0]):
        lock.unlink()
        lock.symlink_to(os.fsdecode(file.content))
    else:
        lock.write_bytes(file.content)
        lock.chmod(stat.S_IMODE(file.stamp[0]))
    lock.replace(path)


def _meaning(file: str | File | None) -> tuple[int, bytes] | None:
    return file.meaning if isinstance(file, File) else None


def is_in_use(repo: Repo, name: str, slots: Path) -> bool:
    """Whether somebody has a branch checked out, other than a worktree below `slots`."""
    if not name.startswith("refs/heads/"):
        return False
    holder = worktrees.holder(repo, name.removeprefix("refs/heads/"))
    return holder is not None and not holder.is_relative_to(slots)
