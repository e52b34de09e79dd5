"""A run of an agent that a goal pays for, whatever the phase: money watched, usage told, private state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mo_daemon.agent_run import Deadlines, Finished, run_agent
from mo_daemon.agents.protocol import Agent, Job, Usage
from mo_daemon.budget import exhausted, room
from mo_daemon.classify import PASSING, UNUSABLE, RetrySettings
from mo_daemon.containment import Cell
from mo_daemon.harvest import AttemptFailed
from mo_daemon.services import Services, out_of_space
from mo_git.lifecycle import GoalStatus
from mo_git.model import FailureClass, Kind, NewFact, Phase

COMMAND = "command"
# With one of these in the environment an agent gets a private state directory per task; without, it shares
# the user's own, where the login is.
KEYS = {
    "claude": ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
    "codex": ("CODEX_API_KEY", "OPENAI_API_KEY"),
}


@dataclass(frozen=True, slots=True)
class PaidRun:
    """`name` is for people (GOAL/TASK#N); `task` is empty and `n` 0 where the usage is the goal's own."""

    services: Services
    goal: GoalStatus
    agent: Agent
    model: str
    phase: Phase
    name: str
    task: str = ""
    n: int = 0

    async def perform(
        self, job: Job, env: Mapping[str, str], deadlines: Deadlines, cell: Cell | None = None
    ) -> Finished:
        """Run it to its end.  AttemptFailed (bad_config) where the program cannot be started."""
        services = self.services
        try:
            return await run_agent(
                services,
                self.agent,
                job,
                env,
                deadlines,
                purpose=self.name,
                listen=lambda event: services.say(self.name, event),
                must_stop=self._over_budget,
                cell=cell,
            )
        except OSError as error:
            if out_of_space(error):
                raise
            program = job.argv[0] if job.argv else self.agent.name
            reason = f"cannot start {program}: {error.strerror or error}"
            raise AttemptFailed(FailureClass.BAD_CONFIG, reason) from None
        finally:
            services.live.pop(self.name, None)
            services.say(self.name, None)

    def _over_budget(self, usage: Usage) -> str:
        """Asked at every usage event of a running agent."""
        self.services.live[self.name] = (self.goal.id, self.agent.name, usage.cost_usd)
        return exhausted(*self.services.money(self.goal), self.agent.name)

    def usage(self, usage: Usage) -> list[NewFact]:
        """What it cost, as facts; a plain command costs nothing."""
        if self.agent.name == COMMAND:
            return []
        data = {"provider": self.agent.name, "model": self.model, "phase": self.phase, **asdict(usage)}
        return [NewFact(self.goal.id, Kind.USAGE, data, self.task, self.n)]

    def budget(self) -> float | None:
        """USD that it may cost; None: no limit."""
        left = room(*self.services.money(self.goal), self.agent.name)
        return None if math.isinf(left) else left

    async def enclosure(
        self, owner: str, worktree: Path, seen: Mapping[str, str], *, writes: bool = True
    ) -> tuple[Path | None, Cell | None]:
        """Where the CLI keeps its state, and the sandbox around it; None: its own place, the guard tier.

        A restricted agent gets a cell where the platform has one.  `owner` names its directories below the
        goal's, `seen` are the refs that it is shown, and without `writes` the worktree is read-only in it.
        """
        services = self.services
        if self.agent.name == COMMAND:
            return None, None
        modes = {
            "claude": services.settings.claude.execution_security_mode,
            "codex": services.settings.codex.execution_security_mode,
        }
        state_dir = self._state_dir(owner)
        if modes[self.agent.name] != "restricted" or not services.containment.tier.contained:
            return state_dir, None
        name = f"{self.goal.id}/{owner}"
        cell = await services.git(
            services.containment.cell, services.repo, name, worktree, seen, state_dir, writes=writes
        )
        return state_dir, cell

    def _state_dir(self, owner: str) -> Path | None:
        """A private place where a key is the login; else the user's own, named where a sandbox would hide it.

        None: the CLI finds its own place.
        """
        services, name = self.services, self.agent.name
        if any(services.environ.get(key) for key in KEYS.get(name, ())):
            path = services.state / "agents" / self.goal.id / owner / name
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            return path
        home = services.environ.get("HOME")
        if not (home and services.containment.tier.contained):
            return None
        own = Path(home) / f".{name}"
        return own if own.is_dir() else None

    def deadlines(self, timeout: float | None = None) -> Deadlines:
        """Those of the settings; `timeout` (seconds) beats the agent's own default."""
        settings = self.services.settings
        defaults = {"claude": settings.claude.default_timeout, "codex": settings.codex.default_timeout}
        total = timeout or defaults.get(self.agent.name, settings.command.default_timeout)
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
