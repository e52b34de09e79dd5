"""What would let bad work land unseen: tests taken away, a weakened configuration, metrics that fall."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from mo_git.errors import Exit
from tests.driver import Mo, python
from tests.schemas import problems
from tests.test_e2e_gate import Ran, do, show, task

pytestmark = pytest.mark.slow

UNITTEST = "python -m unittest discover -s tests"
# without plugins: each gate compiles all that it imports, since its bytecode is its own
PYTEST = "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -q -p no:cacheprovider"
CODE = "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n"
BROKEN = CODE.replace("return a + b", "return a * b")
ADD_TEST = """\
import unittest

import calc


class AddTest(unittest.TestCase):
    def test_add(self):
        self.assertEqual(calc.add(1, 2), 3)
"""
SUB_TEST = """\
import unittest

import calc


class SubTest(unittest.TestCase):
    def test_sub(self):
        self.assertEqual(calc.sub(3, 2), 1)
"""
PROJECT = {
    "calc.py": CODE,
    "conftest.py": "",
    "tests/test_add.py": ADD_TEST,
    "tests/test_sub.py": SUB_TEST,
}
ADD, SUB = "test_add.AddTest.test_add", "test_sub.SubTest.test_sub"
BY_PYTEST = {ADD: "tests/test_add.py::tests.test_add.AddTest::test_add"}
BY_PYTEST[SUB] = "tests/test_sub.py::tests.test_sub.SubTest::test_sub"


@pytest.fixture(autouse=True)
def tests_own_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python` is the one that runs the tests."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.fixture
def project(mo: Mo) -> Mo:
    mo.repo.commit(PROJECT)
    mo.configure(gate={"command": UNITTEST, "proof": "off"})
    return mo


@pytest.fixture
def by_pytest(mo: Mo) -> Mo:
    mo.repo.commit(PROJECT)
    mo.configure(gate={"command": PYTEST, "proof": "off"})
    return mo


def writing(name: str, files: dict[str, str], *gone: str, **more: Any) -> dict[str, Any]:
    """A task that writes files and deletes others."""
    code = (
        f"import pathlib\nfor path, text in {files!r}.items():\n"
        "  file = pathlib.Path(path); file.parent.mkdir(exist_ok=True); file.write_text(text)\n"
        f"for path in {gone!r}: pathlib.Path(path).unlink()"
    )
    return {"id": name, "run": python(code), **more}


def doubt(ran: Ran, name: str) -> Any:
    return next(one for one in ran.goal["tasks"] if one["id"] == name)["doubt"]


def reason(ran: Ran, name: str) -> str:
    return str(next(one for one in ran.goal["tasks"] if one["id"] == name)["reason"])


def lands(mo: Mo, goal: str, name: str) -> Any:
    """Accept what the gate doubts, and wait until the goal has ended: its document."""
    said = mo("review", f"{goal}/{name}", "--accept")
    assert said.out == f"{goal}/{name} is a candidate again, and lands when the gate is green\n"
    mo.wait_for(lambda: mo.goal().ended is not None)
    return show(mo)


# -- tests that go ------------------------------------------------------------------------------------


SKIPPED = SUB_TEST.replace("class", "@unittest.skip('later')\nclass")
XFAIL = SUB_TEST.replace("    def", "    @unittest.expectedFailure\n    def")
WAYS_TO_GO = [
    pytest.param(writing("gone", {}, "tests/test_sub.py"), "1 test missing", id="deleted"),
    pytest.param(writing("gone", {"tests/test_sub.py": ""}), "1 test missing", id="emptied"),
    pytest.param(writing("gone", {"tests/test_sub.py": SKIPPED}), "1 test newly skipped", id="skipped"),
    pytest.param(
        writing("gone", {"tests/test_sub.py": XFAIL, "calc.py": CODE.replace("a - b", "b")}),
        "1 test newly skipped",
        id="expected to fail",
    ),
]


@pytest.mark.parametrize(("change", "what"), WAYS_TO_GO)
def test_a_test_that_goes_with_its_file_waits_and_lands_when_accepted(
    project: Mo, change: dict[str, Any], what: str
) -> None:
    ran = do(project, change, writing("after", {"b.py": ""}, depends_on=["gone"]), code=Exit.PERSON)
    goal = ran.goal["id"]
    assert ran.states == {"gone": "awaiting_person", "after": "skipped"}
    assert (ran.goal["landings"], ran.goal["ejections"]) == ([], [])
    said = f"{what} in tests/test_sub.py, which the task changes: {SUB}"
    assert reason(ran, "gone") == said
    assert doubt(ran, "gone") == {"about": "tests", "ids": [SUB], "paths": ["tests/test_sub.py"]}
    need = {"task": "gone", "why": f"waits for you: {said}", "do": f"mo review {goal}/gone"}
    status = project.json("status")
    assert (status["goals"][0]["needs"], problems("status", status)) == ([need], [])
    project("status", "--exit-code", code=Exit.PERSON)
    assert project("review", goal, code=Exit.PERSON).out.splitlines() == [
        f"{goal}/gone: waits for you: {said}",
        "  file tests/test_sub.py",
        f"  test {SUB}",
        f"  look:   mo diff {goal}/gone",
        f"  fine:   mo review {goal}/gone --approve",
        f"  not so: mo review {goal}/gone --reject",
    ]

    document = lands(project, goal, "gone")
    assert document["state"] == "done"
    assert {one["id"]: one["state"] for one in document["tasks"]} == {"gone": "landed", "after": "landed"}
    assert [one["accepted"] for one in document["tasks"]] == [[SUB], []]
    landed = document["landings"][0]["commit"]
    whole = [gate for gate in document["gates"] if gate["kind"] == "full"]
    *before, last = [one["result"] for one in whole if one["commit"] == landed]
    assert (set(before), last) == ({"red"}, "green")
    assert "mo review" not in project("status").out
    assert f"accepted   {SUB}" in project("show", f"{goal}/gone").out


def test_a_test_that_goes_without_its_file_being_touched_is_red(by_pytest: Mo) -> None:
    deselects = (
        "def pytest_collection_modifyitems(items):\n"
        "    items[:] = [item for item in items if 'sub' not in item.name]\n"
    )
    xfails = (
        "import pytest\n\n\ndef pytest_collection_modifyitems(items):\n"
        "    for item in items:\n        item.add_marker(pytest.mark.xfail)\n"
    )
    ran = do(
        by_pytest,
        writing("deselects", {"conftest.py": deselects}),
        writing("xfails", {"conftest.py": xfails, "calc.py": BROKEN}),
        writing("hides", {"pytest.ini": "[pytest]\naddopts = --ignore=tests/test_sub.py\n"}),
        code=Exit.FAILED,
    )
    assert ran.states == dict.fromkeys(["deselects", "xfails", "hides"], "ejected")
    assert sorted(ran.failed_ids) == [[BY_PYTEST[ADD]], [BY_PYTEST[SUB]], [BY_PYTEST[SUB]]]
    assert ran.goal["landings"] == []


def test_a_broken_test_beside_a_deleted_one_is_red(project: Mo) -> None:
    ran = do(project, writing("both", {"calc.py": BROKEN}, "tests/test_sub.py"), code=Exit.FAILED)
    assert ran.states == {"both": "ejected"}
    assert ran.failed_ids == [[ADD, SUB]]


def test_what_is_rejected_is_ejected(project: Mo) -> None:
    gone = writing("gone", {}, "tests/test_sub.py")
    ran = do(project, gone, code=Exit.PERSON)
    named = f"{ran.goal['id']}/gone"
    assert project("review", named, "--reject").out == f"{named} is ejected; mo retry {named} does it again\n"
    document = show(project)
    assert [one["state"] for one in document["tasks"]] == ["ejected"]
    assert document["ejections"][0]["why"].startswith("rejected by ")
    assert SUB in document["ejections"][0]["why"]
    assert document["ejections"][0]["evidence"]["failed_ids"] == [SUB]
    refused = project("review", named, "--accept", code=Exit.FAILED)
    assert f"{named} does not wait for you: it is ejected" in refused.err


def test_an_acceptance_is_for_this_attempt_and_for_nothing_else(project: Mo) -> None:
    """Accepted are the ids; other damage of the same task stays red, and a new attempt is looked at again."""
    gone = writing("gone", {"tests/test_sub.py": ""})
    ran = do(project, gone, code=Exit.PERSON)
    goal = ran.goal["id"]
    project("review", f"{goal}/gone", "--reject")
    project("retry", f"{goal}/gone", "--follow", code=Exit.PERSON)
    assert project.states() == {"gone": "awaiting_person"}
    assert lands(project, goal, "gone")["state"] == "done"


def test_nothing_to_accept(project: Mo) -> None:
    ran = do(project, writing("fine", {"b.py": ""}))
    goal = ran.goal["id"]
    assert project("review", goal, "--accept", code=Exit.USAGE).err == (
        f"mo: no task of {goal} waits\n"
        f"  name one: mo review {goal}/TASK --approve; mo review {goal} shows them\n"
    )
    assert "it is landed" in project("review", f"{goal}/fine").out
    both = project("review", goal, "--accept", "--answer", "x", code=Exit.USAGE).err
    assert "--answer is for the planner" in both


# -- inputs of the gate -------------------------------------------------------------------------------

FORGIVING = (
    "import pytest\n\n\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport(item, call):\n"
    "    outcome = yield\n    report = outcome.get_result()\n    report.outcome = 'passed'\n"
)


def test_a_configuration_that_forgives_everything_hides_nothing(by_pytest: Mo) -> None:
    """With it the gate is green; with the former one it is not."""
    ran = do(
        by_pytest,
        writing("hides", {"conftest.py": FORGIVING, "calc.py": BROKEN}),
        writing("plain", {"b.py": ""}),
        code=Exit.PERSON,
    )
    goal, head = ran.goal["id"], ran.goal["integration"]
    assert ran.states == {"hides": "awaiting_person", "plain": "landed"}
    assert reason(ran, "hides") == (
        "changes conftest.py, and with the former version the gate is not green: "
        f"1 test not as before: {BY_PYTEST[ADD]}"
    )
    assert doubt(ran, "hides") == {"about": "inputs", "ids": [BY_PYTEST[ADD]], "paths": ["conftest.py"]}
    gates = [(gate["result"], "inputs" in gate) for gate in ran.goal["gates"] if gate["tasks"] == ["hides"]]
    assert gates == [("green", False), ("red", True)]
    assert "b.py" in by_pytest.repo.tree(head)
    document = lands(by_pytest, goal, "hides")
    assert document["state"] == "done"
    assert next(one["accepted"] for one in document["tasks"] if one["id"] == "hides") == ["conftest.py"]


def test_a_harmless_change_of_inputs_lands_by_itself(by_pytest: Mo) -> None:
    fixture = "import pytest\n\n\n@pytest.fixture\ndef two():\n    return 2\n"
    uses = "from calc import add\n\n\ndef test_two(two):\n    assert add(two, 1) == 3\n"
    marked = "import pytest\n\n\n@pytest.mark.new\ndef test_new():\n    pass\n"
    toml = (
        '[project]\nname = "calc"\ndependencies = []\n\n'
        '[tool.pytest.ini_options]\naddopts = "--strict-markers"\nmarkers = ["new: new"]\n'
    )
    by_pytest.repo.commit({"pyproject.toml": toml.replace('"new: new"', "")})
    ran = do(
        by_pytest,
        writing("fixture", {"conftest.py": fixture, "tests/test_two.py": uses}),
        writing("marker", {"pyproject.toml": toml, "tests/test_new.py": marked}),
    )
    assert ran.states == {"fixture": "landed", "marker": "landed"}
    second = [(gate["tasks"], gate["result"]) for gate in ran.goal["gates"] if "inputs" in gate]
    assert second == [(["fixture"], "red")]  # the new test alone, which needs its fixture


def test_the_gate_s_own_script_is_an_input(mo: Mo) -> None:
    mo.repo.commit({**PROJECT, "gate.sh": "exec python -c 'import calc; assert calc.add(1, 2) == 3'\n"})
    mo.configure(gate={"command": "sh gate.sh", "proof": "off"})
    ran = do(mo, writing("hides", {"gate.sh": "true\n", "calc.py": BROKEN}), code=Exit.PERSON)
    assert ran.states == {"hides": "awaiting_person"}
    assert reason(ran, "hides") == (
        "changes gate.sh, and with the former version the gate is not green: exit code 1"
    )


def test_state_that_leaks_into_another_test_is_red(project: Mo) -> None:
    """The new test passes, and so does the old one alone; together they do not."""
    leaks = "import unittest\n\nimport calc\n\n\nclass ALeak(unittest.TestCase):\n    def test_a(self):\n"
    leaks += "        calc.sub = lambda a, b: 0\n"
    ran = do(project, writing("leaks", {"tests/test_a_leak.py": leaks}), code=Exit.FAILED)
    assert ran.states == {"leaks": "ejected"}
    assert ran.failed_ids == [[SUB]]


# -- metrics ------------------------------------------------------------------------------------------

WEAK = {"command": "test -f size.txt", "proof": "off"}
COVERAGE = {"command": "cat size.txt; echo 1 >&2", "direction": "up", "tolerance": 0.5}


@pytest.fixture
def measured(mo: Mo) -> Mo:
    mo.repo.commit({"size.txt": "coverage 80\n"})
    mo.configure(gate=WEAK)
    metric(mo)
    return mo


def metric(mo: Mo, **more: object) -> None:
    """Add `[metrics.coverage]` to the settings."""
    table = {**COVERAGE, **more}
    lines = "".join(f"{key} = {value!r}\n" for key, value in table.items())
    local = mo.repo.path / ".mo" / "local.toml"
    local.write_text(f"{local.read_text()}[metrics.coverage]\n{lines}")


def sized(name: str, size: str, *after: str) -> dict[str, Any]:
    return task(name, "size.txt", f"coverage {size}\n", depends_on=list(after))


def test_a_metric_that_falls_is_red(measured: Mo) -> None:
    ran = do(measured, sized("worse", "79"), code=Exit.FAILED)
    assert ran.states == {"worse": "ejected"}
    assert reason(ran, "worse") == "gate red: coverage went down from 80 to 79 (tolerance 0.5)"
    assert {tuple(ids) for ids in ran.failed_ids} == {("metric::coverage",)}
    assert {gate["metrics"]["coverage"] for gate in ran.goal["gates"]} == {79}
    assert ran.goal["score"] == []


def test_a_metric_that_measures_something_else_hides_nothing(mo: Mo) -> None:
    mo.repo.commit({"size.txt": "80\n", "measure.sh": "cat size.txt\n"})
    mo.configure(gate=WEAK)
    metric(mo, command="sh measure.sh")
    ran = do(mo, writing("hides", {"size.txt": "10\n", "measure.sh": "echo 90\n"}), code=Exit.PERSON)
    assert reason(ran, "hides") == (
        "changes measure.sh, and with the former version the gate is not green: "
        "coverage went down from 80 to 10 (tolerance 0.5)"
    )
    assert doubt(ran, "hides")["ids"] == ["metric::coverage"]
    assert [gate["metrics"] for gate in ran.goal["gates"]] == [{"coverage": 90}, {"coverage": 10}]


def test_metrics_that_hold_are_shown(measured: Mo) -> None:
    ran = do(measured, sized("within", "79.5"), sized("better", "81.25", "within"))
    assert ran.states == {"within": "landed", "better": "landed"}
    [score] = ran.goal["score"]
    assert {key: score[key] for key in ("iteration", "gate", "metrics", "verdict", "commit")} == {
        "iteration": 1,
        "gate": "green",
        "metrics": {"coverage": 81.25},
        "verdict": "kept",
        "commit": ran.goal["integration"],
    }
    shown = measured("show").out
    assert "coverage 79.5" in shown
    assert "kept  coverage 81.25" in " ".join(shown.split("metrics\n")[1].splitlines()[0].split("   "))


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ("none", "metric coverage: `cat size.txt; echo 1 >&2` printed no number on its last line"),
        ("", "metric coverage: `test -s size.txt && cat size.txt` ended with exit code 1"),
    ],
)
def test_a_metric_without_a_number_is_no_verdict(mo: Mo, size: str, said: str) -> None:
    mo.repo.commit({"size.txt": "80\n"})
    mo.configure(gate=WEAK)
    metric(mo, **({} if size else {"command": "test -s size.txt && cat size.txt"}))
    ran = do(mo, task("odd", "size.txt", size), code=Exit.FAILED)
    assert ran.states == {"odd": "awaiting_person"}
    assert reason(ran, "odd") == f"the gate gives no verdict: {said}"
    assert [gate["result"] for gate in ran.goal["gates"]] == ["unknown", "unknown"]


def test_a_metric_without_a_number_on_the_base_refuses_the_goal(mo: Mo) -> None:
    mo.repo.commit({"size.txt": "x\n"})
    mo.configure(gate=WEAK)
    metric(mo)
    ran = do(mo, sized("a", "1"), code=Exit.GATE)
    assert "metric coverage: " in ran.goal["reason"]


LOSSES = [
    sized("up", "81"),
    sized("one", "80.6", "up"),
    sized("two", "80.2", "one"),
    sized("three", "79.8", "two"),
]


def test_losses_that_add_up_are_taken_back(measured: Mo) -> None:
    ran = do(measured, *LOSSES, code=Exit.FAILED)
    goal = ran.goal
    assert ran.states == {"up": "landed", "one": "ejected", "two": "ejected", "three": "ejected"}
    best = goal["landings"][0]["commit"]
    why = (
        "metrics deteriorated over the goal: coverage went down from 81 to 79.8 (tolerance 0.5); "
        f"back at {best[:10]}, the best commit"
    )
    assert goal["reason"] == why
    assert {one["why"] for one in goal["ejections"]} == {why}
    assert [(one["verdict"], one["metrics"], one["best"]) for one in goal["score"]] == [
        ("rolled_back", {"coverage": 81}, best)
    ]
    *_, before, last = goal["landings"]
    head = goal["integration"]
    assert (last["commit"], last["purpose"], goal["score"][0]["commit"]) == (head, "deterioration", head)
    repo = measured.repo
    assert repo.git("log", "-1", "--format=%P", head) == before["commit"]  # never backwards
    assert repo.head(f"{head}^{{tree}}") == repo.head(f"{best}^{{tree}}")
    assert [gate["result"] for gate in goal["gates"] if gate["commit"] == head] == ["green"]
    assert "rolled back" in measured("show").out


@pytest.mark.parametrize(("setting", "verdict"), [("report", "deteriorated"), ("off", "not_compared")])
def test_losses_that_are_only_told(mo: Mo, setting: str, verdict: str) -> None:
    mo.repo.commit({"size.txt": "coverage 80\n"})
    mo.configure(gate=WEAK, converge={"deterioration": setting})
    metric(mo)
    ran = do(mo, *LOSSES)
    assert set(ran.states.values()) == {"landed"}
    assert [one["verdict"] for one in ran.goal["score"]] == [verdict]
    told = "coverage went down from 81 to 79.8 (tolerance 0.5)"
    assert ran.goal["score"][0]["reason"] == (told if setting == "report" else "")


def test_losses_of_the_target_are_not_the_goal_s(measured: Mo) -> None:
    """What a sync brings is compared with nothing, and the goal's losses are counted from there."""
    ran = do(measured, sized("up", "81"))
    measured.repo.git("merge", "-q", "--ff-only", f"mo/{ran.goal['id']}/integration")
    measured.repo.commit({"size.txt": "coverage 70\n"})
    measured("sync", ran.goal["id"])
    measured("retry", ran.goal["id"], code=None)
    assert show(measured)["score"][-1]["verdict"] == "kept"
