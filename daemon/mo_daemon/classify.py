"""Failure class -> what follows: when to try again, or why not.  Pure.

Back-off is exponential with full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS, 2015):
a delay drawn evenly from 0 to min(max, base * 2**n).  Retries are facts with a `not_before` time, so they
survive a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mo_git.model import FailureClass as F


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """`[retry]` of the configuration; seconds."""

    max_attempts: int
    base_seconds: float
    max_seconds: float
    same_way: int


@dataclass(frozen=True, slots=True)
class Policy:
    """`times`: retries of this class in a row (None: up to the attempt limit, 0: none).

    `backoff`: wait before the next try.  `rework`: only worth trying again with an agent that can read the
    reason; a plain command would do the same thing again.
    """

    times: int | None
    backoff: bool = False
    rework: bool = False


PASSING = frozenset({F.OVERLOADED, F.NETWORK, F.PROVIDER_DOWN})  # its server's fault
SALVAGED = frozenset(
    {F.TIMEOUT, F.IDLE, F.CRASH, F.CHECK_FAILED, F.REVIEW_REJECTED, F.CONTEXT_OVERFLOW}
    | {F.INVALID_OUTPUT, F.BUDGET, F.CROWDED}
)
# The provider's trouble, or the daemon's end: nothing is known against the work.
_SAYS_NOTHING = PASSING | {F.RATE_LIMIT, F.USAGE_LIMIT, F.AUTH, F.NO_CREDIT, F.LOST}

SAME_WAY = -1  # stands for RetrySettings.same_way

POLICIES: Mapping[F, Policy] = {
    F.RATE_LIMIT: Policy(None, backoff=True),
    F.USAGE_LIMIT: Policy(None, backoff=True),
    F.OVERLOADED: Policy(None, backoff=True),
    F.NETWORK: Policy(None, backoff=True),
    F.PROVIDER_DOWN: Policy(None, backoff=True),
    F.CONTEXT_OVERFLOW: Policy(2, rework=True),  # in a new session, then with a larger context
    F.AUTH: Policy(0),
    F.NO_CREDIT: Policy(0),
    F.BAD_MODEL: Policy(0),
    F.BAD_CONFIG: Policy(0),
    F.TIMEOUT: Policy(SAME_WAY, backoff=True),
    F.IDLE: Policy(SAME_WAY, backoff=True),
    F.CRASH: Policy(SAME_WAY, backoff=True),
    F.NO_CHANGE: Policy(1, rework=True),
    F.SCOPE: Policy(1, rework=True),
    F.SECRETS: Policy(1, rework=True),
    F.ISOLATION_BREACH: Policy(1, rework=True),
    F.INVALID_OUTPUT: Policy(1, rework=True),
    F.CHECK_FAILED: Policy(3, rework=True),
    F.REVIEW_REJECTED: Policy(1, rework=True),  # the approach: corrections were asked for before
    F.GATE_RED: Policy(3, rework=True),
    F.CONFLICT: Policy(1, rework=True),  # a resolution that loses lines
    F.SETUP_FAILED: Policy(0),
    F.BUDGET: Policy(1),  # of one attempt; a goal without money stops
    F.CROWDED: Policy(None),  # it starts again when there is money for it
    F.CANCELLED: Policy(0),
    F.LOST: Policy(None),
}


def salvages(failure: str, kept: str, *, whole: bool = False) -> bool:
    """Whether the next attempt of an agent starts from what a failed one left, under the ref `kept`.

    `whole`: it had been finished, and was in review, so that also what says nothing of it loses none of it.
    """
    return (failure in SALVAGED or (whole and failure in _SAYS_NOTHING)) and kept.startswith("refs/")


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Start another attempt, not before this time."""

    not_before: float
    why: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    why: str


def next_step(
    failure: F,
    reason: str,
    earlier: Sequence[str],
    settings: RetrySettings,
    *,
    attempts: int,
    max_attempts: int | None,
    can_rework: bool,
    now: float,
    jitter: float,
    stated: float | None = None,
    more: int = 0,
) -> TryAgain | GiveUp:
    """What follows a failed attempt.

    `earlier` are the classes of this task's earlier failures since a person last said `retry`;
    `attempts` counts them and this one, without those lost to a restart of the daemon: a restart may never
    change how a goal ends.  `jitter` is drawn evenly from [0, 1); `stated` is when the provider said that
    it would work again; `more` are further ways that are left to try, besides those of the policy.
    """
    if failure in (F.LOST, F.CROWDED):
        return TryAgain(now, reason)
    policy = POLICIES[failure]
    limit = max_attempts or settings.max_attempts
    before = _in_a_row(failure, earlier)
    if policy.rework and not can_rework:
        return GiveUp(reason)
    times = settings.same_way if policy.times == SAME_WAY else policy.times
    if times is not None and before >= times + more:
        tried = f" ({before + 1} times)" if before else ""
        return GiveUp(f"{reason}{tried}")
    if attempts >= limit:
        return GiveUp(f"{reason} (attempt {limit} of {limit})")
    if not policy.backoff:
        return TryAgain(now, reason)
    if stated is not None and stated > now:
        return TryAgain(stated + jitter, reason)
    delay = jitter * min(settings.max_seconds, settings.base_seconds * 2**before)
    return TryAgain(now + delay, reason)


def _in_a_row(failure: F, earlier: Sequence[str]) -> int:
    """How often this class came just before, not counting attempts that were lost to a restart."""
    count = 0
    for name in reversed([name for name in earlier if name != F.LOST]):
        if name != failure:
            break
        count += 1
    return count
