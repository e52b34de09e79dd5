"""The words of mo as frozen data: tasks, plans, goals, facts and the states derived from facts.

No I/O and no clock here.  Times are seconds since the epoch (UTC, float); money is US dollars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

RESERVED_TASK_IDS = frozenset({"integration"})
ALL_RED = "all-red"  # of `fixes`: every test that fails on the base
OWN_PRICES = "settings"  # of a usage fact, in place of the date of the price table


class Phase(StrEnum):
    """What an agent is started for; routing keys."""

    DECOMPOSE = "decompose"
    EXECUTE = "execute"
    REVIEW = "review"
    DISCOVER = "discover"
    SIMPLE = "simple"
    RESOLVE = "resolve"
    VERIFY = "verify"


class GoalState(StrEnum):
    QUEUED = "queued"
    PLANNING = "planning"
    AWAITING_APPROVAL = "awaiting_approval"
    RUNNING = "running"
    LANDING = "landing"
    DONE = "done"
    FAILED = "failed"
    HALTED = "halted"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    OVER_BUDGET = "over_budget"


ENDED_GOAL = frozenset(
    {GoalState.DONE, GoalState.FAILED, GoalState.HALTED, GoalState.CANCELLED, GoalState.OVER_BUDGET}
)


class TaskState(StrEnum):
    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting"
    CHECKING = "checking"
    REVIEWING = "reviewing"
    CANDIDATE = "candidate"
    GATING = "gating"
    LANDED = "landed"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    RESOLVING = "resolving"
    FAILED = "failed"
    EJECTED = "ejected"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    TAKEN = "taken"
    AWAITING_PERSON = "awaiting_person"


# Agents that need no declaration: each has a section of the settings by its name.
BUILT_IN_AGENTS = ("claude", "codex")
PERSON = "person"  # stands as the provider of an attempt that a person made
# Providers of every repository; the settings can declare more agents.
PROVIDERS = ("auto", *BUILT_IN_AGENTS, "command")


def agent_section(name: str) -> str:
    """The section of the settings that an agent has."""
    return name if name in BUILT_IN_AGENTS else f"agents.{name}"


class FailureClass(StrEnum):
    """Why an attempt, a candidate or a gate did not go on; `classify` holds what follows."""

    RATE_LIMIT = "rate_limit"
    USAGE_LIMIT = "usage_limit"
    OVERLOADED = "overloaded"
    NETWORK = "network"
    PROVIDER_DOWN = "provider_down"
    CONTEXT_OVERFLOW = "context_overflow"
    AUTH = "auth"
    NO_CREDIT = "no_credit"
    BAD_MODEL = "bad_model"
    BAD_CONFIG = "bad_config"
    TIMEOUT = "timeout"
    IDLE = "idle"
    CRASH = "crash"
    NO_CHANGE = "no_change"
    SCOPE = "scope"
    SECRETS = "secrets"
    ISOLATION_BREACH = "isolation_breach"
    INVALID_OUTPUT = "invalid_output"
    CHECK_FAILED = "check_failed"
    REVIEW_REJECTED = "review_rejected"
    GATE_RED = "gate_red"
    CONFLICT = "conflict"
    SETUP_FAILED = "setup_failed"
    BUDGET = "budget"
    CROWDED = "crowded"  # the money that is left is held for other runs
    CANCELLED = "cancelled"
    LOST = "lost"


# This provider cannot work here, however often it is asked.
UNUSABLE = frozenset(
    {FailureClass.AUTH, FailureClass.NO_CREDIT, FailureClass.BAD_MODEL, FailureClass.BAD_CONFIG}
)


# A command as a person writes it: a string is run by `sh -c`, a tuple is an argv.
Command = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """How a task's agent is run; empty and None: as the agent does by itself."""

    max_turns: int | None = None  # rounds of model and tools
    effort: str = ""  # low | medium | high: how much the model thinks
    max_budget_usd: float | None = None  # of one attempt; None: budget.attempt_usd


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task of a plan, as written (DAG fields of the plan file, see docs/plans.md)."""

    id: str
    title: str = ""
    prompt: str = ""
    run: tuple[str, ...] | None = None
    from_ref: str = ""  # `from` in a plan: a branch or commit that is the candidate as it is
    depends_on: tuple[str, ...] = ()
    writes: tuple[str, ...] | None = None
    scope: str = "warn"  # warn | enforce | off
    check: Command | None = None
    no_change: str = ""  # ok | fail | "" = by kind of task
    complexity: str = "moderate"  # simple | moderate | complex
    group: str = ""
    when: tuple[str, ...] | None = None
    provider: str = "auto"
    model: str = ""
    timeout: float | None = None  # seconds
    max_attempts: int | None = None
    priority: int = 0
    output: Mapping[str, Any] | None = None  # JSON schema of the result (plan_schema); None: none
    agent: AgentOptions = AgentOptions()

    @property
    def by_agent(self) -> bool:
        """Whether an agent does it: not a command, and not somebody's finished branch."""
        return self.run is None and not self.from_ref

    @property
    def unchanged_is_fine(self) -> bool:
        """Whether an empty diff is a good ending for this task."""
        if self.no_change:
            return self.no_change == "ok"
        return not self.by_agent or self.check is not None or self.output is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """A validated DAG of tasks; `tasks` keeps the order of the file.

    `fixes` are tests that have to pass in the end, or ALL_RED; `iterations`: how often it is planned at most.
    """

    goal: str
    tasks: tuple[TaskSpec, ...]
    check: Command | None = None
    groups: Mapping[str, int] = field(default_factory=dict)
    error_policy: str = "skip_dependents"  # skip_dependents | fail_fast
    fixes: str | tuple[str, ...] = ()
    iterations: int = 1
    max_hours: float | None = None  # after which nothing of it starts any more

    def task(self, task_id: str) -> TaskSpec:
        return next(task for task in self.tasks if task.id == task_id)


