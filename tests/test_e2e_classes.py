"""Every class of failure with the real claude and codex, through `mo do`: what follows, and what is kept.

The classes of the first table come from one goal for each program; what needs settings of its own has a
test of its own.  Elsewhere: cancelled, lost and setup_failed (test_e2e_crash, test_e2e_goal), conflict and
gate_red (test_e2e_land, test_e2e_gate), budget and plans that are no plans (test_e2e_agents).
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mo_daemon.classify import SALVAGED
from mo_git.breakers import fold
from mo_git.ledger.reader import Reader
from mo_git.model import FailureClass as F
from tests.agents import AGAIN, KINDS, do, endings, keys, program, run, settings
from tests.driver import Mo, plan
from tests.stub_api import StubApi
from tests.support import RepoBuilder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

GATE = f"{sys.executable} -c 'import calc; assert calc.ONE == 1'"
HOUR = 3600

# Provider -> HTTP status and error: what the first attempt meets.
PROVIDER: dict[F, dict[str, tuple[int, dict[str, Any]]]] = {
    F.RATE_LIMIT: {
        "claude": (429, {"type": "rate_limit_error", "message": "too many"}),
        "codex": (429, {"message": "too many"}),
    },
    F.OVERLOADED: {
        "claude": (529, {"type": "overloaded_error", "message": "busy"}),
        "codex": (503, {"message": "busy"}),
    },
    F.PROVIDER_DOWN: {
        "claude": (500, {"type": "api_error", "message": "oops"}),
        "codex": (500, {"message": "oops"}),
    },
    F.CONTEXT_OVERFLOW: {
        "claude": (
            400,
            {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"},
        ),
        "codex": (
            400,
            {
                "message": "Your input exceeds the context window of this model.",
                "type": "invalid_request_error",
                "param": "input",
                "code": "context_length_exceeded",
            },
        ),
    },
    F.AUTH: {
        "claude": (401, {"type": "authentication_error", "message": "invalid x-api-key"}),
        "codex": (401, {"message": "no"}),
    },
    F.NO_CREDIT: {
        "claude": (
            400,
            {"type": "invalid_request_error", "message": "Your credit balance is too low to go on."},
        ),
        "codex": (429, {"message": "quota", "type": "insufficient_quota", "code": "insufficient_quota"}),
    },
    F.BAD_MODEL: {
        "claude": (404, {"type": "not_found_error", "message": "model: x"}),
        "codex": (
            404,
            {
                "message": "The model `x` does not exist or you do not have access to it.",
                "code": "model_not_found",
            },
        ),
    },
}
FINAL = {F.AUTH, F.NO_CREDIT, F.BAD_MODEL}


@dataclass(frozen=True)
class Row:
    """A task whose first attempt fails.  `steps` come after it did half of its work."""

    steps: tuple[Mapping[str, Any], ...]
    classes: tuple[F | None, ...]
    more: Mapping[str, Any] = field(default_factory=dict)
    half: bool = True  # half of the work is done before


def fault(kind: str, failure: F) -> dict[str, Any]:
    status, error = PROVIDER[failure][kind]
    return {"status": status, "error": error, **({} if failure in FINAL else {"until": AGAIN})}


def usage_limit(kind: str, at: int) -> dict[str, Any]:
    if kind == "codex":
        return {"status": 429, "error": {"type": "usage_limit_reached", "message": "limit", "resets_at": at}}
    name = "anthropic-ratelimit-unified"
    headers = {f"{name}-status": "rejected", f"{name}-reset": str(at), "x-should-retry": "false"}
    headers[f"{name}-representative-claim"] = "five_hour"
    return {"status": 429, "error": {"type": "rate_limit_error", "message": "limit"}, "headers": headers}


def of_the_program(kind: str) -> dict[str, Row]:
    """What differs from program to program."""
    rows = {
        str(failure): Row(
            (fault(kind, failure),),
            (failure,) if failure in FINAL else (failure, None),
            # In the midst of its work claude makes room by itself.
            half=(kind, failure) != ("claude", F.CONTEXT_OVERFLOW),
        )
        for failure in PROVIDER
    }
    child = f"tail -f /dev/null child-of-{kind}"  # claude refuses to sleep
    return rows | {
        "network": Row(({"drop": True, "until": AGAIN},), (F.NETWORK, None)),
        "timeout": Row(({"hang": "before"},), (F.TIMEOUT,), {"timeout": 20, "max_attempts": 1}),
        "crash": Row(({"run": child, "until": AGAIN},), (F.CRASH, None)),
        "denied": Row(({"write": ["/etc/mo.txt", "x"]}, {"say": "x"}), (F.NO_CHANGE,) * 2, half=False),
        "no_change": Row(({"say": "I did it all."},), (F.NO_CHANGE,) * 2, half=False),
    }


def once(command: str) -> dict[str, Any]:
    return {"run": command, "until": AGAIN}


MARKERS = "printf '<<<<<<< a\\nx\\n=======\\ny\\n>>>>>>> b\\n' > c.txt"
# What the daemon finds by itself, whoever did it.
BY_LOOKING = {
    "scope": Row(
        (once("echo x > other.txt"),), (F.SCOPE, None), {"writes": ["scope.txt"], "scope": "enforce"}, False
    ),
    "secrets": Row((once("echo AKIA''QWERTYUIOPASDF23 > key.txt"),), (F.SECRETS, None)),
    "isolation_breach": Row((once("git init -q inner"),), (F.ISOLATION_BREACH, None)),
    "invalid_output": Row(  # its files are there again, to be corrected
        (once(MARKERS), {"run": "rm c.txt", "when": AGAIN}), (F.INVALID_OUTPUT, None)
    ),
    "check_failed": Row(
        ({"say": "Done.", "until": AGAIN},), (F.CHECK_FAILED, None), {"check": "test -e check_failed.txt"}
    ),
}


def task(kind: str, name: str, row: Row) -> dict[str, Any]:
    half = [once(f"echo half > half-{name}.txt")] if row.half else []
    steps = [*half, *row.steps, {"run": f"echo whole > {name}.txt"}, {"say": "Done."}]
    return {"id": name, "provider": kind, "prompt": do(*steps), **row.more}


def children(mark: str) -> list[int]:
    """Processes with this text on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if words.startswith(b"tail\0") and mark.encode() in words:
                found.append(int(entry.name))
    return found


