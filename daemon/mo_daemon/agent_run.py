"""One run of an agent: started, listened to, ended when it falls silent, read to its meaning.

What counts as alive: a line of output, or processor time used by the program or its children (a long test run
says nothing for minutes).  The prompt is kept exactly as it was sent, the stream exactly as it came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

from mo_daemon.agents.protocol import Agent, Event, EventKind, Job, Outcome, Usage
from mo_daemon.agents.stream import LineSplitter
from mo_daemon.containment import Cell
from mo_daemon.purse import Halted
from mo_daemon.resources import cpu_seconds
from mo_daemon.sandbox import Purpose, inner_group
from mo_daemon.services import Services, tail
from mo_git import process
from mo_git.model import FailureClass

PROMPT = "prompt.md"  # the file with what an agent is told
STREAM = "stream.jsonl"  # the file with what it said, one run after the other
LOOK_SECONDS = 0.5  # how often a silent agent is looked at
CPU_LOOK_SECONDS = 1.0
BUSY_SHARE = 0.05  # of one processor meanwhile: enough to count as at work


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds: until the first line, between two signs of life, and for the whole run."""

    first_event: float
    idle: float
    total: float


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run ended and what that means."""

    outcome: Outcome
    ending: process.Ending


Listener = Callable[[Event], None]
Watcher = Callable[[], bool]
Stopped = tuple[FailureClass | None, str]  # None: nothing is wrong with it
Stopper = Callable[[Usage], str]  # why the run has to end now; empty: it may go on


class _Ear:
    """Listens to one run: lines to events, and when the last sign of life was."""

    def __init__(self, agent: Agent, job: Job, listen: Listener, must_stop: Stopper) -> None:
        self.reader = agent.reader(job)
        self.heard = False
        self.alive_at = monotonic()
        self.patience = 0.0  # the program said that it waits for this long
        self.stop_reason = ""
        self._lines = LineSplitter()
        self._listen = listen
        self._must_stop = must_stop

    def on_bytes(self, chunk: bytes) -> None:
        self.heard, self.alive_at, self.patience = True, monotonic(), 0.0
        for line in self._lines.feed(chunk):
            self._take(line)

    def finish(self) -> None:
        for line in self._lines.rest():
            self._take(line)

    def _take(self, line: bytes) -> None:
        for event in self.reader.feed(line):
            if event.kind is EventKind.RETRY:
                self.patience = float(event.data.get("seconds") or 0)
            if event.kind is EventKind.USAGE and not self.stop_reason:
                self.stop_reason = self._must_stop(self.reader.usage())
            self._listen(event)

    def silence(self) -> float:
        return monotonic() - self.alive_at - self.patience


async def run_agent(
    services: Services,
    agent: Agent,
    job: Job,
    env: Mapping[str, str],
    deadlines: Deadlines,
    *,
    purpose: str,
    listen: Listener = lambda _event: None,
    must_stop: Stopper = lambda _usage: "",
    is_interrupted: Watcher = lambda: False,
    halt: asyncio.Future[Halted] | None = None,
    cut: Callable[[Usage], None] = lambda _usage: None,
    cell: Cell | None = None,
) -> Finished:
    """Run an agent to its end.  OSError where the program cannot be started.

    `is_interrupted` is asked all the time: a run that a person interrupts ends, with nothing wrong.
    `must_stop` is asked at each of its usage events, and `halt` is how others end it at once: how it has
    failed then, and why.  `cut` is told what a run used that is cancelled.
    Files in job.run_dir: prompt.md (of runs before it there prompt-1.md and so on), stream.jsonl, stderr.log;
    of a plain command only stream.log.
    """
    job.run_dir.mkdir(parents=True, exist_ok=True)
    prompt = job.run_dir / PROMPT
    if not job.argv:
        _set_aside(prompt)
        prompt.write_text(job.prompt, encoding="utf-8", errors="surrogateescape")
    launch = agent.launch(job)
    argv: tuple[str, ...] = launch.argv
    whole: Mapping[str, str] = {**env, **launch.env}
    if cell is not None:
        argv, whole = await services.git(cell.enclose, argv, whole, Purpose.AGENT)
    ear = _Ear(agent, job, listen, must_stop)
    limit = int(services.settings.limits.log_mb * 1024 * 1024)
    out = process.Sink(job.run_dir / ("stream.log" if job.argv else STREAM), limit, ear.on_bytes)
    # A command's two streams belong together; an agent's output is data, and its errors are text.
    err = None if job.argv else process.Sink(job.run_dir / "stderr.log", limit, lambda _chunk: _touch(ear))
    with services.program(purpose, contained=cell is not None) as token:
        try:
            child = process.start(
                argv,
                cwd=job.worktree,
                env=whole,
                token=token,
                stdout=out,
                stderr=err,
                stdin=prompt if launch.prompt_on_stdin else None,
                inner=inner_group if cell is not None else None,
            )
        except OSError:
            for sink in filter(None, (out, err)):
                await sink.drained(0.1)
            raise
        services.program_started(token, child.identity)
        try:
            ending, stopped = await _attend(child, ear, deadlines, is_interrupted, halt)
        except asyncio.CancelledError:
            ear.finish()
            cut(ear.reader.usage())
            raise
    ear.finish()
    outcome = ear.reader.outcome(ending, tail(job.run_dir / "stderr.log"), services.now())
    if stopped is not None:
        outcome = replace(outcome, failure=stopped[0], reason=stopped[1])
    return Finished(outcome, ending)


def _set_aside(prompt: Path) -> None:
    """What the run before was told is kept, too; its number is the run's."""
    if prompt.exists():
        names = (prompt.with_name(f"{prompt.stem}-{n}{prompt.suffix}") for n in count(1))
        prompt.rename(next(name for name in names if not name.exists()))


