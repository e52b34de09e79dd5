"""Status is derived from facts: the one table of task transitions, and the fold that applies it.

`GoalStatus` is the state of one goal after a sequence of facts; `apply` is the only function that changes
it, so the daemon (one fact at a time) and every reader (all facts of a goal) see the same thing.
Late facts of an older attempt, and arrows that the table does not have, are ignored: recorded, no effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mo_git import dag
from mo_git.model import ENDED_GOAL, Fact, GoalSpec, GoalState, Kind, Plan, TaskSpec, TaskState
from mo_git.plan import overlaps
from mo_git.plan_state import ABOUT_PLANNING, Planning

_OPEN = frozenset(
    {
        TaskState.PENDING,
        TaskState.RUNNING,
        TaskState.WAITING,
        TaskState.CHECKING,
        TaskState.CANDIDATE,
        TaskState.GATING,
    }
)
ENDED_TASK = frozenset(TaskState) - _OPEN - {TaskState.READY, TaskState.REVIEWING, TaskState.RESOLVING}
AT_WORK = frozenset({TaskState.RUNNING, TaskState.CHECKING})
_IN_QUEUE = frozenset({TaskState.CANDIDATE, TaskState.GATING})

# kind of fact -> (states it may come in, state that follows; None: the state stays)
ARROWS: Mapping[Kind, tuple[frozenset[TaskState], TaskState | None]] = {
    Kind.ATTEMPT_STARTED: (frozenset({TaskState.PENDING, TaskState.WAITING}), TaskState.RUNNING),
    Kind.AGENT_ENDED: (frozenset({TaskState.RUNNING}), TaskState.CHECKING),
    Kind.ATTEMPT_FAILED: (AT_WORK, None),
    Kind.CANDIDATE: (AT_WORK, TaskState.CANDIDATE),
    Kind.UNCHANGED: (AT_WORK, TaskState.UNCHANGED),
    Kind.RETRY_SCHEDULED: (AT_WORK | _IN_QUEUE, TaskState.WAITING),
    Kind.GATE_STARTED: (frozenset({TaskState.CANDIDATE}), TaskState.GATING),
    Kind.GATE_DROPPED: (frozenset({TaskState.GATING}), TaskState.CANDIDATE),
    Kind.LANDED: (_IN_QUEUE, TaskState.LANDED),
    Kind.CONFLICT: (_IN_QUEUE, TaskState.CONFLICT),
    Kind.EJECTED: (_IN_QUEUE | {TaskState.LANDED}, TaskState.EJECTED),
    Kind.FAILED: (_OPEN, TaskState.FAILED),
    Kind.SKIPPED: (ENDED_TASK - {TaskState.LANDED, TaskState.UNCHANGED} | _OPEN, TaskState.SKIPPED),
    Kind.TASK_CANCELLED: (_OPEN, TaskState.CANCELLED),
    Kind.HELD: (_IN_QUEUE, TaskState.AWAITING_PERSON),
    Kind.RETRIED: (ENDED_TASK - {TaskState.LANDED, TaskState.UNCHANGED}, TaskState.PENDING),
}


@dataclass(slots=True)
class Spent:
    """Money (USD) and tokens that agents used."""

    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, data: Mapping[str, Any]) -> None:
        self.cost_usd += data.get("cost_usd", 0.0)
        self.input_tokens += data.get("input_tokens", 0)
        self.output_tokens += data.get("output_tokens", 0)


@dataclass(slots=True)
class Attempt:
    """One run of a task's agent."""

    n: int
    token: str
    base: str
    branch: str
    worktree: str
    started_at: float
    state: str = "running"  # running | checking | candidate | unchanged | failed | lost
    failure: str = ""  # a FailureClass, or empty
    reason: str = ""
    ended_at: float | None = None
    exit_code: int | None = None
    kept: str = ""  # the keep-ref that holds what a failed attempt left
    provider: str = ""
    model: str = ""
    spent: Spent = field(default_factory=lambda: Spent())


