"""Flakes: tests that pass and fail on one and the same tree.  The rule; who records is the daemon.

A test is known as a flake only where two runs of the same set of tests on the same tree differ, or where it
did both on a last good commit.  Its rate of failing has a Beta posterior (conjugate to the binomial:
Gelman et al., Bayesian Data Analysis, 3rd edition, section 2.4) with the prior Beta(1, 9).  Passes count on
every tree.  Failures count only on trees on which it is known to pass, too: elsewhere the tree may be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DAY = 86400.0
SAME_SET, GOOD = "same_set", "good"  # how a flake was seen
PRIOR_FAILED, PRIOR_PASSED = 1.0, 9.0
_TREES = 2  # different trees on which it has to be seen before it is put in quarantine


@dataclass(frozen=True, slots=True)
class Seen:
    """What a flaky test did on a tree on which it was seen to do both.

    `why` says how that was seen, `at` when it was last, in seconds since the epoch.  With an empty tree and
    no `why` it counts how often it passed on all other trees since the first evidence.
    """

    test: str
    tree: str
    passed: int
    failed: int
    why: str
    at: float


@dataclass(frozen=True, slots=True)
class Flake:
    """A test that was seen to do both, with all that is known of it."""

    test: str
    seen: tuple[Seen, ...]

    @property
    def passed(self) -> int:
        return sum(one.passed for one in self.seen)

    @property
    def failed(self) -> int:
        return sum(one.failed for one in self.seen)

    @property
    def rate(self) -> float:
        """The mean of the posterior: how often it fails on a tree that is right, 0 to 1."""
        failed = PRIOR_FAILED + self.failed
        return failed / (failed + PRIOR_PASSED + self.passed)

    @property
    def evidence(self) -> tuple[Seen, ...]:
        """Where it was seen to do both, oldest first."""
        return tuple(sorted((one for one in self.seen if one.why), key=lambda one: one.at))

    def quarantined_until(self, days: float, now: float) -> float | None:
        """When its quarantine ends; None where it is in none.

        It needs evidence of the last `days` on two trees, so it ends when the second newest is too old.
        """
        times = [one.at for one in self.evidence if one.at + days * DAY > now]
        return times[-_TREES] + days * DAY if len(times) >= _TREES else None


def flakes(seen: Iterable[Seen]) -> list[Flake]:
    """All flakes, by id."""
    found: dict[str, list[Seen]] = {}
    for one in seen:
        found.setdefault(one.test, []).append(one)
    return [Flake(test, tuple(found[test])) for test in sorted(found) if any(one.why for one in found[test])]


def document(found: Sequence[Flake], days: float, now: float) -> dict[str, Any]:
    """`mo flakes --json`."""
    return {"v": 1, "quarantine_days": days, "flakes": [_entry(flake, days, now) for flake in found]}


def _entry(flake: Flake, days: float, now: float) -> Mapping[str, Any]:
    return {
        "id": flake.test,
        "rate": round(flake.rate, 4),
        "passed": flake.passed,
        "failed": flake.failed,
        "evidence": [{"tree": one.tree, "why": one.why, "at": one.at} for one in flake.evidence],
        "quarantined_until": flake.quarantined_until(days, now),
    }
