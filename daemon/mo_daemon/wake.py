"""When to look again without being told.  Pure."""

from __future__ import annotations

from collections.abc import Mapping

from mo_daemon.decide import may_start, reads_from
from mo_git.breakers import Breaker
from mo_git.goal_status import GoalStatus
from mo_git.model import TaskState


def next_wake(
    goals: Mapping[str, GoalStatus], now: float, breakers: Mapping[str, Breaker] | None = None
) -> float | None:
    """When the next waiting task, or plan, may start, or an agent be tried again, if that is to come."""
    open_goals = [goal for goal in goals.values() if may_start(goal)]
    times = [reads_from(goal) for goal in open_goals if goal.needs_plan or goal.wants_verdict]
    times += [
        task.not_before
        for goal in open_goals
        for task in goal.tasks.values()
        if task.state is TaskState.WAITING
    ]
    times += [goal.ends_at for goal in open_goals if goal.ends_at is not None]
    times += [one.until for one in (breakers or {}).values() if open_goals]
    return min((time for time in times if time > now), default=None)
