"""Goals of several iterations, by a scripted agent: progress, plateau, deterioration, regression, limits."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import pytest

from mo_git.errors import Exit
from mo_git.flakes import SAME_SET, Seen
from mo_git.ledger.writer import Ledger
from tests.driver import Mo, plan, writes
from tests.scripted import planned, prompts, task, use, verdict
from tests.test_e2e_gate import show

pytestmark = pytest.mark.slow


def do(mo: Mo, *args: str, iterations: int = 5, code: int = 0) -> Any:
    mo("do", "Say hello.", "--iterations", str(iterations), *args, code=code)
    return show(mo)


def states(goal: Any) -> dict[str, str]:
    return {one["id"]: one["state"] for one in goal["tasks"]}


def test_a_goal_that_needs_two_iterations(mo: Mo) -> None:
    plans = [
        planned(task("hello", {"a.txt": "hello\n"})),
        planned(task("hello", {"b.txt": "world\n"}), task("end", {"c.txt": "!\n"}, depends_on=["hello"])),
    ]
    use(mo, plans, [verdict(50, "b.txt does not say world"), verdict(100)])
    goal = do(mo)
    assert (goal["state"], goal["iteration"], goal["iterations"]) == ("done", 2, 5)
    assert states(goal) == {"hello": "landed", "hello-2": "landed", "end": "landed"}
    assert [one["iteration"] for one in goal["tasks"]] == [1, 2, 2]
    assert goal["tasks"][2]["depends_on"] == ["hello-2"]
    assert set(mo.repo.tree(goal["integration"])) == {"README.md", "a.txt", "b.txt", "c.txt"}
    assert [(one["iteration"], one["score"], one["done"]) for one in goal["score"]] == [
        (1, 0.5, False),
        (2, 1.0, True),
    ]
    first, second = prompts(mo, "plan")
    assert "planned before" not in first
    assert "now its iteration 2 begins. Plan only what is still missing." in second
    assert "- b.txt does not say world" in second
    assert "hello: hello: landed" in second
    looked = prompts(mo, "verify")[1]
    assert "Say hello." in looked
    assert "what was missing before" in looked
    out = mo("show").out
    assert "iteration    2 of 5" in out
    assert "score 0.50" in out
    assert ", iteration 2 of 5" in mo("status").out


@pytest.mark.slow
def test_without_iterations_nobody_is_asked(mo: Mo) -> None:
    use(mo, [planned(task("hello", {"a.txt": "hello\n"}))], [verdict(0, "all")])
    assert do(mo, iterations=1)["state"] == "done"
    assert prompts(mo, "verify") == []


def test_the_last_iteration_has_to_be_enough(mo: Mo) -> None:
    plans = [planned(task("hello", {f"{name}.txt": name})) for name in "abc"]
    use(mo, plans, [verdict(50, "something", "more")] * 3 + [verdict(100)])
    goal = do(mo, iterations=2, code=Exit.FAILED)
    why = "not done after 2 iterations; missing: something (and 1 more)"
    assert (goal["state"], goal["reason"], goal["iteration"]) == ("failed", why, 2)
    assert goal["needs"][0]["do"] == f"mo resume {goal['id']} --iterations 3"
    assert "--iterations 3, or more" in mo("resume", goal["id"], "--iterations", "2", code=Exit.USAGE).err
    (mo.repo.path.parent / "scripted" / "verify-3").touch()  # the fourth verdict
    mo("resume", goal["id"], "--iterations", "3")
    mo.wait_for(lambda: mo.goal().state == "done")
    assert mo.goal().iterations.current == 3
    assert "has not failed: it is done" in mo("resume", goal["id"], "--iterations", "4", code=Exit.USAGE).err


def test_a_task_that_failed_is_not_called_done(mo: Mo) -> None:
    """The verifier's word alone makes nothing done."""
    failing = task("hello", {"a.txt": "hello\n"}, check="false")
    use(mo, [planned({**failing}), planned(task("again", {"a.txt": "hello\n"}))], [verdict(100)])
    goal = do(mo)
    assert (goal["state"], goal["iteration"]) == ("done", 2)
    assert states(goal) == {"hello": "failed", "again": "landed"}
    assert "- task hello (hello) did not land: check failed" in prompts(mo, "plan")[1]
    assert goal["needs"][0]["do"] == f"mo land {goal['id']}"


