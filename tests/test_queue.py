"""Which candidate is gated next, and what a result means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_daemon.queue import Candidate, Meaning, conflicting_with, meaning, next_train


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Candidate("z", 2, 0, 9.0), Candidate("a", 1, 9, 1.0)),  # holds up more
        (Candidate("z", 1, 1, 9.0), Candidate("a", 1, 0, 1.0)),  # then what a person prefers
        (Candidate("z", 1, 1, 1.0), Candidate("a", 1, 1, 2.0)),  # then the older one
        (Candidate("a", 1, 1, 1.0), Candidate("b", 1, 1, 1.0)),  # and always the same one
    ],
)
def test_who_goes_first(first: Candidate, second: Candidate) -> None:
    assert next_train([first, second], window=2) == next_train([second, first], window=2)
    assert next_train([second, first]) == [first.task]


@given(
    st.lists(
        st.builds(Candidate, st.text(min_size=1), st.integers(0, 3), st.integers(-2, 2), st.just(1.0)),
        unique_by=lambda candidate: candidate.task,
    ),
    st.integers(0, 5),
    st.randoms(),
)
def test_a_train_is_the_front_of_one_order(candidates: list[Candidate], window: int, die: object) -> None:
    whole = next_train(candidates, window=len(candidates))
    assert sorted(whole) == sorted(candidate.task for candidate in candidates)
    shuffled = sorted(candidates, key=lambda _: die.random())  # type: ignore[attr-defined]
    assert next_train(shuffled, window) == whole[:window]


@pytest.mark.parametrize(
    ("result", "before", "expected"),
    [
        ("green", 0, Meaning.LAND),
        ("green", 1, Meaning.LAND),
        ("red", 0, Meaning.EJECT),
        ("red", 1, Meaning.EJECT),
        ("unknown", 0, Meaning.AGAIN),
        ("unknown", 1, Meaning.HOLD),
        ("anything else", 1, Meaning.HOLD),
    ],
)
def test_what_a_result_means(result: str, before: int, expected: Meaning) -> None:
    assert meaning(result, before) is expected


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
