"""Kill anything, any time: after a restart the end is one that an uninterrupted run could have reached."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from mo_git.errors import Exit
from mo_git.home import state_dir as home_state_dir
from mo_git.ledger.reader import Reader
from mo_git.ledger.records import goal_to_data
from mo_git.ledger.writer import Ledger
from mo_git.lifecycle import has_ended
from mo_git.model import GoalSpec, Kind, Plan, TaskSpec
from mo_git.process import identify, is_alive
from tests.crash import Forge
from tests.driver import Mo, plan
from tests.support import RepoBuilder

pytestmark = pytest.mark.slow

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


# -- crash points --------------------------------------------------------------------------------------

FACTS = (
    "goal_started",
    "gate_proved",
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
INSTANTS = [
    f"{when} {what}"
    for what in (*FACTS, *EFFECTS, "ref notes", "start of sh")
    for when in ("before", "after")
]


@pytest.mark.parametrize("instant", INSTANTS)
def test_a_kill_at_this_instant_changes_nothing(forge: Forge, mo: Mo, instant: str) -> None:
    goal = queue_small(mo)
    code, instants = forge.daemon(mo.repo.path, instant)
    assert (code, instants[-1]) == (-9, instant)
    finish(forge, mo, goal)
    assert_small_is_done(mo, goal)


@pytest.mark.timeout(3600)
def test_a_kill_at_any_step_changes_nothing(
    forge: Forge, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every write, rename, transaction and start of a program is an instant; MO_SOAK=1 tries them all."""
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


# -- what people ask for, on a goal with a red task ---------------------------------------------------

RED = Plan(
    "red",
    (
        TaskSpec("a", run=sh("echo a > a.txt")),
        TaskSpec("b", run=sh("echo b > b.txt"), depends_on=("a",)),
        TaskSpec("bad", run=sh("echo x > red")),
        TaskSpec("after", run=sh("true"), depends_on=("bad",)),
    ),
)
TAKEN_BACK = "landing ejected ejected operation_ended"


def ask_for_a_rollback(forge: Forge, mo: Mo) -> tuple[str, str]:
    """A goal that ended, and a request in the inbox; their names."""
    mo.configure(
        gate={"command": "test ! -e red", "proof": "off"},
        daemon={"idle_minutes": 0},
        orchestrator={"tick_seconds": 0.2},
    )
    mo.home.create()
    environment = {"PATH": os.environ["PATH"]}
    spec = GoalSpec("red-0001", "red", RED, 1.0, mo.repo.head(), "main", environment=environment)
    mo.home.drop("do", {"goal": goal_to_data(spec)})
    finish(forge, mo, spec.id)
    assert mo.states(spec.id) == {"a": "landed", "b": "landed", "bad": "ejected", "after": "skipped"}
    return spec.id, mo.home.drop("rollback", {"goal": spec.id, "task": "a", "with_dependents": True})


def assert_taken_back_once(mo: Mo, goal: str, request: str) -> None:
    status = mo.goal(goal)
    assert mo.states(goal) == {"a": "ejected", "b": "ejected", "bad": "ejected", "after": "skipped"}
    assert [landing["purpose"] for landing in status.landings] == ["task", "task", "rollback"]
    assert mo.repo.tree(f"mo/{goal}/integration") == {"README.md": "hello"}
    assert mo.repo.head(f"mo/{goal}/integration") == status.integration
    assert mo.repo.git("rev-list", "--count", f"{status.base}..mo/{goal}/integration") == "5"
    reader = Reader(mo.home.database)
    answer = reader.outcome(request)
    reader.close()
    assert answer is not None
    assert (answer["ok"], answer["message"]) == (True, "took back b, a; gate green")
    assert mo.programs() == []