@dataclass(frozen=True, slots=True)
class Bulk:
    """What a job says about all its items; it makes a goal a job.

    `items` is how many there are: they are rows of the ledger, read from the file of `Home.items_file`.
    `no_change` (ok, fail or empty: ok for a `run`, fail for an agent) is what an item means that changes
    nothing; `validate` are verify commands of every item, `agents` the providers that its items name (`auto`
    for those that name none); none where all items are commands.
    """

    items: int
    no_change: str = ""
    validate: tuple[Command, ...] = ()
    agents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GoalSpec:
    """What a person queued: immutable once recorded."""

    id: str
    title: str
    plan: Plan
    created_at: float
    base: str  # full commit id that `mo do` pinned
    target: str = ""  # branch name without refs/heads/; empty: none (detached HEAD)
    deliver: str = "branch"  # branch | merge
    gate: str | None = None  # overrides gate.command for this goal
    parallel: int | None = None  # -j
    depends_on: str = ""  # goal id that has to be done first
    provider: str = ""  # --provider: beats the tasks' own
    phase_providers: Mapping[str, str] = field(default_factory=dict)  # --phase-provider
    budget_usd: float | None = None  # --budget; None: budget.goal_usd, 0: no limit
    documents: Mapping[str, str] = field(default_factory=dict)  # --doc: name -> text
    environment: Mapping[str, str] = field(default_factory=dict)  # PATH and VIRTUAL_ENV of the caller
    serialize_overlaps: bool = False  # tasks that may write the same paths run one after the other
    text: str = ""  # the goal in words
    wants_plan: bool = False  # an agent plans it first; until then `plan` has no tasks
    approve: bool = False  # --approve: a person looks at the plan before it runs
    ask: bool = False  # --ask: the planner may ask questions before it plans
    bulk: Bulk | None = None  # a job of simple mode: items instead of tasks


@dataclass(frozen=True, slots=True)
class Fact:
    """One recorded event.  `attempt` is 0 where no attempt is meant; `seq` orders all facts."""

    seq: int
    at: float
    goal: str
    task: str
    attempt: int
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewFact:
    """A fact before it has a number and a time."""

    goal: str
    kind: Kind
    data: Mapping[str, Any] = field(default_factory=dict)
    task: str = ""
    attempt: int = 0


