"""The verbs that act: what they refuse and how, what they hand to the daemon, and the daemon as a process.

Where an answer is needed, a small program of this file takes the daemon's place: it is a real process that
speaks through the real inbox and ledger, and carries nothing out.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mo_git import __version__, resources, trust
from mo_git.__main__ import main
from mo_git.cli import VERBS, client, demo, goals, guided
from mo_git.errors import Exit, MoError
from mo_git.git.binary import discover
from mo_git.home import Home
from mo_git.ledger.reader import Reader
from mo_git.ledger.writer import Ledger
from mo_git.lifecycle import new_goal
from mo_git.model import GoalSpec, GoalState, Kind, Plan, TaskSpec, TaskState
from mo_git.plan import parse_goal_file, parse_plan
from mo_git.process import identify
from tests.story import Story, chain
from tests.support import RepoBuilder

ROOT = Path(__file__).parents[1]
MINE = (
    *("init", "do", "plan", "land", "sync", "rollback", "retry", "skip", "cancel", "pause", "resume"),
    *("recover", "gc", "daemon", "demo", "agents", "review"),
)
PLAN = """\
goal = "Tidy the house"

[[task]]
id = "sweep"
title = "Sweep the floor"
run = ["sh", "-c", "echo swept > floor"]
writes = ["floor"]
timeout = 10

[[task]]
id = "mop"
title = "Mop it"
run = ["sh", "-c", "echo mopped > floor"]
depends_on = ["sweep"]
timeout = 60

[[task]]
id = "paint"
title = "Paint the floor"
run = ["true"]
writes = ["f*"]
"""
BAD_PLAN = """\
gaol = "typo"

[[task]]
id = "a"
depends_on = ["b", "nobody"]

