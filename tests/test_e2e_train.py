"""Trains: many candidates on few gate runs, the right ones out, and work that starts before a gate ends."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mo_git.goal_status import GoalStatus
from tests.driver import Mo
from tests.support import RepoBuilder
from tests.test_e2e_goal import facts, finish, parents, run, sh, start, state

TESTS = 40  # of the suite, without those that tasks bring

# One test for each subject file, and one for what must not be there together.
SUITE = f"""\
import os
import pathlib
import unittest

LOG = "LOG-FILE"


class Subjects(unittest.TestCase):
    def setUp(self):
        with open(LOG, "a") as log:
            log.write("t")

    def test_together(self):
        self.assertFalse(os.path.exists("left") and os.path.exists("right"))


def subject(number):
    def test(self):
        self.assertFalse(os.path.exists(f"broken-{{number}}"))
    return test


for number in range({TESTS - 1}):
    setattr(Subjects, f"test_{{number:02}}", subject(number))
"""


class Counted:
    """A repository whose gate counts the tests that it ran, in a file outside of the worktrees."""

    def __init__(self, mo: Mo, parallel: int = 1, **more: Mapping[str, Any]) -> None:
        self.mo = mo
        self.log = mo.repo.path.parent / "count"
        self.log.write_text("")
        gate = {
            "command": f"{sys.executable} -m unittest -q",
            "proof": "off",
            "sandbox": False,
            "parallel": parallel,
        }
        mo.configure(gate=gate, **more)
        mo.repo.commit({"test_subjects.py": SUITE.replace("LOG-FILE", str(self.log))})

    @property
    def units(self) -> float:
        """What ran so far, in runs of the whole suite."""
        return len(self.log.read_text()) / TESTS


def sixty_four() -> list[dict[str, Any]]:
    """61 good tasks, one that breaks a test by itself, and two that do together."""
    tasks = [{"id": f"t{n:02}", "run": sh(f"echo {n} > file-{n:02}")} for n in range(64)]
    tasks[20]["run"] = sh("echo x > broken-7")
    tasks[33]["run"] = sh("echo x > left")
    tasks[50]["run"] = sh("echo x > right")
    return tasks


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("parallel", [1, 2])
def test_of_sixty_four_exactly_the_culprits_are_out(mo: Mo, parallel: int) -> None:
    counted = Counted(mo, parallel)
    found = finish(mo, start(mo, sixty_four()), 300)
    out = {name for name, task in found.tasks.items() if str(task.state) != "landed"}
    pair = out - {"t20"}
    assert pair in ({"t33"}, {"t50"})
    assert "t20" in out
    evidence = {ejection["task"]: ejection["evidence"] for ejection in found.ejections}
    assert evidence["t20"]["failed_ids"] == ["test_subjects.Subjects.test_07"]
    assert evidence[min(pair)]["failed_ids"] == ["test_subjects.Subjects.test_together"]
    assert counted.units <= 24
    green_and_whole(mo, found)


def green_and_whole(mo: Mo, goal: GoalStatus) -> None:
    """Integration holds exactly what landed, each landing was green as a whole."""
    repo, tip = mo.repo, f"mo/{goal.id}/integration"
    landed = [name for landing in goal.landings for name in landing["tasks"]]
    assert sorted(landed) == sorted(name for name, task in goal.tasks.items() if str(task.state) == "landed")
    green = {gate["tree"] for gate in goal.gates if gate["result"] == "green" and gate["kind"] == "full"}
    for number, landing in enumerate(goal.landings, 1):
        assert landing["tree"] in green
        assert repo.head(f"refs/mo/{goal.id}/good/{number}") == landing["commit"]
    way = repo.git("rev-list", "--first-parent", f"{goal.base}..{tip}").split()
    assert way == [goal.tasks[name].landed_commit for name in reversed(landed)]
    assert repo.git("rev-parse", f"{tip}^{{tree}}") == replayed(repo, goal, landed)


def replayed(repo: RepoBuilder, goal: GoalStatus, landed: Sequence[str]) -> str:
    """The tree that git's own merges of the landed tasks give, one after another, in a clone."""
    clone = RepoBuilder(repo.path.parent / f"replay-{goal.id}")
    repo.git("clone", "-q", "--no-checkout", str(repo.path), str(clone.path))
    clone.git("fetch", "-q", "origin", "+refs/*:refs/all/*")
    clone.git("checkout", "-q", "--detach", goal.base)
    for name in landed:
        clone.git("merge", "-q", "--no-ff", "-m", name, parents(repo, goal.tasks[name].landed_commit)[1])
    return clone.git("rev-parse", "HEAD^{tree}")


