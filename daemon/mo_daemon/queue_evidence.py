"""What is known about sets of candidates on the present head: probes, their results, what they say.  Pure.

A *set* is a tuple of task ids in landing order, merged onto the head, the last good commit.  A *full* probe
runs the whole gate on a set, an *ids* probe only some tests.  Full runs decide; ids runs only narrow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

# What is searched for besides test ids: a red gate that names no test, and a gate that gives no verdict.
WEAK = ""
SILENT = "\0"

CLEARED = "cleared"  # a verdict that only `without` gives: all that failed in this set left with others


@dataclass(frozen=True, slots=True)
class Probe:
    """The gate on `members`, merged onto the head in this order.

    `ids` None: the full gate.  `again`: the n-th repetition, which is never answered from a cache.
    """

    members: tuple[str, ...]
    ids: frozenset[str] | None = None
    again: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a probe found: green, red, unknown, or conflict (these members do not merge).

    `bad` are the ids that speak against the set, compared with the head; empty at red: a weak gate.
    """

    probe: Probe
    verdict: str
    bad: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Blame:
    """Why a candidate is ejected: with it, and with `partner` where one is named, `ids` fail in `probe`."""

    task: str
    ids: frozenset[str]
    probe: Probe
    partner: str = ""


def tells(seen: Seen, test: str) -> bool | None:
    """Whether a run speaks against its set by this test; None: it says nothing about it."""
    full = seen.probe.ids is None
    if test == SILENT:
        return {"unknown": True, "green": False, "red": False}.get(seen.verdict) if full else None
    if seen.verdict not in ("green", "red") or not (full or test in (seen.probe.ids or ())):
        return None
    if seen.verdict == "green":
        return False
    return test == WEAK or not seen.bad or test in seen.bad


class Evidence:
    """All that was seen about the present head, by set."""

    def __init__(self, seen: Iterable[Seen]) -> None:
        self.sets: dict[tuple[str, ...], list[Seen]] = defaultdict(list)
        for one in seen:
            self.sets[one.probe.members].append(one)

    def full(self, members: tuple[str, ...]) -> list[Seen]:
        """Full runs of exactly this set that gave a verdict."""
        runs = self.sets.get(members, ())
        return [one for one in runs if one.probe.ids is None and one.verdict in ("green", "red")]

    def counts(self, members: tuple[str, ...], test: str, full: bool) -> tuple[int, int]:
        """(runs against the set by this test, runs for it); only full runs, if so wanted."""
        told = [tells(one, test) for one in self.sets.get(members, ()) if not full or one.probe.ids is None]
        return told.count(True), told.count(False)

    def real(self, members: tuple[str, ...]) -> frozenset[str]:
        """What failed in every full run of this set: a test that passed in one of them is a flake here."""
        named = [one.bad or None if one.verdict == "red" else frozenset() for one in self.full(members)]
        if not named:
            return frozenset()
        known = [bad for bad in named if bad is not None]
        return frozenset.intersection(*known) if known else frozenset({WEAK})

    def verdict(self, members: tuple[str, ...]) -> str:
        """Of a set as a whole: green, red, silent (twice unknown), unknown (once), conflict, or nothing yet.

        Green is a green full run, or full runs that failed by different tests: each test passed in this very
        tree.
        """
        if self.full(members):
            return "red" if self.real(members) else "green"
        runs = [one.verdict for one in self.sets.get(members, ()) if one.probe.ids is None]
        if "conflict" in runs:
            return "conflict"
        return {0: "", 1: "unknown"}.get(runs.count("unknown"), "silent")

    def verdicts(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """(set, verdict) of every set with a full run, in the order they were first seen."""
        for members, runs in self.sets.items():
            if any(one.probe.ids is None for one in runs) and (verdict := self.verdict(members)):
                yield members, verdict

    def flaky(self) -> frozenset[str]:
        """Ids that passed and failed in full runs of one set."""
        found: set[str] = set()
        for members in self.sets:
            runs = self.full(members)
            if len(runs) > 1:
                found |= frozenset.union(*(one.bad for one in runs)) - self.real(members)
        return frozenset(found)

    def unusable(self, members: tuple[str, ...], full: bool) -> bool:
        """Whether a probe of this kind gives nothing: it does not merge, or was unknown twice."""
        runs = [one for one in self.sets.get(members, ()) if (one.probe.ids is None) == full]
        conflict = any(one.verdict == "conflict" for one in self.sets.get(members, ()))
        return conflict or sum(one.verdict == "unknown" for one in runs) > 1

    def repetition(self, members: tuple[str, ...], full: bool, running: Iterable[Probe]) -> int:
        """The `again` of the next probe of this kind."""
        probes = [one.probe for one in self.sets.get(members, ())] + [
            probe for probe in running if probe.members == members
        ]
        return sum((probe.ids is None) == full for probe in probes)


def subset(members: Sequence[str], of: Collection[str]) -> bool:
    return all(member in of for member in members)


def after_landing(seen: Iterable[Seen], landed: Sequence[str]) -> list[Seen]:
    """What is still known when these members are part of the head: of sets that began with them, the rest."""
    left = []
    for one in seen:
        if one.verdict == CLEARED:
            members = tuple(member for member in one.probe.members if member not in landed)
        else:
            probe = stripped(one.probe, landed)
            members = probe.members if probe else ()
        if members:
            left.append(_about(one, members))
    return left


def stripped(probe: Probe, landed: Sequence[str]) -> Probe | None:
    """A running probe as it reads on the head with `landed`; None: it is about no head any more."""
    size = len(landed)
    if len(probe.members) > size and probe.members[:size] == tuple(landed):
        return Probe(probe.members[size:], probe.ids, probe.again)
    return None


def without(seen: Iterable[Seen], gone: Collection[str]) -> list[Seen]:
    """What is still known when these left the train: sets without them.

    Of a set in which only tests failed for which `gone` is to blame, the rest is probably good; that is
    kept as a hint (`CLEARED`), which lands nothing.
    """
    left = []
    for one in seen:
        rest = tuple(member for member in one.probe.members if member not in gone)
        if len(rest) == len(one.probe.members):
            left.append(one)
        elif rest and one.probe.ids is None and (one.bad or one.verdict == CLEARED):
            left.append(Seen(Probe(rest), CLEARED))
    return left


def _about(one: Seen, members: tuple[str, ...]) -> Seen:
    return Seen(Probe(members, one.probe.ids, one.probe.again), one.verdict, one.bad)
