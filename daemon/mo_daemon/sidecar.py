"""What a worktree slot remembers of its set-up, in `<worktree>.setup.json` beside the directory.

Beside it, not in it: a recycle empties the directory, and agents never write there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mo_daemon import copying
from mo_git import process


@dataclass(frozen=True, slots=True)
class Record:
    """A finished set-up: its key, the entries that it made, and what they amounted to.

    `boot`, `files` and `size` (bytes) tell whether the entries survived a crash of the machine: data of
    files written shortly before one can be missing although their names are there.
    """

    key: str
    entries: tuple[str, ...]
    boot: str
    files: int
    size: int


def path_of(worktree: Path) -> Path:
    return worktree.with_name(worktree.name + ".setup.json")


def record(key: str, root: Path, entries: Sequence[str]) -> Record:
    """A record of these entries below `root` as they are now."""
    return Record(key, tuple(entries), process.boot_id(), *measure(root, entries))


def write(file: Path, value: Record) -> None:
    """Replace a record atomically."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(file.name + ".new")
    fresh.write_text(json.dumps(asdict(value)))
    fresh.replace(file)


def read(file: Path) -> Record | None:
    """The record in a file; None where there is none that can be read."""
    try:
        value = json.loads(file.read_text())
        return Record(value["key"], tuple(value["entries"]), value["boot"], value["files"], value["size"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def kept(worktree: Path) -> tuple[str, ...]:
    """The entries of a worktree that a recycle keeps: paths from its root without a slash at either end."""
    found = read(path_of(worktree))
    return found.entries if found else ()


def clean_patterns(worktree: Path) -> tuple[str, ...]:
    """What to exclude when a recycled slot is cleaned: the kept entries as gitignore patterns of its root."""
    return tuple("/" + re.sub(r"([\\*?\[])", r"\\\1", entry) for entry in kept(worktree))


def holds(value: Record | None, key: str, root: Path) -> bool:
    """Whether a record is of this key and its entries are still there, whole after a reboot."""
    if value is None or value.key != key:
        return False
    if not all(os.path.lexists(root / entry) for entry in value.entries):
        return False
    return value.boot == process.boot_id() or (value.files, value.size) == measure(root, value.entries)


def measure(root: Path, entries: Sequence[str]) -> tuple[int, int]:
    """Number and total size in bytes of the regular files of some entries."""
    files = size = 0
    for name in entries:
        path = root / name
        if path.is_symlink() or not path.is_dir():
            sizes = [path.lstat().st_size]
        else:
            inner = copying.entries(path)
            sizes = [
                one.stat(follow_symlinks=False).st_size for one in inner if one.is_file(follow_symlinks=False)
            ]
        files += len(sizes)
        size += sum(sizes)
    return files, size
