"""Agents that are not as they should be: stand-ins for a CLI that does this or that."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

import pytest

from mo_git.errors import Exit
from tests.agents import endings, no_bundles, run, stand_in
from tests.driver import Mo, plan, writes
from tests.transcripts import ROOT

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


INIT = """echo '{"type": "system", "subtype": "init", "session_id": "s"}'"""
TRANSCRIPT = ROOT / "claude" / "write_outside_acceptEdits.jsonl"
WORK = "echo 1 > $MO_TASK.txt"

# What the program does, and the class of its attempt.
ODD: dict[str, tuple[str, str | None]] = {
    "asks": (f"read answer || {WORK}\n{says()}", None),
    "long": (f"{WORK}\nhead -c 52428800 /dev/zero | tr '\\0' x\necho\n{says()}", None),
    "bytes": (f'{WORK}\nprintf \'\\377\\376{{\\n{{"type": "\\303\\050"}}\\n\'\n{says()}', None),
    "terse": (f"{WORK}\n{says()} | tr -d '\\n'", None),
    "chatty": (f"{WORK}\necho 'a warning'; echo '[1]'; echo null; {says(more={'a': []})}", None),
    "fails": (f"{WORK}\n{INIT}\nexit 3", "crash"),
    "dumb": (f"{WORK}", "crash"),
    "half": (f'{WORK}\n{INIT}\nprintf \'{{"type": "result", "is_er\'', "crash"),
    "dies": (f"{WORK}\nkill -SEGV $$", "crash"),
    "denied": (f"cat {shlex.quote(str(TRANSCRIPT))}", "no_change"),
}


def cases(bodies: Sequence[tuple[str, str]]) -> str:
    """One program that does for each task what stands there."""
    return "case $MO_TASK in\n" + "".join(f"{name})\n{body}\n;;\n" for name, body in bodies) + "esac"


def tasks(names: Sequence[str], **more: Any) -> list[dict[str, Any]]:
    return [{"id": one, "prompt": "x", "provider": "claude", "max_attempts": 1, **more} for one in names]


@pytest.mark.slow
def test_programs_that_say_odd_things(mo: Mo) -> None:
    use(mo, cases([(name, body) for name, (body, _) in ODD.items()]), version="no number here")
    assert "usable" in mo("agents", "list").out.splitlines()[0]
    goal = run(mo, plan(tasks(list(ODD))), code=1)
    assert endings(goal) == {
        name: ("failed" if failure else "landed", [failure]) for name, (_, failure) in ODD.items()
    }
    landed = mo.repo.tree(goal["integration"])
    for one in goal["tasks"]:
        name, kept = one["id"], one["attempts"][0]["kept"]
        assert (f"{name}.txt" in landed) == (one["state"] == "landed")
        if one["state"] == "failed" and name != "denied":  # what it did is not lost
            assert mo.repo.git("show", f"{kept}:{name}.txt") == "1"
    reasons = {one["id"]: one["reason"] for one in goal["tasks"]}
    assert reasons["denied"] == "nothing was changed; it was denied Write (attempt 1 of 1)"
    assert mo("logs", "@last/long").code == mo("logs", "@last/bytes").code == 0


@pytest.mark.slow
def test_programs_that_do_not_end(mo: Mo) -> None:
    stuck = {
        "stubborn": f"{INIT}\ntrap '' TERM\nwhile :; do sleep 0.2; done",
        "closed": f"{INIT}\nexec >&- 2>&-\nwhile :; do sleep 0.2; done",
        "silent": "while :; do sleep 0.2; done",
    }
    use(mo, cases(list(stuck.items())), agents={"first_event_seconds": 5})
    goal = run(mo, plan([*tasks(["stubborn", "closed"], timeout=4), *tasks(["silent"])]), code=1)
    assert endings(goal) == {
        "stubborn": ("failed", ["timeout"]),
        "closed": ("failed", ["timeout"]),
        "silent": ("failed", ["idle"]),
    }
    assert goal["tasks"][2]["attempts"][0]["reason"] == "did not start to answer for 5 s"
    mo.stop()
    assert mo.programs() == []


@no_bundles
def test_what_works_without_any_agent(mo: Mo) -> None:
    mo.environ = {**mo.environ, "PATH": "/usr/bin:/bin"}
    mo.configure(gate={"command": "none"})
    done = mo("do", f"@{write(mo, plan([{'id': 'a', 'prompt': 'x'}]))}", code=Exit.AGENT)
    assert done.err.startswith("mo: ")
    assert "is not installed" in done.err
    assert list((mo.home.path / "goals").iterdir()) == []
    assert run(mo, plan([{"id": "a", "run": writes("a.txt", "1\n")}]))["state"] == "done"


def write(mo: Mo, text: str) -> str:
    file = mo.repo.path.parent / "plan.json"
    file.write_text(text)
    return str(file)


@pytest.mark.slow
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
    assert "An earlier attempt was not accepted." in said
    assert "check failed, exit code 1" in said
    assert ("Its files are in the worktree" in said) == (not same_line)


def spends(tokens: int) -> str:
    """A line of sh that prints a message of claude, told with the tokens (of sonnet) that it took."""
    message = {"id": "@", "role": "assistant", "content": [], "model": "claude-sonnet-4-5"}
    event = {
        "type": "assistant",
        "message": message | {"usage": {"input_tokens": 0, "output_tokens": tokens}},
    }
    return f"printf '%s\\n' {shlex.quote(json.dumps(event))} | sed s/@/$n/"


@pytest.mark.slow
def test_many_that_spend_at_once_stop_at_the_budget(mo: Mo) -> None:
    """Each message costs 0.15 USD, and nobody would ever stop."""
    use(mo, f"{INIT}\nn=0\nwhile :; do n=$((n+1))\n{spends(10000)}\nsleep 0.05\ndone")
    goal = run(mo, plan(tasks(list("abcdef"), model="claude-sonnet-4-5")), "--budget", "2", code=Exit.BUDGET)
    assert goal["state"] == "over_budget"
    assert goal["reason"].startswith("the goal's budget of $2.00 is spent ($2.")
    assert 2 <= goal["cost_usd"] <= 2.15 + 1e-9
    assert {name for _, found in endings(goal).values() for name in found} <= {"budget", "crowded"}


FOREVER = f"{INIT}\nn=1\n{spends(10000)}\nexec sleep 600"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cancelled", "stopped", "killed"])
def test_what_an_agent_that_is_ended_has_cost_counts(mo: Mo, how: str) -> None:
    """Also where it could not tell any more."""
    use(mo, FOREVER)
    file = mo.repo.path.parent / "plan.json"
    file.write_text(plan(tasks(["a"], model="claude-sonnet-4-5", max_attempts=5)))
    mo("do", f"@{file}", "--detach")
    stream = mo.home.run_dir(mo.goal().id, "a", 1) / "stream.jsonl"
    mo.wait_for(lambda: stream.exists() and b"assistant" in stream.read_bytes())
    if how == "cancelled":
        mo("cancel", "@last")
    elif how == "stopped":
        mo("daemon", "stop")
    else:
        mo.kill()
        mo("daemon", "start")
    mo.wait_for(lambda: mo.goal().tasks["a"].attempts[0].spent.cost_usd > 0)
    assert mo.goal().tasks["a"].attempts[0].spent.cost_usd == pytest.approx(0.15)
    mo("cancel", "@last", code=None)


LIMIT = {"status": "allowed", "resetsAt": 4102444800, "rateLimitType": "five_hour", "utilization": 0.8}


@pytest.mark.slow
def test_the_rest_of_a_subscription_stays_with_the_person(mo: Mo) -> None:
    told = json.dumps({"type": "rate_limit_event", "rate_limit_info": LIMIT})
    use(mo, f"{INIT}\necho {shlex.quote(told)}\n{WORK}\n{says()}")
    file = mo.repo.path.parent / "plan.json"
    file.write_text(plan(tasks(["a", "b"])))
    mo("do", f"@{file}", "--detach", "-j", "1")
    goal = mo.goal().id
    mo.wait_for(lambda: "landed" in mo.states().values())
    why = "80% of claude's five hour limit is used, the rest is yours (quota.reserve) until 2"

    def waits() -> bool:
        found = (mo.home.read_status() or {"goals": [{}]})["goals"][0].get("waits", [])
        return any(one["why"].startswith(why) and one["tasks"] == 1 for one in found)

    mo.wait_for(waits)
    mo("daemon", "stop")
    mo("daemon", "start")  # it is known still
    mo.wait_for(waits)
    assert sorted(mo.states().values()) in (["landed", "pending"], ["landed", "ready"])
    use(mo, f"{WORK}\n{says()}", quota={"reserve": 0})
    file.write_text(plan([{"id": "other", "run": ["true"]}]))
    mo("do", f"@{file}")  # settings are read again
    mo.wait_for(lambda: set(mo.states(goal).values()) == {"landed"})
