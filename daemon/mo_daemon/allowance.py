"""What may still start: slots for anything, runs of each agent by its cap, its breaker and memory.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mo_git.breakers import Breaker, Wait
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.model import TaskState

SETTLE_SECONDS = 30.0  # after which the memory of an agent that started is in use, and not only promised
MINUTE = 60.0

AgentOf = Callable[[GoalStatus, TaskStatus | None], str]  # None: who plans or verifies it; empty: nobody


class AtWork(NamedTuple):
    """A run of an agent, or one that is about to start; `since` (epoch seconds) is when it started."""

    agent: str
    settled: bool  # whether it has its memory already
    since: float


@dataclass(frozen=True, slots=True)
class Crew:
    """What is known of the agents, each by its name.

    `caps` are runs at once.  `memory` is how many further agents have room in free memory (None: any
    number).  `starts` are starts a minute (0 or missing: any number), `started` when runs of the last minute
    started, oldest first.
    """

    caps: Mapping[str, int]
    memory: int | None
    breakers: Mapping[str, Breaker]
    starts: Mapping[str, int]
    started: Mapping[str, Sequence[float]]


class Room:
    """Counts down what is taken."""

    def __init__(self, slots: int, crew: Crew, at_work: Sequence[AtWork], now: float) -> None:
        self.slots = slots
        self._crew = crew
        self._now = now
        self._used = Counter(one.agent for one in at_work)
        self._begun: Counter[str] = Counter()
        until = {name: breaker.until for name, breaker in crew.breakers.items()}
        self._trying = Counter(one.agent for one in at_work if one.since >= until.get(one.agent, 0.0))
        self._more: int | None = None
        if crew.memory is not None:
            promised = sum(not one.settled for one in at_work)
            self._more = max(crew.memory - promised, 0 if at_work else 1)  # one always gets its chance

    def refusal(self, agent: str) -> Wait | None:
        """Why no run of this agent may start now; None where one may, and for what is no agent."""
        if not agent:
            return None
        used = self._used[agent]
        if used >= self._crew.caps.get(agent, used + 1):
            return Wait(f"{used} {agent} {'agent runs' if used == 1 else 'agents run'} already")
        if wait := self._broken(agent, used) or self._too_quick(agent):
            return wait
        if self._more is not None and self._more <= 0:
            total = self._used.total()
            return Wait(f"memory: room for {total} agent{'' if total == 1 else 's'}")
        return None

    def _broken(self, agent: str, used: int) -> Wait | None:
        breaker = self._crew.breakers.get(agent)
        if breaker is None:
            return None
        if breaker.is_open(self._now):
            return Wait(f"{agent}: {breaker.words}", breaker.until)
        if breaker.is_tried(self._now) and self._trying[agent]:
            return Wait(f"{agent}: {breaker.words}; one run tries whether that is over")
        if breaker.limit is not None and used >= breaker.limit:
            return Wait(f"{agent}: {used} at once, since it met a limit")
        return None

    def _too_quick(self, agent: str) -> Wait | None:
        most = self._crew.starts.get(agent, 0)
        recent = self._crew.started.get(agent, ())
        if not most or len(recent) + self._begun[agent] < most:
            return None
        until = recent[-most] + MINUTE if len(recent) >= most else None
        return Wait(f"{agent}: {most} start{'' if most == 1 else 's'} a minute", until)

    def take(self, agent: str) -> None:
        self.slots -= 1
        if agent:
            self._used[agent] += 1
            self._trying[agent] += 1
            self._begun[agent] += 1
            self._more = None if self._more is None else self._more - 1


def agents_at_work(
    goals: Mapping[str, GoalStatus], busy: set[str], agent_of: AgentOf, now: float
) -> Iterator[AtWork]:
    """The jobs that run an agent, or are about to; by their keys."""
    for key in busy:
        kind, _, name = key.partition(" ")
        goal_id, _, task_id = name.partition("/")
        goal = goals.get(goal_id)
        task = goal.tasks.get(task_id) if goal and kind == "attempt" else None
        since = now
        if goal and kind in ("plan", "verify"):
            agent, settled = agent_of(goal, None), True
        elif goal is None or task is None or not task.spec.by_agent or task.state is TaskState.CHECKING:
            continue
        elif task.state is TaskState.REVIEWING:
            agent, settled = task.attempts[-1].reviewer, now - task.since >= SETTLE_SECONDS
        elif task.state is TaskState.RUNNING:
            since = task.attempts[-1].started_at
            agent, settled = task.attempts[-1].provider, now - task.since >= SETTLE_SECONDS
        else:
            agent, settled = agent_of(goal, task), False
        if agent:
            yield AtWork(agent, settled, since)
    for goal in goals.values():
        yield from (AtWork(agent, True, now) for agent in goal.hands.elements())


def runs_of(goals: Iterable[GoalStatus], agent: str) -> int:
    """How many runs of an agent the records know just now: of attempts, and of their reviews."""
    running = 0
    for goal in goals:
        running += goal.hands[agent]
        for task in goal.tasks.values():
            if task.state is TaskState.RUNNING:
                running += task.attempts[-1].provider == agent
            elif task.state is TaskState.REVIEWING:
                running += task.attempts[-1].reviewer == agent
    return running


def recent_starts(goals: Mapping[str, GoalStatus], now: float) -> dict[str, list[float]]:
    """Agent -> when its attempts of the last minute started, oldest first."""
    found: dict[str, list[float]] = {}
    for goal in goals.values():
        for task in goal.tasks.values():
            for attempt in reversed(task.attempts):
                if attempt.started_at <= now - MINUTE:
                    break
                found.setdefault(attempt.provider, []).append(attempt.started_at)
    return {agent: sorted(times) for agent, times in found.items()}
