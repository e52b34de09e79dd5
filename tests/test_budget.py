"""When money is spent: a table of limits and spending, and any number of runs that spend at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mo_daemon.budget import Caps, Run, Spent, crowded, exhausted, held, room

TWO = Spent({"claude": 1.5, "codex": 0.5}, today=5.0)


@pytest.mark.parametrize(
    ("caps", "spent", "left", "why"),
    [
        (Caps(), TWO, math.inf, ""),
        (Caps(goal_usd=25), TWO, 23.0, ""),
        (Caps(goal_usd=2), TWO, 0.0, "the goal's budget of $2.00 is spent ($2.00)"),
        (Caps(goal_usd=25, daily_usd=6), TWO, 1.0, ""),
        (Caps(goal_usd=25, daily_usd=5), TWO, 0.0, "today's budget of $5.00 is spent ($5.00)"),
        (Caps(daily_usd=4), TWO, 0.0, "today's budget of $4.00 is spent ($5.00)"),
        (Caps(goal_usd=25, provider_usd={"claude": 2}), TWO, 0.5, ""),
        (
            Caps(provider_usd={"claude": 1}),
            TWO,
            0.0,
            "the goal's budget of $1.00 for claude is spent ($1.50)",
        ),
        (Caps(provider_usd={"codex": 0.1}), TWO, math.inf, ""),  # another provider's limit
        (Caps(provider_usd={"claude": 1}), Spent(), 1.0, ""),
    ],
)
def test_what_is_left_and_why_nothing_may_start(caps: Caps, spent: Spent, left: float, why: str) -> None:
    assert room(caps, spent, "claude") == left
    assert exhausted(caps, spent, "claude") == why


HELD = Spent({"claude": 1.5}, today=5.0, goal_id="a", runs=[Run("a", "claude", 0.5, 0.2), Run("b", "codex")])


@pytest.mark.parametrize(
    ("caps", "more", "waits", "leaves"),
    [
        (Caps(), 9.0, "", ""),
        (Caps(goal_usd=2), 0.25, "", ""),
        (Caps(goal_usd=2), 0.4, "the goal's budget of $2.00: $0.50 is left, for 1 agent that runs", ""),
        (Caps(goal_usd=1.6), 0.0, "the goal's budget of $1.60: $0.10 is left, for 1 agent that runs", ""),
        (
            Caps(daily_usd=5.2),
            0.0,
            "today's budget of $5.20: $0.20 is left, for 2 agents that run",
            "today's budget of $5.20: $0.20 is left, for 2 agents that run",
        ),
    ],
)
def test_what_runs_holds_money_for_its_next_step(caps: Caps, more: float, waits: str, leaves: str) -> None:
    assert held(caps, HELD, "claude", more) == waits
    assert crowded(caps, HELD, "claude") == leaves  # one that is alone with a limit may reach it


@dataclass
class Shop:
    """Two goals spend at once; the rules are applied as the daemon does, at each usage event."""

    caps: Caps
    paid: dict[tuple[str, str], float] = field(default_factory=dict)  # (goal, provider) -> of ended runs
    runs: list[list[Any]] = field(default_factory=list)  # [goal, provider, cost, next]
    dying: list[list[Any]] = field(default_factory=list)  # stopped; their request is under way still

    def spent(self, goal: str) -> Spent:
        costs = Counter(self.paid)
        for owner, provider, cost, _ in self.runs + self.dying:
            costs[owner, provider] += cost
        own = {provider: cost for (owner, provider), cost in costs.items() if owner == goal}
        runs = [Run(*one) for one in self.runs + self.dying]
        return Spent(own, math.fsum(costs.values()), goal, runs)

    def start(self, goal: str, provider: str, step: float) -> None:
        spent = self.spent(goal)
        if not (exhausted(self.caps, spent, provider) or held(self.caps, spent, provider, step)):
            self.runs.append([goal, provider, 0.0, step])

    def event(self, run: list[Any], cost: float) -> None:
        run[2] += cost
        run[3] = max(run[3], cost)
        for one in [one for one in self.runs if exhausted(self.caps, self.spent(one[0]), one[1])]:
            self.runs.remove(one)
            if one is run:  # it has just told: nothing of it is under way
                self.settle(run)
            else:
                self.dying.append(one)
        if run in self.runs and crowded(self.caps, self.spent(run[0]), run[1]):
            self.runs.remove(run)
            self.settle(run)

    def settle(self, run: list[Any]) -> None:
        self.paid[run[0], run[1]] = self.paid.get((run[0], run[1]), 0.0) + run[2]

    def excess(self) -> list[float]:
        """What each limit is exceeded by; negative: what is left."""
        found = [self.spent("a").today - self.caps.daily_usd] if self.caps.daily_usd else []
        for goal in "ab":
            spent = self.spent(goal)
            found += [spent.goal - self.caps.goal_usd] if self.caps.goal_usd else []
            found += [spent.by_provider.get(name, 0.0) - cap for name, cap in self.caps.provider_usd.items()]
        return found


usd = st.floats(0.01, 2.0)
limits = st.builds(Caps, st.just(0.0) | usd, st.just(0.0) | usd, st.dictionaries(st.sampled_from("xy"), usd))
moves = st.lists(st.tuples(st.sampled_from(["start", "tell", "end"]), st.integers(0, 99), usd), max_size=60)


def play(shop: Shop, steps: Sequence[tuple[str, int, float]], largest: float) -> None:
    """Whatever runs do: start, tell usage (no more than `largest`, where it is given), end."""
    for what, pick, cost in steps:
        if what == "start":
            shop.start("ab"[pick % 2], "xy"[pick // 2 % 2], largest or 0.01)
        elif shop.runs and what == "tell":
            shop.event(shop.runs[pick % len(shop.runs)], min(cost, largest) if largest else cost)
        elif shop.runs:
            run = shop.runs.pop(pick % len(shop.runs))
            shop.settle(run)


@settings(max_examples=150)
@given(limits, moves)
def test_no_limit_is_exceeded_by_more_than_one_event(caps: Caps, steps: list[tuple[str, int, float]]) -> None:
    """Events of any size: the one that reaches a limit is the last."""
    shop = Shop(caps)
    for step in steps:
        before = shop.excess()
        play(shop, [step], 0.0)
        for was, now in zip(before, shop.excess()):
            assert now <= was or (was < 0 and now < step[2])


@settings(max_examples=400)
@given(limits, moves, st.floats(0.01, 0.5))
def test_nor_where_requests_that_are_under_way_are_paid_for(
    caps: Caps, steps: list[tuple[str, int, float]], largest: float
) -> None:
    """Whoever runs, or was stopped by somebody else's event, has one more request under way, at most."""
    shop = Shop(caps)
    play(shop, steps, largest)
    for run in shop.runs + shop.dying:
        run[2] += largest
    assert max(shop.excess(), default=0.0) <= largest + 1e-9
