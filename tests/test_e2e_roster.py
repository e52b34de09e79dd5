"""Declared agents at work: a program of one's own in a plan next to commands, logins, what doctor says."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mo_git.errors import Exit
from tests import need
from tests.driver import Mo, plan, writes
from tests.support import RepoBuilder
from tests.test_cli_agents import SAYS, script

pytestmark = pytest.mark.slow

# Writes the file that its prompt names; says in JSON lines what it did and what that cost.
AGENT = """\
import json, os, pathlib, re, sys
prompt = pathlib.Path(sys.argv[1]).read_text() if sys.argv[1:] else sys.stdin.read()
name = re.search(r"make (\\w+\\.py)", prompt)
if name:
    pathlib.Path(name[1]).write_text("# by %s, with %s\\n" % (os.environ.get("WHO", "nobody"), sys.argv[2:]))
print(json.dumps({"said": "made " + name[1] if name else "ready"}))
print(json.dumps({"used": {"in": 100, "out": 5}, "usd": 0.25}))
"""
FIELDS = {"text": "said", "tokens_in": "used.in", "tokens_out": "used.out", "cost": "usd"}


@pytest.fixture
def mo(repo: RepoBuilder) -> Iterator[Mo]:
    driver = Mo(repo)
    yield driver
    driver.stop()
    assert driver.programs() == []


def declare(mo: Mo, tmp_path: Path, **more: Any) -> None:
    """Settings with an agent `mine`; its program lies where the sandbox shows it."""
    program = tmp_path / "programs" / "agent.py"
    program.parent.mkdir(exist_ok=True)
    program.write_text(AGENT)
    entry = {
        "kind": "generic",
        "argv": [sys.executable, str(program), "{prompt_file}", "{model}"],
        "prompt": "file",
        "output": "jsonl",
        "default_model": "m-1",
        "env_pass": ["WHO"],
    }
    mo.environ["WHO"] = "me"
    mo.configure(
        **{
            "gate": {"command": "none"},
            "retry": {"base_seconds": 0.1},
            "sandbox": {"read": [str(program.parent)]},
            "agents.mine": {**entry, **more},
            "agents.mine.fields": FIELDS,
            "agents.mine.models": {"simple": "m-0"},
        }
    )


@pytest.mark.parametrize("mode", ["restricted", "trusted_local"])
def test_a_program_of_ones_own_works_beside_commands(mo: Mo, tmp_path: Path, mode: str) -> None:
    if mode == "restricted":
        need.require("bwrap")
    declare(mo, tmp_path, execution_security_mode=mode)
    tasks = [
        {"id": "first", "run": writes("first.txt", "1\n")},
        {"id": "second", "prompt": "make second.py", "provider": "mine", "depends_on": ["first"]},
        {
            "id": "third",
            "prompt": "make third.py",
            "depends_on": ["second"],
            "complexity": "simple",
            "check": "test -f second.py",
        },
    ]
    file = tmp_path / "plan.json"
    file.write_text(plan(tasks))
    mo("do", f"@{file}", "--phase-provider", "execute=mine")
    goal = mo.goal()
    assert mo.states() == dict.fromkeys(("first", "second", "third"), "landed")
    assert mo.repo.git("show", f"{goal.integration}:second.py") == "# by me, with ['m-1']"
    assert mo.repo.git("show", f"{goal.integration}:third.py") == "# by me, with ['m-0']"
    (row,) = mo.json("cost", "--by", "provider")["rows"]
    assert (row["key"], row["runs"], row["cost_usd"]) == ("mine", 2, 0.5)
    assert {agent["name"]: agent["usable"] for agent in mo.json("agents", "list")["agents"]}["mine"]


def test_an_agent_at_its_cap_lets_others_go_on_and_says_what_waits(mo: Mo, tmp_path: Path) -> None:
    go = tmp_path / "go"
    wait = f"cat > /dev/null; until test -e {go}; do sleep 0.05; done; touch $MO_TASK.py"
    declare(
        mo,
        tmp_path,
        argv=["sh", "-c", wait],
        prompt="stdin",
        output="text",
        max_parallel=1,
        execution_security_mode="trusted_local",
    )
    tasks: list[dict[str, Any]] = [{"id": name, "prompt": "p", "provider": "mine"} for name in "abc"]
    tasks.append({"id": "run", "run": writes("run.txt", "1\n")})
    file = tmp_path / "plan.json"
    file.write_text(plan(tasks))
    mo("do", f"@{file}", "--detach")
    mo.wait_for(lambda: mo.states().get("run") == "landed")  # a command needs no place among agents
    waits = [{"why": "1 mine agent runs already", "until": None, "tasks": 2}]
    mo.wait_for(lambda: bool(mo.json("status")["goals"][0]["waits"] == waits))
    assert "\n  2 ready tasks: 1 mine agent runs already" in mo("status").out
    go.touch()
    mo.wait_for(lambda: mo.goal().state == "done", 60)
    mo.wait_for(lambda: mo.json("status")["goals"][0]["waits"] == [])


def test_names_that_nobody_declared(mo: Mo, tmp_path: Path) -> None:
    declare(mo, tmp_path)
    file = tmp_path / "plan.json"
    file.write_text(plan([{"id": "a", "prompt": "p", "provider": "mina"}]))
    refused = mo("do", f"@{file}", code=Exit.USAGE).err
    assert 'provider: no provider "mina", did you mean "mine"?' in refused
    assert "(known: auto, claude, codex, command, mine)" in refused
    assert mo("do", "x", "--provider", "mina", code=Exit.USAGE).err.splitlines() == [
        'mo: no provider "mina", did you mean "mine"?',
        "  providers: auto, claude, codex, mine",
    ]
    wrong = mo("config", "set", "routing.phase_defaults.execute", "mina", code=Exit.CONFIG).err
    assert 'expected one of claude, codex, mine, did you mean "mine"?' in wrong
    mo("config", "set", "routing.phase_defaults.execute", "mine")
    assert mo("config", "get", "routing.phase_defaults.execute").out == "mine\n"


def test_a_proof_is_in_the_cell_and_is_counted(mo: Mo, tmp_path: Path) -> None:
    need.require("bwrap")
    look = f"cat > /dev/null; cat {mo.home.path}/local.toml 2> /dev/null || echo hidden"
    declare(mo, tmp_path, prompt="stdin", output="text", argv=["sh", "-c", look])
    assert mo.json("agents", "test", "mine")["said"] == "hidden"
    declare(mo, tmp_path, argv=["false"])
    assert "mine does not work" in mo("agents", "test", "mine", code=Exit.AGENT).err
    declare(mo, tmp_path)
    proof = mo.json("agents", "test", "mine")
    assert (proof["said"], proof["usage"]["cost_usd"]) == ("ready", 0.25)
    rows = mo.json("cost", "--by", "day")["rows"]
    assert sum(row["cost_usd"] for row in rows) == 0.25
    assert [row["key"] for row in mo.json("cost")["rows"]] == ["no goal"]
    assert mo("status").out.endswith("no goals yet: mo do starts one, mo demo shows how\n")


# -- logins -------------------------------------------------------------------------------------------


def stand_in(mo: Mo, tmp_path: Path) -> Path:
    """A claude on PATH that logs in to the directory it is given, and says then who it is."""
    programs = tmp_path / "programs"
    programs.mkdir(exist_ok=True)
    then = 'echo "$CLAUDE_CODE_OAUTH_TOKEN|$CLAUDE_CONFIG_DIR|$ANTHROPIC_API_KEY" > who'
    path = Path(script(programs / "claude", SAYS, then))
    path.write_text(
        path.read_text().replace(
            "cat > /dev/null",
            '[ "$1 $2" = "auth login" ] && { echo "{}" > "$CLAUDE_CONFIG_DIR/.credentials.json"; exit 0; }\n'
            "cat > /dev/null",
        )
    )
    mo.environ["PATH"] = f"{programs}:{mo.environ['PATH']}"
    mo.configure(
        gate={"command": "none"},
        claude={"execution_security_mode": "trusted_local"},
        **{"agents.second": {"kind": "claude"}},
    )
    return Path(os.environ["XDG_STATE_HOME"]) / "mo" / "logins"


def who(mo: Mo, provider: str) -> list[str]:
    """What a task's agent was given: token, directory, key."""
    file = mo.repo.path.parent / "plan.json"
    file.write_text(plan([{"id": "a", "prompt": "p", "provider": provider}]))
    mo("do", f"@{file}")
    return mo.repo.git("show", f"{mo.goal().integration}:who").split("|")


