"""`mo status` without the command line proper: what it understands, finds, says, and does not import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mo_git import fast_status, views
from mo_git.breakers import Wait
from mo_git.cli import cli
from mo_git.errors import MoError
from mo_git.git.layout import discover
from mo_git.home import Home
from mo_git.model import Kind
from mo_git.process import boot_id, identify
from tests import schemas
from tests.story import START, Story, chain
from tests.support import RepoBuilder

ROOT = Path(__file__).parents[1]
NOW = START + 100


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def home(repo: RepoBuilder) -> Home:
    found = Home(repo.path.resolve(), repo.path.resolve() / ".git")
    found.create()
    return found


def running_daemon(**more: Any) -> dict[str, Any]:
    """This test process, as a daemon would write itself down."""
    me = identify(os.getpid())
    assert me is not None
    about = {"v": 1, "pid": me.pid, "start": me.start, "boot": me.boot, "version": "9.9.9", "web": None}
    return {**about, "started_at": START, **more}


def publish(home: Home, *stories: Story, at: float = START + 90) -> None:
    goals = [story.goal for story in stories]
    seq = max((goal.last_seq for goal in goals), default=0)
    home.write_status(views.status_document(goals, seq=seq, daemon={}, limits={}))
    os.utime(home.status_file, (at, at))


def failed() -> Story:
    story = Story(chain("sweep", "mop"), id="tidy-k3f9", title="Tidy the\thouse")
    story.start()
    story.run("sweep")
    story.fail("sweep", "exit code 1")
    story.tell(Kind.SKIPPED, "mop", reason="sweep failed")
    story.end("failed", "2 of 2 tasks did not land: sweep, mop")
    return story


def working() -> Story:
    story = Story(chain("paint", "dry", "frame"), id="wall-a2b1", title="Paint it", created_at=START + 50)
    story.start()
    story.do("paint")
    story.run("dry")
    return story


def done(number: int) -> Story:
    story = Story(chain("a"), id=f"old-{number:04}", created_at=START - 1000 + number)
    story.start()
    story.do("a")
    story.end("done")
    story.operation("land", "r", ok=True, message="moved", commit=story.goal.integration)
    return story


def loaded(home: Home) -> dict[str, Any]:
    document = fast_status.load(str(home.top))
    assert document is not None
    return document


# -- the command line ---------------------------------------------------------------------------------


def test_what_waits_and_until_when(home: Home) -> None:
    story = Story(chain("a"))
    story.start()
    story.run("a")
    story.tell(Kind.ATTEMPT_FAILED, "a", 1, {"class": "rate_limit", "reason": "429"}, exit_code=1)
    story.tell(Kind.RETRY_SCHEDULED, "a", 1, not_before=NOW + 42, why="429")
    soon, late = Wait("x: rate limit", NOW + 60), Wait("y: usage limit", NOW + 7200)
    waits = {story.id: {soon: 2, late: 0, Wait("z"): 1}}
    document = views.status_document([story.goal], seq=5, daemon={}, limits={}, waits=waits)
    home.write_status(document)
    shown = fast_status.load(str(home.top))
    assert shown is not None
    lines = fast_status.text(shown, NOW, one=True).splitlines()
    assert "  2 ready tasks: x: rate limit until 08:02:40" in lines
    assert "  planning: y: usage limit until 10:01" in lines
    assert "  1 ready task: z" in lines
    assert any("until 08:02:22: 429" in line for line in lines)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("status", (".", "", False, False, "auto")),
        ("status abc", (".", "abc", False, False, "auto")),
        ("--json status", (".", "", True, False, "auto")),
        ("-C /x status --json --exit-code", ("/x", "", True, True, "auto")),
        ("status -C /x @last --color never", ("/x", "@last", False, False, "never")),
        ("--color=always -C/x status", ("/x", "", False, False, "always")),
        ("-C a -C b status", ("./a/b", "", False, False, "auto")),
        ("status --watch", None),
        ("status --help", None),
        ("-v status", None),
        ("--exit-code status", None),
        ("status a b", None),
        ("status -C", None),
        ("--color=red status", None),
        ("show status", None),
        ("-C status", None),
        ("", None),
    ],
)
def test_parse(line: str, expected: tuple[object, ...] | None) -> None:
    found = fast_status.parse(line.split())
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found.directory.replace("././", "./"), *_rest(found)) == expected


def _rest(options: fast_status.Options) -> tuple[object, ...]:
    return options.goal, options.json, options.exit_code, options.color


# -- finding the repository ---------------------------------------------------------------------------


def test_finds_what_discover_finds(repo: RepoBuilder, tmp_path: Path) -> None:
    (repo.path / "deep" / "er").mkdir(parents=True)
    linked = tmp_path / "linked"
    repo.git("worktree", "add", "-q", str(linked))
    (linked / "below").mkdir()
    (tmp_path / "link").symlink_to(repo.path / "deep")
    for start in (repo.path, repo.path / "deep" / "er", linked, linked / "below", tmp_path / "link"):
        assert fast_status.find_top(str(start)) == str(discover(start).top) == str(repo.path)


def test_leaves_the_rest_to_discover(repo: RepoBuilder, tmp_path: Path) -> None:
    """Unusual repositories, and what is none, cost the start of the command line proper."""
    RepoBuilder.create(tmp_path / "apart", {"a": "1"}, "--separate-git-dir", str(tmp_path / "elsewhere"))
    RepoBuilder.create(tmp_path / "inner", {"a": "1"})
    repo.git("submodule", "add", "-q", str(tmp_path / "inner"), "sub")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / ".git").write_text("gitdir: /nowhere\n")
    (tmp_path / "nonsense").mkdir()
    (tmp_path / "nonsense" / ".git").write_text("hello\n")
    (tmp_path / "empty" / ".git").mkdir(parents=True)
    for name in ("apart", "repo/sub", "broken", "nonsense", "empty", "."):
        assert fast_status.find_top(str(tmp_path / name)) is None


def test_git_variables_of_a_hook_do_not_lead_astray(
    repo: RepoBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert fast_status.find_top(str(repo.path)) == str(repo.path)


# -- the daemon ---------------------------------------------------------------------------------------


def test_only_exactly_the_named_process_is_the_daemon() -> None:
    me = running_daemon()
    assert fast_status.daemon_alive(me)
    assert fast_status.daemon_alive({**me, "boot": ""})
    assert not fast_status.daemon_alive({**me, "start": "1"})
    assert not fast_status.daemon_alive({**me, "boot": "another"})
    assert not fast_status.daemon_alive({**me, "pid": str(me["pid"])})
    assert not fast_status.daemon_alive(None)


def test_a_process_that_ended_is_no_daemon() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = identify(child.pid)
    assert identity is not None
    named = {"pid": child.pid, "start": identity.start, "boot": boot_id()}
    assert fast_status.daemon_alive(named)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not fast_status.daemon_alive(named), "a zombie does nothing any more"
    child.communicate()
    assert not fast_status.daemon_alive(named)


# -- the document -------------------------------------------------------------------------------------


def test_the_document_keeps_its_promise(home: Home) -> None:
    publish(home, failed(), working())
    for daemon in (None, running_daemon(isolation="sandbox", gates="guard", executor="local")):
        if daemon:
            home.write_daemon(daemon)
        document = loaded(home)
        assert schemas.problems("status", document) == []
        assert (document["as_of"], document["waiting"]) == (START + 90, 0)
    assert document["daemon"] == {
        "pid": os.getpid(),
        "version": "9.9.9",
        "started_at": START,
        "web": None,
        "isolation": "sandbox",
        "gates": "guard",
        "executor": "local",
    }
    assert fast_status.text(document, START + 100).startswith(
        f"daemon running (pid {os.getpid()}, mo 9.9.9); gates and checks run as you\n"
    )


def test_requests_that_wait_are_counted(home: Home) -> None:
    publish(home)
    home.drop("cancel", {})
    home.drop("retry", {})
    (home.inbox / ".half-written").write_text("x")
    (home.inbox / ".bad").mkdir()
    assert loaded(home)["waiting"] == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"v": 2}', '{"v": 1} x', '"\\ud8"', "\xff"])
def test_an_unreadable_document_is_none(home: Home, content: str) -> None:
    home.status_file.write_bytes(content.encode("latin-1"))
    assert fast_status.load(str(home.top)) is None


def test_reads_json_as_json_does(home: Home) -> None:
    document: dict[str, Any] = {
        "v": 1,
        "daemon": None,
        "goals": [{"a": [1, -2.5e3, True, None, 'ä\n"\\/\U0001f600', {}]}],
    }
    for text in (json.dumps(document), f"  {json.dumps(document, ensure_ascii=False, indent=2)}\n"):
        home.status_file.write_text(text)
        found = loaded(home)
        assert {key: found[key] for key in document} == document


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("tidy-k3f9", "tidy-k3f9"),
        ("ti", "tidy-k3f9"),
        ("@last", "wall-a2b1"),
        ("old-0001", "old-0001"),
        ("old", None),
        ("nobody", None),
    ],
)
def test_select(home: Home, wanted: str, found: str | None) -> None:
    publish(home, failed(), working(), done(1), done(2))
    document = fast_status.select(loaded(home), wanted)
    assert (document and [goal["id"] for goal in document["goals"]]) == (found and [found])


# -- the text -----------------------------------------------------------------------------------------


def test_text_of_a_running_daemon(home: Home) -> None:
    publish(home, failed(), working())
    home.write_daemon(running_daemon())
    assert fast_status.text(loaded(home), NOW).splitlines() == [
        f"daemon running (pid {os.getpid()}, mo 9.9.9)",
        "",
        "wall-a2b1  running  Paint it        1 pending, 1 running, 1 landed",
        "tidy-k3f9  failed   Tidy the house  1 failed, 1 skipped",
        "",
        "needs you",
        "  tidy-k3f9/sweep  failed: exit code 1  mo retry tidy-k3f9/sweep",
    ]


def test_text_of_one_goal(home: Home) -> None:
    publish(home, failed(), working())
    document = fast_status.select(loaded(home), "wall")
    assert document is not None
    assert fast_status.text(document, NOW, one=True).splitlines() == [
        "daemon stopped, as of 08:01: the next `mo do` or `mo daemon start` goes on",
        "",
        "wall-a2b1  running  Paint it  1 pending, 1 running, 1 landed",
        "  dry  running  attempt 1, 41 s",
    ]


COMING = (
    (("wall-a2b1/dry", "wall-a2b1/frame"), ("src/a.py", "b\tc")),
    (("tidy-k3f9/mop", "wall-a2b1/dry"), ("x" * 200,)),
    (("gone-c3d4/one", "gone-c3d4/two"), ("x",)),
)


def test_conflicts_to_come_are_named_with_their_files(home: Home) -> None:
    goals = [working().goal, failed().goal]
    document = views.status_document(goals, seq=1, daemon={}, limits={}, forecast=COMING)
    assert schemas.problems("status", document) == []
    home.write_status(document)
    shown = fast_status.load(str(home.top))
    assert shown
    _, part = fast_status.text(shown, NOW).split("will conflict, as it looks now\n")
    assert part.split("\n\n")[0].splitlines() == [
        "  wall-a2b1/dry and wall-a2b1/frame  src/a.py, b c",
        f"  tidy-k3f9/mop and wall-a2b1/dry    {'x' * 89}…",
    ]
    only = fast_status.select(shown, "tidy")
    assert only
    assert "wall-a2b1/frame" not in fast_status.text(only, NOW)
    many = [{"tasks": [f"wall-a2b1/{n}", "wall-a2b1/z"], "paths": ["f"]} for n in range(12)]
    assert "\n  and 2 more: mo status --json" in fast_status.text({**shown, "forecast": many}, NOW)


@pytest.mark.parametrize(
    ("requests", "ending"),
    [
        (0, ""),
        (1, ", 1 request waiting: the next `mo do` or `mo daemon start` acts on it"),
        (2, ", 2 requests waiting: the next `mo do` or `mo daemon start` acts on them"),
    ],
)
def test_text_without_a_daemon(home: Home, requests: int, ending: str) -> None:
    publish(home, failed())
    for _ in range(requests):
        home.drop("retry", {})
    first = fast_status.text(loaded(home), NOW + 86400).splitlines()[0]
    assert first == f"daemon stopped, as of 2027-01-15 08:01{ending}"


def test_a_job_is_shown_with_its_items() -> None:
    goal = {"id": "job-1", "title": "Tidy", "state": "running", "tasks": {}, "needs": []}
    job = {**goal, "items": {"queued": 7, "landed": 3}}
    document = {**fast_status.empty(), "goals": [job], "as_of": None, "waiting": 0}
    assert "job-1  running  Tidy  7 queued, 3 landed" in fast_status.text(document, 0.0)


def test_text_before_the_first_goal(repo: RepoBuilder) -> None:
    document = fast_status.load(str(repo.path))
    assert document is not None
    assert schemas.problems("status", document) == []
    said = "daemon stopped\nno goals yet: mo do starts one, mo demo shows how"
    assert fast_status.text(document, NOW) == said


def test_old_goals_are_counted_but_unfinished_ones_always_shown(home: Home) -> None:
    unfinished = Story(chain("a"), id="first-0000", created_at=START - 9999)
    publish(home, unfinished, *(done(number) for number in range(13)))
    lines = fast_status.text(loaded(home), NOW).splitlines()
    assert [line.split()[0] for line in lines[2:12]] == [f"old-{n:04}" for n in range(12, 2, -1)]
    assert lines[12:] == [
        "first-0000  queued  Tidy the house  1 pending",
        "and 3 older goals: mo status --json",
    ]


def test_colours_change_nothing_else(home: Home) -> None:
    publish(home, failed(), working())
    plain, colored = (fast_status.text(loaded(home), NOW, color=color) for color in (False, True))
    assert "\033[31mfailed\033[0m   Tidy" in colored
    for code in ("\033[31m", "\033[33m", "\033[36m", "\033[1m", "\033[0m"):
        colored = colored.replace(code, "")
    assert colored == plain


@pytest.mark.parametrize(
    ("stories", "code"),
    [([], 0), ([working], 0), ([failed], 1), ([failed, working], 1), ([lambda: done(1)], 0)],
)
def test_exit_code(home: Home, stories: list[Any], code: int) -> None:
    publish(home, *(story() for story in stories))
    assert fast_status.exit_code(loaded(home)) == code


def test_exit_code_when_a_person_is_needed(home: Home) -> None:
    story = working()
    story.fail("dry", "exit code 1")
    publish(home, story)
    assert fast_status.exit_code(loaded(home)) == 5


# -- as a program -------------------------------------------------------------------------------------


def mo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`mo` as it is installed: without `-m`, which imports more by itself."""
    program = "import sys; from mo_git.__main__ import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("line", ["status", "status tidy --exit-code", "-C . --json status", "--version"])
