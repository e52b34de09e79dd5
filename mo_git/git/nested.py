"""Repositories inside a worktree.  An agent's own `.git` carries config that git would run as programs."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path


def nested_repositories(worktree: Path, known_submodules: Collection[str] = ()) -> list[str]:
    """Directories below the top, as relative paths, that hold an entry named `.git` in any case.

    Known submodules are left out as a whole.  Links are not followed; no git command runs.
    """
    known = {os.fsencode(path) for path in known_submodules}
    found: list[str] = []
    stack = [b""]
    root = os.fsencode(worktree)
    while stack:
        relative = stack.pop()
        try:
            entries = os.scandir(root + b"/" + relative)
        except (PermissionError, FileNotFoundError):
            continue  # git cannot enter it either
        with entries:
            for entry in entries:
                inside = relative + b"/" + entry.name if relative else entry.name
                if entry.name.lower() == b".git":
                    if relative:
                        found.append(os.fsdecode(relative))
                elif entry.is_dir(follow_symlinks=False) and inside not in known:
                    stack.append(inside)
    return sorted(found)
