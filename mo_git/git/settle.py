"""Objects on the disk before a fact names them: all of a chain of merges at once.

To wait for the disk after each object costs several times what a merge does, and most merges of a train are
never landed.  A file system with a journal writes many files almost as fast as one.
"""

from __future__ import annotations

import os
from contextlib import suppress

from mo_git.git.files import sync_directory
from mo_git.git.repo import Repo


def settle(repo: Repo, commit: str, known: str) -> None:
    """Wait until the disk has all that belongs to `commit` and not to the commit `known`.

    Packs are left out: git waits for those itself.
    """
    listed = repo.git("rev-list", "--objects", "--no-object-names", commit, "--not", known).text.split()
    objects = repo.common_dir / "objects"
    directories = {objects}
    for oid in listed:
        with suppress(FileNotFoundError):
            handle = os.open(objects / oid[:2] / oid[2:], os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            directories.add(objects / oid[:2])
    for directory in directories:
        sync_directory(directory)
