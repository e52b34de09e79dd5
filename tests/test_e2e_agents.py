"""Goals done by the real claude and codex, against a loopback stub of their APIs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.agents import KINDS, PYTEST_GATE, do, keys, run, settings
from tests.driver import Mo, plan, writes
from tests.stub_api import StubApi
from tests.support import RepoBuilder

pytestmark = pytest.mark.slow

CALC = {
    "calc.py": "def add(a, b):\n    return a + b\n",
    "test_calc.py": "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n",
    "CLAUDE.md": "The word of the team is tangerine.\n",
    "AGENTS.md": "Its other word is quince.\n",
}


@pytest.fixture
def agents(repo: RepoBuilder, api: StubApi, mode: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mo]:
    """`mo` whose claude and codex talk to the stub."""
    for key, value in keys(api).items():
        monkeypatch.setenv(key, value)
    driver = Mo(repo)
    repo.commit(CALC)
    driver.configure(gate={"command": PYTEST_GATE}, **settings(api, mode))
    yield driver
    driver.stop()
    assert driver.programs() == []


def test_two_agents_in_parallel_and_one_after_them(agents: Mo, api: StubApi) -> None:
    steps = {
        "mul": {"write": ["mul.py", "def mul(a, b):\n    return a * b\n"]},
        "sub": {"write": ["sub.py", "def sub(a, b):\n    return a - b\n"]},
        "both": {"write": ["both.py", "from mul import mul\nfrom sub import sub\n"]},
    }
    tasks = [
        {"id": "mul", "prompt": do(steps["mul"], {"say": "made mul"}), "provider": "claude"},
        {"id": "sub", "prompt": do(steps["sub"], {"say": "made sub"}), "provider": "codex"},
        {
            "id": "both",
            "prompt": do(steps["both"], {"say": "made both"}),
            "provider": "codex",
            "depends_on": ["mul", "sub"],
            "check": f"{sys.executable} -c 'import both'",
        },
    ]
    goal = run(agents, plan(tasks))
    assert {task["id"]: task["state"] for task in goal["tasks"]} == dict.fromkeys(steps, "landed")
    assert set(agents.repo.tree(goal["integration"])) >= {"mul.py", "sub.py", "both.py"}
    assert goal["tokens"]["input"] > 0
    assert goal["cost_usd"] > 0
    said = "\n".join(api.prompts("/responses"))
    assert "made mul" in said  # what a dependency reported reaches its dependents, as data
    for path in ("/messages", "/responses"):
        assert {word for word in ("tangerine", "quince") if word in "\n".join(api.prompts(path))} == {
            "tangerine",
            "quince",
        }


def test_a_goal_in_words_may_be_one_task(agents: Mo) -> None:
    step = {"write": ["one.py", "ONE = 1\n"]}
    agents("do", "--single", "--provider", "codex", "Add the one. " + do(step, {"say": "done"}))
    assert "one.py" in agents.repo.tree(agents.goal().integration)


def test_a_failed_check_is_reworked(agents: Mo) -> None:
    wrong, right = {"write": ["n.py", "N = 1\n"]}, {"write": ["n.py", "N = 2\n"]}
    check = f"{sys.executable} -c 'import n; assert n.N == 2'"
    first = plan([{"id": "n", "prompt": do(wrong, {"say": "x"}), "provider": "codex", "check": check}])
    goal = run(agents, first, code=1)
    (task,) = goal["tasks"]
    assert task["state"] == "failed"
    assert len(task["attempts"]) == 4  # the first, and three times rework
    assert {attempt["class"] for attempt in task["attempts"]} == {"check_failed"}
    assert right


@pytest.mark.parametrize("kind", KINDS)
def test_a_spent_budget_stops_the_goal(agents: Mo, kind: str) -> None:
    costly = {"write": ["a.py", "A = 1\n"], "usage": {"in": 5_000_000, "cached": 0, "out": 500_000}}
    tasks = [
        {"id": "a", "prompt": do(costly, {"say": "x"}), "provider": kind},
        {"id": "b", "prompt": do({"write": ["b.py", "B = 1\n"]}), "provider": kind, "depends_on": ["a"]},
    ]
    goal = run(agents, plan(tasks), "--budget", "0.5", code=9)
    assert goal["state"] == "over_budget"
    assert "budget" in goal["reason"]


@pytest.mark.parametrize("kind", ["claude", "codex"])
def test_a_bad_key_is_not_tried_again(agents: Mo, kind: str) -> None:
    fault = {"status": 401, "error": {"type": "authentication_error", "message": "invalid x-api-key"}}
    goal = run(agents, plan([{"id": "a", "prompt": do(fault), "provider": kind}]), code=1)
    (task,) = goal["tasks"]
    assert (task["state"], len(task["attempts"])) == ("failed", 1)
    assert task["attempts"][0]["class"] == "auth"


def test_commands_and_agents_in_one_plan(agents: Mo) -> None:
    tasks = [
        {"id": "made", "run": writes("made.py", "M = 1\n")},
        {
            "id": "used",
            "prompt": do({"write": ["used.py", "import made\n"]}, {"say": "x"}),
            "provider": "claude",
            "depends_on": ["made"],
        },
    ]
    goal = run(agents, plan(tasks))
    assert {"made.py", "used.py"} <= set(agents.repo.tree(goal["integration"]))


@pytest.mark.parametrize("kind", ["claude", "codex"])
def test_the_login_is_proved_by_a_run(agents: Mo, api: StubApi, kind: str) -> None:
    proof = agents.json("agents", "test", kind)
    assert (proof["works"], proof["class"]) == (True, None)
    assert proof["usage"]["input_tokens"] > 0
    assert "ready" in "\n".join(api.prompts("/messages" if kind == "claude" else "/responses"))
    listed = {agent["name"]: agent for agent in agents.json("agents", "list")["agents"]}
    assert listed[kind]["usable"]
    assert listed[kind]["version"]
    assert agents.repo.git("status", "--porcelain") == ""


def test_what_agents_said_is_shown_in_words(agents: Mo) -> None:
    steps = ({"write": ["a.py", "A = 1\n"]}, {"say": "made a"})
    for kind in ("claude", "codex"):
        goal = run(agents, plan([{"id": "a", "prompt": do(*steps), "provider": kind, "no_change": "ok"}]))
        lines = agents("logs", f"{goal['id']}/a").out.splitlines()
        assert "made a" in lines
        assert any(line.startswith("> ") for line in lines)
        assert "[[do:" in agents("show", f"{goal['id']}/a", "--prompt").out
    rows = agents.json("cost", "--by", "provider")["rows"]
    assert {row["key"] for row in rows} == {"claude", "codex"}


def shop(name: str, code: str) -> list[dict[str, Any]]:
    """The steps of an agent that adds a module to the demo's shop, with a test."""
    test = (
        "import unittest\n\nfrom shop import NAME\n\n\nclass Tests(unittest.TestCase):\n"
        "    def test_it(self):\n        self.assertTrue(NAME)\n"
    ).replace("NAME", name)
    files = [{"write": [f"shop/{name}.py", code]}, {"write": [f"tests/test_{name}.py", test]}]
    return [{"calls": files}, {"say": f"Added shop/{name}.py and its test."}]


