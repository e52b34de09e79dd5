"""The quick way to look at a worktree and to put it back, for programs that a person wrote.

One git process an item instead of eight: nothing is searched for repositories that were hidden in it, and
ignored files stay, as a cache of the worker.  For an agent's work see `snapshot` and `worktrees.reset`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pygit2

from mo_git.errors import MoError
from mo_git.git.binary import STRICT_STAT, Git
from mo_git.git.layout import read_text
from mo_git.git.repo import Repo
from mo_git.git.snapshot import Snapshot
from mo_git.git.splice import splice
from mo_git.git.worktrees import admin_of

_CONFIG = ("core.safecrlf=false", "core.splitIndex=false", "submodule.recurse=false", *STRICT_STAT)
_FILES = (0o100644, 0o100755)


def look(repo: Repo, worktree: Path, base: str) -> Snapshot:
    """As `snapshot`: the tree of what is not ignored, and what differs from `base`."""
    admin = admin_of(repo, worktree)
    (admin / "index.lock").unlink(missing_ok=True)
    Git(worktree, config=_CONFIG)("add", "-A")
    changes = repo.staged(base, admin / "index")
    tree = splice(repo, repo.tree_of(base), changes)  # libgit2 writes all trees again, and waits for the disk
    if tree is None:
        raise MoError(f"the index of {worktree} does not fit {base[:12]}", f"git -C {worktree} status")
    statuses = {change.path: change.status for change in changes}
    return Snapshot(tree, tuple(statuses), statuses)


def is_plain(repo: Repo, base: str) -> bool:
    """Whether files in a checkout of `base` are what git has of them: no attributes, no changed line ends."""
    config = repo.pygit.config
    steering = ("core.attributesfile", "core.eol", "core.autocrlf")
    said = {name: config[name] for name in steering if name in config}
    said = {name: value for name, value in said.items() if value not in ("false", "no", "0")}
    beside = (repo.common_dir / "info" / "attributes").exists()
    return not (said or beside or repo.special(base).attributes)


def put_back(repo: Repo, worktree: Path, base: str, found: Snapshot | None = None) -> bool:
    """Files and index as in `base`; False where only a reset helps, since somebody moved HEAD.

    `found` is what `look` saw, in a checkout that `is_plain` and that nobody touched since: then only those
    files are written.
    """
    admin = admin_of(repo, worktree)
    if read_text(admin / "HEAD").strip() != base:
        return False
    if found is None or not _restored(repo, admin, worktree, base, found):
        (admin / "index.lock").unlink(missing_ok=True)
        Git(worktree, config=_CONFIG)("read-tree", "--reset", "-u", base)
    return True


def _restored(repo: Repo, admin: Path, worktree: Path, base: str, found: Snapshot) -> bool:
    """Write the changed files as they were; False where they are not simply files."""
    changes = repo.changes_at(base, found.tree, found.statuses)
    if any(change.status == "T" or change.mode not in _FILES for change in changes):
        return False
    try:
        for change in changes:
            file = worktree / change.path
            if change.status == "A":
                _remove(file, worktree)
            else:
                _rewrite(file, repo.blob(change.old), repo.mode_at(base, change.path))
    except OSError:  # a file where a directory was
        return False
    index = pygit2.Index(str(admin / "index"))
    index.read_tree(repo.commit(base).tree)  # keeps what it knows of all other files
    index.write()
    return True


def _rewrite(file: Path, content: bytes, mode: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o777 | 0o200)
    with os.fdopen(handle, "wb") as writer:
        writer.write(content)


def _remove(file: Path, worktree: Path) -> None:
    """A file, and the directories that are empty then."""
    file.unlink()
    for directory in file.parents:
        if directory == worktree or any(directory.iterdir()):
            break
        directory.rmdir()
