"""Limits of providers: when nothing starts, how many may run, and a queue that meets a closed door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_daemon.breakers import Breaker, Rules, Run, breakers, starts_left
from mo_daemon.classify import RetrySettings, TryAgain, next_step
from mo_daemon.decide import Limits, StartAttempt, attempt_key, decide, waits
from mo_daemon.provider_limits import Providers
from mo_daemon.wake import next_wake
from mo_git.config import Config
from mo_git.goal_status import GoalStatus
from mo_git.lifecycle import apply
from mo_git.model import Fact, FailureClass, Kind, TaskSpec
from mo_git.text import clock
from tests.story import Story

NOBODY: frozenset[str] = frozenset()
Answer = Callable[[str, float], tuple[str, float | None]]  # provider, time -> failure class, until
RULES = {"claude": Rules(30, 1800, 8), "codex": Rules(30, 1800, 8)}


def standing(*runs: Run) -> Breaker:
    return breakers(runs, RULES)["claude"]


def limited(started: float, ended: float, until: float | None = None, why: str = "rate_limit") -> Run:
    return Run("claude", started, ended, why, until)


def answered(started: float, ended: float, failure: str = "") -> Run:
    return Run("claude", started, ended, failure)


def test_nothing_is_known() -> None:
    assert standing() == Breaker(8)
    assert standing(answered(0, 5)) == Breaker(8)


def test_a_stated_reset_counts() -> None:
    found = standing(limited(0, 10, 70), Run("codex", 0, 11))
    assert (found.until, found.at_once, found.reason(69), found.reason(70)) == (70, 4, "rate limit", "")
    assert breakers([limited(0, 10, 70)], RULES)["codex"] == Breaker(8)


def test_without_one_the_wait_doubles_up_to_a_limit() -> None:
    runs, at = [], 0.0
    waits_seen = []
    for _ in range(9):
        runs.append(limited(at, at + 1))
        found = standing(*runs)
        waits_seen.append(found.until - (at + 1))
        at = found.until
    assert waits_seen == [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]
    assert standing(*runs).at_once == 1


def test_those_that_started_before_say_the_same_limit_once_more() -> None:
    found = standing(*(limited(0, 10 + n) for n in range(8)))
    assert (found.at_once, found.until, found.row) == (4, 40, 1)
    later = standing(limited(0, 10, 70), limited(0, 11, 90, "usage_limit"))
    assert (later.at_once, later.until) == (4, 90)


def test_each_answer_gives_one_back() -> None:
    runs = [limited(0, 10)]
    assert standing(*runs, answered(0, 20)) == Breaker(5, 40, "rate_limit", 1, 10)  # asked before: still shut
    for number in range(6):
        runs.append(answered(41 + number, 50 + number, "check_failed"))
    assert standing(*runs) == Breaker(8, opened=10)


@pytest.mark.parametrize("failure", ["crash", "network", "overloaded", "auth", "timeout", "cancelled"])
def test_what_says_nothing_about_limits(failure: str) -> None:
    before = standing(limited(0, 10))
    assert standing(limited(0, 10), answered(50, 60, failure)) == before


RUNS = st.lists(
    st.tuples(
        st.floats(0, 1e4), st.floats(0, 1e3), st.sampled_from(["", "rate_limit", "usage_limit", "crash"])
    )
)


@given(RUNS)
def test_there_is_always_a_way_on(given_runs: Sequence[tuple[float, float, str]]) -> None:
    found = standing(*(Run("claude", at, at + took, failure) for at, took, failure in given_runs))
    newest = max((at + took for at, took, _ in given_runs), default=0.0)
    assert 1 <= found.at_once <= 8
    assert found.until <= newest + 1800


def test_starts_of_a_minute() -> None:
    starts = [("claude", 0.0), ("claude", 50.0), ("codex", 50.0)]
    assert starts_left(starts, {"claude": 2, "codex": 0}, 55.0) == {"claude": 0}
    assert starts_left(starts, {"claude": 2, "codex": 0}, 60.0) == {"claude": 1}


# -- a queue, in virtual time -------------------------------------------------------------------------


class World:
    """Tasks, each run of which takes a second; what a provider says to a run is up to `answer`."""

    def __init__(self, tasks: Sequence[TaskSpec], answer: Answer) -> None:
        self.story = Story(tuple(tasks))
        self.story.start()
        self.answer = answer
        self.settings = Config()
        self.providers = Providers()
        self.now = self.began = self.story.created_at + 10
        self.running: dict[str, float] = {}
        self.asked: list[tuple[str, float]] = []
        self.seq = 1000

    @property
    def goals(self) -> dict[str, GoalStatus]:
        return {self.story.id: self.story.goal}

    def tell(self, kind: Kind, task: str, attempt: int, **data: Any) -> None:
        self.seq += 1
        assert apply(self.story.goal, Fact(self.seq, self.now, self.story.id, task, attempt, kind, data))

    def limits(self) -> Limits:
        found = self.providers.limits(self.goals, self.settings, self.now)
        return Limits(
            150,
            caps=found.caps,
            agent_of=lambda _goal, task: task.spec.provider if task else "",
            closed=found.closed,
            starts=found.starts,
            resets=found.resets,
        )

    def look(self) -> None:
        busy = frozenset(attempt_key(self.story.id, name) for name in self.running)
        for action in decide(self.goals, busy, self.limits(), self.now):
            if isinstance(action, StartAttempt):
                task = self.story.goal.tasks[action.task]
                place = {"base": self.story.base, "token": "x", "provider": task.spec.provider}
                self.tell(Kind.ATTEMPT_STARTED, action.task, task.attempt + 1, **place)
                self.running[action.task] = self.now
                self.asked.append((task.spec.provider, self.now))

    def end(self, name: str) -> None:
        task = self.story.goal.tasks[name]
        started, n, provider = self.running.pop(name), task.attempt, task.spec.provider
        failure, until = self.answer(provider, self.now)
        run = {"provider": provider, "class": failure, "until": until, "started": started}
        self.tell(Kind.RUN_ENDED, name, n, **run)
        if not failure:
            self.tell(Kind.UNCHANGED, name, n, commit=self.story.base)
            return
        retry = RetrySettings(10, 30, 1800, 2)
        more = {"attempts": n, "max_attempts": None, "can_rework": True, "jitter": 0.5, "stated": until}
        step = next_step(FailureClass(failure), "429", task.failures, retry, now=self.now, **more)
        self.tell(Kind.ATTEMPT_FAILED, name, n, **{"class": failure, "reason": "429"})
        assert isinstance(step, TryAgain), step
        self.tell(Kind.RETRY_SCHEDULED, name, n, not_before=step.not_before, why=step.why)

    def play(self, until: float = 1e9) -> None:
        """To the end of all tasks, or to that many seconds after the beginning."""
        while any(not task.ended for task in self.story.goal.tasks.values()):
            self.look()
            ends = [at + 1 for at in self.running.values()]
            wake = next_wake(self.goals, self.now, self.limits().resets)
            self.now = min([*ends, *([wake] if wake else []), self.began + until])
            if self.now == self.began + until:
                return
            for name in [name for name, at in self.running.items() if at + 1 <= self.now]:
                self.end(name)

    def requests(self, provider: str, first: float, last: float) -> int:
        return sum(first <= at - self.began < last for who, at in self.asked if who == provider)


def tasks_of(provider: str, count: int) -> list[TaskSpec]:
    return [TaskSpec(f"{provider}-{n}", prompt="do it", provider=provider) for n in range(count)]


@pytest.mark.parametrize("stated", [True, False])
def test_a_hundred_and_fifty_tasks_at_a_closed_door(stated: bool) -> None:
    """The first few meet the limit, the others are not even tried before the reset; then all finish."""
    door = Story(()).created_at + 10 + 3600

    def answer(provider: str, now: float) -> tuple[str, float | None]:
        shut = provider == "claude" and now < door
        return ("rate_limit", door if stated else None) if shut else ("", None)

    world = World([*tasks_of("claude", 150), *tasks_of("codex", 20)], answer)
    world.play()
    assert {str(task.state) for task in world.story.goal.tasks.values()} == {"unchanged"}
    assert world.requests("claude", 0, 3600) <= (8 if stated else 8 + 4 + 2 + 6)
    assert world.requests("codex", 0, 10) == 20
    assert max(task.attempt for task in world.story.goal.tasks.values()) <= (2 if stated else 9)


def test_what_waits_says_for_what_and_until_when() -> None:
    def answer(provider: str, now: float) -> tuple[str, float | None]:
        return ("usage_limit", now + 7200) if provider == "claude" else ("", None)

    world = World([*tasks_of("claude", 12), *tasks_of("codex", 3)], answer)
    world.play(until=100)
    (why,) = waits(world.goals, NOBODY, world.limits(), world.now)[world.story.id]
    until = max(run["until"] for run in world.story.goal.runs if run["until"])
    assert why == f"claude is at its usage limit until {clock(until, world.now)}"
    assert waits(world.goals, NOBODY, world.limits(), world.now)[world.story.id] == {why: 4}
    assert world.limits().resets == (until,)


def test_no_more_starts_than_a_minute_may_have() -> None:
    world = World(tasks_of("claude", 9), lambda _provider, _now: ("", None))
    world.settings = Config.model_validate({"claude": {"max_starts_per_minute": 3}})
    world.play()
    assert [at - world.began for _, at in world.asked] == [0] * 3 + [60] * 3 + [120] * 3