def program_above(pid: int, kind: str) -> int:
    """The process of the CLI that started this one."""
    name = os.path.realpath(program(kind))
    while pid > 1:
        if os.readlink(f"/proc/{pid}/exe") == name:
            return pid
        stat = Path(f"/proc/{pid}/stat").read_text()
        pid = int(stat.rpartition(")")[2].split()[1])
    raise AssertionError(f"no {kind} above")


@pytest.fixture
def agents(repo: RepoBuilder, api: StubApi, mode: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mo]:
    for key, value in keys(api).items():
        monkeypatch.setenv(key, value)
    driver = Mo(repo)
    repo.commit({"calc.py": "ONE = 1\n"})
    configure(driver, api)
    yield driver
    driver.stop()
    assert driver.programs() == []


def configure(mo: Mo, api: StubApi, **tables: Mapping[str, Any]) -> None:
    """Settings with a few of their tables changed."""
    given = {"gate": {"command": GATE}, **settings(api, "restricted")}
    given |= {name: {**given.get(name, {}), **keys} for name, keys in tables.items()}
    mo.configure(**given)


@pytest.mark.parametrize("kind", KINDS)
def test_each_class_and_what_follows(agents: Mo, kind: str) -> None:
    rows = of_the_program(kind) | (BY_LOOKING if kind == "codex" else {})
    file = agents.repo.path.parent / "plan.json"
    file.write_text(plan([task(kind, name, row) for name, row in rows.items()]))
    agents("do", f"@{file}", "--detach", "-j", "4")

    mark = f"child-of-{kind}"
    agents.wait_for(lambda: bool(children(mark)), 60)
    os.kill(program_above(children(mark)[0], kind), signal.SIGKILL)
    agents.wait_for(lambda: not children(mark), 60)
    agents.wait_for(lambda: agents.goal().state == "failed", 120)

    goal = agents.json("show", "@last")["goal"]
    expected = {
        name: ("landed" if row.classes[-1] is None else "failed", [one and str(one) for one in row.classes])
        for name, row in rows.items()
    }
    assert endings(goal) == expected

    told = agents("show", "@last/context_overflow#2", "--prompt").out
    assert "ran out of context" in told
    assert ("A half-context_overflow.txt" in told) == rows["context_overflow"].half

    landed = agents.repo.tree(goal["integration"])
    for one in goal["tasks"]:
        name, row = one["id"], rows[one["id"]]
        first = one["attempts"][0]
        if row.half:  # nothing that it did is lost, and what follows from a stop goes on from there
            assert agents.repo.git("show", f"{first['kept']}:half-{name}.txt") == "half"
            went_on = row.classes[0] in SALVAGED and one["state"] == "landed"
            assert (f"half-{name}.txt" in landed) == went_on, name
        assert (f"{name}.txt" in landed) == (one["state"] == "landed"), name
        assert all(later["started_at"] >= first["ended_at"] for later in one["attempts"][1:])
    assert not {"key.txt", "c.txt", "other.txt"} & landed.keys()
    assert not Path("/etc/mo.txt").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_usage_limit_closes_its_provider_and_no_other(agents: Mo, api: StubApi, kind: str) -> None:
    """Until the reset, also across a restart; whoever may choose takes another one."""
    reset = int(time.time()) + HOUR
    if kind == "claude":  # only subscriptions tell when a limit ends
        agents.environ = {**agents.environ, "CLAUDE_CODE_OAUTH_TOKEN": "test-token"}
        del agents.environ["ANTHROPIC_API_KEY"]
    configure(agents, api, **{"routing.phase_defaults": {"execute": kind}})
    go = agents.repo.path.parent / "go"
    (other,) = set(KINDS) - {kind}

    def after(name: str, provider: str) -> dict[str, Any]:
        steps = {"run": f"echo x > {name}.txt"}, {"say": "Done."}
        return {"id": name, "provider": provider, "prompt": do(*steps), "depends_on": ["go"]}

    tasks = [
        {"id": "limited", "provider": kind, "prompt": do(usage_limit(kind, reset))},
        {"id": "go", "run": ["sh", "-c", f"until test -e {go}; do sleep 0.05; done; echo > go.txt"]},
        *(after("named", kind), after("other", other), after("auto", "auto")),
    ]
    file = agents.repo.path.parent / "plan.json"
    file.write_text(plan(tasks))
    agents("do", f"@{file}", "--detach")
    agents.wait_for(lambda: agents.states().get("limited") == "waiting", 60)
    go.touch()
    agents.wait_for(lambda: {agents.states()[name] for name in ("other", "auto")} == {"landed"}, 90)

    def waits() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = agents.json("status")["goals"][0]["waits"]
        return found

    agents.wait_for(lambda: bool(waits()), 30)
    (wait,) = waits()
    assert (wait["why"], wait["tasks"]) == (f"{kind}: usage limit", 1)
    assert reset <= wait["until"] < reset + 62  # codex tells the minute
    agents("daemon", "stop")
    agents("daemon", "start")
    agents.wait_for(lambda: waits() == [wait], 30)
    shown = {one["id"]: one for one in agents.json("show", "@last")["goal"]["tasks"]}
    assert shown["named"]["waits"] == {"why": wait["why"], "until": wait["until"]}
    assert [one["class"] for one in shown["limited"]["attempts"]] == ["usage_limit"]
    assert shown["limited"]["waits"]["until"] >= reset
    assert (shown["named"]["attempts"], shown["auto"]["attempts"][0]["provider"]) == ([], other)
    agents("cancel", "@last")
    agents.wait_for(lambda: agents.goal().state == "cancelled", 60)


