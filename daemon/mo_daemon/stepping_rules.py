"""Whether a person may step in where a goal stands, and the facts of it.  Pure; a MoError is a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mo_git.errors import Exit, MoError
from mo_git.goal_status import AT_WORK, STEPPING_IN, GoalStatus, TaskStatus
from mo_git.model import PERSON, Kind, NewFact, Phase, TaskState

# Where an agent's turn is to come, or to end.
HEARING = AT_WORK | {TaskState.PENDING, TaskState.WAITING}


def refuse_to_take(goal: GoalStatus, task: TaskStatus) -> None:
    """Refuse where there is nothing to take, or nothing to begin from."""
    named = f"{goal.id}/{task.spec.id}"
    if task.state is TaskState.LANDED:
        hint = f"mo rollback {named} takes it back; or give a new goal what is to change"
        raise MoError(f"{named} has landed as {task.landed_commit[:10]}: there is nothing to take", hint)
    if task.satisfied:
        raise MoError(f"{named} is {task.state}: there is nothing to take", f"mo retry {named} does it again")
    if goal.intent is not None and task.spec.id in goal.intent["tasks"]:
        raise MoError(f"{named} is landing right now", f"mo status {goal.id}")
    pending = [op.name for op in goal.pending_operations() if op.arguments.get("task") == task.spec.id]
    if pending:
        what = "handed over" if pending[0] in STEPPING_IN else "taken back"
        raise MoError(f"{named} is being {what} already", f"mo status {goal.id}")
    if goal.started_at is None or goal.awaits_person or goal.needs_plan:
        hint = f"mo edit {named} changes it before it starts"
        raise MoError(f"{goal.id} has not started: it is {goal.state}", hint)
    missing = [name for name in task.spec.depends_on if not goal.tasks[name].satisfied]
    if missing and not task.attempts:
        hint = f"take it when they have, or change it before it starts: mo edit {named}"
        raise MoError(f"{named} builds on what has not landed: {', '.join(missing)}", hint)


def give(goal: GoalStatus, task: TaskStatus, request: str, payload: Mapping[str, Any]) -> list[NewFact]:
    """The request as an operation, and but for `back` the attempt that it begins."""
    named, back = f"{goal.id}/{task.spec.id}", bool(payload.get("back"))
    if task.state is not TaskState.TAKEN:
        raise MoError(f"{named} is not taken: it is {task.state}", f"mo take {named}")
    if any(op.arguments.get("task") == task.spec.id for op in goal.pending_operations()):
        raise MoError(f"{named} is being handed over just now", f"mo status {goal.id}, then again")
    if task.lent is None:
        raise MoError(f"{named} was not handed over", f"mo take {named}")
    arguments = {"task": task.spec.id, "back": back, "hint": str(payload.get("hint", ""))}
    ask = {"request": request, "operation": "give", "arguments": arguments}
    facts = [NewFact(goal.id, Kind.OPERATION_REQUESTED, ask)]
    if not back:
        place = {key: task.lent[key] for key in ("worktree", "branch", "base", "upon")}
        who = {"provider": PERSON, "model": "", "phase": Phase.EXECUTE, "by": str(payload.get("by", ""))}
        data = {"token": request, **place, **who}
        facts.append(NewFact(goal.id, Kind.GIVEN, data, task.spec.id, task.attempt + 1))
    return facts


def say(goal: GoalStatus, task: TaskStatus, payload: Mapping[str, Any]) -> tuple[NewFact, str]:
    """A person's words for a task's agent, and when they are told."""
    text, now = str(payload["text"]).strip(), bool(payload.get("now"))
    named = f"{goal.id}/{task.spec.id}"
    if not text:
        raise MoError("there is nothing to say", f"mo attach {named} --send TEXT", Exit.USAGE)
    if not task.spec.by_agent:
        raise MoError(
            f"{named} is done by no agent: nobody would hear it", f"mo edit {named}; mo take {named}"
        )
    if task.state not in HEARING or (task.by_hand and task.state in AT_WORK):
        raise MoError(f"{named} is {task.state}: its agent has no turn to come", _instead(task, named))
    data = {"text": text, "now": now, "by": str(payload.get("by", ""))}
    when = "when it starts"
    if task.state in AT_WORK:
        when = "at once, by an interruption" if now else "when its agent's turn ends"
    return NewFact(goal.id, Kind.SAID, data, task.spec.id), f"{named} is told {when}"


def _instead(task: TaskStatus, named: str) -> str:
    if task.state is TaskState.TAKEN:
        return f"you have it; mo give --back --with TEXT {named} leaves it to its agent"
    if task.by_hand and task.state in AT_WORK:
        return f"what you gave back is looked at: mo show {named}"
    return f"mo take {named}" if not task.ended else f"mo retry --with TEXT {named}"
