"""How far an agent is with the plan of a goal in words: facts in, state out.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mo_git.model import Fact, Kind, Plan
from mo_git.plan import plan_from_data

ABOUT_PLANNING = frozenset(
    {
        Kind.PLAN_STARTED,
        Kind.PLAN_REFUSED,
        Kind.PLAN_FAILED,
        Kind.PLAN_ASKED,
        Kind.PLAN_ANSWERED,
        Kind.PLANNED,
        Kind.PLAN_APPROVED,
        Kind.PLAN_EDITED,
    }
)
PLANNER = ".plan"  # stands for a task in names of runs and their files; no task can have this name


@dataclass(slots=True)
class Planning:
    """Refusals and failures hold the data of facts since a person last said resume, oldest first.

    `questions` are open; `answered` are (question, answer), an empty answer leaves it to the planner.
    """

    runs: int = 0  # numbers only grow
    refusals: list[Mapping[str, Any]] = field(default_factory=list)
    failures: list[Mapping[str, Any]] = field(default_factory=list)
    not_before: float = 0.0
    questions: tuple[str, ...] = ()
    answered: tuple[tuple[str, str], ...] = ()
    rounds: int = 0  # times that it asked
    plan: Plan | None = None
    assumptions: tuple[str, ...] = ()
    approved: bool = False
    unconfined: tuple[str, ...] = ()  # tasks with a check that would run with the person's own rights

    def reset(self) -> None:
        """A person says that it is worth another try."""
        self.refusals, self.failures, self.not_before = [], [], 0.0

    def take(self, fact: Fact) -> bool:
        """Whether the fact had an effect: a goal is planned once, what comes later is late."""
        data = fact.data
        if fact.kind == Kind.PLAN_APPROVED:
            self.approved = True
            return True
        if self.plan is not None:
            return False
        if fact.kind == Kind.PLAN_ANSWERED:
            return self._answer(data["answers"])
        self.runs = max(self.runs, data["n"])
        match fact.kind:
            case Kind.PLAN_REFUSED:
                self.refusals.append(data)
            case Kind.PLAN_FAILED:
                self.failures.append(data)
                self.not_before = data["not_before"]
            case Kind.PLAN_ASKED:
                self.questions = tuple(data["questions"])
                self.rounds += 1
            case Kind.PLANNED:
                self.plan = plan_from_data(data["plan"], f"the plan of {fact.goal}")
                self.assumptions = tuple(data.get("assumptions", ()))
                self.unconfined = tuple(data.get("unconfined", ()))
        return True

    def _answer(self, answers: Sequence[str]) -> bool:
        if len(answers) != len(self.questions) or not answers:
            return False
        self.answered += tuple(zip(self.questions, answers))
        self.questions = ()
        return True