def test_what_came_together_lands_together_and_is_taken_back_alone(mo: Mo) -> None:
    """The tasks of one landing have a merge each, so one of them can be undone."""
    Counted(mo)
    mo.configure(gate={"command": "sleep 0.5; test ! -e broken", "proof": "off"})
    goal = run(mo, [{"id": name, "run": sh(f"echo {name} > {name}")} for name in "abcdef"])
    found = mo.goal(goal)
    assert max(len(landing["tasks"]) for landing in found.landings) > 1
    green_and_whole(mo, found)
    together = max((landing["tasks"] for landing in found.landings), key=len)
    mo("rollback", f"{goal}/{together[0]}")
    names = set(mo.repo.git("ls-tree", "--name-only", f"mo/{goal}/integration").split())
    assert set("abcdef") - names == {together[0]}
    assert state(mo, goal, together[0]) == "ejected"


def test_a_conflict_with_what_rides_ahead_waits_until_that_has_landed(mo: Mo) -> None:
    """Of two that change the same line the second is done again on what the first became, once it is that."""
    Counted(mo)
    mo.configure(gate={"command": "sleep 0.3; test -e README.md", "proof": "off"})
    tasks = [{"id": name, "run": sh(f"echo {name} >> README.md")} for name in ("one", "two")]
    goal = run(mo, tasks)
    found = mo.goal(goal)
    assert {str(task.state) for task in found.tasks.values()} == {"landed"}
    lines = mo.repo.git("show", f"mo/{goal}/integration:README.md").split("\n")
    assert sorted(lines) == ["hello", "one", "two"]
    green_and_whole(mo, found)


# -- starting from what is not gated yet --------------------------------------------------------------

EARLY = {"converge": {"speculate": "always"}}
HELD_GATE = "until test -e {go} || test ! -e hold; do sleep 0.02; done; test ! -e red"


def held(mo: Mo, **more: Mapping[str, Any]) -> Path:
    """A gate that waits for a file where the tree has `hold`; that file."""
    go = mo.repo.path.parent / "go"
    gate = {"command": HELD_GATE.format(go=go), "proof": "off", "sandbox": False}
    mo.configure(gate=gate, **{**EARLY, **more})
    return go


def chain(*names: str, **scripts: str) -> list[dict[str, Any]]:
    return [
        {
            "id": name,
            "run": sh(scripts.get(name, f"echo {name} > {name}")),
            "depends_on": [names[at - 1]] if at else [],
            "max_attempts": 3,
        }
        for at, name in enumerate(names)
    ]


def test_dependents_start_from_what_waits_in_the_gate(mo: Mo) -> None:
    go = held(mo)
    goal = start(mo, chain("a", "b", "c", a="touch hold"))
    mo.wait_for(lambda: state(mo, goal, "c") == "candidate")
    assert state(mo, goal, "a") == "gating"
    assert mo.goal(goal).landings == []
    go.touch()
    found = finish(mo, goal)
    assert [landing["tasks"] for landing in found.landings] == [["a"], ["b", "c"]]
    # What b started from is the very commit that a landed as.
    assert found.tasks["b"].attempts[0].base == found.tasks["a"].landed_commit
    assert [len(task.attempts) for task in found.tasks.values()] == [1, 1, 1]
    green_and_whole(mo, found)


