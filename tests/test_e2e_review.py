"""Review by the real claude and codex, against a loopback stub of their APIs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.agents import API, PYTEST_GATE, do, keys, run, settings
from tests.driver import Mo, plan
from tests.schemas import problems
from tests.stub_api import StubApi
from tests.support import RepoBuilder

pytestmark = pytest.mark.slow

CALC = {
    "calc.py": "def add(a, b):\n    return a + b\n",
    "test_calc.py": "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n",
}
WRONG, RIGHT = "def mul(a, b):\n    return a + b\n", "def mul(a, b):\n    return a * b\n"
LATER = "corrections were[ ]asked for"  # a regular expression: the prompt of a second review


@pytest.fixture
def agents(repo: RepoBuilder, api: StubApi, mode: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mo]:
    """`mo` whose claude and codex talk to the stub, and whose changes are reviewed."""
    for key, value in keys(api).items():
        monkeypatch.setenv(key, value)
    driver = Mo(repo)
    repo.commit(CALC)
    driver.configure(gate={"command": PYTEST_GATE}, review={"require": "agent"}, **settings(api, mode))
    yield driver
    driver.stop()
    assert driver.programs() == []


def finding(comment: str, **more: Any) -> dict[str, Any]:
    return {"path": "mul.py", "line": 2, "severity": "major", "comment": comment, **more}


def says(word: str, *findings: Mapping[str, Any], when: str = "") -> str:
    """The answer of a reviewer whose prompt this stands in."""
    said = {"verdict": word, "summary": f"I say {word}.", "findings": list(findings)}
    return f"[[answer: {json.dumps({**said, **({'when': when} if when else {})})}]]"


def correct(text: str) -> str:
    """A comment that makes the stub's agent write the file anew."""
    return do({"write": ["mul.py", text]}, {"say": "corrected mul"})


def test_planned_by_claude_done_by_codex_reviewed_by_claude_and_corrected(agents: Mo, api: StubApi) -> None:
    """One change is asked for; codex makes it in its own session, and what lands is the corrected work."""
    reviews = says("request_changes", finding(correct(RIGHT))) + says("approve", when=LATER)
    steps = {"write": ["mul.py", WRONG]}, {"say": "made mul"}
    task = {
        "id": "mul",
        "title": "Make mul",
        "prompt": f"Multiply. {reviews} {do(*steps)}",
        "depends_on": [],
        "writes": ["mul.py"],
        "check": f"{sys.executable} -c 'import mul'",
        "complexity": "simple",
        "provider": "auto",
    }
    answer = {"questions": [], "assumptions": [], "tasks": [task]}
    out = agents("do", f"Add arithmetic. [[answer: {json.dumps(answer)}]]", timeout=150).out
    document = agents.json("show", "@last")
    assert problems("show", document) == []
    (done,) = document["goal"]["tasks"]
    assert done["state"] == "landed"
    assert done["review"] == {
        "verdict": "approve",
        "by": "claude",
        "summary": "I say approve.",
        "findings": [],
    }
    (attempt,) = done["attempts"]
    assert (attempt["provider"], attempt["state"]) == ("codex", "candidate")
    assert agents.repo.tree(document["goal"]["integration"])["mul.py"] == RIGHT.rstrip("\n")
    assert "changes asked for by claude (1 finding): I say request_changes." in out
    assert "corrected by its agent" in out
    assert "approved by claude: I say approve." in out
    sessions = {request.body["prompt_cache_key"] for request in api.requests if "/responses" in request.path}
    assert len(sessions) == 1  # codex went on with what it knew
    goal = agents.goal()
    runs = agents.json("cost", "--by", "phase")["rows"]
    assert {row["key"]: row["runs"] for row in runs} == {"decompose": 1, "execute": 2, "review": 2}
    # codex counts its tokens over the whole thread: each of the requests counts once all the same
    asked = sum("/responses" in request.path for request in api.requests)
    assert goal.spent["codex"].input_tokens == 1000 * asked
    (session,) = [one for one in goal.tasks["mul"].sessions.values() if one.input_tokens == 1000 * asked]
    assert session.output_tokens == 50 * asked


