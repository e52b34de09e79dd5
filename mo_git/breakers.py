"""What recorded answers say of each provider: whether it may be asked now, and by how many at once.  Pure.

A circuit breaker (M. Nygard, "Release It!", 2007) for each agent.  A limit that was met opens it at once,
trouble of the provider's servers after IN_A_ROW times; after its time one run tries whether it works again.
How many run at once halves with each limit met and grows by one with each success (D. Chiu, R. Jain,
"Analysis of the Increase and Decrease Algorithms for Congestion Avoidance", 1989).  All of it follows from
facts (Kind.PROVIDER_ANSWERED), so it survives a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from mo_git.model import Fact, FailureClass

LIMITED = frozenset({FailureClass.RATE_LIMIT, FailureClass.USAGE_LIMIT})
TROUBLED = frozenset({FailureClass.OVERLOADED, FailureClass.NETWORK, FailureClass.PROVIDER_DOWN})
IN_A_ROW = 3
LONGEST = 8 * 86400.0  # seconds: no limit of a provider lasts longer than a week
_WORDS = {
    FailureClass.RATE_LIMIT: "rate limit",
    FailureClass.USAGE_LIMIT: "usage limit",
    FailureClass.OVERLOADED: "overloaded",
    FailureClass.NETWORK: "cannot be reached",
    FailureClass.PROVIDER_DOWN: "its servers fail",
}


class Wait(NamedTuple):
    """What something waits for; `until` (epoch seconds) is None where nobody knows."""

    why: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Breaker:
    """How it stands with one agent; times are seconds since the epoch.

    `limit` is how many may run at once (None: as the settings say).  `failure` is why it is open (empty: it
    is closed), `until` when one run may try it again.  `since` is when the newest trouble was met: runs that
    started before it tell of the same trouble.  `streak` counts troubles without a success between.
    """

    limit: int | None = None
    failure: str = ""
    until: float = 0.0
    since: float = 0.0
    streak: int = 0

    def is_open(self, now: float) -> bool:
        """Whether nobody may ask it now."""
        return bool(self.failure) and now < self.until

    def is_tried(self, now: float) -> bool:
        """Whether its time is over and nobody knows yet that it works again: one run at a time."""
        return bool(self.failure) and now >= self.until

    @property
    def words(self) -> str:
        """Why it is open, for people."""
        return _WORDS[FailureClass(self.failure)] if self.failure else ""


@dataclass(frozen=True, slots=True)
class Pace:
    """`[retry]` and the agent's cap; seconds."""

    cap: int
    base_seconds: float
    max_seconds: float


def answer(
    breaker: Breaker,
    failure: FailureClass | None,
    *,
    started_at: float,
    now: float,
    pace: Pace,
    jitter: float,
    stated: float | None = None,
) -> dict[str, Any]:
    """The data of the fact about one run's ending, without who it was.

    `until` (null: it opens nothing) is what the provider stated, else exponential back-off with full jitter;
    `limit` (null: none) is how many may run at once from now on.
    """
    data: dict[str, Any] = {"class": failure or "", "started_at": started_at, "until": None}
    data["limit"] = breaker.limit
    if failure not in LIMITED | TROUBLED:
        return data
    is_new = started_at >= breaker.since
    streak = breaker.streak + is_new
    if failure in LIMITED and is_new:
        data["limit"] = max(1, min(pace.cap, breaker.limit or pace.cap) // 2)
    if failure in TROUBLED and streak < IN_A_ROW:
        return data
    if stated is not None and stated > now:
        data["until"] = min(stated, now + LONGEST)
    elif is_new or not breaker.is_open(now):
        steps = max(0, streak - (1 if failure in LIMITED else IN_A_ROW))
        data["until"] = now + jitter * min(pace.max_seconds, pace.base_seconds * 2.0 ** min(steps, 60))
    return data


def after(breaker: Breaker, data: Mapping[str, Any], at: float) -> Breaker:
    """The breaker after one more answer, recorded at the time `at`."""
    failure, started_at = data["class"], data["started_at"]
    if not failure:
        return _worked(breaker, data)
    if failure not in LIMITED | TROUBLED:
        return breaker
    is_new = started_at >= breaker.since
    found = replace(breaker, limit=data["limit"], streak=breaker.streak + is_new)
    found = replace(found, since=at) if is_new else found
    if data["until"] is None:
        return found
    return replace(found, failure=failure, until=max(breaker.until, data["until"]))


def _worked(breaker: Breaker, data: Mapping[str, Any]) -> Breaker:
    """A success closes it, unless the run started before its time was over."""
    if breaker.failure and data["started_at"] < breaker.until and not data.get("proof"):
        return breaker
    more = 0 if data.get("first") else 1  # its end counts, not its first sign of life
    return Breaker(None if breaker.limit is None else breaker.limit + more, since=breaker.since)


def fold(facts: Iterable[Fact]) -> dict[str, Breaker]:
    """Agent -> its breaker, after these facts in the order of `seq`."""
    found: dict[str, Breaker] = {}
    for fact in facts:
        take(found, fact)
    return found


def take(breakers: dict[str, Breaker], fact: Fact) -> None:
    """Let one PROVIDER_ANSWERED take effect."""
    name = fact.data["provider"]
    breakers[name] = after(breakers.get(name, Breaker()), fact.data, fact.at)


def resting(breakers: Mapping[str, Breaker], now: float) -> frozenset[str]:
    """Agents that nobody should wait for who may have another one: out for long, or again and again."""
    return frozenset(
        name
        for name, one in breakers.items()
        if one.is_open(now) and (one.failure == FailureClass.USAGE_LIMIT or one.streak >= IN_A_ROW)
    )
