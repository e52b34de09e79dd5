"""Status is derived from facts: the one table of task transitions, and the fold that applies it.

`GoalStatus` is the state of one goal after a sequence of facts; `apply` is the only function that changes
it, so the daemon (one fact at a time) and every reader (all facts of a goal) see the same thing.
Late facts of an older attempt, and arrows that the table does not have, are ignored: recorded, no effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mo_git import dag
from mo_git.goal_facts import apply_to_goal
from mo_git.goal_status import (
    AT_WORK,
    ENDED_TASK,
    IN_QUEUE,
    OPEN_TASK,
    Attempt,
    GoalStatus,
    Session,
    Spent,
    TaskStatus,
)
from mo_git.iteration_state import ABOUT_ITERATIONS
from mo_git.model import ENDED_GOAL, Fact, GoalSpec, GoalState, Kind, Phase, Plan, TaskState
from mo_git.plan import overlaps, plan_from_data
from mo_git.plan_state import ABOUT_PLANNING
from mo_git.simple.item import ItemState

ABOUT_REVIEW = frozenset(
    {Kind.REVIEW_STARTED, Kind.REVIEW_FAILED, Kind.REVIEWED, Kind.REWORK_STARTED, Kind.COMMENTED}
)
RESOLVED_AT_WORK = ("regenerate", "agent")  # rungs of the conflict ladder that take an attempt
_DONE = frozenset({TaskState.LANDED, TaskState.UNCHANGED})
# kind of fact -> (states it may come in, state that follows; None: the state stays)
ARROWS: Mapping[Kind, tuple[frozenset[TaskState], TaskState | None]] = {
    Kind.ATTEMPT_STARTED: (frozenset({TaskState.PENDING, TaskState.WAITING}), TaskState.RUNNING),
    Kind.SESSION_STARTED: (AT_WORK, None),
    Kind.AGENT_ENDED: (frozenset({TaskState.RUNNING}), TaskState.CHECKING),
    Kind.REVIEW_STARTED: (frozenset({TaskState.CHECKING, TaskState.REVIEWING}), TaskState.REVIEWING),
    Kind.REVIEW_FAILED: (frozenset({TaskState.REVIEWING}), None),
    Kind.REVIEWED: (frozenset({TaskState.CHECKING, TaskState.REVIEWING}), TaskState.CHECKING),
    Kind.REWORK_STARTED: (frozenset({TaskState.CHECKING}), TaskState.RUNNING),
    Kind.ATTEMPT_FAILED: (AT_WORK, None),
    Kind.CANDIDATE: (AT_WORK, TaskState.CANDIDATE),
    Kind.UNCHANGED: (AT_WORK, TaskState.UNCHANGED),
    Kind.RETRY_SCHEDULED: (AT_WORK | IN_QUEUE | {TaskState.WAITING}, TaskState.WAITING),
    Kind.GATE_STARTED: (frozenset({TaskState.CANDIDATE}), TaskState.GATING),
    Kind.GATE_DROPPED: (frozenset({TaskState.GATING}), TaskState.CANDIDATE),
    Kind.LANDED: (IN_QUEUE, TaskState.LANDED),
    Kind.CONFLICT: (AT_WORK | IN_QUEUE | {TaskState.WAITING}, TaskState.CONFLICT),
    Kind.EJECTED: (IN_QUEUE | {TaskState.LANDED, TaskState.AWAITING_PERSON}, TaskState.EJECTED),
    Kind.FAILED: (OPEN_TASK, TaskState.FAILED),
    Kind.SKIPPED: (ENDED_TASK - _DONE | OPEN_TASK, TaskState.SKIPPED),
    Kind.TASK_CANCELLED: (OPEN_TASK, TaskState.CANCELLED),
    Kind.HELD: (IN_QUEUE, TaskState.AWAITING_PERSON),
    Kind.ACCEPTED: (frozenset({TaskState.AWAITING_PERSON}), TaskState.CANDIDATE),
    Kind.COMMENTED: (frozenset({TaskState.AWAITING_PERSON}), TaskState.WAITING),
    Kind.REBASED: (IN_QUEUE, TaskState.CANDIDATE),
    Kind.RETRIED: (ENDED_TASK - _DONE | {TaskState.TAKEN}, TaskState.PENDING),
    Kind.TAKEN: (frozenset(TaskState) - _DONE - {TaskState.TAKEN}, TaskState.TAKEN),
    Kind.HANDED_OVER: (frozenset({TaskState.TAKEN}), None),
    Kind.GIVEN: (frozenset({TaskState.TAKEN}), TaskState.CHECKING),
    Kind.SAID: (AT_WORK | {TaskState.PENDING, TaskState.WAITING}, None),
    Kind.HEARD: (AT_WORK, TaskState.RUNNING),
}


_BY_A_PERSON = frozenset({Kind.TAKEN, Kind.HANDED_OVER, Kind.GIVEN, Kind.SAID, Kind.HEARD})


def new_goal(spec: GoalSpec) -> GoalStatus:
    """A goal without facts."""
    return GoalStatus(spec=spec, tasks=_tasks(spec, spec.plan))


def _tasks(spec: GoalSpec, plan: Plan) -> dict[str, TaskStatus]:
    tasks = {task.id: TaskStatus(task) for task in plan.tasks}
    if spec.serialize_overlaps:
        order = dag.order(plan.tasks)  # not the order of the file: tasks could wait for each other
        for pair in overlaps(plan):
            first, second = sorted(pair[:2], key=order.index)
            tasks[second].behind += (first,)
    return tasks


def replay(spec: GoalSpec, facts: Iterable[Fact]) -> GoalStatus:
    """The status of a goal after all its facts, in the order of `seq`."""
    goal = new_goal(spec)
    for fact in facts:
        apply(goal, fact)
    return goal


def apply(goal: GoalStatus, fact: Fact) -> bool:
    """Let one fact take effect; False where it had none (unknown task, late attempt, no such arrow)."""
    goal.last_seq = max(goal.last_seq, fact.seq)
    had_effect = _take_effect(goal, fact)
    _count_time(goal, fact.at)
    return had_effect


def _count_time(goal: GoalStatus, now: float) -> None:
    """Its time does not run while it is paused or waits for a person: its end moves by as much."""
    stands = goal.paused or goal.awaits_person
    if stands and goal.still_since is None:
        goal.still_since = now
    elif not stands and goal.still_since is not None:
        goal.opened_at += max(0.0, now - max(goal.still_since, goal.opened_at))
        goal.still_since = None


def _take_effect(goal: GoalStatus, fact: Fact) -> bool:
    if fact.kind == Kind.USAGE:  # money counts, however late its fact comes
        _apply_usage(goal, fact)
        return True
    if fact.kind in ABOUT_PLANNING:
        return _apply_to_plan(goal, fact)
    if fact.kind in ABOUT_ITERATIONS:
        return _apply_to_iterations(goal, fact)
    if not fact.task:
        apply_to_goal(goal, fact)
        return True
    task = goal.tasks.get(fact.task)
    if task is None or fact.kind not in ARROWS:
        return False
    sources, target = ARROWS[Kind(fact.kind)]
    if task.state not in sources or not _current(task, fact):
        return False
    if target is not None:
        task.state, task.since, task.doubt = target, fact.at, None
    if fact.kind in _BY_A_PERSON:
        _step_in(goal, task, fact)
    elif fact.kind in ABOUT_REVIEW:
        _review(task, fact)
    else:
        _apply_to_task(goal, task, fact)
    return True


def _apply_usage(goal: GoalStatus, fact: Fact) -> None:
    goal.spent.setdefault(fact.data["provider"], Spent()).add(fact.data)
    task = goal.tasks.get(fact.task)
    for attempt in task.attempts if task else ():
        if attempt.n == fact.attempt:
            attempt.spent.add(fact.data)
            attempt.paid_bytes = fact.data.get("stream", attempt.paid_bytes)
            if fact.data.get("phase") == Phase.REVIEW:
                attempt.paid_reviews = attempt.reviews
    if task is not None and (session := fact.data.get("session")):
        task.sessions.setdefault(session, Session()).add(fact.data)


def _apply_to_plan(goal: GoalStatus, fact: Fact) -> bool:
    if fact.kind == Kind.PLAN_EDITED:
        _edit(goal, plan_from_data(fact.data["plan"], f"the plan of {goal.id}"))
        return True
    planned = goal.spec.wants_plan or goal.planning.awaited or fact.kind == Kind.PLAN_APPROVED
    if not planned or not goal.planning.take(fact):
        return False
    if fact.kind == Kind.PLANNED:
        goal.estimate = fact.data.get("estimate")
        _add_tasks(goal)
    return True


def _add_tasks(goal: GoalStatus) -> None:
    """What was planned now comes to what there is."""
    for name, task in _tasks(goal.spec, goal.plan).items():
        if name not in goal.tasks:
            task.iteration = goal.iterations.current
            goal.tasks[name] = task


def _apply_to_iterations(goal: GoalStatus, fact: Fact) -> bool:
    if not goal.iterations.take(fact):
        return False
    if fact.kind == Kind.ITERATED:
        goal.planning.begin_again(goal.plan)  # as a person changed it
        goal.edited = None
    return True


def _current(task: TaskStatus, fact: Fact) -> bool:
    """Fencing: a fact of an attempt counts only for the newest attempt; numbers only grow."""
    if fact.kind in (Kind.ATTEMPT_STARTED, Kind.GIVEN):
        return fact.attempt > task.attempt
    return fact.attempt in (0, task.attempt)


def _apply_to_task(goal: GoalStatus, task: TaskStatus, fact: Fact) -> None:
    data = fact.data
    match fact.kind:
        case Kind.ATTEMPT_STARTED:
            _begin(goal, task, fact)
        case Kind.SESSION_STARTED:
            task.attempts[-1].session = data["session"]
        case Kind.AGENT_ENDED:
            task.attempts[-1].state = "checking"
            task.attempts[-1].exit_code = data.get("exit_code")
            task.attempts[-1].session = data.get("session", "")
        case Kind.ATTEMPT_FAILED:
            _close(task, fact, "failed")
            task.failures.append(data["class"])
        case Kind.CANDIDATE:
            _close(task, fact, "candidate")
            task.commit, task.tree, task.paths = data["commit"], data["tree"], tuple(data.get("paths", ()))
            task.summary, task.output = data.get("summary", ""), data.get("output")
            task.reason = ""
            task.attempts[-1].base = data.get("base", task.attempts[-1].base)
            _settle(goal, task, data)
        case Kind.REBASED:
            task.commit, task.tree = data["commit"], data["tree"]
            task.attempts[-1].base, task.attempts[-1].upon = data["base"], {}
        case Kind.UNCHANGED:
            _close(task, fact, "unchanged")
            task.commit = data["commit"]
            task.summary, task.output = data.get("summary", ""), data.get("output")
            task.reason = data.get("reason") or "nothing to change"
            _settle(goal, task, data)
        case Kind.RETRY_SCHEDULED:
            _send_again(goal, task, data)
        case Kind.LANDED:
            task.landed_commit, task.reason = data["commit"], ""
        case Kind.CONFLICT:
            why = f": {data['why']}" if data.get("why") else ""
            task.reason = "conflict in " + ", ".join(data["paths"]) + why
            _climb(goal, task, {"resolution": "person", **data})
        case Kind.EJECTED:
            task.reason, task.taken_back = data["why"], bool(data.get("taken_back"))
            if data.get("review"):
                task.review = _verdict("reject", data, task.review)
            goal.ejections.append({"task": task.spec.id, **data})
        case Kind.RETRIED:
            task.reason = task.hint = data.get("hint", "")
            task.resolve, task.red, task.satisfies, task.not_before = None, None, False, 0.0
            task.lent = None
            task.failures.clear()
            task.rungs.clear()
            goal.pinned.pop(task.spec.id, None)  # its branch may have been mended
        case Kind.SKIPPED:
            task.reason, task.satisfies = data["reason"], bool(data.get("satisfies"))
        case Kind.ACCEPTED:
            _accept(task, data)
        case Kind.FAILED | Kind.TASK_CANCELLED | Kind.HELD:
            task.reason = data.get("reason", "")
            task.doubt = data.get("doubt")
            if task.attempts and task.attempts[-1].ended_at is None:
                _close(task, fact, "failed")


def _step_in(goal: GoalStatus, task: TaskStatus, fact: Fact) -> None:
    """A person takes it over, gives back what is then the next attempt, or says something to its agent."""
    match fact.kind:
        case Kind.TAKEN:
            task.reason = fact.data.get("reason", "")
            if task.attempts and task.attempts[-1].ended_at is None:
                _close(task, fact, "taken")
        case Kind.HANDED_OVER:
            task.lent = fact.data
        case Kind.GIVEN:
            _begin(goal, task, fact)
            task.attempts[-1].state = "checking"
        case Kind.SAID:
            task.hint = "\n\n".join(filter(None, (task.hint, fact.data["text"])))
            task.unheard.append(fact.data["text"])
            task.urgent = task.urgent or bool(fact.data.get("now"))
        case Kind.HEARD:
            task.attempts[-1].state = "running"
            del task.unheard[: fact.data["count"]]
            task.urgent = task.urgent and bool(task.unheard)


def _accept(task: TaskStatus, data: Mapping[str, Any]) -> None:
    """A person finds that it is fine."""
    task.reason = ""
    if data["about"] == "review":
        task.review = _verdict("approve", data, task.review)
    elif data["about"] == "inputs":
        task.accepted_inputs |= frozenset(data["paths"])
    else:
        task.accepted |= frozenset(data["ids"])


def _review(task: TaskStatus, fact: Fact) -> None:
    """The reviews of an attempt, and the corrections that they ask for."""
    attempt, data = task.attempts[-1], fact.data
    task.reason = ""
    match fact.kind:
        case Kind.REVIEW_STARTED:
            attempt.state, attempt.reviewer = "reviewing", data["provider"]
            attempt.review_model = data.get("model", "")
            attempt.reviews += 1
        case Kind.REVIEW_FAILED:
            attempt.reviewer = ""  # it waits, and nobody runs
            task.reason = f"no review by {data['provider']}: {data['reason']}"
            task.not_before = data["not_before"]
        case Kind.REVIEWED:
            attempt.state, attempt.reviewer = "checking", ""
            task.review = _verdict(data["verdict"], data, None)
        case Kind.REWORK_STARTED:
            attempt.state = "running"
        case Kind.COMMENTED:
            task.review = _verdict("request_changes", data, None)
            task.reason, task.not_before = f"{data['by'] or 'a person'} asks for changes", fact.at
            attempt.state, attempt.failure, attempt.reason = "failed", "review_rejected", data["comment"]
            attempt.sent_back = True


def _verdict(word: str, data: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """A verdict as it is shown; a person's keeps the findings of the reviewer `before`."""
    said = {"findings": [], "summary": "", **(before or {})}
    said |= {key: data[key] for key in ("summary", "findings", "lowered") if key in data}
    said |= {"summary": data["comment"]} if "comment" in data else {}
    return {**said, "verdict": word, "by": data.get("by", "")}


