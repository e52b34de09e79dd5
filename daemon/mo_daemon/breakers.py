"""What a provider's limits allow: derived from how its runs ended, so a restart forgets nothing.  Pure.

A circuit breaker (M. Nygard, "Release It!", 2007) for each provider: a run that meets a limit opens it until
the stated reset, else for a time that doubles until there is an answer.  How many may run at once follows
additive increase, multiplicative decrease (Chiu and Jain, 1989): a limit halves it, an answer gives one back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mo_git.model import FailureClass as F

LIMITED = frozenset({F.RATE_LIMIT, F.USAGE_LIMIT})
# The provider answered, whatever became of the work.
_ANSWERED = frozenset(
    {F.NO_CHANGE, F.SCOPE, F.SECRETS, F.ISOLATION_BREACH, F.INVALID_OUTPUT, F.CHECK_FAILED}
    | {F.REVIEW_REJECTED, F.CONTEXT_OVERFLOW, F.BUDGET}
)
_WORDS = {F.RATE_LIMIT: "rate limit", F.USAGE_LIMIT: "usage limit"}
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an agent that has ended.

    Times are seconds since the epoch; `failure` is its class, or empty; `until` is when the provider said
    that it would work again.
    """

    provider: str
    started: float
    ended: float
    failure: str = ""
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """`[retry]` and the cap of one provider: first and longest wait in seconds, runs at once."""

    base_seconds: float
    max_seconds: float
    cap: int


@dataclass(frozen=True, slots=True)
class Breaker:
    """Where a provider stands.

    `at_once`: runs at the same time; `until`: nothing starts before; `why`: the class that opened it; `row`:
    how often it opened without an answer since; `opened`: when it did last.
    """

    at_once: int
    until: float = 0.0
    why: str = ""
    row: int = 0
    opened: float = 0.0

    def reason(self, now: float) -> str:
        """Why nothing starts, but for the time; empty where something may."""
        return _WORDS[F(self.why)] if now < self.until else ""


def breakers(runs: Iterable[Run], rules: Mapping[str, Rules]) -> dict[str, Breaker]:
    """Provider -> where it stands after these runs, of those that have rules."""
    by_provider: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_provider[run.provider].append(run)
    found = {}
    for provider, own in rules.items():
        breaker = Breaker(own.cap)
        for run in sorted(by_provider[provider], key=lambda run: (run.ended, run.started)):
            breaker = _after(breaker, run, own)
        found[provider] = breaker
    return found


def _after(breaker: Breaker, run: Run, rules: Rules) -> Breaker:
    if run.failure in LIMITED:
        return _limited(breaker, run, rules)
    if run.failure and run.failure not in _ANSWERED:
        return breaker  # nothing to learn from: it was the network, the program, or a person
    more = replace(breaker, at_once=min(breaker.at_once + 1, rules.cap))
    asked_before = breaker.row and run.started < breaker.opened
    return more if asked_before else replace(more, until=0.0, why="", row=0)


def _limited(breaker: Breaker, run: Run, rules: Rules) -> Breaker:
    """Those that had started when it opened say the same thing once more: one limit, not many."""
    again = breaker.row and run.started < breaker.opened
    row = breaker.row if again else breaker.row + 1
    wait = min(rules.max_seconds, rules.base_seconds * 2 ** (row - 1))
    stated = run.until is not None and run.until > run.ended
    until = run.until if stated and run.until is not None else run.ended + wait
    if again:
        return replace(breaker, until=max(breaker.until, until) if stated else breaker.until)
    return Breaker(max(1, breaker.at_once // 2), until, run.failure, row, run.ended)


def starts_left(starts: Iterable[tuple[str, float]], limits: Mapping[str, int], now: float) -> dict[str, int]:
    """Provider -> starts that its limit for a minute leaves; `starts` are (provider, when)."""
    left = {provider: limit for provider, limit in limits.items() if limit}
    for provider, at in starts:
        if provider in left and at > now - MINUTE:
            left[provider] -= 1
    return left
