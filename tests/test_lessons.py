"""Lessons: what repeated failures suggest, and that only a person teaches it."""

from __future__ import annotations

from typing import Any

import pytest

from mo_git.model import Fact, Kind
from mo_git.views.lessons import proposals
from tests.agents import run
from tests.driver import Mo, plan
from tests.schemas import problems


def failed(task: str, failure: str, reason: str, kind: Kind = Kind.ATTEMPT_FAILED, **more: Any) -> Fact:
    said = "reason" if kind is Kind.ATTEMPT_FAILED else "why"
    return Fact(0, 0.0, "goal", task, 1, kind, {"class": failure, said: reason, **more})


SAME = [
    failed("a", "check_failed", "check failed, exit code 1: 3 errors in 0.4 s"),
    failed("a", "check_failed", "check failed, exit code 2: 1 errors in 12 s (2 times)"),
    failed("b", "check_failed", "check failed, exit code 1: 7 errors in 1.5 s"),
]


def test_one_kind_in_several_tasks_is_proposed() -> None:
    (lesson,) = proposals(SAME, ())
    assert (lesson.failure, lesson.times, lesson.tasks) == ("check_failed", 3, ("goal/a", "goal/b"))
    assert lesson.text == (
        "Run the task's check before you end (failed 3 times: check failed, exit code 1: 7 errors in 1.5 s)"
    )
    assert proposals(SAME, [lesson.id]) == []


@pytest.mark.parametrize(
    "facts",
    [
        SAME[:2],  # too few
        SAME[:2] * 2,  # of one task
        [failed(task, "rate_limit", "slow down") for task in "abcd"],  # nobody's lesson
        [failed(task, "check_failed", f"check failed: {task}") for task in "abcd"],  # different things
        [failed(task, "check_failed", "again", Kind.RETRY_SCHEDULED) for task in "abcd"],  # told already
    ],
)
def test_what_is_no_lesson(facts: list[Fact]) -> None:
    assert proposals(facts, ()) == []


def test_what_the_gate_sends_back_counts() -> None:
    red = {"failed_ids": ["t"]}
    facts = [failed(task, "gate_red", "t fails", Kind.RETRY_SCHEDULED, red=red) for task in "abc"]
    assert [one.failure for one in proposals(facts, ())] == ["gate_red"]


def test_a_person_accepts_or_dismisses(mo: Mo) -> None:
    mo.configure(gate={"command": "none"})
    assert mo("lessons", code=6).err  # nothing was ever done here
    bad = ["sh", "-c", "echo 1 > $MO_TASK; echo oops"]
    tasks = [{"id": name, "run": bad, "check": "echo 'no rest' >&2; exit 3"} for name in "abc"]
    other = [{"id": name, "run": ["true"], "no_change": "fail"} for name in "xyz"]
    run(mo, plan([*tasks, *other]), code=1)
    document = mo.json("lessons")
    assert problems("lessons", document) == []
    found = document["proposals"]
    first, second = sorted(found, key=lambda one: str(one["failure"]))
    assert (first["failure"], second["failure"]) == ("check_failed", "no_change")
    assert f"mo lessons {first['id']} --accept" in mo("lessons").out
    mo("lessons", first["id"], "--accept", "--text", "Let there be  rest.")
    mo("lessons", second["id"][:4], "--dismiss")
    mo("lessons", second["id"], "--dismiss", code=6)  # it is no proposal any more
    assert mo.json("lessons") == {"v": 1, "text": "- Let there be rest.\n", "proposals": []}
    assert mo("lessons").out == "- Let there be rest.\n"


@pytest.mark.parametrize(
    "args", [["ab", "--accept", "--dismiss"], ["ab"], ["--accept"], ["ab", "--dismiss", "--text", "x"]]
)
def test_what_cannot_be_meant(mo: Mo, args: list[str]) -> None:
    assert "mo lessons" in mo("lessons", *args, code=2).err