def _begin(goal: GoalStatus, task: TaskStatus, fact: Fact) -> None:
    """Another attempt."""
    data = fact.data
    task.attempts.append(
        Attempt(
            fact.attempt,
            data["token"],
            data["base"],
            data.get("branch", ""),
            data.get("worktree", ""),
            fact.at,
            provider=data.get("provider", ""),
            model=data.get("model", ""),
            upon=data.get("upon", {}),
            chosen=data.get("why", ""),
            phase=data.get("phase", "execute"),
        )
    )
    task.reason, task.not_before, task.review = "", 0.0, None
    task.unheard, task.urgent = [], False  # its prompt holds the hint
    task.accepted, task.accepted_inputs = frozenset(), frozenset()
    if "pinned" in data:
        goal.pinned[task.spec.id] = data["pinned"]


def _send_again(goal: GoalStatus, task: TaskStatus, data: Mapping[str, Any]) -> None:
    """Another attempt is to come."""
    task.not_before, task.reason = data["not_before"], data["why"]
    if "conflict" in data:
        _climb(goal, task, data["conflict"])
        if task.rungs[-1] in RESOLVED_AT_WORK:
            task.resolve = {**data["conflict"], "lines": data.get("lines", False)}
    if "red" in data:
        _send_back(task, data)


