"""Moving a branch that somebody has checked out: only forward, only where nothing is in the way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from mo_git.git.binary import Git, operation_in_progress
from mo_git.git.layout import discover
from mo_git.process import Completed

PATIENCE = 5.0  # seconds that another git command's lock is waited for; a lock that stays is a dead one's
_PAUSE = 0.05

_T = TypeVar("_T")


class Refusal(StrEnum):
    """Why a checked-out branch was not moved."""

    DIRTY = "dirty"  # changes to tracked files in the way
    UNTRACKED = "untracked"  # untracked or ignored files in the way
    NOT_FAST_FORWARD = "not_fast_forward"
    OPERATION = "operation_in_progress"
    LOCKED = "locked"  # another git command is at work there; paths: its lock file
    OTHER = "other"  # detail says what git said


@dataclass(frozen=True, slots=True)
class FastForward:
    """`moved`: the worktree's branch now contains the commit.  Else `refusal`, with the `paths` in the way.

    `uncommitted` names changed and untracked files that were left as they are.
    """

    moved: bool
    refusal: Refusal | None = None
    paths: tuple[str, ...] = ()
    detail: str = ""
    uncommitted: tuple[str, ...] = ()


def fast_forward(worktree: Path, commit: str, *, patience: float = PATIENCE) -> FastForward:
    """Move the branch that a worktree has checked out forward to a commit, with its files and index.

    Never touches uncommitted work: changed, untracked and ignored files in the way refuse the move.  Where
    somebody moves the branch at the same moment, theirs counts, and files and index are as they left them.
    Other git commands at work there are waited for, `patience` seconds.
    """
    git = Git(worktree, sparse=True)
    return _patiently(lambda: _try(git, worktree, commit), _is_locked, patience)


def _is_locked(result: FastForward) -> bool:
    return result.refusal is Refusal.LOCKED


def _patiently(attempt: Callable[[], _T], locked: Callable[[_T], bool], patience: float) -> _T:
    until = time.monotonic() + patience
    while locked(result := attempt()) and time.monotonic() < until:
        time.sleep(_PAUSE)
    return result


def _try(git: Git, worktree: Path, commit: str) -> FastForward:
    head = git.text("rev-parse", "HEAD")
    if operation := operation_in_progress(discover(worktree)):
        return FastForward(False, Refusal.OPERATION, detail=operation)
    forward = git("merge-base", "--is-ancestor", "HEAD", commit, check=False)
    if forward.code > 1:
        return FastForward(False, Refusal.OTHER, detail=forward.error_text)
    if forward.code:
        if git("merge-base", "--is-ancestor", commit, "HEAD", check=False).code == 0:
            return FastForward(True)
        return FastForward(False, Refusal.NOT_FAST_FORWARD)
    # Options are spelled out because config and branch.NAME.mergeOptions may say otherwise.
    staged = _names(git, "diff", "--cached", "--name-only", "--no-renames", "-z", head)
    options = "--ff-only --no-squash --commit --no-autostash --no-overwrite-ignore --no-stat -q"
    done = git("merge", *options.split(), commit, check=False)
    if done.code == 0:
        return FastForward(True, uncommitted=tuple(sorted(_dirty(git) | _untracked(git))))
    if "Not possible to fast-forward" in done.error_text:  # somebody was quicker than this merge
        return FastForward(False, Refusal.NOT_FAST_FORWARD)
    coming = _names(git, "diff", "--name-only", "--no-renames", "-z", head, commit)
    if coming and not coming & staged and _applied(git, commit, coming):
        return _undone(git, commit, done)
    return _refusal(git, coming, done)


def _applied(git: Git, commit: str, coming: set[str]) -> bool:
    """Whether the index is the commit's already: git writes files and index before it moves the branch."""
    return not _names(git, "diff", "--cached", "--name-only", "--no-renames", "-z", commit) & coming


def _undone(git: Git, commit: str, done: Completed) -> FastForward:
    """Back to the branch as it is now: the branch could not be moved, because somebody else moved it.

    The two-tree merge of git-read-tree(1) changes only what is exactly as the commit has it.
    """
    back = _patiently(
        lambda: git("read-tree", "-m", "-u", commit, "HEAD", check=False),
        lambda done: bool(_lock_of(done)),
        PATIENCE,
    )
    if back.code:
        return FastForward(False, Refusal.OTHER, detail=back.error_text)
    if git("merge-base", "--is-ancestor", "HEAD", commit, check=False).code:
        return FastForward(False, Refusal.NOT_FAST_FORWARD)
    return _said(done)


def _lock_of(done: Completed) -> str:
    """The lock file of another git command that stopped this one."""
    found = re.search(r"Unable to create '([^']*\.lock)': File exists", done.error_text)
    return found[1] if found else ""


def _said(done: Completed) -> FastForward:
    if lock := _lock_of(done):
        return FastForward(False, Refusal.LOCKED, (lock,), done.error_text)
    return FastForward(False, Refusal.OTHER, detail=done.error_text)


def _refusal(git: Git, coming: set[str], done: Completed) -> FastForward:
    for refusal, present in (
        (Refusal.DIRTY, _dirty(git)),
        (Refusal.UNTRACKED, _untracked(git) | _names(git, "ls-files", "-o", "-z")),
    ):
        if blocking := _overlap(present, coming):
            return FastForward(False, refusal, blocking, done.error_text)
    return _said(done)


def _dirty(git: Git) -> set[str]:
    return _names(git, "diff", "--name-only", "--no-renames", "--ignore-submodules=dirty", "-z", "HEAD")


def _untracked(git: Git) -> set[str]:
    return _names(git, "ls-files", "-o", "--exclude-standard", "-z")


def _names(git: Git, *args: str) -> set[str]:
    return {name for name in git(*args).text.split("\0") if name}


def _overlap(present: Iterable[str], coming: set[str]) -> tuple[str, ...]:
    """Present paths that a coming path equals, lies below, or is a directory of."""
    directories = {name[:at] for name in coming for at, letter in enumerate(name) if letter == "/"}
    return tuple(
        sorted(
            name
            for name in present
            if name.rstrip("/") in coming
            or name.rstrip("/") in directories
            or any(name[:at] in coming for at, letter in enumerate(name) if letter == "/")
        )
    )
