"""Money: what was spent, what is left, and when nothing may start any more.  Pure; US dollars.

A limit of 0 means no limit.  Limits are looked at before each start and at each usage event of a running
agent, so a run can exceed one by at most one event.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits of one goal: its own, the day's (all goals of the repository), and per provider."""

    goal_usd: float = 0.0
    daily_usd: float = 0.0
    provider_usd: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a goal spent by provider, and what all goals spent today."""

    by_provider: Mapping[str, float] = field(default_factory=dict)
    today: float = 0.0

    @property
    def goal(self) -> float:
        return math.fsum(self.by_provider.values())


def room(caps: Caps, spent: Spent, provider: str) -> float:
    """Dollars that a run of this provider may still cost; infinite without limits, never negative."""
    lefts = [
        cap - used
        for cap, used in (
            (caps.goal_usd, spent.goal),
            (caps.daily_usd, spent.today),
            (caps.provider_usd.get(provider, 0.0), spent.by_provider.get(provider, 0.0)),
        )
        if cap > 0
    ]
    return max(0.0, min(lefts, default=math.inf))


def exhausted(caps: Caps, spent: Spent, provider: str) -> str:
    """Why nothing of this provider may start for the goal; empty where there is room."""
    cap = caps.provider_usd.get(provider, 0.0)
    used = spent.by_provider.get(provider, 0.0)
    if caps.goal_usd > 0 and spent.goal >= caps.goal_usd:
        return f"the goal's budget of ${caps.goal_usd:.2f} is spent (${spent.goal:.2f})"
    if caps.daily_usd > 0 and spent.today >= caps.daily_usd:
        return f"today's budget of ${caps.daily_usd:.2f} is spent (${spent.today:.2f})"
    if cap > 0 and used >= cap:
        return f"the goal's budget of ${cap:.2f} for {provider} is spent (${used:.2f})"
    return ""