def _climb(goal: GoalStatus, task: TaskStatus, conflict: Mapping[str, Any]) -> None:
    """The next rung of the conflict ladder."""
    goal.conflicts.append({"task": task.spec.id, **conflict})
    task.rungs.append(conflict["resolution"])
    task.resolve = None


def _send_back(task: TaskStatus, data: Mapping[str, Any]) -> None:
    """The gate was red: the attempt that made the candidate counts as failed."""
    task.red = data["red"]
    task.failures.append(data["class"])
    last = task.attempts[-1]
    last.state, last.failure, last.reason = "failed", data["class"], data["why"]


def _settle(goal: GoalStatus, task: TaskStatus, data: Mapping[str, Any]) -> None:
    """Its work is accepted: what it came back for is done."""
    if task.resolve is not None:
        mine = next(n for n, one in reversed(list(enumerate(goal.conflicts))) if one["task"] == task.spec.id)
        goal.conflicts[mine] = {**goal.conflicts[mine], "commit": data["commit"]}
    task.resolve = task.red = task.lent = None


def _close(task: TaskStatus, fact: Fact, state: str) -> None:
    attempt = task.attempts[-1]
    attempt.state, attempt.ended_at = state, fact.at
    attempt.failure = fact.data.get("class", "")
    attempt.reason = fact.data.get("reason", "")
    attempt.exit_code = fact.data.get("exit_code", attempt.exit_code)
    attempt.kept = fact.data.get("kept", "")
    if fact.kind == Kind.ATTEMPT_FAILED:
        task.reason = attempt.reason


