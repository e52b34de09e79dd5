"""A goal told fact by fact, for tests of what is derived from facts: in memory, or in a real ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mo_git.goal_status import GoalStatus
from mo_git.home import Home
from mo_git.ledger.writer import Ledger
from mo_git.lifecycle import apply, new_goal
from mo_git.model import Fact, GoalSpec, Kind, NewFact, Plan, TaskSpec

BASE = "ba5e" + "0" * 36
START = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC


def commit(letter: str) -> str:
    return letter * 40


def chain(*ids: str) -> tuple[TaskSpec, ...]:
    """Tasks of which each waits for the one before it."""
    return tuple(
        TaskSpec(name, run=("true",), depends_on=(ids[i - 1],) if i else ()) for i, name in enumerate(ids)
    )


@dataclass
class Story:
    """Facts of one goal, one second apart; `goal` is the status after them."""

    tasks: tuple[TaskSpec, ...]
    id: str = "tidy-k3f9"
    title: str = "Tidy the house"
    target: str = "main"
    base: str = BASE
    created_at: float = START
    wants_plan: bool = False
    approve: bool = False
    ask: bool = False
    limits: Mapping[str, Any] = field(default_factory=dict)  # of the plan: iterations, max_hours, fixes
    facts: list[Fact] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spec = GoalSpec(
            self.id,
            self.title,
            Plan(self.title, self.tasks, **self.limits),
            self.created_at,
            self.base,
            self.target,
            wants_plan=self.wants_plan,
            approve=self.approve,
            ask=self.ask,
        )
        self.goal: GoalStatus = new_goal(self.spec)
        self.tell(Kind.GOAL_CREATED)

    def tell(
        self, kind: Kind, task: str = "", attempt: int = 0, data: Mapping[str, Any] | None = None, **more: Any
    ) -> bool:
        """One more fact; whether it had an effect."""
        number = len(self.facts) + 1
        at = self.created_at + number - 1
        fact = Fact(number, at, self.id, task, attempt, kind, {**(data or {}), **more})
        self.facts.append(fact)
        return apply(self.goal, fact)

    def start(self) -> None:
        self.tell(Kind.GOAL_STARTED, base=self.base)

    def run(self, task: str, attempt: int = 1, base: str = "") -> None:
        """An attempt begins."""
        branch = f"mo/{self.id}/{task}"
        place = {"branch": branch, "worktree": f"/trees/{task}", "token": f"{task}{attempt}"}
        self.tell(Kind.ATTEMPT_STARTED, task, attempt, place, base=base or self.goal.integration)

    def finish(self, task: str, attempt: int = 1, *, work: str = "", paths: tuple[str, ...] = ()) -> None:
        """The attempt becomes a candidate."""
        made = {"commit": work or commit("c"), "tree": commit("7"), "paths": paths or (f"{task}.py",)}
        self.tell(Kind.AGENT_ENDED, task, attempt, exit_code=0, seconds=1.0, timed_out=False)
        self.tell(Kind.CANDIDATE, task, attempt, made, seconds=1.2)

    def gate(self, result: str, *tasks: str, **more: Any) -> None:
        run = {"kind": "full", "result": result, "cached": False, "tasks": list(tasks), "seconds": 0.4}
        tests = {"passed": 12, "failed": 0, "missing": 0, "flaky": 0}
        document = {"commit": commit("d"), "tree": commit("7"), **run, "tests": tests, "failed_ids": []}
        self.tell(Kind.GATE_RUN, data=document | more)

    def land(self, task: str, attempt: int = 1, *, merge: str = "") -> None:
        """The candidate passes the gate and lands."""
        made = {"commit": merge or commit("d"), "tree": commit("7")}
        self.tell(Kind.GATE_STARTED, task, attempt, commit=made["commit"], head=self.goal.integration)
        self.gate("green", task, commit=made["commit"])
        number = len(self.goal.landings) + 1
        self.tell(Kind.LANDING, data=made, seq=number, tasks=[task], purpose="task")
        self.tell(Kind.LANDED, task, attempt, made)

    def do(self, task: str, *, merge: str = "") -> None:
        """From the first attempt to the landing."""
        self.run(task)
        self.finish(task)
        self.land(task, merge=merge)

    def fail(self, task: str, reason: str, kind: str = "check_failed", attempt: int = 1) -> None:
        data = {"class": kind, "reason": reason}
        self.tell(Kind.ATTEMPT_FAILED, task, attempt, data, exit_code=1, kept=f"refs/mo/keep/{task}")
        self.tell(Kind.FAILED, task, attempt, data)

    def end(self, state: str, reason: str = "") -> None:
        self.tell(Kind.GOAL_ENDED, state=state, reason=reason)

    def operation(self, name: str, request: str, **result: Any) -> None:
        self.tell(Kind.OPERATION_REQUESTED, request=request, operation=name, arguments={})
        if result:
            self.tell(Kind.OPERATION_ENDED, request=request, **result)

    def write(self, home: Home) -> GoalStatus:
        """Into the ledger of a repository, at the same times."""
        home.create()
        ledger = Ledger(home.database)
        try:
            ledger.add_goal(self.spec, self.created_at)
            for fact in self.facts[1:]:
                new = NewFact(fact.goal, Kind(fact.kind), fact.data, fact.task, fact.attempt)
                ledger.append([new], fact.at)
        finally:
            ledger.close()
        return self.goal