def test_what_was_built_on_an_ejected_candidate_does_not_land(mo: Mo) -> None:
    go = held(mo)
    goal = start(mo, [*chain("a", "b", "c", a="touch hold red"), {"id": "other", "run": sh("touch other")}])
    mo.wait_for(lambda: state(mo, goal, "c") == "candidate" or state(mo, goal, "other") == "landed")
    mo.wait_for(lambda: state(mo, goal, "c") == "candidate")
    go.touch()
    found = finish(mo, goal)
    assert {name: str(task.state) for name, task in found.tasks.items()} == {
        "a": "ejected",
        "b": "skipped",
        "c": "skipped",
        "other": "landed",
    }
    assert set(mo.repo.tree(f"mo/{goal}/integration")) == {"README.md", "other"}
    green_and_whole(mo, found)


def test_running_work_on_an_ejected_candidate_is_ended(mo: Mo) -> None:
    go = held(mo)
    goal = start(mo, chain("a", "b", a="touch hold red", b="sleep 600"))
    mo.wait_for(lambda: state(mo, goal, "b") == "running")
    go.touch()
    found = finish(mo, goal)
    assert (str(found.tasks["a"].state), str(found.tasks["b"].state)) == ("ejected", "skipped")
    assert "a, which it was built on, did not land" in found.tasks["b"].attempts[0].reason


def test_work_on_a_base_that_landed_in_another_form_is_moved_to_it(mo: Mo) -> None:
    """`other` lands first, so a's merge is another commit than the one that b started from."""
    go = held(mo)
    goal = start(
        mo,
        [
            *chain("a", "b", a="touch hold"),
            {
                "id": "other",
                "run": sh("while ! test -e ../../nothing; do sleep 0.02; done"),
                "max_attempts": 1,
            },
        ],
    )
    mo.wait_for(lambda: state(mo, goal, "b") == "candidate")
    mo("skip", f"{goal}/other")
    go.touch()
    found = finish(mo, goal)
    assert str(found.tasks["b"].state) == "landed"
    green_and_whole(mo, found)


def test_auto_starts_early_only_where_the_gate_takes_long(mo: Mo) -> None:
    mo.configure(gate={"command": "test ! -e red", "proof": "off"})
    goal = run(mo, chain("a", "b", "c"))
    assert [fact.data["upon"] for fact in facts(mo, goal, "attempt_started")] == [{}, {}, {}]


def test_agents_do_not_wait_for_the_gate_on_the_base(mo: Mo) -> None:
    """Where the gate is proved only the baseline is missing; a train waits for it, with all who came."""
    mo.repo.commit({"hold": ""})
    go = held(mo)
    goal = start(mo, [{"id": name, "run": sh(f"echo {name} > {name}; rm -f hold")} for name in "abc"])
    mo.wait_for(lambda: {state(mo, goal, name) for name in "abc"} == {"candidate"})
    assert mo.goal(goal).proof is None
    go.touch()
    found = finish(mo, goal)
    assert found.proof is not None
    assert [sorted(landing["tasks"]) for landing in found.landings] == [["a", "b", "c"]]
    green_and_whole(mo, found)


@pytest.mark.slow
@pytest.mark.parametrize("warm", [True, False])
def test_a_chain_of_five_takes_two_long_gates(mo: Mo, warm: bool) -> None:
    """With a gate of twenty times the agent: while one runs, the tasks are done on top of each other.

    It is that of the first task where the base is known to be green, else that of the base.
    """
    counted = mo.repo.path.parent / "gates"
    mo.configure(
        gate={"command": f"echo >> {counted}; sleep 20; test -e README.md", "proof": "off", "sandbox": False}
    )
    if warm:
        run(mo, [{"id": "warm", "run": sh("true")}])
    counted.write_text("")
    goal = run(
        mo, chain("a", "b", "c", "d", "e", **dict.fromkeys("abcde", "sleep 1; echo $MO_TASK > $MO_TASK"))
    )
    found = mo.goal(goal)
    assert {str(task.state) for task in found.tasks.values()} == {"landed"}
    assert len(counted.read_text().splitlines()) == 2
    green_and_whole(mo, found)
