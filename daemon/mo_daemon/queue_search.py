"""Who is to blame for a red set: the search by test ids, and the proof of what it finds.  Pure.

Each failing test has an interval of its own between the longest prefix of the set that passes it and the
shortest that fails it, and one run narrows the intervals of all tests, so several culprits are found
together. Nothing is kept between calls: the state of the search is a function of the evidence.

How sure a blame has to be is a likelihood ratio: what a culprit does (always fails with it, never without
it) against what a flaky test does: fail at its known rate, or in a fifth of all runs.  It has to reach 10^5,
and that for each member the search could have ended at; by Ville's inequality no chance finding is believed
more often than that.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from mo_daemon.queue_evidence import SILENT, WEAK, Blame, Evidence, Probe, tells

FLAKE = (
    0.2  # how often a test may fail by itself, where nothing else is known, without costing anybody a place
)
SURE = math.log(1e5)
SURE_FULL = math.log(25)  # where each further run is a full one
FULL_RUNS = 3  # of one set, before a failure that ids runs do not show is taken for real
SAMPLE = 32  # tests to search by that failed in the same runs
WEAK_RUNS = 2  # that have to be red where no test is named

Set = tuple[str, ...]
_Want = tuple[Set, frozenset[str] | None]


@dataclass(frozen=True, slots=True)
class Case:
    """A red or silent set to be searched, in landing order.

    `needs` are the members each one needs, itself included; `weight` how likely each one is bad; `free` the
    probes that may be started now, `rates` how often tests fail by themselves.  Without `selects` the gate
    can't run single tests.
    """

    segment: Set
    needs: Mapping[str, frozenset[str]]
    weight: Mapping[str, float]
    evidence: Evidence
    running: Sequence[Probe]
    free: int
    flaky: frozenset[str] = frozenset()
    selects: bool = True
    rates: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """Either somebody leaves, or these probes go on with the search, the most important first."""

    blames: tuple[Blame, ...] = ()
    hold: Set = ()
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True)
class _Between:
    """The culprit is between two rungs of a ladder of growing sets: the lower passes, the upper fails."""

    ladder: tuple[Set, ...]
    low: int
    high: int
    full: bool


@dataclass(frozen=True, slots=True)
class _Ask:
    """One more run of this set has to say how it goes on."""

    members: Set
    full: bool


@dataclass(frozen=True, slots=True)
class _Guilty:
    """It is this one; `members` is the set that shows it, to be repeated until `missing` is 0."""

    task: str
    partner: str
    members: Set
    full: bool
    missing: int = 0


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Runs disagree, or nothing more can be asked in this way."""


@dataclass(frozen=True, slots=True)
class _Hold:
    """No run gives a verdict with this one: a person has to look."""

    task: str


_State = _Between | _Ask | _Guilty | _Doubt | _Hold


def search(case: Case) -> Found:
    """How the search in one set goes on.

    Culprits are named together, when nothing cheap is open any more: their leaving ends the search, and
    full runs for the rest of the ids would be run for a set that is about to change.
    """
    states = _first_causes(case, {test: _state(case, test) for test in _tests(case)})
    hold = tuple(sorted({state.task for state in states.values() if isinstance(state, _Hold)}))
    settled = _settled(states)
    open_states = {
        test: state
        for test, state in states.items()
        if not (isinstance(state, _Guilty) and state.task in settled)
    }
    cheap = any(
        isinstance(state, _Between | _Ask | _Guilty) and not state.full for state in open_states.values()
    )
    if settled and not cheap:
        return Found(blames=_blames(states, settled))
    if hold and not cheap:
        return Found(hold=hold)
    if all(isinstance(state, _Doubt) for state in open_states.values()):
        return _smaller(case)
    return Found(probes=_probes(case, open_states))