@pytest.mark.parametrize(
    "instant",
    [f"before {TAKEN_BACK}", "after ref integration"]
    + [
        f"after {name}" for name in ("request recorded", "gate_run", "landing_intent", "ref good", TAKEN_BACK)
    ],
)
def test_a_kill_at_this_instant_of_a_rollback(forge: Forge, mo: Mo, instant: str) -> None:
    goal, request = ask_for_a_rollback(forge, mo)
    code, instants = forge.daemon(mo.repo.path, instant)
    assert (code, instants[-1]) == (-9, instant)
    finish(forge, mo, goal)
    assert_taken_back_once(mo, goal, request)


@pytest.mark.timeout(3600)
def test_a_kill_at_any_step_of_a_rollback(
    forge: Forge, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen, step, killed = random.Random(3), 0, 0
    while True:
        step += 1 if SOAK else chosen.randrange(5, 25)
        mo = Mo(RepoBuilder.create(tmp_path_factory.mktemp("back") / "repo", {"README.md": "hello\n"}))
        goal, request = ask_for_a_rollback(forge, mo)
        code, instants = forge.daemon(mo.repo.path, "step", step)
        if code == 0:
            break
        killed += 1
        try:
            finish(forge, mo, goal)
            assert_taken_back_once(mo, goal, request)
        except AssertionError as error:
            raise AssertionError(f"step {step} ({instants[-1]}): {error}") from error
    with capsys.disabled():
        print(f"\nkilled at {killed} of {step} steps of a rollback: all ended alike")


# -- a goal that goes back to its best commit ----------------------------------------------------------

SIZES = ("81", "80.6", "80.2")  # each loss is within the tolerance of 0.5, both together are not
FALLING = Plan(
    "falling",
    tuple(
        TaskSpec(f"t{n}", run=sh(f"echo {size} > size"), depends_on=(f"t{n - 1}",) if n else ())
        for n, size in enumerate(SIZES)
    ),
)
GONE_BACK = "landing ejected ejected goal_scored"


@pytest.mark.parametrize(
    ("instant", "nth"),
    [
        ("after ref integration", len(SIZES) + 1),
        ("after landing_intent", len(SIZES) + 1),
        (f"before {GONE_BACK}", 1),
        (f"after {GONE_BACK}", 1),
    ],
)
def test_a_kill_on_the_way_back_to_the_best_commit(forge: Forge, mo: Mo, instant: str, nth: int) -> None:
    mo.repo.commit({"size": "80\n"})
    mo.configure(
        gate={"command": "test -e size", "proof": "off"},
        daemon={"idle_minutes": 0},
        orchestrator={"tick_seconds": 0.2},
    )
    local = mo.repo.path / ".mo" / "local.toml"
    local.write_text(f'{local.read_text()}[metrics.size]\ncommand = "cat size"\ntolerance = 0.5\n')
    mo.home.create()
    environment = {"PATH": os.environ["PATH"]}
    spec = GoalSpec("fall-0001", "fall", FALLING, 1.0, mo.repo.head(), "main", environment=environment)
    mo.home.drop("do", {"goal": goal_to_data(spec)})
    code, instants = forge.daemon(mo.repo.path, instant, nth)
    assert (code, instants[-1]) == (-9, instant)
    finish(forge, mo, spec.id)
    goal = mo.goal(spec.id)
    assert (str(goal.state), goal.reason.partition(":")[0]) == (
        "failed",
        "metrics deteriorated over the goal",
    )
    assert mo.states(spec.id) == {"t0": "landed", "t1": "ejected", "t2": "ejected"}
    assert [landing["purpose"] for landing in goal.landings] == [*["task"] * len(SIZES), "deterioration"]
    assert [score["commit"] for score in goal.scores] == [goal.integration]
    assert mo.repo.head(f"mo/{spec.id}/integration") == goal.integration
    assert mo.repo.tree(goal.integration)["size"] == "81"
    assert mo.programs() == []


# -- real processes -----------------------------------------------------------------------------------

# Writes a part, starts what a kill of the leader leaves behind (a plain child, one in a session of its own, a
# daemon that ignores SIGTERM), and finishes the file.
AGENT = """
import os, subprocess, sys, time
name = sys.argv[1]
print("part", file=open(name, "w"), flush=True)
sleep = [sys.executable, "-c", "import time; time.sleep(300)"]
subprocess.Popen(sleep)
subprocess.Popen(sleep, start_new_session=True)
stubborn = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " \
    "os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); time.sleep(300)"
subprocess.run([sys.executable, "-c", stubborn])
time.sleep(float(sys.argv[2]))
print("whole", file=open(name, "a"))
"""
GATE = "for file in part-*; do test ! -e $file || grep -q whole $file || exit 1; done"


def queue_ten(mo: Mo, seconds: float = 0.2) -> str:
    """Queue ten tasks (a chain of three, a diamond, three independents) that leave processes behind."""
    mo.repo.commit({"agent.py": AGENT})
    mo.configure(
        gate={"command": GATE, "proof": "off"},
        orchestrator={"max_parallel": 4, "tick_seconds": 0.2},
    )
    needs = {"b": "a", "c": "b", "e": "d", "f": "d", "g": "ef"}
    tasks = [
        {
            "id": name,
            "run": [sys.executable, "agent.py", f"part-{name}", str(seconds)],
            "depends_on": list(needs.get(name, "")),
        }
        for name in TEN
    ]
    file = mo.repo.path.parent / "plan.json"
    file.write_text(plan(tasks))
    mo("do", f"@{file}", "--detach")
    return mo.goal().id


TEN = tuple("abcdefghij")
TEN_FILES = {f"part-{name}": "part\nwhole" for name in TEN}


def assert_ten_are_done(mo: Mo, goal: str) -> None:
    status = mo.goal(goal)
    assert (str(status.state), status.reason) == ("done", ""), mo.log()[-4000:]
    mo.stop()
    assert_landed_once(mo, goal, TEN)
    tree = mo.repo.tree(f"mo/{goal}/integration")
    assert {name: text for name, text in tree.items() if name.startswith("part-")} == TEN_FILES


def assert_work_is_kept(mo: Mo, goal: str) -> int:
    """What attempts left that were killed at work is under refs/mo/keep; how many there were."""
    count = 0
    for name, task in mo.goal(goal).tasks.items():
        for attempt in task.attempts:
            if attempt.failure == "lost" and attempt.kept:
                assert mo.repo.tree(attempt.kept)[f"part-{name}"] in ("part", "part\nwhole")
                count += 1
    return count


def test_kill_9_in_the_middle_of_ten_tasks(mo: Mo) -> None:
    goal = queue_ten(mo, 1.0)

    def in_the_middle() -> bool:
        states = mo.states(goal)
        landed = sum(state == "landed" for state in states.values())
        running = [name for name, state in states.items() if state == "running"]
        parts = [name for name in running if any(state_dir(mo).glob(f"tasks/*/part-{name}"))]
        return landed >= 2 and len(parts) >= 2

    mo.wait_for(in_the_middle)
    before = {name: task.attempt for name, task in mo.goal(goal).tasks.items() if task.state == "running"}
    mo.kill()
    assert len(mo.programs()) >= 2  # agents live on without their daemon
    mo("daemon", "start")
    mo.wait_for(lambda: has_ended(mo.goal(goal)), 60)
    assert_ten_are_done(mo, goal)
    assert assert_work_is_kept(mo, goal) >= 2
    after = {name: task.attempt for name, task in mo.goal(goal).tasks.items()}
    assert all(after[name] == n + 1 for name, n in before.items())


@pytest.mark.timeout(3600)
def test_kill_9_again_and_again(mo: Mo, capsys: pytest.CaptureFixture[str]) -> None:
    """The daemon is killed at random moments until the goal is done."""
    chosen = random.Random(7)
    goals, kills, kept, begun = 0, 0, 0, time.monotonic()
    while goals < (12 if SOAK else 2):
        goal = queue_ten(mo)
        while not has_ended(mo.goal(goal)):
            time.sleep(chosen.uniform(0.05, 1.5))
            if mo.daemon() is not None:
                mo.kill()
                kills += 1
            mo("daemon", "start")
        assert_ten_are_done(mo, goal)
        kept += assert_work_is_kept(mo, goal)
        goals += 1
    with capsys.disabled():
        spent = time.monotonic() - begun
        print(f"\n{kills} kills in {goals} goals of ten tasks, {kept} attempts kept, {spent:.0f} s")


def state_dir(mo: Mo) -> Path:
    return home_state_dir(mo.home.common_dir, os.environ)


# -- ending and starting ------------------------------------------------------------------------------


def test_sigterm_keeps_the_work_and_the_next_start_goes_on(mo: Mo) -> None:
    goal = queue_ten(mo, 2.0)
    mo.wait_for(lambda: sum(file.stat().st_size > 0 for file in state_dir(mo).glob("tasks/*/part-*")) >= 4)
    begun = time.monotonic()
    mo.stop()
    assert time.monotonic() - begun < 12
    assert mo.programs() == []
    stopped = [task for task in mo.goal(goal).tasks.values() if task.attempts]
    assert {str(task.state) for task in stopped} == {"waiting"}
    assert assert_work_is_kept(mo, goal) == 4
    mo("daemon", "start")
    mo.wait_for(lambda: has_ended(mo.goal(goal)), 60)
    assert_ten_are_done(mo, goal)


def test_ten_starts_at_once_make_one_daemon(mo: Mo) -> None:
    mo.home.create()
    starts = [mo.start("daemon", "start", "--json") for _ in range(10)]
    said = [json.loads(start.communicate(timeout=60)[0]) for start in starts]
    assert {document["pid"] for document in said} == {mo.daemon().pid}  # type: ignore[union-attr]
    assert [start.returncode for start in starts] == [0] * 10
    assert mo.log().count(f"for {mo.repo.path}") == 1


def test_a_reused_pid_is_not_taken_for_the_daemon(mo: Mo) -> None:
    mo.home.create()
    mine = identify(os.getpid())
    assert mine is not None
    stale = {"v": 1, "pid": mine.pid, "start": "1", "boot": mine.boot, "version": "0", "web": None}
    mo.home.write_daemon(stale)
    assert "not running" in mo("daemon", "stop").out
    mo("daemon", "start")
    daemon = mo.daemon()
    assert daemon is not None
    assert daemon.pid != mine.pid


def test_the_variables_of_a_git_hook_do_not_reach_the_daemon(mo: Mo, tmp_path: Path) -> None:
    """A hook that runs mo hands on GIT_DIR and GIT_INDEX_FILE; with them, git would work elsewhere."""
    other = RepoBuilder.create(tmp_path / "other", {"a": "a"})
    before = other.git("for-each-ref"), other.git("status", "--porcelain")
    mo.environ |= {"GIT_DIR": str(other.path / ".git"), "GIT_INDEX_FILE": str(other.path / ".git" / "index")}
    goal = queue_ten(mo, 0)
    mo.wait_for(lambda: has_ended(mo.goal(goal)), 60)
    daemon = mo.daemon()
    assert daemon is not None
    variables = Path(f"/proc/{daemon.pid}/environ").read_bytes().split(b"\0")
    assert [one for one in variables if one.startswith((b"GIT_DIR", b"GIT_INDEX"))] == []
    assert_ten_are_done(mo, goal)
    assert (other.git("for-each-ref"), other.git("status", "--porcelain")) == before


def test_a_slow_git_of_the_killed_daemon_is_ended(mo: Mo) -> None:
    """A checkout that goes on by itself would write into the worktree that the next attempt gets."""
    files = {f"file-{n}.slow": f"{n}\n" for n in range(8)}
    mo.repo.commit({".gitattributes": "*.slow filter=slow\n", **files})
    mo.repo.git("config", "filter.slow.smudge", "sleep 0.5; cat")
    mo.repo.git("config", "filter.slow.clean", "cat")
    mo.configure(gate={"command": "none"})
    file = mo.repo.path.parent / "plan.json"
    file.write_text(plan([{"id": "a", "run": ["sh", "-c", "echo a > a.txt"]}]))
    mo("do", f"@{file}", "--detach")
    mo.wait_for(lambda: len(list(state_dir(mo).glob("tasks/*/*.slow"))) >= 2)
    mo.kill()
    checkouts = mo.programs()
    assert checkouts
    mo("daemon", "start")
    assert set(checkouts).isdisjoint(mo.programs())
    mo.wait_for(lambda: has_ended(mo.goal()), 60)
    assert mo.states() == {"a": "landed"}


# -- disk full, permissions, a directory that goes away -----------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="sets a limit of another process")
def test_a_disk_that_is_full_for_a_while(mo: Mo, tmp_path: Path) -> None:
    """By a limit on the size of files: the log of the ledger can't grow, git and status still can write."""
    go = tmp_path / "go"
    mo.configure(
        gate={"command": "test -e README.md", "proof": "off"},
        orchestrator={"max_parallel": 1, "tick_seconds": 0.1},
    )
    wait = f"while [ ! -e {go} ]; do sleep 0.02; done"
    tasks = [{"id": name, "run": ["sh", "-c", f"{wait}; echo {name} > {name}.txt"]} for name in "ab"]
    file = mo.repo.path.parent / "plan.json"
    file.write_text(plan(tasks))
    mo("do", f"@{file}", "--detach")
    mo.wait_for(lambda: Counter(mo.states().values())["running"] == 1)
    daemon = mo.daemon()
    assert daemon is not None
    journal = mo.home.database.with_name("mo.db-wal")
    unlimited = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (journal.stat().st_size, unlimited[1]))
    go.touch()

    def hold() -> str:
        return str((mo.home.read_status() or {})["limits"]["hold"])

    mo.wait_for(lambda: "cannot write" in hold())
    assert str(mo.home.database) in hold()
    assert "; nothing new starts: cannot write" in mo("status").out
    states = mo.states()
    assert set(states.values()) <= {"running", "pending", "checking"}
    assert mo.daemon() == daemon
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, unlimited)
    mo.wait_for(lambda: has_ended(mo.goal()))
    assert mo.states() == {"a": "landed", "b": "landed"}
    assert hold() == ""
    assert mo.daemon() == daemon


