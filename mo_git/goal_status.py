"""Where a goal and its tasks stand: the values that facts are folded into (see `lifecycle`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mo_git import dag
from mo_git.iteration_state import Iterations
from mo_git.model import PERSON, UNUSABLE, GoalSpec, GoalState, Plan, TaskSpec, TaskState
from mo_git.plan_state import Planning
from mo_git.simple.item import OPEN_ITEM, ItemState

OPEN_TASK = frozenset(
    {
        TaskState.PENDING,
        TaskState.RUNNING,
        TaskState.WAITING,
        TaskState.CHECKING,
        TaskState.REVIEWING,
        TaskState.CANDIDATE,
        TaskState.GATING,
        TaskState.TAKEN,
    }
)
ENDED_TASK = frozenset(TaskState) - OPEN_TASK - {TaskState.READY, TaskState.RESOLVING}
IN_QUEUE = frozenset({TaskState.CANDIDATE, TaskState.GATING})
AT_WORK = frozenset({TaskState.RUNNING, TaskState.CHECKING, TaskState.REVIEWING})
WITH_PERSON = frozenset({TaskState.AWAITING_PERSON, TaskState.TAKEN})


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
class Session:
    """What the runs of one session of an agent's CLI used: CLIs count on when a session is resumed."""

    cost_usd: float = 0.0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0

    def add(self, data: Mapping[str, Any]) -> None:
        self.cost_usd += data.get("cost_usd", 0.0)
        self.input_tokens += data.get("input_tokens", 0)
        self.cached_input_tokens += data.get("cached_input_tokens", 0)
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
    state: str = "running"  # running | checking | reviewing | candidate | unchanged | failed | lost | taken
    failure: str = ""  # a FailureClass, or empty
    reason: str = ""
    ended_at: float | None = None
    exit_code: int | None = None
    kept: str = ""  # the keep-ref that holds what a failed attempt left
    provider: str = ""
    model: str = ""
    chosen: str = ""  # why this provider
    phase: str = "execute"  # or resolve: a conflict of the candidate before
    reviewer: str = ""  # the provider that reviews it just now
    review_model: str = ""  # of that provider
    reviews: int = 0  # how often a review began; more than none: its work was whole, and passed its check
    session: str = ""  # of the agent's CLI, which can be resumed; empty: none
    sent_back: bool = False  # a person wants its candidate corrected
    upon: Mapping[str, str] = field(default_factory=dict)  # what had not landed: task -> commit in the base
    spent: Spent = field(default_factory=lambda: Spent())
    paid_bytes: int = 0  # of its agent's stream: what stands there was counted
    paid_reviews: int = 0  # as `reviews`, of those whose usage was counted


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
    resolve: Mapping[str, Any] | None = None  # the conflict that its next attempt resolves
    rungs: list[str] = field(default_factory=list)  # of the conflict ladder, since the last retry by a person
    red: Mapping[str, Any] | None = None  # what the gate had against its commit, which is reworked
    behind: tuple[str, ...] = ()  # tasks with overlapping writes that go first
    taken_back: bool = False  # by a person's rollback: nothing is wrong with it
    satisfies: bool = False  # a skipped task that counts as done for its dependents
    failures: list[str] = field(default_factory=list)  # classes since the last retry by a person
    paths: tuple[str, ...] = ()
    summary: str = ""  # the agent's last message
    output: Mapping[str, Any] | None = None  # the JSON result that the task declares
    hint: str = ""  # a person's words for the next attempt
    unheard: list[str] = field(default_factory=list)  # of the hint, what its running agent was not told yet
    urgent: bool = False  # the agent is interrupted to be told
    lent: Mapping[str, Any] | None = None  # worktree, branch, base, upon, kept: what a person was handed
    doubt: Mapping[str, Any] | None = None  # about (tests | inputs | review), ids, paths: a person may accept
    review: Mapping[str, Any] | None = None  # the last verdict on its work: verdict, by, summary, findings
    accepted: frozenset[str] = frozenset()  # ids that may be missing or skipped, of the newest attempt
    sessions: dict[str, Session] = field(default_factory=dict)  # of all its runs, by id
    accepted_inputs: frozenset[str] = frozenset()  # changed inputs of the gate that are fine, likewise
    iteration: int = 1  # of the goal, in which it was planned

    @property
    def attempt(self) -> int:
        return self.attempts[-1].n if self.attempts else 0

    @property
    def ended(self) -> bool:
        return self.state in ENDED_TASK

    @property
    def redone(self) -> int:
        """Times it was done again for a textual conflict."""
        return self.rungs.count("redo")

    @property
    def satisfied(self) -> bool:
        """Whether dependents may start."""
        return self.state in (TaskState.LANDED, TaskState.UNCHANGED) or (
            self.state is TaskState.SKIPPED and self.satisfies
        )

    @property
    def unusable(self) -> str:
        """The agent that could not work at all in the last attempt; empty: it could, or was a command."""
        last = self.attempts[-1] if self.attempts and self.spec.by_agent else None
        return last.provider if last and last.failure in UNUSABLE else ""

    @property
    def upon(self) -> Mapping[str, str]:
        """What the newest attempt started from that had not landed: task -> its commit."""
        return self.attempts[-1].upon if self.attempts else {}

    @property
    def provider(self) -> str:
        """Who made the newest attempt."""
        return self.attempts[-1].provider if self.attempts else ""

    @property
    def by_hand(self) -> bool:
        """Whether a person made what it has now."""
        return self.provider == PERSON

    @property
    def worktree(self) -> str:
        if self.lent is not None:
            return str(self.lent["worktree"])
        return self.attempts[-1].worktree if self.attempts else ""