def by_turns(*names: str) -> list[Any]:
    return [planned(task(name, {f"{name}.txt": name})) for name in names]


def test_a_plateau_escalates_then_pivots_then_stops(mo: Mo) -> None:
    models = {"agents.mine.models": {"moderate": "m-1", "complex": "m-2"}}
    plans = by_turns("a", "b", "c", "d", "e", "f", "g", "h")
    use(mo, plans, [verdict(40, "the rest")], iterations={"window": 1}, **models)
    goal = do(mo, iterations=20, code=Exit.FAILED)
    assert goal["iteration"] == 4
    assert goal["reason"] == (
        "no progress over 1 iteration (score 0.40 before, 0.40 now), after escalate and pivot; "
        "missing: the rest"
    )
    assert [one["course"] for one in goal["score"]] == ["", "", "escalate", "pivot"]
    assert [one["attempts"][0]["model"] for one in goal["tasks"]] == ["m-1", "m-1", "m-2", "m-2"]
    told = prompts(mo, "plan")
    assert "stronger agents do the work now" in told[2]
    assert "Take another approach" in told[3]


@pytest.mark.slow
def test_growth_is_no_plateau(mo: Mo) -> None:
    looks = [verdict(40, "x"), verdict(50, "x"), verdict(65, "x"), verdict(100)]
    use(mo, by_turns("a", "b", "c", "d"), looks, iterations={"window": 1})
    goal = do(mo)
    assert (goal["state"], goal["iteration"]) == ("done", 4)
    assert {one["course"] for one in goal["score"]} == {""}


def test_a_deterioration_comes_back_to_the_best_commit_and_goes_on_differently(mo: Mo) -> None:
    looks = [verdict(80, "the end"), verdict(30, "all"), verdict(100)]
    use(mo, by_turns("good", "bad", "better"), looks)
    goal = do(mo)
    assert (goal["state"], goal["iteration"]) == ("done", 3)
    assert states(goal) == {"good": "landed", "bad": "ejected", "better": "landed"}
    best = goal["landings"][0]["commit"]
    why = (
        "iteration 2 made it worse: score went down from 0.8 to 0.3 (tolerance 0.1); "
        f"back at {best[:10]}, the best commit"
    )
    assert [(one["verdict"], one["score"]) for one in goal["score"]] == [
        ("kept", 0.8),
        ("rolled_back", 0.8),
        ("kept", 1.0),
    ]
    assert goal["score"][1]["reason"] == why
    assert [one["purpose"] for one in goal["landings"]] == ["task", "task", "deterioration", "task"]
    assert mo.repo.head(f"{goal['landings'][2]['commit']}^{{tree}}") == mo.repo.head(f"{best}^{{tree}}")
    assert set(mo.repo.tree(goal["integration"])) == {"README.md", "good.txt", "better.txt"}
    told = prompts(mo, "plan")[2]
    assert "Take another approach" in told
    assert why in told
    assert "- the end" in told  # what the best commit lacks, and not the bad one
    assert "- all" not in told


@pytest.mark.slow
def test_a_second_deterioration_stops_at_the_best_commit(mo: Mo) -> None:
    looks = [verdict(80, "the end"), verdict(30, "all"), verdict(20, "all")]
    use(mo, by_turns("good", "bad", "worse", "more"), looks)
    goal = do(mo, code=Exit.FAILED)
    assert goal["iteration"] == 3
    assert goal["reason"].startswith("iteration 3 made it worse: score went down from 0.8 to 0.2")
    assert set(mo.repo.tree(goal["integration"])) == {"README.md", "good.txt"}


TEST = (
    "import unittest, calc\nclass T(unittest.TestCase):\n"
    "    def test_{0}(self):\n        self.assertTrue(calc.{0}())\n"
)
CALC = "def one():\n    return True\n\n\ndef two():\n    return True\n"