def test_a_wait_that_the_provider_names_holds_for_all(agents: Mo, api: StubApi) -> None:
    """Also while the program that met it sits still and will try again by itself."""
    error = {"type": "rate_limit_error", "message": "too many"}
    limited = do({"status": 429, "error": error, "headers": {"retry-after": "60"}})
    go = agents.repo.path.parent / "go"
    tasks = [
        {"id": "limited", "provider": "claude", "prompt": limited},
        {"id": "go", "run": ["sh", "-c", f"until test -e {go}; do sleep 0.05; done; echo > go.txt"]},
        {"id": "next", "provider": "claude", "prompt": limited, "depends_on": ["go"]},
    ]
    file = agents.repo.path.parent / "plan.json"
    file.write_text(plan(tasks))
    began = time.time()
    agents("do", f"@{file}", "--detach")
    agents.wait_for(lambda: any("claude" in key for key in known(agents)), 60)
    go.touch()
    agents.wait_for(lambda: bool(agents.json("status")["goals"][0]["waits"]), 60)
    (wait,) = agents.json("status")["goals"][0]["waits"]
    assert (wait["why"], wait["tasks"]) == ("claude: rate limit", 1)
    assert began + 60 <= wait["until"] <= time.time() + 75
    assert "1 ready task: claude: rate limit until " in agents("status").out
    assert agents.states()["limited"] == "running"
    assert agents.goal().tasks["next"].attempts == []
    agents("cancel", "@last")
    agents.wait_for(lambda: agents.goal().state == "cancelled", 60)


