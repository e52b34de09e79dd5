"""`git merge-tree --stdin` kept running: a merge is a question to it instead of a process of its own.

What an answer depends on besides the two commits is read once when git starts: attributes come from its
current directory, settings and drivers from the repository's files.  So each of these has a process of its
own (`key`), and a change of any of them a new one.  Before git 2.50 an answer may stay in git's own buffer,
so it runs under stdbuf(1); one trivial question finds out once whether answers come.

Every doubt ends a process and leaves that merge to the caller: this is only ever faster.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass, field

from mo_git.git.binary import Git
from mo_git.process import Coprocess

_TREE = re.compile(rb"[0-9a-f]{40}")
_ODD_IN_A_ROW = 3  # then nothing is asked any more: something here prints into the answers


@dataclass(frozen=True, slots=True)
class Answer:
    """What merge-tree says: `fields` are the NUL-ended ones after the status."""

    clean: bool
    tree: str
    conflicts: tuple[bytes, ...]
    messages: tuple[bytes, ...]


class Odd(Exception):
    """No answer, or not one that git gives."""


class Streams:
    """A few running merge-trees, for any number of threads; each answers one of them at a time.

    `limit` is how many run at once, `patience` the seconds that an answer may take (a driver that hangs),
    `lifetime` after how many answers a new one takes over, since git frees little of what it read.
    """

    def __init__(self, limit: int = 3, *, patience: float = 30.0, lifetime: int = 2000) -> None:
        self._limit = limit
        self._patience = patience
        self._lifetime = lifetime
        self._lock = threading.Lock()
        self._idle: list[_Stream] = []  # the one that was used last at the end
        self._busy = 0
        self._closed = 0  # times
        self._odd = 0
        self._answers: bool | None = None  # whether answers come one by one; None: not tried yet

    def ask(self, git: Git, key: Hashable, ours: str, theirs: str) -> Answer | None:
        """Merge two commits; None: it has to be done by a process of its own.

        `git` starts a merge-tree that fits `key`.
        """
        stream = self._take(git, key)
        if stream is None:
            return None
        good = False
        try:
            if self._answers is None:
                self._probe(stream, ours)
            answer = stream.ask(ours, theirs, self._patience) if self._answers else None
            good = answer is not None
            self._odd = 0
        except (Odd, OSError):
            self._odd += 1
            return None
        finally:
            self._give_back(stream, good)
        return answer

    def _probe(self, stream: _Stream, commit: str) -> None:
        """Ask what needs no work: a git that keeps its answers for itself is told by its silence."""
        try:
            stream.ask(commit, commit, 2.0)
        except (Odd, OSError):
            self._answers = False
        else:
            self._answers = True

    def _take(self, git: Git, key: Hashable) -> _Stream | None:
        ended: list[_Stream] = []
        with self._lock:
            if self._answers is False or self._odd >= _ODD_IN_A_ROW:
                return None
            fitting = [stream for stream in self._idle if stream.key == key]
            if not fitting and self._busy >= self._limit:
                return None
            if fitting:
                self._idle.remove(fitting[-1])
            while len(self._idle) + self._busy >= self._limit:
                ended.append(self._idle.pop(0))
            self._busy += 1
        for stream in ended:
            stream.end()
        if fitting:
            return fitting[-1]
        try:
            return _Stream(git, key, self._closed)
        except OSError:
            with self._lock:
                self._busy -= 1
            return None

    def _give_back(self, stream: _Stream, good: bool) -> None:
        with self._lock:
            keep = good and stream.answered < self._lifetime and stream.epoch == self._closed
            self._busy -= 1
            if keep:
                self._idle.append(stream)
        if not keep:
            stream.end()

    def close(self) -> None:
        """End all, those that are being asked after their answer; a later question starts new ones."""
        with self._lock:
            self._closed += 1
            idle, self._idle = self._idle, []
        for stream in idle:
            stream.end()


class _Stream:
    """One running merge-tree."""

    def __init__(self, git: Git, key: Hashable, epoch: int) -> None:
        stdbuf = shutil.which("stdbuf")
        # A merge driver gets stdbuf's environment too; it prints unbuffered, nothing else.
        through = (stdbuf, "-o0") if stdbuf else ()
        options = ("--write-tree", "--messages", "--name-only", "-z", "--stdin")
        self.key = key
        self.epoch = epoch
        self.answered = 0
        self._git: Coprocess = git.converse("merge-tree", *options, through=through)
        self._reading = _Reading()

    def ask(self, ours: str, theirs: str, patience: float) -> Answer:
        self._git.write(f"{ours} {theirs}\n".encode())
        until = time.monotonic() + patience
        while (answer := self._reading.answer()) is None:
            data = self._git.read(max(0.0, until - time.monotonic()))
            if not data:
                raise Odd("nothing more came")
            self._reading.add(data)
        self.answered += 1
        return answer

    def end(self) -> None:
        self._git.end()


@dataclass(slots=True)
class _Reading:
    """The answer that comes in, in parts of any size: git-merge-tree(1), "OUTPUT", with -z and --stdin.

    status NUL tree NUL, conflicted files, NUL, messages (number of paths, the paths, kind, text), NUL; each
    item of the lists ends in a NUL.
    """

    _fields: list[bytes] = field(default_factory=list)
    _rest: bytes = b""

    def add(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\0")
        self._fields += whole

    def answer(self) -> Answer | None:
        """The whole answer, None while something is missing; Odd where it is none, or too much."""
        fields = self._fields
        if self._rest or not fields or fields[-1]:
            return None  # it ends in an empty field: no need to look at each part of a long one
        if fields and fields[0] not in (b"0", b"1"):
            raise Odd(repr(fields[0][:80]))
        if len(fields) > 1 and not _TREE.fullmatch(fields[1]):
            raise Odd(repr(fields[1][:80]))
        if b"" not in fields[2:]:
            return None
        end = fields.index(b"", 2)
        messages, at = [], end + 1
        while at < len(fields) and fields[at]:
            if not fields[at].isdigit():
                raise Odd(repr(fields[at][:80]))
            at += int(fields[at]) + 3
            messages.append(fields[at - 1] if at <= len(fields) else b"")
        if at >= len(fields):
            return None
        if at + 1 < len(fields):
            raise Odd("more than an answer")
        answer = Answer(fields[0] == b"1", fields[1].decode(), tuple(fields[2:end]), tuple(messages))
        self._fields = []
        return answer
