"""Files in directories that agents can write to: nothing there is trusted to be what its name says."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path


def place(directory: Path, name: str, content: str) -> Path:
    """Write a new file, whatever stood at its name: a link there must not lead the writer elsewhere."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with os.fdopen(fd, "wb") as file:
        file.write(content.encode("utf-8", "surrogateescape"))
    return path


def tail(path: Path, limit: int) -> bytes:
    """The last bytes of a regular file; nothing of anything else (a pipe would block the reader)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return b""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        return b""
    with os.fdopen(fd, "rb") as file:
        file.seek(max(0, status.st_size - limit))
        return file.read(limit)
