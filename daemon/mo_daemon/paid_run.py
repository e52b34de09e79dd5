"""A run of an agent that a goal pays for, whatever the phase: money watched, usage told, private state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mo_daemon import listening, quarters
from mo_daemon.agent_run import Deadlines, Finished, run_agent
from mo_daemon.agents import prices
from mo_daemon.agents.protocol import Agent, Job, Usage
from mo_daemon.budget import exhausted, room
from mo_daemon.classify import PASSING, RetrySettings
from mo_daemon.containment import Cell
from mo_daemon.harvest import AttemptFailed
from mo_daemon.services import Services, out_of_space
from mo_git.goal_status import GoalStatus
from mo_git.model import UNUSABLE, FailureClass, Kind, NewFact, Phase

COMMAND = "command"


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
        self, job: Job, env: Mapping[str, str], deadlines: Deadlines, cell: Cell | None = None
    ) -> Finished:
        """Run it to its end.  AttemptFailed (bad_config) where the program cannot be started."""
        services = self.services
        ear = listening.Ear(services, self.goal.id, self.agent.name, self.phase, self.name)
        given = quarters.credentials(services, self.agent.name)
        try:
            await ear.turn()
            finished = await run_agent(
                services,
                self.agent,
                replace(job, environ=given.environ),
                env,
                deadlines,
                purpose=self.name,
                listen=ear.hear,
                must_stop=self._over_budget,
                cell=cell,
            )
            if self.agent.name != COMMAND:
                ear.tell(finished.outcome)
            return finished
        except OSError as error:
            if out_of_space(error):
                raise
            program = job.argv[0] if job.argv else self.agent.name
            reason = f"cannot start {program}: {error.strerror or error}"
            raise AttemptFailed(FailureClass.BAD_CONFIG, reason) from None
        finally:
            ear.done()
            services.live.pop(self.name, None)
            services.say(self.name, None)

    def _over_budget(self, usage: Usage) -> str:
        """Asked at every usage event of a running agent."""
        cost = prices.corrected(self.model, usage, self.services.settings.prices)[0].cost_usd
        self.services.live[self.name] = (self.goal.id, self.agent.name, cost)
        spent = exhausted(*self.services.money(self.goal), self.agent.name)
        if not spent and 0 < self.limit_usd <= cost:
            return f"the attempt's budget of ${self.limit_usd:.2f} is spent (${cost:.2f})"
        return spent

    def usage(self, usage: Usage) -> list[NewFact]:
        """What it cost, as facts; a plain command costs nothing."""
        if self.agent.name == COMMAND:
            return []
        usage, source = prices.corrected(self.model, usage, self.services.settings.prices)
        data = {"provider": self.agent.name, "model": self.model, "phase": self.phase, **asdict(usage)}
        data |= {"prices": source} if source else {}
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