@pytest.mark.parametrize("kind", ["claude", "codex"])
def test_what_a_resumed_session_costs_counts_once(agents: Mo, api: StubApi, kind: str) -> None:
    """Both programs count on when they are resumed: money (claude) or tokens (codex)."""
    other = "codex" if kind == "claude" else "claude"
    reviews = says("request_changes", finding(correct(RIGHT))) + says("approve", when=LATER)
    steps = {"write": ["mul.py", WRONG]}, {"say": "made mul"}
    task = {"id": "mul", "prompt": f"Multiply. {reviews} {do(*steps)}"}
    phases = ("--phase-provider", f"execute={kind}", "--phase-provider", f"review={other}")
    goal = run(agents, plan([task]), *phases)
    (done,) = goal["tasks"]
    assert (done["state"], done["review"]["by"], len(done["attempts"])) == ("landed", other, 1)
    assert agents.repo.tree(goal["integration"])["mul.py"] == RIGHT.rstrip("\n")
    status = agents.goal()
    asked = sum(API[kind] in request.path for request in api.requests)
    assert status.spent[kind].input_tokens == 1000 * asked
    session = status.tasks["mul"].sessions[status.tasks["mul"].attempts[-1].session]
    assert (session.input_tokens, session.cost_usd) == (1000 * asked, status.spent[kind].cost_usd)
    if kind == "claude":
        stream = agents.home.run_dir(status.id, "mul", 1) / "stream.jsonl"
        ends = [one for one in map(json.loads, stream.read_text().splitlines()) if one["type"] == "result"]
        assert len(ends) == 2
        assert session.cost_usd == pytest.approx(ends[-1]["total_cost_usd"])
    logs = agents("logs", f"{status.id}/mul").out
    assert "==> review-1/stream.jsonl <==" in logs
    assert "corrected mul" in logs
    assert f"review of mul: approve by {other}" in agents.repo.git("log", "--notes=mo", goal["integration"])


@pytest.mark.parametrize("kind", ["claude", "codex"])
def test_a_reviewer_changes_nothing(agents: Mo, api: StubApi, kind: str) -> None:
    """It tries by commands and by its editing tool, in the worktree, beside it, and in git."""
    other = "codex" if kind == "claude" else "claude"
    mine = "You review the[ ]work"  # a regular expression: only in the reviewer's prompt
    tries = {
        "here": "touch made-here.py",
        "theirs": "echo broken > mul.py",
        "main": f"touch {agents.repo.path}/made-there.py",
        "git": "git update-ref refs/heads/evil HEAD",
    }
    runs = [
        {"run": f'if {command}; then echo {name}-"w"orked; else echo {name}-"r"efused; fi', "when": mine}
        for name, command in tries.items()
    ]
    writes = [{"write": ["made-by-tool.py", "X = 1\n"], "when": mine}]
    last = {"answer": {"verdict": "approve", "summary": "Good.", "findings": []}, "when": mine}
    work = [{"write": ["mul.py", RIGHT], "until": mine}, {"say": "made mul", "until": mine}]
    task = {"id": "mul", "prompt": do(*runs, *writes, last, *work)}
    phases = ("--phase-provider", f"execute={other}", "--phase-provider", f"review={kind}")
    goal = run(agents, plan([task]), *phases)
    (done,) = goal["tasks"]
    assert (done["state"], done["review"]["verdict"], done["paths"]) == ("landed", "approve", ["mul.py"])
    assert agents.repo.tree(goal["integration"])["mul.py"] == RIGHT.rstrip("\n")
    assert "worked" not in "\n".join(api.prompts(API[kind]))
    assert "made-there.py" not in {path.name for path in agents.repo.path.iterdir()}
    assert agents.repo.git("branch", "--list", "evil") == ""
