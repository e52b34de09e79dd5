"""Small file operations that have to survive a kill, and deletion of trees that agents made."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

TRASH = ".mo-trash-"


def write_durably(path: Path, content: str | bytes) -> None:
    """Write a new small file and wait for the disk."""
    with path.open("wb") as file:
        file.write(os.fsencode(content))
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old text or the new, also after a power loss."""
    draft = path.with_name(f"{path.name}.mo-new")
    write_durably(draft, text)
    draft.replace(path)


def replace_durably(path: Path, text: str) -> None:
    """As `replace`, and it is the new text from now on."""
    replace(path, text)
    sync_directory(path.parent)


def write_loose(objects: Path, kind: str, data: bytes) -> str:
    """Write one object into a git object directory, without waiting for the disk; its id.

    libgit2 waits for the disk with every object or with none of the process.  Format: gitformat-loose(5).
    """
    content = f"{kind} {len(data)}\0".encode() + data
    oid = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    place = objects / oid[:2] / oid[2:]
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix="tmp_obj_", dir=place.parent, delete=False) as draft:
            draft.write(zlib.compress(content, 1))
            os.fchmod(draft.fileno(), 0o444)
        Path(draft.name).rename(place)
    return oid


def sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_discarding = threading.Lock()  # else one thread clears the trash that another just made for its tree


def discard(path: Path) -> None:
    """Delete a directory tree: out of sight by one rename, then gone.

    Trash that an earlier, killed call left beside it goes too.
    """
    with _discarding:
        if os.path.lexists(path):
            trash = Path(tempfile.mkdtemp(prefix=TRASH, dir=path.parent))
            path.rename(trash / "tree")
        for left in path.parent.glob(f"{TRASH}*"):
            delete_tree(left)


def delete_tree(path: Path) -> None:
    """rm -rf without following links, also through directories without write permission."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        pass
    except OSError:
        make_writable(path)
        shutil.rmtree(path, ignore_errors=True)


def make_writable(path: Path) -> None:
    """Give the owner all rights on every directory of a tree (package caches are often read-only)."""
    for directory in _directories(path):
        with contextlib.suppress(OSError):
            mode = directory.lstat().st_mode
            if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
                directory.chmod(stat.S_IMODE(mode) | stat.S_IRWXU)


def _directories(path: Path) -> Iterator[Path]:
    """The directories of a tree, parents first; each is yielded before it is read."""
    stack = [path]
    while stack:
        directory = stack.pop()
        yield directory
        with contextlib.suppress(OSError), os.scandir(directory) as entries:
            stack += [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
