"""Running the commands of metrics where a gate has just run, and reading their numbers."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from mo_daemon.metrics import Metric, read_number
from mo_daemon.runners import argv_of
from mo_git.model import Command

_KEPT = 4096  # bytes of output in which the last line has to be


class Listener(Protocol):
    """Hears what a program prints."""

    def feed(self, chunk: bytes) -> None: ...


class Start(Protocol):
    """Runs a program to its end: (exit code, timed out).  The listener does not hear errors."""

    def __call__(
        self, argv: tuple[str, ...], shown: Command, listener: Listener, /
    ) -> Awaitable[tuple[int, bool]]: ...


class Unmeasured(Exception):
    """A metric's command gave no number."""


class _End:
    """Keeps the end of what a program prints, without the line before it that names the command."""

    def __init__(self) -> None:
        self._kept: bytes | None = None

    def feed(self, chunk: bytes) -> None:
        self._kept = b"" if self._kept is None else (self._kept + chunk)[-_KEPT:]

    def text(self) -> str:
        return (self._kept or b"").decode("utf-8", "replace")


async def measure(start: Start, metrics: Sequence[Metric]) -> dict[str, float]:
    """The values of metrics, one command after another; Unmeasured names the one without a value."""
    found = {}
    for metric in metrics:
        end = _End()
        code, timed_out = await start(argv_of(metric.command), metric.command, end)
        number = read_number(end.text())
        if timed_out or code or number is None:
            how = f"ended with exit code {code}" if code else "printed no number on its last line"
            how = "did not end in time" if timed_out else how
            raise Unmeasured(f"metric {metric.name}: `{metric.command}` {how}")
        found[metric.name] = number
    return found