[[task]]
id = "b"
run = "echo hi"
depends_on = ["a"]
"""


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    def document(self) -> dict[str, Any]:
        document = json.loads(self.out)
        assert document.pop("v") == 1
        return dict(document)


Mo = Callable[..., Done]


@pytest.fixture
def mo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], repo: RepoBuilder) -> Mo:
    """Run `mo ARGS` in this process, in the repository unless `cwd` says otherwise."""

    def run(*args: str, cwd: Path = repo.path) -> Done:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["mo", *args])
        code = main()
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run


@pytest.fixture
def home(repo: RepoBuilder) -> Home:
    return Home(repo.path, repo.path / ".git")


@pytest.fixture
def goal(repo: RepoBuilder, home: Home) -> GoalSpec:
    """A goal in the ledger; no daemon."""
    home.create()
    spec = GoalSpec("tidy-ab12", "Tidy", parse_plan(PLAN, "plan.toml"), 1.0, repo.head(), "main")
    ledger = Ledger(home.database)
    ledger.add_goal(spec, 1.0)
    ledger.close()
    return spec


def inbox(home: Home) -> list[tuple[str, dict[str, Any]]]:
    """(verb, payload) of what waits, without who asked, which is the same for all."""
    found = []
    for request in home.requests()[0]:
        payload = dict(request.payload)
        asked = payload.pop("client")
        assert asked == {
            "version": __version__,
            "pid": os.getpid(),
            "path": os.environ["PATH"],
            "virtual_env": os.environ.get("VIRTUAL_ENV", ""),
        }
        found.append((request.verb, payload))
    return found


# -- what is refused ----------------------------------------------------------------------------------


def bare(tmp_path: Path) -> Path:
    RepoBuilder.create(tmp_path / "place", None, "--bare")
    return tmp_path / "place"


def nowhere(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def unborn(tmp_path: Path) -> Path:
    return RepoBuilder.create(tmp_path / "place").path


def detached(tmp_path: Path) -> Path:
    repo = RepoBuilder.create(tmp_path / "place", {"a": "a"})
    repo.git("checkout", "-q", "--detach")
    return repo.path


def usual(tmp_path: Path) -> Path:
    return RepoBuilder.create(tmp_path / "place", {"a": "a"}).path


@pytest.mark.parametrize(
    ("place", "args", "code", "message", "hint"),
    [
        (nowhere, "do @plan.toml", 6, "is not in a git repository", "git init"),
        (nowhere, "init", 6, "is not in a git repository", "git init"),
        (nowhere, "daemon stop", 6, "is not in a git repository", "git init"),
        (bare, "do @plan.toml", 2, "is a bare repository", "git clone"),
        (unborn, "do @plan.toml", 1, "has no commit yet", "git commit --allow-empty -m start"),
        (detached, "do @plan.toml", 2, "HEAD is detached", "git switch -c NAME"),
        (usual, "do @nothing.toml", 6, "no such file: nothing.toml", "the path after @"),
        (usual, "do @.", 2, "cannot read .", ""),
        (usual, "do @plan.toml --base nope", 6, "no commit is called 'nope'", "git log"),
        (
            usual,
            "do @plan.toml --base HEAD --include-dirty",
            2,
            "--include-dirty builds on HEAD",
            "leave out",
        ),
        (usual, "do @plan.toml --depends-on x", 6, "no goals yet", "mo do"),
        (usual, "do @plan.toml -j 0", 2, "0 is not in the range", ""),
        (usual, "do @plan.toml --budget nan", 2, "nan is not a finite number", ""),
        (usual, "do @plan.toml --max-hours inf", 2, "inf is not a finite number", ""),
        (usual, "plan @plan.toml --budget -nan", 2, "-nan is not a finite number", ""),
        (usual, "resume x --budget 1e999", 2, "1e999 is not a finite number", ""),
        (usual, "resume x --budget -inf", 2, "-inf is not in the range", ""),
        (usual, "gc --older-than nan", 2, "nan is not a finite number", ""),
        (usual, "do @plan.toml --provider nope", 2, 'no provider "nope"', "auto, claude, codex"),
        (usual, "do @plan.toml --phase-provider execute=nope", 2, 'no provider "nope"', "claude"),
        (usual, "do @plan.toml --phase-provider paint=codex", 2, "not PHASE=PROVIDER", "execute"),
        (usual, "do @plan.toml --ask", 2, "--ask is about a goal in words", "leave out --ask"),
        (usual, "do --ask --single add-login", 2, "--ask is about a goal in words", "leave out --ask"),
        (usual, "do @target.md", 6, "no commit is called 'refs/heads/nope'", "git log"),
        (usual, "cancel x", 6, "no goals yet", "mo do"),
        (usual, "land x", 6, "no goals yet", "mo do"),
        (usual, "recover", 6, "mo was never used here", "mo init"),
        (usual, "gc", 6, "mo was never used here", "mo init"),
        (usual, "demo --keep .", 2, ". is in the way", "a new or an empty directory"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value).replace("/", "-")),
)
def test_refused_with_the_remedy(
    place: Callable[[Path], Path], args: str, code: int, message: str, hint: str, tmp_path: Path, mo: Mo
) -> None:
    directory = place(tmp_path)
    (directory / "plan.toml").write_text(PLAN)
    (directory / "target.md").write_text(f'+++\ntarget = "nope"\n{PLAN}+++\n')
    as_json = mo("--json", *args.split(), cwd=directory)
    error = json.loads(as_json.err.splitlines()[-1])["error"]
    assert (as_json.code, Exit[error["code"].upper()], as_json.out) == (code, code, "")
    assert message in error["message"]
    assert hint in error["hint"]
    plain = mo(*args.split(), cwd=directory)
    assert plain.code == code
    assert message in plain.err
    assert not (directory / ".mo/inbox").exists()


def test_everything_wrong_with_a_plan_is_said_at_once(repo: RepoBuilder, mo: Mo) -> None:
    repo.write({"bad.toml": BAD_PLAN})
    for verb in ("do", "plan"):
        done = mo(verb, "@bad.toml")
        assert (done.code, done.out) == (2, "")
        for part in ("gaol: unknown key", 'no task "nobody"', "expected an argv list", "cycle: a -> b -> a"):
            assert part in done.err


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ("cancel nope", 6, "no goal 'nope'"),
        ("skip tidy", 2, "skip takes one task"),
        ("skip tidy/nope", 6, "no task 'nope' in tidy-ab12"),
        ("retry tidy/mop#1", 2, "an attempt cannot be acted on"),
        ("rollback tidy", 2, "name either a task"),
        ("rollback tidy/mop --to HEAD", 2, "name either a task"),
        ("rollback tidy --to good/7", 6, "no commit is called 'refs/mo/tidy-ab12/good/7'"),
    ],
)
def test_wrong_ids_reach_nobody(
    args: str, code: int, message: str, mo: Mo, home: Home, goal: GoalSpec
) -> None:
    done = mo(*args.split())
    assert done.code == code
    assert message in done.err
    assert inbox(home) == []
    assert goal.id == "tidy-ab12"


# -- plans --------------------------------------------------------------------------------------------


def test_a_plan_is_drawn(repo: RepoBuilder, mo: Mo) -> None:
    repo.write({"plan.toml": PLAN})
    done = mo("plan", "@plan.toml")
    assert done.code == 0
    assert done.out == (
        "Tidy the house\n"
        "○ sweep  Sweep the floor\n"
        "↓ ○ mop  Mop it\n"
        "○ paint  Paint the floor\n"
        "\n"
        "level 1: sweep, paint\n"
        "level 2: mop\n"
        "critical path (2 tasks): sweep -> mop\n"
    )
    assert (
        done.err == "warning: sweep and paint may both write floor and f*, and neither waits for the other\n"
    )
    assert mo("do", "@plan.toml", "--plan-only") == done
    assert not (repo.path / ".mo").exists()


def test_a_plan_as_data_and_as_a_file(repo: RepoBuilder, mo: Mo) -> None:
    repo.write({"plan.toml": PLAN})
    document = mo("--json", "plan", "@plan.toml").document()
    assert parse_plan(json.dumps(document.pop("plan")), "p.json") == parse_plan(PLAN, "plan.toml")
    assert document == {
        "levels": [["sweep", "paint"], ["mop"]],
        "critical_path": ["sweep", "mop"],
        "overlaps": [{"tasks": ["sweep", "paint"], "paths": "floor and f*"}],
        "estimate": {
            "agents": 0,
            "at_once": 0,
            "commands": 3,
            "low_usd": 0,
            "high_usd": 0,
            "samples": 0,
            "budget_usd": 0,
        },
    }
    done = mo("plan", "@plan.toml", "--format", "mermaid", "-o", "plan.mmd")
    assert (done.code, done.out) == (0, "")
    assert (repo.path / "plan.mmd").read_text().startswith("flowchart TD\n")
    assert mo("plan", "@plan.toml", "--format", "dot").out.startswith("digraph plan {\n")
    mo("plan", "@plan.toml", "-o", "again.toml")
    written = (repo.path / "again.toml").read_text()
    assert parse_plan(written, "again.toml") == parse_plan(PLAN, "plan.toml")
    assert mo("plan", "@plan.toml", "--format", "toml").out == written
    assert "cannot write no/where" in mo("plan", "@plan.toml", "-o", "no/where").err


def test_a_plan_for_agents_says_what_it_takes(repo: RepoBuilder, mo: Mo, home: Home) -> None:
    tasks = '[[task]]\nid = "a"\nprompt = "x"\n[[task]]\nid = "b"\nprompt = "x"\nprovider = "claude"\n'
    repo.write({"p.toml": tasks})
    guess = "takes 2 agents (at most 2 at once), about $0.60 to $3.00 (a rough guess; budget $25.00)"
    assert mo("plan", "@p.toml").out.splitlines()[-1] == guess
    assert not (repo.path / ".mo").exists()
    story = Story(chain("a"))
    for provider in ("codex", "claude"):
        for number, cost in enumerate((0.1, 0.2, 0.4)):
            data = {"provider": provider, "model": "", "phase": "execute", "cost_usd": cost}
            story.tell(Kind.USAGE, f"{provider}-{number}", 1, data)
    story.write(home)
    (home.path / "local.toml").write_text("[budget]\ngoal_usd = 0\n[orchestrator]\nmax_parallel = 1\n")
    known = "takes 2 agents (at most 1 at once), about $0.20 to $0.80 (as 6 tasks here did; no budget)"
    assert mo("plan", "@p.toml", "--budget", "0").out.splitlines()[-1] == known
    other = mo("plan", "@p.toml", "--phase-provider", "execute=claude").out.splitlines()[-1]
    assert other.endswith("about $0.20 to $0.80 (as 3 tasks here did; no budget)")


# -- making a goal ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Add JWT authentication", "add-jwt-authentication"),
        ("Don't panic: 42!", "dont-panic-42"),
        ("Größe & Ärger", "groe-arger"),
        ("日本語", "goal"),
        ("", "goal"),
        ("x" * 80, "x" * 32),
        ("one two three four five six seven eight nine ten", "one-two-three-four-five-six"),
    ],
)
def test_goal_ids(title: str, slug: str) -> None:
    one, other = goals.goal_id(title), goals.goal_id(title)
    assert re.fullmatch(re.escape(slug) + "-[a-z0-9]{4}", one)
    assert one != other
    assert len(one) <= goals.SLUG_LENGTH + 5


def made(repo: RepoBuilder, options: goals.Options | None = None, name: str = "plan.toml") -> GoalSpec:
    source = goals.read_source(f"@{name}", repo.path)
    return goals.make_goal(source, options or goals.Options(), discover(repo.path))


def test_a_goal_pins_base_and_target(repo: RepoBuilder, capsys: pytest.CaptureFixture[str]) -> None:
    first = repo.head()
    second = repo.commit({"plan.toml": PLAN})
    spec = made(repo, goals.Options(parallel=3, deliver="merge", gate="make test", depends_on="other-1234"))
    assert (spec.title, spec.base, spec.target) == ("Tidy the house", second, "main")
    assert (spec.parallel, spec.deliver, spec.gate, spec.depends_on) == (
        3,
        "merge",
        "make test",
        "other-1234",
    )
    assert spec.plan == parse_plan(PLAN, "plan.toml")
    assert spec.environment == {"PATH": os.environ["PATH"], "VIRTUAL_ENV": os.environ.get("VIRTUAL_ENV", "")}
    plain = made(repo)
    assert (plain.parallel, plain.deliver, plain.gate, plain.depends_on) == (None, "branch", None, "")
    assert made(repo, goals.Options(base="HEAD~1")).base == first
    repo.git("checkout", "-q", "--detach")
    spec = made(repo, goals.Options(base="main"))
    assert (spec.base, spec.target) == (second, "")
    assert capsys.readouterr().err == ""


def test_options_win_over_a_goal_file(repo: RepoBuilder) -> None:
    front = 'title = "House"\ndeliver = "merge"\nparallel = 2\ngate = "a"\ntarget = "other"\n'
    repo.git("branch", "other")
    repo.write({"goal.md": f"+++\n{front}{PLAN}+++\n\n# Tidy\n\nAll of it.\n"})
    spec = made(repo, name="goal.md")
    assert (spec.title, spec.deliver, spec.parallel, spec.gate) == ("House", "merge", 2, "a")
    assert (spec.target, spec.id[:-5]) == ("other", "house")
    spec = made(repo, goals.Options(deliver="branch", parallel=5, gate="b"), "goal.md")
    assert (spec.deliver, spec.parallel, spec.gate) == ("branch", 5, "b")


def test_uncommitted_changes_are_left_out_or_taken(
    repo: RepoBuilder, capsys: pytest.CaptureFixture[str]
) -> None:
    repo.commit({"plan.toml": PLAN})
    before = repo.head()
    repo.write({"README.md": "changed\n", "new": "new\n"})
    assert made(repo).base == before
    assert "uncommitted changes are not in the goal's base" in capsys.readouterr().err
    base = made(repo, goals.Options(include_dirty=True)).base
    assert repo.tree(base) == {"README.md": "changed", "new": "new", "plan.toml": PLAN.strip()}
    assert repo.head(f"{base}^") == repo.head() == before
    assert repo.git("status", "--porcelain") == " M README.md\n?? new"
    assert capsys.readouterr().err == ""


def test_an_operation_in_progress_is_only_warned_about(
    repo: RepoBuilder, capsys: pytest.CaptureFixture[str]
) -> None:
    repo.commit({"plan.toml": PLAN})
    repo.branch("other", {"README.md": "theirs\n"})
    repo.commit({"README.md": "ours\n"})
    repo.git("merge", "other", check=False)
    assert made(repo).base == repo.head()
    assert "warning: a merge is in progress here" in capsys.readouterr().err


def test_the_goal_file_is_read_again(repo: RepoBuilder) -> None:
    repo.commit({"plan.toml": PLAN})
    spec = made(repo, goals.Options(parallel=3, gate='run "all"'))
    text = goals.goal_file_text(spec, "Tidy it.\n\nSoon.")
    file = parse_goal_file(text, "goal.md")
    assert (file.plan, file.text) == (spec.plan, "Tidy it.\n\nSoon.")
    assert file.meta == {
        "title": "Tidy the house",
        "base": spec.base,
        "target": "main",
        "deliver": "branch",
        "gate": 'run "all"',
        "parallel": 3,
    }
    repo.write({"again.md": text})
    again = made(repo, name="again.md")
    assert again.id != spec.id
    assert (again.plan, again.base, again.title, again.gate) == (spec.plan, spec.base, spec.title, spec.gate)


def test_a_tracked_goal_runs_only_when_trusted(repo: RepoBuilder, mo: Mo) -> None:
    repo.commit({".mo/goals/theirs.toml": PLAN, "plan.toml": PLAN})
    worktree = repo.path.parent / "linked"
    repo.git("worktree", "add", "-q", str(worktree))
    (repo.path / "link.toml").symlink_to(".mo/goals/theirs.toml")
    for name, cwd in ((".mo/goals/theirs.toml", repo.path), ("link.toml", repo.path)):
        done = mo("do", f"@{name}", cwd=cwd)
        assert done.code == Exit.CONFIG
        assert "mo trust goals/theirs.toml" in done.err
    assert mo("do", "@.mo/goals/theirs.toml", cwd=worktree).code == Exit.CONFIG
    layout = discover(repo.path)
    goals.refuse_untrusted(goals.read_source("@plan.toml", repo.path), layout)
    trust.trust(layout.common_dir, {"goals/theirs.toml": PLAN.encode()}, environ=os.environ)
    goals.refuse_untrusted(goals.read_source("@.mo/goals/theirs.toml", repo.path), layout)


# -- requests without a daemon ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "verb", "payload"),
    [
        ("cancel tidy", "cancel", {"goal": "tidy-ab12"}),
        ("pause @last", "pause", {"goal": "tidy-ab12"}),
        ("skip tidy/mo", "skip", {"goal": "tidy-ab12", "task": "mop"}),
        ("recover", "recover", {"goal": ""}),
        ("recover tidy-ab12", "recover", {"goal": "tidy-ab12"}),
    ],
)
def test_requests_wait_for_a_daemon(
    args: str, verb: str, payload: Mapping[str, Any], mo: Mo, home: Home, goal: GoalSpec
) -> None:
    done = mo(*args.split())
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"{verb} is queued: no daemon is running; mo daemon start (or the next mo do) carries it out\n"
    )
    assert inbox(home) == [(verb, payload)]
    document = mo("--json", *args.split()).document()
    assert (document["state"], document["verb"]) == ("queued", verb)
    assert document["request"] == home.requests()[0][1].name
    assert goal.target == "main"


# -- something that answers ---------------------------------------------------------------------------

STAND_IN = """\
#!{python}
import json, os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from mo_git.home import Home
from mo_git.ledger.records import goal_from_data
from mo_git.ledger.reader import Reader
from mo_git.ledger.writer import Ledger
from mo_git.process import identify

