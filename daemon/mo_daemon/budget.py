"""Money: what was spent, what is left, and when nothing may start any more.  Pure; US dollars.

A limit of 0 means no limit.  No limit is exceeded by more than one usage event, however many runs spend at
once, by two rules.  When an event reaches a limit, all runs that count against it are stopped at once.  And
what runs at once holds money for its next events: where that is more than is left, nothing more starts, and
the run that has just told its usage is stopped (it has nothing under way that would be paid for), until one
alone is left, which may reach the limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

FIRST_STEP_USD = 0.05  # of an agent that has told of no usage here yet: a request with a middle context


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits of one goal: its own, the day's (all goals of the repository), and per provider."""

    goal_usd: float = 0.0
    daily_usd: float = 0.0
    provider_usd: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """One that costs money now: `cost_usd` so far; `next_usd` is what its next usage event may add."""

    goal: str
    provider: str
    cost_usd: float = 0.0
    next_usd: float = FIRST_STEP_USD


@dataclass(frozen=True, slots=True)
class Spent:
    """What a goal spent by provider, and what all goals spent today, `runs` included; and all that run."""

    by_provider: Mapping[str, float] = field(default_factory=dict)
    today: float = 0.0
    goal_id: str = ""
    runs: Sequence[Run] = ()

    @property
    def goal(self) -> float:
        return math.fsum(self.by_provider.values())


@dataclass(frozen=True, slots=True)
class _Limit:
    """One limit that a run counts against, and what the runs beside count there."""

    words: str
    cap: float
    used: float
    runs: Sequence[Run]

    @property
    def left(self) -> float:
        return self.cap - self.used

    @property
    def held(self) -> float:
        return math.fsum(run.next_usd for run in self.runs)


def _limits(caps: Caps, spent: Spent, provider: str) -> Iterator[_Limit]:
    runs = [run for run in spent.runs if run.next_usd > 0]  # the others are about to end
    own = [run for run in runs if run.goal == spent.goal_id]
    cap = caps.provider_usd.get(provider, 0.0)
    if caps.goal_usd > 0:
        yield _Limit(f"the goal's budget of ${caps.goal_usd:.2f}", caps.goal_usd, spent.goal, own)
    if caps.daily_usd > 0:
        yield _Limit(f"today's budget of ${caps.daily_usd:.2f}", caps.daily_usd, spent.today, runs)
    if cap > 0:
        words = f"the goal's budget of ${cap:.2f} for {provider}"
        used = spent.by_provider.get(provider, 0.0)
        yield _Limit(words, cap, used, [run for run in own if run.provider == provider])


def room(caps: Caps, spent: Spent, provider: str) -> float:
    """Dollars that a run of this provider may still cost; infinite without limits, never negative."""
    return max(0.0, min((limit.left for limit in _limits(caps, spent, provider)), default=math.inf))


def exhausted(caps: Caps, spent: Spent, provider: str) -> str:
    """Why nothing of this provider may run for the goal; empty where there is room."""
    for limit in _limits(caps, spent, provider):
        if limit.left <= 0:
            return f"{limit.words} is spent (${limit.used:.2f})"
    return ""


def held(caps: Caps, spent: Spent, provider: str, next_usd: float) -> str:
    """Why a run has to wait before it starts, although money is left: what runs now holds it."""
    for limit in _limits(caps, spent, provider):
        if limit.runs and limit.held + next_usd > limit.left:
            return _scarce(limit)
    return ""


def crowded(caps: Caps, spent: Spent, provider: str) -> str:
    """Why a run that has just told its usage (one of `spent.runs`) must leave what is left to the others."""
    for limit in _limits(caps, spent, provider):
        if len(limit.runs) > 1 and limit.held > limit.left:
            return _scarce(limit)
    return ""


def _scarce(limit: _Limit) -> str:
    agents = "1 agent that runs" if len(limit.runs) == 1 else f"{len(limit.runs)} agents that run"
    return f"{limit.words}: ${max(0.0, limit.left):.2f} is left, for {agents}"
