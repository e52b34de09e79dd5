"""Objects on the disk before a fact names them: all of a chain of merges at once.

To wait for the disk after each object costs several times what a merge does, and most merges of a train are
never landed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mo_git.git.binary import Git
from mo_git.git.files import sync_directory
from mo_git.git.repo import Repo

_FEW = 40  # objects that are waited for one by one; a pack for each landing would be many packs


def settle(repo: Repo, commit: str, known: str) -> None:
    """Wait until the disk has all that belongs to `commit` and not to the commit `known`.

    Many objects are written once more, as one pack: git reads that, whatever became of the single files.
    """
    listed = repo.git("rev-list", "--objects", "--no-object-names", commit, "--not", known).text.split()
    objects = repo.common_dir / "objects"
    loose = [oid for oid in listed if (objects / oid[:2] / oid[2:]).exists()]  # for packs git has waited
    if len(loose) > _FEW:
        git = Git(repo.common_dir, config=("core.fsync=all",))
        git("pack-objects", "-q", str(objects / "pack" / "pack"), stdin="\n".join(loose).encode() + b"\n")
        sync_directory(objects / "pack")
    else:
        _wait_for(objects, loose)


def _wait_for(objects: Path, loose: Iterable[str]) -> None:
    directories = {objects}
    for oid in loose:
        try:
            handle = os.open(objects / oid[:2] / oid[2:], os.O_RDONLY)
        except FileNotFoundError:
            continue  # it was packed just now
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        directories.add(objects / oid[:2])
    for directory in directories:
        sync_directory(directory)
