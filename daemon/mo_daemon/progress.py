"""What planner and verifier are told of a goal's earlier work.  Pure.

What agents wrote stands in marked data blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mo_daemon import fixes
from mo_daemon.briefing import shown
from mo_daemon.prompts import bullets, data_block
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.iteration_state import ESCALATE, PIVOT

_SUMMARY = 600  # characters of what one task reported
_WORK_LIMIT = 30_000  # characters of all tasks together
_COURSES: Mapping[str, str] = {
    "": "Plan only what is still missing.",
    ESCALATE: "The last iterations brought no progress; stronger agents do the work now. Plan what is still "
    "missing in tasks that say more of how.",
    PIVOT: "What was tried so far does not lead there. Take another approach: say in each prompt what not to "
    "repeat.",
}


def so_far(goal: GoalStatus) -> str:
    """For the planner of a further iteration; empty for the first plan, but for what has to turn green."""
    return _required(goal) + (_again(goal) if goal.iterations.turns else "")


def _required(goal: GoalStatus) -> str:
    wanted = fixes.required(goal.plan, goal.proof)
    if not wanted:
        return ""
    return "\nThese tests have to pass in the end:\n" + data_block("tests", bullets(wanted))


def _again(goal: GoalStatus) -> str:
    turn = goal.iterations.turns[-1]
    return (
        f"\nThis goal was planned before; now its iteration {turn['iteration']} begins. "
        f"{_COURSES[turn['course']]} The repository holds all that landed. "
        "New tasks cannot depend on earlier ones.\n"
        + data_block("what is missing", bullets(turn["missing"]))
        + (data_block("what came of the last iteration", turn["why"]) if turn["why"] else "")
        + data_block("earlier tasks", _tasks(goal), _WORK_LIMIT)
    )


def evidence(goal: GoalStatus) -> str:
    """For the verifier: what the tasks came to, and what mo itself saw of it."""
    return (
        data_block("tasks", _tasks(goal), _WORK_LIMIT)
        + data_block("what the tests say", _tests(goal))
        + (data_block("what was missing before", bullets(_before(goal))) if _before(goal) else "")
    )


def unmet(goal: GoalStatus) -> list[str]:
    """What speaks against a goal that is called done, whoever calls it so."""
    found = [
        f"task {task.spec.id} ({task.spec.title or task.spec.id}) did not land: {task.reason}"
        for task in goal.current
        if not task.satisfied
    ]
    if goal.checked and not goal.checked["passed"]:
        found.append(f"the goal's check failed: {goal.checked['reason']}")
    return found


def _tasks(goal: GoalStatus) -> str:
    return "\n\n".join(_task(task) for task in goal.tasks.values())


def _task(task: TaskStatus) -> str:
    head = f"{task.spec.id}: {task.spec.title or task.spec.id}: {task.state}"
    lines = [f"{head}, {task.reason}" if task.reason else head]
    lines += [f"asked: {task.spec.prompt.strip()[:_SUMMARY]}"] if task.spec.prompt else []
    lines += [f"reported: {task.summary.strip()[:_SUMMARY]}"] if task.summary else []
    return "\n".join(lines)


def _tests(goal: GoalStatus) -> str:
    lines = [_gate(goal.gates[-1])] if goal.gates else ["nothing landed, so nothing was tested"]
    if goal.plan.check is not None:
        passed = goal.checked and goal.checked["passed"]
        lines.append(f"the goal's check ({shown(goal.plan.check)}): {'passed' if passed else 'failed'}")
    if goal.checked and goal.checked["reason"]:
        lines.append(str(goal.checked["reason"]))
    return "\n".join(lines)


def _gate(gate: Mapping[str, Any]) -> str:
    tests = gate.get("tests") or {}
    counted = ", ".join(f"{number} {name}" for name, number in tests.items() if number)
    said = f"the last gate: {gate.get('result', 'unknown')}"
    return f"{said}, {counted}" if counted else said


def _before(goal: GoalStatus) -> list[str]:
    return list(goal.iterations.turns[-1]["missing"]) if goal.iterations.turns else []
