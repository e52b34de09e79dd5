"""Agents that are not as they should be: stand-ins for a CLI that does this or that."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from tests.agents import endings, stand_in
from tests.driver import Mo, plan

RESULT = {"type": "result", "subtype": "success", "is_error": False, "result": "done", "session_id": "s"}
USAGE = {"total_cost_usd": 0.5, "usage": {"input_tokens": 900, "output_tokens": 20}}


def says(**event: Any) -> str:
    """A line of sh that prints the final event of claude."""
    return f"printf '%s\\n' {shlex.quote(json.dumps(RESULT | USAGE | event))}"


def use(mo: Mo, body: str, version: str = "2.9.1", **tables: Any) -> None:
    """A stand-in for claude; its standard input is read to the end before `body` runs."""
    program = mo.repo.path.parent / "programs" / "claude"
    command = stand_in(program, f"prompt=$(cat)\n{body}", version)
    mo.configure(
        gate={"command": "none"},
        claude={"command": command, "execution_security_mode": "trusted_local"},
        retry={"base_seconds": 0.01},
        **tables,
    )


def one(**more: Any) -> str:
    return plan([{"id": "a", "prompt": "Do a.", "provider": "claude", "max_attempts": 1, **more}])


@pytest.mark.parametrize("same_line", [False, True])
def test_work_that_goes_on_takes_nothing_back(mo: Mo, same_line: bool) -> None:
    """The first attempt of `late` fails its check when `early` has landed; the second goes on from both."""
    landed = mo.repo.path.parent / "landed"
    changes = "echo late > README.md" if same_line else "echo half > half.txt"
    use(
        mo,
        f"""case $MO_TASK-$MO_ATTEMPT_NUMBER in
early-*) echo early > README.md ;;
late-1) {changes}; while [ ! -e {shlex.quote(str(landed))} ]; do sleep 0.05; done ;;
late-2) echo whole > whole.txt ;;
esac
{says()}""",
    )
    file = mo.repo.path.parent / "plan.json"
    tasks = [{"id": name, "prompt": "Do it.", "provider": "claude"} for name in ("early", "late")]
    file.write_text(plan([tasks[0], {**tasks[1], "check": "test -e whole.txt"}]))
    mo("do", f"@{file}", "--detach")
    mo.wait_for(lambda: mo.states().get("early") == "landed", 60)
    landed.touch()
    mo.wait_for(lambda: mo.goal().state == "done", 60)
    goal = mo.json("show", "@last")["goal"]
    assert endings(goal)["late"] == ("landed", ["check_failed", None])
    half = {} if same_line else {"half.txt": "half"}
    assert mo.repo.tree(goal["integration"]) == {"README.md": "early", "whole.txt": "whole", **half}
    said = mo("show", "@last/late", "--prompt").out
    assert "An earlier attempt was not accepted: check failed" in said
    assert ("Its files are in the worktree" in said) == (not same_line)