outcomes, version = json.loads({outcomes!r}), {version!r}
top = Path(sys.argv[sys.argv.index("--top") + 1])
assert sys.argv[1:4] == ["-P", "-m", "mo_daemon.main"] and Path.cwd() == top
assert not [name for name in os.environ if name.startswith("GIT_")]
home = Home(top, top / ".git")
ledger = Ledger(home.database)
me = identify(os.getpid())
home.write_daemon(
    {{"v": 1, "pid": me.pid, "start": me.start, "boot": me.boot, "version": version, "started_at": 1.0}}
)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
for _ in range(3000):
    for request in home.requests()[0]:
        ledger.record_request(request.name, request.verb, request.payload, 1.0)
        outcome = outcomes.get(request.verb, {{"ok": True, "message": request.verb + " is done"}})
        if request.verb == "do" and outcome["ok"]:
            ledger.add_goal(goal_from_data(request.payload["goal"]), 1.0)
        ledger.settle_request(request.name, outcome, 1.0)
        home.forget(request.name)
    time.sleep(0.01)
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Home) -> Iterator[Callable[..., None]]:
    """Programs that are started as the daemon: one that answers, or a given script; ended afterwards."""
    pids: list[int] = []

    def place(outcomes: object = None, version: str = __version__, script: str = "") -> None:
        program = tmp_path / "daemon"
        values = {"root": str(ROOT), "outcomes": json.dumps(outcomes or {}), "version": version}
        program.write_text(script or STAND_IN.format(python=interpreter, **values))
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))

    interpreter = sys.executable
    yield place
    if info := client.find_daemon(home):
        pids.append(info.identity.pid)
        client.stop_daemon(info)
        assert identify(info.identity.pid) is None


