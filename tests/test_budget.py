"""When money is spent: a table of limits and spending."""

from __future__ import annotations

import math

import pytest

from mo_daemon.budget import Caps, Spent, exhausted, room

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
