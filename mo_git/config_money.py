"""The settings about money, and about who is told of what happens."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from mo_git.config_base import Section, Texts, key

_PRICE = frozenset({"input", "cached_input", "output"})


def _prices(value: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    if any(set(price) != _PRICE or min(price.values()) < 0 for price in value.values()):
        raise ValueError("a price has input, cached_input and output, 0 or more")
    return {model.lower(): price for model, price in value.items()}


Prices = Annotated[dict[str, dict[str, float]], AfterValidator(_prices)]


class Budget(Section):
    """Money; 0: no limit."""

    goal_usd: float = key(25.0, "US dollars that one goal may spend", ge=0)
    attempt_usd: float = key(
        0.0, "US dollars that one attempt of a task may spend; it is tried once more", ge=0
    )
    daily_usd: float = key(100.0, "US dollars that all goals here may spend in a day (UTC)", ge=0)


class Quota(Section):
    """Limits of subscriptions."""

    reserve: float = key(
        0.3,
        "part of a subscription's window (0 to 1) that agents leave to you; 0: nothing",
        ge=0,
        lt=1,
        allowed="a number from 0 to less than 1",
    )


_EVENTS = ("goal_started", "goal_ended", "task_landed", "task_failed", "needs_you")


def _events(value: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [name for name in value if name not in _EVENTS]:
        raise ValueError(f"no event {unknown[0]}; there are {', '.join(_EVENTS)}")
    return value


Events = Annotated[Texts, AfterValidator(_events)]


class Notify(Section):
    """Who is told of what happens; never more than a word, and never waited for."""

    desktop: bool = key(False, "show notifications on the desktop (notify-send, osascript)")
    command: str = key("", "command (sh -c) run for each, with MO_EVENT, MO_GOAL, MO_TASK...", guarded=True)
    webhook: str = key(
        "",
        "address that each is posted to as JSON",
        guarded=True,
        pattern=r"^(https?://\S+)?$",
        allowed='an address such as "https://example.com/hook"',
    )
    events: Events = key(
        ("goal_ended", "needs_you"),
        "of these: goal_started, goal_ended, task_landed, task_failed, needs_you",
    )
    per_minute: int = key(10, "notifications in a minute at most; the next one counts the others", ge=1)
