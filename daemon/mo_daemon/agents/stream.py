"""Reading what a program prints: lines of bounded length, JSON objects of any shape, tolerantly.

Nothing here raises for what a program printed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Object = Mapping[str, Any]
LINE_LIMIT = 8 * 1024 * 1024


class LineSplitter:
    """Cuts a stream of bytes into lines without their ends; a line keeps its first `limit` bytes."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completed."""
        *ended, rest = chunk.split(b"\n")
        lines = []
        for piece in ended:
            self._keep(piece)
            lines.append(self._take())
        self._keep(rest)
        return lines

    def rest(self) -> list[bytes]:
        """At the end of the stream: the last line, where it has no end."""
        return [self._take()] if self._size else []

    def _keep(self, piece: bytes) -> None:
        room = self._limit - self._size
        if room > 0 and piece:
            self._parts.append(piece[:room])
            self._size += min(len(piece), room)

    def _take(self) -> bytes:
        line = b"".join(self._parts)
        self._parts, self._size = [], 0
        return line.removesuffix(b"\r")


def parse(line: bytes) -> Mapping[str, Any] | None:
    """The JSON object on a line; None for anything else (text, other JSON, a line over the limit)."""
    if len(line) > LINE_LIMIT or line.lstrip()[:1] != b"{":
        return None
    try:
        value = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def number(value: Any) -> float:
    """A finite number that is not negative; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    try:
        found = float(value)
    except OverflowError:
        return 0.0
    return found if math.isfinite(found) and found > 0 else 0.0


def tokens(value: Any) -> int:
    return int(number(value))


def at(value: Any, path: str) -> Any:
    """The value at a dotted path, numbers index lists; None where the path leads nowhere."""
    for key in path.split("."):
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.removeprefix("-").isdigit():
            index = int(key)
            value = value[index] if -len(value) <= index < len(value) else None
        else:
            return None
    return value


def answer_in(said: str) -> Any:
    """The JSON object or list that a message consists of, alone or as its only fenced block; else None."""
    body = said.strip()
    if body.startswith("```") and body.endswith("```") and body.count("```") == 2:
        body = body.removesuffix("```").partition("\n")[2].strip()
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def inside(path: str, worktree: Path) -> str:
    """A path as people know it: relative to the worktree where it lies in it."""
    try:
        return str(Path(path).relative_to(worktree))
    except ValueError:
        return path
