"""`mo simple` on a real repository, without a daemon: previews, refusals, and rows of a ledger."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mo_git.__main__ import main
from mo_git.home import Home
from mo_git.ledger.writer import Ledger
from mo_git.model import Bulk, GoalSpec, Kind, NewFact, Plan
from mo_git.simple.item import Item, ItemState
from tests import schemas
from tests.support import RepoBuilder

JOB = "job-t3st"


class Cli:
    """The command line in this process: (exit code, standard output, standard error)."""

    def __init__(
        self, repo: RepoBuilder, patch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.repo, self._patch, self._capfd = repo, patch, capfd
        self.home = Home(repo.path.resolve(), repo.path.resolve() / ".git")

    def __call__(self, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        self._patch.setattr(sys, "argv", ["mo", *arguments])
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._patch.chdir(self.repo.path)
        code = main()
        out, err = self._capfd.readouterr()
        return code, out, err

    def document(self, *arguments: str, stdin: bytes = b"") -> Any:
        code, out, err = self(*arguments, stdin=stdin)
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def cli(repo: RepoBuilder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    repo.write({"src/a.py": "a\n", "src/b.py": "b\n", "doc/c.md": "c\n"})
    (repo.path / "doc" / "link").symlink_to("c.md")
    repo.commit({}, "files")
    return Cli(repo, monkeypatch, capfd)


# -- scan and run -------------------------------------------------------------------------------------


def test_scan_shows_the_items(cli: Cli) -> None:
    code, out, err = cli("simple", "scan", "--glob", "src/*", "--glob", "doc/*", "Improve it.")
    assert code == 0
    assert out.splitlines() == [
        f"3 items, starting from main at {cli.repo.head()[:10]}",
        "  src: 2 items",
        "  doc: 1 item",
        "  doc-c.md: doc/c.md",
        "  src-a.py: src/a.py",
        "  src-b.py: src/b.py",
    ]
    assert err == "left out: doc/link is a symbolic link or a submodule\n"
    assert not cli.home.exists()


def test_scan_writes_a_manifest_that_run_reads(cli: Cli) -> None:
    found = cli.document(
        "simple", "scan", "--glob", "*.py", "--run", "sed -i s/a/b/ {target}", "--out", "m.jsonl", "--json"
    )
    assert (found["items"], found["buckets"], found["out"]) == (2, {"src": 2}, "m.jsonl")
    lines = [json.loads(line) for line in (cli.repo.path / "m.jsonl").read_text().splitlines()]
    assert lines[0] == {"id": "src-a.py", "target": "src/a.py", "run": ["sed", "-i", "s/a/b/", "{target}"]}
    again = cli.document("simple", "run", "--dry-run", "--manifest", "m.jsonl", "--json")
    assert (again["items"], again["first"]) == (2, found["first"])
    code, _, err = cli("simple", "scan", "--glob", "*.py", "x", "--out", "m.jsonl")
    assert (code, "m.jsonl exists already" in err) == (2, True)
    assert not cli.home.exists()


def test_names_come_from_standard_input_and_count_from_here(cli: Cli) -> None:
    scan = ("simple", "scan", "--files", "-", "Do it.", "--json")
    found = cli.document(*scan, stdin=b"src/a.py\n./src/../src/b.py\nsrc/a.py\n")
    assert [one["target"] for one in found["first"]] == ["src/a.py", "src/b.py"]
    assert found["skipped"] == [{"target": "src/a.py", "reason": "is named twice"}]
    below = cli.document("-C", "src", "simple", "scan", "--files", "a.py", "Do it.", "--json")
    assert [one["id"] for one in below["first"]] == ["src-a.py"]


def test_a_manifest_comes_from_standard_input_or_csv(cli: Cli) -> None:
    line = b'{"target": "src/a.py", "run": ["true"]}'
    assert cli.document("simple", "run", "--dry-run", "--json", "--manifest", "-", stdin=line)["items"] == 1
    cli.repo.write({"m.csv": "target,bucket\nsrc/a.py,x\nsrc/b.py,x\nsrc/a.py,y\n"})
    found = cli.document("simple", "scan", "--json", "--manifest", "m.csv", "--prompt", "Do it.")
    assert (found["buckets"], found["sharing"]) == ({"x": 2, "y": 1}, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--prompt", "x"), 2, "no items"),
        (("--glob", "*.py"), 2, "nothing says what to do"),
        (("--glob", "*.py", "x", "--run", "y"), 2, "both words and --run"),
        (("--glob", "*.py", "x", "--prompt", "y"), 2, "two instructions"),
        (("--glob", "*.py", "--manifest", "m", "x"), 2, "--manifest names the items already"),
        (("--glob", "*.py", "--run", "a 'b"), 2, "--run cannot be read as words of a command"),
        (("--glob", "*.py", "--prompt", "@none"), 6, "no such file: none"),
        (("--glob", "*.rs", "x"), 6, "matches no file of the base"),
        (("--files", "../x", "x"), 2, '"../x" leaves the repository'),
        (("--files", "/etc/passwd", "x"), 2, '"/etc/passwd" is absolute'),
        (("--files", "doc/link", "x"), 2, '"doc/link" is a symbolic link'),
        (("--files", "none", "x"), 2, '"none" is not in the base commit'),
        (("--manifest", "none"), 6, "no such file: none"),
        (("--manifest", "src"), 2, "cannot read src"),
        (("--glob", "*.py", "x", "--provider", "codx"), 2, 'no provider "codx", did you mean "codex"?'),
        (("--glob", "*.py", "x", "--base", "nowhere"), 6, "no commit is called 'nowhere' here"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_made(
    cli: Cli, arguments: tuple[str, ...], code: int, said: str
) -> None:
    found, out, err = cli("simple", "run", *arguments)
    assert (found, out) == (code, "")
    assert said in err
    assert not cli.home.exists()


def test_a_target_need_not_exist_where_that_is_said(cli: Cli) -> None:
    run = ("simple", "run", "--dry-run", "--json", "--files", "new/x.py", "Make it.")
    assert cli.document(*run, "--allow-missing")["items"] == 1


def test_every_bad_line_is_named(cli: Cli) -> None:
    cli.repo.write({"m.jsonl": '{"target": "src/a.py"}\n[]\n{"target": "../x"}\n', "new.py": ""})
    code, _, err = cli("simple", "run", "--manifest", "m.jsonl", "Do it.")
    assert code == 2
    assert err.splitlines() == [
        "mo: m.jsonl: line 2: expected an object {...}, found a list: write one object a line",
        'm.jsonl: line 3: target: "../x" leaves the repository (..)',
        "  correct these 2 problems in m.jsonl; nothing was queued",
    ]
    cli.repo.write({"m.jsonl": '{"target": "new.py"}\n'})
    code, _, err = cli("simple", "run", "--manifest", "m.jsonl", "Do it.")
    assert 'm.jsonl: line 1: target: "new.py" is not committed: commit it first' in err


# -- looking ------------------------------------------------------------------------------------------


@pytest.fixture
def job(cli: Cli) -> str:
    """A job in the ledger: one item landed, one failed, one that waits."""
    cli.home.create()
    ledger = Ledger(cli.home.database)
    try:
        plan = Plan("Tidy", ())
        ledger.add_goal(GoalSpec(JOB, "Tidy", plan, 1.0, cli.repo.head(), "main", bulk=Bulk(3)), 1.0)
        items = [Item(name, (f"src/{name}.py",), run=("true",), metadata={"n": 1}) for name in "abc"]
        ledger.items.add(JOB, 1, [(item, "src", turn, ()) for turn, item in enumerate(items)])
        for n, state, more in (
            (1, ItemState.FAILED, {"failure": "check_failed", "reason": "false: exit 1"}),
            (2, ItemState.LANDED, {"landed": "c" * 40}),
        ):
            row = ledger.items.row(JOB, n)
            assert row is not None
            assert ledger.items.claim(JOB, row, "token", "command", 10.0)
            assert ledger.items.end(JOB, n, "token", state, 10.0 + n, **more)
        ledger.append([NewFact(JOB, Kind.LANDING, {"seq": 1, "commit": "c" * 40, "tasks": []})], 20.0)
    finally:
        ledger.close()
    return JOB


def test_status_counts_and_names_what_failed(cli: Cli, job: str) -> None:
    document = cli.document("simple", "status", "--json")
    assert schemas.problems("simple_status", document) == []
    assert document["job"]["items"] == {"queued": 1, "landed": 1, "failed": 1}
    assert document["job"]["integration"] == "c" * 40
    assert document["job"]["rate_per_s"] == 1.0
    failed = {"id": "a", "target": "src/a.py", "class": "check_failed", "reason": "false: exit 1"}
    assert document["job"]["failed"] == [failed]
    _, out, _ = cli("simple", "status", "@last")
    assert out.splitlines()[1:] == [
        "  a  check_failed  false: exit 1",
        f"  mo simple retry {job} starts what failed again",
    ]


def test_show_lists_what_failed_first(cli: Cli, job: str) -> None:
    _, out, _ = cli("simple", "show")
    assert out.splitlines() == [
        "a  failed    check_failed: false: exit 1",
        "c  queued",
        "b  landed    cccccccccc",
    ]
    _, out, _ = cli("simple", "show", job, "-n", "1")
    assert out.splitlines()[1:] == ["and 2 more: -n N, --state STATE, or --jsonl for all"]
    _, out, _ = cli("simple", "show", "job", "--state", "cancelled")
    assert out == "no such items\n"
    listed = cli.document("simple", "show", "--state", "landed", "--json")
    assert (listed["total"], [one["id"] for one in listed["items"]]) == (1, ["b"])


def test_results_come_as_json_lines(cli: Cli, job: str) -> None:
    _, out, _ = cli("simple", "show", job, "--jsonl")
    found = [json.loads(line) for line in out.splitlines()]
    assert [problem for one in found for problem in schemas.problems("simple_item", one)] == []
    assert [one["id"] for one in found] == ["a", "b", "c"]
    assert (found[0]["class"], found[0]["seconds"], found[0]["metadata"]) == ("check_failed", 1.0, {"n": 1})
    assert (found[1]["commit"], found[2]["commit"], found[2]["seconds"]) == ("c" * 40, None, None)


def test_one_item_is_shown_in_full(cli: Cli, job: str) -> None:
    _, out, _ = cli("simple", "show", "--item", "a")
    assert f".mo/runs/{job}/a/1" in out
    assert "false: exit 1" in out
    assert cli.document("simple", "show", "--item", "c", "--json")["item"]["files"] is None
    code, _, err = cli("simple", "show", "--item", "x")
    assert (code, "has no item 'x'" in err) == (6, True)


@pytest.mark.parametrize("verb", ["status", "show", "resume", "retry", "cancel"])
def test_without_a_job_that_is_said(cli: Cli, verb: str) -> None:
    code, _, err = cli("simple", verb)
    assert code == 6
    assert err.startswith("mo: no goals yet")


def test_a_goal_with_tasks_is_no_job(cli: Cli, job: str) -> None:
    ledger = Ledger(cli.home.database)
    try:
        ledger.add_goal(GoalSpec("goal-1", "G", Plan("G", ()), 2.0, cli.repo.head(), wants_plan=True), 2.0)
    finally:
        ledger.close()
    code, _, err = cli("simple", "status", "goal-1")
    assert (code, "is a goal with tasks, no job" in err) == (2, True)
    assert (
        cli.document("simple", "status", "--json")["job"]["id"] == job
    )  # the latest job, not the latest goal
    code, _, err = cli("simple", "revert", job, "x")
    assert (code, "has no item 'x'" in err) == (6, True)


def test_without_a_daemon_a_cancel_is_queued(cli: Cli, job: str) -> None:
    code, out, _ = cli("simple", "cancel")
    assert (code, out.startswith("cancel is queued")) == (0, True)
    payload = json.loads(next(Path(cli.home.inbox).iterdir()).read_text())["payload"]
    assert payload["goal"] == job