@dataclass(slots=True)
class TaskStatus:
    """Where a task stands."""

    spec: TaskSpec
    state: TaskState = TaskState.PENDING
    reason: str = ""
    since: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)
    commit: str = ""
    tree: str = ""
    landed_commit: str = ""
    not_before: float = 0.0
    redone: int = 0  # times it was sent back for a textual conflict
    behind: tuple[str, ...] = ()  # tasks with overlapping writes that go first
    taken_back: bool = False  # by a person's rollback: nothing is wrong with it
    satisfies: bool = False  # a skipped task that counts as done for its dependents
    failures: list[str] = field(default_factory=list)  # classes since the last retry by a person
    paths: tuple[str, ...] = ()
    summary: str = ""  # the agent's last message
    output: Mapping[str, Any] | None = None  # the JSON result that the task declares
    hint: str = ""  # a person's words for the next attempt

    @property
    def attempt(self) -> int:
        return self.attempts[-1].n if self.attempts else 0

    @property
    def ended(self) -> bool:
        return self.state in ENDED_TASK

    @property
    def satisfied(self) -> bool:
        """Whether dependents may start."""
        return self.state in (TaskState.LANDED, TaskState.UNCHANGED) or (
            self.state is TaskState.SKIPPED and self.satisfies
        )

    @property
    def worktree(self) -> str:
        return self.attempts[-1].worktree if self.attempts else ""


@dataclass(frozen=True, slots=True)
class Operation:
    """A request on a goal that takes a job of its own: land, rollback, sync."""

    request: str
    name: str
    arguments: Mapping[str, Any]
    result: Mapping[str, Any] | None = None


@dataclass(slots=True)
class GoalStatus:
    """Where a goal stands.  Lists hold the data of facts, oldest first."""

    spec: GoalSpec
    tasks: dict[str, TaskStatus]
    planning: Planning = field(default_factory=Planning)
    estimate: Mapping[str, Any] | None = None  # what its plan was expected to take (views.estimate)
    created_at: float = 0.0
    started_at: float | None = None
    base: str = ""
    integration: str = ""
    proof: Mapping[str, Any] | None = None
    budget_usd: float | None = None  # a limit that replaces the goal's own
    blocked: tuple[GoalState, str] | None = None  # nothing may start any more; how the goal will end, and why
    spent: dict[str, Spent] = field(default_factory=dict)  # by provider
    paused: bool = False
    cancelling: str = ""
    ended: tuple[GoalState, str] | None = None
    ended_at: float | None = None
    checked: Mapping[str, Any] | None = None
    intent: Mapping[str, Any] | None = None
    landings: list[Mapping[str, Any]] = field(default_factory=list)
    gates: list[Mapping[str, Any]] = field(default_factory=list)
    conflicts: list[Mapping[str, Any]] = field(default_factory=list)
    ejections: list[Mapping[str, Any]] = field(default_factory=list)
    changes: list[Mapping[str, Any]] = field(default_factory=list)  # of the repository, by whomever
    operations: dict[str, Operation] = field(default_factory=dict)
    last_seq: int = 0

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def state(self) -> GoalState:
        if self.ended:
            return self.ended[0]
        if self.paused:
            return GoalState.PAUSED
        if self.started_at is None:
            return GoalState.QUEUED
        if self.awaits_person:
            return GoalState.AWAITING_APPROVAL
        if self.needs_plan:
            return GoalState.PLANNING
        if all(task.ended for task in self.tasks.values()):
            return GoalState.LANDING
        return GoalState.RUNNING

    @property
    def plan(self) -> Plan:
        """What is carried out: an agent's plan, else the one that was queued."""
        return self.planning.plan or self.spec.plan

    @property
    def needs_plan(self) -> bool:
        return self.spec.wants_plan and self.planning.plan is None

    @property
    def awaits_approval(self) -> bool:
        """A person wanted to see the plan, or an agent planned commands that no sandbox would hold."""
        wanted = self.spec.approve or bool(self.planning.unconfined)
        return wanted and not self.planning.approved and not self.needs_plan

    @property
    def awaits_answers(self) -> bool:
        """The planner has asked something."""
        return self.needs_plan and bool(self.planning.questions)

    @property
    def awaits_person(self) -> bool:
        """Nothing happens until a person agrees to the plan, or answers the planner."""
        return self.awaits_approval or self.awaits_answers

    @property
    def reason(self) -> str:
        if self.ended:
            return self.ended[1]
        return self.blocked[1] if self.blocked else self.cancelling

    @property
    def lane(self) -> str:
        """Goals with one target branch land one after another."""
        return self.spec.target or f"goal {self.spec.id}"

    def task_state(self, task: TaskStatus) -> TaskState:
        """The state to show: pending tasks whose dependencies are satisfied are ready."""
        if task.state is TaskState.PENDING and self.started_at is not None and self.unblocked(task):
            return TaskState.READY
        return task.state

    def total(self) -> Spent:
        """All that the goal's agents used."""
        every = self.spent.values()
        return Spent(
            sum(one.cost_usd for one in every),
            sum(one.input_tokens for one in every),
            sum(one.output_tokens for one in every),
        )

    def unblocked(self, task: TaskStatus) -> bool:
        return all(self.tasks[dep].satisfied for dep in task.spec.depends_on) and all(
            self.tasks[other].ended for other in task.behind
        )

    def pending_operations(self) -> list[Operation]:
        return [operation for operation in self.operations.values() if operation.result is None]


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
    if fact.kind == Kind.USAGE:  # money counts, however late its fact comes
        _apply_usage(goal, fact)
        return True
    if fact.kind in ABOUT_PLANNING:
        return _apply_to_plan(goal, fact)
    if not fact.task:
        _apply_to_goal(goal, fact)
        return True
    task = goal.tasks.get(fact.task)
    if task is None or fact.kind not in ARROWS:
        return False
    sources, target = ARROWS[Kind(fact.kind)]
    if task.state not in sources or not _current(task, fact):
        return False
    if target is not None:
        task.state, task.since = target, fact.at
    _apply_to_task(goal, task, fact)
    return True


