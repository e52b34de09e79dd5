"""What may still start: slots for anything, runs of each agent by its cap and by free memory.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.model import TaskState

SETTLE_SECONDS = 30.0  # after which the memory of an agent that started is in use, and not only promised

AgentOf = Callable[[GoalStatus, TaskStatus | None], str]  # None: who plans or verifies it; empty: nobody


class Room:
    """Counts down what is taken.

    `caps` are runs of each agent at once.  `memory` is how many further agents have room in free memory
    (None: any number).  `at_work` are the agents that run, and whether each has its memory already.
    `closed`: agent -> why none of it may start; `starts`: agent -> how many may start yet.
    """

    def __init__(
        self,
        slots: int,
        caps: Mapping[str, int],
        memory: int | None,
        at_work: Sequence[tuple[str, bool]],
        closed: Mapping[str, str] | None = None,
        starts: Mapping[str, int] | None = None,
    ) -> None:
        self.slots = slots
        self._caps = caps
        self._closed = closed or {}
        self._starts = dict(starts or {})
        self._used = Counter(agent for agent, _ in at_work)
        self._more: int | None = None
        if memory is not None:
            promised = sum(not settled for _, settled in at_work)
            self._more = max(memory - promised, 0 if at_work else 1)  # one always gets its chance

    def refusal(self, agent: str) -> str:
        """Why no run of this agent may start now; empty where one may, and for what is no agent."""
        if why := self._closed.get(agent):
            return why
        used = self._used[agent]
        if self._starts.get(agent, 1) <= 0:
            return f"{agent} has its starts of this minute"
        if agent and used >= self._caps.get(agent, used + 1):
            return f"{used} {agent} {'agent runs' if used == 1 else 'agents run'} already"
        if agent and self._more is not None and self._more <= 0:
            total = self._used.total()
            return f"memory: room for {total} agent{'' if total == 1 else 's'}"
        return ""

    def take(self, agent: str) -> None:
        self.slots -= 1
        if agent:
            self._used[agent] += 1
            if agent in self._starts:
                self._starts[agent] -= 1
            self._more = None if self._more is None else self._more - 1


def agents_at_work(
    goals: Mapping[str, GoalStatus], busy: set[str], agent_of: AgentOf, now: float
) -> Iterator[tuple[str, bool]]:
    """(agent, whether it has run for a while) of the jobs that run one, or are about to; by their keys."""
    for key in busy:
        kind, _, name = key.partition(" ")
        goal_id, _, task_id = name.partition("/")
        goal = goals.get(goal_id)
        task = goal.tasks.get(task_id) if goal and kind == "attempt" else None
        if goal and kind in ("plan", "verify"):
            agent, settled = agent_of(goal, None), True
        elif goal is None or task is None or not task.spec.by_agent or task.state is TaskState.CHECKING:
            continue
        elif task.state is TaskState.REVIEWING:
            agent, settled = task.attempts[-1].reviewer, now - task.since >= SETTLE_SECONDS
        elif task.state is TaskState.RUNNING:
            agent, settled = task.attempts[-1].provider, now - task.since >= SETTLE_SECONDS
        else:
            agent, settled = agent_of(goal, task), False
        if agent:
            yield agent, settled


def runs_of(goals: Iterable[GoalStatus], agent: str) -> int:
    """How many runs of an agent the records know just now: of attempts, and of their reviews."""
    running = 0
    for goal in goals:
        for task in goal.tasks.values():
            if task.state is TaskState.RUNNING:
                running += task.attempts[-1].provider == agent
            elif task.state is TaskState.REVIEWING:
                running += task.attempts[-1].reviewer == agent
    return running