def test_git_that_cannot_write_loses_nothing(mo: Mo, tmp_path: Path) -> None:
    """No file may grow beyond 6 MB: git cannot store the work.  It stays in its worktree until it can."""
    go = tmp_path / "go"
    mo.configure(gate={"command": "none"}, orchestrator={"tick_seconds": 0.1})
    work = f"head -c 8000000 /dev/urandom > big; while [ ! -e {go} ]; do sleep 0.02; done"
    file = mo.repo.path.parent / "plan.json"
    file.write_text(plan([{"id": "a", "run": ["sh", "-c", work]}]))
    mo("do", f"@{file}", "--detach")
    mo.wait_for(lambda: any(big.stat().st_size == 8000000 for big in state_dir(mo).glob("tasks/*/big")))
    (big,) = state_dir(mo).glob("tasks/*/big")
    content = big.read_bytes()
    daemon = mo.daemon()
    assert daemon is not None
    unlimited = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (6_000_000, unlimited[1]))
    go.touch()
    mo.wait_for(lambda: "File too large" in str((mo.home.read_status() or {})["limits"]["hold"]))
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, unlimited)
    mo.wait_for(lambda: has_ended(mo.goal()))
    assert mo.states() == {"a": "landed"}
    refs = mo.repo.git("for-each-ref", "--format=%(refname)", "refs/mo/keep", "refs/heads/mo").split()
    kept = [mo.repo.git("rev-parse", f"{ref}:big", check=False) for ref in refs]
    (tmp_path / "copy").write_bytes(content)
    assert mo.repo.git("hash-object", str(tmp_path / "copy")) in kept


