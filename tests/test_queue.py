"""Who rides in a train, what is done next, what a result means: examples; properties: test_queue_policy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import queue_sim
from bench.queue_world import Driver, World
from mo_daemon.queue import (
    Blame,
    Candidate,
    Probe,
    Seen,
    Step,
    after_landing,
    conflicting_with,
    line_up,
    prior,
    step,
    stripped,
    weighed,
    without,
)

# -- who rides ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Candidate("z", 2, 0, 9.0, 0.3), Candidate("a", 1, 9, 1.0, 0.1)),  # holds up more
        (Candidate("z", 1, 0, 9.0, 0.1), Candidate("a", 1, 9, 1.0, 0.3)),  # then the safer one
        (Candidate("z", 1, 1, 9.0), Candidate("a", 1, 0, 1.0)),  # then what a person prefers
        (Candidate("z", 1, 1, 1.0), Candidate("a", 1, 1, 2.0)),  # then the older one
        (Candidate("a", 1, 1, 1.0), Candidate("b", 1, 1, 1.0)),  # and always the same one
    ],
)
def test_who_goes_first(first: Candidate, second: Candidate) -> None:
    assert line_up([first, second], window=2) == line_up([second, first], window=2)
    assert line_up([second, first]) == [first.task]


@given(
    st.lists(
        st.builds(Candidate, st.text(min_size=1), st.integers(0, 3), st.integers(-2, 2), st.just(1.0)),
        unique_by=lambda candidate: candidate.task,
    ),
    st.integers(0, 5),
    st.randoms(),
)
def test_a_train_is_the_front_of_one_order(candidates: list[Candidate], window: int, die: object) -> None:
    whole = line_up(candidates, window=len(candidates))
    assert sorted(whole) == sorted(candidate.task for candidate in candidates)
    shuffled = sorted(candidates, key=lambda _: die.random())  # type: ignore[attr-defined]
    assert line_up(shuffled, window) == whole[:window]


def needing(task: str, *needs: str, dependents: int = 0, restarts: int = 0, solo: bool = False) -> Candidate:
    return Candidate(task, dependents, 0, 0.0, needs=frozenset(needs), restarts=restarts, solo=solo)


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([needing("a", "b"), needing("b", "c"), needing("c")], ["c", "b", "a"]),
        ([needing("a", "landed"), needing("b")], ["a", "b"]),
        ([needing("a", dependents=9), needing("b"), needing("late", restarts=3)], ["late"]),
        ([needing("a"), needing("b"), needing("late", "b", restarts=4)], ["b"]),  # makes way for it
        ([needing("a"), needing("b", solo=True), needing("c")], ["a"]),
        ([needing("a", solo=True), needing("b")], ["a"]),
        ([needing("a", "b"), needing("b", "a"), needing("c")], ["c"]),  # a circle never comes to its turn
        ([], []),
    ],
)
def test_needs_come_first_and_some_ride_alone(candidates: list[Candidate], expected: list[str]) -> None:
    assert line_up(candidates, window=9) == expected


def test_priors_are_learnt_and_corrected() -> None:
    assert prior(0, 0) == pytest.approx(0.1)
    assert prior(90, 0) == pytest.approx(0.01)
    assert prior(5, 5) == pytest.approx(0.3)
    assert 0.1 < weighed(0.1, files=100) < weighed(0.1, files=100, retries=2) < 0.5
    assert weighed(0.1, files=8) == pytest.approx(0.1)
    assert weighed(0.1) < weighed(0.1, overlaps=3)
    assert weighed(0.1, overlaps=50) == weighed(0.1, overlaps=10)
    assert weighed(0.1, checked=True) < 0.06


# -- what is done next ----------------------------------------------------------------------------------


def train(names: str, risk: float = 0.1, **needs: str) -> list[Candidate]:
    return [Candidate(name, 0, 0, 0.0, risk, frozenset(needs.get(name, ""))) for name in names]


def full(members: str, verdict: str, *bad: str, again: int = 0) -> Seen:
    return Seen(Probe(tuple(members), None, again), verdict, frozenset(bad))


def ids(members: str, asked: str, bad: str = "", again: int = 0) -> Seen:
    probe = Probe(tuple(members), frozenset(asked), again)
    return Seen(probe, "red" if bad else "green", frozenset(bad))


def probes(*texts: str) -> tuple[Probe, ...]:
    """`abc` a full gate on a, b and c; `abc:xy` only the tests x and y; `abc:x#2` the second repetition."""
    made = []
    for text in texts:
        members, _, rest = text.partition(":")
        asked, _, again = rest.partition("#")
        made.append(Probe(tuple(members), frozenset(asked) if asked else None, int(again or 0)))
    return tuple(made)


ABC = "abcdefgh"


@pytest.mark.parametrize(
    ("risk", "slots", "expected"),
    [
        (0.01, 2, ["abcdefgh"]),  # more likely green than not as a whole
        (0.1, 1, ["abcdef"]),
        (0.2, 3, ["abc", "abcdef", "abcdefgh"]),  # each further one half as likely
        (0.38, 1, ["a"]),  # testing singly is best
        (0.9, 2, ["a"]),
    ],
)
def test_which_prefixes_are_gated_first(risk: float, slots: int, expected: list[str]) -> None:
    assert step(train(ABC, risk), [], [], slots) == Step(probes=probes(*expected))


def test_what_runs_is_not_started_again() -> None:
    assert step(train(ABC), [], probes("abcdef"), 1) == Step()
    assert step(train(ABC), [], probes("abcdef"), 2) == Step(probes=probes("abcdefgh"))


def test_the_longest_green_set_lands_and_ends_shorter_ones() -> None:
    seen = [full("abcd", "red", "x"), full("abcdef", "green")]
    running = probes("ab", "abcdefgh")
    assert step(train(ABC), seen, running, 3) == Step(land=tuple("abcdef"), cancel=probes("ab"))
    assert after_landing(seen, "abcdef") == []
    assert stripped(running[1], "abcdef") == Probe(("g", "h"))
    assert stripped(running[0], "abcdef") is None


def test_a_red_set_is_searched_by_its_failing_tests() -> None:
    seen = [full("abcdefgh", "red", "x", "y")]
    assert step(train(ABC), seen, [], 1) == Step(probes=probes("abcd:xy"))
    assert step(train(ABC), seen, [], 3) == Step(probes=probes("ab:xy", "abcd:xy", "abcdef:xy"))
    seen += [ids("abcd", "xy", "x")]  # two culprits, each between other members
    assert step(train(ABC), seen, [], 2) == Step(probes=probes("ab:x", "abcdef:y"))


def test_a_suspect_is_tried_alone_and_more_than_once_while_the_rest_goes_on() -> None:
    """b fails x on top of a, which passes it: b alone, with what it needs; then again."""
    seen = [full("abc", "red", "x"), ids("a", "x"), ids("ab", "x", "x")]
    asked = step(train("abcde"), seen, [], 2)
    assert asked == Step(probes=probes("b:x", "de"))
    assert step(train("abcde", b="a"), seen, [], 1).probes == probes("ab:x#1")
    seen += [ids("b", "x", "x")]
    assert step(train("abcde"), seen, [], 3).probes == probes("b:x#1", "b:x#2", "b:x#3")
    seen += [ids("b", "x", "x", again=again) for again in range(1, 7)]
    out = Blame("b", frozenset("x"), Probe(("b",), frozenset("x")))
    assert step(train("abcde"), seen, probes("de"), 2) == Step(eject=(out,))
    assert without(seen, {"b"}) == [Seen(Probe(("a", "c")), "cleared"), ids("a", "x")]


def test_how_many_runs_prove_a_blame() -> None:
    """Fewer for tests that are known to be steady, and where each is a full one."""
    seen = [full("a", "red", "x")]
    assert step(train("a"), seen, [], 9).probes == tuple(
        Probe(("a",), frozenset("x"), again) for again in range(8)
    )
    steady = step(train("a"), seen, [], 9, rates={"x": 0.01})
    assert steady.probes == probes("a:x", "a:x#1", "a:x#2")
    plain = step(train("a"), seen, [], 9, selects=False)
    assert plain.probes == (Probe(("a",), None, 1), Probe(("a",), None, 2))


def test_of_thousands_of_failing_tests_a_sample_is_searched() -> None:
    """And the others of a second culprit show in the next full run."""
    broken = {"c": frozenset(f"test_{number}" for number in range(5000)), "f": frozenset({"test_z"})}
    run = Driver(World(ABC, broken), 2).run()
    assert {blame.task for blame in run.blames} == {"c", "f"}
    assert all(len(blame.ids) <= 32 and blame.ids <= broken[blame.task] for blame in run.blames)


def test_an_interaction_names_the_earliest_partner() -> None:
    seen = [full("abcd", "red", "x"), ids("abc", "x"), ids("d", "x")]
    assert step(train("abcd"), seen, [], 1).probes == probes("abcd:x")
    seen += [ids("abcd", "x", "x"), ids("abcd", "x", "x", again=1)]
    assert step(train("abcd"), seen, [], 1).probes == probes("ad:x")
    seen += [ids("ad", "x")]
    assert step(train("abcd"), seen, [], 1).probes == probes("abd:x")
    seen += [ids("abd", "x", "x")]
    seen += [ids("abd", "x", "x", again=again) for again in range(1, 9)]
    (blame,) = step(train("abcd"), seen, [], 1).eject
    assert (blame.task, blame.partner, blame.probe.members) == ("d", "b", tuple("abd"))


def test_who_fails_only_with_somebody_who_leaves_stays() -> None:
    world = World("abc", {"a": frozenset("x")}, pairs=[("a", "c", frozenset("y"))])
    assert [blame.task for blame in Driver(world, 2).run().blames] == ["a"]


def test_what_fails_in_full_and_passes_by_itself_is_run_again_in_full() -> None:
    seen = [full("ab", "red", "x"), ids("a", "x"), ids("b", "x"), ids("ab", "x")]
    assert step(train("ab"), seen, [], 1) == Step(probes=(Probe(("a", "b"), None, 1),))
    flake = [*seen, full("ab", "red", "y", again=1)]  # another test failed: both passed in this very tree
    assert step(train("ab"), flake, [], 1) == Step(land=("a", "b"), flaky=frozenset("xy"))
    leak = [*seen, full("ab", "red", "x", again=1), full("ab", "red", "x", again=2)]
    assert step(train("ab"), leak, [], 1) == Step(probes=probes("a"))


def test_no_verdict_is_asked_for_again_and_then_searched() -> None:
    seen = [full("abcd", "unknown")]
    assert step(train("abcd"), seen, [], 1) == Step(probes=(Probe(tuple("abcd"), None, 1),))
    seen += [full("abcd", "unknown", again=1)]
    assert step(train("abcd"), seen, [], 1) == Step(probes=probes("ab"))
    alone = [full("a", "unknown"), full("a", "unknown", again=1)]
    assert step(train("abcd"), alone, probes("bcd"), 2) == Step(hold=("a",))


def test_a_bypass_waits_for_the_end_of_the_search_then_lands() -> None:
    """With another head all that the search found would be lost."""
    seen = [full("abc", "red", "x"), full("de", "green")]
    asked = step(train("abcdef", f="c"), seen, [], 2)
    assert asked.land == ()
    assert all(set(probe.members) <= set("abc") for probe in asked.probes)
    assert step(train("acdef"), without(seen, {"b"}), [], 2).land == ("d", "e")


def test_sets_that_do_not_merge_are_not_asked_again() -> None:
    seen = [full("abc", "red", "x"), ids("ab", "x"), Seen(Probe(("c",), frozenset("x")), "conflict")]
    assert step(train("abc"), seen, [], 1).probes == probes("abc:x")  # by prefixes alone


def test_evidence_about_others_is_left_out() -> None:
    seen = [full("xa", "red", "t"), full("ax", "green")]
    assert step(train("ab"), seen, probes("x"), 1) == Step(probes=probes("ab"), cancel=probes("x"))
    assert step([], seen, [], 2) == Step()


def test_the_rest_of_a_searched_set_is_taken_for_good_until_gated() -> None:
    hint = [Seen(Probe(tuple("abcdef")), "cleared")]
    assert step(train("abcdefghijklmnop"), hint, [], 1).probes == probes("abcdefghijkl")
    assert after_landing(hint, "ab") == [Seen(Probe(tuple("cdef")), "cleared")]


# -- what it costs --------------------------------------------------------------------------------------


def test_the_simulation_stays_within_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    options = queue_sim.Options(seeds=2)
    for rate, most in ((0.01, 20), (0.05, 40), (0.10, 70)):
        cost = queue_sim.simulate(queue_sim.cold, rate, options)
        assert cost.units < most
        assert cost.time < most
        assert cost.wrong == 0
        assert cost.units < queue_sim.simulate(queue_sim.halving, rate, options).units
    flaky = queue_sim.Options(seeds=3, flaky=3, interactions=1)
    assert queue_sim.simulate(queue_sim.learnt, 0.05, flaky).wrong == 0
    assert queue_sim.main(["--seeds", "1", "--size", "12", "--slots", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(queue_sim.RATES)


# -- a train of one -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "landed", "contained", "expected"),
    [
        (["a"], [], {}, []),
        (["a"], [("one", ["a", "b"])], {}, ["one"]),
        (["a"], [("one", ["a"])], {"one": True}, []),
        (["a"], [("one", ["a"])], {"one": False}, ["one"]),
        (["c"], [("one", ["a"]), ("two", ["c"]), ("three", ["b", "c"])], {}, ["two", "three"]),
        ([], [("one", ["a"])], {}, []),
    ],
)
def test_whom_a_candidate_conflicts_with(
    paths: list[str], landed: list[tuple[str, list[str]]], contained: dict[str, bool], expected: list[str]
) -> None:
    assert conflicting_with(paths, landed, contained) == expected
