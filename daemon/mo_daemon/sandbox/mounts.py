"""A list of mounts in the order in which bwrap makes them; later ones lie over earlier ones."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

NOTHING = Path("/dev/null")
_SHOWN, _HIDDEN, _SCRATCH = "shown", "hidden", "scratch"


class Mounts:
    """Grows from the outside in.  Paths have to be free of links, else the wrong file would be covered.

    `shows` and `hides` tell what a path means so far.  Empty directories that are not asked to be writable
    become read-only with `sealed`, since a write that succeeds and vanishes misleads.
    """

    def __init__(self, options: Collection[str]) -> None:
        self._options = options
        self._args: list[str] = []
        self._made: list[tuple[Path, str]] = []
        self._empty: list[str] = []

    def read(self, path: Path, source: Path | None = None) -> None:
        """The path as it is outside, or another source in its place, read-only."""
        self._args += ["--ro-bind", str(source or path), str(path)]
        self._made.append((path, _SHOWN if source in (None, path) else _HIDDEN))

    def write(self, path: Path) -> None:
        """The path as it is outside, to write to."""
        self._args += ["--bind", str(path), str(path)]
        self._made.append((path, _SHOWN))

    def link(self, path: Path, target: str) -> None:
        self._args += ["--symlink", target, str(path)]
        self._made.append((path, _SHOWN))

    def empty(self, path: Path) -> None:
        """An empty directory in place of what is there."""
        self._args += ["--tmpfs", str(path)]
        self._made.append((path, _HIDDEN))
        self._empty.append(str(path))

    def bare(self) -> None:
        """Nothing at all: bwrap's own empty root."""
        self._made.append((Path("/"), _HIDDEN))
        self._empty.append("/")

    def scratch(self, path: Path, megabytes: int) -> None:
        """An empty directory to write to, in memory."""
        if "--size" in self._options:
            self._args += ["--size", str(megabytes * 2**20)]
        if "--perms" in self._options:
            self._args += ["--perms", "1777"]
        self._args += ["--tmpfs", str(path)]
        self._made.append((path, _SCRATCH))

    def hide(self, path: Path) -> None:
        """An empty directory or an empty file in place of what is shown there, if anything is."""
        if self.shows(path) and is_dir(path):
            self.empty(path)
        elif self.shows(path) and exists(path):
            self.read(path, NOTHING)

    def raw(self, *args: str) -> None:
        """Options that are not about a path of the machine."""
        self._args += args

    def shows(self, path: Path) -> bool:
        """Whether the path means the machine's own file."""
        return self._kind(path) == _SHOWN

    def hides(self, path: Path) -> bool:
        """Whether nothing is there, and nothing can be made there."""
        return self._kind(path) == _HIDDEN

    def _kind(self, path: Path) -> str:
        made = ((place, kind) for place, kind in reversed(self._made) if contains(place, path))
        return next((kind for _, kind in made), _HIDDEN)

    def sealed(self) -> tuple[str, ...]:
        """All arguments."""
        return (*self._args, *(arg for path in self._empty for arg in ("--remount-ro", path)))


def real(path: Path | str) -> Path:
    return Path(os.path.realpath(path))


def contains(outer: Path, inner: Path) -> bool:
    """Whether a path is another one or lies below it (by their text: this is asked thousands of times)."""
    above, below = str(outer), str(inner)
    return below == above or below.startswith(above if above == "/" else f"{above}/")


# Unlike pathlib's, these say no where a directory on the way must not be entered.


def exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110


def is_dir(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113