def _touch(ear: _Ear) -> None:
    ear.alive_at = monotonic()


async def _attend(
    child: process.Child,
    ear: _Ear,
    deadlines: Deadlines,
    is_interrupted: Watcher,
    halt: asyncio.Future[Halted] | None,
) -> tuple[process.Ending, Stopped | None]:
    """Wait for the child; end it when it must not go on.  The second is None where it ended by itself."""
    waiting = asyncio.ensure_future(child.wait(deadlines.total))
    stopped: Stopped | None = None
    ends: set[asyncio.Future[Any]] = {waiting} | ({halt} if halt is not None else set())
    first = asyncio.FIRST_COMPLETED
    try:
        while waiting not in (await asyncio.wait(ends, timeout=LOOK_SECONDS, return_when=first))[0]:
            stopped = halt.result() if halt is not None and halt.done() else _why_stop(ear, deadlines)
            if is_interrupted():
                stopped = None, "interrupted by a person"
            if stopped is not None and stopped[0] is FailureClass.IDLE and await _is_working(child):
                ear.alive_at, stopped = monotonic(), None
            if stopped is not None:
                await child.end()
                break
        ending = await waiting
    except asyncio.CancelledError:
        waiting.cancel()
        await asyncio.wait({waiting})
        raise
    if ending.timed_out:
        stopped = FailureClass.TIMEOUT, f"timed out after {deadlines.total:.0f} s"
    return ending, stopped


async def _is_working(child: process.Child) -> bool:
    """Whether the program or what it started uses the processor, although it says nothing."""
    before = cpu_seconds(child.pid)
    await asyncio.sleep(CPU_LOOK_SECONDS)
    return cpu_seconds(child.pid) - before > BUSY_SHARE * CPU_LOOK_SECONDS


def _why_stop(ear: _Ear, deadlines: Deadlines) -> Stopped | None:
    if ear.stop_reason:
        return FailureClass.BUDGET, ear.stop_reason
    limit = deadlines.idle if ear.heard else deadlines.first_event
    if ear.silence() > limit:
        what = "said nothing" if ear.heard else "did not start to answer"
        return FailureClass.IDLE, f"{what} for {limit:.0f} s"
    return None
