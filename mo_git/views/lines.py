"""A goal as lines of text: one per notable fact while it runs, a few at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mo_git.goal_status import GoalStatus
from mo_git.model import Fact, GoalState, Kind, TaskState
from mo_git.text import clock, count, duration, one_line
from mo_git.views.needs import needs, undelivered

_REASON = 600  # characters of why a goal stands still: the remedy comes last and has to fit
_FIXED = ("event", "goal", "task", "attempt", "at")


NO_GATE = "none"  # the gate command that means: there is none


def event_document(fact: Fact) -> dict[str, Any]:
    """A fact as one JSON line of a followed goal."""
    head = {"event": fact.kind, "goal": fact.goal, "task": fact.task, "attempt": fact.attempt, "at": fact.at}
    return head | {key: value for key, value in fact.data.items() if key not in _FIXED}


def event_line(fact: Fact, goal: GoalStatus) -> str | None:
    """One plain line (local time), or None for a fact that says nothing new; `goal` already contains it."""
    said = _about_task(fact, goal) if fact.task else _about_goal(fact, goal)
    if said is None:
        return None
    width = max([4, *map(len, goal.tasks)])
    return f"{clock(fact.at)}  {fact.task or 'goal':<{width}}  {said}"


def _about_task(fact: Fact, goal: GoalStatus) -> str | None:
    data = fact.data
    match fact.kind:
        case Kind.ATTEMPT_STARTED:
            again = f" (attempt {fact.attempt})" if fact.attempt > 1 else ""
            return f"started on {_short(data['base'])}{again}"
        case Kind.ATTEMPT_FAILED:
            return f"attempt {fact.attempt} failed: {_because(data)}"
        case Kind.CANDIDATE:
            about = [count(len(data["paths"]), "file")] if "paths" in data else []
            about += [duration(data["seconds"])] if "seconds" in data else []
            return f"candidate {_short(data['commit'])}" + _in_brackets(about)
        case Kind.UNCHANGED:
            return "unchanged: nothing to do"
        case Kind.RETRY_SCHEDULED:
            return f"again at {clock(data['not_before'])}: {one_line(data['why'])}"
        case Kind.GATE_STARTED:
            return "in the gate"
        case Kind.GATE_DROPPED:
            return f"back in the queue: {one_line(data.get('why', ''))}"
        case Kind.LANDED:
            return f"landed as {_short(data['commit'])}" + _in_brackets(_evidence(fact, goal))
        case Kind.CONFLICT:
            other = ", ".join(data.get("with", ()))
            return f"conflict{' with ' + other if other else ''} in {one_line(', '.join(data['paths']))}"
        case Kind.EJECTED:
            return f"ejected: {one_line(data['why'])}"
        case Kind.FAILED:
            return f"failed: {_because(data)}"
        case Kind.SKIPPED:
            return f"skipped: {one_line(data['reason'])}"
        case Kind.TASK_CANCELLED:
            return _with("cancelled", data.get("reason", ""))
        case Kind.HELD:
            return _with("waits for you", data.get("reason", ""))
        case Kind.ACCEPTED:
            return _with("accepted", data.get("by", ""))
        case Kind.RETRIED:
            return _with("to be tried again", data.get("hint", ""))
    return _about_review(fact)


def _about_review(fact: Fact) -> str | None:
    data = fact.data
    match fact.kind:
        case Kind.REVIEW_STARTED:
            return f"in review by {data['provider']}" + _round(data)
        case Kind.REVIEWED:
            return _reviewed(data)
        case Kind.REVIEW_FAILED:
            return f"no review by {data['provider']}: {_because(data)}"
        case Kind.REWORK_STARTED:
            return f"corrected by its agent{_round(data)}"
        case Kind.COMMENTED:
            return _with(f"{data['by'] or 'a person'} asks for changes", data["comment"])
    return None


def _round(data: Mapping[str, Any]) -> str:
    return f" (round {data['round']})" if data["round"] > 1 else ""


def _reviewed(data: Mapping[str, Any]) -> str:
    """What a reviewer said, and why evidence made it worse."""
    words = {"approve": "approved by", "request_changes": "changes asked for by", "reject": "rejected by"}
    found = [count(len(data["findings"]), "finding")] if data["findings"] else []
    found += [str(data["lowered"])] if data.get("lowered") else []
    said = f"{words.get(data['verdict'], data['verdict'])} {data['by']}" + _in_brackets(found)
    return _with(said, data.get("summary", ""))


def _about_plan(fact: Fact) -> str | None:
    data = fact.data
    match fact.kind:
        case Kind.PLAN_STARTED:
            return f"planning ({data['provider']}, {one_line(data.get('why', ''))})"
        case Kind.PLAN_REFUSED:
            return f"answer {data['n']} is no valid plan: {one_line('; '.join(data['errors']), _REASON)}"
        case Kind.PLAN_FAILED:
            return f"planning failed: {_because(data)}"
        case Kind.PLAN_ASKED:
            return f"the planner asks: {one_line(' / '.join(data['questions']), _REASON)}"
        case Kind.PLAN_ANSWERED:
            return "the planner has its answers"
        case Kind.PLANNED:
            tasks = ", ".join(task["id"] for task in data["plan"]["task"])
            return f"planned: {one_line(tasks, _REASON)}"
        case Kind.PLAN_APPROVED:
            return "plan approved"
    return None


def _about_goal(fact: Fact, goal: GoalStatus) -> str | None:
    data = fact.data
    match fact.kind:
        case Kind.GOAL_CREATED:
            what = "to be planned" if goal.spec.wants_plan else f"with {count(len(goal.tasks), 'task')}"
            return f"queued {what}: {one_line(goal.spec.title, 80)}"
        case Kind.GOAL_STARTED:
            return f"started on {_short(data['base'])}"
        case Kind.GATE_PROVED:
            return _proof(data)
        case Kind.GATE_RUN:
            return _gate(data)
        case Kind.LANDING:
            if data.get("tasks"):
                return None  # its tasks say it
            return _with(f"integration is at {_short(data['commit'])}", data.get("purpose", ""))
        case Kind.SETUP_FAILED:
            return one_line(data["reason"], _REASON)
        case Kind.REPOSITORY_CHANGED:
            return one_line(_with(change_line(data), data["do"], _REASON), _REASON)
        case Kind.GOAL_CHECKED:
            return (
                "goal check passed" if data["passed"] else _with("goal check failed", data.get("reason", ""))
            )
        case Kind.GOAL_SCORED:
            return _with(f"metrics {data['verdict'].replace('_', ' ')}", data.get("reason", ""), _REASON)
        case Kind.GOAL_PAUSED:
            return "paused: nothing new starts"
        case Kind.GOAL_RESUMED:
            return "resumed"
        case Kind.CANCEL_REQUESTED:
            return _with("to be cancelled", data.get("reason", ""))
        case Kind.GOAL_ENDED:
            return _with(data["state"], data.get("reason", ""))
        case Kind.GOAL_REOPENED:
            return _with("open again", data.get("why", ""))
        case Kind.OPERATION_REQUESTED:
            return f"{data['operation']} requested"
        case Kind.OPERATION_ENDED:
            name = goal.operations[data["request"]].name
            said = data.get("message", "")
            return _with(name if data["ok"] else f"{name} refused", said)
    return _about_plan(fact)


def change_line(data: Mapping[str, Any]) -> str:
    """What happened to the repository, and which programs may have done it."""
    ran = data["ran"]
    more = f" and {len(ran) - 3} more" if len(ran) > 3 else ""
    return f"{data['what']}, while {', '.join(ran[:3])}{more} ran" if ran else f"{data['what']}, not by mo"


def _proof(data: Mapping[str, Any]) -> str:
    failing = data.get("failing") or ()
    red = [f"{count(len(failing), 'test')} failing there already"] if failing else []
    if data.get("command") == NO_GATE:
        return "no gate: what lands is not tested (gate.command = none)"
    if data.get("weak"):
        said = _with(f"weak gate on {_short(data.get('commit', ''))}", data.get("reason", ""))
    else:
        said = f"gate proved on {_short(data.get('commit', ''))}" + _in_brackets(red)
    return "; ".join(filter(None, (said, data.get("hint", ""))))


def _gate(data: Mapping[str, Any]) -> str | None:
    """Green gates are told with what landed.  A run of some tests follows a red one, to be sure of it."""
    result = data.get("result")
    if result == "green":
        return None
    tasks = ", ".join(data.get("tasks", ()))
    failed = data.get("failed_ids") or ()
    shown = ", ".join(failed[:3]) + (f" and {len(failed) - 3} more" if len(failed) > 3 else "")
    about = one_line(shown or str(data.get("reason", "")))
    again = " in these tests alone" if data.get("kind") == "ids" else ""
    return _with(f"gate {result}{again}" + (f" with {tasks}" if tasks else ""), about)


def _evidence(fact: Fact, goal: GoalStatus) -> list[str]:
    """The green gate run that let a task land: the one of its commit, else the last that contained it."""
    green = [gate for gate in goal.gates if gate.get("result") == "green"]
    run = next((gate for gate in reversed(green) if gate.get("commit") == fact.data["commit"]), None)
    run = run or next((gate for gate in reversed(green) if fact.task in gate.get("tasks", ())), None)
    if run is None:
        return []
    passed = (run.get("tests") or {}).get("passed")
    if (goal.proof or {}).get("command") == NO_GATE:
        return ["no gate"]
    said = ["weak gate green" if run.get("weak") else "gate green"]
    said += [count(passed, "test")] if passed else []
    if run.get("cached"):
        return [*said, "cached"]
    return said + ([duration(run["seconds"])] if "seconds" in run else [])


# -- the end ------------------------------------------------------------------------------------------


def summary_lines(goal: GoalStatus) -> list[str]:
    """What landed, what did not and why, and what to type next."""
    rows = [(goal.id, _headline(goal))]
    for state in (TaskState.LANDED, TaskState.UNCHANGED):
        ids = [task.spec.id for task in goal.tasks.values() if task.state is state]
        if ids:
            rows.append((state, one_line(", ".join(ids), 400)))
    for task in goal.tasks.values():
        if task.state not in (TaskState.LANDED, TaskState.UNCHANGED):
            rows.append((goal.task_state(task), _with(task.spec.id, task.reason)))
    rows += [("" if number else "next", line) for number, line in enumerate(_next(goal))]
    width = max(len(name) for name, _ in rows[1:]) if len(rows) > 1 else 0
    return [f"{rows[0][0]}  {rows[0][1]}", *(f"  {name:<{width}}  {said}" for name, said in rows[1:])]


def _headline(goal: GoalStatus) -> str:
    landed = sum(task.satisfied for task in goal.tasks.values())
    said = f"{goal.state}, {landed} of {count(len(goal.tasks), 'task')} landed"
    if goal.started_at is not None and goal.ended_at is not None:
        said += f", {duration(goal.ended_at - goal.started_at)}"
    return _with(said, goal.reason if goal.state is not GoalState.DONE else "", _REASON)


def _next(goal: GoalStatus) -> list[str]:
    commands = list(dict.fromkeys(str(need["do"]) for need in needs(goal)))
    if goal.state is not GoalState.DONE and goal.ended and undelivered(goal):
        commands.append(f"mo land {goal.id} (takes what landed to {one_line(goal.spec.target)})")
    return commands


# -- small words --------------------------------------------------------------------------------------


def _because(data: Mapping[str, Any]) -> str:
    kind, reason = str(data.get("class", "")), one_line(str(data.get("reason", "")))
    return f"{reason} ({kind})" if reason and kind else reason or kind


def _with(said: str, reason: str, limit: int = 200) -> str:
    return f"{said}: {one_line(reason, limit)}" if reason else said


def _in_brackets(parts: list[str]) -> str:
    return f" ({', '.join(parts)})" if parts else ""


def _short(commit: str) -> str:
    return commit[:7]
