"""What the engine may do next, as values; `keys` say what else must not run meanwhile.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mo_git.goal_status import GoalStatus
from mo_git.model import NewFact


@dataclass(frozen=True, slots=True)
class Record:
    """Nothing to run: only facts that follow from other facts."""

    facts: tuple[NewFact, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    """Something to run for a goal; a job whose `keys` are busy is not started."""

    goal: str

    @property
    def keys(self) -> frozenset[str]:
        return frozenset({landing_key(self.goal)})


@dataclass(frozen=True, slots=True)
class PrepareGoal(_Job):
    """Pin the base, make the refs, prove the gate."""

    @property
    def keys(self) -> frozenset[str]:
        return frozenset({f"prepare {self.goal}"})


@dataclass(frozen=True, slots=True)
class PlanGoal(_Job):
    """Let an agent make the plan of a goal in words."""

    @property
    def keys(self) -> frozenset[str]:
        return frozenset({plan_key(self.goal)})


@dataclass(frozen=True, slots=True)
class VerifyGoal(_Job):
    """Let an agent say what is missing, at the end of an iteration."""

    @property
    def keys(self) -> frozenset[str]:
        return frozenset({verify_key(self.goal)})


@dataclass(frozen=True, slots=True)
class _TaskJob(_Job):
    task: str

    @property
    def keys(self) -> frozenset[str]:
        return frozenset({attempt_key(self.goal, self.task)})


@dataclass(frozen=True, slots=True)
class StartAttempt(_TaskJob):
    """Do the task."""


@dataclass(frozen=True, slots=True)
class RecoverAttempt(_TaskJob):
    """The records say that an attempt runs, but nobody runs it: keep what it left, then try again."""

    @property
    def keys(self) -> frozenset[str]:
        return frozenset({attempt_key(self.goal, self.task), _recovery_key(self.goal, self.task)})


@dataclass(frozen=True, slots=True)
class Land(_Job):
    """Merge, gate and land the candidates."""


@dataclass(frozen=True, slots=True)
class RecoverLanding(_Job):
    """A landing was under way when the daemon ended: finish it or drop it, by what the refs say."""


@dataclass(frozen=True, slots=True)
class Operate(_Job):
    """Carry out a requested land, rollback or sync; or a take or give of `task`, when nothing runs for it."""

    request: str
    lane: str = ""
    task: str = ""

    @property
    def keys(self) -> frozenset[str]:
        if self.task:
            return frozenset({attempt_key(self.goal, self.task)})
        return frozenset({landing_key(self.goal), f"lane {self.lane}"})


@dataclass(frozen=True, slots=True)
class CheckGoal(_Job):
    """Run the goal's own check on the integration head."""


@dataclass(frozen=True, slots=True)
class FinishGoal(_Job):
    """All tasks have ended: write the notes, record the end."""


@dataclass(frozen=True, slots=True)
class RunItems(_Job):
    """Do the items of a job, as many at once as it has workers."""

    @property
    def keys(self) -> frozenset[str]:
        return frozenset({items_key(self.goal)})


@dataclass(frozen=True, slots=True)
class LandItems(_Job):
    """Gate and land a batch of a job's accepted items."""


@dataclass(frozen=True, slots=True)
class CancelItems(_Job):
    """The job is given up: what has not landed of it ends."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the job with this key; its work is kept."""

    key: str


Job = (
    PrepareGoal
    | PlanGoal
    | VerifyGoal
    | StartAttempt
    | RecoverAttempt
    | Land
    | RecoverLanding
    | Operate
    | CheckGoal
    | FinishGoal
    | RunItems
    | LandItems
    | CancelItems
)
Action = Record | Stop | Job


def attempt_key(goal: str, task: str) -> str:
    return f"attempt {goal}/{task}"


def _recovery_key(goal: str, task: str) -> str:
    return f"recover {goal}/{task}"


def plan_key(goal: str) -> str:
    return f"plan {goal}"


def verify_key(goal: str) -> str:
    return f"verify {goal}"


def items_key(goal: str) -> str:
    return f"items {goal}"


def landing_key(goal: str) -> str:
    return f"landing {goal}"


def keys_of(goal: GoalStatus, busy: Iterable[str]) -> list[str]:
    """The running jobs of a goal."""
    wanted = {f"prepare {goal.id}", plan_key(goal.id), verify_key(goal.id), landing_key(goal.id)}
    wanted.add(items_key(goal.id))
    attempts = (f"attempt {goal.id}/", f"recover {goal.id}/")
    return [key for key in busy if key in wanted or key.startswith(attempts)]
