"""Merge-queue policy: who rides, which sets to gate next, and what the results mean.  Pure.

`step` is the whole policy.  It keeps nothing: it is given what is known and says what to do now, so a restart
costs nothing but what was not recorded.  docs/design.md describes it in steps, with the sources.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mo_daemon.queue_evidence import (
    CLEARED,
    Blame,
    Evidence,
    Probe,
    Seen,
    after_landing,
    stripped,
    subset,
    without,
)
from mo_daemon.queue_search import Case, search

__all__ = [
    "Blame",
    "Candidate",
    "Probe",
    "Seen",
    "Step",
    "after_landing",
    "conflicting_with",
    "line_up",
    "prior",
    "rides_alone",
    "step",
    "stripped",
    "weighed",
    "without",
]

SINGLY = 0.38  # from this chance of being bad on, batches do not pay (Ungar 1960: (3 - sqrt 5) / 2)
STARVED = 3  # restarts after which a candidate goes first, alone
CLEARED_RISK = 0.02  # what is left of the risk of a candidate whose last set failed by others only


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task's accepted commit waiting to land; `since` is when it became one.

    `risk` is its chance of being bad (see `weighed`), `needs` the tasks whose work it is built on; those that
    are no candidates have landed.  `restarts` counts how often its train was broken up, `solo` must not
    share one.
    """

    task: str
    dependents: int
    priority: int
    since: float
    risk: float = 0.1
    needs: frozenset[str] = frozenset()
    restarts: int = 0
    solo: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now.

    land: these, as one; every test passed in full runs of exactly this set on this head (one green run;
    where runs failed by different tests, those are flakes).  What they need has landed or is among them,
    but they are not always the front of the train.  eject: each with the evidence; what needs it goes, too.
    hold: a person has to look.  cancel: running probes whose results are of no use any more.  flaky: ids
    that passed and failed in full runs of one set.
    """

    land: tuple[str, ...] = ()
    eject: tuple[Blame, ...] = ()
    hold: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    cancel: tuple[Probe, ...] = ()
    flaky: frozenset[str] = frozenset()


# -- who rides ------------------------------------------------------------------------------------------


def line_up(candidates: Sequence[Candidate], window: int = 1) -> list[str]:
    """Task ids to gate together, in landing order; at most `window`.

    Nobody before what it needs; then who holds up the most, then low risk, priority, age.  Who starved goes
    first, and like a solo one alone: a train ends before it.
    """
    by_task = {candidate.task: candidate for candidate in candidates}
    needs = {one.task: one.needs for one in candidates}
    urgent = _with_needs((one.task for one in candidates if one.restarts >= STARVED), needs)

    def rank(one: Candidate) -> tuple[bool, int, float, int, float, str]:
        return (one.task not in urgent, -one.dependents, one.risk, -one.priority, one.since, one.task)

    waits = {one.task: (one.needs & by_task.keys()) - {one.task} for one in candidates}
    ready = [(rank(by_task[task]), task) for task, missing in waits.items() if not missing]
    heapq.heapify(ready)
    line: list[str] = []
    while ready and len(line) < window:
        task = heapq.heappop(ready)[1]
        alone = rides_alone(by_task[task])
        if alone and line:
            break
        line.append(task)
        if alone:
            break
        for other, missing in waits.items():
            if task in missing:
                waits[other] = missing - {task}
                if not waits[other]:
                    heapq.heappush(ready, (rank(by_task[other]), other))
    return line


def rides_alone(candidate: Candidate) -> bool:
    return candidate.solo or candidate.restarts >= STARVED


def prior(landed: int, ejected: int) -> float:
    """Chance that a candidate is bad, from what became of others of its provider: mean of Beta(1, 9)."""
    return (1 + ejected) / (10 + landed + ejected)


def weighed(
    chance: float, *, files: int = 0, overlaps: int = 0, retries: int = 0, checked: bool = False
) -> float:
    """The chance of one candidate, from that of its kind and from what is known of itself.

    `files` changed, `overlaps` with other candidates (conflicts to come) and `retries` change the odds: each
    tenfold above 10 files doubles them, each overlap adds a tenth up to twice, each retry a half up to four
    times; that it passed a check of its own halves them.  Rough on purpose: a wrong one costs runs, never a
    verdict.
    """
    factor = (files / 10) ** 0.3 if files > 10 else 1.0
    factor *= min(1 + overlaps / 10, 2.0) * min(1.5**retries, 4.0) * (0.5 if checked else 1.0)
    odds = chance / (1 - chance) * factor
    return odds / (1 + odds)


def _with_needs(tasks: Iterable[str], needs: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The tasks and all candidates that they need."""
    found, todo = set(), list(tasks)
    while todo:
        task = todo.pop()
        if task in needs and task not in found:
            found.add(task)
            todo += needs[task]
    return frozenset(found)


