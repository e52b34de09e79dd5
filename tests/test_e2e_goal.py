"""A plan becomes a green branch: the whole way, with a real daemon, on real repositories."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mo_git.goal_status import GoalStatus
from mo_git.ledger.reader import Reader
from mo_git.lifecycle import has_ended
from mo_git.model import Fact
from tests.driver import Mo, plan, python, writes
from tests.support import RepoBuilder

# Plug-ins that the test run's own environment may have would only cost start-up.
PYTEST = f"{sys.executable} -m pytest -q -p no:cacheprovider -p no:hypothesispytest -p no:xdist -p no:timeout"
GATE = {"gate": {"command": PYTEST}}
QUICK = {"gate": {"command": "test ! -e red", "proof": "off"}}
UNITTEST = {"gate": {"command": f"{sys.executable} -m unittest -q", "proof": "off"}}
CALC = "def add(a, b):\n    return a + b\n"
TEST = "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"
HELD = "while ! test -e go; do sleep 0.02; done; rm go; "  # the start of a task that waits for `let_go`


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def adds(files: Mapping[str, str]) -> list[str]:
    """An argv that writes these files."""
    return python(
        f"import pathlib as p\nfor name, text in {dict(files)!r}.items(): p.Path(name).write_text(text)"
    )


def after(task: str) -> str:
    """The start of a task that waits until another one has landed, without depending on it."""
    log = 'git log --format=%s "mo/$MO_GOAL/integration"'
    return f"until {log} | grep -q '^Land {task}: '; do sleep 0.05; done; "


def case(name: str, expression: str) -> dict[str, str]:
    """A unittest file with one test."""
    body = f"    def test_{name}(self):\n        {expression}\n"
    return {f"test_{name}.py": f"import os\nimport unittest\n\n\nclass Case(unittest.TestCase):\n{body}"}


def start(mo: Mo, tasks: Sequence[Mapping[str, Any]], *args: str, **top: Any) -> str:
    """Queue a goal of these tasks; its id."""
    file = mo.repo.path.parent / f"plan-{threading.get_ident()}.json"
    file.write_text(plan(tasks, **top))
    return str(mo.json("do", f"@{file}", "--detach", *args)["goal"])


def follow(mo: Mo, tasks: Sequence[Mapping[str, Any]], *args: str, code: int = 0, **top: Any) -> str:
    """Queue a goal of these tasks and follow it to its end; what was printed."""
    file = mo.repo.path.parent / "plan.json"
    file.write_text(plan(tasks, **top))
    return mo("do", f"@{file}", *args, code=code).out


def finish(mo: Mo, goal: str, seconds: float = 60) -> GoalStatus:
    """The goal when nothing of it is under way any more."""
    mo.wait_for(lambda: has_ended(mo.goal(goal)) and not mo.goal(goal).pending_operations(), seconds)
    return mo.goal(goal)


def run(mo: Mo, tasks: Sequence[Mapping[str, Any]], *args: str, **top: Any) -> str:
    """Queue a goal of these tasks and wait for its end; its id."""
    goal = start(mo, tasks, *args, **top)
    finish(mo, goal)
    return goal


def state(mo: Mo, goal: str, task: str) -> str:
    return mo.states(goal)[task]


def started(mo: Mo, goal: str, task: str) -> Path:
    """Wait until a task's program was started; its worktree."""
    mo.wait_for(lambda: state(mo, goal, task) == "running")
    stream = mo.home.run_dir(goal, task, mo.goal(goal).tasks[task].attempt) / "stream.log"
    mo.wait_for(stream.exists)
    return Path(mo.json("show", f"{goal}/{task}")["task"]["worktree"])


def let_go(mo: Mo, goal: str, task: str) -> None:
    """End the waiting of a HELD task, by a file in its worktree."""
    (started(mo, goal, task) / "go").write_text("")


