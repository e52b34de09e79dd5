"""Agents on the command line: who is there, what they cost, what they were told, what they say.

The program is a script in place of claude: it prints what the real one prints.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mo_git.errors import Exit
from tests.agents import no_bundles
from tests.driver import Mo, plan
from tests.support import RepoBuilder

SAYS = (
    {"type": "system", "subtype": "init", "model": "sonnet", "session_id": "s-1"},
    {"type": "assistant", "message": {"id": "m", "content": [{"type": "text", "text": "ready"}]}},
    {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "result": "ready",
        "session_id": "s-1",
        "total_cost_usd": 0.75,
        "usage": {"input_tokens": 900, "cache_read_input_tokens": 100, "output_tokens": 20},
    },
)
REFUSED = (
    {
        "type": "result",
        "subtype": "success",
        "is_error": True,
        "result": "Invalid API key",
        "api_error_status": 401,
        "usage": {},
    },
)


def script(path: Path, events: tuple[dict[str, Any], ...], then: str = "") -> str:
    """A program that says its version, or takes a prompt and prints these events."""
    said = "\n".join(json.dumps(event) for event in events)
    path.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && { echo "2.9.1 (stand-in)"; exit 0; }\n'
        f"cat > /dev/null\n{then}\nprintf '%s\\n' {shlex.quote(said)}\n"
    )
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def mo(repo: RepoBuilder) -> Iterator[Mo]:
    driver = Mo(repo)
    yield driver
    driver.stop()
    assert driver.programs() == []


def use(mo: Mo, tmp_path: Path, events: tuple[dict[str, Any], ...] = SAYS, then: str = "") -> str:
    command = script(tmp_path / "claude-stand-in", events, then)
    mo.configure(
        gate={"command": "none"},
        claude={"command": command, "execution_security_mode": "trusted_local"},
        routing={"default_provider": "claude"},
    )
    return command


@no_bundles
def test_without_any_agent(mo: Mo) -> None:
    nowhere = {"PATH": "/usr/bin:/bin"}
    mo.environ = {**mo.environ, **nowhere}
    done = mo("do", "tidy up", code=Exit.AGENT)
    assert done.out == ""
    assert done.err.splitlines() == [
        "mo: no agent can plan it: claude is not installed; codex is not installed",
        '  put claude or codex on PATH, or: pip install "mo-git[agents]"',
        "  mo agents list shows what is there; plans of commands (mo do @plan.toml) and mo demo need none",
    ]
    assert list((mo.home.path / "goals").iterdir()) == []
    listed = mo("agents", "list", code=Exit.AGENT)
    assert listed.err.splitlines()[0] == (
        "mo: no agent is usable: claude is not installed; codex is not installed"
    )
    tested = mo("agents", "test", "claude", code=Exit.AGENT)
    assert tested.err.splitlines()[0] == "mo: claude is not installed"
    unknown = mo("agents", "test", "clod", code=Exit.USAGE)
    assert unknown.err == "mo: no agent 'clod'\n  agents: claude, codex\n"
    assert mo("cost").out == "no agent has cost anything yet\n"


@no_bundles
def test_the_agents_found(mo: Mo, tmp_path: Path) -> None:
    command = use(mo, tmp_path)
    mo.environ = {**mo.environ, "PATH": "/usr/bin:/bin"}
    lines = mo("agents", "list").out.splitlines()
    assert (
        lines[0]
        == f"claude  usable  2.9.1, {command} (config), model sonnet, trusted_local, credentials: none"
    )
    assert lines[1].startswith("codex   no      codex is not installed; put codex on PATH")
    first = mo.json("agents", "list")["agents"][0]
    assert (first["name"], first["usable"], first["version"], first["source"]) == (
        "claude",
        True,
        "2.9.1",
        "config",
    )
    said = mo("doctor", code=None).out.splitlines()
    place = said.index(f"warn  agents      claude 2.9.1 {command}; not logged in")
    assert said[place + 1] == "        mo agents login claude, or set ANTHROPIC_API_KEY"


def test_the_proof_is_a_run(mo: Mo, tmp_path: Path) -> None:
    use(mo, tmp_path, then="pwd > " + shlex.quote(str(tmp_path / "where")))
    assert mo("agents", "test", "claude").out.startswith("claude works: ready (")
    scratch = Path((tmp_path / "where").read_text().strip())
    assert scratch.parent.name == "tasks"  # a worktree of the pool, as tasks get it
    assert not scratch.is_relative_to(mo.repo.path)
    proof = mo.json("agents", "test", "claude")
    assert (proof["works"], proof["class"], proof["said"], proof["usage"]["cost_usd"]) == (
        True,
        None,
        "ready",
        0.75,
    )


def test_a_login_that_is_refused(mo: Mo, tmp_path: Path) -> None:
    use(mo, tmp_path, REFUSED)
    done = mo("agents", "test", "claude", code=Exit.AGENT)
    assert done.err.splitlines() == [
        "mo: claude does not work: Invalid API key (auth)",
        "  log in: mo agents login claude, or set ANTHROPIC_API_KEY in the environment",
    ]


def test_told_said_and_paid(mo: Mo, tmp_path: Path) -> None:
    use(mo, tmp_path, then="echo 1 > one.txt")
    mo("do", "--single", "Add the one.")
    sent = mo("show", "@last/task", "--prompt").out
    assert "Add the one." in sent
    goal = mo.goal()
    assert sent == (mo.home.run_dir(goal.id, "task", 1) / "prompt.md").read_text()
    shown = mo("logs", "@last/task").out.splitlines()
    assert [line for line in shown if line[:3] != "==>" and line] == [
        "-- sonnet, session s-1",
        "ready",
        "-- ended, $0.7500",
    ]
    assert json.loads(mo("logs", "@last/task", "--raw").out.splitlines()[-1])["total_cost_usd"] == 0.75
    assert "  cost         $0.75, 1,000 tokens in, 20 out" in mo("show").out.splitlines()
    assert mo("cost").out.splitlines() == [
        f"{'goal':<{len(goal.id)}}   cost  runs  input  cached  output",
        f"{goal.id}  $0.75     1  1,000     100      20",
        f"{'total':<{len(goal.id)}}  $0.75     1  1,000     100      20",
    ]
    assert mo.json("cost", "@last", "--by", "provider")["rows"][0]["key"] == "claude"
    refusal = mo("show", "--prompt", code=Exit.USAGE)
    assert "--prompt is about a task" in refusal.err


def test_a_command_was_told_nothing(mo: Mo, tmp_path: Path) -> None:
    mo.configure(gate={"command": "none"})
    file = tmp_path / "plan.json"
    file.write_text(plan([{"id": "a", "run": ["sh", "-c", "echo a > a.txt"]}]))
    mo("do", f"@{file}")
    done = mo("show", "@last/a", "--prompt", code=Exit.FAILED)
    assert "is no agent's task: nobody was told anything" in done.err


def test_a_spent_budget_is_raised(mo: Mo, tmp_path: Path) -> None:
    use(mo, tmp_path, then="echo $MO_TASK > $MO_TASK.txt")
    file = tmp_path / "plan.json"
    tasks = [{"id": "a", "prompt": "A."}, {"id": "b", "prompt": "B.", "depends_on": ["a"]}]
    file.write_text(plan(tasks))
    done = mo("do", f"@{file}", "--budget", "0.5", code=Exit.BUDGET)
    goal = mo.goal()
    assert done.out.splitlines()[-1] != ""
    assert f"mo resume {goal.id} --budget USD" in done.out
    mo("resume", goal.id, "--budget", "5")
    mo.wait_for(lambda: mo.goal().state == "done")
    assert mo.goal().total().cost_usd >= 1.5
    again = mo("resume", goal.id, "--budget", "9", code=Exit.USAGE)
    assert "is not out of budget: it is done" in again.err


def test_the_demo_with_an_agent(mo: Mo, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    script(programs / "claude", SAYS, then='printf "X = 1\\n" > shop/$MO_TASK.py')
    path = f"{programs}:{mo.environ['PATH']}"
    mo.environ = {**mo.environ, "PATH": path, "MO_CLAUDE__EXECUTION_SECURITY_MODE": "trusted_local"}
    lines = mo("--json", "demo", "--agent", "claude", "--keep", str(tmp_path / "demo")).out.splitlines()
    ended = json.loads(lines[-1])
    assert (set(ended["landed"]), ended["as_expected"]) == ({"discount", "voucher", "offer"}, True)