@pytest.mark.skipif(sys.platform != "linux", reason="drops a capability of root")
def test_a_read_only_directory_is_said(mo: Mo) -> None:
    """Root may write anyway, so that right is given away first."""
    mo.home.create()
    for directory in (mo.home.path, mo.home.inbox):
        directory.chmod(0o500)
    drop = (
        "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
    )
    argv = [
        sys.executable,
        "-c",
        drop,
        sys.executable,
        "-P",
        "-m",
        "mo_daemon.main",
        "--top",
        str(mo.repo.path),
    ]
    done = subprocess.run(argv, cwd=mo.repo.path, env=mo.environ, capture_output=True, text=True, check=False)
    for directory in (mo.home.path, mo.home.inbox):
        directory.chmod(0o700)
    assert done.returncode == Exit.CONFIG
    error = json.loads(done.stderr.removeprefix("mo-daemon: error: "))["error"]
    assert error["message"] == f"cannot write {mo.home.lock_file}: Permission denied"
    assert error["hint"] == f"make {mo.home.path} and what is in it writable"


def test_the_directory_is_deleted_under_the_daemon(mo: Mo) -> None:
    """It ends, with all that it runs; the work is in git, and the next `mo do` starts afresh."""
    goal = queue_ten(mo, 30)
    mo.wait_for(lambda: len(list(state_dir(mo).glob("tasks/*/part-*"))) >= 2)
    daemon = mo.daemon()
    assert daemon is not None
    mo.home.path.rename(mo.home.path.with_name("gone"))  # at once, whatever the daemon writes just now
    shutil.rmtree(mo.home.path.with_name("gone"), ignore_errors=True)
    mo.wait_for(lambda: not is_alive(daemon))
    assert mo.programs() == []
    kept = mo.repo.git("for-each-ref", "--format=%(refname)", f"refs/mo/keep/{goal}").split()
    assert len(kept) >= 2
    assert not mo.home.exists()
    again = queue_ten(mo, 0)
    mo.wait_for(lambda: has_ended(mo.goal(again)), 60)
    assert_ten_are_done(mo, again)