def facts(mo: Mo, goal: str, kind: str, task: str = "") -> list[Fact]:
    reader = Reader.open(mo.home.database)
    assert reader is not None
    try:
        return [fact for fact in reader.facts(goal) if fact.kind == kind and task in ("", fact.task)]
    finally:
        reader.close()


def checkout(repo: RepoBuilder) -> dict[str, Any]:
    """All that a person has in a checkout: branch, index, files, stashes, settings."""
    files = (path for path in repo.path.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {
        "head": repo.git("symbolic-ref", "-q", "HEAD", check=False),
        "commit": repo.head(),
        "index": repo.git("ls-files", "-s"),
        "files": {str(file): file.read_bytes() for file in files if ".mo" not in file.parts},
        "stash": repo.git("stash", "list"),
        "config": (repo.path / ".git" / "config").read_text(),
        "hooks": sorted(os.listdir(repo.path / ".git" / "hooks")),
        "reflog": repo.git("reflog", "show", "HEAD"),
    }


def refusal(mo: Mo, *args: str, code: int) -> dict[str, str]:
    """The error of a command that must change no checkout and no branch."""
    before = checkout(mo.repo), mo.repo.git("for-each-ref", "refs/heads")
    done = mo("--json", *args, code=code)
    assert (checkout(mo.repo), mo.repo.git("for-each-ref", "refs/heads")) == before
    error: dict[str, str] = json.loads(done.err)["error"]
    return error


def parents(repo: RepoBuilder, commit: str) -> list[str]:
    return repo.git("rev-list", "--parents", "-1", commit).split()[1:]


def fresh_clone(mo: Mo, name: str) -> RepoBuilder:
    """A clone with all refs, nothing checked out."""
    clone = RepoBuilder(mo.repo.path.parent / name)
    mo.repo.git("clone", "-q", "--mirror", str(mo.repo.path), str(clone.path / ".git"))
    clone.git("config", "core.bare", "false")
    return clone


def passes(clone: RepoBuilder, commit: str, command: str) -> bool:
    """Whether a command succeeds in a clone at a commit."""
    clone.git("checkout", "-q", "--force", "--detach", commit)
    clone.git("clean", "-ffdxq")
    return subprocess.run(command.split(), cwd=clone.path, capture_output=True, check=False).returncode == 0


def test_one_task_lands_and_the_checkout_stays(mo: Mo) -> None:
    mo.repo.commit({"calc.py": CALC, "test_calc.py": TEST})
    mo.configure(**GATE)
    before = mo.repo.head()
    mo.repo.write({"README.md": "uncommitted\n"})
    follow(mo, [{"id": "mul", "run": writes("mul.py", "def mul(a, b):\n    return a * b\n")}])
    goal = mo.goal()
    assert str(goal.state) == "done"
    assert mo.repo.head() == before
    assert (mo.repo.path / "README.md").read_text() == "uncommitted\n"
    assert mo.repo.git("status", "--porcelain") == " M README.md"
    assert "mul.py" in mo.repo.tree(f"mo/{goal.id}/integration")
    assert mo.repo.head(f"refs/mo/{goal.id}/good/1") == goal.integration


# -- thirteen tasks -----------------------------------------------------------------------------------

COLOURS = "colour = red\nshape = round\n"
STYLE = (
    "import pathlib\n\n\ndef test_no_todo():\n"
    "    assert not [f for f in pathlib.Path('pkg').glob('*.py') if 'TODO' in f.read_text()]\n"
)


def module(name: str, source: str, value: int) -> dict[str, str]:
    test = f"from pkg.{name} import VALUE\n\n\ndef test_{name}():\n    assert VALUE == {value}\n"
    return {f"pkg/{name}.py": source, f"tests/test_{name}.py": test}


THIRTEEN: list[dict[str, Any]] = [
    {"id": "one", "run": adds(module("one", "VALUE = 1\n", 1)), "title": "The first"},
    {
        "id": "two",
        "depends_on": ["one"],
        "run": adds(module("two", "from pkg.one import VALUE as ONE\n\nVALUE = ONE + 1\n", 2)),
        "check": f"{sys.executable} -c 'import pkg.two'",
    },
    {
        "id": "three",
        "depends_on": ["two"],
        "run": adds(module("three", "from pkg.two import VALUE as TWO\n\nVALUE = TWO + 1\n", 3)),
        "check": [*PYTEST.split(), "tests/test_three.py"],
    },
    {"id": "top", "run": sh("mkdir data; echo top > data/top")},
    {"id": "left", "depends_on": ["top"], "run": sh("sed s/top/left/ data/top > data/left")},
    {"id": "right", "depends_on": ["top"], "run": sh("sed s/top/right/ data/top > data/right")},
    {"id": "bottom", "depends_on": ["left", "right"], "run": sh("cat data/left data/right > data/bottom")},
    {"id": "style", "run": writes("tests/test_style.py", STYLE)},
    {"id": "odd-name", "run": writes("dir with space/é\n.txt", "odd\n")},
    {"id": "blue", "run": sh("sed -i s/colour.*/'colour = blue'/ colours")},
    {"id": "green", "run": sh(after("blue") + "sed -i s/colour.*/'colour = green'/ colours")},
    {
        "id": "breaker",
        "run": sh(after("style") + "echo '# TODO' > pkg/breaker.py"),
        "check": PYTEST,
    },
    {"id": "on-breaker", "depends_on": ["breaker"], "run": sh("echo x > on-breaker")},
]
GOOD = [task["id"] for task in THIRTEEN if "breaker" not in task["id"]]


@pytest.mark.slow
def test_of_thirteen_tasks_exactly_the_good_ones_land(mo: Mo) -> None:
    repo = mo.repo
    repo.commit({"pkg/__init__.py": "", "pkg/core.py": "VALUE = 0\n", "colours": COLOURS})
    base = repo.commit(
        {"tests/test_core.py": "from pkg.core import VALUE\n\n\ndef test_core():\n    assert VALUE == 0\n"}
    )
    mo.configure(**GATE)
    repo.write({"stashed": "s\n"})
    repo.git("stash", "-u", "-q", "--", "stashed")
    repo.write({"pkg/core.py": "VALUE = 'mine, staged'\n", "pkg/one.py": "mine, untracked\n"})
    repo.git("add", "pkg/core.py")
    repo.write({"colours": "mine, not staged\n"})
    mine = checkout(repo)

    said = follow(mo, THIRTEEN, code=1)
    goal = mo.goal()
    shown = mo.json("show", goal.id)["goal"]
    assert checkout(repo) == mine
    assert repo.head("main") == base
    the_right_ones_landed(mo, shown, said)
    the_tree_is_that_of_plain_merges(mo, shown)
    commits_say_where_they_come_from(mo, shown)
    landing_and_taking_back(mo, goal.id)


def the_right_ones_landed(mo: Mo, shown: Mapping[str, Any], said: str) -> None:
    states = {task["id"]: task["state"] for task in shown["tasks"]}
    assert states == {**dict.fromkeys(GOOD, "landed"), "breaker": "ejected", "on-breaker": "skipped"}
    assert shown["state"] == "failed"
    assert shown["reason"] == "2 of 13 tasks did not land: breaker, on-breaker"
    (ejection,) = shown["ejections"]
    assert ejection["task"] == "breaker"
    assert len(ejection["evidence"]["failed_ids"]) == 1
    assert "test_no_todo" in ejection["evidence"]["failed_ids"][0]
    assert "assert not" in ejection["evidence"]["log_tail"]
    tasks = {task["id"]: task for task in shown["tasks"]}
    assert tasks["on-breaker"]["reason"] == "breaker ejected"
    assert tasks["on-breaker"]["attempts"] == []
    (conflict,) = shown["conflicts"]
    assert conflict == {"task": "green", "with": ["blue"], "paths": ["colours"], "resolution": "redo"}
    assert [attempt["n"] for attempt in tasks["green"]["attempts"]] == [1, 2]
    assert "11 of 13 tasks landed" in said
    assert "breaker: gate red: " in said
    assert mo.repo.tree(shown["integration"])["colours"] == "colour = green\nshape = round"
    assert "pkg/breaker.py" in mo.repo.tree(f"mo/{shown['id']}/breaker")  # kept for a look


def the_tree_is_that_of_plain_merges(mo: Mo, shown: Mapping[str, Any]) -> None:
    clone = fresh_clone(mo, "clone")
    clone.git("checkout", "-q", "--detach", shown["base"])
    order = [task for landing in shown["landings"] for task in landing["tasks"]]
    assert sorted(order) == sorted(GOOD)
    before = {name: order.index(name) for name in order}
    for task in shown["tasks"]:
        assert all(before[dep] < before[task["id"]] for dep in task["depends_on"] if task["id"] in before)
    for landing in shown["landings"]:
        for name in landing["tasks"]:
            clone.git("merge", "-q", "--no-ff", "--no-edit", f"mo/{shown['id']}/{name}")
        assert clone.head("HEAD^{tree}") == landing["tree"] == mo.repo.head(f"{landing['commit']}^{{tree}}")
    assert shown["landings"][-1]["commit"] == shown["integration"]
    tips = mo.repo.git("reflog", "show", "--format=%H", f"mo/{shown['id']}/integration").split()
    assert tips == [*reversed([landing["commit"] for landing in shown["landings"]]), shown["base"]]
    assert [
        landing["commit"] for landing in shown["landings"] if not passes(clone, landing["commit"], PYTEST)
    ] == []
    gated = {gate["tree"] for gate in shown["gates"] if gate["result"] == "green"}
    assert {landing["tree"] for landing in shown["landings"]} <= gated


def commits_say_where_they_come_from(mo: Mo, shown: Mapping[str, Any]) -> None:
    repo, goal = mo.repo, shown["id"]
    assert repo.head(f"refs/mo/{goal}/base") == shown["base"]
    tasks = {task["id"]: task for task in shown["tasks"]}
    head = shown["base"]
    for number, landing in enumerate(shown["landings"], 1):
        assert repo.head(f"refs/mo/{goal}/good/{number}") == landing["commit"]
    landed = [name for landing in shown["landings"] for name in landing["tasks"]]
    for name in landed:
        task, commit = tasks[name], tasks[name]["landed_commit"]
        assert parents(repo, commit) == [head, task["commit"]]
        assert parents(repo, task["commit"]) == [task["base"]]
        assert repo.head(f"mo/{goal}/{name}") == task["commit"]
        trailers = "--format=%(trailers:only,unfold)"
        attempt = len(task["attempts"])
        expected = f"Mo-Goal: {goal}\nMo-Task: {name}\nMo-Attempt: {attempt}"
        assert repo.git("log", "-1", trailers, commit).strip() == expected
        assert repo.git("log", "-1", trailers, task["commit"]).strip() == f"{expected}\nMo-Agent: command"
        assert f"goal: {goal}" in repo.git("notes", "--ref=mo", "show", commit)
        head = commit
    assert repo.git("log", "-1", "--format=%s", tasks["one"]["landed_commit"]) == "Land one: The first"
    clone = RepoBuilder(repo.path.parent / "clone")
    clone.git("checkout", "-q", "--force", "--detach", shown["integration"])
    clone.git("revert", "--no-edit", "-m", "1", tasks["right"]["landed_commit"])
    assert set(repo.tree(shown["integration"])) - set(clone.tree()) == {"data/right"}


def landing_and_taking_back(mo: Mo, goal: str) -> None:
    repo = mo.repo
    error = refusal(mo, "land", goal, code=1)
    assert "colours" in error["message"]
    repo.git("checkout", "-q", "--", "colours")
    error = refusal(mo, "land", goal, code=1)
    assert "pkg/one.py" in error["message"]
    (repo.path / "pkg/one.py").unlink()
    assert "not in it: breaker, on-breaker" in mo("land", goal).out
    assert repo.head() == repo.head("main") == mo.goal(goal).integration
    assert repo.git("status", "--porcelain") == "M  pkg/core.py"
    repo.git("reset", "-q", "--hard")

    assert "two, three" in refusal(mo, "rollback", f"{goal}/one", code=1)["message"]
    mo("rollback", f"{goal}/three")
    status = mo.goal(goal)
    gone = set(repo.tree("main")) - set(repo.tree(status.integration))
    assert gone == {"pkg/three.py", "tests/test_three.py"}
    assert passes(RepoBuilder(repo.path.parent / "clone"), repo.head("main"), PYTEST)
    mo("land", goal)
    assert not (repo.path / "pkg/three.py").exists()
    assert passes(fresh_clone(mo, "after"), "main", PYTEST)


# -- what a task may and may not do -------------------------------------------------------------------

SECRET = "AKIA" + "QYLPMN5HHHFPZAM2"
GIT_QUIET = "git -c user.name=Agent -c user.email=agent@example.org"


def own_commit(number: int) -> str:
    return f"echo {number} > c{number}; {GIT_QUIET} add c{number}; {GIT_QUIET} commit -qm own{number}"


REFUSED: list[dict[str, Any]] = [
    {"id": "nested", "run": sh("git init -q sub && echo x > sub/f && git -C sub add f")},
    {"id": "secret", "run": sh(f"echo 'key = \"{SECRET}\"' > settings.py")},
    {"id": "markers", "run": sh("printf '<<<<<<< ours\\na\\n=======\\nb\\n>>>>>>> theirs\\n' > merged.txt")},
    {"id": "large", "run": sh("head -c 1100000 /dev/zero > large.bin")},
    {"id": "own-state", "run": sh("mkdir -p .mo; echo x > .mo/config.toml; git add -f .mo/config.toml")},
    {
        "id": "submodule",
        "run": sh("printf '[submodule \"s\"]\\n\\tpath = s\\n\\turl = ./s\\n' > .gitmodules"),
    },
    {"id": "driver", "run": sh("echo '*.bin filter=evil' > .gitattributes")},
    {
        "id": "scope",
        "run": sh("mkdir src; echo x > src/in; echo x > out"),
        "writes": ["src/**"],
        "scope": "enforce",
    },
    {"id": "check", "run": sh("echo x > checked"), "check": "echo not good enough; exit 3"},
    {"id": "no-change", "run": sh("true"), "no_change": "fail"},
    {"id": "missing", "run": ["no-such-program-anywhere"]},
    {"id": "pointer", "run": sh("rm .git; echo x > orphan")},
    {"id": "replaced", "run": sh("rm .git; git init -q; echo x > orphan; exit 5"), "max_attempts": 1},
    {"id": "headless", "run": sh('echo lost > lost; echo garbage > "$(git rev-parse --git-dir)/HEAD"')},
    {"id": "crash", "run": sh("echo half > half; exit 7")},
    {"id": "signal", "run": sh("kill -SEGV $$"), "max_attempts": 1},
    {"id": "astray", "run": sh(f"git checkout -q --detach; {own_commit(5)}; exit 1"), "max_attempts": 1},
    {"id": "once", "run": sh("echo once > once; exit 9"), "max_attempts": 2},
]
CLASSES = {
    "nested": "isolation_breach",
    "secret": "secrets",
    "markers": "invalid_output",
    "large": "invalid_output",
    "own-state": "scope",
    "submodule": "scope",
    "driver": "scope",
    "scope": "scope",
    "check": "check_failed",
    "no-change": "no_change",
    "missing": "bad_config",
    "pointer": "isolation_breach",
    "replaced": "crash",
    "headless": "invalid_output",
    "crash": "crash",
    "signal": "crash",
    "astray": "crash",
    "once": "crash",
}
FINE: list[dict[str, Any]] = [
    {"id": "warned", "run": sh("echo x > elsewhere"), "writes": ["src/**"]},
    {"id": "unchanged", "run": sh("true")},
    {"id": "not-here", "run": sh("echo x > not-here"), "when": ["test", "-e", "no-such-file"]},
    {"id": "here", "run": sh("echo x > here"), "when": ["test", "-e", "README.md"]},
    {"id": "next", "run": sh("echo x > next"), "depends_on": ["not-here", "unchanged"]},
    {"id": "committer", "run": sh(f"{own_commit(1)}; {own_commit(2)}; echo 3 > c3")},
    {"id": "detached", "run": sh(f"git checkout -q --detach; {own_commit(4)}")},
]


def test_what_an_attempt_leaves_is_judged_before_it_becomes_a_commit(mo: Mo) -> None:
    repo = mo.repo
    mo.configure(**QUICK, limits={"max_file_mb": 1}, retry={"base_seconds": 0.01})
    mine = checkout(repo)
    follow(mo, [*REFUSED, *FINE], code=1)
    goal = mo.goal()
    shown = mo.json("show", goal.id)["goal"]
    tasks = {task["id"]: task for task in shown["tasks"]}
    assert {name: (tasks[name]["state"], tasks[name]["attempts"][-1]["class"]) for name in CLASSES} == {
        name: ("failed", kind) for name, kind in CLASSES.items()
    }
    assert {task["id"]: tasks[task["id"]]["state"] for task in FINE} == {
        "warned": "landed",
        "unchanged": "unchanged",
        "not-here": "skipped",
        "here": "landed",
        "next": "landed",
        "committer": "landed",
        "detached": "landed",
    }
    assert checkout(repo) == mine
    assert set(repo.tree(shown["integration"])) == {
        "README.md",
        "c4",
        "c1",
        "c2",
        "c3",
        "elsewhere",
        "here",
        "next",
    }
    reasons_name_what_is_wrong(tasks)
    attempts = {name: len(task["attempts"]) for name, task in tasks.items() if len(task["attempts"]) != 1}
    assert attempts == {"crash": 3, "once": 2}
    assert [fact.data["outside_scope"] for fact in facts(mo, goal.id, "candidate", "warned")] == [
        ["elsewhere"]
    ]
    all_work_is_kept(mo, goal.id, tasks)
    mo.stop()  # what the next daemon finds can be worked in again
    mo("retry", goal.id)
    assert str(finish(mo, goal.id).state) == "failed"
    assert [name for name, task in mo.goal().tasks.items() if task.failures[-1:] != [CLASSES.get(name)]] == [
        task["id"] for task in FINE
    ]


def reasons_name_what_is_wrong(tasks: Mapping[str, Any]) -> None:
    for name, words in {
        "nested": "'sub'",
        "secret": "settings.py",
        "markers": "merged.txt: conflict markers, line 1",
        "large": "large.bin: 1100000 bytes",
        "own-state": ".mo/config.toml: belongs to mo",
        "submodule": ".gitmodules",
        "driver": "filter=evil",
        "scope": "wrote outside its scope: out",
        "check": "exit code 3: not good enough",
        "no-change": "nothing was changed",
        "missing": "cannot start no-such-program-anywhere",
        "pointer": ".git",
        "headless": "cannot be read",
        "crash": "exit code 7",
        "signal": "SIGSEGV",
        "once": "attempt 2 of 2",
        "not-here": "not applicable: test -e no-such-file",
    }.items():
        assert words in tasks[name]["reason"], name
    assert SECRET not in json.dumps(tasks)


def all_work_is_kept(mo: Mo, goal: str, tasks: Mapping[str, Any]) -> None:
    """What refused and failed attempts made is reachable; an agent's own commits are, too."""
    repo = mo.repo
    for name, file in {
        "secret": "settings.py",
        "markers": "merged.txt",
        "large": "large.bin",
        "scope": "out",
        "check": "checked",
        "pointer": "orphan",
        "replaced": "orphan",
        "crash": "half",
        "once": "once",
    }.items():
        for attempt in tasks[name]["attempts"]:
            assert attempt["kept"] == f"refs/mo/keep/{goal}/{name}/{attempt['n']}"
            assert file in repo.git("ls-tree", "--name-only", attempt["kept"])
    commit = tasks["committer"]["commit"]
    assert parents(repo, commit) == [tasks["committer"]["base"]]
    keep = f"refs/mo/keep/{goal}"
    own = repo.git("log", "--format=%s", f"{tasks['committer']['base']}..{keep}/committer/1")
    assert own.split() == ["own2", "own1"]
    for ref, title in ((f"{keep}/detached/1", "own4"), (f"{keep}/astray/1-2", "own5")):
        assert repo.git("log", "-1", "--format=%s", ref) == title
    assert "c5" in repo.git("ls-tree", "--name-only", tasks["astray"]["attempts"][0]["kept"])
    assert set(repo.tree(commit)) == {"README.md", "c1", "c2", "c3"}


def test_a_timeout_ends_the_whole_tree(mo: Mo) -> None:
    mo.configure(**QUICK)
    stubborn = "trap '' TERM; while :; do sleep 0.1; done"
    script = f'sh -c "{stubborn}" & setsid sh -c "{stubborn}" & echo started > half; wait'
    follow(mo, [{"id": "t", "run": sh(script), "timeout": 0.4, "max_attempts": 1}], code=1)
    goal = mo.goal()
    assert goal.tasks["t"].attempts[0].failure == "timeout"
    assert "timed out after" in goal.tasks["t"].reason
    assert mo.repo.tree(f"refs/mo/keep/{goal.id}/t/1")["half"] == "started"
    mo.stop()
    assert mo.programs() == []


def test_retries_wait_longer_each_time(mo: Mo) -> None:
    mo.configure(**QUICK, retry={"base_seconds": 0.2, "same_way": 5})
    script = (
        '[ "$MO_ATTEMPT_NUMBER" -gt 3 ] || { echo "$MO_ATTEMPT_NUMBER" > half; exit 1; }; echo done > file'
    )
    follow(mo, [{"id": "t", "run": sh(script)}])
    goal = mo.goal()
    waits = [(fact.data["not_before"] - fact.at) for fact in facts(mo, goal.id, "retry_scheduled")]
    assert len(waits) == 3
    assert all(-0.1 < wait <= 0.2 * 2**n for n, wait in enumerate(waits))
    for retry, again in zip(
        facts(mo, goal.id, "retry_scheduled"), facts(mo, goal.id, "attempt_started")[1:], strict=True
    ):
        assert again.at >= retry.data["not_before"]
    assert mo.repo.tree(goal.integration) == {"README.md": "hello", "file": "done"}
    kept = [mo.repo.tree(f"refs/mo/keep/{goal.id}/t/{n}")["half"] for n in (1, 2, 3)]
    assert kept == ["1", "2", "3"]


# -- gates that say no, or nothing --------------------------------------------------------------------


@pytest.mark.slow
def test_a_base_whose_tests_already_fail(mo: Mo) -> None:
    repo = mo.repo
    repo.commit({**case("good", "pass"), **case("bad", "self.fail('as before')")})
    mo.configure(gate={"command": UNITTEST["gate"]["command"]})
    said = follow(
        mo,
        [
            {"id": "fine", "run": sh("echo fine > fine")},
            {"id": "worse", "run": adds(case("good", "self.fail()"))},
            {"id": "better", "run": adds(case("bad", "pass"))},
        ],
        code=1,
    )
    assert "1 test failing there already" in said
    goal = mo.goal()
    assert mo.states() == {"fine": "landed", "worse": "ejected", "better": "landed"}
    assert goal.ejections[0]["evidence"]["failed_ids"] == ["test_good.Case.test_good"]
    assert passes(fresh_clone(mo, "clone"), goal.integration, UNITTEST["gate"]["command"])


def test_a_gate_without_a_verdict_holds_one_task_and_the_queue_goes_on(mo: Mo) -> None:
    mo.configure(gate={"command": "test ! -e hang || sleep 60", "proof": "off", "timeout": 1})
    tasks: list[dict[str, Any]] = [
        {"id": "hang", "run": sh("echo x > hang"), "priority": 1},
        {"id": "fine", "run": sh("echo x > fine")},
    ]
    goal = run(mo, [*tasks, {"id": "on-hang", "depends_on": ["hang"], "run": sh("true")}])
    assert mo.states() == {"hang": "awaiting_person", "fine": "landed", "on-hang": "skipped"}
    assert "did not end in time" in mo.goal().tasks["hang"].reason
    gates = [gate["result"] for gate in mo.goal().gates if gate["tasks"] == ["hang"]]
    assert gates == ["unknown", "unknown"]
    needs = [need for need in mo.json("show", goal)["goal"]["needs"] if need["task"] == "hang"]
    assert needs[0]["do"] == f"mo retry {goal}/hang"
    mo.configure(gate={"command": "true", "proof": "off", "timeout": 20})
    mo("retry", goal)
    assert str(finish(mo, goal).state) == "done"


def test_a_second_conflict_waits_for_a_person(mo: Mo) -> None:
    repo = mo.repo
    repo.commit({"colours": COLOURS})
    mo.configure(**QUICK)
    wait = f'if [ "$MO_ATTEMPT_NUMBER" = 1 ]; then {after("blue")} else {after("red-one")} fi; '
    goal = start(
        mo,
        [
            {"id": "blue", "run": sh("sed -i s/colour.*/'colour = blue'/ colours")},
            {
                "id": "red-one",
                "run": sh(HELD + "sed -i s/blue/red/ colours"),
                "depends_on": ["blue"],
            },
            {"id": "green", "run": sh(wait + "sed -i s/colour.*/'colour = green'/ colours")},
            {"id": "on-green", "run": sh("true"), "depends_on": ["green"]},
        ],
    )
    mo.wait_for(lambda: mo.goal(goal).tasks["green"].attempt == 2)
    let_go(mo, goal, "red-one")
    finish(mo, goal)
    shown = mo.json("show", goal)["goal"]
    expected = {"blue": "landed", "red-one": "landed", "green": "conflict", "on-green": "skipped"}
    assert mo.states(goal) == expected
    assert shown["conflicts"] == [
        {"task": "green", "with": ["blue"], "paths": ["colours"], "resolution": "redo"},
        {"task": "green", "with": ["red-one"], "paths": ["colours"], "resolution": "person"},
    ]
    (need,) = shown["needs"]
    assert need == {"task": "green", "why": "conflict in colours", "do": f"mo retry {goal}/green"}
    assert repo.tree(f"mo/{goal}/green")["colours"] == "colour = green\nshape = round"
    assert repo.tree(shown["integration"])["colours"] == "colour = red\nshape = round"
    mo("retry", f"{goal}/green")
    assert str(finish(mo, goal).state) == "done"
    assert repo.tree(f"mo/{goal}/integration")["colours"] == "colour = green\nshape = round"


def test_a_red_goal_check_is_a_failed_goal(mo: Mo) -> None:
    mo.configure(**QUICK)
    first = mo.repo.head()
    said = follow(
        mo,
        [{"id": "t", "run": sh("echo x > t")}],
        "--deliver",
        "merge",
        code=1,
        check="echo 2 > /dev/null; test -e u",
    )
    goal = mo.goal()
    assert (str(goal.state), goal.reason) == ("failed", "the goal's check failed: exit code 1: ")
    assert mo.states() == {"t": "landed"}
    assert mo.repo.head("main") == first
    assert f"mo land {goal.id}" in said
    mo("land", goal.id)  # by hand, a person may
    assert mo.repo.head("main") == goal.integration
    follow(mo, [{"id": "u", "run": sh("true")}], code=1, check="test -e u")
    assert mo.states() == {"u": "unchanged"}
    follow(mo, [{"id": "u", "run": sh("echo x > u")}], "--deliver", "merge", check="test -e u")
    assert mo.repo.tree("main")["u"] == "x"