def _tests(case: Case) -> list[str]:
    """What to search for: of tests that failed in the same full runs, a sample over the whole of them.

    One mistake often fails thousands, and a run of these is no cheaper than a full one.  Those left out go
    with the others, or show in the next full run.
    """
    groups: dict[tuple[bool | None, ...], list[str]] = defaultdict(list)
    runs = [one for members in case.evidence.sets for one in case.evidence.full(members)]
    for test in sorted(case.evidence.real(case.segment) or {SILENT}):
        groups[tuple(tells(one, test) for one in runs)].append(test)
    return [test for tests in groups.values() for test in tests[:: -(-len(tests) // SAMPLE)]]


def _first_causes(case: Case, states: Mapping[str, _State]) -> dict[str, _State]:
    """Without the tests that fail by somebody who leaves anyway: what a suspect needs, or its partner."""
    leaving: set[str] = set()
    kept: dict[str, _State] = {
        test: state for test, state in states.items() if not isinstance(state, _Guilty)
    }
    place = {task: number for number, task in enumerate(case.segment)}
    guilty = [
        (place[state.task], test, state) for test, state in states.items() if isinstance(state, _Guilty)
    ]
    for _, test, state in sorted(guilty, key=lambda entry: entry[:2]):
        if not leaving & ((case.needs[state.task] - {state.task}) | {state.partner}):
            leaving.add(state.task)
            kept[test] = state
    return kept


def _settled(states: Mapping[str, _State]) -> frozenset[str]:
    return frozenset(
        state.task for state in states.values() if isinstance(state, _Guilty) and state.missing <= 0
    )


def _blames(states: Mapping[str, _State], settled: Collection[str]) -> tuple[Blame, ...]:
    blames = []
    for task in sorted(settled):
        guilty = {test: one for test, one in states.items() if isinstance(one, _Guilty) and one.task == task}
        done = [state for state in guilty.values() if state.missing <= 0]
        best = min(done, key=lambda state: (bool(state.partner), state.partner, len(state.members)))
        shown = {test for test, one in guilty.items() if (one.members, one.full) == (best.members, best.full)}
        ids = frozenset(shown - {WEAK})
        blames.append(Blame(task, ids, Probe(best.members, None if best.full else ids), best.partner))
    return tuple(blames)


# -- where the search stands for one test -----------------------------------------------------------------


def _state(case: Case, test: str) -> _State:
    """By ids runs first; where these disagree, by full runs of the same set; then by full runs alone."""
    if test in (WEAK, SILENT) or not case.selects:
        return _follow(case, test, full=True)
    runs = len(case.evidence.full(case.segment))
    more = runs < FULL_RUNS and not case.evidence.unusable(case.segment, full=True)
    if test in case.flaky and runs < 2 and more:
        return _Ask(case.segment, full=True)
    state = _follow(case, test, full=False)
    if isinstance(state, _Doubt):
        state = _Ask(case.segment, full=True) if more else _follow(case, test, full=True)
    return state


def _follow(case: Case, test: str, full: bool) -> _State:
    segment, evidence = case.segment, case.evidence
    ladder = tuple(segment[:size] for size in range(len(segment) + 1))
    narrowed = _narrow(case, ladder, test, full)
    if not isinstance(narrowed, int):
        return narrowed
    target, suspect = ladder[narrowed], segment[narrowed - 1]
    if test == SILENT:
        return _Hold(suspect) if narrowed == 1 else _Doubt()
    alone = tuple(member for member in target if member in case.needs[suspect])
    fails = True if alone == target else _status(evidence, alone, test, full)
    if fails is None and not evidence.unusable(alone, full):
        return _Ask(alone, full)
    if fails == "mixed":
        return _Doubt()
    if fails is False:
        return _interaction(case, test, full, target)
    return _proof(case, test, _Guilty(suspect, "", alone if fails else target, full))


def _interaction(case: Case, test: str, full: bool, target: Set) -> _State:
    """The last of `target` passes alone: with which earlier member does it fail?  Searched likewise."""
    evidence, suspect = case.evidence, target[-1]
    against = evidence.counts(target, test, full)[0]
    if not full:
        against -= evidence.counts(target, test, full=True)[0]
    if against < 2:
        return _Doubt() if evidence.unusable(target, full) else _Ask(target, full)
    own = case.needs[suspect]
    ladder = tuple(
        tuple(member for place, member in enumerate(target) if place < size or member in own)
        for size in range(len(target))
    )
    narrowed = _narrow(case, ladder, test, full)
    if not isinstance(narrowed, int):
        return narrowed
    return _proof(case, test, _Guilty(suspect, target[narrowed - 1], ladder[narrowed], full))


def _narrow(case: Case, ladder: tuple[Set, ...], test: str, full: bool) -> int | _Between | _Doubt:
    """The rung that fails while the one below it passes, or where to look for it.

    The first rung is known to pass, the last to fail.  A test may fail and be mended on the way: the last
    change from passing to failing counts.
    """
    known = [_status(case.evidence, rung, test, full) for rung in ladder]
    if "mixed" in known and not full:
        return _Doubt()
    known[0], known[-1] = False, True
    low = max(rung for rung, fails in enumerate(known) if fails in (False, "mixed"))
    high = next(rung for rung in range(low + 1, len(ladder)) if known[rung] is True)
    if high - low == 1:
        return high
    if _open(case, ladder, low, high, full):
        return _Between(ladder, low, high, full)
    return _Doubt() if len(ladder) > len(case.segment) else high


def _open(case: Case, ladder: tuple[Set, ...], low: int, high: int, full: bool) -> list[int]:
    ends = (ladder[low], ladder[high])
    return [
        rung
        for rung in range(low + 1, high)
        if ladder[rung] not in ends and not case.evidence.unusable(ladder[rung], full)
    ]


def _status(evidence: Evidence, members: Set, test: str, full: bool) -> bool | str | None:
    """Whether a set fails a test: True, False, "mixed", or None, not known."""
    against, passed = evidence.counts(members, test, full)
    if test == SILENT:
        return False if passed else True if against > 1 else None
    if against and passed:
        return "mixed"
    return bool(against) if against or passed else None


def _proof(case: Case, test: str, guilty: _Guilty) -> _State:
    """With how many more runs have to fail before this is believed."""
    evidence, full = case.evidence, guilty.full
    if test == WEAK:
        missing = WEAK_RUNS - evidence.counts(guilty.members, test, full)[0]
    else:
        suspects = {guilty.task, guilty.partner} - {""}
        rate = min(max(case.rates.get(test, FLAKE), 1e-6), 0.5)
        fail, passing = -math.log(rate), -math.log(1 - rate)
        score = -fail  # the run that began the search is what it was chosen for
        for members in evidence.sets:
            against, passed = evidence.counts(members, test, full)
            score += against * fail if suspects.issubset(members) else passed * passing - against * fail
        bar = (SURE if case.selects else SURE_FULL) + len(suspects) * math.log(len(case.segment))
        missing = math.ceil((bar - score) / fail)
    if missing > 0 and evidence.unusable(guilty.members, full):
        return _Hold(guilty.task) if full else _Doubt()
    return replace(guilty, missing=missing)


# -- which probes that takes ------------------------------------------------------------------------------


def _smaller(case: Case) -> Found:
    """Nothing more can be learnt from this set: look at a smaller one, in full."""
    evidence, segment = case.evidence, case.segment
    for size in range(len(segment) - 1, 0, -1):
        verdict = evidence.verdict(segment[:size])
        if verdict in ("red", "silent"):
            return search(replace(case, segment=segment[:size]))
    half = segment[: len(segment) // 2]
    if evidence.verdict(half) == "conflict":  # though more of them merged: nothing here can be believed
        return Found(hold=segment[:1])
    return Found(probes=tuple(_fresh(case, [(half, None)])) if half else ())


def _probes(case: Case, states: Mapping[str, _State]) -> tuple[Probe, ...]:
    asked: dict[tuple[Set, bool], set[str]] = defaultdict(set)
    for test, state in states.items():
        if isinstance(state, _Ask):
            asked[state.members, state.full].add(test)
    asks = [(members, None if full else frozenset(ids)) for (members, full), ids in asked.items()]
    asks = [ask for ask in asks if not _covered(case.running, *ask)]
    wanted = _points(case, [(test, state) for test, state in states.items() if isinstance(state, _Between)])
    wanted += [ask for ask in asks if ask[1] is not None]
    wanted += _repeats(case, {test: state for test, state in states.items() if isinstance(state, _Guilty)})
    wanted += [ask for ask in asks if ask[1] is None]
    return tuple(_fresh(case, wanted[: max(case.free, 0)]))


def _covered(running: Iterable[Probe], members: Set, ids: frozenset[str] | None) -> bool:
    return any(
        probe.members == members
        and (probe.ids is None if ids is None else probe.ids is not None and ids <= probe.ids)
        for probe in running
    )


def _fresh(case: Case, wanted: Iterable[_Want]) -> list[Probe]:
    """Probes, each with the number of its repetition."""
    probes: list[Probe] = []
    for members, ids in wanted:
        again = case.evidence.repetition(members, ids is None, [*case.running, *probes])
        probes.append(Probe(members, ids, again))
    return probes


def _repeats(case: Case, guilty: Mapping[str, _Guilty]) -> list[_Want]:
    """Confirming runs.  What several culprits lack is asked of the whole set, for all their tests at once."""
    nearest: dict[str, _Guilty] = {}
    for state in guilty.values():
        if state.task not in nearest or state.missing < nearest[state.task].missing:
            nearest[state.task] = state
    ids = {
        task: frozenset(
            test for test, one in guilty.items() if (one.task, one.members) == (task, state.members)
        )
        for task, state in nearest.items()
    }
    together = [task for task, state in nearest.items() if not state.full]
    wanted: list[tuple[_Want, int]] = []
    if len(together) > 1 and not case.evidence.unusable(case.segment, full=False):
        tests = frozenset().union(*(ids[task] for task in together))
        wanted.append(((case.segment, tests), min(nearest[task].missing for task in together)))
        nearest = {task: state for task, state in nearest.items() if state.full}
    wanted += [
        ((state.members, None if state.full else ids[task]), state.missing) for task, state in nearest.items()
    ]
    return [
        want
        for want, missing in wanted
        for _ in range(missing - sum(_covered([probe], *want) for probe in case.running))
    ]


def _points(case: Case, between: Sequence[tuple[str, _Between]]) -> list[_Want]:
    """Where to cut the intervals: equal shares of what is likely bad; one run cuts all it lies in."""
    wanted: list[_Want] = []
    for ladder, full in dict.fromkeys((state.ladder, state.full) for _, state in between):
        tests = {test: state for test, state in between if (state.ladder, state.full) == (ladder, full)}
        intervals = sorted({(state.low, state.high) for state in tests.values()})
        mass = [sum(case.weight[member] for member in rung) for rung in ladder]
        running = {
            rung
            for rung, members in enumerate(ladder)
            if any(probe.members == members and (probe.ids is None) == full for probe in case.running)
        }
        free = max(case.free - len(wanted), 0)
        for cut in _cuts(case, ladder, intervals, full, mass, running, free):
            ids = frozenset(test for test, state in tests.items() if state.low < cut < state.high)
            wanted.append((ladder[cut], None if full else ids))
    return wanted


def _cuts(
    case: Case,
    ladder: tuple[Set, ...],
    intervals: Sequence[tuple[int, int]],
    full: bool,
    mass: Sequence[float],
    running: Collection[int],
    free: int,
) -> list[int]:
    usable = {interval: set(_open(case, ladder, *interval, full)) for interval in intervals}
    if len(intervals) == 1 and not running:
        low, high = intervals[0]
        share = (mass[high] - mass[low]) / (free + 1)
        goals = [mass[low] + share * part for part in range(1, free + 1)]
        nearest = [min(usable[low, high], key=lambda rung: abs(mass[rung] - goal)) for goal in goals]
        return list(dict.fromkeys(nearest))
    cuts: list[int] = []
    while len(cuts) < free:
        gains: dict[int, float] = defaultdict(float)
        for low, high in intervals:
            edges = sorted({low, high, *(cut for cut in [*running, *cuts] if low < cut < high)})
            for below, above in pairwise(edges):
                for rung in usable[low, high]:
                    if below < rung < above:
                        gains[rung] += min(mass[rung] - mass[below], mass[above] - mass[rung])
        if not gains:
            break
        cuts.append(max(gains, key=lambda rung: (gains[rung], -rung)))
    return cuts