def test_imports_next_to_nothing(home: Home, line: str) -> None:
    publish(home, failed(), working())
    program = "import sys; before = set(sys.modules); from mo_git.__main__ import main; main()"
    program += "; print(*sorted(set(sys.modules) - before), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program, *line.split()],
        cwd=home.top,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    ours = {"__future__", "_json", "gc", "mo_git", "mo_git.__main__", "mo_git.fast_status", "mo_git.text"}
    found = set(done.stderr.split())
    if "--json" in line:
        assert not {name for name in found if name.startswith("mo_git")} - ours
        assert not found & {"pathlib", "typing", "dataclasses", "argparse", "click", "sqlite3"}
    else:
        assert found <= ours


@pytest.mark.parametrize("line", ["status", "status tidy", "status --color always", "status --json"])
def test_the_command_line_proper_says_the_same(home: Home, line: str) -> None:
    publish(home, failed(), done(1))
    home.drop("retry", {})
    fast = mo(*line.split(), cwd=home.top)
    slow = CliRunner().invoke(cli, ["-C", str(home.top), *line.split()], prog_name="mo")
    assert (fast.returncode, fast.stderr) == (0, "")
    assert slow.stdout == fast.stdout
    assert fast.stdout.startswith("{" if "--json" in line else "daemon ")


