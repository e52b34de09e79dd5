"""A look at a worktree in which somebody works: what it holds just now, without their noticing.

The index is a copy, new objects go to a directory beside the repository's own, and no git command follows
the worktree's `.git`, which its owner may have replaced, or enters a repository inside it.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from mo_git.errors import MoError
from mo_git.git.binary import STRICT_STAT, Git
from mo_git.git.files import write_loose
from mo_git.git.repo import Repo
from mo_git.git.worktrees import admin_of

_CONFIG = ("core.splitIndex=false", "core.safecrlf=false", "core.fsync=none", *STRICT_STAT)
_FILE_BYTES = 1 << 20  # larger files are left out
_FILES = 2000  # a worktree with more changes is left out
_WHO = "mo <mo@localhost> 0 +0000"


def beside(repo: Repo, objects: Path) -> dict[str, str]:
    """The environment in which git writes new objects to `objects` and finds those of the repository."""
    real = "".join(f"\\{byte:03o}" for byte in os.fsencode(repo.common_dir / "objects"))  # git unquotes it
    return {"GIT_OBJECT_DIRECTORY": str(objects), "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{real}"'}


def glance(
    repo: Repo, worktree: Path, base: str, *, index: Path, objects: Path, seconds: float
) -> str | None:
    """A commit (parent: `base`) of the files in a worktree, or None where nothing is to be seen.

    `index` is a file that belongs to these looks at one attempt; it makes the next look cheaper.  Each
    command may take so many `seconds`.
    """
    git = _git(repo, worktree, index, objects)
    if git is None:
        return None
    listed = git("ls-files", "-z", "-m", "-o", "--exclude-standard", check=False, timeout=seconds)
    names = [name for name in dict.fromkeys(listed.out.split(b"\0")) if _counts(worktree, name)]
    if listed.code or len(names) > _FILES:
        return None
    if names:
        options = ("--add", "--remove", "--replace", "-z", "--stdin")
        asked = b"\0".join(names) + b"\0"
        done = git("update-index", *options, stdin=asked, check=False, timeout=seconds)
        if done.code:  # a file that vanished or changed just then: another time
            return None
    done = git("write-tree", check=False, timeout=seconds)
    tree = done.text.strip()
    if done.code or tree == repo.tree_of(base):
        return None
    text = f"tree {tree}\nparent {base}\nauthor {_WHO}\ncommitter {_WHO}\n\nA glance\n"
    return write_loose(objects, "commit", text.encode())


def _git(repo: Repo, worktree: Path, index: Path, objects: Path) -> Git | None:
    try:
        admin = admin_of(repo, worktree)
    except MoError:
        return None
    if admin == repo.common_dir or os.path.lexists(admin / "config.worktree"):  # mo makes no such file
        return None
    if not index.exists():
        try:
            shutil.copy2(admin / "index", index)
        except FileNotFoundError:
            return None
    place = {"GIT_DIR": str(admin), "GIT_WORK_TREE": str(worktree), "GIT_INDEX_FILE": str(index)}
    env = {**place, "GIT_OPTIONAL_LOCKS": "0", **beside(repo, objects)}
    return Git(worktree, env=env, config=_CONFIG)


def _counts(worktree: Path, name: bytes) -> bool:
    """A file of reasonable size, a link, or one that is gone; nothing that could be a repository."""
    if not name or name.endswith(b"/"):
        return False
    try:
        seen = (worktree / os.fsdecode(name)).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return stat.S_ISLNK(seen.st_mode) or (stat.S_ISREG(seen.st_mode) and seen.st_size <= _FILE_BYTES)
