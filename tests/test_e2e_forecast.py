"""The daemon sees conflicts coming, says so, and stops saying so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.driver import Mo
from tests.test_e2e_goal import HELD, QUICK, finish, let_go, sh, start, started, state


def forecast(mo: Mo) -> list[dict[str, Any]]:
    document = mo.home.read_status() or {}
    return list(document.get("forecast", []))


def test_candidates_that_wait_for_the_gate_are_compared(mo: Mo, tmp_path: Path) -> None:
    go = tmp_path / "go"
    command = f"until test ! -e shared || test -e {go}; do sleep 0.02; done"
    mo.configure(gate={"command": command, "proof": "off", "sandbox": False})
    tasks = [
        {"id": "one", "run": sh("echo one > shared")},
        {"id": "two", "run": sh("echo two > shared")},
        {"id": "apart", "run": sh("echo apart > apart")},
    ]
    goal = start(mo, tasks)
    other = start(mo, [{"id": "three", "run": sh("echo three > shared")}])
    names = [f"{goal}/one", f"{goal}/two", f"{other}/three"]
    pairs = sorted(
        sorted(pair) for pair in ((names[0], names[1]), (names[0], names[2]), (names[1], names[2]))
    )
    mo.wait_for(lambda: forecast(mo) == [{"tasks": pair, "paths": ["shared"]} for pair in pairs])
    assert mo.json("status")["forecast"] == forecast(mo)
    assert f"  {goal}/one and {goal}/two" in mo("status").out
    go.touch()
    finish(mo, goal)
    finish(mo, other)
    assert mo.states(goal) == dict.fromkeys(("one", "two", "apart"), "landed")
    mo.wait_for(lambda: forecast(mo) == [])
    assert "will conflict" not in mo("status").out


def test_it_can_be_switched_off(mo: Mo) -> None:
    mo.configure(**QUICK, converge={"forecast": False}, orchestrator={"max_parallel": 3})
    tasks = [{"id": name, "run": sh(f"echo {name} > shared")} for name in ("one", "two")]
    goal = start(mo, [*tasks, {"id": "held", "run": sh(HELD)}])
    mo.wait_for(lambda: {state(mo, goal, name) for name in ("one", "two")} == {"landed"})
    assert forecast(mo) == []
    assert list(Path(mo.environ["HOME"]).rglob("forecast")) == []
    let_go(mo, goal, "held")
    finish(mo, goal)


@pytest.mark.slow
def test_agents_at_work_are_looked_at(mo: Mo) -> None:
    mo.configure(**QUICK)
    tasks = [{"id": name, "run": sh(f"echo {name} > shared; {HELD}")} for name in ("one", "two")]
    goal = start(mo, tasks)
    places = [started(mo, goal, name) for name in ("one", "two")]
    coming = [{"tasks": [f"{goal}/one", f"{goal}/two"], "paths": ["shared"]}]
    mo.wait_for(lambda: forecast(mo) == coming)
    assert all((place / "shared").exists() for place in places)
    let_go(mo, goal, "one")
    mo.wait_for(lambda: state(mo, goal, "one") == "landed")
    mo.wait_for(lambda: forecast(mo) == [])
    let_go(mo, goal, "two")  # it conflicts, and is done again
    mo.wait_for(lambda: mo.goal(goal).tasks["two"].attempt == 2)
    let_go(mo, goal, "two")
    assert finish(mo, goal).state == "done"