def test_exit_code_of_the_program(home: Home) -> None:
    publish(home, failed())
    assert mo("status", cwd=home.top).returncode == 0
    assert mo("status", "--exit-code", cwd=home.top).returncode == 1
    slow = CliRunner().invoke(cli, ["-C", str(home.top), "status", "--exit-code"])
    assert slow.exit_code == 1


def test_the_ledger_answers_where_status_json_is_missing(home: Home) -> None:
    story = failed()
    story.write(home)
    publish(home, story)
    expected = loaded(home)
    home.status_file.unlink()
    done = mo("status", "--json", cwd=home.top)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {**expected, "as_of": None}


def test_a_goal_that_status_json_lacks_is_looked_up_in_the_ledger(home: Home) -> None:
    publish(home, working())
    failed().write(home)
    done = mo("status", "tidy", cwd=home.top)
    assert (done.returncode, done.stderr) == (0, "")
    assert "tidy-k3f9  failed" in done.stdout


@pytest.mark.parametrize("name", ["nobody", "old"])
def test_ids_that_are_not_one_goal(home: Home, name: str) -> None:
    publish(home, done(1), done(2))
    found = mo("status", name, cwd=home.top)
    assert found.stdout == ""
    if name == "old":
        assert found.returncode == 2
        assert found.stderr == "mo: 'old' could be 2 goals: old-0001, old-0002\n  write more of the id\n"
    else:
        assert found.returncode == 6
        assert found.stderr == "mo: no goal 'nobody'\n  mo status lists the goals\n"


