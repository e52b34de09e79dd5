"""Plain commands: the task's `run` argv, never a shell string.  Exit code 0 is a good ending."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from mo_daemon.agents.protocol import Event, Job, Launch, Outcome, Usage
from mo_git.model import FailureClass
from mo_git.process import Ending


class CommandAgent:
    name = "command"
    can_rework = False
    reads: frozenset[str] = frozenset()

    def launch(self, job: Job) -> Launch:
        return Launch(job.argv)

    def reader(self, job: Job) -> CommandReader:
        return CommandReader()


class CommandReader:
    """Remembers the last line that says something."""

    def __init__(self) -> None:
        self._last = ""

    def feed(self, line: bytes) -> Sequence[Event]:
        text = line.decode("utf-8", "replace").strip()
        self._last = text[:200] or self._last
        return ()

    def usage(self) -> Usage:
        return Usage()

    def outcome(self, ending: Ending, stderr: str, now: float) -> Outcome:
        said = f": {self._last}" if self._last else ""
        if ending.timed_out:
            return Outcome(FailureClass.TIMEOUT, f"timed out after {ending.seconds:.0f} s{said}")
        if ending.code < 0:
            return Outcome(FailureClass.CRASH, f"killed by {signal.Signals(-ending.code).name}{said}")
        if ending.code:
            return Outcome(FailureClass.CRASH, f"exit code {ending.code}{said}")
        return Outcome(None, summary=self._last)
