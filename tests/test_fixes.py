"""Goals that have to turn tests green: which tests these are, and that doing nothing is no way to do it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mo_daemon.fixes import required, told, trouble, unfixed
from mo_daemon.testids import Tests
from mo_git.cli.goals import read_source, with_limits
from mo_git.errors import Exit, MoError
from mo_git.model import ALL_RED, Plan, TaskSpec
from mo_git.plan import parse_goal_file, parse_plan, plan_from_data, plan_to_data
from tests.driver import Mo, plan, python, writes
from tests.test_e2e_gate import show

RED = {"command": "pytest", "red": True, "failing": ["a.py::test_a"], "weak": False}


def plan_of(fixes: Any) -> Plan:
    return Plan("g", (TaskSpec("a", run=("true",)),), fixes=fixes)


@pytest.mark.parametrize(
    ("fixes", "proof", "said"),
    [
        ((), RED | {"command": "none"}, None),
        (ALL_RED, RED, None),
        (ALL_RED, RED | {"weak": True, "failing": []}, None),
        (ALL_RED, RED | {"red": False, "failing": []}, "nothing to fix: no test fails on the base"),
        (ALL_RED, {"command": "none", "weak": True}, "fixes needs a gate, and gate.command is none"),
        (("test_a",), RED, None),
        (
            ("test_a",),
            RED | {"weak": True},
            "fixes names tests, and this gate does not tell one from another",
        ),
    ],
)
def test_what_cannot_be_fixed_is_said_before_anything_starts(
    fixes: Any, proof: Mapping[str, Any], said: str | None
) -> None:
    found = trouble(plan_of(fixes), proof)
    assert (found and found[0]) == said


def test_what_has_to_be_fixed() -> None:
    assert required(plan_of(ALL_RED), RED) == ("a.py::test_a",)
    assert required(plan_of(("x", "y")), RED) == ("x", "y")
    assert required(plan_of(()), RED) == ()


TESTS = Tests(
    {
        "tests/test_a.py::tests.test_a::test_one": "passed",
        "tests/test_a.py::tests.test_a.Sub::test_two": "failed",
        "tests/test_a.py::tests.test_a.Sub::test_three": "skipped",
        "tests/test_b.py::tests.test_b::test_one": "error",
        "test_add.AddTest.test_add": "passed",
    }
)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tests/test_a.py::tests.test_a::test_one", None),
        ("tests/test_a.py::test_one", None),
        ("test_add.AddTest.test_add", None),
        ("AddTest.test_add", None),
        ("tests/test_a.py::Sub::test_two", "tests/test_a.py::tests.test_a.Sub::test_two fails"),
        ("test_three", "tests/test_a.py::tests.test_a.Sub::test_three is skipped"),
        ("test_one", "tests/test_b.py::tests.test_b::test_one fails"),  # one of two of that name
        ("tests/test_a.py::test_four", "tests/test_a.py::test_four is not there"),
        ("est_one", "est_one is not there"),
        (
            "tests/test_a.py::tests.test_a",
            "tests/test_a.py::tests.test_a.Sub::test_two fails",
        ),  # it stood for a file that did not load
        ("tests/test_c.py::tests.test_c", "tests/test_c.py::tests.test_c is not there"),
    ],
)
def test_a_test_is_fixed_when_it_passes(name: str, said: str | None) -> None:
    assert unfixed([name], TESTS) == ([] if said is None else [said])


def test_the_reason_names_them() -> None:
    assert told(["a fails"], 2) == "1 of 2 tests that it had to fix did not turn green: a fails"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("all", 'fixes: expected "all-red" or a list of tests'),
        ([], 'fixes: names no test: list some, or write "all-red"'),
        ([" "], "fixes: names no test"),
        ([1], "fixes: expected a list of texts, found a whole number in it"),
    ],
)
def test_a_plan_says_what_is_wrong_with_its_fixes(value: object, said: str) -> None:
    data = {"goal": "g", "fixes": value, "task": [{"id": "a", "run": ["true"]}]}
    with pytest.raises(MoError) as error:
        plan_from_data(data, "p.toml")
    assert said in error.value.message


def test_limits_of_a_plan_are_read_and_written() -> None:
    task = '[[task]]\nid = "a"\nprompt = "x"\n'
    text = f'goal = "g"\nfixes = ["test_a"]\niterations = 3\nmax_hours = 1.5\n{task}'
    found = parse_plan(text, "p.toml")
    assert (found.fixes, found.iterations, found.max_hours) == (("test_a",), 3, 1.5)
    assert plan_from_data(plan_to_data(found), "p") == found
    meta = parse_goal_file('+++\nfixes = "all-red"\n+++\nFix it.\n', "g.md").meta
    assert meta["fixes"] == ALL_RED
    for bad in ("iterations = 0", "iterations = 51", "max_hours = 0"):
        with pytest.raises(MoError):
            parse_plan(f'goal = "g"\n{bad}\n{task}', "p.toml")


# -- end to end ---------------------------------------------------------------------------------------

BROKEN = "def add(a, b):\n    return a - b\n"
TEST = (
    "import unittest, calc\nclass AddTest(unittest.TestCase):\n"
    "    def test_add(self):\n        self.assertEqual(calc.add(1, 2), 3)\n"
    "    def test_same(self):\n        self.assertEqual(calc.add(0, 0), 0)\n"
)


@pytest.fixture
def red(mo: Mo) -> Mo:
    """A project with a test that fails."""
    mo.repo.commit({"calc.py": BROKEN, "test_calc.py": TEST})
    mo.configure(gate={"command": "python3 -m unittest", "proof": "off"})
    return mo


def do(mo: Mo, *tasks: dict[str, Any], code: int = 0, fixes: Any = ALL_RED) -> Any:
    (mo.repo.path / ".mo" / "plan.json").write_text(plan(tasks, fixes=fixes))
    mo("do", "@.mo/plan.json", code=code)
    return show(mo)


GOOD = {"id": "fix", "run": writes("calc.py", BROKEN.replace("-", "+"))}


def test_fixing_all_that_is_red_by_doing_nothing_fails(red: Mo) -> None:
    goal = do(red, {"id": "nothing", "run": ["true"]}, code=Exit.FAILED)
    assert goal["tasks"][0]["state"] == "unchanged"
    assert (goal["state"], goal["reason"]) == (
        "failed",
        "the goal's check failed: 1 of 1 test that it had to fix did not turn green: "
        "test_calc.AddTest.test_add fails",
    )


def test_other_work_fixes_nothing_and_taking_the_test_away_neither(red: Mo) -> None:
    goal = do(red, {"id": "other", "run": writes("b.py", "")}, code=Exit.FAILED)
    assert goal["tasks"][0]["state"] == "landed"
    assert "test_add fails" in goal["reason"]
    gone = python(
        "import pathlib; p = pathlib.Path('test_calc.py'); "
        "p.write_text(p.read_text().replace('test_add', 'later'))"
    )
    goal = do(red, {"id": "gone", "run": gone}, code=Exit.FAILED)
    assert goal["state"] == "failed"
    assert "test_add" in json.dumps(goal)


@pytest.mark.parametrize("fixes", [ALL_RED, ["AddTest.test_add"]])
def test_the_goal_is_done_when_they_pass(red: Mo, fixes: Any) -> None:
    assert do(red, GOOD, fixes=fixes)["state"] == "done"


def test_nothing_to_fix_is_said_at_the_start(red: Mo) -> None:
    red.repo.commit({"calc.py": BROKEN.replace("-", "+")})
    goal = do(red, {"id": "nothing", "run": ["true"]}, code=Exit.PERSON)
    assert goal["reason"] == 'nothing to fix: no test fails on the base; leave out fixes = "all-red"'
    assert goal["tasks"][0]["attempts"] == []


def test_a_goal_file_and_the_command_line_say_it_too(tmp_path: Path) -> None:
    (tmp_path / "g.md").write_text('+++\nfixes = "all-red"\niterations = 2\n+++\nMake the tests pass.\n')
    source = read_source("@g.md", tmp_path)
    assert (source.plan.fixes, source.plan.iterations) == (ALL_RED, 2)
    assert with_limits(source, None, None, ()) == source
    given = with_limits(source, 4, 1.5, ("test_a", "test_b")).plan
    assert (given.fixes, given.iterations, given.max_hours) == (("test_a", "test_b"), 4, 1.5)
    assert with_limits(source, None, None, (ALL_RED,)).plan.fixes == ALL_RED
    with pytest.raises(MoError) as error:
        with_limits(source, None, None, (ALL_RED, "test_a"))
    assert error.value.message == "--fixes all-red stands alone"