def _apply_usage(goal: GoalStatus, fact: Fact) -> None:
    goal.spent.setdefault(fact.data["provider"], Spent()).add(fact.data)
    task = goal.tasks.get(fact.task)
    for attempt in task.attempts if task else ():
        if attempt.n == fact.attempt:
            attempt.spent.add(fact.data)


def _apply_to_plan(goal: GoalStatus, fact: Fact) -> bool:
    if not (goal.spec.wants_plan or fact.kind == Kind.PLAN_APPROVED) or not goal.planning.take(fact):
        return False
    if fact.kind == Kind.PLANNED:
        goal.tasks, goal.estimate = _tasks(goal.spec, goal.plan), fact.data.get("estimate")
    return True


def _current(task: TaskStatus, fact: Fact) -> bool:
    """Fencing: a fact of an attempt counts only for the newest attempt; numbers only grow."""
    if fact.kind == Kind.ATTEMPT_STARTED:
        return fact.attempt > task.attempt
    return fact.attempt in (0, task.attempt)


def _apply_to_task(goal: GoalStatus, task: TaskStatus, fact: Fact) -> None:
    data = fact.data
    match fact.kind:
        case Kind.ATTEMPT_STARTED:
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
                )
            )
            task.reason, task.not_before = "", 0.0
        case Kind.AGENT_ENDED:
            task.attempts[-1].state = "checking"
            task.attempts[-1].exit_code = data.get("exit_code")
        case Kind.ATTEMPT_FAILED:
            _close(task, fact, "failed")
            task.failures.append(data["class"])
        case Kind.CANDIDATE:
            _close(task, fact, "candidate")
            task.commit, task.tree, task.paths = data["commit"], data["tree"], tuple(data.get("paths", ()))
            task.summary, task.output = data.get("summary", ""), data.get("output")
            task.reason = ""
        case Kind.UNCHANGED:
            _close(task, fact, "unchanged")
            task.commit = data["commit"]
            task.summary, task.output = data.get("summary", ""), data.get("output")
            task.reason = "nothing to change"
        case Kind.RETRY_SCHEDULED:
            task.not_before, task.reason = data["not_before"], data["why"]
            task.redone += bool(data.get("redo"))
            if "conflict" in data:
                goal.conflicts.append({"task": task.spec.id, **data["conflict"]})
        case Kind.LANDED:
            task.landed_commit, task.reason = data["commit"], ""
        case Kind.CONFLICT:
            task.reason = "conflict in " + ", ".join(data["paths"])
            goal.conflicts.append({"task": task.spec.id, **data})
        case Kind.EJECTED:
            task.reason, task.taken_back = data["why"], bool(data.get("taken_back"))
            goal.ejections.append({"task": task.spec.id, **data})
        case Kind.RETRIED:
            task.reason = task.hint = data.get("hint", "")
            task.redone, task.satisfies, task.not_before = 0, False, 0.0
            task.failures.clear()
        case Kind.SKIPPED:
            task.reason, task.satisfies = data["reason"], bool(data.get("satisfies"))
        case Kind.FAILED | Kind.TASK_CANCELLED | Kind.HELD:
            task.reason = data.get("reason", "")
            if task.attempts and task.attempts[-1].ended_at is None:
                _close(task, fact, "failed")


