"""Codex's own record of a thread: the only place that counts tokens before a turn is complete.

Files are CODEX_HOME/sessions/YYYY/MM/DD/rollout-TIME-THREAD.jsonl.
"""

from __future__ import annotations

import re
from pathlib import Path

from mo_daemon.agents import stream
from mo_daemon.agents.files import tail
from mo_daemon.agents.protocol import Job, Usage

_TAIL = 256 * 1024
_LOOKS = 5  # for a file that does not appear
_PLAIN = re.compile(r"^[0-9A-Za-z-]+$")


class Rollout:
    """The record of one run's thread; silent where there is none."""

    def __init__(self, job: Job) -> None:
        home = job.state_dir or Path(job.environ.get("CODEX_HOME") or _default(job))
        self._sessions = home / "sessions"
        self._path: Path | None = None
        self._looks = 0

    def total(self, thread: str) -> Usage | None:
        """Tokens of the whole thread so far."""
        path = self._find(thread)
        if path is None:
            return None
        for line in reversed(tail(path, _TAIL).split(b"\n")):
            if b'"total_token_usage"' in line:
                event = stream.parse(line)
                if event is not None:
                    return counted(stream.mapping(stream.at(event, "payload.info.total_token_usage")))
        return None

    def _find(self, thread: str) -> Path | None:
        if self._path is None and self._looks < _LOOKS and _PLAIN.match(thread):
            self._looks += 1
            found = self._sessions.glob(f"[0-9]*/[0-9]*/[0-9]*/rollout-*-{thread}.jsonl")
            self._path = next(iter(sorted(found, reverse=True)), None)
        return self._path


def counted(usage: stream.Object) -> Usage:
    """Tokens as codex counts them, without money."""
    return Usage(
        stream.tokens(usage.get("input_tokens")),
        stream.tokens(usage.get("cached_input_tokens")),
        stream.tokens(usage.get("output_tokens")),
    )


def _default(job: Job) -> str:
    return str(Path(job.environ.get("HOME") or "/nonexistent") / ".codex")