# -- what to do -----------------------------------------------------------------------------------------


def step(
    train: Sequence[Candidate],
    seen: Sequence[Seen],
    running: Sequence[Probe],
    slots: int,
    selects: bool = True,
    rates: Mapping[str, float] | None = None,
) -> Step:
    """What to do now with the waiting `train` (in landing order), given all that is known about the head.

    To be asked after each probe that ended, and again after each landing (with `after_landing`,
    `stripped`), ejection or hold (with `without`); of those a step has at most one.  `slots` are the probes
    that may run at once, the running ones included.  Where the gate can't run single tests (`selects`), all
    probes are full ones.  `rates` say how often tests fail by themselves, 0 to 1, where that is known: the
    rarer, the fewer runs prove a blame.
    """
    queue = _Queue(train, seen, running, slots)
    flaky = queue.evidence.flaky()
    stale = tuple(probe for probe in running if not subset(probe.members, queue.needs))
    bad = queue.bad()
    if land := queue.green(bad):
        useless = tuple(probe for probe in running if stripped(probe, land) is None)
        return Step(land=land, cancel=useless, flaky=flaky)
    probes: list[Probe] = queue.unanswered()
    if bad:
        case = queue.case(bad, len(probes), flaky)
        found = search(replace(case, selects=selects, rates=rates or {}))
        if leaving := (*found.hold, *(blame.task for blame in found.blames)):
            gone = queue.gone(leaving)
            useless = tuple(
                probe for probe in running if probe in stale or not gone.isdisjoint(probe.members)
            )
            return Step(eject=found.blames, hold=found.hold, cancel=useless, flaky=flaky)
        probes += found.probes
    free = slots - len(running) + len(stale)
    probes = probes[: max(free, 0)]
    probes += queue.ahead(free - len(probes))
    return Step(probes=tuple(probes), cancel=stale, flaky=flaky)


