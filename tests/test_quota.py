"""What stays of a subscription for people: windows as they were told, and when nothing starts."""

from __future__ import annotations

from typing import Any

import pytest

from mo_daemon.quota import Window, is_news, reserved, window_of, windows
from mo_git.model import Fact, Kind

NOW = 1000.0
FIVE = Window("claude", "five hour", 0.72, NOW + 60)


@pytest.mark.parametrize(
    ("used", "until", "reserve", "waits"),
    [
        (0.72, NOW + 60, 0.3, True),
        (0.70, NOW + 60, 0.3, True),
        (0.69, NOW + 60, 0.3, False),
        (0.72, NOW, 0.3, False),  # it has begun anew
        (0.99, NOW + 60, 0.0, False),  # nothing is reserved: the provider itself says when to stop
        (0.1, NOW + 60, 0.9, True),
    ],
)
def test_the_rest_stays_with_people(used: float, until: float, reserve: float, waits: bool) -> None:
    known = [Window("codex", "weekly", 1.0, NOW + 60), Window("claude", "five hour", used, until)]
    said = reserved(known, "claude", reserve, NOW)
    assert bool(said) == waits
    if waits:
        assert said.startswith(f"{used:.0%} of claude's five hour limit is used, the rest is yours")
    assert reserved(known, "other", reserve, NOW) == ""


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"utilization": 0.72, "until": NOW + 60, "window": "five hour", "status": "allowed"}, FIVE),
        ({"utilization": None, "until": NOW + 60, "window": "five hour"}, None),
        ({"utilization": 0.72, "until": None}, None),
        ({}, None),
    ],
)
def test_what_a_program_tells(data: dict[str, Any], expected: Window | None) -> None:
    assert window_of("claude", data) == expected


def test_what_was_told_last_counts_and_only_news_are_written() -> None:
    def told(seq: int, used: float) -> Fact:
        data = {"provider": "claude", "window": "five hour", "utilization": used, "until": NOW + 60}
        return Fact(seq, NOW, "", "", 0, Kind.QUOTA, data)

    known = windows([told(1, 0.2), told(2, 0.72)])
    assert known == {("claude", "five hour"): FIVE}
    assert not is_news(Window("claude", "five hour", 0.725, NOW + 60), known)
    assert is_news(Window("claude", "five hour", 0.74, NOW + 60), known)
    assert is_news(Window("claude", "five hour", 0.72, NOW + 90), known)
    assert is_news(Window("claude", "seven day", 0.1, NOW + 60), known)
