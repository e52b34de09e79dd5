"""The verbs that look, on a real repository with a real ledger."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import pytest

from mo_git import views
from mo_git.__main__ import main
from mo_git.cli import VERBS, Context, cli, follow, ids, logs
from mo_git.errors import Exit, MoError
from mo_git.home import Home
from mo_git.ledger.reader import Reader
from mo_git.ledger.writer import Ledger
from mo_git.model import Kind, NewFact, TaskSpec
from mo_git.process import identify
from tests import schemas
from tests.story import START, Story, chain
from tests.support import RepoBuilder

ROOT = Path(__file__).parents[1]
MINE = ("status", "show", "graph", "logs", "diff", "cost", "doctor", "db", "completion")


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@dataclass
class Mo:
    """The command line in this process, in one repository."""

    home: Home
    monkeypatch: pytest.MonkeyPatch
    capfd: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """(exit code, standard output, standard error)"""
        self.monkeypatch.setattr(sys, "argv", ["mo", *arguments])
        self.monkeypatch.chdir(self.home.top)
        code = main()
        out, err = self.capfd.readouterr()
        return code, out, err

    def lines(self, *arguments: str) -> list[str]:
        code, out, err = self(*arguments)
        assert (code, err) == (0, "")
        return out.splitlines()

    def document(self, *arguments: str) -> Any:
        return json.loads("\n".join(self.lines(*arguments)))

    def refused(self, *arguments: str) -> tuple[int, str]:
        code, out, err = self(*arguments)
        assert out == ""
        return code, err


@pytest.fixture
def home(repo: RepoBuilder) -> Home:
    return Home(repo.path.resolve(), repo.path.resolve() / ".git")


@pytest.fixture
def mo(home: Home, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Mo:
    return Mo(home, monkeypatch, capfd)


@dataclass(frozen=True)
class Commits:
    """The commits of the told goal."""

    base: str
    sweep: str
    merge: str
    kept: str


@pytest.fixture
def commits(repo: RepoBuilder, home: Home) -> Commits:
    """A goal in the ledger: sweep landed, mop failed with its work kept, wax skipped."""
    base = repo.head()
    sweep = repo.branch("mo/tidy-k3f9/sweep", {"floor.txt": "swept\n", "ä b.txt": "x\n"})
    repo.git("checkout", "-q", "-b", "mo/tidy-k3f9/integration")
    repo.git("merge", "-q", "--no-ff", "-m", "Land sweep", sweep)
    merge = repo.head()
    repo.write({"floor.txt": "wet\n"})
    repo.git("mv", "README.md", "READ.md")
    kept = repo.commit({}, "kept")
    repo.git("update-ref", "refs/mo/keep/mop", kept)
    repo.git("reset", "-q", "--hard", merge)
    repo.git("checkout", "-q", "main")
    story = Story(
        (
            TaskSpec("sweep", "Sweep the floor", prompt="Sweep it.\nWell.", writes=("*.txt",)),
            TaskSpec("mop", run=("sh", "-c", "mop it"), depends_on=("sweep",), check="test -s floor.txt"),
            TaskSpec("wax", run=("true",), depends_on=("mop",)),
        ),
        base=base,
    )
    story.start()
    story.run("sweep")
    story.finish("sweep", work=sweep, paths=("floor.txt", "ä b.txt"))
    story.land("sweep", merge=merge)
    story.run("mop")
    story.fail("mop", "exit code 1: slipped")
    story.tell(Kind.SKIPPED, "wax", reason="mop failed")
    story.end("failed", "2 of 3 tasks did not land: mop, wax")
    story.write(home)
    return Commits(base, sweep, merge, kept)


# -- all of them --------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", MINE)
def test_the_table_of_verbs_says_what_the_verb_says(verb: str) -> None:
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    assert (command.name, (command.help or "").splitlines()[0]) == (verb, VERBS[verb][1])


@pytest.mark.parametrize("line", ["show", "graph", "logs x", "diff", "db", "status x"])
def test_before_the_first_goal(mo: Mo, line: str) -> None:
    code, err = mo.refused(*line.split())
    assert code == Exit.NOT_FOUND
    assert err in (
        "mo: no goals yet\n  mo do @plan.toml starts one; mo demo shows how\n",
        "mo: no goal 'x'\n  mo status lists the goals\n",
    )


@pytest.mark.parametrize("line", ["show", "db", "--json graph"])
def test_a_file_that_is_no_ledger(mo: Mo, home: Home, line: str) -> None:
    home.create()
    home.database.write_text("this is no database, whatever its name says" * 50)
    code, err = mo.refused(*line.split())
    assert code == Exit.CONFIG
    assert f"cannot read {home.database}: file is not a database" in err
    assert "Traceback" not in err


@pytest.mark.usefixtures("commits")
def test_errors_as_documents(mo: Mo) -> None:
    code, err = mo.refused("show", "tydi-k3f9", "--json")
    assert code == Exit.NOT_FOUND
    assert json.loads(err) == {
        "error": {"code": "not_found", "message": "no goal 'tydi-k3f9'", "hint": "did you mean tidy-k3f9?"}
    }
    code, err = mo.refused("--json", "show", "--nonsense")
    assert code == Exit.USAGE
    assert json.loads(err)["error"]["code"] == "usage"


def test_usage_errors_of_click_keep_their_form(mo: Mo) -> None:
    assert mo.refused("show", "--nonsense") == (
        2,
        "Usage: mo show [OPTIONS] [ID]\nTry 'mo show --help' for help.\n\n"
        "Error: No such option '--nonsense'.\n",
    )


@pytest.mark.usefixtures("commits")
@pytest.mark.parametrize(
    "line", ["show", "graph", "logs tidy", "diff --stat", "status --help", "completion zsh"]
)
def test_looking_imports_nothing_heavy(home: Home, line: str) -> None:
    code = f"import sys; sys.argv[1:] = {line.split()!r}; from mo_git.__main__ import main; main()"
    done = program(f"{code}; print(*sys.modules, file=sys.stderr)", home)
    out, err = done.communicate(timeout=20)
    assert out
    assert not set(err.split()) & {"pydantic", "pygit2", "sqlite_utils", "rich", "unidiff", "psutil"}


def test_version(mo: Mo) -> None:
    assert mo.lines("--version") == mo.lines("--version", "--no-input") == ["mo, version 0.1.0"]


# -- ids ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("goal", ("goal", "", None)),
        ("goal/task", ("goal", "task", None)),
        ("goal/task#12", ("goal", "task", 12)),
        ("@last/task", ("@last", "task", None)),
    ],
)
def test_split(typed: str, expected: tuple[str, str, int | None]) -> None:
    assert ids.split(typed) == expected


@pytest.mark.parametrize("typed", ["", "/task", "goal/", "goal/#1", "goal/task#", "goal/task#x", "goal#1"])
def test_split_refuses(typed: str) -> None:
    with pytest.raises(MoError) as raised:
        ids.split(typed)
    assert raised.value.code is Exit.USAGE


KNOWN = ["auth-a1", "auth-b2", "auth-b2-more", "shop-c3"]


@pytest.mark.parametrize(
    ("typed", "found"),
    [("auth-a1", "auth-a1"), ("s", "shop-c3"), ("auth-b2", "auth-b2"), ("@last", "shop-c3")],
)
def test_resolve(typed: str, found: str) -> None:
    assert ids.resolve(KNOWN, typed) == found


@pytest.mark.parametrize(
    ("known", "typed", "message", "hint", "code"),
    [
        (
            KNOWN,
            "auth",
            "'auth' could be 3 goals: auth-a1, auth-b2, auth-b2-more",
            "write more of the id",
            Exit.USAGE,
        ),
        (KNOWN, "shpo-c3", "no goal 'shpo-c3'", "did you mean shop-c3?", Exit.NOT_FOUND),
        (KNOWN, "c3", "no goal 'c3'", "did you mean shop-c3?", Exit.NOT_FOUND),
        (KNOWN, "zzz", "no goal 'zzz'", "mo status lists the goals", Exit.NOT_FOUND),
        (KNOWN, "", "no goal ''", "mo status lists the goals", Exit.NOT_FOUND),
        ([], "@last", "no goal '@last'", "mo status lists the goals", Exit.NOT_FOUND),
    ],
)
def test_resolve_refuses(known: list[str], typed: str, message: str, hint: str, code: Exit) -> None:
    with pytest.raises(MoError) as raised:
        ids.resolve(known, typed)
    assert (raised.value.message, raised.value.hint, raised.value.code) == (message, hint, code)


@pytest.mark.usefixtures("commits")
def test_resolve_goal_takes_a_home_or_a_reader(home: Home) -> None:
    reader = Reader(home.database)
    assert ids.resolve_goal(home, "tidy") == ids.resolve_goal(reader, "@last") == "tidy-k3f9"
    reader.close()


@pytest.mark.usefixtures("commits")
@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("@last/none", "mo: no task 'none' in tidy-k3f9\n  tasks: sweep, mop, wax\n"),
        ("@last/mop#2", "mo: tidy-k3f9/mop has no attempt 2\n  attempts: 1\n"),
        ("@last/wax#1", "mo: tidy-k3f9/wax has no attempt 1\n  it has none yet\n"),
    ],
)
def test_unknown_tasks_and_attempts(mo: Mo, typed: str, message: str) -> None:
    assert mo.refused("show", typed) == (Exit.NOT_FOUND, message)


# -- show ---------------------------------------------------------------------------------------------


def test_show_a_goal(mo: Mo, commits: Commits) -> None:
    short = commits.merge[:7]
    assert mo.lines("show") == [
        "tidy-k3f9  failed  Tidy the house",
        f"  base         {commits.base[:10]} on main",
        f"  integration  {commits.merge[:10]}, 1 landing",
        "  took         12 s",
        "  reason       2 of 3 tasks did not land: mop, wax",
        "",
        f"✔ sweep  landed   {short}",
        "↓ ✘ mop  failed   exit code 1: slipped",
        "↓ – wax  skipped  mop failed",
        "",
        "landings",
        f"  1  {short}  08:00:07  sweep",
        "",
        "gates",
        f"  {short}  green  sweep  12 passed, 0.4 s",
        "",
        "needs you",
        "  failed: exit code 1: slipped  mo retry tidy-k3f9/mop",
    ]


@pytest.mark.usefixtures("commits")
def test_show_as_a_document(mo: Mo, home: Home) -> None:
    document = mo.document("show", "tidy", "--json")
    reader = Reader(home.database)
    expected = json.loads(json.dumps(views.goal_document(reader.goal("tidy-k3f9"))))
    reader.close()
    assert document == expected == mo.document("--json", "show")
    assert schemas.problems("show", document) == []
    task = mo.document("show", "@last/mop", "--json")
    assert task == {"v": 1, "task": {"goal": "tidy-k3f9", **expected["goal"]["tasks"][1]}}
    attempt = mo.document("show", "@last/mop#1", "--json")
    named = {"goal": "tidy-k3f9", "task": "mop", **expected["goal"]["tasks"][1]["attempts"][0]}
    assert attempt == {"v": 1, "attempt": named}


def test_show_a_task(mo: Mo, commits: Commits) -> None:
    assert mo.lines("show", "@last/sw") == [
        "tidy-k3f9/sweep  landed  Sweep the floor",
        "  writes     *.txt",
        "  branch     mo/tidy-k3f9/sweep",
        f"  candidate  {commits.sweep[:10]}",
        f"  landed as  {commits.merge[:10]}",
        "  changed    floor.txt, ä b.txt",
        "",
        "  Sweep it.",
        "  Well.",
        "",
        "attempts",
        "  #1  candidate  08:00:02  2.0 s",
    ]
    assert mo.lines("show", "@last/mop") == [
        "tidy-k3f9/mop  failed",
        "  reason  exit code 1: slipped",
        "  after   sweep",
        "  run     sh -c 'mop it'",
        "  check   test -s floor.txt",
        "  branch  mo/tidy-k3f9/mop",
        "",
        "attempts",
        "  #1  failed  08:00:09  1.0 s  check_failed: exit code 1: slipped",
        "",
        "next: mo retry tidy-k3f9/mop",
    ]


def test_show_an_attempt(mo: Mo, commits: Commits) -> None:
    assert mo.lines("show", "@last/mop#1") == [
        "tidy-k3f9/mop#1",
        "  state      failed",
        "  reason     check_failed: exit code 1: slipped",
        f"  base       {commits.merge[:10]}",
        "  branch     mo/tidy-k3f9/mop",
        "  started    08:00:09",
        "  took       1.0 s",
        "  exit code  1",
        "  kept as    refs/mo/keep/mop",
        "  log        mo logs tidy-k3f9/mop#1",
    ]


# -- graph --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("commits")
def test_graph(mo: Mo, home: Home) -> None:
    reader = Reader(home.database)
    goal = reader.goal("tidy-k3f9")
    reader.close()
    assert mo.lines("graph") == views.graph_text(goal).splitlines()
    assert mo.lines("--color", "always", "graph", "ti") == views.graph_text(goal, color=True).splitlines()
    assert mo.lines("graph", "--format", "mermaid") == views.graph_mermaid(goal).splitlines()
    assert mo.lines("graph", "--format", "dot") == views.graph_dot(goal).splitlines()
    document = json.loads(json.dumps(views.graph_document(goal)))
    assert mo.document("graph", "--format", "json") == mo.document("graph", "--json") == document


# -- diff ---------------------------------------------------------------------------------------------


def test_diff_is_gits_own(mo: Mo, repo: RepoBuilder, commits: Commits) -> None:
    repo.git("config", "diff.noprefix", "true")
    plain = ("-c", "core.quotePath=false", "-c", "diff.noprefix=false")
    expected = repo.git(*plain, "diff", commits.base, commits.merge).splitlines()
    assert "+swept" in expected
    assert "diff --git a/ä b.txt b/ä b.txt" in expected
    assert mo.lines("diff") == mo.lines("diff", "tidy/sweep") == mo.lines("diff", "tidy/sweep#1") == expected
    colored = repo.git(*plain, "diff", "--color=always", commits.base, commits.merge).splitlines()
    assert mo.lines("--color", "always", "diff") == colored


def test_diff_of_a_failed_attempt_is_what_was_kept(mo: Mo, commits: Commits, repo: RepoBuilder) -> None:
    expected = repo.git("diff", commits.merge, commits.kept).splitlines()
    assert "+wet" in expected
    assert mo.lines("diff", "tidy/mop") == mo.lines("diff", "tidy/mop#1") == expected


@pytest.mark.usefixtures("commits")
def test_diff_forms(mo: Mo) -> None:
    assert mo.lines("diff", "--name-only") == ["floor.txt", "ä b.txt"]
    assert [line.split() for line in mo.lines("diff", "--stat")][-1] == [
        *("2", "files", "changed,", "2", "insertions(+)")
    ]


def test_diff_as_a_document(mo: Mo, commits: Commits) -> None:
    document = mo.document("diff", "tidy/mop", "--json")
    patch = document.pop("patch")
    assert document == {
        "v": 1,
        "base": commits.merge,
        "commit": "refs/mo/keep/mop",
        "files": [
            {
                "path": "READ.md",
                "old_path": "README.md",
                "change": "renamed",
                "added": 0,
                "removed": 0,
                "binary": False,
            },
            {
                "path": "floor.txt",
                "old_path": None,
                "change": "modified",
                "added": 1,
                "removed": 1,
                "binary": False,
            },
        ],
    }
    assert "+wet" in patch
    assert mo.document("diff", "tidy/mop", "--stat", "--json") == document


@pytest.mark.usefixtures("commits")
def test_diff_without_work(mo: Mo) -> None:
    assert mo.refused("diff", "tidy/wax") == (
        Exit.NOT_FOUND,
        "mo: tidy-k3f9/wax has no finished work to show\n  mo show tidy-k3f9/wax\n",
    )


# -- logs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", START - 90),
        ("0.5", START - 0.5),
        ("07:30", START - 1800),
        ("07:30:30", START - 1770),
        ("09:00", START + 3600 - 86400),
        ("2027-01-15T07:00", START - 3600),
        ("2027-01-15 08:00:00+01:00", START - 3600),
        ("2027-01-14", START - 8 * 3600 - 86400),
    ],
)
def test_times(text: str, expected: float) -> None:
    assert logs.parse_time(text, START) == expected


@pytest.mark.parametrize("text", ["soon", "25:00", "-5", "2027-13-01", ""])
def test_bad_times(text: str) -> None:
    with pytest.raises(MoError) as raised:
        logs.parse_time(text, START)
    assert raised.value.code is Exit.USAGE


def test_logs_of_a_goal(mo: Mo, commits: Commits) -> None:
    lines = mo.lines("logs", "tidy")
    assert lines[0] == "08:00:00  goal   queued with 3 tasks: Tidy the house"
    assert f"08:00:08  sweep  landed as {commits.merge[:7]} (gate green, 12 tests, 0.4 s)" in lines
    assert (
        mo.lines("logs", "tidy", "--since", "2027-01-15T08:00:10")
        == lines[-4:]
        == [
            "08:00:10  mop    attempt 1 failed: exit code 1: slipped (check_failed)",
            "08:00:11  mop    failed: exit code 1: slipped (check_failed)",
            "08:00:12  wax    skipped: mop failed",
            "08:00:13  goal   failed: 2 of 3 tasks did not land: mop, wax",
        ]
    )
    documents = [json.loads(line) for line in mo.lines("logs", "tidy", "--json")]
    assert [document["event"] for document in documents][:3] == [
        "goal_created",
        "goal_started",
        "attempt_started",
    ]
    assert documents[-1] == {
        "event": "goal_ended",
        "goal": "tidy-k3f9",
        "task": "",
        "attempt": 0,
        "at": START + 13,
        "state": "failed",
        "reason": "2 of 3 tasks did not land: mop, wax",
    }


@pytest.mark.usefixtures("commits")
def test_logs_of_an_attempt(mo: Mo, home: Home) -> None:
    assert mo.refused("logs", "tidy/mop")[0] == Exit.NOT_FOUND
    directory = home.run_dir("tidy-k3f9", "mop", 1)
    directory.mkdir(parents=True)
    (directory / "stream.log").write_bytes(b"mopping\n\xff\nno newline")
    assert mo.lines("logs", "tidy/mop") == ["mopping", "\ufffd", "no newline"]
    (directory / "check.log").write_text("slipped\n")
    (directory / "prompt.md").write_text("not a log\n")
    both = ["==> stream.log <==", "mopping", "\ufffd", "no newline", "", "==> check.log <==", "slipped"]
    assert mo.lines("logs", "tidy/mop#1") == both
    assert [json.loads(line) for line in mo.lines("logs", "tidy/mop", "--json")] == [
        {"log": "stream.log", "line": "mopping"},
        {"log": "stream.log", "line": "\ufffd"},
        {"log": "stream.log", "line": "no newline"},
        {"log": "check.log", "line": "slipped"},
    ]
    assert mo.refused("logs", "tidy/mop", "--since", "5")[0] == Exit.USAGE


@pytest.mark.usefixtures("commits")
def test_logs_of_the_gate(mo: Mo, home: Home) -> None:
    directory = home.gate_dir("tidy-k3f9")
    directory.mkdir(parents=True)
    for at, name in ((2, "gate-b.log"), (1, "gate-z.log")):
        (directory / name).write_text(f"{name} ran\n")
        os.utime(directory / name, (at, at))
    first, second = ["==> gate-z.log <==", "gate-z.log ran"], ["==> gate-b.log <==", "gate-b.log ran"]
    assert mo.lines("logs", "tidy/integration") == [*first, "", *second]


def test_logs_of_the_daemon(mo: Mo, home: Home) -> None:
    assert mo.refused("logs") == (
        Exit.NOT_FOUND,
        "mo: the daemon has written nothing yet\n  mo daemon start\n",
    )
    home.create()
    home.log_file.write_text(
        "warning: no time here\n2027-01-15 08:00:00,123 INFO one\n"
        "2027-01-15 08:00:05,000 ERROR two\nTraceback: below two\n2027-01-15 08:00:09,000 INFO three\n"
    )
    lines = home.log_file.read_text().splitlines()
    assert mo.lines("logs") == lines
    assert mo.lines("logs", "--since", "2027-01-15T08:00:05") == lines[2:]


# -- db, doctor, completion ---------------------------------------------------------------------------


@pytest.mark.usefixtures("commits")
def test_db(mo: Mo, home: Home) -> None:
    tables = mo.lines("db")
    assert tables[0] == str(home.database)
    assert "  facts" in [line[:7] for line in tables]
    assert mo.document("--json", "db")["tables"]["goals"] == 1
    query = "select kind, count(*) as n from facts where task = 'mop' group by kind order by kind"
    assert mo.document("db", "query", query) == [
        {"kind": "attempt_failed", "n": 1},
        {"kind": "attempt_started", "n": 1},
        {"kind": "failed", "n": 1},
    ]
    assert mo.lines("db", "rows", "goals", "--csv", "-c", "id") == ["id", "tidy-k3f9"]


@pytest.mark.usefixtures("commits")
def test_db_cannot_change_the_ledger(mo: Mo, home: Home) -> None:
    before = sqlite3.connect(home.database).execute("select count(*) from facts").fetchone()
    mo("db", "query", "delete from facts")
    assert sqlite3.connect(home.database).execute("select count(*) from facts").fetchone() == before
    assert mo("db", "drop-table", "facts")[0] == Exit.USAGE
    code, _, err = mo("db", "query", "select nonsense")
    assert (code, "no such column" in err) == (1, True)


def test_doctor(mo: Mo, home: Home) -> None:
    document = mo.document("doctor", "--json")
    found = {check["name"]: check for check in document["checks"]}
    assert document["ok"]
    assert [found[name]["level"] for name in ("git", "repository", "home", "gate")] == [
        "ok",
        "ok",
        "warn",
        "warn",
    ]
    home.create()
    (home.path / "local.toml").write_text('[gate]\ncommand = "pytest -q"\n')
    lines = mo.lines("doctor")
    assert f"ok    repository  {home.top}" in lines
    assert "ok    gate        pytest -q" in lines
    assert f"ok    config      {home.path / 'local.toml'}" in lines
    assert not [line for line in lines if line.startswith("fail")]
    (home.path / "local.toml").write_text('[gate]\ncommand = "pytest -q"\nsandbox = false\n')
    assert "ok    gate        pytest -q; runs as you (gate.sandbox = false)" in mo.lines("doctor")


def test_doctor_names_what_fails_and_the_remedy(mo: Mo, home: Home, repo: RepoBuilder) -> None:
    home.create()
    repo.git("config", "remote.origin.promisor", "true")
    (home.path / "local.toml").write_text("[gate]\ncomand = 1\n")
    home.database.write_text("x" * 5000)
    code, out, err = mo("doctor")
    assert (code, err) == (Exit.FAILED, "")
    lines = out.splitlines()
    failed = [line for line in lines if line.startswith("fail")]
    assert [line.split()[1] for line in failed] == ["repository", "config", "ledger"]
    assert "partial clone" in failed[0]
    assert "comand" in failed[1]
    assert "not a database" in failed[2]
    remedies = [lines[lines.index(line) + 1] for line in failed]
    assert all(remedy.startswith("        ") for remedy in remedies)


def test_doctor_outside_a_repository(mo: Mo, tmp_path: Path) -> None:
    code, out, _ = mo("-C", str(tmp_path), "doctor", "--json")
    assert code == Exit.FAILED
    assert [(check["name"], check["level"]) for check in json.loads(out)["checks"]] == [
        ("git", "ok"),
        ("repository", "fail"),
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(mo: Mo, shell: str) -> None:
    assert f"_MO_COMPLETE={shell}_complete" in "\n".join(mo.lines("completion", shell))


@pytest.mark.parametrize(
    ("words", "expected"),
    [("mo sta", ["status"]), ("mo show ti", ["tidy-k3f9"]), ("mo graph --form", ["--format"])],
)
def test_completion(home: Home, words: str, expected: list[str]) -> None:
    story = Story(chain("a"))
    home.create()
    home.write_status(views.status_document([story.goal], seq=1, daemon={}, limits={}))
    asked = {"_MO_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = program("", home, environ=asked)
    out, _ = done.communicate(timeout=20)
    assert [line.partition(",")[2] for line in out.splitlines()] == expected


# -- following ----------------------------------------------------------------------------------------


def program(code: str, home: Home, environ: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """A Python program, or `mo` itself, with the project on its path and its output in a pipe."""
    command = ["-c", code] if code else ["-m", "mo_git"]
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=home.top,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def live_daemon(home: Home) -> None:
    """This test process stands for the daemon."""
    me = identify(os.getpid())
    assert me is not None
    home.write_daemon({"v": 1, "pid": me.pid, "start": me.start, "boot": me.boot, "version": "0.1.0"})


FOLLOW = """
import sys
from pathlib import Path
from mo_git.cli import Context, follow
from mo_git.home import Home
top = Path.cwd()
try:
    status = follow.follow(Home(top, top / ".git"), "tidy-k3f9", Context(top, json={json}))