@dataclass(frozen=True, slots=True)
class Operation:
    """A request on a goal that takes a job of its own: land, rollback, sync."""

    request: str
    name: str
    arguments: Mapping[str, Any]
    result: Mapping[str, Any] | None = None


# Operations on one task that a person takes over, or gives back.
STEPPING_IN = frozenset({"take", "give"})


@dataclass(slots=True)
class GoalStatus:
    """Where a goal stands.  Lists hold the data of facts, oldest first."""

    spec: GoalSpec
    tasks: dict[str, TaskStatus]
    planning: Planning = field(default_factory=Planning)
    iterations: Iterations = field(default_factory=Iterations)
    edited: Plan | None = None  # the plan, once a person has changed it
    estimate: Mapping[str, Any] | None = None  # what its plan was expected to take (views.estimate)
    created_at: float = 0.0
    started_at: float | None = None
    opened_at: float = 0.0  # when it started, or was opened again; later by the time that it stood still
    still_since: float | None = None  # when it was paused, or began to wait for a person
    base: str = ""
    pinned: dict[str, str] = field(default_factory=dict)  # task -> the commit that its `from` named
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
    scores: list[Mapping[str, Any]] = field(default_factory=list)  # how its metrics moved, at each end
    changes: list[Mapping[str, Any]] = field(default_factory=list)  # of the repository, by whomever
    operations: dict[str, Operation] = field(default_factory=dict)
    last_seq: int = 0
    items: Mapping[ItemState, int] | None = None  # of a job: how many are in which state, as their rows say
    hands: Counter[str] = field(default_factory=Counter)  # runs of agents that its items have just now
    batch: int = 1  # accepted items of a job that are landed together, while others are at work

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
        if self.all_ended and self.spec.bulk is None:
            return GoalState.LANDING
        return GoalState.RUNNING

    @property
    def plan(self) -> Plan:
        """What is carried out: an agent's plan, else the one that was queued; as a person changed it."""
        return self.edited or self.planning.plan or self.spec.plan

    @property
    def needs_plan(self) -> bool:
        """Of the goal, or of a further iteration of it."""
        return (self.spec.wants_plan and self.planning.plan is None) or self.planning.awaited

    @property
    def ends_at(self) -> float | None:
        """When its time is over; None: never, or it stands still, or that has been said already."""
        hours = self.plan.max_hours
        if hours is None or self.blocked or self.still_since is not None:
            return None
        return self.opened_at + hours * 3600

    @property
    def all_ended(self) -> bool:
        """Whether nothing of it is left to do: of its tasks, or of a job's items."""
        if self.spec.bulk is not None:
            return self.items is not None and not any(self.items.get(state) for state in OPEN_ITEM)
        return all(task.ended for task in self.tasks.values())

    @property
    def current(self) -> list[TaskStatus]:
        """The tasks of this iteration; how earlier ones ended is in what the verifier found missing."""
        return [task for task in self.tasks.values() if task.iteration == self.iterations.current]

    @property
    def scored(self) -> bool:
        """Whether this iteration has its score at the present head; a lone one by its metrics alone."""
        last = self.scores[-1] if self.scores else None
        here = (self.integration, self.iterations.current)
        whole = last is not None and ("score" in last or not self.iterates)
        return last is not None and whole and (last["commit"], last["iteration"]) == here

    @property
    def wants_check(self) -> bool:
        """Its own check and fixes are to be looked at: also where nothing had to be changed."""
        some = any(task.satisfied for task in self.tasks.values())
        checked = self.checked is not None and self.checked["commit"] == self.integration
        return (self.plan.check is not None or bool(self.plan.fixes)) and some and not checked

    @property
    def most_iterations(self) -> int:
        """How many it may have in all."""
        return self.iterations.most or self.plan.iterations

    @property
    def iterates(self) -> bool:
        """Whether there may be a further iteration; what waits for a person comes first."""
        return self.most_iterations > 1 and not any(task.state in WITH_PERSON for task in self.current)

    @property
    def wants_verdict(self) -> bool:
        """A verifier is to say what is missing, at the end of an iteration."""
        if not self.iterates or self.started_at is None or self.needs_plan or self.awaits_person:
            return False
        if self.scored or self.wants_check or self.pending_operations():
            return False
        if not self.all_ended:
            return False
        verdict = self.iterations.verdict
        return verdict is None or verdict["commit"] != self.integration

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
        """The state to show: pending tasks whose dependencies are satisfied are ready.

        A task that comes back to have its conflict resolved is at that from when it is sent back.
        """
        if task.resolve is not None and task.state in (TaskState.WAITING, TaskState.RUNNING):
            return TaskState.RESOLVING
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

    def rests(self) -> bool:
        """Whether nothing happens until a person gives back what that person has."""
        if self.needs_plan or not any(task.state is TaskState.TAKEN for task in self.tasks.values()):
            return False
        resting: set[str] = set()
        for name in dag.order(self.plan.tasks):
            task = self.tasks[name]
            blocked = resting & {*task.spec.depends_on, *task.behind}
            if task.state is TaskState.TAKEN or (task.state is TaskState.PENDING and blocked):
                resting.add(name)
            elif not task.ended:
                return False
        return True