class _Queue:
    """The arguments of `step`, and what it asks about them."""

    def __init__(
        self, train: Sequence[Candidate], seen: Sequence[Seen], running: Sequence[Probe], slots: int
    ) -> None:
        self.order = [one.task for one in train]
        self.needs: dict[str, frozenset[str]] = {}  # task -> itself and all of the train that it needs
        for one in train:
            before = [self.needs[need] for need in one.needs if need in self.needs]
            self.needs[one.task] = frozenset((one.task,)).union(*before)
        about = [one for one in seen if subset(one.probe.members, self.needs)]
        self.evidence = Evidence(one for one in about if one.verdict != CLEARED)
        cleared = {member for one in about if one.verdict == CLEARED for member in one.probe.members}
        self.risk = {
            one.task: min(max(one.risk * (CLEARED_RISK if one.task in cleared else 1), 1e-4), 0.99)
            for one in train
        }
        self.running = [probe for probe in running if subset(probe.members, self.needs)]
        self.slots = slots
        self.verdicts = dict(self.evidence.verdicts())

    def bad(self) -> tuple[str, ...]:
        """The set to search now: the first that was red, with what was gated on top of it; or nothing."""
        for kind in ("red", "silent"):
            sets = [members for members, verdict in self.verdicts.items() if verdict == kind]
            if sets:
                nested = [members for members in sets if members[: len(sets[0])] == sets[0]]
                return max(nested, key=len) if kind == "red" else sets[0]
        return ()

    def green(self, bad: tuple[str, ...]) -> tuple[str, ...]:
        """What may land: the largest green set.  During a search only a part of what is searched, or more
        than it: with another head all that was found in the search would be lost."""
        sets = [
            members
            for members, verdict in self.verdicts.items()
            if verdict == "green"
            and all(self.needs[member] <= set(members) for member in members)
            and (not bad or bad[: len(members)] == members or members[: len(bad)] == bad)
        ]
        return max(sets, key=len, default=())

    def unanswered(self) -> list[Probe]:
        """Sets without a verdict are asked once more."""
        sets = [members for members, verdict in self.verdicts.items() if verdict == "unknown"]
        return [
            Probe(members, None, 1)
            for members in sets
            if not any(probe.members == members and probe.ids is None for probe in self.running)
        ]

    def case(self, bad: tuple[str, ...], taken: int, flaky: frozenset[str]) -> Case:
        free = self.slots - len(self.running) - taken
        return Case(bad, self.needs, self.risk, self.evidence, self.running, free, flaky)

    def gone(self, leaving: Collection[str]) -> frozenset[str]:
        return frozenset(task for task, needs in self.needs.items() if not needs.isdisjoint(leaving))

    def ahead(self, free: int) -> list[Probe]:
        """Full probes of what is not under suspicion, the first on the head that may soon be.

        A set that runs, or that is green and waits for the end of a search, comes first, so that what is
        gated now stays true when it lands.
        """
        suspects = {
            member
            for members, verdict in self.verdicts.items()
            if verdict in ("red", "silent")
            for member in members
        }
        blocked = self.gone(suspects)
        full = [probe.members for probe in self.running if probe.ids is None]
        green = [members for members, verdict in self.verdicts.items() if verdict == "green"]
        bases = [members for members in [*full, *green] if blocked.isdisjoint(members)]
        base = max(bases, key=len, default=())
        safe = max((len(members) for members in green if base[: len(members)] == members), default=0)
        order = [*base, *(task for task in self.order if task not in base and task not in blocked)]
        done = {*self.verdicts, *full}
        clash = [
            len(members)
            for members, verdict in self.verdicts.items()
            if verdict == "conflict" and tuple(order[: len(members)]) == members
        ]
        sizes = _prefixes([self.risk[task] for task in order], safe, self.slots)
        sizes = [size for size in sizes if size < min(clash, default=size + 1)]
        sets = [members for size in sizes if (members := tuple(order[:size])) not in done]
        return [Probe(members) for members in sets[: max(free, 0)]]


def _prefixes(risks: Sequence[float], safe: int, slots: int) -> list[int]:
    """How long the sets to gate are, the most important first; the first `safe` are green together.

    The first is the longest that is more likely green than not, each further one is half as likely to be
    green.  Since the search tells several culprits apart, long sets pay also when they are red: quantiles
    of the first failure, best without such a search, took an eighth (2 slots) to a quarter (4) more runs.
    """
    chances, chance = [1.0], 1.0
    for place, risk in enumerate(risks):
        chance *= 1.0 if place < safe else 1 - risk
        chances.append(chance)
    if safe >= len(risks):
        return []

    def longest(level: float) -> int:
        return max(size for size in range(len(chances)) if chances[size] >= level or size == safe + 1)

    main, *longer = (longest(0.5 ** (slot + 1)) for slot in range(slots))
    singly = next((place for place in range(safe + 1, main) if risks[place] >= SINGLY), main)
    return list(dict.fromkeys([singly, *longer]))


# -- who conflicts -----------------------------------------------------------------------------------


def conflicting_with(
    paths: Sequence[str], landed: Sequence[tuple[str, Sequence[str]]], contained: Mapping[str, bool]
) -> list[str]:
    """Landed tasks that touched one of these paths and are not in the candidate's base.

    `landed` are (task, paths) in landing order, `contained` says which of them the base already has.
    """
    wanted = set(paths)
    return [task for task, touched in landed if not contained.get(task) and wanted.intersection(touched)]