def test_a_login_that_mo_keeps(mo: Mo, tmp_path: Path) -> None:
    kept = stand_in(mo, tmp_path)
    assert mo("agents", "login", "second").out == (
        f"the login of second is in {kept}/second/cli; mo agents test second proves it\n"
    )
    assert stat.S_IMODE((kept / "second").stat().st_mode) == 0o700
    assert who(mo, "second") == ["", f"{kept}/second/cli", ""]
    assert "credentials: a login of its own" in mo("agents", "list").out
    assert mo("agents", "logout", "second").out == "the login of second is removed\n"
    assert mo("agents", "logout", "second").out == "mo keeps no login of second\n"
    assert who(mo, "second") == ["", "", ""]


def test_a_login_is_in_the_cell_of_its_agent_and_of_no_other(mo: Mo, tmp_path: Path) -> None:
    need.require("bwrap")
    kept = stand_in(mo, tmp_path)
    mo("agents", "login", "second")
    login = kept / "second" / "cli" / ".credentials.json"
    spy = f"cat > /dev/null; (cat {login} 2> /dev/null || echo hidden) > who"
    mo.configure(
        gate={"command": "none"},
        sandbox={"read": [str(tmp_path / "programs")]},
        **{"agents.second": {"kind": "claude"}, "agents.spy": {"kind": "generic", "argv": ["sh", "-c", spy]}},
    )
    assert who(mo, "second") == ["", f"{kept}/second/cli", ""]
    assert who(mo, "spy") == ["hidden"]