def test_do_hands_the_goal_over(repo: RepoBuilder, mo: Mo, home: Home, stand_in: Callable[..., None]) -> None:
    stand_in()
    repo.commit({"plan.toml": PLAN})
    done = mo("do", "@plan.toml", "--detach", "--gate", "make test", "-j", "2", "--json")
    assert (done.code, done.err) == (0, "")
    goal = done.document()["goal"]
    reader = Reader(home.database)
    spec = reader.spec(goal)
    reader.close()
    assert (spec.id, spec.base, spec.target, spec.gate, spec.parallel) == (
        *(goal, repo.head(), "main", "make test", 2),
    )
    assert spec.plan == parse_plan(PLAN, "plan.toml")
    assert (home.path / "goals" / f"{goal}.md").read_text() == goals.goal_file_text(spec, "Tidy the house")
    assert inbox(home) == []
    assert repo.git("status", "--porcelain") == ""
    done = mo("do", "@plan.toml", "--detach", "--depends-on", goal[:6])
    assert done.code == 0
    assert done.out.strip() != goal
    assert done.err.startswith(f"watch: mo status {done.out.strip()}")


def test_a_goal_that_the_daemon_refuses_leaves_nothing(
    repo: RepoBuilder, mo: Mo, home: Home, stand_in: Callable[..., None]
) -> None:
    stand_in({"do": {"ok": False, "code": "config", "message": "gate.timeout = -1", "hint": "mo config"}})
    repo.commit({"plan.toml": PLAN})
    done = mo("do", "@plan.toml", "--detach")
    assert (done.code, done.out, done.err) == (Exit.CONFIG, "", "mo: gate.timeout = -1\n  mo config\n")
    assert list((home.path / "goals").iterdir()) == []


