"""Putting back what a tripwire found, where that is safe: nothing is lost, and no checkout goes stale.

A value that is taken away is kept by a ref first.  What belongs to a checkout that changed as well is left
alone, since the user may have done it; so is whatever changed again meanwhile.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mo_daemon.sandbox.tripwire import Difference, File, look
from mo_git.errors import MoError
from mo_git.git import refs
from mo_git.git.repo import Repo

_STASH = "refs/stash"
_STASH_LOG = "logs/refs/stash"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a difference: `left` says why it was not undone, empty where it was."""

    difference: Difference
    left: str = ""

    @property
    def undone(self) -> bool:
        return not self.left


def undo(repo: Repo, found: Iterable[Difference], *, keep: str) -> list[Result]:
    """Put back each difference that is safe to put back, refs first.

    `keep` is a ref prefix such as refs/mo/keep/GOAL/TASK/N: a value that a ref loses is held as
    KEEP/REF, without the leading refs/.
    """
    ordered = sorted(found, key=lambda item: not item.name.startswith("refs/"))
    stashed = any(difference.name == _STASH for difference in ordered)
    results = []
    for difference in ordered:
        if difference.moved_checkout:
            results.append(Result(difference, "the checkout that shows it changed as well"))
        elif difference.name.startswith("refs/"):
            results.append(Result(difference, _ref(repo, difference, keep)))
        else:
            again = stashed and difference.name == _STASH_LOG  # putting the ref back wrote to its log
            results.append(Result(difference, _file(repo.common_dir, difference, again)))
    return results


def _ref(repo: Repo, difference: Difference, keep: str) -> str:
    name, before, after = difference.name, difference.before, difference.after
    assert not isinstance(before, File)
    assert not isinstance(after, File)
    if any(value and not repo.exists(value) for value in (before, after)):
        return "it is a symbolic ref, or its object is missing"
    try:
        if after is not None and not _hold(repo, f"{keep}/{name.removeprefix('refs/')}", after):
            return "its value cannot be kept"
        if after is None:
            done = refs.swap(repo, name, before or "", None, "put back by mo")
        elif before is None:
            done = refs.delete(repo, name, after)
        else:
            done = refs.swap(repo, name, before, after, "put back by mo")
    except MoError as error:
        return error.message
    return "" if done else "it changed again"


def _hold(repo: Repo, name: str, oid: str) -> bool:
    return refs.create(repo, name, oid) or refs.read(repo, name) == oid


def _file(common_dir: Path, difference: Difference, changed_again: bool) -> str:
    """Replace a file in one step, under the lock that git would take for it."""
    path = common_dir / difference.name
    before = difference.before
    assert not isinstance(before, str)
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return f"{lock} exists"
    except OSError as error:
        return f"cannot write {path}: {error.strerror}"
    try:
        now = look(common_dir, difference.name)
        if not changed_again and _meaning(now) != _meaning(difference.after):
            return "it changed again"
        if before is None:
            path.unlink(missing_ok=True)
        else:
            _write(lock, path, before)
    except OSError as error:
        return f"cannot write {path}: {error.strerror}"
    finally:
        lock.unlink(missing_ok=True)
    return ""


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
