"""Copies of whole directories between a checkout, its worktrees and the set-up cache.

Blocks are shared where the file system can (reflinks); hard links never are, since an in-place write would
then reach every copy.  Symbolic links are copied as links and never followed.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mo_git import process
from mo_git.errors import MoError

_CP = ("cp", "-a", "--reflink=auto") if sys.platform == "linux" else ("cp", "-a")
_BATCH = 200  # arguments per call of cp, far below any limit on the command line
_OURS = frozenset({".git", ".mo"})


def ours(name: str) -> bool:
    """Whether an entry of this name belongs to git or mo and is never copied.

    Case is folded, as file systems that ignore case do.
    """
    return name.lower() in _OURS


def parent_is_real(top: Path, relative: str) -> bool:
    """Whether every directory between `top` and the entry is absent or a real directory inside `top`."""
    parent = top
    for part in Path(relative).parts[:-1]:
        parent = parent / part
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            return False
    return True


def copy_missing(source: Path, target: Path) -> list[Path]:
    """Copy what `source` has and `target` lacks; whatever exists in `target` stays as it is.

    Both name the entry itself.  Returns the topmost new entries.  Raises MoError where cp fails (a full
    disk, most often).
    """
    if not os.path.lexists(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy([source], target)
        return [target]
    if not (_is_real_directory(source) and _is_real_directory(target)):
        return []
    children = sorted(source.iterdir())
    missing = [child for child in children if not os.path.lexists(target / child.name)]
    for start in range(0, len(missing), _BATCH):
        _copy(missing[start : start + _BATCH], target)
    made = [target / child.name for child in missing]
    for child in children:
        if target / child.name not in made:
            made += copy_missing(child, target / child.name)
    return made


def _is_real_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _copy(sources: Sequence[Path], target: Path) -> None:
    done = process.run([*_CP, *map(str, sources), str(target)])
    if done.code:
        raise MoError(
            f"cannot copy into {target}: {done.error_text}", "look at the free disk space and the rights"
        )


def entries(root: Path) -> Iterator[os.DirEntry[str]]:
    """Every entry below a directory, parents first; links to directories are not entered."""
    stack = [str(root)]
    while stack:
        with os.scandir(stack.pop()) as listing:
            for entry in listing:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)


def remove(path: Path) -> None:
    """Delete a file, a link (not what it names) or a whole directory; a missing one is fine."""
    if _is_real_directory(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