def test_operations_are_answered(
    repo: RepoBuilder, mo: Mo, home: Home, goal: GoalSpec, stand_in: Callable[..., None]
) -> None:
    refused = {"ok": False, "code": "gate", "message": "the result is red", "hint": "mo logs tidy-ab12"}
    stand_in(
        {
            "land": {"ok": True, "message": "main is at 1234567", "details": ["left out: paint"]},
            "sync": refused,
            "gc": {"ok": True, "message": "removed 1 things", "details": ["worktree x"], "bytes": 2048},
        }
    )
    repo.git("update-ref", f"refs/mo/{goal.id}/good/1", "HEAD")
    done = mo("land", "tidy")
    assert (done.code, done.out, done.err) == (0, "main is at 1234567\n  left out: paint\n", "")
    assert mo("-q", "land", "tidy").out == "main is at 1234567\n"
    assert mo("land", "tidy", "--json").document() == {
        "ok": True,
        "message": "main is at 1234567",
        "details": ["left out: paint"],
    }
    done = mo("sync", "tidy")
    assert (done.code, done.err) == (8, "mo: the result is red\n  mo logs tidy-ab12\n")
    assert mo("gc", "--older-than", "3").out == "removed 1 things\n  worktree x\n"
    for args in (
        "rollback tidy --to good/1",
        "rollback tidy/mop --with-dependents",
        "retry tidy/mop --with x",
    ):
        assert mo(*args.split()).code == 0
    for args in ("resume tidy", "cancel tidy", "retry tidy"):
        assert mo(*args.split()).out == f"{args.split()[0]} is done\n"
    database = sqlite3.connect(home.database)
    rows = database.execute("SELECT verb, payload FROM requests ORDER BY name").fetchall()
    database.close()
    sent = [[verb, {k: v for k, v in json.loads(data).items() if k != "client"}] for verb, data in rows]
    assert sent == [
        *[["land", {"goal": goal.id, "onto": ""}]] * 3,
        ["sync", {"goal": goal.id}],
        ["gc", {"goal": "", "dry_run": False, "older_than": 3.0}],
        ["rollback", {"goal": goal.id, "task": "", "to": repo.head(), "with_dependents": False}],
        ["rollback", {"goal": goal.id, "task": "mop", "to": "", "with_dependents": True}],
        ["retry", {"goal": goal.id, "task": "mop", "hint": "x"}],
        ["resume", {"goal": goal.id}],
        ["cancel", {"goal": goal.id}],
        ["retry", {"goal": goal.id, "task": "", "hint": ""}],
    ]


