"""What endings of all agent programs have in common: signals, HTTP status codes, texts for people."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mo_daemon.agents.protocol import Event, EventKind, Outcome, Usage
from mo_git.model import FailureClass
from mo_git.process import Ending
from mo_git.text import duration, one_line

REASON_LIMIT = 300
SUMMARY_LIMIT = 16 * 1024

_BY_STATUS: Mapping[int, FailureClass] = {
    401: FailureClass.AUTH,
    402: FailureClass.NO_CREDIT,
    403: FailureClass.AUTH,
    408: FailureClass.NETWORK,
    413: FailureClass.CONTEXT_OVERFLOW,
    429: FailureClass.RATE_LIMIT,
    503: FailureClass.OVERLOADED,
    529: FailureClass.OVERLOADED,
}


def by_status(status: int) -> FailureClass | None:
    """The class that an HTTP status alone stands for; None where it needs a look at the text."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return FailureClass.PROVIDER_DOWN if 500 <= status < 600 else None


def killed_by(code: int) -> str:
    """The name of the signal that ended a program: by itself, or told by its exit code (128 + number)."""
    number = -code if code < 0 else code - 128
    try:
        return signal.Signals(number).name if code < 0 or code > 128 else ""
    except ValueError:
        return f"signal {number}" if code < 0 else ""


def last_line(stderr: str) -> str:
    """The last line that says something."""
    return next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), "")


def without_verdict(ending: Ending, said: str) -> tuple[FailureClass, str]:
    """Class and reason of a run that ended before its program said how it went."""
    suffix = f": {one_line(said, REASON_LIMIT)}" if said else ""
    if ending.timed_out:
        return FailureClass.TIMEOUT, f"timed out after {duration(ending.seconds)}{suffix}"
    if name := killed_by(ending.code):
        return FailureClass.CRASH, f"killed by {name}{suffix}"
    if ending.code:
        return FailureClass.CRASH, f"exit code {ending.code}{suffix}"
    return FailureClass.CRASH, f"ended without a result{suffix}"


def usage_event(usage: Usage) -> Event:
    return Event(EventKind.USAGE, data=asdict(usage))


def failed(failure: FailureClass, reason: str, **more: Any) -> Outcome:
    return Outcome(failure, one_line(reason, REASON_LIMIT), **more)