def test_the_repository_is_deleted_under_the_daemon(mo: Mo) -> None:
    queue_ten(mo, 30)
    mo.wait_for(lambda: len(list(state_dir(mo).glob("tasks/*/part-*"))) >= 2)
    daemon = mo.daemon()
    assert daemon is not None
    mo.repo.path.rename(mo.repo.path.with_name("elsewhere"))
    mo.wait_for(lambda: not is_alive(daemon))
    assert mo.programs() == []


# -- with nothing to do -------------------------------------------------------------------------------


def test_an_idle_daemon_ends_by_itself(mo: Mo) -> None:
    mo.configure(daemon={"idle_minutes": 0.005}, orchestrator={"tick_seconds": 0.1})
    mo("daemon", "start")
    daemon = mo.daemon()
    assert daemon is not None
    mo.wait_for(lambda: not is_alive(daemon))
    assert not mo.home.daemon_file.exists()
    assert mo.log().splitlines()[-2:][0].endswith("nothing to do: ending")
    assert mo("daemon", "status", code=Exit.DAEMON).out.startswith("stopped, 0 requests waiting")


def test_what_an_idle_daemon_costs(mo: Mo, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures only; nobody's machine is quiet enough for a limit."""
    mo("daemon", "start")
    daemon = mo.daemon()
    assert daemon is not None
    process = psutil.Process(daemon.pid)
    before, begun = sum(process.cpu_times()[:2]), time.monotonic()
    mo.wait_for(lambda: time.monotonic() - begun > 5)
    used = sum(process.cpu_times()[:2]) - before
    with capsys.disabled():
        size, threads = process.memory_info().rss / 2**20, process.num_threads()
        print(f"\nidle daemon: {100 * used / 5:.2f} % of a processor, {size:.0f} MiB, {threads} threads")
    assert mo.daemon() == daemon
