"""Refs by compare-and-swap, under the very lock files that git itself takes.

libgit2 compares an old value only for refs that exist, so each change here locks the ref first, reads it,
and decides.  Stale is a result, not an error: it means "look again".
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from enum import Enum

import pygit2

from mo_git.errors import Exit, MoError
from mo_git.git.repo import Repo

_PATIENCE = 2.0  # seconds that a held lock is waited for
_FIRST_PAUSE = 0.005
_NO_WAY = ("Permission denied", "Read-only file system")  # waiting does not help


class _Outcome(Enum):
    DONE = "done"
    STALE = "stale"


def read(repo: Repo, name: str) -> str | None:
    """The commit (or other object) id that a ref holds, symbolic refs followed; None when it is missing."""
    for _ in range(5):
        try:
            target = repo.pygit.lookup_reference(name).target
        except (KeyError, ValueError):
            return None
        if isinstance(target, pygit2.Oid):
            return str(target)
        name = target
    return None


def create(repo: Repo, name: str, oid: str) -> bool:
    """Make a ref; False when it exists.  MoError when another ref is in its way (`a` and `a/b`)."""
    return swap(repo, name, oid, None, "created by mo")


def swap(repo: Repo, name: str, new: str, old: str | None, message: str) -> bool:
    """Move a ref from `old` (None: must not exist) to `new`; False when it holds anything else.

    Raises MoError for a bad name, a missing object, a collision, or a lock that stays held.
    """
    if not name.startswith("refs/") or not pygit2.reference_is_valid_name(name):
        raise MoError(f"{name!r} is not a name that git allows for a ref", code=Exit.USAGE)
    if not repo.exists(new):
        raise MoError(f"cannot set {name}: there is no object {new}", code=Exit.NOT_FOUND)
    name = _final(repo, name)
    if old is None and (taken := _collision(repo, name)):
        raise _in_the_way(name, taken)

    def attempt() -> _Outcome:
        with repo.pygit.transaction() as transaction:
            transaction.lock_ref(name)
            if read(repo, name) != old:
                return _Outcome.STALE
            transaction.set_target(name, new, message=message)
        return _Outcome.DONE

    return repo.moves.note(name, new, lambda: _patiently(repo, name, attempt) is _Outcome.DONE)


def delete(repo: Repo, name: str, old: str) -> bool:
    """Remove a ref that holds `old`; False when it is missing or holds anything else."""

    def attempt() -> _Outcome:
        try:
            ref = repo.pygit.lookup_reference(name)
        except (KeyError, ValueError):
            return _Outcome.STALE
        if str(ref.target) != old:
            return _Outcome.STALE
        try:
            ref.delete()  # compares with the value just read, under the lock
        except KeyError:
            return _Outcome.STALE
        return _Outcome.DONE

    return repo.moves.note(name, None, lambda: _patiently(repo, name, attempt) is _Outcome.DONE)


def listing(repo: Repo, prefix: str) -> dict[str, str]:
    """Full ref name -> object id for the refs whose name starts with `prefix`, by name."""
    found: dict[str, str] = {}
    for ref in repo.pygit.references.iterator():
        name = os.fsdecode(ref.raw_name)
        if name.startswith(prefix):
            oid = str(ref.target) if isinstance(ref.target, pygit2.Oid) else read(repo, ref.target)
            if oid is not None:
                found[name] = oid
    return dict(sorted(found.items()))


def keep(repo: Repo, goal: str, task: str, n: int, oid: str) -> str:
    """Hold a commit under refs/mo/keep/GOAL/TASK/N (N-2, N-3 ... where that holds another); the name."""
    first = f"refs/mo/keep/{goal}/{task}/{n}"
    name, again = first, 1
    while not create(repo, name, oid) and read(repo, name) != oid:
        again += 1
        name = f"{first}-{again}"
    return name


def _patiently(repo: Repo, name: str, attempt: Callable[[], _Outcome]) -> _Outcome:
    """Try until the lock is free, with growing pauses."""
    deadline = time.monotonic() + _PATIENCE
    pause = _FIRST_PAUSE
    while True:
        problem = ""
        try:
            return attempt()
        except (pygit2.GitError, OSError) as error:
            problem = str(error)
        if taken := _collision(repo, name):
            raise _in_the_way(name, taken)
        if any(words in problem for words in _NO_WAY):
            raise MoError(f"cannot change {name}: {problem}", f"let git write again below {repo.common_dir}")
        if time.monotonic() > deadline:
            hint = f"if no other git command is running: rm {repo.common_dir / name}.lock"
            raise MoError(f"cannot change {name}: {problem}", hint if "lock" in problem else "")
        time.sleep(pause)
        pause = min(pause * 2, 0.1)


def _final(repo: Repo, name: str) -> str:
    """The ref at the end of a chain of symbolic refs: writing must not cut the chain."""
    for _ in range(5):
        try:
            target = repo.pygit.lookup_reference(name).target
        except (KeyError, ValueError):
            return name
        if isinstance(target, pygit2.Oid):
            return name
        name = target
    return name


def _collision(repo: Repo, name: str) -> str:
    """A ref that is a directory of `name`, or lies below it; "" when there is none.

    The lock alone would let `a/b` be written next to a packed `a`, which no git can read again.
    """
    parts = name.split("/")
    for end in range(2, len(parts)):
        if read(repo, above := "/".join(parts[:end])) is not None:
            return above
    below = repo.common_dir / name
    if below.is_dir():
        loose = sorted(path for path in below.rglob("*") if path.is_file() and path.suffix != ".lock")
        if loose:
            return str(loose[0].relative_to(repo.common_dir))
    return _packed_below(repo, name)


def _packed_below(repo: Repo, name: str) -> str:
    """A ref below `name` in packed-refs that still exists."""
    try:
        packed = (repo.common_dir / "packed-refs").read_bytes()
    except FileNotFoundError:
        return ""
    needle = b" " + os.fsencode(name) + b"/"
    at = packed.find(needle)
    if at < 0:
        return ""
    return os.fsdecode(packed[at + 1 : packed.find(b"\n", at)])


def _in_the_way(name: str, taken: str) -> MoError:
    hint = f"git update-ref -d {taken} removes it, if nothing needs it"
    if taken.startswith("refs/heads/"):
        branch = taken.removeprefix("refs/heads/")
        hint = f"git branch -m {branch} ANOTHER-NAME"
    return MoError(f"cannot create {name}: {taken} is in the way", hint)