def test_a_regression_halts_the_goal_with_an_alert(mo: Mo) -> None:
    """Quarantine let a test be broken that passed on the base."""
    mo.repo.commit({"calc.py": CALC, "test_one.py": TEST.format("one"), "test_two.py": TEST.format("two")})
    breaks = planned(task("hello", {"calc.py": CALC.replace("True", "False", 1)}))
    gate = {"command": "python3 -m unittest", "proof": "off"}
    plans = [breaks, planned(task("rest", {"a.txt": "a"}))]
    use(mo, plans, [verdict(50, "the rest"), verdict(100)], gate=gate)
    mo("init")
    with closing(Ledger(mo.home.database)) as ledger:
        seen = [Seen("test_one.T.test_one", tree, 1, 1, SAME_SET, time.time()) for tree in ("t1", "t2")]
        ledger.note_flakes(seen)
    goal = do(mo, code=Exit.PERSON)
    where = f"fails on {goal['integration'][:10]}, the best commit"
    why = f"regression: test_one.T.test_one passed on the base and {where}"
    assert (goal["state"], goal["reason"], goal["iteration"]) == ("halted", why, 1)
    assert goal["score"][-1]["verdict"] == "regressed"
    assert goal["needs"] == [{"task": None, "why": f"halted: {why}", "do": f"mo resume {goal['id']}"}]
    assert "halted: regression: test_one.T.test_one passed on the base" in mo("status").out
    mo("resume", goal["id"])  # seen: it goes on
    mo.wait_for(lambda: mo.goal().state == "done")
    assert mo.goal().iterations.current == 2


def test_a_goal_whose_time_is_over_starts_nothing_more(mo: Mo) -> None:
    use(mo, by_turns("a"), [verdict(100)])
    goal = do(mo, "--max-hours", "0.000000001", code=Exit.BUDGET)
    assert (goal["state"], goal["tasks"]) == ("over_budget", [])
    assert goal["reason"] == "the goal's time of 1e-09 hours is over (max_hours)"
    assert goal["needs"][0]["do"] == f"mo resume {goal['id']}"


@pytest.mark.slow
def test_money_ends_iterations_too(mo: Mo) -> None:
    """A dollar for each plan, task and verdict: the second plan is the fourth."""
    agent = {"output": "jsonl"}
    fields = {"agents.mine.fields": {"text": "said", "cost": "usd"}}
    use(mo, by_turns("a", "b", "c"), [verdict(50, "more")], agent=agent, **fields)
    goal = do(mo, "--budget", "3.5", code=Exit.BUDGET)
    assert (goal["state"], goal["iteration"], goal["cost_usd"]) == ("over_budget", 2, 4.0)


@pytest.mark.slow
def test_a_hand_written_plan_can_be_iterated_and_the_daemon_killed(mo: Mo) -> None:
    use(mo, by_turns("more"), [verdict(50, "more.txt"), verdict(100)])
    file = mo.repo.path / ".mo" / "plan.json"
    file.write_text(plan([{"id": "first", "run": writes("first.txt", "1")}], iterations=3))
    (mo.repo.path.parent / "scripted" / "hold").touch()
    mo("do", "@.mo/plan.json", "--detach")
    mo.wait_for(lambda: mo.goal().iterations.runs == 1)
    mo.kill()
    mo("daemon", "start")
    mo.wait_for(lambda: mo.goal().iterations.runs == 2)
    (mo.repo.path.parent / "scripted" / "hold").unlink()
    mo.wait_for(lambda: mo.goal().ended is not None)
    goal = show(mo)
    assert (goal["state"], states(goal)) == ("done", {"first": "landed", "more": "landed"})
    assert [one["progress"] for one in goal["verdicts"]] == [0.5, 1.0]


def test_a_goal_that_failed_in_its_only_iteration_goes_on_when_asked_to(mo: Mo) -> None:
    metric = {"metrics.size": {"command": "echo 1"}}
    gate = {"command": "test -e README.md", "proof": "off"}
    use(mo, by_turns("b"), [verdict(60, "b.txt"), verdict(100)], gate=gate, **metric)
    file = mo.repo.path / ".mo" / "plan.json"
    file.write_text(plan([{"id": "a", "run": writes("a.txt", "1")}], check="test -e b.txt"))
    mo("do", "@.mo/plan.json", code=Exit.FAILED)
    goal = show(mo)
    assert goal["reason"].startswith("the goal's check failed: exit code 1")
    assert prompts(mo, "verify") == []
    mo("resume", goal["id"], "--iterations", "2")
    mo.wait_for(lambda: mo.goal().ended is not None)
    goal = show(mo)
    assert (goal["state"], states(goal)) == ("done", {"a": "landed", "b": "landed"})
    assert [(one["iteration"], one.get("score")) for one in goal["score"]] == [(1, None), (1, 0.3), (2, 1.0)]
    assert "the goal's check failed: exit code 1" in prompts(mo, "plan")[0]
