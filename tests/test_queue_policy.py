"""The merge queue's policy against small worlds: whatever is bad in them, and however slow each gate is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.queue_world import Driver, Run, World
from mo_daemon.queue import Candidate, Probe, Seen, Step
from mo_daemon.queue_evidence import WEAK, Evidence, tells

NAMES = [f"t{number}" for number in range(9)]
SMALL = settings(deadline=None, max_examples=60)


@dataclass
class Auditor:
    """Looks at each step with the eyes of who knows the world."""

    world: World
    problems: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)

    def __call__(
        self, now: Step, train: Sequence[Candidate], seen: Sequence[Seen], head: frozenset[str]
    ) -> None:
        if now.land:
            self.landing(now.land, seen, head)
        for blame in now.eject:
            self.ejection(blame.task, blame.ids or frozenset({WEAK}), blame.probe, seen)
        self.problems += [f"{task} held with an answer" for task in now.hold if task not in self.world.silent]
        self.gone |= {blame.task for blame in now.eject} | set(now.hold)
        self.gone |= {one.task for one in train if one.needs & self.gone}
        waiting = {one.task for one in train}
        self.problems += [f"{probe} of nobody" for probe in now.probes if not waiting >= set(probe.members)]

    def landing(self, tasks: tuple[str, ...], seen: Sequence[Seen], head: frozenset[str]) -> None:
        for place, task in enumerate(tasks):
            if not self.world.needs.get(task, frozenset()) <= head | set(tasks[:place]):
                self.problems.append(f"{task} landed before what it needs")
        runs = [one for one in seen if one.probe.members == tasks and one.probe.ids is None]
        green = any(one.verdict == "green" for one in runs)
        if not green and not (self.world.flaky and not Evidence(seen).real(tasks)):
            self.problems.append(f"{tasks} landed without a green gate")
        if not self.world.flaky and self.world.failing(head | set(tasks)):
            self.problems.append(f"{tasks} landed red")

    def ejection(self, task: str, tests: frozenset[str], probe: Probe, seen: Sequence[Seen]) -> None:
        """The set before the blamed one is known to pass these tests, the set with it to fail them."""
        for test in tests:
            failing = {one.probe.members for one in seen if tells(one, test)}
            passing = {one.probe.members for one in seen if tells(one, test) is False} | {()}
            if not any(members[-1] == task and members[:-1] in passing for members in failing):
                self.problems.append(f"{task} ejected and nothing known about what is before it")
            if probe.members not in failing:
                self.problems.append(f"{task} ejected and {probe} does not fail")


def drive(world: World, slots: int, seed: int = 0, risk: float | None = 0.1, selects: bool = True) -> Run:
    auditor = Auditor(world)
    run = Driver(world, slots, seed, risk=risk, watch=auditor, uneven=True, selects=selects).run()
    assert auditor.problems == []
    landed = [task for landing in run.landings for task in landing]
    assert sorted(landed + run.gone) == sorted(world.tasks)
    return run


def culprits(run: Run) -> set[str]:
    return {blame.task for blame in run.blames}


# -- worlds ---------------------------------------------------------------------------------------------

tests = st.frozensets(st.sampled_from("abcdef"), min_size=1, max_size=3)
bad = st.dictionaries(st.sampled_from(NAMES), tests, max_size=4)
slots = st.integers(1, 4)
risks = st.sampled_from([0.01, 0.1, 0.3, 0.5])


@st.composite
def needs(draw: st.DrawFn) -> Mapping[str, frozenset[str]]:
    """Each may need some that come before it."""
    chosen = {
        task: draw(st.frozensets(st.sampled_from(NAMES[:place]), max_size=2))
        for place, task in enumerate(NAMES)
        if place and draw(st.booleans())
    }
    return {task: before for task, before in chosen.items() if before}


def judged(world: World, out: set[str]) -> set[str]:
    """Those of `out` that leave for what they do themselves: nothing that they need has to leave.

    Others may, too, where what they need fails by a test that somebody else fails as well.
    """
    built = {one for one in out if world.needs.get(one, frozenset()) & out}
    for one in world.tasks:  # in landing order
        if world.needs.get(one, frozenset()) & (built | out):
            built.add(one)
    return out - built


# -- properties -----------------------------------------------------------------------------------------


@SMALL
@given(bad, needs(), slots, st.integers(0, 3), risks)
def test_exactly_the_culprits_go(
    breaks: Mapping[str, frozenset[str]],
    built_on: Mapping[str, frozenset[str]],
    many: int,
    seed: int,
    risk: float,
) -> None:
    world = World(NAMES, breaks, needs=built_on)
    run = drive(world, many, seed, risk)
    assert judged(world, set(breaks)) <= culprits(run) <= set(breaks)
    for blame in run.blames:
        assert blame.ids <= breaks[blame.task]
        assert blame.partner == ""


@SMALL
@given(bad, needs(), slots, st.integers(0, 3))
def test_a_gate_that_names_no_tests(
    breaks: Mapping[str, frozenset[str]], built_on: Mapping[str, frozenset[str]], many: int, seed: int
) -> None:
    world = World(NAMES, breaks, needs=built_on, weak=True)
    run = drive(world, many, seed)
    assert judged(world, set(breaks)) <= culprits(run) <= set(breaks)
    assert all(blame.ids == frozenset() for blame in run.blames)


@SMALL
@given(bad, needs(), slots, st.integers(0, 3))
def test_a_gate_that_cannot_run_single_tests(
    breaks: Mapping[str, frozenset[str]], built_on: Mapping[str, frozenset[str]], many: int, seed: int
) -> None:
    world = World(NAMES, breaks, needs=built_on, leaks=frozenset("abcdef"))
    run = drive(world, many, seed, selects=False)
    assert judged(world, set(breaks)) <= culprits(run) <= set(breaks)
    assert all(blame.probe.ids is None for blame in run.blames)


@SMALL
@given(bad, st.frozensets(st.sampled_from("abcdef")), slots, st.integers(0, 3))
def test_leaked_state_is_found_by_full_runs(
    breaks: Mapping[str, frozenset[str]], leaks: frozenset[str], many: int, seed: int
) -> None:
    run = drive(World(NAMES, breaks, leaks=leaks), many, seed)
    assert culprits(run) == set(breaks)


@SMALL
@given(st.data(), slots, st.integers(0, 3))
def test_the_partner_of_an_interaction_is_named(data: st.DataObject, many: int, seed: int) -> None:
    one, other = data.draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=2, unique=True))
    breaks = {task: frozenset(task + test for test in failed) for task, failed in data.draw(bad).items()}
    world = World(NAMES, breaks, pairs=[(one, other, frozenset("xy"))])
    run = drive(world, many, seed)
    left = culprits(run) - set(breaks)
    together = next((landing for landing in run.landings if {one, other} & set(landing)), ())
    if one in breaks or other in breaks:
        assert left == set()
    else:
        (blame,) = (blame for blame in run.blames if blame.task in left)
        assert {blame.task} | set(together) >= {one, other}
        if blame.partner == "":  # the partner had landed: this one fails alone on that head
            assert blame.probe.members == (blame.task,)
        else:
            assert {blame.task, blame.partner} == {one, other}


@SMALL
@given(bad, needs(), st.frozensets(st.sampled_from(NAMES), max_size=2), slots, st.integers(0, 3))
def test_who_gets_no_verdict_is_held(
    breaks: Mapping[str, frozenset[str]],
    built_on: Mapping[str, frozenset[str]],
    silent: frozenset[str],
    many: int,
    seed: int,
) -> None:
    world = World(NAMES, breaks, needs=built_on, silent=silent)
    run = drive(world, many, seed)
    out = set(breaks) | silent
    assert judged(world, out) & silent <= set(run.held) <= silent
    assert judged(world, out) - silent <= culprits(run) <= set(breaks) - silent


@SMALL
@given(bad, bad, slots, st.integers(0, 3))
def test_tests_that_a_later_member_mends(
    breaks: Mapping[str, frozenset[str]], mends: Mapping[str, frozenset[str]], many: int, seed: int
) -> None:
    drive(World(NAMES, breaks, mends=mends), many, seed)


@SMALL
@given(bad, needs(), slots, st.integers(0, 3))
def test_sets_that_do_not_merge_say_nothing(
    breaks: Mapping[str, frozenset[str]], rests: Mapping[str, frozenset[str]], many: int, seed: int
) -> None:
    world = World(NAMES, breaks, rests=rests)
    run = drive(world, many, seed)
    assert culprits(run) <= set(breaks)


@SMALL
@given(
    *(
        bad,
        needs(),
        st.frozensets(st.sampled_from("abcdefgh"), max_size=4),
        st.frozensets(st.sampled_from("abc")),
    ),
    *(st.sampled_from([0.1, 0.2, 0.5, 0.9]), slots, st.integers(0, 99)),
)
def test_it_ends_whatever_flakes(
    breaks: Mapping[str, frozenset[str]],
    built_on: Mapping[str, frozenset[str]],
    flaky: frozenset[str],
    leaks: frozenset[str],
    rate: float,
    many: int,
    seed: int,
) -> None:
    world = World(NAMES, breaks, needs=built_on, flaky=dict.fromkeys(flaky, rate), leaks=leaks)
    world = replace(world, pairs=[("t1", "t4", frozenset("z"))], silent=frozenset({"t8"} if seed % 2 else ()))
    drive(world, many, seed)
