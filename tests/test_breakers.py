"""What facts say of providers: single answers, and whole goals against a provider that says no."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_daemon.actions import StartAttempt, attempt_key
from mo_daemon.classify import RetrySettings, TryAgain, next_step
from mo_daemon.decide import Limits, decide, waits
from mo_daemon.wake import next_wake
from mo_git.breakers import Breaker, Pace, Wait, after, answer, fold, resting
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.lifecycle import apply, new_goal
from mo_git.model import Fact, GoalSpec, Kind, Plan, TaskSpec
from mo_git.model import FailureClass as F

PACE = Pace(cap=8, base_seconds=30.0, max_seconds=1800.0)
RETRY = RetrySettings(10, 30.0, 1800.0, 2)
START = 1_800_000_000.0


def told(
    breaker: Breaker,
    failure: F | None,
    at: float,
    *,
    started: float | None = None,
    stated: float | None = None,
    **more: Any,
) -> Breaker:
    """The breaker after one run, which took a second."""
    began = at - 1 if started is None else started
    said = answer(breaker, failure, started_at=began, now=at, pace=PACE, jitter=1.0, stated=stated)
    return after(breaker, {**said, **more}, at)


# -- one answer after another -------------------------------------------------------------------------


def test_a_limit_opens_at_once_until_the_stated_time_and_halves() -> None:
    one = told(Breaker(), F.USAGE_LIMIT, 100, stated=5000)
    assert (one.limit, one.until, one.words) == (4, 5000, "usage limit")
    assert one.is_open(4999)
    assert not one.is_tried(4999)
    assert one.is_tried(5000)


def test_without_a_stated_time_the_wait_doubles() -> None:
    one, at, waited = Breaker(), 100.0, []
    for _ in range(8):
        one = told(one, F.RATE_LIMIT, at)
        waited.append(one.until - at)
        at = one.until + 1
    assert waited == [30, 60, 120, 240, 480, 960, 1800, 1800]
    assert one.limit == 1


def test_runs_that_were_under_way_tell_of_the_same_trouble() -> None:
    one = Breaker()
    for n in range(8):
        one = told(one, F.RATE_LIMIT, 100 + n / 10, started=50)
    assert (one.limit, one.streak, one.until) == (4, 1, 130)
    later = told(one, F.RATE_LIMIT, 101, started=50, stated=200)
    assert (later.limit, later.until) == (4, 200)  # who knows better


def test_a_program_that_gave_up_after_its_own_tries_keeps_it_open() -> None:
    one = told(Breaker(), F.RATE_LIMIT, 100, started=50)
    again = told(one, F.RATE_LIMIT, 200, started=50)
    assert (again.limit, again.streak, again.until) == (4, 1, 230)


def test_trouble_of_its_servers_counts_three_times() -> None:
    one = told(told(Breaker(), F.OVERLOADED, 100), F.NETWORK, 200)
    assert not one.failure
    assert told(one, None, 250).streak == 0
    one = told(one, F.OVERLOADED, 300)
    assert (one.until, one.limit, resting({"x": one}, 310)) == (330, None, {"x"})


def test_a_success_closes_and_grows_by_one() -> None:
    one = told(Breaker(), F.RATE_LIMIT, 100)
    assert told(one, None, 110, started=90) == one  # it had started before
    assert told(one, F.CRASH, 140, started=135) == one
    first = told(one, None, 140, started=135, first=True)
    assert (first.failure, first.limit) == ("", 4)
    assert told(first, None, 150, started=135).limit == 5
    assert told(one, None, 110, proof=True).failure == ""


def test_a_time_that_cannot_be_is_not_believed() -> None:
    assert told(Breaker(), F.USAGE_LIMIT, 100, stated=1e12).until == 100 + 8 * 86400


def test_who_rests() -> None:
    often = Breaker(None, F.RATE_LIMIT, 200, 100, 3)
    once = Breaker(4, F.RATE_LIMIT, 200, 100, 1)
    out = Breaker(4, F.USAGE_LIMIT, 200, 100, 1)
    assert resting({"often": often, "once": once, "out": out}, 150) == {"often", "out"}
    assert not resting({"often": often, "once": once, "out": out}, 200)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, *F]),
            st.floats(0, 100),
            st.floats(0, 1),
            st.none() | st.floats(0, 1e6),
        ),
        max_size=30,
    )
)
def test_whatever_comes_it_closes_again(answers: list[tuple[F | None, float, float, float | None]]) -> None:
    one, at = Breaker(), START
    for failure, took, jitter, stated in answers:
        at += took
        began = at - took
        until = None if stated is None else START + stated
        said = answer(one, failure, started_at=began, now=at, pace=PACE, jitter=jitter, stated=until)
        one = after(one, said, at)
        assert one.limit is None or one.limit >= 1
        assert one.until <= at + max(8 * 86400, PACE.max_seconds)
    at = max(at, one.until) + 1
    assert not told(one, None, at + 1, started=at).failure


# -- whole goals --------------------------------------------------------------------------------------

Provider = Callable[[float, str], tuple[F | None, float | None]]  # time, agent -> class, stated


@dataclass
class World:
    """Runs take a second; what an agent meets is decided when its run ends."""

    tasks: tuple[TaskSpec, ...]
    provider: Provider
    seed: int = 1
    now: float = START
    facts: list[Fact] = field(default_factory=list)
    running: dict[str, float] = field(default_factory=dict)  # task -> when it ends
    asked: list[tuple[float, str]] = field(default_factory=list)
    more: Mapping[str, Any] = field(default_factory=dict)  # further limits

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.goal = new_goal(GoalSpec("g", "g", Plan("g", self.tasks), START, "b" * 40))
        self.tell(Kind.GOAL_CREATED)
        self.tell(Kind.GOAL_STARTED, base="b" * 40)

    def tell(self, kind: Kind, task: str = "", n: int = 0, **data: Any) -> None:
        goal = "" if kind is Kind.PROVIDER_ANSWERED else "g"
        fact = Fact(len(self.facts) + 1, self.now, goal, task, n, kind, data)
        self.facts.append(fact)
        if fact.goal:
            apply(self.goal, fact)

    @property
    def breakers(self) -> dict[str, Breaker]:
        """From the facts alone, as after a restart."""
        return fold(fact for fact in self.facts if fact.kind == Kind.PROVIDER_ANSWERED)

    def agent_of(self, _goal: GoalStatus, task: TaskStatus | None) -> str:
        """The one that the id begins with; `auto` takes y while x rests."""
        name = task.spec.id.partition("-")[0] if task else ""
        if name == "auto":
            return "y" if "x" in resting(self.breakers, self.now) else "x"
        return name

    def limits(self) -> Limits:
        caps = {"x": 8, "y": 8}
        return Limits(150, "", caps, None, self.agent_of, breakers=self.breakers, **self.more)

    def busy(self) -> frozenset[str]:
        return frozenset(attempt_key("g", name) for name in self.running)

    def step(self) -> bool:
        """Start what may start, then go to the next moment; False where nothing will happen any more."""
        for action in decide({"g": self.goal}, self.busy(), self.limits(), self.now):
            if isinstance(action, StartAttempt):
                task = self.goal.tasks[action.task]
                agent = self.agent_of(self.goal, task)
                place = {"base": "b", "branch": "b", "worktree": "w", "token": "t", "provider": agent}
                self.tell(Kind.ATTEMPT_STARTED, action.task, task.attempt + 1, **place)
                self.running[action.task] = self.now + 1
                self.asked.append((self.now, agent))
        due = next_wake({"g": self.goal}, self.now, self.breakers)
        times = [*self.running.values(), *([] if due is None else [due])]
        if not times:
            return False
        self.now = min(times)
        for name in [name for name, ends in self.running.items() if ends <= self.now]:
            self.end(self.goal.tasks[name])
        return True

    def end(self, task: TaskStatus) -> None:
        name, attempt = task.spec.id, task.attempts[-1]
        del self.running[name]
        failure, stated = self.provider(self.now, attempt.provider)
        said = answer(
            self.breakers.get(attempt.provider, Breaker()),
            failure,
            started_at=attempt.started_at,
            now=self.now,
            pace=PACE,
            jitter=self.draw.random(),
            stated=stated,
        )
        self.tell(Kind.PROVIDER_ANSWERED, provider=attempt.provider, **said)
        self.tell(Kind.AGENT_ENDED, name, attempt.n, exit_code=0)
        if failure is None:
            self.tell(Kind.UNCHANGED, name, attempt.n, commit="b" * 40)
            return
        self.tell(Kind.ATTEMPT_FAILED, name, attempt.n, **{"class": failure}, reason=str(failure))
        step = next_step(
            failure,
            str(failure),
            task.failures[:-1],
            RETRY,
            attempts=len(task.failures),
            max_attempts=None,
            can_rework=True,
            now=self.now,
            jitter=self.draw.random(),
            stated=stated,
        )
        assert isinstance(step, TryAgain)
        self.tell(Kind.RETRY_SCHEDULED, name, attempt.n, not_before=step.not_before, why=step.why)

    def play(self, until: float = START + 1e6) -> None:
        while self.now < until and self.step():
            pass

    def done(self) -> int:
        return sum(task.satisfied for task in self.goal.tasks.values())


def many(*names: str, count: int) -> tuple[TaskSpec, ...]:
    return tuple(TaskSpec(f"{name}-{n}", prompt="p") for name in names for n in range(count))


RESET = START + 600


@pytest.mark.parametrize("is_stated", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_150_tasks_while_their_provider_says_no_to_all(is_stated: bool, seed: int) -> None:
    def provider(now: float, agent: str) -> tuple[F | None, float | None]:
        return (None, None) if now >= RESET else (F.RATE_LIMIT, RESET if is_stated else None)

    world = World(many("x", count=150), provider, seed)
    world.play()
    assert world.done() == 150
    before = [at for at, _ in world.asked if at < RESET - 1]
    assert len(before) == 8 if is_stated else 8 < len(before) < 40
    after_reset = [at for at, _ in world.asked if at >= max(before) + 1]
    assert after_reset[1] >= after_reset[0] + 1  # one tries first
    assert max(len(task.attempts) for task in world.goal.tasks.values()) < RETRY.max_attempts


def test_until_the_reset_of_one_provider_others_go_on() -> None:
    def provider(now: float, agent: str) -> tuple[F | None, float | None]:
        return (F.USAGE_LIMIT, RESET) if agent == "x" and now < RESET else (None, None)

    world = World(many("x", "y", "auto", count=20), provider)
    world.play(RESET - 1)
    assert [agent for _, agent in world.asked].count("x") == 8
    states = {name: task.satisfied for name, task in world.goal.tasks.items()}
    assert all(states[f"y-{n}"] for n in range(20))
    assert sum(states[f"auto-{n}"] for n in range(20)) >= 12  # the first ones had begun with x
    held = waits({"g": world.goal}, world.busy(), world.limits(), RESET - 100)["g"]
    assert held[Wait("x: usage limit", RESET)] >= 12
    world.play()
    assert world.done() == 60
    assert [at for at, agent in world.asked if agent == "x"][8] >= RESET


def test_growth_is_by_one_for_each_success() -> None:
    def provider(now: float, agent: str) -> tuple[F | None, float | None]:
        return (F.RATE_LIMIT, START + 60) if now < START + 60 else (None, None)

    world = World(many("x", count=60), provider)
    world.play()
    assert world.done() == 60
    together = list(Counter(at for at, _ in world.asked if at >= START + 60).values())
    assert together[:3] == [1, 5, 8]  # it had come down to 4


def test_starts_in_a_minute() -> None:
    world = World(many("x", count=20), lambda _now, _agent: (None, None), more={"starts": {"x": 5}})
    for second in range(300):
        world.now = START + second
        world.step()
    times = [at for at, _ in world.asked]
    assert len(times) == 20
    assert all(sum(one <= other < one + 60 for other in times) <= 5 for one in times)
