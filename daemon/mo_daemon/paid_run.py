"""A run of an agent that a goal pays for, whatever the phase: money watched, usage told, private state."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mo_daemon import listening, quarters
from mo_daemon.agent_run import STREAM, Deadlines, Finished, run_agent
from mo_daemon.agents import prices
from mo_daemon.agents.protocol import Agent, Event, EventKind, Job, Outcome, Usage
from mo_daemon.budget import crowded, exhausted, room
from mo_daemon.classify import PASSING, RetrySettings
from mo_daemon.containment import Cell
from mo_daemon.harvest import AttemptFailed
from mo_daemon.purse import Halted
from mo_daemon.services import Services, out_of_space
from mo_git.goal_status import GoalStatus
from mo_git.ledger.writer import LedgerBroken
from mo_git.model import UNUSABLE, FailureClass, Kind, NewFact, Phase

COMMAND = "command"
MONEY_SECONDS = 0.5  # how often a run that waits for money looks


@dataclass(frozen=True, slots=True)
class PaidRun:
    """`name` is for people (GOAL/TASK#N); `task` is empty and `n` 0 where the usage is the goal's own.

    `limit_usd` is what this run alone may cost; 0: no limit but those of the goal, the day and the provider.
    """

    services: Services
    goal: GoalStatus
    agent: Agent
    model: str
    phase: Phase
    name: str
    task: str = ""
    n: int = 0
    limit_usd: float = 0.0

    async def perform(
        self,
        job: Job,
        env: Mapping[str, str],
        deadlines: Deadlines,
        cell: Cell | None = None,
        started: Callable[[str], None] = lambda _session: None,
    ) -> Finished:
        """Run it to its end, as soon as its provider takes more, and there is money for it.

        AttemptFailed (bad_config) where the program cannot be started, (budget) where no money is left.
        What a run has cost that is cancelled is recorded here: nobody else would.  `started` is told the
        CLI's session as soon as it says which: it can be resumed whatever comes.
        """
        ear = listening.Ear(self.services, self.goal.id, self.agent.name, self.phase, self.name)
        if self.agent.name == COMMAND:
            return await self._run(job, env, deadlines, cell, started, ear, None)
        try:
            await ear.turn()
            await self._wait_for_money()
            with self.services.purse.open(self.name, self.goal.id, self.agent.name) as spending:
                finished = await self._run(job, env, deadlines, cell, started, ear, spending.halt)
            ear.tell(finished.outcome)
            return finished
        finally:
            ear.done()

    async def read(
        self,
        prompt: str,
        schema: Mapping[str, Any],
        *,
        owner: str,
        worktree: Path,
        run_dir: Path,
        seen: Mapping[str, str],
        env: Mapping[str, str],
    ) -> Finished:
        """Have a question answered by `schema`, in a worktree that is read-only; else as `perform`.

        `owner` and `seen` as for `enclosure`.
        """
        state_dir, cell = await self.enclosure(owner, worktree, seen, writes=False)
        job = Job(
            self.phase,
            prompt,
            worktree,
            run_dir,
            environ=self.services.environ,
            model=self.model,
            schema=schema,
            writes=False,
            budget_usd=self.budget(),
            state_dir=state_dir,
            contained=cell is not None,
        )
        return await self.perform(job, env, self.deadlines(), cell)

    async def _wait_for_money(self) -> None:
        """Until what runs now leaves enough for one more."""
        services, provider = self.services, self.agent.name
        try:
            while why := services.held(self.goal, provider):
                services.doing[self.name] = f"waits: {why}"
                await asyncio.sleep(MONEY_SECONDS)
        finally:
            services.say(self.name, None)
        if spent := exhausted(*services.money(self.goal), provider):
            raise AttemptFailed(FailureClass.BUDGET, spent)

    async def _run(
        self,
        job: Job,
        env: Mapping[str, str],
        deadlines: Deadlines,
        cell: Cell | None,
        started: Callable[[str], None],
        ear: listening.Ear,
        halt: asyncio.Future[Halted] | None,
    ) -> Finished:
        services = self.services

        def listen(event: Event) -> None:
            ear.hear(event)
            services.note_limit(self.agent.name, event)
            if event.kind is EventKind.STARTED and event.data.get("session"):
                started(event.data["session"])

        given = quarters.credentials(services, self.agent.name)
        try:
            return await run_agent(
                services,
                self.agent,
                replace(job, environ=given.environ),
                env,
                deadlines,
                purpose=self.name,
                listen=listen,
                must_stop=self._over_budget,
                is_interrupted=self._is_interrupted,
                halt=halt,
                cut=self._cut,
                cell=cell,
            )
        except OSError as error:
            if out_of_space(error):
                raise
            program = job.argv[0] if job.argv else self.agent.name
            reason = f"cannot start {program}: {error.strerror or error}"
            raise AttemptFailed(FailureClass.BAD_CONFIG, reason) from None
        finally:
            services.say(self.name, None)

    def _cut(self, usage: Usage) -> None:
        """What a run used that is ended from outside was paid for all the same."""
        task = self.goal.tasks.get(self.task)
        session = task.attempts[-1].session if task is not None and task.attempts else ""
        with suppress(LedgerBroken):  # ends the daemon by itself
            self.services.record(self.usage(Outcome(None, usage=usage, session=session)))

    def _is_interrupted(self) -> bool:
        """Whether a person has something to say to the agent at once."""
        task = self.goal.tasks.get(self.task)
        return task is not None and task.urgent and self.phase in (Phase.EXECUTE, Phase.RESOLVE)

    def _over_budget(self, usage: Usage) -> str:
        """Asked at every usage event of a running agent."""
        cost = prices.corrected(self.model, usage, self.services.settings.prices)[0].cost_usd
        services = self.services
        services.purse.note(self.name, cost)
        recorded = services.stop_spending()
        if why := crowded(*services.money(self.goal, recorded), self.agent.name):
            services.purse.spending[self.name].stop(FailureClass.CROWDED, why)
        if 0 < self.limit_usd <= cost:
            return f"the attempt's budget of ${self.limit_usd:.2f} is spent (${cost:.2f})"
        return ""

    def usage(self, outcome: Outcome) -> list[NewFact]:
        """What it cost, as facts; a plain command costs nothing."""
        if self.agent.name == COMMAND:
            return []
        services = self.services
        usage, source = prices.corrected(self.model, outcome.usage, services.settings.prices)
        data = {"provider": self.agent.name, "model": self.model, "phase": self.phase, **asdict(usage)}
        data |= {"prices": source} if source else {}
        data |= {"session": outcome.session} if outcome.session else {}
        task = self.goal.tasks.get(self.task)
        data |= {"complexity": task.spec.complexity} if task is not None else {}
        if task is not None and self.phase is not Phase.REVIEW:
            data["stream"] = size_of(services.home.run_dir(self.goal.id, self.task, self.n) / STREAM)
        return [NewFact(self.goal.id, Kind.USAGE, data, self.task, self.n)]

    def budget(self) -> float | None:
        """USD that it may cost; None: no limit."""
        left = min(room(*self.services.money(self.goal), self.agent.name), self.limit_usd or math.inf)
        return None if math.isinf(left) else left

    async def enclosure(
        self, owner: str, worktree: Path, seen: Mapping[str, str], *, writes: bool = True
    ) -> tuple[Path | None, Cell | None]:
        """Where the CLI keeps its state, and the sandbox around it; None: its own place, the guard tier.

        A restricted agent gets a cell where the platform has one.  `owner` names its directories below the
        goal's, `seen` are the refs that it is shown, and without `writes` the worktree is read-only in it.
        """
        services, name, label = self.services, self.agent.name, f"{self.goal.id}/{owner}"
        if name == COMMAND:
            return None, None
        place = quarters.state_dir(services, name, label)
        return place, await quarters.cell(services, name, label, worktree, seen, place, writes=writes)

    def deadlines(self, timeout: float | None = None) -> Deadlines:
        """Those of the settings; `timeout` (seconds) beats the agent's own default."""
        settings = self.services.settings
        own = settings.roster.get(self.agent.name, settings.command)
        total = timeout or own.default_timeout
        return Deadlines(settings.agents.first_event_seconds, settings.agents.idle_seconds, total)


def size_of(path: Path) -> int:
    """Bytes; 0 where there is nothing."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def avoided(failures: Sequence[tuple[str, str]]) -> frozenset[str]:
    """Providers to leave alone: those that cannot work here, and one that failed three times in a row.

    `failures` are (provider, class), oldest first.
    """
    found = {provider for provider, failure in failures if failure in UNUSABLE}
    last = failures[-3:]
    if len(last) == 3 and all(failure in PASSING for _, failure in last):
        found |= {provider for provider, _ in last}
    return frozenset(found)


def retry_settings(services: Services) -> RetrySettings:
    retry = services.settings.retry
    return RetrySettings(retry.max_attempts, retry.base_seconds, retry.max_seconds, retry.same_way)
