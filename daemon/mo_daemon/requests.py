"""What people ask for through the inbox: each verb checks what is, records facts, and answers.

An answer is a document: {"ok": true, "message"} or a refusal with code, message and hint.  None means that
a job was started or requested and will answer later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from mo_daemon import stepping_rules
from mo_daemon.actions import attempt_key, landing_key
from mo_daemon.routing import Choice, NoAgent
from mo_git import dag
from mo_git.config import Config
from mo_git.errors import Exit, MoError
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.ledger.records import goal_from_data
from mo_git.lifecycle import has_ended
from mo_git.model import PROVIDERS, GoalSpec, GoalState, Kind, NewFact, TaskSpec, TaskState
from mo_git.plan import plan_from_data, plan_to_data
from mo_git.plan_edit import refuse_begun, with_changes
from mo_git.text import count


class Desk(Protocol):
    """What a request may ask of the engine."""

    def goal(self, goal_id: str) -> GoalStatus: ...
    def has_goal(self, goal_id: str) -> bool: ...
    def adopt(self, spec: GoalSpec) -> None: ...
    def record(self, facts: list[NewFact]) -> None: ...
    def stop_job(self, key: str) -> None: ...
    def retry_items(self, goal: GoalStatus) -> int: ...
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
    for agent in spec.bulk.agents if spec.bulk else ():
        choice = desk.assign(spec, TaskSpec("item", prompt="item", provider=agent))
        if isinstance(choice, NoAgent):
            raise _nobody("do the items", choice)
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
    if task.state is TaskState.TAKEN:
        hint = f"mo give --back {goal.id}/{task.spec.id}, then mo skip"
        raise MoError(f"{goal.id}/{task.spec.id} is taken: a person has it", hint)
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
    if goal.spec.bulk is not None:
        return _retry_items(desk, goal)
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


def _retry_items(desk: Desk, goal: GoalStatus) -> Answer:
    """Only what failed, or was cancelled: what has landed stays."""
    desk.check_settings()
    if not has_ended(goal):
        raise MoError(f"{goal.id} is {goal.state}: retry it when it has ended", f"mo simple status {goal.id}")
    again = desk.retry_items(goal)
    if not again and goal.state is GoalState.DONE:
        raise MoError(f"nothing to retry: all items of {goal.id} are done", f"mo simple status {goal.id}")
    desk.record(_reopen(goal, "retried"))
    return _ok(f"{goal.id}: {count(again, 'item')} again")


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
    """A person approves what waits for that, a plan or a doubted candidate, or says what is wrong."""
    goal, verdict = desk.goal(payload["goal"]), VERDICTS.get(payload["verdict"])
    if verdict is None:
        raise ValueError(payload["verdict"])
    if not payload["task"]:
        if not goal.awaits_approval:
            raise MoError(f"no plan of {goal.id} waits: it is {goal.state}", f"mo review {goal.id}")
        if verdict is not _approved:
            hint = f"mo edit {goal.id} changes it, mo cancel {goal.id} gives it up"
            raise MoError(f"the plan of {goal.id} can only be approved", hint, Exit.USAGE)
        return _resume(desk, name, {"goal": goal.id})
    task, by = _task(goal, payload["task"]), str(payload.get("by", ""))
    named = f"{goal.id}/{task.spec.id}"
    if task.state is not TaskState.AWAITING_PERSON:
        raise MoError(f"{named} does not wait for you: it is {task.state}", f"mo review {goal.id}")
    fact, said = verdict(desk, goal, task, by, str(payload.get("comment", "")))
    if fact.kind is Kind.EJECTED:
        desk.record([fact])
    else:
        desk.record([fact, *_unskip(goal, [task.spec.id]), *_reopen(goal, str(fact.kind))])
    return _ok(f"{named} {said}")


def _approved(desk: Desk, goal: GoalStatus, task: TaskStatus, by: str, comment: str) -> tuple[NewFact, str]:
    if task.doubt is None:
        named = f"{goal.id}/{task.spec.id}"
        raise MoError(f"{named} has nothing to approve: {task.reason}", f"mo retry {named}; mo logs {named}")
    desk.check_settings()
    data = {**task.doubt, "by": by}
    accepted = NewFact(goal.id, Kind.ACCEPTED, data, task.spec.id, task.attempt)
    return accepted, "is a candidate again, and lands when the gate is green"


def _rejected(desk: Desk, goal: GoalStatus, task: TaskStatus, by: str, comment: str) -> tuple[NewFact, str]:
    doubt = task.doubt or {}
    why = f"rejected by {by or 'a person'}: {comment.strip() or task.reason}"
    evidence = {"failed_ids": list(doubt.get("ids", ()))}
    data: dict[str, Any] = {"why": why, "evidence": evidence, "by": by}
    data |= {"review": True} if doubt.get("about") == "review" else {}
    said = f"is ejected; mo retry {goal.id}/{task.spec.id} does it again"
    return NewFact(goal.id, Kind.EJECTED, data, task.spec.id), said


def _commented(desk: Desk, goal: GoalStatus, task: TaskStatus, by: str, comment: str) -> tuple[NewFact, str]:
    named = f"{goal.id}/{task.spec.id}"
    if not comment.strip():
        raise MoError("the comment is empty", "say what has to be changed", Exit.USAGE)
    if not task.spec.by_agent:
        raise MoError(f"no agent did {named}", f"mo review {named} --approve or --reject", Exit.USAGE)
    desk.check_settings()
    data = {"comment": comment.strip(), "by": by}
    return NewFact(goal.id, Kind.COMMENTED, data, task.spec.id, task.attempt), "goes back to its agent"


VERDICTS = {"approve": _approved, "accept": _approved, "reject": _rejected, "comment": _commented}


def _take(desk: Desk, name: str, payload: Mapping[str, Any]) -> Answer:
    """The task is the person's from now on; what runs for it is stopped, then its worktree is handed over."""
    goal = desk.goal(payload["goal"])
    task = _task(goal, payload["task"])
    stepping_rules.refuse_to_take(goal, task)
    ask = {"request": name, "operation": "take", "arguments": {"task": task.spec.id}}
    facts = [NewFact(goal.id, Kind.OPERATION_REQUESTED, ask)]
    if task.state is not TaskState.TAKEN:
        by = {"by": str(payload.get("by", ""))}
        facts = [NewFact(goal.id, Kind.TAKEN, by, task.spec.id), *_reopen(goal, "taken by a person"), *facts]
        facts += _unskip(goal, [task.spec.id])
        queued = task.state in (TaskState.CANDIDATE, TaskState.GATING)
        desk.stop_job(landing_key(goal.id) if queued else attempt_key(goal.id, task.spec.id))
    desk.record(facts)
    return None


