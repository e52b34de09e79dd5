"""What a task that is not at work waits for, and until when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mo_git.breakers import Breaker
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.model import TaskState


def waits_for(
    goal: GoalStatus, task: TaskStatus, breakers: Mapping[str, Breaker], now: float
) -> dict[str, Any] | None:
    """{"why", "until"}: `until` (epoch seconds) is null where nobody knows; None: it waits for nothing."""
    if task.state is TaskState.WAITING:
        return _again(goal, task, breakers, now)
    state = goal.task_state(task)
    if state is TaskState.PENDING:
        return _after(goal, task)
    agent = _agent(goal, task)
    breaker = breakers.get(agent)
    if state is TaskState.READY and breaker is not None and breaker.is_open(now):
        return {"why": f"{agent}: {breaker.words}", "until": breaker.until}
    return None


def _again(goal: GoalStatus, task: TaskStatus, breakers: Mapping[str, Breaker], now: float) -> dict[str, Any]:
    """Its next attempt: its own time, and that of its agent, whichever comes later."""
    agent = _agent(goal, task)
    breaker = breakers.get(agent)
    if breaker is not None and breaker.is_open(now) and breaker.until > task.not_before:
        return {"why": f"{agent}: {breaker.words}", "until": breaker.until}
    return {"why": task.reason, "until": task.not_before}


def _after(goal: GoalStatus, task: TaskStatus) -> dict[str, Any] | None:
    open_ones = [name for name in task.spec.depends_on if not goal.tasks[name].satisfied]
    open_ones += [name for name in task.behind if not goal.tasks[name].ended]
    return {"why": f"after {', '.join(open_ones)}", "until": None} if open_ones else None


def _agent(goal: GoalStatus, task: TaskStatus) -> str:
    """Who does it as far as is known here: whoever was named, else whoever tried it last."""
    if not task.spec.by_agent:
        return ""
    named = next((one for one in (goal.spec.provider, task.spec.provider) if one and one != "auto"), "")
    return named or task.provider
