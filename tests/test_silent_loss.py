"""No resolution drops what one side brought without a word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_daemon.silent_loss import Loss, losses

BASE = "import os\n\ndef price(item):\n    return item.cents\n"
OURS = "import os\n\ndef price(item):\n    return item.cents\n\ndef tax(item):\n    return item.cents // 5\n"
THEIRS = "import os\n\ndef price(item):\n    return item.cents\n\ndef rebate(item):\n    return 7\n"
BOTH = OURS + "\ndef rebate(item):\n    return 7\n"


def lost(base: str, ours: str, theirs: str, result: str, elsewhere: str = "") -> list[tuple[str, str]]:
    lines = [text.splitlines() for text in (base, ours, theirs, result)]
    return [(loss.side, loss.line) for loss in losses(*lines, elsewhere.splitlines())]


@pytest.mark.parametrize(
    ("what", "result", "expected"),
    [
        ("both are kept", BOTH, []),
        ("the other order", THEIRS + "\ndef tax(item):\n    return item.cents // 5\n", []),
        ("theirs is dropped", OURS, [("theirs", "def rebate(item):"), ("theirs", "return 7")]),
        ("ours is dropped", THEIRS, [("ours", "def tax(item):"), ("ours", "return item.cents // 5")]),
        (
            "all is dropped",
            "",
            [
                *(("ours", line) for line in ("def tax(item):", "return item.cents // 5")),
                *(("theirs", line) for line in ("def rebate(item):", "return 7")),
            ],
        ),
        ("other spaces", BOTH.replace("    ", "\t").replace("(item)", "(item) "), []),
        ("moved to the top", "def rebate(item):\n    return 7\n" + OURS, []),
        ("adapted", BOTH.replace("return item.cents // 5", "return price(item) // 5"), []),
        ("a comment", OURS + "# no\n", [("theirs", "def rebate(item):"), ("theirs", "return 7")]),
    ],
)  # fmt: skip
def test_two_functions_at_one_place(what: str, result: str, expected: list[tuple[str, str]]) -> None:
    assert lost(BASE, OURS, THEIRS, result) == expected


def test_a_line_that_moved_to_another_file_is_not_lost() -> None:
    assert lost(BASE, OURS, THEIRS, OURS, "def rebate(item):\n    return 7\n") == []


@pytest.mark.parametrize("result", ["x = 2\n", "x = 3\n", "x = 5\n", ""])
def test_lines_that_both_sides_changed_are_free(result: str) -> None:
    assert lost("x = 1\n", "x = 2\n", "x = 3\n", result) == []


def test_what_is_added_beside_a_line_that_both_changed_is_not() -> None:
    ours = "x = 2\nlimit = 'high'\n"
    assert lost("x = 1\n", ours, "x = 3\n", "x = 3\n") == [("ours", "limit = 'high'")]
    assert lost("x = 1\n", ours, "x = 3\n", "x = 3\nlimit = 'high'\n") == []


def test_a_line_that_one_side_changed_and_the_other_left_alone() -> None:
    base, ours = "a = 1\nb = 1\n", "a = 2\nb = 1\n"
    assert lost(base, ours, "a = 1\nb = 2\n", "a = 1\nb = 2\n") == [("ours", "a = 2")]


def test_a_line_that_both_sides_added_is_free() -> None:
    assert lost("a\n", "a\nnew line\nours\n", "a\nnew line\ntheirs\n", "a\nours\ntheirs\n") == []


def test_duplicates_are_counted() -> None:
    base, ours = "step()\n", "step()\nstep()\nstep()\n"
    assert lost(base, ours, "step()\nend()\n", "step()\nend()\n") == [("ours", "step()")]
    assert lost(base, ours, "step()\nend()\n", ours + "end()\n") == []


def test_a_line_that_moved_within_a_side_need_not_be_there_twice() -> None:
    base, ours = "a1\nb1\nc1\n", "b1\nc1\na1\n"
    assert lost(base, ours, "a1\nb1\nc1\nd1\n", "b1\nc1\na1\nd1\n") == []


def test_lines_without_a_letter_say_nothing() -> None:
    assert lost("f() {\n}\n", "f() {\n}\n{\n}\n\n", "f() {\n}\nend\n", "f() {\n}\nend\n") == []


def test_a_file_that_one_side_removed() -> None:
    """What the other side added to it is a loss, what it only changed is for the resolution to decide."""
    assert lost("a = 1\n", "a = 2\n", "", "") == []
    assert lost("a = 1\n", "a = 1\nb = 2\n", "", "") == [("ours", "b = 2")]


def test_a_file_that_both_made() -> None:
    assert lost("", "one line\n", "another text\n", "one line\n") == [("theirs", "another text")]


def test_one_new_line_stands_in_for_one_missing_line() -> None:
    ours = "def tax(item):\ndef tax_of(item):\n"
    assert lost("", ours, "zzz\n", "def taxes(item):\nzzz\n") == [("ours", "def tax_of(item):")]


LINES = st.lists(st.sampled_from(["a1", "b1", "c1", "d1", "e1"]), max_size=6)


@given(base=LINES, ours=LINES, theirs=LINES)
def test_all_lines_of_both_sides_are_never_a_loss(
    base: list[str], ours: list[str], theirs: list[str]
) -> None:
    assert losses(base, ours, theirs, [*ours, *theirs]) == []


@given(base=LINES, ours=LINES)
def test_without_a_change_of_one_side_the_other_is_the_result(base: list[str], ours: list[str]) -> None:
    assert losses(base, ours, base, ours) == []
    new = [line for line in ours if line not in base]
    assert {loss.line for loss in losses(base, ours, base, base)} >= set(new)


def test_what_a_loss_is() -> None:
    assert losses([], ["one"], ["two"], ["one"]) == [Loss("theirs", "two")]


def test_a_big_file_takes_no_time() -> None:
    """Two thousand lines, half of them changed by both sides."""
    base = [f"line {n}" for n in range(2000)]
    ours = [f"ours {line}" if n % 2 else line for n, line in enumerate(base)]
    theirs = [f"theirs {line}" if n % 2 else line for n, line in enumerate(base)]
    assert losses(base, ours, theirs, ours) == []
    assert losses([], base, [f"x{n}" for n in range(2000)], base)[0] == Loss("theirs", "x0")
