"""Changing a plan that is being carried out: what has not begun may still be said otherwise.  Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mo_git.errors import Exit, MoError
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.model import Plan, TaskState
from mo_git.plan import plan_from_data, plan_to_data

# Where the next attempt, if there is one, reads the task anew.
EDITABLE = frozenset(
    {
        TaskState.PENDING,
        TaskState.WAITING,
        TaskState.FAILED,
        TaskState.EJECTED,
        TaskState.CONFLICT,
        TaskState.SKIPPED,
        TaskState.CANCELLED,
    }
)


def with_changes(
    goal: GoalStatus, task_id: str, changes: Mapping[str, Any], providers: Collection[str] | None
) -> Plan:
    """The goal's plan with other keys in one task; a None takes the key out.  MoError for what is no plan."""
    if "id" in changes and changes["id"] != task_id:
        raise MoError(f"{goal.id}/{task_id}: a task keeps its id", "leave id as it is", Exit.USAGE)
    data = plan_to_data(goal.plan)
    table = next(table for table in data["task"] if table["id"] == task_id)
    table.update(changes)
    if changes.get("run"):  # a command in place of a prompt, and the other way round
        table.pop("prompt", None)
    elif changes.get("prompt"):
        table.pop("run", None)
    return plan_from_data(data, f"the plan of {goal.id}", providers=providers)


def refuse_begun(goal: GoalStatus, plan: Plan) -> list[str]:
    """The tasks that another plan changes; MoError where one of them cannot be changed any more."""
    wanted = {task.id: task for task in plan.tasks}
    begun = goal.started_at is not None and not goal.awaits_person
    if begun and wanted.keys() != goal.tasks.keys():
        other = ", ".join(sorted(wanted.keys() ^ goal.tasks.keys()))
        hint = "mo skip leaves a task out; a further one belongs into a goal of its own: mo do --depends-on"
        raise MoError(f"{goal.id} runs already: no tasks come or go ({other})", hint, Exit.USAGE)
    for name, known in goal.tasks.items():
        if name not in wanted and known.attempts:  # of an earlier iteration: what it did refers to it
            hint = "leave it in the plan; what has no attempt yet may go"
            raise MoError(f"{goal.id}/{name} cannot be removed: it has begun", hint, Exit.USAGE)
    changed = [name for name in wanted if name not in goal.tasks or goal.tasks[name].spec != wanted[name]]
    for name in changed:
        task = goal.tasks.get(name)
        if task is not None and task.state not in EDITABLE:
            raise MoError(f"{goal.id}/{name} cannot be changed: it is {task.state}", _instead(goal, task))
    return changed


def _instead(goal: GoalStatus, task: TaskStatus) -> str:
    named = f"{goal.id}/{task.spec.id}"
    match task.state:
        case TaskState.LANDED | TaskState.UNCHANGED:
            return f"mo rollback {named} takes it back"
        case TaskState.TAKEN:
            return f"mo give {named}"
        case TaskState.RUNNING | TaskState.CHECKING | TaskState.REVIEWING:
            return f"mo attach {named} --send TEXT tells its agent; mo take {named} stops it"
    return f"mo take {named}"