except follow.Detached as detached:
    print("detached from", detached)
else:
    print("state", status.state)
"""


@pytest.mark.usefixtures("commits")
def test_following_a_goal_that_has_ended(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    obj = Context(home.top)
    status = follow.follow(home, "tidy-k3f9", obj)
    assert status.state == "failed"
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "08:00:00  goal   queued with 3 tasks: Tidy the house"
    assert lines[-1] == "08:00:13  goal   failed: 2 of 3 tasks did not land: mop, wax"
    follow.follow(home, "tidy-k3f9", obj, after=13)
    assert capfd.readouterr().out.splitlines() == lines[-1:]
    follow.follow(home, "tidy-k3f9", replace(obj, quiet=True))
    assert capfd.readouterr().out == ""


@pytest.mark.usefixtures("commits")
def test_following_as_json_lines(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(home.database)
    for kind in (Kind.OPERATION_REQUESTED, Kind.OPERATION_ENDED):
        data = {"request": "r", "operation": "land", "ok": False, "message": "no"}
        ledger.append([NewFact("tidy-k3f9", kind, data)], START)
    ledger.close()
    follow.follow(home, "tidy-k3f9", Context(home.top, json=True))
    documents = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [document["event"] for document in documents[-2:]] == ["operation_ended", "goal_ended"]
    assert documents[-1] == {
        "event": "goal_ended",
        "goal": "tidy-k3f9",
        "state": "failed",
        "reason": "2 of 3 tasks did not land: mop, wax",
    }
    assert [document["event"] for document in documents].count("goal_ended") == 1


@pytest.mark.usefixtures("commits")
def test_following_until_a_request_is_settled(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(home.database)
    ledger.record_request("1-1-a", "land", {}, START)
    ledger.settle_request("1-1-a", {"ok": True}, START)
    ledger.close()
    status = follow.follow(home, "tidy-k3f9", Context(home.top, json=True), until_request="1-1-a", after=13)
    assert status.state == "failed"
    assert json.loads(capfd.readouterr().out)["event"] == "goal_ended"


def test_following_live_until_the_end(home: Home) -> None:
    home.create()
    live_daemon(home)
    follower = program(FOLLOW.format(json=False), home)
    assert follower.stdout is not None
    story = Story(chain("a"))
    ledger = Ledger(home.database)  # the goal is recorded only after following began
    ledger.add_goal(story.spec, START)
    assert follower.stdout.readline() == "08:00:00  goal  queued with 1 task: Tidy the house\n"
    ledger.append([NewFact(story.id, Kind.GOAL_STARTED, {"base": story.base})], START + 1)
    assert follower.stdout.readline() == "08:00:01  goal  started on ba5e000\n"
    ledger.append([NewFact(story.id, Kind.GOAL_ENDED, {"state": "halted", "reason": "no gate"})], START + 2)
    ledger.close()
    out, err = follower.communicate(timeout=20)
    assert (out, err) == ("08:00:02  goal  halted: no gate\nstate halted\n", "")


def test_ctrl_c_detaches(home: Home) -> None:
    home.create()
    live_daemon(home)
    ledger = Ledger(home.database)
    ledger.add_goal(Story(chain("a")).spec, START)
    ledger.close()
    follower = program(FOLLOW.format(json=True), home)
    assert follower.stdout is not None
    assert json.loads(follower.stdout.readline())["event"] == "goal_created"
    follower.send_signal(signal.SIGINT)
    assert follower.communicate(timeout=20) == ("detached from tidy-k3f9\n", "")


def test_following_ends_when_the_daemon_is_gone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "GONE_SECONDS", 0.0)
    story = Story(chain("a"))
    story.start()
    story.write(home)
    with pytest.raises(MoError) as raised:
        follow.follow(home, story.id, Context(home.top, quiet=True))
    error = raised.value
    assert (error.message, error.code) == (f"the daemon ended; goal {story.id} stands still", Exit.DAEMON)
    assert error.hint == f"mo daemon start goes on with it\nwhat happened: {home.log_file}"


def rendered(story: Story, room: int, doing: dict[str, str] | None = None) -> list[str]:
    from rich.console import Console

    console = Console(width=80, no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(follow.render(story.goal, START + 100, room, doing))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_what_an_agent_does_now_comes_from_the_status_file(home: Home) -> None:
    story = Story(chain("paint"))
    story.start()
    story.run("paint", 2)
    me = identify(os.getpid())
    assert me is not None
    home.create()
    home.write_daemon({"v": 1, "pid": me.pid, "start": me.start, "boot": me.boot, "version": "0"})
    for attempt, expected in ((2, {"paint": "run make"}), (1, {})):
        now = {f"{story.id}/paint#{attempt}": "run make"}
        document = views.status_document([story.goal], seq=3, daemon={"pid": me.pid}, limits={}, doing=now)
        home.write_status(document)
        found = follow.doing(home, story.goal)
        assert {task: text for task, text in found.items() if text} == expected
    planning = Story((), wants_plan=True)
    planning.start()
    planning.tell(Kind.PLAN_STARTED, n=2, provider="claude")
    now = {f"{planning.id}/.plan#2": "read a.py", f"{planning.id}/.plan#1": "read b.py"}
    document = views.status_document([planning.goal], seq=3, daemon={"pid": me.pid}, limits={}, doing=now)
    home.write_status(document)
    found = follow.doing(home, planning.goal)
    assert found == {".plan": "read a.py"}
    assert rendered(planning, 9, found) == ["tidy-k3f9  planning  read a.py"]
    home.daemon_file.unlink()
    assert set(follow.doing(home, story.goal).values()) <= {""}


def test_the_table_says_what_agents_do_and_cost() -> None:
    story = Story(chain("paint", "dry"))
    story.start()
    story.run("paint")
    story.tell(Kind.USAGE, "paint", 1, provider="codex", cost_usd=1.5)
    assert rendered(story, 9, {"paint": "run make", "dry": "nothing"}) == [
        "tidy-k3f9  running  0 landed, integration ba5e000, $1.50",
        "▶ paint  running    1 min 38 s  run make",
        "○ dry    pending",
    ]


def test_the_table_on_a_terminal() -> None:
    story = Story(chain("paint", "dry", "frame"))
    story.start()
    story.do("paint")
    story.run("dry")
    story.tell(Kind.ATTEMPT_FAILED, "dry", 1, {"class": "lost", "reason": "gone"}, kept="")
    story.tell(Kind.RETRY_SCHEDULED, "dry", 1, not_before=START, why="gone")
    assert rendered(story, 9)[2] == "◷ dry    waiting      gone"
    story.run("dry", 2)
    assert rendered(story, 9) == [
        "tidy-k3f9  running  1 landed, integration ddddddd",
        "✔ paint  landed                   ddddddd",
        "▶ dry    running  #2  1 min 28 s",
        "○ frame  pending",
    ]


def test_a_table_too_long_shows_the_work_and_the_trouble() -> None:
    story = Story(tuple(TaskSpec(f"t{n}") for n in range(9)))
    story.start()
    for name in ("t0", "t1", "t2"):
        story.do(name)
    story.run("t7")
    story.run("t8")
    story.fail("t8", "slipped")
    lines = rendered(story, 3)
    assert [line.split()[1] for line in lines[1:4]] == ["t3", "t7", "t8"]
    assert lines[4] == "and 3 ready, 3 landed"


def test_a_terminal_gets_the_table(home: Home, commits: Commits) -> None:
    master, slave = pty.openpty()
    code = FOLLOW.format(json=False)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    follower = subprocess.Popen(
        [sys.executable, "-c", code], cwd=home.top, env=environ, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    screen = read_terminal(master)
    assert follower.wait(20) == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)
    rows = [line.split() for line in plain.splitlines()]
    assert ["✔", "sweep", "landed", commits.merge[:7]] in rows
    assert rows[-1] == ["state", "failed"]


def read_terminal(master: int) -> str:
    """Everything until the other side is closed."""
    chunks = []
    while select.select([master], [], [], 20)[0]:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # EIO: how Linux says that nobody holds the other side any more
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(master)
    return b"".join(chunks).decode()


WATCH = "import sys; sys.argv[1:] = {arguments!r}; from mo_git.__main__ import main; sys.exit(main())"


def test_watching_prints_what_changes(home: Home) -> None:
    story = Story(chain("a"))
    home.create()
    home.write_status(views.status_document([story.goal], seq=1, daemon={}, limits={}))
    watcher = program(WATCH.format(arguments=["status", "--watch", "--json"]), home)
    assert watcher.stdout is not None
    assert json.loads(watcher.stdout.readline())["goals"][0]["state"] == "queued"
    story.start()
    home.write_status(views.status_document([story.goal], seq=2, daemon={}, limits={}))
    assert json.loads(watcher.stdout.readline())["goals"][0]["state"] == "running"
    watcher.send_signal(signal.SIGINT)
    assert watcher.communicate(timeout=20) == ("", "")
    assert watcher.returncode == 0


def test_following_a_log(home: Home) -> None:
    home.create()
    home.log_file.write_text("one\ntw")
    watcher = program(WATCH.format(arguments=["logs", "-f"]), home)
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == "one\n"
    with home.log_file.open("a") as file:
        file.write("o\nthree\n")
    assert [watcher.stdout.readline() for _ in range(2)] == ["two\n", "three\n"]
    watcher.send_signal(signal.SIGINT)
    assert watcher.communicate(timeout=20) == ("", "")
    assert watcher.returncode == 0
