"""A list of mounts in the order in which bwrap makes them; later ones lie over earlier ones."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

NOTHING = "/dev/null"


class Mounts:
    """Grows from the outside in.  Paths have to be free of links, else the wrong file would be covered.

    `shows` tells what a path means so far.  Empty directories that are not asked to be writable become
    read-only with `sealed`, since a write that succeeds and vanishes misleads.
    """

    def __init__(self, options: Collection[str]) -> None:
        self._options = options
        self._args: list[str] = []
        self._made: list[tuple[Path, bool]] = []
        self._empty: list[str] = []

    def read(self, path: Path, source: Path | None = None) -> None:
        """The path as it is outside, or another source in its place, read-only."""
        self._args += ["--ro-bind", str(source or path), str(path)]
        self._made.append((path, source in (None, path)))

    def write(self, path: Path, source: Path | None = None) -> None:
        self._args += ["--bind", str(source or path), str(path)]
        self._made.append((path, True))

    def link(self, path: Path, target: str) -> None:
        self._args += ["--symlink", target, str(path)]
        self._made.append((path, True))

    def empty(self, path: Path) -> None:
        """An empty directory in place of what is there."""
        self._args += ["--tmpfs", str(path)]
        self._made.append((path, False))
        self._empty.append(str(path))

    def bare(self) -> None:
        """Nothing at all: bwrap's own empty root."""
        self._made.append((Path("/"), False))
        self._empty.append("/")

    def scratch(self, path: Path, megabytes: int) -> None:
        """An empty directory to write to, in memory."""
        if "--size" in self._options:
            self._args += ["--size", str(megabytes * 2**20)]
        if "--perms" in self._options:
            self._args += ["--perms", "1777"]
        self._args += ["--tmpfs", str(path)]
        self._made.append((path, False))

    def hide(self, path: Path) -> None:
        """Show an empty directory or an empty file there, if anything is shown at all."""
        if not self.shows(path):
            return
        if path.is_dir():
            self.empty(path)
        elif path.exists():
            self._args += ["--ro-bind", NOTHING, str(path)]
            self._made.append((path, False))

    def raw(self, *args: str) -> None:
        """Options that are not about a path of the machine."""
        self._args += args

    def shows(self, path: Path) -> bool:
        """Whether the path means the machine's own file."""
        for place, shown in reversed(self._made):
            if path == place or place in path.parents:
                return shown
        return False

    def sealed(self) -> tuple[str, ...]:
        """All arguments."""
        return (*self._args, *(arg for path in self._empty for arg in ("--remount-ro", path)))


def real(path: Path | str) -> Path:
    return Path(os.path.realpath(path))


def contains(outer: Path, inner: Path) -> bool:
    return outer == inner or outer in inner.parents