SHOP = {
    "discount": "def discounted(cents, percent):\n    return cents * (100 - percent) // 100\n",
    "voucher": (
        "import re\n\n\ndef is_code(text):\n    return bool(re.fullmatch('[A-Z]{4}-[0-9]{4}', text))\n"
    ),
    "offer": (
        "from shop.discount import discounted\nfrom shop.voucher import is_code\n\n\n"
        "def offer(cents, code):\n    return discounted(cents, 10) if is_code(code) else cents\n"
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_demo_with_a_real_agent(agents: Mo, api: StubApi, tmp_path: Path, kind: str) -> None:
    """The demo's own plan, with no script in it: the stub knows what each of its prompts asks for."""
    api.replies += [(f"Add the file shop/{name}.py", shop(name, code)) for name, code in SHOP.items()]
    tables = {name: table for name, table in settings(api, "restricted").items() if name in KINDS}
    for name, table in tables.items():  # it has settings of its own; of the user's, the environment counts
        for key, value in table.items():
            text = value if isinstance(value, str) else json.dumps(value)
            agents.environ[f"MO_{name}__{key}".upper()] = text
    out = agents("--json", "demo", "--agent", kind, "--keep", str(tmp_path / "demo"), timeout=110).out
    ended = json.loads(out.splitlines()[-1])
    assert (set(ended["landed"]), ended["as_expected"]) == (set(SHOP), True)
    made = RepoBuilder(tmp_path / "demo" / "shop").tree(f"mo/{ended['goal']}/integration")
    assert {made[f"shop/{name}.py"] + "\n" for name in SHOP} == set(SHOP.values())


# -- planning -----------------------------------------------------------------------------------------


def planned(name: str, *needed: str, made: str = "", **more: Any) -> dict[str, Any]:
    """A task of a planner's answer, whose prompt is the script for its agent."""
    steps = {"write": [f"{name}.py", made or f"{name.upper()} = 1\n"]}, {"say": f"made {name}"}
    task = {"id": name, "title": f"Make {name}", "prompt": do(*steps), "depends_on": list(needed)}
    return {**task, "writes": [f"{name}.py"], "check": "", "complexity": "simple", **more}


def answer(*tasks: Mapping[str, Any], **more: Any) -> str:
    said = {"questions": [], "assumptions": ["There is one shop."], "tasks": list(tasks), **more}
    return f"[[answer: {json.dumps(said)}]]"


GOOD = (planned("mul"), planned("sub"), planned("both", "mul", "sub", made="import mul\nimport sub\n"))


@pytest.mark.parametrize("kind", ["claude", "codex"])
def test_a_goal_in_words_is_planned_and_done(agents: Mo, api: StubApi, kind: str) -> None:
    other = "codex" if kind == "claude" else "claude"
    phases = ("--phase-provider", f"decompose={kind}", "--phase-provider", f"execute={other}")
    agents("do", f"Add arithmetic. {answer(*GOOD)}", *phases, timeout=150)
    goal = agents.json("show", "@last")["goal"]
    assert {task["id"]: task["state"] for task in goal["tasks"]} == dict.fromkeys(
        ("mul", "sub", "both"), "landed"
    )
    assert {"mul.py", "sub.py", "both.py"} <= set(agents.repo.tree(goal["integration"]))
    assert goal["assumptions"] == ["There is one shop."]
    assert {attempt["provider"] for task in goal["tasks"] for attempt in task["attempts"]} == {other}
    status = agents.goal()
    assert set(status.spent) == {"claude", "codex"}  # planning is paid for, too
    said = (agents.home.run_dir(status.id, ".plan", 1) / "prompt.md").read_text()
    assert "Add arithmetic." in said
    assert "test_calc.py" in said  # the map
    assert "pytest" in said  # the gate
    asked = "\n".join(api.prompts("/messages" if kind == "claude" else "/responses"))
    assert "tangerine" in asked
    assert "both" in agents("graph").out


def test_an_answer_with_a_cycle_is_handed_back(agents: Mo) -> None:
    cyclic = answer(planned("mul", "sub"), planned("sub", "mul"))
    better = answer(*GOOD, when="cycle[:] (mul|sub) ->")
    out = agents("do", f"Add arithmetic. {cyclic} {better}", "--phase-provider", "execute=codex", timeout=150)
    assert 'answer 1 is no valid plan: the plan: task "mul": depends_on: cycle: mul -> sub -> mul' in out.out
    assert agents.states() == dict.fromkeys(("mul", "sub", "both"), "landed")


def test_an_answer_that_stays_invalid_halts_the_goal(agents: Mo) -> None:
    bad = answer(planned("mul", "nobody"))
    agents("do", f"Add arithmetic. {bad}", code=5, timeout=150)
    goal = agents.goal()
    assert (goal.state, goal.plan.tasks) == ("halted", ())
    assert goal.reason.startswith("no valid plan in 3 answers of claude: ")
    assert 'no task "nobody"' in goal.reason
    assert agents.programs() == []
    agents("resume", "@last")
    agents.wait_for(lambda: agents.goal().planning.runs == 6 and agents.goal().state == "halted", 120)


def test_a_person_approves_the_plan(agents: Mo) -> None:
    agents("do", "--approve", f"Add one. {answer(planned('one'))}", code=5, timeout=150)
    assert agents.states() == {"one": "pending"}
    (need,) = agents.json("show", "@last")["goal"]["needs"]
    assert need == {
        "task": None,
        "why": "the plan waits for you: 1 task",
        "do": f"mo resume {agents.goal().id}",
    }
    agents("resume", "@last")
    agents.wait_for(lambda: agents.goal().state == "done", 60)
    assert agents.states() == {"one": "landed"}


def test_a_planner_that_may_not_work_here_halts_the_goal(agents: Mo) -> None:
    fault = {"status": 401, "error": {"type": "authentication_error", "message": "invalid x-api-key"}}
    agents("do", "--provider", "claude", do(fault), code=4, timeout=150)
    assert agents.goal().reason.startswith("no agent can plan it: claude: ")


def test_a_goal_file_without_tasks_is_planned(agents: Mo) -> None:
    file = agents.repo.path.parent / "goal.md"
    check = f"{sys.executable} -c 'import one'"
    file.write_text(f"+++\ntitle = 'One'\ncheck = {json.dumps(check)}\n+++\n{answer(planned('one'))}\n")
    agents("do", f"@{file}", timeout=150)
    goal = agents.goal()
    assert goal.spec.title == "One"
    assert goal.plan.check == check
    assert goal.checked is not None
    assert agents.states() == {"one": "landed"}


def test_another_planner_takes_over_in_auto_mode(agents: Mo) -> None:
    fault = {"status": 401, "error": {"type": "authentication_error", "message": "no"}, "times": 2}
    said = {"questions": [], "assumptions": [], "tasks": [planned("one")]}
    script = do(fault, {"answer": said})
    out = agents("do", script, "--phase-provider", "execute=codex", timeout=150).out
    assert "planning failed: " in out
    assert "planning (codex, instead of claude)" in out
    assert agents.states() == {"one": "landed"}


def test_a_busy_provider_is_asked_again(agents: Mo) -> None:
    fault = {"status": 529, "error": {"type": "overloaded_error", "message": "busy"}, "times": 2}
    said = {"questions": [], "assumptions": [], "tasks": [planned("one")]}
    agents("do", do(fault, {"answer": said}), "--phase-provider", "execute=codex", timeout=150)
    assert agents.states() == {"one": "landed"}


def test_a_spent_budget_stops_before_anything_is_done(agents: Mo) -> None:
    costly = {"answer": {"questions": []}, "usage": {"in": 5_000_000, "cached": 0, "out": 500_000}}
    agents("do", do(costly), "--budget", "0.5", "--provider", "codex", code=9, timeout=150)
    goal = agents.goal()
    assert (goal.state, goal.plan.tasks) == ("over_budget", ())


def test_planning_survives_a_kill_of_the_daemon(agents: Mo, api: StubApi) -> None:
    script = do({"hang": "before", "times": 1}, {"answer": json.loads(answer(planned("one"))[10:-2])})
    agents("do", "--detach", script, "--provider", "codex")
    agents.wait_for(lambda: bool(api.prompts("/responses")), 60)
    agents.kill()
    agents("daemon", "start")
    agents.wait_for(lambda: agents.goal().state == "done", 60)
    assert agents.goal().planning.runs == 2
    assert agents.states() == {"one": "landed"}


def test_a_cancelled_planner_is_ended(agents: Mo, api: StubApi) -> None:
    agents("do", "--detach", do({"hang": "before"}), "--provider", "codex")
    agents.wait_for(lambda: bool(api.prompts("/responses")), 60)
    agents("cancel", "@last")
    agents.wait_for(lambda: agents.goal().state == "cancelled" and not agents.programs(), 60)