def test_init_asks_for_the_proof(mo: Mo, home: Home, stand_in: Callable[..., None]) -> None:
    proof = {"failing": ["t::one"], "tests": 9, "weak": False, "reason": ""}
    stand_in({"prove": {"ok": True, "message": "", "gate": "pytest -q", "proof": proof}})
    for _ in range(2):
        done = mo("init")
        assert done.code == 0
        assert done.out == (
            f"gate: pytest -q (proved; set in {home.path}/local.toml)\n"
            "  9 tests on HEAD\n"
            "  1 failing test there, taken as the baseline: t::one\n"
            "next: mo do @plan.toml, or see it work first: mo demo\n"
        )
        assert (home.path / "local.toml").read_text() == '[gate]\ncommand = "pytest -q"\n'


def test_init_leaves_a_gate_that_is_set_where_it_is(
    mo: Mo, home: Home, stand_in: Callable[..., None]
) -> None:
    proof = {"failing": [], "tests": 0, "weak": True, "reason": ""}
    stand_in({"prove": {"ok": True, "message": "", "gate": "make test", "proof": proof}})
    home.create()
    (home.path / "config.toml").write_text('[gate]\ncommand = "make test"\n')
    document = mo("init", "--json").document()
    assert (document["gate"], document["config"]) == ("make test", str(home.path / "config.toml"))
    assert document["proof"] == proof
    assert not (home.path / "local.toml").exists()
    assert "  weak: judged by its exit code alone, not test by test\n" in mo("init").out


def test_init_relays_a_refusal(mo: Mo, home: Home, stand_in: Callable[..., None]) -> None:
    refused = {
        "ok": False,
        "code": "gate",
        "message": "the gate notices nothing",
        "hint": "mo init --gate CMD",
    }
    stand_in({"prove": refused})
    done = mo("-q", "init", "--gate", "true")
    assert (done.code, done.err) == (8, "mo: the gate notices nothing\n  mo init --gate CMD\n")
    assert not (home.path / "local.toml").exists()


# -- the daemon as a process --------------------------------------------------------------------------


def test_a_daemon_is_started_found_and_stopped(mo: Mo, home: Home, stand_in: Callable[..., None]) -> None:
    stand_in()
    done = mo("daemon", "status")
    assert (done.code, done.out) == (*(3, "stopped, 0 requests waiting\nstart it: mo daemon start\n"),)
    assert mo("daemon", "start").out == "the daemon started\n"
    info = client.find_daemon(home)
    assert info is not None
    assert mo("daemon", "start").out == "the daemon was already running\n"
    assert client.find_daemon(home) == info
    document = mo("daemon", "status", "--json").document()
    assert (document["running"], document["pid"], document["goals"]) == (True, info.identity.pid, [])
    done = mo("daemon", "run")
    assert (done.code, done.out) == (3, "")
    assert f"already running (pid {info.identity.pid})" in done.err
    assert mo("daemon", "stop").out == "the daemon stopped\n"
    assert identify(info.identity.pid) is None
    assert mo("daemon", "stop") == Done(0, "the daemon is not running\n", "")
    assert mo("daemon", "status").code == 3


def test_an_idle_daemon_of_another_version_is_replaced_a_busy_one_kept(
    mo: Mo, home: Home, goal: GoalSpec, stand_in: Callable[..., None]
) -> None:
    stand_in(version="0.0.1")
    assert mo("daemon", "start").code == 0
    old = client.find_daemon(home)
    assert old is not None
    home.write_status({"v": 1, "goals": [{"id": goal.id, "state": "running"}]})
    done = mo("daemon", "start")
    assert f"warning: the daemon is mo 0.0.1, this is mo {__version__}; it is busy and is kept" in done.err
    assert client.find_daemon(home) == old
    home.write_status({"v": 1, "goals": [{"id": goal.id, "state": "done"}]})
    stand_in()
    assert mo("daemon", "start").out == "the daemon started\n"
    new = client.find_daemon(home)
    assert new is not None
    assert (new.version, new.identity == old.identity) == (__version__, False)


def test_a_daemon_that_cannot_start_says_why(mo: Mo, home: Home, stand_in: Callable[..., None]) -> None:
    error = MoError("gate.timeout = -1: expected more", "mo config check", Exit.CONFIG)
    home.create()
    home.log_file.write_text("mo-daemon: error: of an earlier start\n")
    line = f"mo-daemon: error: {json.dumps(error.document())}"
    stand_in(script=f"#!/bin/sh\necho starting\necho '{line}'\nexit 7\n")
    done = mo("daemon", "start")
    assert (done.code, done.out) == (Exit.CONFIG, "")
    assert done.err == "mo: gate.timeout = -1: expected more\n  mo config check\n"


def test_a_daemon_that_is_just_ending_is_waited_for(
    mo: Mo, home: Home, tmp_path: Path, stand_in: Callable[..., None]
) -> None:
    stand_in()
    answering = tmp_path / "answering"
    (tmp_path / "daemon").rename(answering)
    again = f'test -e {tmp_path}/once && exec {answering} "$@"\n'
    stand_in(script=f"#!/bin/sh\n{again}touch {tmp_path}/once\necho 'mo-daemon: already running'\n")
    assert mo("daemon", "start") == Done(0, "the daemon started\n", "")
    assert client.find_daemon(home) is not None


