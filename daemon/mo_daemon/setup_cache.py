"""What set-up made, kept under its fingerprint and cloned into other worktrees where that is safe.

It is safe when nothing in it names the worktree that it was made in: a virtual environment holds absolute
paths and belongs to its slot, a `node_modules` mostly does not.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from mo_daemon import copying, sidecar
from mo_git import process
from mo_git.errors import MoError

MAX_FILES = 400_000  # beyond these bounds the outputs count as belonging to their slot
MAX_BYTES = 2 * 1024**3
_CHUNK = 4 * 1024**2
_unique = itertools.count()
_KEEP = 3  # cached set-ups that stay; each may be as large as a worktree


def relocatable(
    root: Path,
    entries: Sequence[str],
    needles: Sequence[bytes],
    *,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
) -> bool:
    """Whether no file content and no link target below the entries contains one of the needles.

    False as well where there is more than the bounds allow to search, or something that can't be read.
    """
    files = size = 0
    try:
        for path in _leaves(root, entries):
            status = path.lstat()
            files += 1
            size += status.st_size
            if files > max_files or size > max_bytes or _names(path, status.st_mode, needles):
                return False
    except OSError:
        return False
    return True


def _leaves(root: Path, entries: Sequence[str]) -> Iterator[Path]:
    """Everything below the entries that is not a directory; links to directories are such leaves."""
    for name in entries:
        path = root / name
        if path.is_symlink() or not path.is_dir():
            yield path
        else:
            inner = copying.entries(path)
            yield from (Path(one.path) for one in inner if not one.is_dir(follow_symlinks=False))


def _names(path: Path, mode: int, needles: Sequence[bytes]) -> bool:
    if stat.S_ISLNK(mode):
        target = os.fsencode(os.readlink(path))
        return any(needle in target for needle in needles)
    if not stat.S_ISREG(mode):
        return True  # a socket or a pipe belongs to whoever made it
    overlap = max(map(len, needles)) - 1
    rest = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            window = rest + chunk
            if any(needle in window for needle in needles):
                return True
            rest = window[-overlap:] if overlap else b""
    return False


class SetupCache:
    """Stored set-ups: `<directory>/<key>/tree/...` with their record in `<directory>/<key>/record.json`.

    A key whose outputs belong to their slot is remembered as a file `<directory>/<key>.slot`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def belongs_to_slot(self, key: str) -> bool:
        return (self._directory / f"{key}.slot").exists()

    def mark_slot(self, key: str) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / f"{key}.slot").touch()

    def store(self, key: str, root: Path, entries: Sequence[str]) -> None:
        """Copy the entries below `root` into the cache; whole or not at all."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._sweep()
        fresh = self._unnamed(key)
        try:
            for entry in entries:
                copying.copy_missing(root / entry, fresh / "tree" / entry)
            sidecar.write(fresh / "record.json", sidecar.record(key, fresh / "tree", entries))
            if (self._directory / key).exists():
                self._drop(self._directory / key)
            fresh.rename(self._directory / key)
        finally:
            copying.remove(fresh)
        self._drop_old()

    def clone(self, key: str, worktree: Path) -> tuple[str, ...] | None:
        """Copy a stored set-up into a worktree; its entries, or None where there is no whole one.

        Nothing that exists in the worktree is overwritten.
        """
        stored = self._directory / key
        found = sidecar.read(stored / "record.json")
        if found is None or not sidecar.holds(found, key, stored / "tree"):
            return None
        made: list[Path] = []
        try:
            os.utime(stored)
            for entry in found.entries:
                if not copying.parent_is_real(worktree, entry):
                    continue
                if not os.path.lexists(worktree / entry):
                    made.append(worktree / entry)
                copying.copy_missing(stored / "tree" / entry, worktree / entry)
        except (MoError, OSError):  # dropped meanwhile, or a full disk: set-up itself says which
            for path in made:
                copying.remove(path)
            return None
        return found.entries

    def _drop_old(self) -> None:
        stored = [path for path in self._directory.iterdir() if path.is_dir() and path.name[0] != "."]
        for path in sorted(stored, key=lambda path: path.stat().st_mtime)[:-_KEEP]:
            self._drop(path)

    def _drop(self, path: Path) -> None:
        """Out of the readers' way first: half a directory is never found under its name."""
        doomed = self._unnamed(path.name + "-dropped")
        path.rename(doomed)
        copying.remove(doomed)

    def _unnamed(self, name: str) -> Path:
        """A place that readers don't look at, of this process."""
        return self._directory / f".{name}.{next(_unique)}.{os.getpid()}"

    def _sweep(self) -> None:
        """Delete what killed processes left unfinished."""
        for path in self._directory.glob(".*"):
            pid = path.name.rpartition(".")[2]
            if pid.isdigit() and process.identify(int(pid)) is None:
                copying.remove(path)
