"""Merge-queue policy: which candidates to gate next, and what a result means.  Pure.

This version lands serially: a train of one (window 1).  The order suits longer trains too:
candidates with the most dependents first (they hold up the most), then priority, then age.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task's accepted commit waiting to land; `since` is when it became one."""

    task: str
    dependents: int
    priority: int
    since: float


class Meaning(StrEnum):
    """What a gate result says about a train."""

    LAND = "land"  # all of it may land
    EJECT = "eject"  # the only member is the culprit: the commit before it is known good
    AGAIN = "again"  # nothing is known: run the gate once more
    HOLD = "hold"  # still nothing is known: a person has to look


def next_train(candidates: Sequence[Candidate], window: int = 1) -> list[str]:
    """Task ids to gate together, in landing order; at most `window`.

    All candidates may land now: a task starts only after its dependencies landed.
    """
    ordered = sorted(candidates, key=lambda c: (-c.dependents, -c.priority, c.since, c.task))
    return [candidate.task for candidate in ordered[:window]]


def meaning(result: str, unknown_before: int) -> Meaning:
    """What follows from a gate run on a train of one: `result` is green, red or unknown."""
    match result:
        case "green":
            return Meaning.LAND
        case "red":
            return Meaning.EJECT
        case _:
            return Meaning.HOLD if unknown_before else Meaning.AGAIN


def conflicting_with(
    paths: Sequence[str], landed: Sequence[tuple[str, Sequence[str]]], contained: Mapping[str, bool]
) -> list[str]:
    """Landed tasks that touched one of these paths and are not in the candidate's base.

    `landed` are (task, paths) in landing order, `contained` says which of them the base already has.
    """
    wanted = set(paths)
    return [task for task, touched in landed if not contained.get(task) and wanted.intersection(touched)]
