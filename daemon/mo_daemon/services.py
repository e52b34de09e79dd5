"""What every job of the engine is given: the edges, the settings and the way to record facts."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from mo_daemon import quota
from mo_daemon.agents.protocol import Agent, Event, EventKind
from mo_daemon.budget import Caps, Spent, exhausted, held
from mo_daemon.containment import Cell, Containment, start
from mo_daemon.forecast import Coming
from mo_daemon.provision import Provisioner
from mo_daemon.purse import Purse
from mo_daemon.routing import Routes
from mo_daemon.sandbox import Purpose
from mo_daemon.sandbox.lookout import Lookout
from mo_daemon.threads import run_in
from mo_daemon.worktrees import Pool
from mo_git import breakers, process
from mo_git.breakers import Breaker
from mo_git.config import Config
from mo_git.git.merge import Merger
from mo_git.git.repo import Repo
from mo_git.goal_status import GoalStatus
from mo_git.home import Home
from mo_git.ledger.writer import Ledger, LedgerBroken, LedgerFull
from mo_git.model import Fact, FailureClass, Kind, NewFact

DAY = 86400.0
P = ParamSpec("P")
T = TypeVar("T")


class Recorder(Protocol):
    def __call__(self, facts: Iterable[NewFact], *, durable: bool = False) -> Sequence[Fact]: ...


@dataclass
class Services:
    """One per daemon.  `now` is the wall clock, `token` makes a new unguessable id, `jitter` draws [0, 1)."""

    home: Home
    repo: Repo
    state: Path  # outside the repository: worktrees, caches, scratch
    environ: Mapping[str, str]
    settings: Config
    merger: Merger
    pool: Pool
    ledger: Ledger
    record: Recorder
    goals: Mapping[str, GoalStatus]
    now: Callable[[], float]
    token: Callable[[], str]
    jitter: Callable[[], float]
    threads: Executor
    gate_turns: asyncio.Semaphore
    start_turns: asyncio.Semaphore  # worktrees that are made ready at once
    provisioner: Provisioner
    agents: Mapping[str, Agent]
    routes: Routes
    containment: Containment
    lookout: Lookout
    doing: dict[str, str] = field(default_factory=dict)  # run -> what its agent does just now
    quotas: dict[tuple[str, str], quota.Window] = field(default_factory=dict)  # provider, window -> its use
    purse: Purse = field(default_factory=Purse)  # the runs that cost money now
    queued: dict[str, str] = field(default_factory=dict)  # attempt -> the agent that it waits to run next
    apart: set[tuple[str, ...]] = field(default_factory=set)  # head and candidates that do not merge there
    coming: tuple[Coming, ...] = ()  # conflicts between tasks that are not landed yet; a hint
    breakers: Mapping[str, Breaker] = field(default_factory=dict)  # how it stands with each agent
    trying: dict[str, str] = field(default_factory=dict)  # agent -> the run that tries whether it works again
    _ended: list[str] = field(default_factory=list)  # tokens whose end is not written yet

    async def git(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking git work in a pool thread."""
        return await run_in(self.threads, function, *args, **kwargs)

    @asynccontextmanager
    async def starting(self) -> AsyncIterator[Callable[[], None]]:
        """A turn to make a worktree ready, given back by calling what is yielded, or at the end.

        A hundred starts at once would keep every landing waiting, and would make a hundred worktrees where
        short tasks can follow each other in a few.
        """
        await self.start_turns.acquire()
        held = [self.start_turns]

        def ready() -> None:
            while held:
                held.pop().release()

        try:
            yield ready
        finally:
            ready()

    @property
    def author(self) -> tuple[str, str] | None:
        """In whose name mo commits, as (name, address); None: its own."""
        name, _, rest = self.settings.git.author.partition("<")
        return (name.strip(), rest.rstrip("> ")) if rest else None

    def most(self, agent: str) -> int:
        """Runs of an agent at once."""
        entry = self.settings.roster.get(agent)
        return (entry.max_parallel if entry else 0) or self.settings.agents.max_parallel

    def resting(self) -> frozenset[str]:
        """Agents to pass over where there is a choice."""
        return breakers.resting(self.breakers, self.now())

    def is_closed_to(self, agent: str) -> bool:
        """Whether the agent's provider said meanwhile that nobody may ask it now."""
        breaker = self.breakers.get(agent)
        return breaker is not None and breaker.is_open(self.now())

    def say(self, run: str, event: Event | None) -> None:
        """What an agent does just now, for people who watch; None: its run has ended."""
        if event is None:
            self.doing.pop(run, None)
        elif event.kind in (EventKind.TOOL, EventKind.TEXT, EventKind.RETRY) and event.text:
            self.doing[run] = event.text[:120]

    def money(self, goal: GoalStatus, recorded: float | None = None) -> tuple[Caps, Spent]:
        """Limits and spending of a goal, what runs now included.

        `recorded`: what today's facts add up to, where that was looked up just now.
        """
        settings = self.settings
        by_provider = {name: spent.cost_usd for name, spent in goal.spent.items()}
        today = self.recorded_today() if recorded is None else recorded
        runs = self.purse.runs()
        for run in runs:
            today += run.cost_usd
            if run.goal == goal.id:
                by_provider[run.provider] = by_provider.get(run.provider, 0.0) + run.cost_usd
        own = goal.spec.budget_usd if goal.budget_usd is None else goal.budget_usd
        caps = Caps(
            settings.budget.goal_usd if own is None else own,
            settings.budget.daily_usd,
            {name: entry.max_budget_usd or 0.0 for name, entry in settings.roster.items()},
        )
        return caps, Spent(by_provider, today, goal.id, runs)

    def recorded_today(self) -> float:
        """US dollars of today's (UTC) usage facts of all goals."""
        now = self.now()
        return self.ledger.spent_since(now - now % DAY)

    def held(self, goal: GoalStatus, provider: str) -> str:
        """Why a run of this provider has to wait for money that others hold; empty: it has not."""
        if not self.purse.spending:  # asked at every look: no sum of the day for nothing
            return ""
        return held(*self.money(goal), provider, self.purse.step_of(provider))

    def refusal(self, goal: GoalStatus, provider: str) -> str:
        """Why no run of this provider may start for the goal now; empty: one may."""
        reserve = self.settings.quota.reserve
        return quota.reserved(self.quotas.values(), provider, reserve, self.now()) or self.held(
            goal, provider
        )

    def note_limit(self, provider: str, event: Event) -> None:
        """A program said how much of its subscription is used."""
        window = quota.window_of(provider, event.data) if event.kind is EventKind.LIMIT else None
        if window is not None and quota.is_news(window, self.quotas):
            self.quotas[window.provider, window.name] = window
            data = {"window": window.name, "utilization": window.used, "until": window.until}
            with suppress(LedgerBroken):  # which ends the daemon by itself
                self.record([NewFact("", Kind.QUOTA, {"provider": provider, **data})])

    def stop_spending(self) -> float:
        """End every run, of whatever goal, that counts against a limit which is reached; `recorded_today`."""
        recorded = self.recorded_today()
        found: dict[tuple[str, str], str] = {}  # of a goal and a provider
        for one in self.purse.spending.values():
            key = (one.goal, one.provider)
            if key not in found:
                found[key] = exhausted(*self.money(self.goals[one.goal], recorded), one.provider)
            if why := found[key]:
                one.stop(FailureClass.BUDGET, why)
        return recorded

    def environment(self, goal: GoalStatus) -> dict[str, str]:
        """The base environment of a goal's programs: the daemon's, with the PATH of `mo do`'s caller."""
        base = {**self.environ, **goal.spec.environment}
        return {key: value for key, value in base.items() if value}

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        log: Path,
        timeout: float,
        purpose: str,
        cell: Cell | None = None,
    ) -> process.Ending:
        """Run a program to its end, known to the ledger from before it starts until nothing of it lives.

        With a cell it runs there, as a check does.
        """
        with self.program(purpose, contained=cell is not None) as token:
            sink = process.Sink(log, int(self.settings.limits.log_mb * 1024 * 1024))
            try:
                child = await start(cell, Purpose.CHECK, argv, env=env, cwd=cwd, token=token, stdout=sink)
            except (OSError, asyncio.CancelledError):
                await sink.drained(0.1)
                raise
            self.program_started(token, child.identity)
            return await child.wait(timeout)

    @contextmanager
    def program(self, purpose: str, *, contained: bool = False) -> Iterator[str]:
        """A token that the ledger knows while something runs under it: a later daemon ends what is left.

        The purpose ends in GOAL, GOAL/TASK or GOAL/TASK#N; `contained` is what runs in a sandbox.
        With a full disk nothing is started (LedgerFull); what runs already goes on, and so does its job.
        """
        token = self.token()
        self.ledger.program_starting(token, purpose, self.now())
        if not contained:
            self.lookout.enter(token, purpose)
        try:
            yield token
        finally:
            self.lookout.leave(token)
            self._ended.append(token)
            with suppress(LedgerFull, LedgerBroken):
                self.ledger.program_ended(self._ended)
                self._ended.clear()

    def program_started(self, token: str, identity: process.Identity) -> None:
        """Note which process it is; the token alone is enough to find it again."""
        with suppress(LedgerFull, LedgerBroken):
            self.ledger.program_started(token, identity)


def out_of_space(error: BaseException) -> bool:
    """Whether a disk (or a quota) had no room, also where git says so."""
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return True
    return any(os.strerror(number) in str(error) for number in _NO_SPACE)


_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def tail(log: Path, limit: int = 4000) -> str:
    """The last part of a log as text; empty where there is none."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - limit))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def last_line(log: Path) -> str:
    lines = [line.strip() for line in tail(log, 2000).splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