def known(mo: Mo) -> Mapping[str, Any]:
    """Agents of which something was heard, with their breakers."""
    reader = Reader.open(mo.home.database)
    assert reader is not None
    try:
        return fold(reader.answers(0))
    finally:
        reader.close()


def test_another_provider_takes_over(agents: Mo, api: StubApi) -> None:
    """At once where the first one cannot work here, after three times where its server is in trouble."""
    configure(agents, api, **{"routing.phase_defaults": {"execute": "claude"}})
    tasks = []
    for failure in (F.AUTH, F.NO_CREDIT, F.BAD_MODEL, F.OVERLOADED):
        status, error = PROVIDER[failure]["claude"]
        steps = {"status": status, "error": error, "api": "messages"}, {"run": f"echo x > {failure}.txt"}
        tasks.append({"id": str(failure), "provider": "auto", "prompt": do(*steps)})
    goal = run(agents, plan(tasks))
    assert endings(goal) == {
        **{str(one): ("landed", [str(one), None]) for one in (F.AUTH, F.NO_CREDIT, F.BAD_MODEL)},
        "overloaded": ("landed", ["overloaded"] * 3 + [None]),
    }
    assert {one["attempts"][-1]["provider"] for one in goal["tasks"]} == {"codex"}


def test_a_program_that_does_not_know_its_flags(agents: Mo, api: StubApi) -> None:
    configure(
        agents, api, claude={"extra_args": ["--no-such-flag"]}, codex={"extra_args": ["--no-such-flag"]}
    )
    tasks = [{"id": kind, "provider": kind, "prompt": "x"} for kind in KINDS]
    goal = run(agents, plan(tasks), code=4)
    assert endings(goal) == dict.fromkeys(KINDS, ("failed", ["bad_config"]))
    assert all("--no-such-flag" in one["reason"] for one in goal["tasks"])


def test_a_provider_that_is_not_there(agents: Mo, api: StubApi) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
    agents.environ = {**agents.environ, "ANTHROPIC_BASE_URL": nobody}
    config = [text.replace(api.url, nobody) for text in api.codex_settings()]
    configure(agents, api, codex={"config": config})
    tasks = [{"id": kind, "provider": kind, "prompt": "x", "max_attempts": 2} for kind in KINDS]
    goal = run(agents, plan(tasks), code=1)
    assert endings(goal) == dict.fromkeys(KINDS, ("failed", ["network"] * 2))


def test_a_provider_that_falls_silent(agents: Mo, api: StubApi) -> None:
    configure(agents, api, agents={"idle_seconds": 6}, retry={"same_way": 0})
    tasks = [
        {"id": f"{kind}-{when}", "provider": kind, "prompt": do({"hang": when})}
        for kind in KINDS
        for when in ("before", "within")
    ]
    goal = run(agents, plan(tasks), code=1)
    assert endings(goal) == {one["id"]: ("failed", ["idle"]) for one in tasks}
    assert {one["reason"] for one in goal["tasks"]} == {"said nothing for 6 s"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_planner_whose_answer_is_no_json(agents: Mo, kind: str) -> None:
    agents("do", "--provider", kind, do({"say": "First I would look around."}), code=5, timeout=150)
    goal = agents.goal()
    assert (goal.state, goal.plan.tasks) == ("halted", ())
    assert kind in goal.reason


def test_every_class_has_its_proof() -> None:
    here = {failure for kind in KINDS for row in of_the_program(kind).values() for failure in row.classes}
    here |= {failure for row in BY_LOOKING.values() for failure in row.classes}
    elsewhere = {F.CANCELLED, F.LOST, F.SETUP_FAILED, F.CONFLICT, F.GATE_RED, F.BUDGET, F.REVIEW_REJECTED}
    elsewhere |= {F.CROWDED}
    assert here | elsewhere | {F.BAD_CONFIG, F.IDLE, F.USAGE_LIMIT} == {*F, None}
