"""What this process itself does to refs, noted before it is done: anything else that moves was somebody else.

A move counts as long as a look at the refs may have missed it: from before it is tried until a look that
began after its end is over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Move:
    """A ref and the value that it is given, None where it is removed."""

    name: str
    new: str | None
    over: bool = False


class Moves:
    """Moves of refs since they were last looked at; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._moves: list[Move] = []

    def note(self, name: str, new: str | None, move: Callable[[], bool]) -> bool:
        """Carry out a move, which says whether it took place."""
        noted = Move(name, new)
        with self._lock:
            self._moves.append(noted)
        try:
            noted.over = move()
        finally:
            if not noted.over:
                self.forget([noted])
        return noted.over

    def over(self) -> list[Move]:
        """Moves that a look which begins now will see."""
        with self._lock:
            return [move for move in self._moves if move.over]

    def values(self) -> Mapping[str, tuple[str | None, ...]]:
        """Ref -> the values that it was given, or is being given just now, oldest first."""
        found: dict[str, tuple[str | None, ...]] = {}
        with self._lock:
            for move in self._moves:
                found[move.name] = (*found.get(move.name, ()), move.new)
        return found

    def forget(self, moves: Collection[Move]) -> None:
        with self._lock:
            self._moves = [move for move in self._moves if move not in moves]
