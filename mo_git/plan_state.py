"""How far an agent is with the plan of a goal in words: facts in, state out.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    awaited: bool = False  # a further iteration: new tasks are to come

    def reset(self) -> None:
        """A person says that it is worth another try."""
        self.refusals, self.failures, self.not_before = [], [], 0.0

    def begin_again(self, plan: Plan) -> None:
        """Another iteration: what is planned now comes to the tasks of `plan`."""
        self.plan, self.awaited = plan, True
        self.refusals, self.failures, self.not_before = [], [], 0.0

    def take(self, fact: Fact) -> bool:
        """Whether the fact had an effect: an iteration is planned once, what comes later is late."""
        data = fact.data
        if fact.kind == Kind.PLAN_APPROVED:
            self.approved = True
            return True
        if self.plan is not None and not self.awaited:
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
                self.assumptions = tuple(data.get("assumptions", ()))
                self.unconfined = tuple(data.get("unconfined", ()))
                self._planned(plan_from_data(data["plan"], f"the plan of {fact.goal}"))
        return True

    def _planned(self, plan: Plan) -> None:
        """A later plan holds new tasks only; who agreed to the goal agreed to them, but not to commands."""
        if self.plan is not None:
            known = {task.id for task in self.plan.tasks}
            new = (task for task in plan.tasks if task.id not in known)
            plan = replace(self.plan, tasks=(*self.plan.tasks, *new))
            self.approved = self.approved and not self.unconfined
        self.plan, self.awaited = plan, False

    def _answer(self, answers: Sequence[str]) -> bool:
        if len(answers) != len(self.questions) or not answers:
            return False
        self.answered += tuple(zip(self.questions, answers))
        self.questions = ()
        return True
