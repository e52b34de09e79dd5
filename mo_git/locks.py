"""Lock files of git that a killed process left: told from those that somebody holds, and removed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import psutil

_LOOKING = frozenset({"log", "diff", "show", "blame", "grep", "status", "help"})  # verbs that sit in a pager


def drop_abandoned(common_dir: Path, prefixes: Sequence[str], places: Sequence[Path]) -> list[str]:
    """Remove abandoned locks of the refs with these prefixes; their paths below the common git directory."""
    dropped = []
    for prefix in prefixes:
        for lock in sorted((common_dir / prefix.rpartition("/")[0]).rglob("*.lock")):
            name = str(lock.relative_to(common_dir))
            if name.startswith(prefix) and is_abandoned(lock, places):
                lock.unlink(missing_ok=True)
                dropped.append(name)
    return dropped


def is_abandoned(lock: Path, places: Sequence[Path]) -> bool:
    """Whether no process can hold this lock file of git any more; in doubt it is held.

    A holder has the file open; or, while a hook of its runs, it is a git at work in one of the repository's
    `places` (its directories), and older than the file.
    """
    try:
        status = lock.stat()
    except OSError:
        return False
    for process in psutil.process_iter(["name", "create_time"]):
        name, born = process.info["name"], process.info["create_time"] or 0
        if (
            (name or "git").startswith("git")
            and born <= status.st_mtime + 1
            and _may_work_in(process, places)
        ):
            return False
        if _has_open(process.pid, status):
            return False
    return True


def _may_work_in(git: psutil.Process, places: Sequence[Path]) -> bool:
    """Whether a git may be changing a repository with these directories."""
    try:
        words, cwd, environ = git.cmdline(), Path(git.cwd()), git.environ()
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # somebody else's
        return True
    if next((word for word in words[1:] if not word.startswith("-")), "") in _LOOKING:
        return False
    named = "\0".join([*words, *environ.values()])
    return any(cwd.is_relative_to(place) or str(place) in named for place in places)


def _has_open(pid: int, status: os.stat_result) -> bool:
    """Asked of /proc; elsewhere nothing is known."""
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if os.path.samestat(entry.stat(), status):
                    return True
    return False
