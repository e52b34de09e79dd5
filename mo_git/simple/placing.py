"""Where items stand among each other: buckets that take turns, and items that share a target.  Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from mo_git.simple.item import Item
from mo_git.simple.items_file import Placed

# So many of the items before it on the very same path does an item come after.  Each of them comes after
# those before itself, so that more of them would only make the records of a long row quadratic.
NEAREST = 16


def place(items: Iterable[Item], strategy: str) -> Iterator[Placed]:
    """Each item with its bucket, its number within that, and the earlier items that share a target.

    `strategy` (dir, extension or none) makes buckets of items that name none.  A directory shares a target
    with whatever is below it.
    """
    turns: dict[str, int] = defaultdict(int)
    sharing = Sharing()
    for n, item in enumerate(items, 1):
        bucket = item.bucket or bucket_of(item.targets[0] if item.targets else "", strategy)
        turn = turns[bucket]
        turns[bucket] = turn + 1
        yield item, bucket, turn, sharing.add(n, item.targets)


def bucket_of(target: str, strategy: str) -> str:
    """`src/a.py` -> `src` (dir), `.py` (extension) or an empty text (none)."""
    if strategy == "none":
        return ""
    directory, _, name = target.rpartition("/")
    if strategy == "dir":
        return directory or "."
    stem, dot, ending = name.rpartition(".")
    return f".{ending}" if stem and dot else "(none)"


class Sharing:
    """Which earlier items an item has to come after, since they share a target."""

    def __init__(self) -> None:
        self._at: dict[str, list[int]] = {}
        self._below: dict[str, list[int]] = defaultdict(list)  # since the last item on the directory itself

    def add(self, n: int, targets: Iterable[str]) -> tuple[int, ...]:
        """The numbers of earlier items, in order, that item `n` comes after."""
        earlier: set[int] = set()
        for target in targets:
            parents = list(_parents(target))
            for path in (target, *parents):
                earlier.update(self._at.get(path, ())[-NEAREST:])
            earlier.update(self._below.pop(target, ()))
            self._at.setdefault(target, []).append(n)
            for parent in parents:
                self._below[parent].append(n)
        earlier.discard(n)
        return tuple(sorted(earlier))


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
