"""The file in which the items of a job go from the command line to the daemon.

A line is `{"item": {...}, "bucket": ..., "turn": ..., "after": [...]}`, where `item` is as `item_to_data`
gives it, `turn` is the item's number within its bucket, and `after` are the numbers of the items before it
that share a target with it.  An item's number is that of its line, from 1.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mo_git.errors import Exit, MoError
from mo_git.simple.item import Item, item_from_data, item_to_data

Placed = tuple[Item, str, int, tuple[int, ...]]  # item, bucket, turn, after


def write_items_file(path: Path, items: Iterable[Placed]) -> int:
    """Write the items, and wait for the disk; how many.  The file is there only when all of it is.

    MoError (failed) where the disk refuses.
    """
    draft = path.with_name(f".{path.name}.new")
    number = 0
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            for item, bucket, turn, after in items:
                number += 1
                line = {"item": item_to_data(item), "bucket": bucket, "turn": turn, "after": after}
                file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise MoError(
            f"cannot write {path}: {error.strerror}",
            "check the disk's free space and permissions",
            Exit.FAILED,
        ) from None
    return number


def read_items_file(path: Path) -> Iterator[Placed]:
    """The items in their order; MoError (config) for a file that is gone or is none of these."""
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                data = json.loads(line)
                yield item_from_data(data["item"]), data["bucket"], data["turn"], tuple(data["after"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MoError(
            f"cannot read the items of the job in {path}: {error}",
            "queue the manifest again: mo simple run --manifest FILE",
            Exit.CONFIG,
        ) from None
