"""The rules of several iterations: what is progress, what is none, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_daemon.convergence import DONE, ON, STOP, Rules, Standing, next_move, plateau, score
from mo_daemon.metrics import DOWN, Metric
from mo_daemon.verify_answer import Verdict, read_verdict
from mo_git.errors import MoError
from mo_git.iteration_state import ESCALATE, PIVOT

ONE = Rules(20, window=1)
TWO = Rules(20, window=2)


def history(*scores: float | tuple[float, str]) -> list[Standing]:
    """Iterations by their scores, or (score, course)."""
    pairs = [one if isinstance(one, tuple) else (one, ON) for one in scores]
    return [Standing(number, value, course=course) for number, (value, course) in enumerate(pairs, 1)]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((0.5, None, None), 0.5),
        ((0.5, True, None), 0.75),
        ((0.6, False, None), 0.3),
        ((0.4, True, 0.1), 0.5),
        ((1.0, False, 0.0), 0.3333),
    ],
)
def test_the_score_is_the_mean_of_what_is_known(parts: Any, expected: float) -> None:
    assert score(*parts) == expected


@pytest.mark.parametrize(
    ("rules", "scores", "course"),
    [
        (TWO, [0.4], ON),
        (TWO, [0.4, 0.4], ON),  # too few to say
        (TWO, [0.4, 0.4, 0.4], ESCALATE),
        (TWO, [0.40, 0.50, 0.65], ON),  # growth below any mark is growth
        (TWO, [0.40, 0.41, 0.42, 0.43, 0.44], ESCALATE),  # not worth its price
        (TWO, [0.40, 0.42, 0.44, 0.46], ON),  # small gains add up within the window
        (TWO, [0.6, 0.3, 0.5], ESCALATE),  # back to where it was is no progress
        (TWO, [0.3, 0.6, 0.3, 0.6], ESCALATE),  # nor is swinging
        (TWO, [0.3, 0.3, 0.6], ON),
        (ONE, [0.4, 0.4], ESCALATE),
        (ONE, [0.4, 0.5], ON),
        (ONE, [0.4, 0.4, (0.4, ESCALATE)], PIVOT),
        (ONE, [0.4, 0.4, (0.6, ESCALATE)], ON),
        (ONE, [0.4, 0.4, (0.6, ESCALATE), 0.6], PIVOT),  # each remedy once
        (ONE, [0.4, 0.4, (0.4, ESCALATE), (0.4, PIVOT)], STOP),
        (TWO, [0.4, 0.4, 0.4, (0.4, ESCALATE)], ON),  # a remedy has its window
        (TWO, [0.4, 0.4, 0.4, (0.4, ESCALATE), 0.4], PIVOT),
        (replace(ONE, remedies=(PIVOT,)), [0.4, 0.4], PIVOT),
        (replace(ONE, remedies=()), [0.4, 0.4], STOP),
        (replace(ONE, iterations=2), [0.4, 0.4], STOP),
        (replace(ONE, iterations=2), [0.4, 0.9], STOP),
        (replace(TWO, gain=0.0), [0.40, 0.41, 0.41], ON),
    ],
)
def test_what_follows(rules: Rules, scores: Sequence[Any], course: str) -> None:
    assert next_move(history(*scores), rules).course == course


def test_reasons_are_for_people() -> None:
    assert next_move(history(0.4, 0.4), replace(ONE, iterations=2)).why == "not done after 2 iterations"
    stopped = next_move(history(0.4, 0.4, (0.4, ESCALATE), (0.4, PIVOT)), ONE)
    assert (
        stopped.why == "no progress over 1 iteration (score 0.40 before, 0.40 now), after escalate and pivot"
    )


def test_done_is_done_in_any_iteration() -> None:
    done = [*history(0.4, 0.4, 0.4), Standing(4, 1.0, done=True)]
    assert next_move(done, Rules(4)).course == DONE


@pytest.mark.parametrize(
    ("courses", "expected"),
    [([ON], PIVOT), ([ON, ESCALATE], PIVOT), ([ON, PIVOT], STOP), ([PIVOT, ON], STOP)],
)
def test_after_something_was_taken_back_it_goes_on_differently_once(
    courses: Sequence[str], expected: str
) -> None:
    found = [Standing(number, 0.5, course=course) for number, course in enumerate(courses, 1)]
    found[-1] = replace(found[-1], taken_back="it was worse")
    move = next_move(found, TWO)
    assert (move.course, move.why) == (expected, "it was worse")
    assert next_move(found, replace(TWO, remedies=())).course == STOP


SIZE = Metric("size", "", DOWN, 10)


@pytest.mark.parametrize(
    ("values", "flat"),
    [((100, 100, 100), True), ((100, 95, 91), True), ((100, 95, 85), False), ((100, 120, 85), False)],
)
def test_a_metric_that_gains_is_progress_too(values: Sequence[float], flat: bool) -> None:
    found = [Standing(number, 0.5, metrics={"size": value}) for number, value in enumerate(values, 1)]
    assert bool(plateau(found, replace(TWO, metrics=(SIZE,)))) == flat


@given(st.lists(st.floats(0.03, 0.2), min_size=1, max_size=20), st.integers(1, 4))
def test_who_always_gains_is_never_stopped(gains: list[float], window: int) -> None:
    total, scores = 0.0, []
    for gain in gains:
        total += gain
        scores.append(total)
    assert plateau(history(*scores), Rules(50, window)) == ""


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 4))
def test_it_always_comes_to_an_end(scores: list[float], window: int) -> None:
    """Whatever the scores are: the limit holds, and no remedy is tried twice."""
    rules, done, course = Rules(12, window), [], ON
    for number in range(1, 13):
        done.append(Standing(number, scores[number % len(scores)], course=course))
        course = next_move(done, rules).course
        if course == STOP:
            break
    assert course == STOP
    used = [one.course for one in done if one.course != ON]
    assert len(used) == len(set(used))


# -- the verifier's answer ----------------------------------------------------------------------------


def said(**more: Any) -> dict[str, Any]:
    return {"done": False, "progress": 40, "missing": [" a "], "summary": "s", **more}


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (said(), Verdict(False, 0.4, ("a",), "s")),
        (said(done=True, missing=[], progress=100), Verdict(True, 1.0, (), "s")),
        (said(done=True), Verdict(False, 0.4, ("a",), "s")),  # what misses something is not done
        (said(progress=33.3, summary=None), Verdict(False, 0.333, ("a",))),
    ],
)
def test_verdicts(answer: Any, verdict: Verdict) -> None:
    assert read_verdict(answer) == verdict


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "the answer is not a JSON object"),
        ([], "the answer is not a JSON object"),
        ({}, "done is not true or false; progress is no number from 0 to 100; missing is no list of texts"),
        (said(done="yes"), "done is not true or false"),
        (said(progress=101), "progress is no number from 0 to 100"),
        (said(progress=True), "progress is no number from 0 to 100"),
        (said(missing="all"), "missing is no list of texts"),
        (said(missing=[" "]), "missing is no list of texts"),
        (said(missing=[1]), "missing is no list of texts"),
        (said(missing=[]), "the goal is not done, and missing names nothing"),
        (said(missing=["x"] * 51), "51 things are missing, at most 50 are allowed: sum them up"),
    ],
)
def test_answers_that_are_no_verdict(answer: Any, message: str) -> None:
    with pytest.raises(MoError) as error:
        read_verdict(answer)
    assert error.value.message == message
