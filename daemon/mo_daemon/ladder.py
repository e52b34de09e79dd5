"""The conflict ladder: which rung a candidate that does not merge takes next.  Pure.

Each rung is bounded, so that a task cannot go round for ever: files that a command rebuilds, an agent that
keeps both intents, the task done again on the new base, and at the top a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Rung(StrEnum):
    """As it stands in `conflicts[].resolution`; the order is that of the ladder."""

    REGENERATE = "regenerate"
    AGENT = "agent"
    REDO = "redo"
    PERSON = "person"


# How often a task may take each rung until a person says retry.  A rebuilt file is cheap, and each landing
# beside it can bring the same conflict again.
LIMITS: Mapping[Rung, int] = {Rung.REGENERATE: 10, Rung.AGENT: 2, Rung.REDO: 1}


@dataclass(frozen=True, slots=True)
class Situation:
    """What the choice depends on.

    `rebuilt`: a command rebuilds every path in conflict.  `agent`: the task has an intent to keep, the files
    can be merged by their lines, and somebody may do it.  `again`: doing the task again makes another
    commit.  `climbed`: the rungs that it took before.
    """

    rebuilt: bool
    agent: bool
    again: bool
    climbed: Sequence[str] = ()


def next_rung(situation: Situation, above: Rung | None = None) -> Rung:
    """The lowest rung that is open; with `above`, one higher than the one that just failed."""
    is_open = {
        Rung.REGENERATE: situation.rebuilt,
        Rung.AGENT: situation.agent,
        Rung.REDO: situation.again,
    }
    order = list(Rung)
    for rung in order[order.index(above) + 1 if above else 0 :]:
        if is_open.get(rung) and list(situation.climbed).count(rung) < LIMITS[rung]:
            return rung
    return Rung.PERSON
