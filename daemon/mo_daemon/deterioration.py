"""Many small losses, each within its tolerance, that add up: where a goal should go back to.  Pure.

Each landing is compared with the commit before it only.  So at the end of a goal its head is compared with
the best that it has been.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mo_daemon.metrics import Metric

# Landings after which the goal's own losses are counted anew: what the target brought, or a person took back.
_FRESH_START = frozenset({"sync", "rollback", "deterioration"})


@dataclass(frozen=True, slots=True)
class Measured:
    """A good commit and its metrics: name -> value."""

    commit: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Fall:
    """What got worse in sum (`reason`), and the commit at which it was best."""

    best: str
    reason: str
    metrics: tuple[str, ...]


def stretch(base: str, landings: Sequence[Mapping[str, object]]) -> list[str]:
    """The good commits to compare, oldest first: since the base, or since somebody else moved the branch."""
    commits = [base]
    for landing in landings:
        commit = str(landing["commit"])
        commits = [commit] if landing["purpose"] in _FRESH_START else [*commits, commit]
    return commits


def fall(history: Sequence[Measured], metrics: Sequence[Metric]) -> Fall | None:
    """Whether the last of these commits, oldest first, is worse than the best of them; None: it is not.

    Each metric is compared with its own best value.  The best commit is the one with the greatest sum of
    gains over the fallen metrics, each in units of its tolerance; of several the newest.  Where that is the
    head itself, there is nothing better to go back to.
    """
    known = [one for one in history if all(metric.name in one.metrics for metric in metrics)]
    if len(known) < 2 or known[-1] is not history[-1]:
        return None
    first, head = known[0], known[-1]
    fallen = []
    for metric in metrics:
        top = max((one.metrics[metric.name] for one in known), key=lambda v: metric.gain(0.0, v))
        if metric.fell(top, head.metrics[metric.name]):
            fallen.append((metric, top))
    if not fallen:
        return None

    def gains(one: Measured) -> float:
        return sum(
            metric.gain(first.metrics[metric.name], one.metrics[metric.name]) / (metric.room(top) or 1.0)
            for metric, top in fallen
        )

    at = max(range(len(known)), key=lambda index: (gains(known[index]), index))
    best = known[at]
    if best is head:
        return None
    reason = "; ".join(metric.said(top, head.metrics[metric.name]) for metric, top in fallen)
    return Fall(best.commit, reason, tuple(metric.name for metric, _ in fallen))
