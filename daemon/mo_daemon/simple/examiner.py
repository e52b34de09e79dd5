"""Questions about contents, asked of processes that they may bring down (`checker`)."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mo_daemon.simple import checker
from mo_daemon.simple.syntax import Wrong
from mo_git.process import Coprocess

PATIENCE = 10  # seconds for one question
_LIFETIME = 5000  # questions, after which a new process takes over: memory is seldom given back


class TooHard(Exception):
    """A question that had no answer: it takes too much time, memory or stack."""


class Examiner:
    """A few checkers for any number of threads; `limit` are kept, `patience` is seconds for one question."""

    def __init__(self, limit: int = 2, *, patience: int = PATIENCE) -> None:
        self._limit = limit
        self._patience = patience
        self._lock = threading.Lock()
        self._free = threading.Semaphore(limit)
        self._idle: list[_Checker] = []
        self._closed = 0  # times

    def syntax(self, path: str, content: bytes) -> Wrong | None:
        """The first syntax error of a file; None where there is none, or its kind is unknown."""
        said = self._ask("syntax", path, content)
        return None if said is None else Wrong(int(said[0]), str(said[1]))

    def matching(self, patterns: Sequence[str], content: bytes) -> list[int]:
        """Positions of the patterns that match somewhere in a text."""
        return [int(n) for n in self._ask("search", list(patterns), content)]

    def close(self) -> None:
        """End all, those that are being asked after their answer; a later question starts new ones."""
        with self._lock:
            self._closed += 1
            idle, self._idle = self._idle, []
        for one in idle:
            one.end()

    def _ask(self, kind: str, about: Any, content: bytes) -> Any:
        question = checker.question(kind, about, content, self._patience)
        with self._free:
            one, began = self._take(), time.monotonic()
            try:
                return self._ask_one(one, question)
            except TooHard:
                if not one.answered or time.monotonic() - began >= self._patience:
                    raise
            return self._ask_one(_Checker(self._closed), question)  # it may have been the questions before

    def _ask_one(self, one: _Checker, question: bytes) -> Any:
        said = None
        try:
            said = one.ask(question, self._patience + 5)
        finally:
            self._give_back(one, said is not None)
        return said[0]

    def _take(self) -> _Checker:
        with self._lock:
            return self._idle.pop() if self._idle else _Checker(self._closed)

    def _give_back(self, one: _Checker, good: bool) -> None:
        with self._lock:
            keep = good and one.answered < _LIFETIME and one.epoch == self._closed
            if keep:
                self._idle.append(one)
        if not keep:
            one.end()


class _Checker:
    """One running checker."""

    def __init__(self, epoch: int) -> None:
        argv = (sys.executable, "-P", "-W", "ignore", "-m", checker.MODULE)
        self.epoch = epoch
        self.answered = 0
        self._process = Coprocess(argv, cwd=Path("/"), env=os.environ)

    def ask(self, question: bytes, seconds: float) -> tuple[Any]:
        """The answer; TooHard where none comes."""
        said = b""
        try:
            self._process.write(question)
            while not said.endswith(b"\n"):
                part = self._process.read(seconds)
                if not part:
                    raise TooHard
                said += part
        except OSError:
            raise TooHard from None
        self.answered += 1
        return (json.loads(said),)

    def end(self) -> None:
        self._process.end(0.1)
