"""The JSON documents of `mo status --json` and `mo show --json` (docs/schemas).

Fields may be added, never renamed or dropped.  Times are seconds since the epoch (UTC), money US dollars.
What this version does not know yet stands there as null, 0 or an empty list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mo_git.breakers import Breaker, Wait
from mo_git.goal_status import Attempt, GoalStatus, Spent, TaskStatus
from mo_git.iteration_state import VERIFIER
from mo_git.model import TaskState
from mo_git.plan_state import PLANNER
from mo_git.simple.item import ItemState
from mo_git.views.needs import needs
from mo_git.views.waiting import waits_for

Waits = Mapping[Wait, int]  # how many tasks
_DAEMON = ("pid", "version", "started_at", "web", "isolation", "gates", "executor")
_ACTIVE = frozenset(
    {
        TaskState.RUNNING,
        TaskState.CHECKING,
        TaskState.REVIEWING,
        TaskState.RESOLVING,
        TaskState.GATING,
        TaskState.WAITING,
        TaskState.TAKEN,
    }
)
_STREAMS = {True: "stream.log", False: "stream.jsonl"}  # of a command, of an agent
_IN_WORKTREE = _ACTIVE - {TaskState.GATING, TaskState.WAITING}


def status_document(
    goals: Sequence[GoalStatus],
    *,
    seq: int,
    daemon: Mapping[str, Any],
    limits: Mapping[str, Any],
    doing: Mapping[str, str] | None = None,
    waits: Mapping[str, Waits] | None = None,
    forecast: Sequence[tuple[Sequence[str], Sequence[str]]] = (),
) -> dict[str, Any]:
    """All goals, newest first; `seq` is that of the newest fact in it.  Without a daemon it is null.

    `doing`: GOAL/TASK#N -> what its agent does just now.  `waits`: GOAL -> {(what ready tasks wait for, until
    when): how many of them; 0: its planning does}.  `forecast`: conflicts to come, two tasks (GOAL/TASK) and
    the paths of each.
    """
    newest = sorted(goals, key=lambda goal: (_created(goal), goal.id), reverse=True)
    return {
        "v": 1,
        "seq": seq,
        "daemon": {**dict.fromkeys(_DAEMON), **daemon} if daemon else None,
        "limits": dict(limits),
        "goals": [_overview(goal, doing or {}, (waits or {}).get(goal.id, {})) for goal in newest],
        "forecast": [{"tasks": list(tasks), "paths": list(paths)} for tasks, paths in forecast],
    }


def _created(goal: GoalStatus) -> float:
    return goal.created_at or goal.spec.created_at


def _overview(goal: GoalStatus, doing: Mapping[str, str], waits: Waits) -> dict[str, Any]:
    states = [goal.task_state(task) for task in goal.tasks.values()]
    return {
        "id": goal.id,
        "title": goal.spec.title,
        "state": goal.state,
        "reason": goal.reason,
        "target": goal.spec.target,
        "created_at": _created(goal),
        "tasks": {str(state): states.count(state) for state in TaskState if state in states},
        "active": [
            {
                "task": task.spec.id,
                "state": goal.task_state(task),
                "attempt": task.attempt,
                "since": task.since,
                "until": task.not_before if task.state is TaskState.WAITING else None,
                "reason": task.reason or doing.get(f"{goal.id}/{task.spec.id}#{task.attempt}", ""),
            }
            for task in goal.tasks.values()
            if task.state in _ACTIVE
        ],
        "doing": doing.get(_reader(goal), ""),
        "iteration": goal.iterations.current,
        "iterations": goal.most_iterations,
        "waits": [{"why": why, "until": until, "tasks": tasks} for (why, until), tasks in waits.items()],
        "gate": _gate_kind(goal),
        "needs": needs(goal),
        "questions": list(_questions(goal)),
        "estimate": dict(goal.estimate) if goal.estimate else None,
        "cost_usd": round(goal.total().cost_usd, 6),
        **items_of(goal),
    }


def items_of(goal: GoalStatus) -> dict[str, dict[str, int]]:
    """How many items of a job are in which state; nothing for a goal with tasks."""
    items = goal.items
    if goal.spec.bulk is None or items is None:
        return {}
    return {"items": {str(state): items[state] for state in ItemState if items.get(state)}}


def _reader(goal: GoalStatus) -> str:
    """The run of the planner, or of the verifier."""
    if goal.wants_verdict:
        return f"{goal.id}/{VERIFIER}#{goal.iterations.runs}"
    return f"{goal.id}/{PLANNER}#{goal.planning.runs}"


def _questions(goal: GoalStatus) -> tuple[str, ...]:
    """The planner's open ones."""
    return goal.planning.questions if goal.awaits_answers else ()


def _gate_kind(goal: GoalStatus) -> str:
    """none | weak (exit code only) | tests; empty while it is not proved."""
    if goal.proof is None:
        return ""
    if goal.proof.get("command") == "none":
        return "none"
    return "weak" if goal.proof.get("weak") else "tests"


