"""What waits for a person: one reason and one next action each."""

from __future__ import annotations

import re
from typing import Any

from mo_git.goal_status import WITH_PERSON, GoalStatus, TaskStatus
from mo_git.model import Command, GoalState, TaskState, agent_section
from mo_git.text import count, one_line
from mo_git.views.estimate import estimate_text

_STUCK = {
    TaskState.FAILED: "failed",
    TaskState.EJECTED: "ejected",
    TaskState.CONFLICT: "conflict",
    TaskState.AWAITING_PERSON: "waits for you",
    TaskState.TAKEN: "you have it",
}
_OF_PROVIDER = re.compile(r"^the goal's budget of \S+ for (\S+) is ")
_STOPPED = (GoalState.HALTED, GoalState.OVER_BUDGET)


def needs(goal: GoalStatus) -> list[dict[str, Any]]:
    """[{task, why, do}]; `task` is None where the goal itself is meant, `do` a command to type."""
    if goal.state is GoalState.CANCELLED:
        return []
    now = goal.iterations.current  # what failed before is planned anew, but not what a person has
    stuck = (
        task
        for task in goal.tasks.values()
        if task.state in (_STUCK if task.iteration == now else WITH_PERSON) and not task.taken_back
    )
    found = [_of_task(goal, task) for task in stuck]
    if goal.state in _STOPPED:
        why = f"{goal.state}: {one_line(goal.reason)}" if goal.reason else str(goal.state)
        found.append({"task": None, "why": why, "do": _go_on(goal)})
    elif goal.state is GoalState.AWAITING_APPROVAL:
        found.append(_of_plan(goal))
    elif goal.state is GoalState.FAILED and not found:
        why = one_line(goal.reason) or "failed"
        most, current = goal.most_iterations, goal.iterations.current
        more = f"mo resume {goal.id} --iterations {max(most, current + 1)}"
        found.append({"task": None, "why": why, "do": more if most > 1 else f"mo show {goal.id}"})
    elif goal.state is GoalState.DONE and undelivered(goal):
        why = f"done, not on {one_line(goal.spec.target)} yet"
        if refusal := _last_refusal(goal):
            why += f": {refusal}"
        found.append({"task": None, "why": why, "do": f"mo land {goal.id}"})
    return found


def _of_plan(goal: GoalStatus) -> dict[str, Any]:
    if goal.awaits_answers:
        asked = goal.planning.questions
        why = f"the planner has {count(len(asked), 'question')}: {one_line(asked[0])}"
        return {"task": None, "why": why, "do": f"mo review {goal.id}"}
    takes = f": {estimate_text(goal.estimate)}" if goal.estimate and goal.estimate["agents"] else ""
    why = f"the plan waits for you: {count(len(goal.tasks), 'task')}{takes}{_checks(goal)}"
    return {"task": None, "why": why, "do": f"mo resume {goal.id}"}


def _checks(goal: GoalStatus) -> str:
    """An agent's plan may hold commands: a person has to see those that no sandbox would hold."""
    tasks = goal.planning.unconfined
    if not tasks:
        return ""
    planned = ", ".join(f"{name}: {_shown(goal.tasks[name].spec.check)}" for name in tasks)
    return f"; its checks would run as you, without a sandbox: {one_line(planned)}"


def _shown(check: Command | None) -> str:
    return check if isinstance(check, str) else " ".join(check or ())


def _go_on(goal: GoalStatus) -> str:
    """For a spent budget also how to raise the limit that the reason names."""
    again = f"mo resume {goal.id}"
    if goal.state is not GoalState.OVER_BUDGET:
        return again
    if goal.reason.startswith("the goal's time"):
        return again  # for as many hours again
    if goal.reason.startswith("today's"):
        return f"mo config set budget.daily_usd USD; {again}"
    if found := _OF_PROVIDER.search(goal.reason):
        return f"mo config set {agent_section(found[1])}.max_budget_usd USD; {again}"
    return f"{again} --budget USD"


def _of_task(goal: GoalStatus, task: TaskStatus) -> dict[str, Any]:
    said, reason = _STUCK[task.state], one_line(task.reason)
    # a conflict's reason begins with the word already
    why = reason if reason.startswith(said) else f"{said}: {reason}" if reason else said
    do = f"mo {'review' if task.doubt else 'retry'} {goal.id}/{task.spec.id}"
    if task.state is TaskState.TAKEN:
        where = one_line(task.worktree) if task.lent else "it is being handed over"
        why, do = f"{said}: {reason or where}", f"mo give {goal.id}/{task.spec.id}"
    if task.unusable and task.state is TaskState.FAILED:
        do = f"mo agents test {task.unusable}; {do}"
    return {"task": task.spec.id, "why": why, "do": do}


def undelivered(goal: GoalStatus) -> bool:
    """Whether something landed on integration that no successful `land` has taken to the target branch."""
    if not goal.spec.target or goal.integration in ("", goal.base):
        return False
    # a land that took the target to an older landing is out of date; any other commit contains integration
    older = {landing["commit"] for landing in goal.landings} - {goal.integration}
    results = [op.result for op in goal.operations.values() if op.name == "land" and op.result]
    return not any(result["ok"] and result.get("commit") not in older for result in results)


def _last_refusal(goal: GoalStatus) -> str:
    results = [op.result for op in goal.operations.values() if op.name == "land" and op.result]
    return one_line(str(results[-1].get("message", ""))) if results and not results[-1]["ok"] else ""