def test_a_daemon_that_dies_shows_the_end_of_its_log(
    mo: Mo, home: Home, stand_in: Callable[..., None]
) -> None:
    stand_in(script="#!/bin/sh\nfor n in 1 2 3 4 5 6 7 8 9; do echo line $n; done\nexit 1\n")
    done = mo("daemon", "start")
    assert done.code == Exit.DAEMON
    assert "the daemon ended at once\nline 2\n" in done.err
    assert f"line 9\n  see {home.log_file}, and try: mo daemon run\n" in done.err


def test_a_request_whose_daemon_went_away_is_kept(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "GONE_SECONDS", 0.0)
    home.create()
    name = client.send(home, "land", {"goal": "x"})
    with pytest.raises(client.DaemonGone, match="the request is kept"):
        client.await_outcome(home, name, None)
    monkeypatch.setattr(client, "GONE_SECONDS", 60.0)
    assert client.await_outcome(home, name, 0.0) is None
    assert [request.name for request in home.requests()[0]] == [name]


@pytest.mark.parametrize("wrong", ["start", "boot", "pid"])
def test_stop_never_touches_a_foreign_process(wrong: str, mo: Mo, home: Home) -> None:
    home.create()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        identity = identify(stranger.pid)
        assert identity is not None
        document = {"v": 1, "pid": identity.pid, "start": identity.start, "boot": identity.boot}
        document[wrong] = {"start": "1", "boot": "another", "pid": "no number"}[wrong]
        home.write_daemon({**document, "version": __version__, "started_at": 1.0})
        assert mo("daemon", "stop") == Done(0, "the daemon is not running\n", "")
        assert mo("daemon", "status").code == 3
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_repository_cannot_slip_code_into_the_daemon(repo: RepoBuilder, home: Home) -> None:
    repo.write({"json.py": "raise SystemExit('from the repository')\n"})
    argv = client.daemon_argv(home)
    safe = argv[: argv.index("-m")]
    done = subprocess.run([*safe, "-c", "import json"], cwd=repo.path, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


# -- settings -----------------------------------------------------------------------------------------


def test_init_twice_is_harmless_and_keeps_comments(mo: Mo, home: Home) -> None:
    assert mo("init", "--no-prove").out == "no gate yet; give one: mo init --gate CMD\n"
    (home.path / "local.toml").write_text("# mine\n[gate]\ncommand = 'a' # old\ntimeout = 60\n")
    for _ in range(2):
        assert mo("init", "--no-prove", "--gate", 'say "hi"').code == 0
    text = (home.path / "local.toml").read_text()
    assert text.startswith("# mine\n[gate]\ncommand = ")
    assert "timeout = 60" in text
    assert mo("config", "get", "gate.command").out == 'say "hi"\n'
    document = mo("init", "--no-prove", "--json").document()
    assert document == {
        "home": str(home.path),
        "gate": 'say "hi"',
        "config": str(home.path / "local.toml"),
        "proof": None,
    }


def test_init_shared_lets_git_see_the_settings_only(repo: RepoBuilder, mo: Mo, home: Home) -> None:
    exclude = home.common_dir / "info" / "exclude"
    exclude.write_text("*.log\n/.mo/\n")
    for _ in range(2):
        assert mo("init", "--shared", "--no-prove", "--gate", "make test").code == 0
        assert exclude.read_text() == "*.log\n/.mo/*\n!/.mo/config.toml\n!/.mo/prompts/\n"
    repo.write({".mo/prompts/plan.md": "p", ".mo/local.toml": "", ".mo/mo.db": "x"})
    assert repo.git("status", "--porcelain", "-uall") == "?? .mo/config.toml\n?? .mo/prompts/plan.md"
    content = (home.path / "config.toml").read_bytes()
    assert content == b'[gate]\ncommand = "make test"\n'
    assert trust.is_trusted(home.common_dir, "config.toml", content, environ=os.environ)


def test_init_shared_does_not_trust_what_others_wrote(repo: RepoBuilder, mo: Mo, home: Home) -> None:
    repo.commit({".mo/config.toml": '[workspace]\nsetup = ["make evil"]\n'})
    assert mo("init", "--shared", "--no-prove", "--gate", "make test").code == 0
    content = (home.path / "config.toml").read_bytes()
    assert b"make test" in content
    assert not trust.is_trusted(home.common_dir, "config.toml", content, environ=os.environ)


# -- review -------------------------------------------------------------------------------------------


def asking(home: Home) -> Story:
    story = Story((), wants_plan=True, ask=True)
    story.start()
    story.tell(Kind.PLAN_ASKED, n=1, provider="claude", questions=["Which\x1b[31m shop?", "Why?"])
    story.write(home)
    return story


def test_open_questions_are_shown_and_answered(mo: Mo, home: Home) -> None:
    story = asking(home)
    need = {
        "task": None,
        "why": "the planner has 2 questions: Which [31m shop?",
        "do": f"mo review {story.id}",
    }
    done = mo("review", "tidy")
    assert (done.code, done.out, done.err) == (
        5,
        f'1. Which[31m shop?\n2. Why?\n2 answers: mo review {story.id} --answer "..." --answer "..."\n',
        "",
    )
    as_json = mo("--json", "review", "tidy")
    assert (as_json.code, as_json.document()) == (
        5,
        {
            "goal": story.id,
            "state": "awaiting_approval",
            "questions": ["Which\x1b[31m shop?", "Why?"],
            "needs": [need],
        },
    )
    shown = mo("show", "tidy").out
    assert "the planner asks\n  Which [31m shop?\n  Why?\n" in shown
    assert "needs you\n" in shown


def test_answers_are_handed_over(mo: Mo, home: Home, stand_in: Callable[..., None]) -> None:
    story = asking(home)
    stand_in({"answer": {"ok": True, "message": "tidy-k3f9 goes on"}})
    done = mo("review", story.id, "--answer", "That.", "--answer", "")
    assert (done.code, done.out, done.err) == (0, "tidy-k3f9 goes on\n", "")
    with closing(sqlite3.connect(home.database)) as database:
        (row,) = database.execute("SELECT verb, payload FROM requests").fetchall()
    payload = json.loads(row[1])
    assert (row[0], payload["goal"], payload["answers"]) == ("answer", story.id, ["That.", ""])


def test_where_nothing_waits_it_says_so(mo: Mo, home: Home) -> None:
    story = Story(chain("a"))
    story.start()
    story.write(home)
    done = mo("review", "tidy")
    assert (done.code, done.out) == (0, "nothing waits for you in tidy-k3f9: it is running\n")
    assert mo("review", "nope").code == 6


def test_what_else_waits_is_shown_with_its_command(mo: Mo, home: Home) -> None:
    story = Story(chain("a"))
    story.start()
    story.run("a")
    story.fail("a", "exit code 1")
    story.end("failed", "1 of 1 tasks did not land: a")
    story.write(home)
    done = mo("review", "@last")
    assert (done.code, done.out) == (5, "tidy-k3f9/a: failed: exit code 1\n  mo retry tidy-k3f9/a\n")


# -- endings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "reason", "code"),
    [
        (GoalState.DONE, "", 0),
        (GoalState.FAILED, "1 of 2 tasks did not land: a", 1),
        (GoalState.CANCELLED, "cancelled", 1),
        (GoalState.HALTED, "set-up failed", 5),
        (GoalState.HALTED, "gate is red on the base", 8),
        (GoalState.OVER_BUDGET, "", 9),
        (GoalState.RUNNING, "", 1),
    ],
)
def test_exit_codes_never_flatter(state: GoalState, reason: str, code: int) -> None:
    status = new_goal(GoalSpec("g-1234", "g", Plan("g", (TaskSpec("a", run=("true",)),)), 1.0, "b"))
    status.started_at = 1.0
    if state is not GoalState.RUNNING:
        status.ended = (state, reason)
    assert guided.exit_code(status) == code