_NO_BREAKERS: Mapping[str, Breaker] = {}


def goal_document(
    goal: GoalStatus, breakers: Mapping[str, Breaker] = _NO_BREAKERS, now: float = 0.0
) -> dict[str, Any]:
    """One goal in full; `breakers`: how it stands with each agent now."""
    return {
        "v": 1,
        "goal": {
            "id": goal.id,
            "title": goal.spec.title,
            "state": goal.state,
            "reason": goal.reason,
            "base": goal.base or goal.spec.base,
            "integration": goal.integration,
            "target": goal.spec.target,
            "deliver": goal.spec.deliver,
            "iteration": goal.iterations.current,
            "iterations": goal.most_iterations,
            "created_at": _created(goal),
            "started_at": goal.started_at,
            "ended_at": goal.ended_at,
            **_spent(goal.total()),
            "tasks": [task_document(goal, task, breakers, now) for task in goal.tasks.values()],
            "landings": [_landing(landing) for landing in goal.landings],
            "gates": [_gate(gate) for gate in goal.gates],
            "conflicts": [
                {"with": [], "paths": [], "resolution": None, **conflict} for conflict in goal.conflicts
            ],
            "ejections": [{"evidence": None, **ejection} for ejection in goal.ejections],
            "changes": [dict(change) for change in goal.changes],
            "score": [dict(score) for score in goal.scores],
            "verdicts": [dict(verdict) for verdict in goal.iterations.verdicts],
            "assumptions": list(goal.planning.assumptions),
            "questions": list(_questions(goal)),
            "answers": [{"question": one, "answer": other} for one, other in goal.planning.answered],
            "estimate": dict(goal.estimate) if goal.estimate else None,
            "needs": needs(goal),
        },
    }


def task_document(
    goal: GoalStatus,
    task: TaskStatus,
    breakers: Mapping[str, Breaker] = _NO_BREAKERS,
    now: float = 0.0,
) -> dict[str, Any]:
    """One task in full, as it stands in its goal's document."""
    branches = [attempt.branch for attempt in task.attempts if attempt.branch]
    return {
        "id": task.spec.id,
        "title": task.spec.title,
        "state": goal.task_state(task),
        "reason": task.reason,
        "iteration": task.iteration,
        "waits": waits_for(goal, task, breakers, now),
        "depends_on": list(task.spec.depends_on),
        "from": task.spec.from_ref or None,
        "branch": branches[-1] if branches else f"mo/{goal.id}/{task.spec.id}",
        "base": task.attempts[-1].base if task.attempts else None,
        "commit": task.commit or None,
        "landed_commit": task.landed_commit or None,
        "writes": list(task.spec.writes or ()),
        "paths": list(task.paths),
        "summary": task.summary,
        "output": task.output,
        "attempts": [_attempt(goal, task, attempt) for attempt in task.attempts],
        "review": dict(task.review) if task.review else None,
        "doubt": dict(task.doubt) if task.doubt else None,
        "accepted": sorted(task.accepted | task.accepted_inputs),
        "worktree": task.worktree if task.state in _IN_WORKTREE else None,
    }


def _attempt(goal: GoalStatus, task: TaskStatus, attempt: Attempt) -> dict[str, Any]:
    return {
        "n": attempt.n,
        "provider": attempt.provider or task.spec.provider,
        "model": attempt.model or task.spec.model or None,
        "phase": attempt.phase,
        "state": attempt.state,
        "class": attempt.failure or None,
        "reason": attempt.reason,
        "base": attempt.base,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "exit_code": attempt.exit_code,
        "kept": attempt.kept or None,
        **_spent(attempt.spent),
        "log": f".mo/runs/{goal.id}/{task.spec.id}/{attempt.n}/{_STREAMS[not task.spec.by_agent]}",
    }


def _spent(spent: Spent) -> dict[str, Any]:
    return {
        "cost_usd": round(spent.cost_usd, 6),
        "tokens": {"input": spent.input_tokens, "output": spent.output_tokens},
    }


def _landing(landing: Mapping[str, Any]) -> dict[str, Any]:
    return {"seq": None, "commit": None, "tree": None, "tasks": [], "at": None, **landing}


def _gate(gate: Mapping[str, Any]) -> dict[str, Any]:
    tests = {"passed": 0, "failed": 0, "missing": 0, "flaky": 0, **(gate.get("tests") or {})}
    defaults: dict[str, Any] = {
        "commit": None,
        "tree": None,
        "tasks": [],
        "kind": "full",
        "result": "unknown",
        "cached": False,
    }
    lists: dict[str, Any] = {"failed_ids": [], "flaky_ids": [], "metrics": {}}
    return {**defaults, **lists, "seconds": 0, **gate, "tests": tests}
