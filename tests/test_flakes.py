"""Flakes: the rule, which files ids name, what the ledger keeps, how a run is judged, and `mo flakes`."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_daemon.judging import Judgement, Question, judge_run
from mo_daemon.testfiles import touched
from mo_daemon.testids import Regression, Tests
from mo_git.errors import Exit
from mo_git.flakes import DAY, GOOD, SAME_SET, Flake, Seen, document, flakes
from mo_git.ledger.reader import Reader
from mo_git.ledger.writer import Ledger
from tests.driver import Mo
from tests.schemas import problems

# -- the rule -----------------------------------------------------------------------------------------


def seen(
    tree: str, at: float, why: str = SAME_SET, passed: int = 1, failed: int = 1, test: str = "x"
) -> Seen:
    return Seen(test, tree, passed, failed, why, at * DAY)


@pytest.mark.parametrize(
    ("times", "now", "until"),
    [
        ([], 0, None),
        ([1], 1, None),  # one tree is not enough
        ([1, 2], 2, 15),
        ([1, 2], 14.9, 15),
        ([1, 2], 15, None),  # over: only one is young enough
        ([1, 2, 9], 15.5, 16),
        ([1, 20], 20, None),
        ([3, 1, 2], 3, 16),
    ],
)
def test_quarantine_needs_two_trees_in_time(times: list[float], now: float, until: float | None) -> None:
    flake = Flake("x", tuple(seen(f"t{number}", at) for number, at in enumerate(times)))
    found = flake.quarantined_until(14, now * DAY)
    assert found == (None if until is None else until * DAY)
    assert flake.quarantined_until(0, now * DAY) is None


def test_rates_count_passes_everywhere_and_failures_where_it_also_passed() -> None:
    flake = Flake("x", (seen("t", 1), seen("", 2, why="", passed=8, failed=0)))
    assert (flake.passed, flake.failed, flake.rate) == (9, 1, 2 / 20)
    assert [one.tree for one in flake.evidence] == ["t"]


def test_what_was_only_watched_is_no_flake() -> None:
    rows = [seen("t", 1, test="b"), seen("", 1, why="", test="a"), seen("u", 2, why=GOOD, test="b")]
    (found,) = flakes(rows)
    assert (found.test, len(found.seen)) == ("b", 2)
    made = document([found], 14, 3 * DAY)
    assert made["flakes"][0]["quarantined_until"] == 15 * DAY
    assert problems("flakes", made) == []


@pytest.mark.parametrize(
    ("key", "path", "expected"),
    [
        ("tests/test_a.py::tests.test_a::test_x", "tests/test_a.py", True),
        ("tests/test_a.py::tests.test_a::test_x", "tests/test_b.py", False),
        ("tests/test_a.py::tests.test_a::test_x", "test_a.py", False),
        ("tests/base.py::tests.test_a.TestA::test_x", "tests/test_a.py", True),
        ("test_a.T.test_x", "tests/test_a.py", True),
        ("pkg.tests.test_a.T.test_x", "src/pkg/tests/test_a.py", True),
        ("test_ab.T.test_x", "tests/test_a.py", False),
        ("setUpClass (test_a.T)", "tests/test_a.py", True),
        ("test_a.T.test_x (i=1)", "tests/test_a.py", True),
        ("example.org/m/pkg::TestX", "pkg/x_test.go", True),
        ("example.org/m/pkg::TestX", "other/x_test.go", False),
        ("example.org/m::TestX", "x_test.go", True),
        ("src/lib.rs::m::t::adds", "src/lib.rs", True),
        ("src/lib.rs::m::t::adds", "crates/m/src/lib.rs", True),
        ("doc::m::src/lib.rs - add", "src/lib.rs", True),
        ("test/a.test.js::adds", "test/a.test.js", True),
        ("test/a.test.js::adds", "README.md", False),
    ],
)
def test_which_file_an_id_is_in(key: str, path: str, expected: bool) -> None:
    assert touched(key, ["some/other.txt", path]) is expected


# -- judging ------------------------------------------------------------------------------------------

BASE = Tests({"a": "passed", "b": "passed", "s": "skipped", "known": "failed"})
IDS = frozenset


@pytest.mark.parametrize(
    ("tests", "ids", "expected"),
    [
        (Tests({"a": "passed"}), IDS("a"), ("green", Regression(), "")),
        (Tests({"a": "failed"}), IDS("a"), ("red", Regression(failed=("a",)), "1 test failing: a")),
        (Tests({"b": "error"}), IDS("a"), ("red", Regression(missing=("a",)), "1 test missing: a")),
        (
            Tests({"a": "xfail"}),
            IDS("a"),
            ("red", Regression(newly_skipped=("a",)), "1 test newly skipped: a"),
        ),
        (Tests({"a": "passed", "b": "failed", "n": "failed"}), IDS("a"), ("green", Regression(), "")),
        (Tests({"n": "failed"}), IDS("n"), ("red", Regression(failed=("n",)), "1 test failing: n")),
        (Tests({"s": "failed"}), IDS("s"), ("red", Regression(failed=("s",)), "1 test failing: s")),
        (Tests({}), IDS(["known"]), ("green", Regression(), "")),
        (Tests({"known": "error"}), IDS(["known"]), ("green", Regression(), "")),
        (Tests({}), IDS("n"), ("green", Regression(), "")),
        (Tests({"a": "passed"}), IDS("n"), ("green", Regression(), "")),
        (None, IDS("a"), ("unknown", None, "the test run left no results")),
    ],
)
def test_a_run_of_some_tests_is_judged_on_them(
    tests: Tests | None, ids: frozenset[str], expected: tuple[str, Regression | None, str]
) -> None:
    for code in (0, 1):
        assert judge_run(code, False, tests, Question(BASE, ids), False) == Judgement(*expected)


@pytest.mark.parametrize(
    ("code", "timed_out", "runner", "reason"),
    [
        (0, True, "", "the gate did not end in time (gate.timeout)"),
        (-9, False, "", "the gate died of signal 9"),
        (3, False, "pytest", "pytest had an internal error"),
    ],
)
def test_some_tests_without_a_verdict(code: int, timed_out: bool, runner: str, reason: str) -> None:
    for tests in (Tests({"a": "passed"}), None):
        run = judge_run(code, timed_out, tests, Question(BASE, IDS("a")), False, runner=runner)
        assert (run.result, run.regression) == ("unknown", None)
        assert run.reason == reason or tests is None
    assert judge_run(5, False, Tests({}), Question(BASE, IDS("n")), False, runner="pytest").result == "green"


@pytest.mark.parametrize(
    ("outcomes", "ids", "expected"),
    [
        ({"a": "failed"}, None, ("green", "1 test in quarantine failed: a", ("a",))),
        (
            {"a": "error", "known": "failed"},
            None,
            ("green", "1 test failed on the base already: known; 1 test in quarantine failed: a", ("a",)),
        ),
        (
            {"a": "failed", "b": "failed"},
            None,
            ("red", "1 test newly failing: b; 1 test in quarantine failed: a", ("a",)),
        ),
        ({"a": "skipped"}, None, ("red", "1 test newly skipped: a", ())),
        ({"a": "failed"}, IDS("a"), ("green", "1 test in quarantine failed: a", ("a",))),
        ({"a": "failed"}, IDS("b"), ("green", "", ())),
    ],
)
def test_quarantine_excuses_failures_alone(
    outcomes: dict[str, str], ids: frozenset[str] | None, expected: tuple[str, str, tuple[str, ...]]
) -> None:
    tests = Tests({**BASE.outcomes, "known": "passed", **outcomes})
    question = Question(BASE, ids, IDS(["a", "known"]))
    run = judge_run(1, False, tests, question, False)
    assert (run.result, run.reason, run.flaky) == expected


def test_quarantine_excuses_no_exit_code_of_a_command_that_does_more() -> None:
    tests = Tests({**BASE.outcomes, "a": "failed"})
    run = judge_run(1, False, tests, Question(BASE, None, IDS("a")), False, strict=True)
    assert (run.result, run.flaky) == ("red", ("a",))


# -- the ledger ---------------------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "mo.db")
    yield made
    made.close()


def test_the_ledger_adds_up(ledger: Ledger) -> None:
    ledger.note_flakes([seen("t", 1), seen("t", 2, why=GOOD, passed=0), seen("", 3, why="", failed=0)])
    expected = [Seen("x", "t", 1, 2, GOOD, 2 * DAY), Seen("x", "", 1, 0, "", 3 * DAY)]
    assert ledger.flakes_seen() == expected
    reader = Reader(ledger.path)
    assert reader.flakes_seen() == expected
    reader.close()
    assert (ledger.forget_flake("y"), ledger.forget_flake("x"), ledger.flakes_seen()) == (0, 2, [])


def test_a_ledger_of_before_gets_the_table(tmp_path: Path) -> None:
    path = tmp_path / "mo.db"
    Ledger(path).close()
    old = sqlite3.connect(path)
    old.executescript(
        "DROP TABLE flakes; PRAGMA user_version = 1;DELETE FROM _sqlite_migrations WHERE name = 'm002_flakes'"
    )
    old.close()
    reader = Reader(path)
    assert reader.flakes_seen() == []
    reader.close()
    ledger = Ledger(path)
    ledger.note_flakes([seen("t", 1)])
    assert len(ledger.flakes_seen()) == 1
    ledger.close()


# -- mo flakes ----------------------------------------------------------------------------------------


def test_mo_flakes(mo: Mo) -> None:
    assert "no goals yet" in mo("flakes", code=Exit.NOT_FOUND).err
    mo.home.create()
    ledger = Ledger(mo.home.database)
    now = time.time()
    rows = [
        Seen("tests/a.py::a::x", "1" * 40, 1, 1, SAME_SET, now),
        Seen("tests/a.py::a::x", "2" * 40, 0, 1, GOOD, now),
        Seen("tests/a.py::a::x", "", 6, 0, "", now),
        Seen("lonely", "1" * 40, 1, 1, SAME_SET, now),
    ]
    ledger.note_flakes(rows)
    ledger.close()
    told = mo("flakes").out.splitlines()
    assert [line for line in told if not line.startswith("  ")] == ["lonely", "tests/a.py::a::x"]
    assert told[1] == "  fails about 17% of the time (1 of 2 runs), not in quarantine"
    assert told[4].startswith("  fails about 16% of the time (2 of 9 runs), in quarantine until 2")
    assert told[5].endswith("  tree 111111111111: two runs of the same tests differ")
    assert told[6].endswith("  tree 222222222222: differs on a good commit")
    found = json.loads(mo("flakes", "--json").out)
    assert problems("flakes", found) == []
    assert [entry["quarantined_until"] is None for entry in found["flakes"]] == [True, False]
    assert mo("flakes", "--forget", "lonely").out == "forgotten: lonely\n"
    refused = mo("flakes", "--forget", "lonely", code=Exit.NOT_FOUND)
    assert refused.err == "mo: no flake is known as lonely\n  mo flakes lists the ids\n"
    assert [entry["id"] for entry in json.loads(mo("flakes", "--json").out)["flakes"]] == ["tests/a.py::a::x"]
    mo("flakes", "--forget", "tests/a.py::a::x")
    assert mo("flakes").out == "no flaky test is known\n"