class Kind(StrEnum):
    """What a fact says.  The first group is about one task, the second about a goal."""

    ATTEMPT_STARTED = "attempt_started"  # base, upon, branch, worktree, token, pinned
    SESSION_STARTED = "session_started"  # session: what the agent's own CLI can go on with
    AGENT_ENDED = "agent_ended"  # exit_code, seconds, timed_out, session
    ATTEMPT_FAILED = "attempt_failed"  # class, reason, exit_code, kept
    REVIEW_STARTED = "review_started"  # round, provider, model, why
    REVIEWED = "reviewed"  # round, verdict, by, summary, findings, lowered
    REVIEW_FAILED = "review_failed"  # round, provider, class, reason, not_before, retry_at
    REWORK_STARTED = "rework_started"  # round, by: the agent corrects what was asked for
    CANDIDATE = "candidate"  # commit, tree, paths, seconds, summary, output
    UNCHANGED = "unchanged"  # commit, summary, output, reason
    RETRY_SCHEDULED = (
        "retry_scheduled"  # not_before, why, conflict (its next rung), red (the gate's evidence)
    )
    GATE_STARTED = "gate_started"  # commit, head
    GATE_DROPPED = "gate_dropped"  # why
    LANDED = "landed"  # commit, tree
    CONFLICT = "conflict"  # with, paths, resolution, why
    EJECTED = "ejected"  # why, evidence
    FAILED = "failed"  # class, reason
    SKIPPED = "skipped"  # reason, satisfies
    TASK_CANCELLED = "task_cancelled"  # reason
    HELD = "held"  # reason: waits for a person; doubt: what that person may accept
    ACCEPTED = "accepted"  # about, ids, paths, by: a person accepts what was doubted
    COMMENTED = "commented"  # comment, by: a person sends a candidate back to its agent
    REBASED = "rebased"  # commit, tree, base: the same work on another base
    RETRIED = "retried"  # hint
    TAKEN = "taken"  # by, reason: a person has it; whatever ran is ended
    HANDED_OVER = "handed_over"  # worktree, branch, base, upon, kept: where that person finds it
    SAID = "said"  # text, now, by: a person's words for the agent; now: its turn is interrupted
    HEARD = "heard"  # count: so many of them are told to the agent now
    GIVEN = "given"  # as attempt_started, by: what that person made is looked at as the next attempt
    USAGE = "usage"  # provider, model, phase, complexity, session, stream, tokens, cost_usd, prices of a run
    QUOTA = "quota"  # provider, window, utilization, until: of a subscription, of no goal

    PROVIDER_ANSWERED = (  # of any run; first: it works, before its end; proof: a person asked
        "provider_answered"  # provider, phase, run, class (empty: it worked), started_at, until, limit
    )

    GOAL_CREATED = "goal_created"  # estimate
    GOAL_STARTED = "goal_started"  # base, pinned
    PLAN_STARTED = "plan_started"  # n, provider, model, why
    PLAN_REFUSED = "plan_refused"  # n, provider, errors
    PLAN_FAILED = "plan_failed"  # n, provider, class, reason, not_before
    PLAN_ASKED = "plan_asked"  # n, provider, questions
    PLAN_ANSWERED = "plan_answered"  # answers, one for each question; empty: the planner decides
    PLANNED = "planned"  # n, provider, plan, assumptions, estimate
    PLAN_APPROVED = "plan_approved"
    PLAN_EDITED = "plan_edited"  # plan, by: a person changed what had not begun
    GATE_PROVED = "gate_proved"  # commit, failing, weak, reason
    GATE_RUN = "gate_run"  # the document of a gate run
    LANDING_INTENT = "landing_intent"  # commit, tree, head, tasks, purpose
    LANDING_DROPPED = "landing_dropped"  # commit
    LANDING = "landing"  # seq, commit, tree, tasks, purpose
    SETUP_FAILED = "setup_failed"  # reason
    BUDGET_SPENT = "budget_spent"  # reason
    REPOSITORY_CHANGED = "repository_changed"  # what, ran, do
    GOAL_CHECKED = "goal_checked"  # passed, commit, exit_code, reason, unfixed
    GOAL_SCORED = "goal_scored"  # iteration, commit, gate, metrics, verdict, reason, best, score, done
    VERIFY_STARTED = "verify_started"  # n, provider, model, why
    VERIFY_FAILED = "verify_failed"  # n, provider, class, reason, not_before
    VERIFIED = "verified"  # n, provider, iteration, commit, done, progress, missing, summary
    ITERATED = "iterated"  # iteration, course, why, missing, commit: a further plan is to be made
    GOAL_PAUSED = "goal_paused"
    GOAL_RESUMED = "goal_resumed"
    CANCEL_REQUESTED = "cancel_requested"  # reason
    GOAL_ENDED = "goal_ended"  # state, reason
    GOAL_REOPENED = "goal_reopened"  # why, budget_usd, iterations
    OPERATION_REQUESTED = "operation_requested"  # request, operation, arguments
    OPERATION_ENDED = "operation_ended"  # request, ok, message, hint, code
