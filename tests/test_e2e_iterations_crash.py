"""A goal of several iterations whose daemon is killed: it ends as it would have without that."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mo_git.ledger.records import goal_to_data
from mo_git.model import GoalSpec, Plan
from tests.crash import Forge
from tests.driver import Mo
from tests.scripted import planned, task, use, verdict

# The second iteration makes it worse and is taken back; the third one is made differently.
PLANS = {
    "^": planned(task("good", {"good.txt": "1"})),
    "iteration 2 begins": planned(task("bad", {"bad.txt": "1"})),
    "iteration 3 begins": planned(task("better", {"better.txt": "1"})),
}
VERDICTS = {
    "good.txt": verdict(80, "the end"),
    r"\nbad.txt": verdict(30, "all"),
    "better.txt": verdict(100),
}
BACK = "landing ejected goal_scored"
INSTANTS = (
    ("after verify_started", 1),
    ("before usage verified", 1),
    ("after usage verified", 1),
    ("before goal_scored", 1),
    ("after goal_scored", 1),
    ("before iterated", 1),
    ("after iterated", 1),
    ("after plan_started", 2),
    ("before usage planned", 2),
    ("after usage planned", 2),
    ("after usage verified", 2),
    (f"before {BACK}", 1),
    (f"after {BACK}", 1),
    ("after iterated", 2),
    ("before goal_ended", 1),
)
QUICK = (INSTANTS[2], INSTANTS[12])


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    with Forge() as made:
        yield made


@pytest.mark.parametrize(
    ("instant", "nth"),
    [pytest.param(*one, marks=[] if one in QUICK else pytest.mark.slow) for one in INSTANTS],
)
def test_a_kill_between_iterations_changes_nothing(forge: Forge, mo: Mo, instant: str, nth: int) -> None:
    limits = {"daemon": {"idle_minutes": 0}, "orchestrator": {"tick_seconds": 0.2}}
    use(mo, PLANS, VERDICTS, **limits)
    mo.home.create()
    spec = GoalSpec(
        "grow-0001",
        "grow",
        Plan("grow", (), iterations=5),
        1.0,
        mo.repo.head(),
        "main",
        environment={"PATH": os.environ["PATH"]},
        text="Grow.",
        wants_plan=True,
    )
    mo.home.drop("do", {"goal": goal_to_data(spec)})
    code, instants = forge.daemon(mo.repo.path, instant, nth)
    assert (code, instants[-1]) == (-9, instant), sorted(set(instants))
    code, _ = forge.daemon(mo.repo.path)
    assert code == 0
    goal = mo.goal(spec.id)
    assert (str(goal.state), goal.reason) == ("done", ""), mo.log()[-4000:]
    assert mo.states(spec.id) == {"good": "landed", "bad": "ejected", "better": "landed"}
    assert [task.iteration for task in goal.tasks.values()] == [1, 2, 3]
    assert [one["purpose"] for one in goal.landings] == ["task", "task", "deterioration", "task"]
    assert [(one["iteration"], one["score"], one["course"]) for one in goal.scores] == [
        (1, 0.8, ""),
        (2, 0.8, ""),
        (3, 1.0, "pivot"),
    ]
    assert [turn["iteration"] for turn in goal.iterations.turns] == [2, 3]
    assert set(mo.repo.tree(goal.integration)) == {"README.md", "good.txt", "better.txt"}
    assert mo.repo.head(f"mo/{spec.id}/integration") == goal.integration
    assert mo.programs() == []
