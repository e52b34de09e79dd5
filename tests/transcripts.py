"""Recorded runs of the real programs, played back through an adapter's reader.

tests/data/transcripts/PROVIDER/CASE.{jsonl,stderr,meta.json}: standard output, standard error, exit code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mo_daemon.agents.protocol import Agent, Event, EventKind, Job, Outcome, Usage
from mo_git.model import Phase
from mo_git.process import Ending

ROOT = Path(__file__).parent / "data" / "transcripts"
NOW = 1_790_000_000.0  # before every time that the recordings name
WORKTREE = Path("/repo/wt")


@dataclass(frozen=True)
class Played:
    outcome: Outcome
    events: list[Event] = field(default_factory=list)

    def texts(self, kind: EventKind) -> list[str]:
        return [event.text for event in self.events if event.kind is kind]


def cases(provider: str) -> set[str]:
    return {path.name.removesuffix(".meta.json") for path in (ROOT / provider).glob("*.meta.json")}


def job(run_dir: Path, **more: Any) -> Job:
    return Job(Phase.EXECUTE, "Do it.", WORKTREE, run_dir, **more)


def play(
    agent: Agent,
    job: Job,
    lines: list[bytes],
    *,
    code: int = 0,
    stderr: str = "",
    timed_out: bool = False,
) -> Played:
    reader = agent.reader(job)
    events = [event for line in lines for event in reader.feed(line)]
    outcome = reader.outcome(Ending(code, timed_out, 12.0), stderr, NOW)
    assert outcome.usage == reader.usage()
    return Played(outcome, events)


def lines_of(provider: str, case: str) -> list[bytes]:
    return (ROOT / provider / f"{case}.jsonl").read_bytes().splitlines()


def replay(agent: Agent, provider: str, case: str, job: Job, *, timed_out: bool = False) -> Played:
    """One recorded run, with the exit code that it had."""
    meta = json.loads((ROOT / provider / f"{case}.meta.json").read_text())
    stderr = (ROOT / provider / f"{case}.stderr").read_text()
    lines = lines_of(provider, case)
    return play(agent, job, lines, code=meta["exit_code"], stderr=stderr, timed_out=timed_out)


def spent(usage: Usage) -> tuple[int, int, float]:
    return usage.input_tokens, usage.output_tokens, usage.cost_usd


def line(**event: Any) -> bytes:
    return json.dumps(event).encode()