def _edit(goal: GoalStatus, plan: Plan) -> None:
    """Tasks keep what they have been through."""
    fresh = _tasks(goal.spec, plan)
    for name, task in fresh.items():
        if known := goal.tasks.get(name):
            if known.spec.from_ref != task.spec.from_ref:
                goal.pinned.pop(name, None)
            known.spec, known.behind = task.spec, task.behind
            fresh[name] = known
        else:
            task.iteration = goal.iterations.current
    goal.edited, goal.tasks = plan, fresh


def outcome(goal: GoalStatus) -> tuple[GoalState, str]:
    """How a goal ends whose tasks have all ended: done only if every task landed or counts as landed.

    Of several iterations the last one counts.
    """
    if goal.items is not None:
        lost = sum(goal.items.get(state, 0) for state in (ItemState.FAILED, ItemState.CANCELLED))
        total = sum(goal.items.values())
        return (GoalState.FAILED, f"{lost} of {total} items did not land") if lost else (GoalState.DONE, "")
    bad = [task.spec.id for task in goal.current if not task.satisfied]
    fell = goal.scores and goal.scores[-1]["commit"] == goal.integration and goal.scores[-1]
    if fell and fell["verdict"] == "rolled_back":
        return GoalState.FAILED, str(fell["reason"])
    if bad:
        return GoalState.FAILED, f"{len(bad)} of {len(goal.current)} tasks did not land: {', '.join(bad)}"
    if goal.checked and not goal.checked["passed"]:
        return GoalState.FAILED, "the goal's check failed: " + goal.checked.get("reason", "")
    return GoalState.DONE, ""


def has_ended(goal: GoalStatus) -> bool:
    return goal.state in ENDED_GOAL


def stands_still(goal: GoalStatus) -> bool:
    """It goes on only when a person says so: it has ended, its plan waits for one, or a task does."""
    return has_ended(goal) or goal.state is GoalState.AWAITING_APPROVAL or goal.rests()
