"""How much of a subscription is used, as its programs say, and what of it stays with people.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mo_git.model import Fact

STEP = 0.01  # a smaller change of use is not worth a fact


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a provider's subscription: `used` is a part of 1, `until` when it begins anew (epoch)."""

    provider: str
    name: str
    used: float
    until: float


def window_of(provider: str, data: Mapping[str, Any]) -> Window | None:
    """What a program's limit event says; None where it tells no use."""
    used, until = data.get("utilization"), data.get("until")
    if not isinstance(used, int | float) or not isinstance(until, int | float):
        return None
    return Window(provider, str(data.get("window") or ""), float(used), float(until))


def is_news(window: Window, known: Mapping[tuple[str, str], Window]) -> bool:
    before = known.get((window.provider, window.name))
    return before is None or before.until != window.until or abs(before.used - window.used) >= STEP


def windows(facts: Iterable[Fact]) -> dict[tuple[str, str], Window]:
    """(provider, window) -> what was told of it last, from quota facts, oldest first."""
    found = {}
    for fact in facts:
        window = window_of(str(fact.data["provider"]), fact.data)
        if window is not None:
            found[window.provider, window.name] = window
    return found


def reserved(known: Iterable[Window], provider: str, reserve: float, now: float) -> str:
    """Why no run of this provider may start: what is left of a window is for people; empty: one may."""
    for window in known:
        if window.provider == provider and window.until > now and window.used >= 1 - reserve > 0:
            used = f"{window.used:.0%} of {provider}'s {window.name or 'usage'} limit is used"
            again = f"{datetime.fromtimestamp(window.until):%Y-%m-%d %H:%M}"
            return f"{used}, the rest is yours (quota.reserve) until {again}"
    return ""
