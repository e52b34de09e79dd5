"""What people ask for through the inbox: each verb checks what is, records facts, and answers.

An answer is a document: {"ok": true, "message"} or a refusal with code, message and hint.  None means that
a job was started or requested and will answer later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from mo_daemon.decide import attempt_key, landing_key
from mo_daemon.routing import Choice, NoAgent
from mo_git import dag
from mo_git.config import Config
from mo_git.errors import Exit, MoError
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.ledger.records import goal_from_data
from mo_git.lifecycle import has_ended
from mo_git.model import GoalSpec, GoalState, Kind, NewFact, TaskSpec, TaskState
from mo_git.text import count


class Desk(Protocol):
    """What a request may ask of the engine."""

    def goal(self, goal_id: str) -> GoalStatus: ...
    def has_goal(self, goal_id: str) -> bool: ...
    def adopt(self, spec: GoalSpec) -> None: ...
    def record(self, facts: list[NewFact]) -> None: ...
    def stop_job(self, key: str) -> None: ...
    def assign(self, spec: GoalSpec, task: TaskSpec | None) -> Choice | NoAgent: ...
    def start_chore(self, request: str, verb: str, payload: Mapping[str, Any]) -> None: ...
    def check_settings(self) -> Config: ...


Answer = dict[str, Any] | None
Handler = Callable[[Desk, str, Mapping[str, Any]], Answer]


def handle(desk: Desk, name: str, verb: str, payload: Mapping[str, Any]) -> Answer:
    """Carry out one request; a refusal is an answer, too."""
    try:
        handler = HANDLERS.get(verb)
        if handler is None:
            raise MoError(f"unknown request {verb}", "the daemon may be older than the command", Exit.USAGE)
        return handler(desk, name, payload)
    except MoError as error:
        return refusal(error)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        return refusal(MoError(f"request {verb} is malformed: {error!r}", "", Exit.USAGE))


def refusal(error: MoError) -> dict[str, Any]:
    return {"ok": False, "code": error.code.name.lower(), "message": error.message, "hint": error.hint}


def _ok(message: str, **more: Any) -> dict[str, Any]:
    return {"ok": True, "message": message, **more}


def _do(desk: Desk, name: str, payload: Mapping[str, Any]) -> Answer:
    spec = goal_from_data(payload["goal"])
    if desk.has_goal(spec.id):
        return _ok(f"{spec.id} is queued already", goal=spec.id)
    planner = desk.check_settings().planner
    if len(spec.plan.tasks) > planner.max_tasks:
        raise MoError(
            f"the plan has {len(spec.plan.tasks)} tasks, at most {planner.max_tasks} are allowed",
            "split it, or raise planner.max_tasks",
            Exit.USAGE,
        )
    planned = spec.wants_plan or spec.plan.iterations > 1
    for task in [*([None] if planned else ()), *spec.plan.tasks]:  # None: the plan itself
        choice = desk.assign(spec, task)
        if isinstance(choice, NoAgent):
            raise _nobody(f"do task {task.id}" if task else "plan it", choice)
    if spec.depends_on and not desk.has_goal(spec.depends_on):
        raise MoError(f"no goal {spec.depends_on}", "mo status lists the goals", Exit.NOT_FOUND)
    desk.adopt(replace(spec, serialize_overlaps=planner.serialize_overlaps))
    return _ok(f"queued {spec.id}", goal=spec.id)


def _nobody(what: str, choice: NoAgent) -> MoError:
    """Why no agent can do it; what all agents that were asked need becomes one hint."""
    parts = {name: why.partition("; ") for name, why in choice.reasons.items()}
    reasons = [why if why.startswith(name) else f"{name}: {why}" for name, (why, _, _) in parts.items()]
    own = [hint for _, _, hint in parts.values() if hint and not hint.startswith("put ")]
    asked = " or ".join(sorted({hint.split()[1] for _, _, hint in parts.values() if hint.startswith("put ")}))
    install = [] if own else [f'put {asked} on PATH, or: pip install "mo-git[agents]"']
    work = ["mo agents list shows what is there; plans of commands (mo do @plan.toml) and mo demo need none"]
    message = f"no agent can {what}: {'; '.join(reasons)}"
    return MoError(message, "\n".join([*own, *install, *work]), Exit.AGENT)


def _chore(verb: str) -> Handler:
    def handler(desk: Desk, name: str, payload: Mapping[str, Any]) -> Answer:
        desk.check_settings()
        desk.start_chore(name, verb, payload)
        return None

    return handler


def _pause(desk: Desk, name: str, payload: Mapping[str, Any]) -> Answer:
    goal = _open_goal(desk, payload)
    if goal.paused:
        return _ok(f"{goal.id} is paused already")
    desk.record([NewFact(goal.id, Kind.GOAL_PAUSED)])
    return _ok(f"{goal.id} is paused; running attempts finish. mo resume {goal.id}")


def _resume(desk: Desk, name: str, payload: Mapping[str, Any]) -> Answer:
    goal, budget = desk.goal(payload["goal"]), payload.get("budget_usd")
    if budget is not None and goal.state is not GoalState.OVER_BUDGET:
        raise MoError(f"{goal.id} is not out of budget: it is {goal.state}", "leave out --budget", Exit.USAGE)
    iterations = _more_iterations(goal, payload)
    if goal.paused:
        desk.record([NewFact(goal.id, Kind.GOAL_RESUMED)])
    elif iterations or goal.state in (GoalState.HALTED, GoalState.OVER_BUDGET):
        desk.check_settings()
        more = iterations | ({} if budget is None else {"budget_usd": float(budget)})
        desk.record([NewFact(goal.id, Kind.GOAL_REOPENED, {"why": "resumed", **more})])
    elif goal.awaits_answers and not has_ended(goal):
        raise MoError(f"{goal.id} waits for answers to the planner's questions", f"mo review {goal.id}")
    elif goal.state is GoalState.AWAITING_APPROVAL:
        desk.record([NewFact(goal.id, Kind.PLAN_APPROVED)])
    elif has_ended(goal):
        raise MoError(f"{goal.id} has ended: {goal.state}", f"mo retry {goal.id} starts what failed again")
    else:
        return _ok(f"{goal.id} is not paused")
    return _ok(f"{goal.id} goes on")


def _more_iterations(goal: GoalStatus, payload: Mapping[str, Any]) -> dict[str, int]:
    """What `--iterations` adds to the fact; empty where it was not given."""
    if payload.get("iterations") is None:
        return {}
    wanted, least = int(payload["iterations"]), goal.iterations.current + 1
    if not has_ended(goal) or goal.state in (GoalState.DONE, GoalState.CANCELLED):
        raise MoError(f"{goal.id} has not failed: it is {goal.state}", "leave out --iterations", Exit.USAGE)
    if wanted < least:
        message = f"{goal.id} is in its iteration {goal.iterations.current} already"
        raise MoError(message, f"--iterations {least}, or more", Exit.USAGE)
    return {"iterations": wanted}


def _answer(desk: Desk, name: str, payload: Mapping[str, Any]) -> Answer:
    goal = _open_goal(desk, payload)
    answers = [str(answer).strip() for answer in payload["answers"]]
    if not goal.awaits_answers:
        raise MoError(f"{goal.id} has no open questions: it is {goal.state}", f"mo status {goal.id}")
    if len(answers) != len(goal.planning.questions):
        wanted, given = count(len(goal.planning.questions), "question"), count(len(answers), "answer")
        hint = f'one answer for each, in this order, "" where the planner may decide: mo review {goal.id}'
        raise MoError(f"{goal.id} has {wanted}, {given} given", hint, Exit.USAGE)
    desk.record([NewFact(goal.id, Kind.PLAN_ANSWERED, {"answers": answers})])
    return _ok(f"{goal.id} goes on")


def _cancel(desk: Desk, name: str, payload: Mapping[str, Any]) -> Answer:
    goal = _open_goal(desk, payload)
    desk.record([NewFact(goal.id, Kind.CANCEL_REQUESTED, {"reason": payload.get("reason") or "cancelled"})])
    return _ok(f"{goal.id} is being cancelled; its work is kept and what landed stays")


def _open_goal(desk: Desk, payload: Mapping[str, Any]) -> GoalStatus:
    goal = desk.goal(payload["goal"])
    if has_ended(goal):
        raise MoError(f"{goal.id} has ended: {goal.state}", f"mo show {goal.id}")
    return goal


def _task(goal: GoalStatus, task_id: str) -> TaskStatus:
    task = goal.tasks.get(task_id)
    if task is None:
        raise MoError(
            f"{goal.id} has no task {task_id}", "its tasks: " + ", ".join(goal.tasks), Exit.NOT_FOUND
        )
    return task


def _skip(desk: Desk, name: str, payload: Mapping[str, Any]) -> Answer:
    goal = desk.goal(payload["goal"])
    task = _task(goal, payload["task"])
    if task.satisfied:
        raise MoError(f"{goal.id}/{task.spec.id} is {task.state}: there is nothing to skip")
    if goal.intent is not None and task.spec.id in goal.intent["tasks"]:
        raise MoError(f"{goal.id}/{task.spec.id} is landing right now", f"mo status {goal.id}")
    queued = task.state in (TaskState.CANDIDATE, TaskState.GATING)
    facts = [
        NewFact(goal.id, Kind.SKIPPED, {"reason": "skipped by a person", "satisfies": True}, task.spec.id)
    ]
    facts += _unskip(goal, [task.spec.id])
    desk.record(facts + _reopen(goal, "a task was skipped"))
    desk.stop_job(landing_key(goal.id) if queued else attempt_key(goal.id, task.spec.id))
    return _ok(f"{goal.id}/{task.spec.id} counts as done for its dependents")


def _retry(desk: Desk, name: str, payload: Mapping[str, Any]) -> Answer:
    goal = desk.goal(payload["goal"])
    chosen = [_task(goal, payload["task"])] if payload.get("task") else goal.current
    again = [task for task in chosen if _can_retry(task)]
    # what it depended on had failed, or it was cancelled without a plan
    never_began = has_ended(goal) and (goal.started_at is None or goal.needs_plan)
    if not again and goal.state is not GoalState.HALTED and not never_began:
        what = f"{goal.id}/{payload['task']} is {chosen[0].state}" if payload.get("task") else f"in {goal.id}"
        raise MoError(f"nothing to retry: {what}", f"mo status {goal.id}")
    desk.check_settings()
    ids = [task.spec.id for task in again]
    hint = {"hint": payload.get("hint", "")}
    facts = [NewFact(goal.id, Kind.RETRIED, hint, task_id) for task_id in ids]
    facts += [fact for fact in _unskip(goal, ids) if fact.task not in ids]
    desk.record(facts + _reopen(goal, "retried"))
    return _ok(f"{goal.id}: again " + (", ".join(ids) or "from the start"))


def _can_retry(task: TaskStatus) -> bool:
    return task.ended and task.state not in (TaskState.LANDED, TaskState.UNCHANGED)


def _unskip(goal: GoalStatus, task_ids: list[str]) -> list[NewFact]:
    """What was skipped because of these tasks is pending again: dependents; with fail_fast, all the rest."""
    dependents = dag.dependents(goal.plan.tasks)
    wanted = {name for task_id in task_ids for name in dependents[task_id]}
    if goal.plan.error_policy == "fail_fast":
        wanted = set(goal.tasks)
    return [
        NewFact(goal.id, Kind.RETRIED, {}, task.spec.id)
        for task in goal.tasks.values()
        if task.spec.id in wanted and task.state is TaskState.SKIPPED and not task.satisfies
    ]


def _reopen(goal: GoalStatus, why: str) -> list[NewFact]:
    return [NewFact(goal.id, Kind.GOAL_REOPENED, {"why": why})] if has_ended(goal) else []


def _review(desk: Desk, name: str, payload: Mapping[str, Any]) -> Answer:
    """A person accepts what the gate doubts in a candidate, or rejects it for good."""
    goal = desk.goal(payload["goal"])
    task, by = _task(goal, payload["task"]), str(payload.get("by", ""))
    named = f"{goal.id}/{task.spec.id}"
    if task.state is not TaskState.AWAITING_PERSON:
        raise MoError(f"{named} does not wait for you: it is {task.state}", f"mo review {goal.id}")
    if payload["verdict"] not in ("accept", "reject"):
        raise ValueError(payload["verdict"])
    if payload["verdict"] == "reject":
        why = f"rejected by {by or 'a person'}: {task.reason}"
        data = {"why": why, "evidence": {"failed_ids": list((task.doubt or {}).get("ids", ()))}, "by": by}
        desk.record([NewFact(goal.id, Kind.EJECTED, data, task.spec.id)])
        return _ok(f"{named} is ejected; mo retry {named} does it again")
    if task.doubt is None:
        raise MoError(f"{named} has nothing to accept: {task.reason}", f"mo retry {named}; mo logs {named}")
    desk.check_settings()
    accepted = NewFact(goal.id, Kind.ACCEPTED, {**task.doubt, "by": by}, task.spec.id, task.attempt)
    desk.record([accepted, *_unskip(goal, [task.spec.id]), *_reopen(goal, "accepted")])
    return _ok(f"{named} is a candidate again, and lands when the gate is green")


def _operation(verb: str) -> Handler:
    def handler(desk: Desk, name: str, payload: Mapping[str, Any]) -> Answer:
        goal = desk.goal(payload["goal"])
        if goal.started_at is None:
            raise MoError(f"{goal.id} has not started: it is {goal.state}", f"mo status {goal.id}")
        if verb == "sync" and has_ended(goal) and not goal.spec.target:
            raise MoError(f"{goal.id} has no target branch", "", Exit.USAGE)
        desk.check_settings()
        arguments = {key: payload[key] for key in ("onto", "task", "to", "with_dependents") if key in payload}
        data = {"request": name, "operation": verb, "arguments": arguments}
        desk.record([NewFact(goal.id, Kind.OPERATION_REQUESTED, data)])
        return None

    return handler


HANDLERS: Mapping[str, Handler] = {
    "do": _do,
    "prove": _chore("prove"),
    "recover": _chore("recover"),
    "gc": _chore("gc"),
    "agents": _chore("agents"),
    "flakes": _chore("flakes"),
    "pause": _pause,
    "resume": _resume,
    "answer": _answer,
    "cancel": _cancel,
    "skip": _skip,
    "retry": _retry,
    "review": _review,
    "land": _operation("land"),
    "sync": _operation("sync"),
    "rollback": _operation("rollback"),
}