def _give(desk: Desk, name: str, payload: Mapping[str, Any]) -> Answer:
    """What the person made is looked at as an attempt, or left aside (`back`)."""
    goal = desk.goal(payload["goal"])
    facts = stepping_rules.give(goal, _task(goal, payload["task"]), name, payload)
    desk.check_settings()
    desk.record([*_reopen(goal, "given back"), *facts])
    return None


def _say(desk: Desk, name: str, payload: Mapping[str, Any]) -> Answer:
    """A person's words for a task's agent: at its next turn, or (`now`) by an interruption."""
    goal = _open_goal(desk, payload)
    fact, message = stepping_rules.say(goal, _task(goal, payload["task"]), payload)
    desk.record([fact])
    return _ok(message)


def _edit(desk: Desk, name: str, payload: Mapping[str, Any]) -> Answer:
    """Other keys of a task, or another plan, where that has not begun."""
    goal = desk.goal(payload["goal"])
    if goal.needs_plan:
        raise MoError(f"{goal.id} has no plan yet: it is {goal.state}", f"mo status {goal.id}")
    settings = desk.check_settings()
    providers = {*PROVIDERS, *settings.roster}
    if "plan" in payload:
        plan = plan_from_data(payload["plan"], f"the plan of {goal.id}", providers=providers)
    else:
        task = _task(goal, payload["task"])
        plan = with_changes(goal, task.spec.id, payload["changes"], providers)
    if len(plan.tasks) > settings.planner.max_tasks:
        hint = "split it, or raise planner.max_tasks"
        raise MoError(f"the plan has {len(plan.tasks)} tasks, too many", hint, Exit.USAGE)
    changed = refuse_begun(goal, plan)
    for spec in plan.tasks:
        if spec.id in changed and isinstance(choice := desk.assign(goal.spec, spec), NoAgent):
            raise _nobody(f"do task {spec.id}", choice)
    if plan == goal.plan:
        return _ok(f"{goal.id} is as it was")
    data = {"plan": plan_to_data(plan), "by": str(payload.get("by", ""))}
    desk.record([NewFact(goal.id, Kind.PLAN_EDITED, data)])
    return _ok(f"{goal.id}: changed " + (", ".join(changed) or "its plan"), changed=changed)


def _operation(verb: str) -> Handler:
    def handler(desk: Desk, name: str, payload: Mapping[str, Any]) -> Answer:
        goal = desk.goal(payload["goal"])
        if goal.started_at is None:
            raise MoError(f"{goal.id} has not started: it is {goal.state}", f"mo status {goal.id}")
        if verb == "sync" and has_ended(goal) and not goal.spec.target:
            raise MoError(f"{goal.id} has no target branch", "", Exit.USAGE)
        desk.check_settings()
        arguments = {
            key: payload[key] for key in ("onto", "task", "item", "to", "with_dependents") if key in payload
        }
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
    "edit": _edit,
    "say": _say,
    "take": _take,
    "give": _give,
    "land": _operation("land"),
    "sync": _operation("sync"),
    "rollback": _operation("rollback"),
}
