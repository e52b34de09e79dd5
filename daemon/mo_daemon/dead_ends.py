"""What cannot come to anything any more, since what it builds on did not.  Pure."""

from __future__ import annotations

from mo_git import dag
from mo_git.goal_status import AT_WORK, GoalStatus
from mo_git.model import Kind, NewFact, TaskState


def skips(goal: GoalStatus) -> list[NewFact]:
    """Tasks whose dependencies failed for good; with fail_fast, everything not started yet.

    That may also be a finished candidate, where a person took back what it was built on.
    """
    dead = {task.spec.id: task.state for task in goal.current if task.ended and not task.satisfied}
    if not dead:
        return []
    fail_fast = goal.plan.error_policy == "fail_fast"
    first = next((name for name, state in dead.items() if fail_fast and state is not TaskState.SKIPPED), "")
    facts = []
    for task_id in dag.order(goal.plan.tasks):
        task = goal.tasks[task_id]
        if task.state not in (TaskState.PENDING, TaskState.WAITING, TaskState.CANDIDATE):
            continue
        broken = [dep for dep in task.spec.depends_on if dep in dead]
        if broken or (first and task.state is not TaskState.CANDIDATE):
            reason = f"{broken[0]} {dead[broken[0]]}" if broken else f"{first} {dead[first]} (fail_fast)"
            dead[task_id] = TaskState.SKIPPED
            facts.append(NewFact(goal.id, Kind.SKIPPED, {"reason": reason, "satisfies": False}, task_id))
    return facts


def pointless(goal: GoalStatus) -> list[str]:
    """Tasks at work on something that will not land."""
    return [
        task.spec.id
        for task in goal.tasks.values()
        if task.state in AT_WORK
        and any(goal.tasks[name].ended and not goal.tasks[name].satisfied for name in task.upon)
    ]