def test_the_demo_is_judged_by_what_landed() -> None:
    example = resources.path("example")
    plan = parse_plan((example / "plans" / "demo.toml").read_text(), "demo.toml")
    status = new_goal(GoalSpec("g-1234", "g", plan, 1.0, "b"))
    assert not demo.judge(status, demo.expected_of(status, "")).as_expected
    assert demo.evidence_lines({}) == []
    long = {"failed_ids": ["t::a"], "log_tail": "1\n2\n3\n\n4\x1b[2J\n5\n6\n7\n", "log": "/l"}
    assert demo.evidence_lines(long) == [
        *("failing: t::a", "| 2", "| 3", "| 4[2J", "| 5", "| 6", "| 7", "log: /l"),
    ]
    for task in status.tasks.values():
        task.state = TaskState.LANDED
    assert not demo.judge(status, demo.expected_of(status, "")).as_expected
    status.tasks["strict-stock"].state = TaskState.EJECTED
    result = demo.judge(status, demo.expected_of(status, ""))
    assert result.as_expected
    assert (len(result.landed), result.ejected, result.redone) == (8, ("strict-stock",), ())


# -- the house ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", MINE)
def test_help_says_what_the_table_says(verb: str) -> None:
    command = importlib.import_module(f"mo_git.cli.{VERBS[verb][0]}").command
    assert command.name == verb
    assert command.help.splitlines()[0] == VERBS[verb][1]


def test_acting_verbs_start_light(repo: RepoBuilder) -> None:
    repo.write({"plan.toml": PLAN})
    modules = ", ".join(f"mo_git.cli.{verb}" for verb in MINE)
    script = (
        f"import sys, {modules}\nfrom mo_git.__main__ import main\n"
        "sys.argv = ['mo', 'do', '@plan.toml', '--base', 'nope']\nassert main() == 6\n"
        "heavy = {'pydantic', 'pygit2', 'sqlite_utils', 'rich', 'tomlkit', 'psutil', 'asyncio.events'}\n"
        "print(sorted(heavy & set(sys.modules) - {'asyncio.events'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=repo.path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "[]\n", done.stderr
