"""What is worth a word to people who look elsewhere, and how often.  Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mo_git.goal_status import GoalStatus
from mo_git.model import Fact, Kind, TaskState

_OF_TASK = {Kind.LANDED: "task_landed", Kind.FAILED: "task_failed", Kind.EJECTED: "task_failed"}
_FOR_PERSON = frozenset({TaskState.AWAITING_PERSON, TaskState.CONFLICT})
_MINUTE = 60.0
_MOST = 500  # characters


@dataclass(frozen=True, slots=True)
class Notice:
    """`event` is one of `[notify] events`; `state` is the goal's or the task's; `task` may be empty."""

    event: str
    goal: str
    task: str
    state: str
    text: str


def notices(facts: Iterable[Fact], goals: Mapping[str, GoalStatus], events: Collection[str]) -> list[Notice]:
    """What new facts, which have taken effect already, are worth."""
    return [notice for fact in facts if fact.goal for notice in _of(fact, goals) if notice.event in events]


def _of(fact: Fact, goals: Mapping[str, GoalStatus]) -> Iterator[Notice]:
    goal = goals[fact.goal]
    if fact.kind == Kind.GOAL_STARTED:
        yield Notice("goal_started", goal.id, "", str(goal.state), f"{goal.id} started: {goal.spec.title}")
    elif fact.kind == Kind.GOAL_ENDED:
        yield Notice("goal_ended", goal.id, "", str(goal.state), _text(goal.id, goal.state, goal.reason))
    elif fact.kind in (Kind.PLANNED, Kind.PLAN_ASKED) and goal.awaits_person:
        what = "has questions" if goal.awaits_answers else "has a plan that waits for you"
        text = f"{goal.id} {what}: mo review {goal.id}"
        yield Notice("needs_you", goal.id, "", str(goal.state), text)
    elif (task := goal.tasks.get(fact.task)) is not None:
        name, state = f"{goal.id}/{fact.task}", task.state
        if fact.kind in _OF_TASK:
            reason = str(fact.data.get("reason") or fact.data.get("why") or "")
            event = _OF_TASK[Kind(fact.kind)]
            yield Notice(event, goal.id, fact.task, str(state), _text(name, state, reason))
        elif fact.kind in (Kind.HELD, Kind.CONFLICT) and state in _FOR_PERSON:
            text = _text(name, state, task.reason)
            yield Notice("needs_you", goal.id, fact.task, str(state), text)


def _text(name: str, state: str, reason: str) -> str:
    said = f"{name} {str(state).replace('_', ' ')}" + (f": {reason}" if reason else "")
    return " ".join(said.split())[:_MOST]


@dataclass(slots=True)
class Rate:
    """At most so many notices in a minute; what is left out is counted."""

    left_out: int = 0
    _times: deque[float] = field(default_factory=deque)

    def admits(self, per_minute: int, now: float) -> bool:
        while self._times and self._times[0] <= now - _MINUTE:
            self._times.popleft()
        if len(self._times) >= per_minute:
            self.left_out += 1
            return False
        self._times.append(now)
        return True

    def take_left_out(self) -> str:
        """A word on what was left out before this one."""
        count, self.left_out = self.left_out, 0
        return f" (and {count} more before it)" if count else ""