def test_outside_a_repository(tmp_path: Path) -> None:
    with pytest.raises(MoError) as raised:
        discover(tmp_path)
    found = mo("--json", "status", cwd=tmp_path)
    assert (found.returncode, found.stdout) == (6, "")
    assert json.loads(found.stderr) == raised.value.document()


def test_from_a_linked_worktree(home: Home, repo: RepoBuilder, tmp_path: Path) -> None:
    publish(home, failed())
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"))
    here, there = (mo("status", cwd=path) for path in (home.top, tmp_path / "linked"))
    assert (here.stdout, here.returncode) == (there.stdout, there.returncode)
    assert "tidy-k3f9" in there.stdout


def test_a_damaged_document_becomes_a_message(home: Home) -> None:
    """A file that only looks right: the surprise becomes a message, its traceback is kept."""
    home.status_file.write_text('{"v": 1}')
    found = mo("status", cwd=home.top)
    assert (found.returncode, found.stdout) == (1, "")
    kept = list(home.log_file.parent.glob("mo-error-*.log"))
    assert len(kept) == 1
    assert found.stderr == (
        f"mo: unexpected KeyError: 'goals'\n  this is a bug in mo; the traceback is in {kept[0]}\n"
    )
    assert "Traceback" in kept[0].read_text()
    assert kept[0].read_text().startswith("mo status\n")


def test_a_closed_pipe_is_quiet(home: Home) -> None:
    publish(home, failed())
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "mo_git", "status"],
        cwd=home.top,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