def test_a_token_is_read_from_standard_input(mo: Mo, tmp_path: Path) -> None:
    kept = stand_in(mo, tmp_path)
    mo.environ["ANTHROPIC_API_KEY"] = "of-everybody"
    done = subprocess.run(
        [sys.executable, "-P", "-m", "mo_git", "agents", "login", "second", "--token"],
        cwd=mo.repo.path,
        env=mo.environ,
        input="sk-second\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "sk-second" not in done.stdout + done.stderr
    assert stat.S_IMODE((kept / "second" / "token").stat().st_mode) == 0o600
    token, directory, key = who(mo, "second")
    assert (token, key) == ("sk-second", "")
    assert "/agents/" in directory  # sessions of its own, for the task
    assert who(mo, "claude")[0::2] == ["", "of-everybody"]


def test_what_cannot_log_in(mo: Mo, tmp_path: Path) -> None:
    stand_in(mo, tmp_path)
    mo.configure(**{"agents.mine": {"kind": "generic", "argv": ["cat"]}})
    assert mo("agents", "login", "mine").out == (
        "mine has nothing to log in: name its key in agents.mine.env_pass\n"
    )
    assert mo("agents", "login", "nobody", code=Exit.USAGE).err == (
        "mo: no agent 'nobody'\n  agents: claude, codex, mine\n"
    )
    assert mo("agents", "login", "codex", "--token", code=Exit.USAGE).err.startswith(
        "mo: codex takes no token"
    )


def test_doctor_proves_logins_and_says_what_is_around_agents(mo: Mo, tmp_path: Path) -> None:
    stand_in(mo, tmp_path)
    mo("agents", "login", "second")
    checks = mo.json("doctor", "--offline")["checks"]
    said = [check["message"] for check in checks if check["name"] == "agents"]
    claude = str(tmp_path / "programs" / "claude")
    assert said[0] == f"claude 2.9.1 {claude}; not logged in"
    assert said[-1] == f"second 2.9.1 {claude}; a login of its own (mo agents test second proves it)"
    (isolation,) = [check for check in checks if check["name"] == "isolation"]
    assert isolation["message"].startswith(("sandbox: bubblewrap ", "guard: "))
    mo("init", "--no-prove")
    document = mo.json("doctor")
    agents = [check for check in document["checks"] if check["name"] == "agents"]
    assert agents[-1]["message"] == f"second 2.9.1 {claude}; a login of its own; it works ($0.75)"
    assert document["ok"]


def test_isolation_as_the_settings_say(mo: Mo) -> None:
    mo.configure(sandbox={"mode": "off"})
    checks = {check["name"]: check for check in mo.json("doctor", "--offline", code=None)["checks"]}
    assert checks["isolation"]["level"] == "warn"
    assert checks["isolation"]["message"].startswith("guard: ")
    assert checks["isolation"]["remedy"]
