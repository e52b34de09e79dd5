"""Where a program's output goes: a pipe that the event loop reads, into a file of limited size."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # see process: verbs that only start something need not wait for this import
    import asyncio

LOG_LIMIT = 32 * 1024 * 1024
TAIL_LIMIT = 256 * 1024


class Sink:
    """One output stream of a child: written to a file up to a limit, the last part kept in memory.

    A child may print without end; the file keeps the first `limit` bytes and, on closing, the tail.
    """

    def __init__(
        self, path: Path, limit: int = LOG_LIMIT, on_bytes: Callable[[bytes], None] | None = None
    ) -> None:
        import asyncio

        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.total = 0
        self._limit = limit
        self._on_bytes = on_bytes
        self._file = path.open("ab", buffering=0)
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._reader: int | None = None
        self._closed = asyncio.Event()

    def attach(self, loop: asyncio.AbstractEventLoop) -> int:
        """Make the pipe, watch its reading end, return its writing end for the child."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        self._reader = reader
        loop.add_reader(reader, self._readable, loop)
        return writer

    def _readable(self, loop: asyncio.AbstractEventLoop) -> None:
        assert self._reader is not None
        try:
            chunk = os.read(self._reader, 65536)
        except BlockingIOError:
            return
        if chunk:
            self.feed(chunk)
        else:
            self._detach(loop)

    def feed(self, chunk: bytes) -> None:
        room = self._limit - self.total
        self.total += len(chunk)
        if room > 0:
            with contextlib.suppress(OSError):  # a full disk must not end the child or the daemon
                self._file.write(chunk[:room])
        if len(chunk) > room:
            self._keep_tail(chunk[max(room, 0) :])
        if self._on_bytes:
            self._on_bytes(chunk)

    def _keep_tail(self, chunk: bytes) -> None:
        self._tail.append(chunk)
        self._tail_size += len(chunk)
        while self._tail_size - len(self._tail[0]) > TAIL_LIMIT:
            self._tail_size -= len(self._tail.popleft())

    def _detach(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._reader is not None:
            loop.remove_reader(self._reader)
            os.close(self._reader)
            self._reader = None
        self._closed.set()

    async def drained(self, deadline: float) -> None:
        """Wait for the end of the stream; a surviving grandchild may hold it open, hence the deadline."""
        import asyncio

        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), deadline)
        self._detach(asyncio.get_running_loop())
        if self._tail:
            left_out = self.total - self._limit - self._tail_size
            with contextlib.suppress(OSError):
                self._file.write(f"\n[... {left_out} bytes left out ...]\n".encode())
                self._file.write(b"".join(self._tail))
        self._file.close()
