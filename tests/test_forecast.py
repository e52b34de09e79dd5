"""Which pairs of unfinished work are worth a merge, and what is told of them."""

from __future__ import annotations

import pytest

from mo_daemon.forecast import (
    Coming,
    Ranges,
    Source,
    Touch,
    Work,
    counts,
    may_conflict,
    pairs,
    still,
    told,
    unfinished,
)
from mo_git.model import Kind
from tests.story import START, Story, chain, commit

PLAIN = 0o100644


def work(name: str, base: str = "base", /, emptied: tuple[str, ...] = (), **touched: str) -> Work:
    """`a="M1"`: path a, modified, the new blob is a1.  Of a path's name `__` is a slash."""
    changes = {path.replace("__", "/"): said for path, said in touched.items()}
    made = {path: Touch(said[0], "old", path + said[1:], PLAIN) for path, said in changes.items()}
    return Work(name, base, f"commit of {name}", made, frozenset(emptied))


def names(found: list[tuple[Work, Work]]) -> list[str]:
    return [one.name + other.name for one, other in found]


def test_pairs_are_those_that_meet() -> None:
    works = [
        work("a", x="M1", y="M1"),
        work("b", y="M2"),
        work("c", x="D", z="A1"),
        work("d", w="M1"),
        work("e", z="A2"),
    ]
    assert names(pairs(works)) == ["ab", "ac", "ce"]
    assert names(pairs(works[::-1])) == ["ab", "ac", "ce"]
    assert pairs([]) == []


def test_a_new_file_meets_a_file_that_became_its_directory_and_a_directory_that_was_emptied() -> None:
    works = [
        work("a", d="A1"),
        work("b", d__e__f="A1"),
        work("c", old__x="D", new__x="A", emptied=("old",)),
        work("d", old__deep__y="A1"),
        work("e", old__x="M1"),
        work("f", older="A1"),
    ]
    assert names(pairs(works)) == ["ab", "cd", "ce"]
    assert may_conflict(works[0], works[1], lambda _old, _new: None)
    assert may_conflict(works[2], works[3], lambda _old, _new: None)


LINES: dict[str, Ranges | None] = {
    "x1": ((0, 1),),
    "x2": ((20, 22),),
    "x3": ((4, 4),),
    "x4": ((5, 6),),
    "x5": None,
    "x6": ((10, 12), (24, 25)),
}


@pytest.mark.parametrize(
    ("one", "other", "asked"),
    [
        ("M1", "M2", False),
        ("M1", "M3", True),  # three lines apart: the two diffs might align otherwise
        ("M1", "M4", False),
        ("M3", "M4", True),
        ("M2", "M6", True),
        ("M1", "M6", False),
        ("M1", "M1", False),
        ("M1", "M5", True),
        ("D", "D", False),
        ("M1", "D", True),
        ("A1", "A2", True),
        ("A1", "A1", False),
    ],
)
def test_git_is_asked_where_lines_meet_or_cannot_tell(one: str, other: str, asked: bool) -> None:
    pair = work("a", x=one), work("b", x=other)
    assert may_conflict(*pair, lambda _old, new: LINES[new]) == asked
    assert may_conflict(*pair[::-1], lambda _old, new: LINES[new]) == asked


def test_one_file_renamed_in_two_ways_goes_to_git() -> None:
    renamed = work("a", x="D", y="A1"), work("b", x="D", z="A1")
    assert may_conflict(*renamed, lambda _old, _new: None)
    assert not may_conflict(renamed[0], work("c", x="D"), lambda _old, _new: None)


def test_what_landed_in_between_is_not_told_of_the_pair() -> None:
    old, new = work("a", "one", x="M1", y="M1"), work("b", "two", x="M2", z="M2")
    assert told(old, new, ["x", "y"]) == ("x",)
    assert told(old, new, ["y"]) == ()
    assert told(old, work("c", "one", x="M3"), ["renamed"]) == ("renamed",)


def test_conflicts_are_counted_for_the_queue_and_end_with_the_tasks() -> None:
    coming = (Coming(("g/a", "g/b"), ("x",)), Coming(("g/a", "h/c"), ("x", "y")))
    assert counts(coming) == {"g/a": 2, "g/b": 1, "h/c": 1}
    assert counts(()) == {}
    sources = [Source("g/a", "1"), Source("h/c", "1"), Source("g/d", "1")]
    assert still(coming, sources) == coming[1:]


def test_unfinished_are_candidates_and_attempts_at_work_of_goals_that_go_on() -> None:
    story = Story(chain("landed", "next"), id="one-aaaa")
    story.start()
    story.do("landed")
    story.run("next")
    story.finish("next", work=commit("e"))
    other = Story(chain("busy"), id="two-bbbb")
    assert unfinished([other.goal]) == []
    other.start()
    other.run("busy")
    goals = [story.goal, other.goal]
    assert unfinished(goals) == [
        Source("one-aaaa/next", commit("d"), commit("e")),
        Source("two-bbbb/busy", other.base, "", "/trees/busy", "two-bbbb/busy#1", START + 2),
    ]
    story.tell(Kind.GATE_STARTED, "next", 1, commit=commit("f"), head=story.goal.integration)
    assert len(unfinished(goals)) == 2
    other.end("cancelled")
    assert [source.name for source in unfinished(goals)] == ["one-aaaa/next"]
