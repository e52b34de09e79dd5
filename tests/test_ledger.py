"""The ledger: all or nothing, readable at any moment, and clear about what it cannot do."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mo_git import __version__
from mo_git.errors import Exit, MoError
from mo_git.ledger.reader import Reader
from mo_git.ledger.schema import SCHEMA
from mo_git.ledger.writer import Ledger, LedgerBroken, LedgerFull
from mo_git.lifecycle import replay
from mo_git.model import Fact, GoalSpec, Kind, NewFact, Plan, TaskSpec
from mo_git.process import Identity
from tests.story import Story, chain

FULL, NORMAL = 2, 1  # PRAGMA synchronous


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mo.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    made = Ledger(path)
    yield made
    made.close()


def goal(name: str = "goal-0001", created_at: float = 5.0) -> GoalSpec:
    plan = Plan("A goal", (TaskSpec("a", run=("true",)), TaskSpec("b", prompt="ü\n", depends_on=("a",))))
    return GoalSpec(name, "A goal", plan, created_at, "0" * 40, "main", "merge", environment={"PATH": "/bin"})


def ended(name: str, state: str = "done") -> NewFact:
    return NewFact(name, Kind.GOAL_ENDED, {"state": state})


def test_a_goal_and_its_facts_come_back(ledger: Ledger, path: Path) -> None:
    spec = goal()
    created = ledger.add_goal(spec, 5.0)
    started = ledger.append([NewFact(spec.id, Kind.GOAL_STARTED, {"base": "x", "odd": "é\n\0"})], 6.0)
    assert created == [Fact(1, 5.0, spec.id, "", 0, "goal_created", {})]
    assert started == [Fact(2, 6.0, spec.id, "", 0, "goal_started", {"base": "x", "odd": "é\n\0"})]
    assert ledger.facts(spec.id) == created + started
    assert ledger.goal(spec.id) == spec
    reader = Reader(path)
    assert (reader.goal_ids(), reader.spec(spec.id)) == ([spec.id], spec)
    assert (reader.facts(spec.id), reader.facts(spec.id, after=1)) == (created + started, started)
    assert reader.goal(spec.id) == replay(spec, created + started)
    reader.close()


def test_all_of_a_transaction_or_nothing(ledger: Ledger) -> None:
    ledger.add_goal(goal(), 5.0)
    ledger.record_request("r1", "retry", {}, 5.0)
    before = ledger.facts("goal-0001")
    with pytest.raises(sqlite3.IntegrityError):  # the id is taken: a bug, not a full disk
        ledger.append(
            [NewFact("goal-0001", Kind.GOAL_PAUSED)], 6.0, goals=[goal()], answers={"r1": {"ok": True}}
        )
    assert ledger.facts("goal-0001") == before
    assert ledger.unsettled() == [("r1", "retry", {})]
    ledger.append([NewFact("goal-0001", Kind.GOAL_PAUSED)], 7.0, answers={"r1": {"ok": True}})
    assert [fact.kind for fact in ledger.facts("goal-0001")] == ["goal_created", "goal_paused"]
    assert ledger.unsettled() == []


def test_late_facts_of_an_old_attempt_are_recorded_and_without_effect(ledger: Ledger) -> None:
    story = Story(chain("a"))
    story.start()
    story.run("a", 1)
    story.tell(Kind.ATTEMPT_FAILED, "a", 1, {"class": "lost", "reason": "x"})
    story.tell(Kind.RETRY_SCHEDULED, "a", 1, not_before=0.0, why="x")
    story.run("a", 2)
    ledger.add_goal(story.spec, 1.0)
    for fact in story.facts[1:]:
        ledger.append([NewFact(fact.goal, Kind(fact.kind), fact.data, fact.task, fact.attempt)], fact.at)
    before = replay(story.spec, ledger.facts(story.id))
    late = {"commit": "c" * 40, "tree": "7" * 40, "paths": []}
    (recorded,) = ledger.append([NewFact(story.id, Kind.CANDIDATE, late, "a", 1)], 99.0)
    assert ledger.facts(story.id)[-1] == recorded
    after = replay(story.spec, ledger.facts(story.id))
    assert after.last_seq == recorded.seq
    before.last_seq = after.last_seq
    assert after == before
    assert after.tasks["a"].state == "running"


def test_goals_in_memory_after_a_start(ledger: Ledger) -> None:
    """All that are not over, and the newest ones."""
    for n in range(30):
        ledger.add_goal(goal(f"goal-{n:04}", float(n)), float(n))
        ledger.append([ended(f"goal-{n:04}")], 50.0)
    ledger.append([NewFact("goal-0001", Kind.GOAL_REOPENED, {"why": "retried"})], 51.0)
    land = {"request": "r", "operation": "land", "arguments": {}}
    ledger.append([NewFact("goal-0002", Kind.OPERATION_REQUESTED, land)], 52.0)
    ledger.append([NewFact("goal-0003", Kind.OPERATION_REQUESTED, land)], 52.0)
    ledger.append([NewFact("goal-0003", Kind.OPERATION_ENDED, {"request": "r", "ok": True})], 53.0)
    assert [spec.id for spec in ledger.current_goals(recent=2)] == [
        *("goal-0001", "goal-0002", "goal-0028", "goal-0029"),
    ]


# -- requests, programs, verdicts ---------------------------------------------------------------------


def test_a_request_is_recorded_once_and_settled(ledger: Ledger, path: Path) -> None:
    assert ledger.record_request("2", "land", {"goal": "x"}, 1.0)
    assert ledger.record_request("1", "pause", {}, 2.0)
    assert not ledger.record_request("2", "cancel", {"another": "content"}, 3.0)
    assert ledger.unsettled() == [("1", "pause", {}), ("2", "land", {"goal": "x"})]
    ledger.settle_request("2", {"ok": True, "message": "done"}, 4.0)
    assert ledger.unsettled() == [("1", "pause", {})]
    reader = Reader(path)
    assert reader.outcome("2") == {"ok": True, "message": "done"}
    assert (reader.outcome("1"), reader.outcome("3")) == (None, None)
    assert (reader.is_recorded("1"), reader.is_recorded("3")) == (True, False)
    reader.close()


def test_programs_are_known_from_before_their_start(ledger: Ledger) -> None:
    ledger.program_starting("t1", "gate", 1.0)
    ledger.program_starting("t2", "task", 1.0)
    ledger.program_started("t1", Identity(5, "77", "boot"))
    assert sorted(ledger.programs()) == ["t1", "t2"]
    ledger.program_ended(["t1", "unknown"])
    assert ledger.programs() == ["t2"]


def test_housekeeping_leaves_facts_and_what_is_open(ledger: Ledger) -> None:
    ledger.add_goal(goal(), 1.0)
    ledger.remember_gate("old", {"result": "green"}, 1.0)
    ledger.remember_gate("new", {"result": "red"}, 9.0)
    for name in ("settled", "open"):
        ledger.record_request(name, "pause", {}, 1.0)
    ledger.settle_request("settled", {"ok": True}, 2.0)
    assert ledger.forget_before(5.0) == 2
    assert (ledger.gate_run("old"), ledger.gate_run("new")) == (None, {"result": "red"})
    assert [name for name, _, _ in ledger.unsettled()] == ["open"]
    assert len(ledger.facts("goal-0001")) == 1


# -- durability ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "level"),
    [
        (lambda ledger: ledger.append([ended("g")], 1.0, durable=True), FULL),
        (lambda ledger: ledger.append([ended("g")], 1.0), NORMAL),
        (lambda ledger: ledger.add_goal(goal(), 1.0), FULL),
        (lambda ledger: ledger.probe(), FULL),
        (lambda ledger: ledger.record_request("r", "land", {}, 1.0), NORMAL),
        (lambda ledger: ledger.program_starting("t", "gate", 1.0), NORMAL),
        (lambda ledger: ledger.remember_gate("k", {}, 1.0), NORMAL),
    ],
    ids=["durable", "fact", "goal", "probe", "request", "program", "verdict"],
)
def test_synchronous_is_full_for_durable_records_only(
    ledger: Ledger, write: Callable[[Ledger], object], level: int
) -> None:
    """As SQLite itself sees it at each statement that writes."""
    seen: list[int] = []

    def look(statement: str) -> None:
        if statement.startswith(("INSERT", "COMMIT")):
            seen.append(ledger._db.execute("PRAGMA synchronous").fetchone()[0])

    ledger._db.set_trace_callback(look)
    write(ledger)
    ledger._db.set_trace_callback(None)
    assert set(seen) == {level}
    assert ledger._db.execute("PRAGMA synchronous").fetchone()[0] == NORMAL


def test_after_a_durable_record_that_failed_others_are_cheap_again(ledger: Ledger) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        ledger.append([], 1.0, durable=True, goals=[goal(), goal()])
    assert ledger._db.execute("PRAGMA synchronous").fetchone()[0] == NORMAL
    assert not ledger._db.in_transaction


def test_two_readers_while_writing(ledger: Ledger, path: Path) -> None:
    """Readers never wait, never fail, and see whole transactions only."""
    ledger.add_goal(goal(), 0.0)
    done = threading.Event()
    torn: list[int] = []
    looks: list[int] = []

    def read() -> None:
        while not done.is_set():
            reader = Reader(path)
            count = len(reader.facts("goal-0001")) - 1
            torn.extend([count] if count % 3 else [])
            looks.append(count)
            reader.close()

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    three = [NewFact("goal-0001", kind) for kind in (Kind.GOAL_PAUSED, Kind.GOAL_RESUMED, Kind.GOAL_PAUSED)]
    for n in range(200):
        ledger.append(three, float(n), durable=n % 50 == 0)
    done.set()
    for thread in readers:
        thread.join(20)
    assert torn == []
    assert len(looks) >= 2
    assert len(ledger.facts("goal-0001")) == 601


# -- what can go wrong --------------------------------------------------------------------------------


def fill(ledger: Ledger) -> None:
    """Let the database not grow any more, and use what room there is in it."""
    pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
    ledger._db.execute(f"PRAGMA max_page_count = {pages}")
    for size in (2000, 200, 1):
        while add_filler(ledger, size):
            pass


def add_filler(ledger: Ledger, size: int) -> bool:
    try:
        return bool(ledger.append([NewFact("filler", Kind.GATE_RUN, {"x": "y" * size})], 0.0))
    except LedgerFull:
        return False


def make_room(ledger: Ledger) -> None:
    ledger._db.execute("PRAGMA max_page_count = 1000000")


def test_a_full_disk_is_said_and_passes(ledger: Ledger, path: Path) -> None:
    ledger.add_goal(goal(), 0.0)
    fill(ledger)
    with pytest.raises(LedgerFull) as caught:
        ledger.append([ended("goal-0001")], 1.0, durable=True)
    assert caught.value.message.startswith(f"cannot write {path}: no space left (")
    assert caught.value.hint == "free some disk space"
    with pytest.raises(LedgerFull):
        ledger.probe()
    assert len(ledger.facts("goal-0001")) == 1
    assert ledger._db.execute("PRAGMA synchronous").fetchone()[0] == NORMAL
    make_room(ledger)
    ledger.probe()
    ledger.append([ended("goal-0001")], 1.0, durable=True)
    assert len(ledger.facts("goal-0001")) == 2
    assert ledger.facts("") == []  # the probe leaves nothing


def test_another_writer_is_said(ledger: Ledger, path: Path) -> None:
    ledger._db.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerFull, match="another program holds it"):
        ledger.append([ended("g")], 1.0)
    other.execute("ROLLBACK")
    other.close()
    ledger.append([ended("g")], 1.0)


@pytest.mark.parametrize(
    "content", [b"this is no database, and never was one\n" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_file_that_is_no_ledger(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(LedgerBroken) as caught:
        Ledger(path)
    assert caught.value.code is Exit.CONFIG
    assert caught.value.hint == (
        "your work is in git (branches mo/*, refs/mo/*); move mo.db away to start a new ledger, "
        "or restore it from a backup"
    )
    assert path.read_bytes() == content


def test_somebody_elses_database(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE goals (something TEXT)")
    other.commit()
    other.close()
    with pytest.raises(LedgerBroken):
        Ledger(path)
    other = sqlite3.connect(path)
    assert other.execute("SELECT sql FROM sqlite_master WHERE name = 'goals'").fetchall() == [
        ("CREATE TABLE goals (something TEXT)",)
    ]
    other.close()


def test_pages_that_break_while_it_is_open(path: Path) -> None:
    ledger = Ledger(path)
    ledger.add_goal(goal(), 0.0)
    for n in range(300):
        ledger.append([NewFact("goal-0001", Kind.GATE_RUN, {"x": "y" * 500})], float(n))
    ledger._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ledger._db.execute("PRAGMA cache_size = 0")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(LedgerBroken):
        ledger.facts("goal-0001")
    with pytest.raises(LedgerBroken):
        ledger.append([ended("goal-0001")], 1.0)
    ledger.close()


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    ledger = Ledger(path)
    ledger.add_goal(goal(), 0.0)
    ledger._db.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    ledger._db.execute("UPDATE meta SET value = '9.1.0' WHERE key = 'mo_version'")
    ledger._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ledger.close()
    before = path.read_bytes()
    with pytest.raises(MoError) as caught:
        Ledger(path)
    assert caught.value.message == (
        f".mo/mo.db has schema {SCHEMA + 1}, this mo ({__version__}) knows schema {SCHEMA}"
    )
    assert (caught.value.hint, caught.value.code) == (
        "install mo 9.1.0 or newer; nothing was changed",
        Exit.CONFIG,
    )
    assert path.read_bytes() == before


@pytest.mark.skipif(sys.platform != "linux", reason="drops a capability of root")
@pytest.mark.parametrize("what", ["file", "directory"])
def test_no_permission_is_said(path: Path, what: str) -> None:
    """In another process: root may do anything until it gives that right away."""
    Ledger(path).close()
    target = path if what == "file" else path.parent
    target.chmod(0o500 if what == "directory" else 0o400)
    script = (
        "import ctypes, pathlib, sys; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0); "
        "import os; os.execv(sys.executable, [sys.executable, '-c', sys.argv[1], sys.argv[2]])"
    )
    opened = (
        "import pathlib, sys\nfrom mo_git.ledger.writer import Ledger\nfrom mo_git.errors import MoError\n"
        "try:\n    Ledger(pathlib.Path(sys.argv[1])).probe()\nexcept MoError as error:\n    print(error.hint)"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    argv = [sys.executable, "-c", script, opened, str(path)]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    target.chmod(0o700)
    assert (done.stdout, done.stderr) == ("make .mo/ and what is in it writable\n", "")


def test_a_kill_while_the_tables_are_made(tmp_path: Path) -> None:
    """Whichever statement was the last one, the next start makes a whole ledger."""
    script = f"""
import os, pathlib, sqlite3, sys
from mo_git.ledger import schema
from mo_git.ledger.writer import Ledger
from mo_git.model import Kind, NewFact

def make(path, last):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    left = [last]
    def count(statement):
        left[0] -= 1
        if left[0] == 0:
            os._exit(9)
    db.set_trace_callback(count)
    schema.migrate(db)

for last in range(1, 200, 3):
    path = pathlib.Path({str(tmp_path)!r}, f"{{last}}.db")
    child = os.fork()
    if child == 0:
        make(path, last)
        os._exit(0)
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    ledger = Ledger(path)
    ledger.append([NewFact("g", Kind.GOAL_PAUSED)], 1.0)
    ledger.record_request("r", "x", {{}}, 1.0)
    ledger.remember_gate("k", {{}}, 1.0)
    ledger.probe()
    assert len(ledger.facts("g")) == 1
    ledger.close()
    if killed == 0:
        print(last > 20)
        break
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_reading_where_there_is_nothing_yet(path: Path) -> None:
    assert Reader.open(path) is None
    path.touch()
    assert Reader.open(path) is None