def _close(task: TaskStatus, fact: Fact, state: str) -> None:
    attempt = task.attempts[-1]
    attempt.state, attempt.ended_at = state, fact.at
    attempt.failure = fact.data.get("class", "")
    attempt.reason = fact.data.get("reason", "")
    attempt.exit_code = fact.data.get("exit_code", attempt.exit_code)
    attempt.kept = fact.data.get("kept", "")
    if fact.kind == Kind.ATTEMPT_FAILED:
        task.reason = attempt.reason


def _apply_to_goal(goal: GoalStatus, fact: Fact) -> None:
    data = fact.data
    match fact.kind:
        case Kind.GOAL_CREATED:
            goal.created_at, goal.estimate = fact.at, data.get("estimate")
        case Kind.GOAL_STARTED:
            goal.started_at, goal.base = fact.at, data["base"]
            goal.integration = goal.integration or data["base"]
        case Kind.GATE_PROVED:
            goal.proof = data
        case Kind.GATE_RUN:
            goal.gates.append(data)
        case Kind.LANDING_INTENT:
            goal.intent = data
        case Kind.LANDING_DROPPED:
            goal.intent = None
        case Kind.LANDING:
            goal.intent, goal.integration = None, data["commit"]
            goal.landings.append({**data, "at": fact.at})
        case Kind.SETUP_FAILED:
            goal.blocked = GoalState.HALTED, data["reason"]
        case Kind.BUDGET_SPENT:
            goal.blocked = GoalState.OVER_BUDGET, data["reason"]
        case Kind.REPOSITORY_CHANGED:
            goal.changes.append(data)
        case Kind.GOAL_CHECKED:
            goal.checked = data
        case Kind.GOAL_PAUSED | Kind.GOAL_RESUMED:
            goal.paused = fact.kind == Kind.GOAL_PAUSED
        case Kind.CANCEL_REQUESTED:
            goal.cancelling = data.get("reason") or "cancelled"
        case Kind.GOAL_ENDED:
            goal.ended, goal.ended_at = (GoalState(data["state"]), data.get("reason", "")), fact.at
        case Kind.GOAL_REOPENED:
            goal.ended, goal.ended_at, goal.cancelling = None, None, ""
            goal.blocked, goal.checked, goal.paused = None, None, False
            goal.budget_usd = data.get("budget_usd", goal.budget_usd)
            goal.planning.reset()
        case Kind.OPERATION_REQUESTED:
            goal.operations[data["request"]] = Operation(
                data["request"], data["operation"], data.get("arguments", {})
            )
        case Kind.OPERATION_ENDED:
            before = goal.operations[data["request"]]
            goal.operations[data["request"]] = Operation(before.request, before.name, before.arguments, data)


def outcome(goal: GoalStatus) -> tuple[GoalState, str]:
    """How a goal ends whose tasks have all ended: done only if every task landed or counts as landed."""
    bad = [task.spec.id for task in goal.tasks.values() if not task.satisfied]
    if bad:
        return GoalState.FAILED, f"{len(bad)} of {len(goal.tasks)} tasks did not land: {', '.join(bad)}"
    if goal.checked and not goal.checked["passed"]:
        return GoalState.FAILED, "the goal's check failed: " + goal.checked.get("reason", "")
    return GoalState.DONE, ""


def has_ended(goal: GoalStatus) -> bool:
    return goal.state in ENDED_GOAL


def stands_still(goal: GoalStatus) -> bool:
    """It goes on only when a person says so: it has ended, or its plan waits for one."""
    return has_ended(goal) or goal.state is GoalState.AWAITING_APPROVAL
