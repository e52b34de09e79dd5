"""Kill anything, any time: after a restart the end is one that an uninterrupted run could have reached."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from mo_git.ledger.records import goal_to_data
from mo_git.ledger.writer import Ledger
from mo_git.lifecycle import has_ended
from mo_git.model import GoalSpec, Kind, Plan, TaskSpec
from tests.crash import Forge
from tests.driver import Mo

SOAK = bool(os.environ.get("MO_SOAK"))


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    with Forge() as made:
        yield made


def sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


# `b` needs `a`; `a` and `c` change the same line, so that one of them is done twice.
SMALL = Plan(
    "small",
    (
        TaskSpec("a", run=sh("echo a >> shared.txt")),
        TaskSpec("b", run=sh("echo b > b.txt"), depends_on=("a",)),
        TaskSpec("c", run=sh("echo c >> shared.txt")),
    ),
    check="test -e b.txt",
)


def queue_small(mo: Mo) -> str:
    """Put the goal into the inbox of a repository whose daemon ends when nothing is left to do."""
    mo.repo.commit({"shared.txt": "one\n"})
    mo.configure(
        gate={"command": "test -e README.md", "proof": "off"},
        daemon={"idle_minutes": 0},
        orchestrator={"max_parallel": 2, "tick_seconds": 0.2},
    )
    mo.home.create()
    environment = {"PATH": os.environ["PATH"]}
    spec = GoalSpec(
        "small-0001", "small", SMALL, 1.0, mo.repo.head(), "main", "merge", environment=environment
    )
    mo.home.drop("do", {"goal": goal_to_data(spec)})
    return spec.id


def facts(mo: Mo, goal: str) -> Counter[tuple[str, str]]:
    """(kind, task) -> how often it was recorded."""
    ledger = Ledger(mo.home.database)
    try:
        return Counter((fact.kind, fact.task) for fact in ledger.facts(goal))
    finally:
        ledger.close()


def assert_landed_once(mo: Mo, goal: str, tasks: Mapping[str, Any] | tuple[str, ...]) -> None:
    """Each task has one `landed` fact and one merge commit; records, refs and processes agree."""
    status = mo.goal(goal)
    assert {name: str(task.state) for name, task in status.tasks.items()} == dict.fromkeys(tasks, "landed")
    recorded = facts(mo, goal)
    assert {task: n for (kind, task), n in recorded.items() if kind == Kind.LANDED} == dict.fromkeys(tasks, 1)
    integration = f"mo/{goal}/integration"
    trailer = "--format=%(trailers:key=Mo-Task,valueonly,separator=%x2C)"
    merged = mo.repo.git("log", "--first-parent", "--merges", trailer, f"{status.base}..{integration}")
    assert sorted(merged.split()) == sorted(tasks)
    assert mo.repo.head(integration) == status.integration
    good = mo.repo.git("for-each-ref", "--format=%(objectname)", f"refs/mo/{goal}/good").split()
    assert sorted(good) == sorted(landing["commit"] for landing in status.landings)
    assert mo.programs() == []
    ledger = Ledger(mo.home.database)
    try:
        assert ledger.programs() == []
        assert ledger.unsettled() == []
    finally:
        ledger.close()
    assert [entry.name for entry in mo.home.inbox.iterdir()] == []


def assert_small_is_done(mo: Mo, goal: str) -> None:
    status = mo.goal(goal)
    assert (str(status.state), status.reason) == ("done", ""), mo.log()[-4000:]
    assert_landed_once(mo, goal, ("a", "b", "c"))
    tree = mo.repo.tree(f"mo/{goal}/integration")
    assert tree.pop("shared.txt") in ("one\na\nc", "one\nc\na")
    assert tree == {"README.md": "hello", "b.txt": "b"}
    assert mo.repo.head("main") == status.integration  # deliver = merge
    assert mo.repo.git("status", "--porcelain") == ""
    assert status.pending_operations() == []


def finish(forge: Forge, mo: Mo, goal: str) -> None:
    code, _ = forge.daemon(mo.repo.path)
    assert code == 0, mo.log()[-3000:]
    assert has_ended(mo.goal(goal)), mo.log()[-3000:]


# -- crash points ---------------------------------------------------------------------------------------------

FACTS = (
    "gate_proved goal_started",
    "attempt_started",
    "agent_ended",
    "candidate",
    "gate_started",
    "gate_run",
    "landing_intent",
    "landing landed",
    "retry_scheduled",
    "goal_checked",
    "goal_ended operation_requested",
    "operation_ended",
)
EFFECTS = ("request recorded", "request file gone", "ref base", "ref task", "ref integration", "ref good")
INSTANTS = [f"{when} {what}" for what in (*FACTS, *EFFECTS, "ref notes", "start of sh") for when in ("before", "after")]
# Each of these leaves records, refs and programs in another state; the others lie beside one of them.
TELLING = {
    *("after request recorded", "after ref base", "after gate_proved goal_started", "after attempt_started"),
    *("after ref task", "after start of sh", "after agent_ended", "before candidate", "after candidate"),
    *("after retry_scheduled", "after gate_started", "after landing_intent", "after ref integration"),
    *("after ref good", "after landing landed", "after goal_ended operation_requested"),
    *("before operation_ended", "after operation_ended"),
}


@pytest.mark.parametrize(
    "instant", [name if name in TELLING else pytest.param(name, marks=pytest.mark.slow) for name in INSTANTS]
)
def test_a_kill_at_this_instant_changes_nothing(forge: Forge, mo: Mo, instant: str) -> None:
    goal = queue_small(mo)
    code, instants = forge.daemon(mo.repo.path, instant)
    assert (code, instants[-1]) == (-9, instant)
    finish(forge, mo, goal)
    assert_small_is_done(mo, goal)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_kill_at_any_step_changes_nothing(
    forge: Forge, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every write, rename, transaction and start of a program is an instant; MO_SOAK=1 tries them all."""
    from tests.support import RepoBuilder

    chosen = random.Random(20)
    seconds, tried, killed, kills, step = time.monotonic(), 0, 0, 0, 0
    while True:
        step += 1 if SOAK else chosen.randrange(10, 40)
        mo = Mo(RepoBuilder.create(tmp_path_factory.mktemp("kill") / "repo", {"README.md": "hello\n"}))
        goal = queue_small(mo)
        code, instants = forge.daemon(mo.repo.path, "step", step)
        tried += 1
        if code == 0:
            break
        killed += 1
        again = chosen.randrange(1, 400)
        code, _ = forge.daemon(mo.repo.path, "step", again)  # and once more, in the middle of the recovery
        kills += 1 + (code != 0)
        try:
            finish(forge, mo, goal)
            assert_small_is_done(mo, goal)
        except AssertionError as error:
            raise AssertionError(f"step {step} ({instants[-1]}), then step {again}: {error}") from error
    with capsys.disabled():
        spent = time.monotonic() - seconds
        print(f"\nkilled at {killed} of {step} steps, {kills} kills, in {spent:.0f} s: all runs ended alike")
