"""Goals done by the real claude and codex, against a loopback stub of their APIs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mo_daemon.prompts import data_block
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
        for word in ("tangerine", "quince"):  # what each team file says, once each
            assert {text.count(word) for text in api.prompts(path)} == {1}


def test_an_output_of_one_agent_reaches_another(agents: Mo, api: StubApi) -> None:
    """The first answer does not fit the schema, so the agent is asked again, with its work still there."""
    schema = {"type": "object", "properties": {"port": {"type": "integer"}}, "required": ["port"]}
    script = "if [ -e tried ]; then echo '{\"port\": 4711}'; else echo '{}'; fi >$MO_OUTPUT; touch tried"
    steps = {"write": ["port.py", "PORT = 4711\n"]}, {"say": "used it"}
    use = {"prompt": f"Use {{{{task.find.output.port}}}} here. {do(*steps)}", "provider": "codex"}
    tasks = [
        {"id": "find", "prompt": do({"run": script}, {"say": "ok"}), "provider": "claude", "output": schema},
        {"id": "use", **use, "depends_on": ["find"], "agent": {"effort": "high"}},
    ]
    (agents.repo.path / ".mo" / "lessons.md").write_text("Ports are lemon.\n")
    find, used = run(agents, plan(tasks))["tasks"]
    assert [attempt["class"] for attempt in find["attempts"]] == ["invalid_output", None]
    assert (find["output"], find["paths"]) == ({"port": 4711}, ["tried"])
    assert used["state"] == "landed"
    asked = "\n".join(api.prompts("/messages"))
    assert "has to fit this JSON schema" in asked
    assert 'its output (.mo-output.json): \\"port\\" is missing' in asked
    requests = [request.body for request in api.requests if "/responses" in request.path]
    block = data_block("port of the output of task find", "4711")
    assert json.dumps(f"Use {block} here.")[1:-1] in json.dumps(requests[0])
    assert "Ports are lemon." in json.dumps(requests[0])
    assert {request["reasoning"]["effort"] for request in requests} == {"high"}


def test_an_attempt_with_a_budget_of_its_own(agents: Mo) -> None:
    """It ends the attempt, and after another one the task; the goal goes on."""
    costly = {"write": ["a.py", "A = 1\n"], "usage": {"in": 1000, "cached": 0, "out": 60_000}}
    tasks = [
        {
            "id": "a",
            "prompt": do(costly, {"run": "true"}, {"hang": "before"}),
            "provider": "codex",
            "agent": {"max_budget_usd": 0.5},
        },
        {"id": "b", "prompt": do({"write": ["b.py", "B = 1\n"]}, {"say": "x"}), "provider": "codex"},
    ]
    goal = run(agents, plan(tasks), "--budget", "500", code=1)
    first, second = goal["tasks"]
    assert [attempt["class"] for attempt in first["attempts"]] == ["budget", "budget"]
    assert first["reason"].startswith("the attempt's budget of $0.50 is spent ($1.8")
    assert (goal["state"], first["state"], second["state"]) == ("failed", "failed", "landed")


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
    goal = run(agents, plan([{"id": "a", "prompt": do(fault), "provider": kind}]), code=4)
    (need,) = goal["needs"]
    assert need["do"] == f"mo agents test {kind}; mo retry {goal['id']}/a"
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


# -- what a repository declares for agents ------------------------------------------------------------

SERVER = "import pathlib, sys\npathlib.Path('served.txt').write_text('x')\nfor line in sys.stdin: pass\n"
HOOK = [{"hooks": [{"type": "command", "command": "echo x > hooked.txt"}]}]
DECLARED = {
    "serve.py": SERVER,
    ".claude/settings.json": json.dumps({"hooks": {"SessionStart": HOOK}}),
    ".mcp.json": json.dumps({"mcpServers": {"m": {"command": "python3", "args": ["serve.py"]}}}),
    ".codex/config.toml": '[mcp_servers.m]\ncommand = "python3"\nargs = ["serve.py"]\n'
    '[[hooks.SessionStart]]\n[[hooks.SessionStart.hooks]]\ntype = "command"\n'
    'command = "echo x > hooked.txt"\n',
}
FILES = {"claude": (".claude/settings.json", ".mcp.json"), "codex": (".codex/config.toml",)}


@pytest.mark.timeout(360)
@pytest.mark.parametrize("kind", ["claude", "codex"])
def test_hooks_and_servers_of_a_repository_run_once_they_are_trusted(agents: Mo, kind: str) -> None:
    def traces(number: int) -> set[str]:
        """What the declared programs left in the worktree of one more task."""
        steps = ({"write": [f"n{number}.py", "N = 1\n"]}, {"say": "done"})
        run(agents, plan([{"id": "a", "prompt": do(*steps), "provider": kind}]))
        return {"hooked.txt", "served.txt"} & set(agents.repo.tree(agents.goal().integration))

    agents.home.create()  # so that the commit holds nothing of it
    agents.repo.commit(DECLARED)
    assert traces(1) == set()
    listed = agents("trust", "--list").out
    assert listed == "".join(f"new      {name}\n" for files in FILES.values() for name in files)
    agents("trust", "--yes", *FILES[kind])
    assert traces(2) == {"hooked.txt", "served.txt"}
    agents.repo.commit({name: DECLARED[name] + "\n" for name in FILES[kind]})
    assert traces(3) == set()
    assert f"changed  {FILES[kind][0]}\n" in agents("trust", "--list").out


# -- several agents of one kind -----------------------------------------------------------------------


def test_two_entries_of_one_kind_with_models_of_their_own(agents: Mo, api: StubApi) -> None:
    local = agents.home.path / "local.toml"
    local.write_text(
        local.read_text()
        + '[agents.small]\nkind = "codex"\ndefault_model = "gpt-5.5-mini"\n'
        + '[agents.large]\nkind = "codex"\ndefault_model = "gpt-5.5-max"\n'
    )
    tasks = [
        {"id": name, "prompt": do({"write": [f"{name}.py", "N = 1\n"]}, {"say": "x"}), "provider": name}
        for name in ("small", "large")
    ]
    run(agents, plan(tasks))
    models = {request.body["model"] for request in api.requests if "/responses" in request.path}
    assert models == {"gpt-5.5-mini", "gpt-5.5-max"}
    assert set(agents.goal().spent) == {"small", "large"}
    assert {row["key"] for row in agents.json("cost", "--by", "provider")["rows"]} == {"small", "large"}


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
    return {**task, "writes": [f"{name}.py"], "check": "", "complexity": "simple", "provider": "auto", **more}


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


def test_planned_checks_run_in_the_sandbox_or_wait_for_a_person(agents: Mo) -> None:
    words = f"Add one. {answer(planned('one', check='echo checked'))}"
    agents("do", words, "--phase-provider", "execute=codex", timeout=150)
    assert agents.states() == {"one": "landed"}
    agents("daemon", "stop")
    agents.environ["MO_GATE__SANDBOX"] = "false"
    again = f"Add two. {answer(planned('two', check='echo checked'))}"
    agents("do", again, "--phase-provider", "execute=codex", code=5, timeout=150)
    (need,) = agents.json("show", "@last")["goal"]["needs"]
    assert need["why"] == (
        "the plan waits for you: 1 task: 1 agent, about $0.10 to $0.50; "
        "its checks would run as you, without a sandbox: two: echo checked"
    )
    agents(*need["do"].split()[1:])
    agents.wait_for(lambda: agents.goal().state == "done", 60)


def test_a_person_approves_the_plan(agents: Mo) -> None:
    agents("do", "--approve", f"Add one. {answer(planned('one'))}", code=5, timeout=150)
    assert agents.states() == {"one": "pending"}
    (need,) = agents.json("show", "@last")["goal"]["needs"]
    assert need == {
        "task": None,
        "why": "the plan waits for you: 1 task: 1 agent, about $0.10 to $0.50",
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


@pytest.mark.parametrize("kind", ["claude", "codex"])
def test_a_planner_can_neither_write_nor_read_secrets(agents: Mo, api: StubApi, kind: str) -> None:
    """It tries by commands and by its editing tool; what it was told of them is in its later requests."""
    main = agents.repo.path
    secret = "c4n4ry" * 6
    (main / ".mo").mkdir(exist_ok=True)
    (main / ".mo/token").write_text(secret)
    tries = {
        "here": "touch made-here.py",
        "main": f"touch {main}/made-there.py",
        "git": f"git update-ref refs/heads/evil HEAD || touch {main}/.git/refs/heads/evil",
        "token": f"cat {main}/.mo/token",
    }
    runs = [
        {"run": f'if {command}; then echo {name}-"w"orked; else echo {name}-"r"efused; fi'}
        for name, command in tries.items()
    ]
    writes = [{"write": ["made-by-tool.py", "X = 1\n"]}, {"write": [f"{main}/made-by-tool.py", "X = 1\n"]}]
    last = {"answer": json.loads(answer(planned("one"))[10:-2])}
    agents("do", "--approve", do(*runs, *writes, last), "--provider", kind, code=5, timeout=150)
    said = "\n".join(api.prompts("/messages" if kind == "claude" else "/responses"))
    assert agents.states() == {"one": "pending"}
    assert "worked" not in said
    assert all(f"{name}-refused" in said for name in tries) or kind == "claude"  # which has no commands
    assert len(api.requests) > len(runs + writes)  # it did try
    assert secret not in said
    assert not list(main.rglob("made-*"))
    assert not list(Path(os.environ["XDG_STATE_HOME"]).rglob("made-*"))
    assert agents.repo.git("for-each-ref", "refs/heads/evil") == ""
    assert agents.repo.git("status", "--porcelain") == ""


@pytest.mark.parametrize("kind", ["claude", "codex"])
def test_a_planner_asks_and_plans_by_the_answers(agents: Mo, api: StubApi, kind: str) -> None:
    """Its questions and the answers to them survive a restart of the daemon."""
    asked = answer(questions=["Which shop? =====", "How many?"])
    planned_then = answer(planned("one"), when="Answer: The one[^ i]in town")
    phases = ("--provider", kind)
    said = agents("do", "--ask", f"Add a shop. {asked} {planned_then}", *phases, code=5, timeout=150)
    goal = agents.goal().id
    assert f"mo review {goal}" in said.out
    assert agents.json("show", goal)["goal"]["state"] == "awaiting_approval"
    agents.stop()
    shown = agents("review", goal, code=5).out.splitlines()
    command = f'mo review {goal} --answer "..." --answer "..."'
    assert shown == ["1. Which shop? =====", "2. How many?", f"2 answers: {command}"]
    assert "mo review" in agents("resume", goal, code=1).err
    assert "1 answer given" in agents("review", goal, "--answer", "The one", code=2).err
    agents("review", goal, "--answer", "The one\nin town", "--answer", "")
    agents.kill()
    agents("daemon", "start")
    agents.wait_for(lambda: agents.goal().state == "done", 120)
    assert agents.states() == {"one": "landed"}
    last = agents.goal().planning.runs  # the second, or the one after a run that the stop ended
    prompt = (agents.home.run_dir(goal, ".plan", last) / "prompt.md").read_text()
    assert "Question: Which shop? =====\nAnswer: The one\nin town\n" in prompt
    assert "Answer: (no answer: decide yourself" in prompt
    first = (agents.home.run_dir(goal, ".plan", 1) / "prompt.md").read_text()
    assert "A person answers questions, once" in first
    assert "A person answers questions, once" not in prompt
    answers = agents.json("show", goal)["goal"]["answers"]
    assert [one["answer"] for one in answers] == ["The one\nin town", ""]
    assert "has ended: done" in agents("review", goal, "--answer", "more", code=1).err


def test_on_a_terminal_questions_are_asked_and_the_plan_is_shown(agents: Mo) -> None:
    asked = answer(questions=["Which shop?"])
    planned_then = answer(planned("one"), when="Answer: The[^ i]*one[^a-z]")
    talk = agents.talk("do", "--ask", f"Add a shop. {asked} {planned_then}", "--provider", "codex")
    talk.wait_for("1. Which shop?")
    talk.say("The-one")
    talk.wait_for("assumed: There is one shop.")
    talk.wait_for("1 agent, about $0.10 to $0.50 (a rough guess; budget $25.00)")
    talk.wait_for("Run it?")
    assert agents.states() == {"one": "pending"}
    talk.say("n")
    assert talk.end() == 5
    goal = agents.goal().id
    assert f"mo resume {goal}" in talk.text
    again = agents.talk("do", f"Add one. {answer(planned('one'))}", "--provider", "codex")
    again.wait_for("Run it?")
    again.say("y")
    assert again.end() == 0
    assert agents.states() == {"one": "landed"}
    asking = agents.talk("review", goal)
    asking.wait_for(f"mo resume {goal}")
    assert asking.end() == 5


def test_a_planner_may_ask_only_once(agents: Mo) -> None:
    asking = answer(questions=["Which shop?"])
    agents("do", "--ask", f"Add a shop. {asking}", "--provider", "codex", code=5, timeout=150)
    agents("review", "@last", "--answer", "")
    agents.wait_for(lambda: agents.goal().state == "halted", 120)
    goal = agents.goal()
    assert (goal.planning.rounds, len(goal.planning.refusals)) == (1, 3)
    assert "Your questions were answered" in goal.reason


@pytest.mark.parametrize("kind", ["claude", "codex"])
def test_what_is_no_json_is_handed_back_three_times(agents: Mo, kind: str) -> None:
    html, cut = "<html><body>502 Bad Gateway</body></html>", '{"questions": [], "tasks": [{"id":'
    steps = [{"say": html if kind == "claude" else cut}] * 2
    agents("do", do(*steps), "--provider", kind, code=5, timeout=150)
    goal = agents.goal()
    assert (goal.state, goal.planning.runs, goal.plan.tasks) == ("halted", 3, ())
    assert goal.reason.startswith(f"no valid plan in 3 answers of {kind}: ")
    prompts = [agents.home.run_dir(goal.id, ".plan", n) / "prompt.md" for n in (1, 2, 3)]
    assert ["was not a valid plan" in prompt.read_text() for prompt in prompts] == [False, True, True]


def test_who_was_not_allowed_to_ask_is_refused(agents: Mo) -> None:
    asking, plain = answer(questions=["Which shop?"]), answer(planned("one"), when="not a valid plan[.]")
    text = f"Add a shop. {asking} {plain}"
    agents("do", text, "--provider", "codex", timeout=150)
    assert agents.goal().planning.refusals[0]["errors"][0].startswith("Nobody answers questions: ")
    assert agents.goal().planning.questions == ()


def test_tasks_that_name_their_agents_are_done_by_them(agents: Mo) -> None:
    tasks = planned("mul", provider="claude"), planned("sub", provider="codex")
    last = planned("both", "mul", "sub", made="import mul\nimport sub\n", provider="auto")
    wrong = answer(planned("mul", provider="command"), planned("sub", provider="nobody"))
    right = answer(*tasks, last, when="no provider .nobody. [(]known")
    agents("do", f"Add arithmetic. {wrong} {right}", timeout=150)
    goal = agents.json("show", "@last")["goal"]
    who = {task["id"]: task["attempts"][-1]["provider"] for task in goal["tasks"]}
    assert who == {"mul": "claude", "sub": "codex", "both": "codex"}
    assert {task["state"] for task in goal["tasks"]} == {"landed"}
    (refusal,) = agents.goal().planning.refusals
    assert refusal["errors"] == [
        'the plan: task "mul": provider: "command" takes run = [...], not a prompt',
        'the plan: task "mul": provider: no provider "command" (known: auto, claude, codex)',
        'the plan: task "sub": provider: no provider "nobody" (known: auto, claude, codex)',
    ]


def test_a_plan_that_is_only_made_runs_nothing(agents: Mo, api: StubApi) -> None:
    doc = agents.repo.path.parent / "shop.txt"
    doc.write_text("The shop sells turnips.\n")
    text = f"Add arithmetic. {answer(*GOOD)}"
    done = agents("plan", text, "--doc", str(doc), timeout=150)
    goal = agents.goal()
    file = f".mo/plans/{goal.id}.toml"
    assert done.out.splitlines()[-1] == (
        "takes 3 agents (at most 2 at once), about $0.30 to $1.50 (a rough guess; budget $25.00)"
    )
    assert f"the plan is in {file}; mo do @{file} runs it" in done.err
    assert (goal.state, goal.reason) == ("cancelled", "only planned")
    assert not any(task.attempts for task in goal.tasks.values())
    assert "turnips" in "\n".join(api.prompts("/messages"))
    assert agents.json("status")["goals"][0]["needs"] == []
    out = agents.repo.path.parent / "out.toml"
    assert agents("do", "--plan-only", text, timeout=150).out.startswith("Add arithmetic.")
    document = agents.json("plan", text, "-o", str(out))
    assert document["estimate"]["agents"] == 3
    agents("do", f"@{out}", timeout=150)
    assert agents.states() == dict.fromkeys(("mul", "sub", "both"), "landed")
    assert agents.goal().estimate is not None
    history = agents.json("plan", f"@{out}")["estimate"]
    assert history["samples"] == 3  # what was just done
    assert 0 < history["low_usd"] <= history["high_usd"] < 0.3
    fault = {"status": 401, "error": {"type": "authentication_error", "message": "no"}}
    assert "no agent can plan it" in agents("plan", do(fault), "--provider", "claude", code=4).err
    costly = {"answer": {"questions": []}, "usage": {"in": 5_000_000, "cached": 0, "out": 500_000}}
    agents("plan", do(costly), "--budget", "0.5", "--provider", "codex", code=9, timeout=150)
    agents("plan", "--ask", f"Add it. {answer(questions=['Which?'])}", code=5, timeout=150)


@pytest.mark.parametrize("kind", ["claude", "codex"])
def test_a_goal_of_two_iterations_is_verified_and_planned_again(agents: Mo, api: StubApi, kind: str) -> None:
    more = {"done": False, "progress": 50, "missing": ["sub.py is missing"], "summary": "half"}
    done = {"done": True, "progress": 100, "missing": [], "summary": "all"}
    script = [
        answer(planned("mul")),
        f"[[answer: {json.dumps({**more, 'when': 'Say[ ]whether a goal'})}]]",
        answer(planned("sub"), when="iteration 2[ ]begins"),
        f"[[answer: {json.dumps({**done, 'when': 'what was missing[ ]before'})}]]",
    ]
    phases = ("--phase-provider", f"verify={kind}", "--phase-provider", "execute=codex")
    agents("do", f"Add arithmetic. {' '.join(script)}", *phases, "--iterations", "3", timeout=150)
    goal = agents.json("show", "@last")["goal"]
    assert (goal["state"], goal["iteration"]) == ("done", 2)
    assert agents.states() == {"mul": "landed", "sub": "landed"}
    assert [one["progress"] for one in goal["verdicts"]] == [0.5, 1.0]
    assert {one["provider"] for one in goal["verdicts"]} == {kind}
