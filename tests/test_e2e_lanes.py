"""Several goals and a person on one repository: who waits, who stops what, and what main ever was."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.driver import Mo
from tests.support import RepoBuilder
from tests.test_e2e_goal import (
    HELD,
    QUICK,
    checkout,
    facts,
    finish,
    follow,
    let_go,
    parents,
    refusal,
    run,
    sh,
    start,
    started,
    state,
)

pytestmark = pytest.mark.slow

# -- one branch, two goals at a time, and a person ----------------------------------------------------

# Red where both sides have a file of one number.
SIDES = {
    "gate": {"command": 'for f in left-*; do test ! -e "right-${f#left-}" || exit 1; done', "proof": "off"}
}


def commits(repo: RepoBuilder, name: str, message: str) -> None:
    """As a person does where mo holds the index for a moment: once more, from the start."""
    limit = time.monotonic() + 10
    while True:
        try:
            repo.git("add", name)
            repo.git("commit", "-q", "-m", message, "--", name)
            return
        except AssertionError:
            if time.monotonic() > limit:
                raise


def keeps_committing(repo: RepoBuilder, held: bool, over: Callable[[], bool], said: list[str]) -> None:
    """A person's commits on main: in its checkout, or by plumbing where nothing has it checked out.

    Between two of them is time for a landing, however slow the machine is just now.
    """
    number = 0
    while not over():
        number += 1
        begun = time.monotonic()
        name, message = f"person-{number}", f"person {number}"
        if held:
            repo.write({name: "p\n"})
            commits(repo, name, message)
        else:
            tip = repo.head("main")
            blob = repo.git("hash-object", "-w", "--stdin", stdin="p\n")
            listing = repo.git("ls-tree", tip) + f"\n100644 blob {blob}\t{name}\n"
            tree = repo.git("mktree", stdin=listing)
            commit = repo.git("commit-tree", tree, "-p", tip, "-m", message)
            repo.git("update-ref", "refs/heads/main", commit, tip, check=False)
        said.append(message)
        time.sleep(0.1 + 8 * (time.monotonic() - begun))


def keeps_landing(mo: Mo, side: str, over: Callable[[], bool], codes: list[int], reasons: list[str]) -> None:
    """Goal after goal that adds a file of its side; the exit codes of landing them, and why some did not."""
    number = 0
    while not over():
        number += 1
        tasks = [{"id": "add", "run": sh(f"echo {side} > {side}-{number}")}]
        deliver = ["--deliver", "merge"] if number % 3 == 0 else []
        goal = start(mo, tasks, *deliver)
        finish(mo, goal)
        done = mo("land", goal, code=None)
        codes.append(done.code)
        if done.code == 1:
            reasons.append(done.err)


def together(*jobs: Callable[[], None]) -> None:
    """Run in threads; what one raises is raised here."""
    errors: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - carried to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def tips_of_main(repo: RepoBuilder) -> list[tuple[str, str, str]]:
    """(commit, tree, subject) of everything that main ever pointed at."""
    lines = repo.git("reflog", "show", "--format=%H %T %s", "main").splitlines()
    return [(commit, tree, subject) for commit, tree, subject in (line.split(" ", 2) for line in lines)]


def green_trees(mo: Mo) -> set[str]:
    goals = [goal["id"] for goal in mo.json("status")["goals"]]
    return {gate["tree"] for goal in goals for gate in mo.goal(goal).gates if gate["result"] == "green"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("held", "seconds"),
    [
        (True, 120),
        (False, 120),
    ],
)
def test_main_only_ever_points_at_gated_trees_or_a_persons_commits(mo: Mo, held: bool, seconds: int) -> None:
    repo = mo.repo
    mo.configure(**SIDES)
    first = repo.head()
    if not held:
        repo.git("switch", "-q", "-c", "elsewhere")
        repo.git("symbolic-ref", "HEAD", "refs/heads/main")
    said: list[str] = []
    codes: dict[str, list[int]] = {"left": [], "right": []}
    reasons: list[str] = []
    run(mo, [{"id": "first", "run": sh("true")}])  # .mo/ is ignored from here on
    begun = time.monotonic()

    def over() -> bool:
        """When there is enough to judge, on a slow machine later."""
        every, after = codes["left"] + codes["right"], time.monotonic() - begun
        enough = every.count(0) >= seconds / 3 and every.count(8) >= 1 and len(said) > seconds
        return (after > seconds and enough) or after > 90 + 2 * seconds

    if not held:
        repo.git("switch", "-q", "elsewhere")
    together(
        lambda: keeps_committing(repo, held, over, said),
        lambda: keeps_landing(mo, "left", over, codes["left"], reasons),
        lambda: keeps_landing(mo, "right", over, codes["right"], reasons),
    )
    tips = tips_of_main(repo)
    gated = green_trees(mo)
    ungated = [
        tip for tip in tips if tip[1] not in gated and not tip[2].startswith("person ") and tip[0] != first
    ]
    assert ungated == []
    for commit, _, _ in tips:
        names = set(repo.git("ls-tree", "--name-only", commit).split())
        assert not [name for name in names if name.startswith("left-") and f"right-{name[5:]}" in names]
    both = codes["left"] + codes["right"]
    assert set(both) <= {0, 1, 8}
    fair = ("kept moving", "has landed yet")  # the second: its task was red beside what main has already
    assert [reason for reason in reasons if not any(words in reason for words in fair)] == []
    assert both.count(0) >= seconds / 3
    assert both.count(8) >= 1
    assert len(said) > seconds
    everything = set(repo.git("log", "--format=%s", "main").splitlines())
    if held:
        assert set(said) <= everything  # no commit of the person's was lost
        assert repo.git("status", "--porcelain") == ""


# -- delivery -----------------------------------------------------------------------------------------


def test_deliver_merge_lands_by_itself_or_says_that_it_could_not(mo: Mo) -> None:
    repo = mo.repo
    mo.configure(**QUICK)
    follow(mo, [{"id": "t", "run": sh("echo t > t")}], "--deliver", "merge")
    assert repo.head("main") == repo.head() == mo.goal().integration  # when the command returns
    assert (repo.path / "t").read_text() == "t\n"

    tip = repo.head()
    follow(
        mo,
        [{"id": "u", "run": sh("echo u > u")}, {"id": "bad", "run": sh("exit 1"), "max_attempts": 1}],
        "--deliver",
        "merge",
        code=1,
    )
    assert repo.head() == tip

    repo.write({"t": "mine\n"})
    mine = checkout(repo)
    follow(mo, [{"id": "v", "run": sh("echo v > t")}], "--deliver", "merge", code=5)
    assert checkout(repo) == mine
    goal = mo.goal()
    assert str(goal.state) == "done"
    (need,) = mo.json("show", goal.id)["goal"]["needs"]
    assert "uncommitted changes" in need["why"]
    assert need["do"] == f"mo land {goal.id}"
    repo.git("checkout", "-q", "--", "t")
    mo("land", goal.id)
    assert (repo.path / "t").read_text() == "v\n"
    assert mo.json("show", goal.id)["goal"]["needs"] == []


def test_a_goal_that_depends_on_another_starts_from_its_result(mo: Mo) -> None:
    repo = mo.repo
    mo.configure(**QUICK)
    one = start(mo, [{"id": "a", "run": sh(HELD + "echo a > a")}])
    two = start(mo, [{"id": "b", "run": sh("cat a > b")}], "--depends-on", one)
    started(mo, one, "a")
    assert str(mo.goal(two).state) == "queued"
    let_go(mo, one, "a")
    assert str(finish(mo, two).state) == "done"
    assert mo.goal(two).base == mo.goal(one).integration == repo.head(f"refs/mo/{two}/base")
    assert repo.tree(mo.goal(two).integration) == {"README.md": "hello", "a": "a", "b": "a"}
    mo.stop()
    three = run(mo, [{"id": "c", "run": sh("cat b > c")}], "--depends-on", two)  # ended in an earlier daemon
    mo("land", three)
    assert set(repo.tree("main")) == {"README.md", "a", "b", "c"}

    bad = run(mo, [{"id": "bad", "run": sh("exit 1"), "max_attempts": 1}])
    after_bad = run(mo, [{"id": "t", "run": sh("true")}], "--depends-on", bad)
    assert (str(mo.goal(after_bad).state), mo.goal(after_bad).reason) == (
        "failed",
        f"the goal it depends on, {bad}, ended failed",
    )
    assert mo.states(after_bad) == {"t": "pending"}


def test_include_dirty_puts_uncommitted_work_into_the_base_and_leaves_it_alone(mo: Mo) -> None:
    repo = mo.repo
    repo.commit({"a": "one\n", "b": "one\n", ".gitignore": "*.log\n"})
    mo.configure(**QUICK)
    first = repo.head()
    repo.write({"a": "two\n", "new": "new\n", "x.log": "ignored\n"})
    (repo.path / "b").unlink()
    repo.git("add", "a")
    repo.write({"a": "three\n"})
    mine = checkout(repo)
    goal = run(mo, [{"id": "t", "run": sh("cat a new > t")}], "--include-dirty")
    assert checkout(repo) == mine
    base = mo.goal(goal).base
    assert parents(repo, base) == [first]
    assert repo.tree(base) == {"README.md": "hello", ".gitignore": "*.log", "a": "three", "new": "new"}
    assert repo.tree(mo.goal(goal).integration)["t"] == "three\nnew"
    assert "uncommitted changes" in refusal(mo, "land", goal, code=1)["message"]
    repo.git("commit", "-q", "-a", "-m", "mine")
    repo.git("add", "new")
    repo.git("commit", "-q", "-m", "mine too")
    mo("land", goal)  # the same change on both sides
    assert repo.tree()["t"] == "three\nnew"
    assert repo.git("status", "--porcelain") == ""


# -- how much at once ---------------------------------------------------------------------------------


def most_at_once(mo: Mo, goal: str, tasks: Sequence[str]) -> int:
    shown = {task["id"]: task for task in mo.json("show", goal)["goal"]["tasks"]}
    spans: list[tuple[float, float]] = [
        (attempt["started_at"], attempt["ended_at"]) for name in tasks for attempt in shown[name]["attempts"]
    ]
    return max(sum(begin <= at < end for begin, end in spans) for at, _ in spans)


def test_limits_of_a_goal_and_of_its_groups(mo: Mo) -> None:
    mo.configure(**QUICK)
    tasks: list[Mapping[str, Any]] = [
        {"id": f"db-{n}", "group": "db", "run": sh(f"sleep 0.1; echo > d{n}")} for n in range(4)
    ]
    tasks += [{"id": f"free-{n}", "run": sh(f"sleep 0.2; echo > f{n}")} for n in range(3)]
    free = [f"free-{n}" for n in range(3)]
    db = [f"db-{n}" for n in range(4)]
    goal = run(mo, tasks, groups={"db": 1})
    assert most_at_once(mo, goal, db) == 1
    assert most_at_once(mo, goal, free) == 3
    goal = run(mo, tasks, "-j", "1", groups={"db": 4})
    assert most_at_once(mo, goal, db + free) == 1
    goal = run(mo, tasks, "-j", "3", groups={"db": 2})
    assert most_at_once(mo, goal, db + free) == 3
    assert most_at_once(mo, goal, db) == 2
    assert str(mo.goal(goal).state) == "done"


def test_fail_fast_starts_nothing_more_and_retry_brings_everything_back(mo: Mo) -> None:
    mo.configure(**QUICK)
    goal = start(
        mo,
        [
            {"id": "runs", "run": sh(HELD + "echo r > r"), "priority": 2},
            {
                "id": "fails",
                "run": sh('test "$MO_ATTEMPT_NUMBER" -gt 1 && echo f > f'),
                "max_attempts": 1,
                "priority": 1,
            },
            {"id": "never", "run": sh("echo n > n")},
            {"id": "on-never", "run": sh("echo o > o"), "depends_on": ["never"]},
        ],
        "-j",
        "2",
        error_policy="fail_fast",
    )
    mo.wait_for(lambda: state(mo, goal, "never") == "skipped")
    let_go(mo, goal, "runs")
    status = finish(mo, goal)
    assert mo.states(goal) == {"runs": "landed", "fails": "failed", "never": "skipped", "on-never": "skipped"}
    assert status.tasks["never"].reason == "fails failed (fail_fast)"
    assert status.tasks["on-never"].reason == "never skipped"
    assert status.tasks["never"].attempts == []
    mo("retry", f"{goal}/fails")
    assert str(finish(mo, goal).state) == "done"
    assert set(mo.repo.tree(mo.goal(goal).integration)) == {"README.md", "r", "f", "n", "o"}


# -- a person steps in --------------------------------------------------------------------------------


def test_pause_lets_what_runs_finish_and_starts_nothing(mo: Mo) -> None:
    mo.configure(**QUICK)
    goal = start(
        mo,
        [
            {"id": "a", "run": sh(HELD + "echo a > a")},
            {"id": "b", "run": sh("echo b > b"), "depends_on": ["a"]},
        ],
    )
    started(mo, goal, "a")
    mo("pause", goal)
    let_go(mo, goal, "a")
    mo.wait_for(lambda: state(mo, goal, "a") == "candidate")
    other = run(mo, [{"id": "t", "run": sh("echo t > t")}])  # others go on
    assert str(mo.goal(other).state) == "done"
    assert mo.states(goal) == {"a": "candidate", "b": "pending"}
    assert str(mo.goal(goal).state) == "paused"
    mo.stop()
    mo("resume", goal)
    assert mo.states(goal)["a"] in ("candidate", "gating", "landed")
    assert str(finish(mo, goal).state) == "done"
    assert "not paused" in mo("resume", start(mo, [{"id": "h", "run": sh(HELD + "true")}])).out
    mo("cancel", mo.goal().id)
    finish(mo, mo.goal().id)


def test_cancel_ends_the_work_and_keeps_it(mo: Mo) -> None:
    repo = mo.repo
    mo.configure(**QUICK)
    goal = start(
        mo,
        [
            {"id": "landed", "run": sh("echo 1 > landed")},
            {
                "id": "half",
                "run": sh("echo half > half; " + HELD + "echo whole > half"),
                "depends_on": ["landed"],
            },
            {"id": "later", "run": sh("echo l > later"), "depends_on": ["half"]},
        ],
        "--deliver",
        "merge",
    )
    worktree = started(mo, goal, "half")
    mo.wait_for((worktree / "half").exists)
    mo("cancel", goal)
    status = finish(mo, goal)
    assert str(status.state) == "cancelled"
    assert mo.states(goal) == {"landed": "landed", "half": "cancelled", "later": "cancelled"}
    assert repo.tree(status.tasks["half"].attempts[0].kept) == {
        "README.md": "hello",
        "landed": "1",
        "half": "half",
    }
    assert set(repo.tree(f"mo/{goal}/integration")) == {"README.md", "landed"}
    assert set(repo.tree("main")) == {"README.md"}
    assert "has ended" in refusal(mo, "cancel", goal, code=1)["message"]
    mo("land", goal)  # what landed can be taken by hand
    assert set(repo.tree("main")) == {"README.md", "landed"}
    mo("retry", goal)
    let_go(mo, goal, "half")
    assert str(finish(mo, goal).state) == "done"
    assert repo.tree("main") == {"README.md": "hello", "landed": "1", "half": "whole", "later": "l"}


def test_skip_counts_a_task_as_done_and_retry_undoes_that(mo: Mo) -> None:
    repo = mo.repo
    mo.configure(gate={"command": "test ! -e slow || sleep 60", "proof": "off"})
    goal = start(
        mo,
        [
            {"id": "runs", "run": sh("echo half > half; " + HELD + "echo r > r")},
            {"id": "gates", "run": sh("echo s > slow")},
            {"id": "bad", "run": sh("exit 1"), "max_attempts": 1},
            {"id": "next", "run": sh("echo n > n"), "depends_on": ["runs", "gates", "bad"]},
        ],
    )
    mo.wait_for(
        lambda: mo.states(goal) == {"runs": "running", "gates": "gating", "bad": "failed", "next": "skipped"}
    )
    worktree = started(mo, goal, "runs")
    mo.wait_for((worktree / "half").exists)
    for task in ("runs", "gates", "bad"):
        mo("skip", f"{goal}/{task}")
    status = finish(mo, goal)
    assert mo.states(goal) == {**dict.fromkeys(("runs", "gates", "bad"), "skipped"), "next": "landed"}
    assert str(status.state) == "done"
    assert set(repo.tree(status.integration)) == {"README.md", "n"}
    assert repo.tree(f"refs/mo/keep/{goal}/runs/1")["half"] == "half"
    assert "nothing to skip" in refusal(mo, "skip", f"{goal}/next", code=1)["message"]
    assert mo.programs() == []
    mo("retry", f"{goal}/runs")
    let_go(mo, goal, "runs")
    finish(mo, goal)
    assert mo.states(goal)["runs"] == "landed"
    assert set(repo.tree(mo.goal(goal).integration)) == {"README.md", "n", "half", "r"}


def test_gc_removes_what_ended_goals_left_and_nothing_else(mo: Mo) -> None:
    repo = mo.repo
    mo.configure(**QUICK)
    tasks: list[dict[str, Any]] = [
        {"id": "good", "run": sh("echo g > g"), "check": "true"},
        {"id": "bad", "run": sh("echo work > work; exit 1"), "max_attempts": 1},
        {"id": "out", "run": sh("echo r > red")},
    ]
    goal, other = run(mo, tasks), run(mo, tasks)
    assert mo.states(goal) == {"good": "landed", "bad": "failed", "out": "ejected"}
    before = repo.git("for-each-ref"), checkout(repo)
    kept = Path(mo.goal(goal).tasks["bad"].worktree)
    assert (kept / "work").read_text() == "work\n"

    document = mo.json("gc", goal, "--dry-run")
    assert f"branch mo/{goal}/good (contained in integration)" in document["details"]
    assert [line for line in document["details"] if line.startswith(f"kept work refs/mo/keep/{goal}/bad/1")]
    assert f"worktree {kept}" in document["details"]
    assert (repo.git("for-each-ref"), checkout(repo)) == before
    assert (kept / "work").exists()

    assert mo.json("gc", goal)["details"] == document["details"]
    refs = set(repo.git("for-each-ref", "--format=%(refname)").split())
    assert {ref for ref in refs if goal in ref} == {
        f"refs/heads/mo/{goal}/integration",
        f"refs/heads/mo/{goal}/out",
        f"refs/mo/{goal}/base",
        f"refs/mo/{goal}/good/1",
    }
    assert {ref.replace(other, goal) for ref in refs if other in ref} == {
        ref for ref in (line.split()[2] for line in before[0].splitlines()) if goal in ref
    }
    assert not kept.exists()
    assert (Path(mo.goal(other).tasks["bad"].worktree) / "work").exists()
    assert not (repo.path / ".mo" / "runs" / goal).exists()
    homes = [path.name for path in Path(os.environ["XDG_STATE_HOME"]).glob("mo/*/cells/*")]
    assert goal not in homes
    assert other in homes or not shutil.which("bwrap")  # the check ran in one
    assert checkout(repo) == before[1]
    mine = repo.git("for-each-ref")
    assert mo.json("gc")["details"] == []  # by age: what is left is young
    assert repo.git("for-each-ref") == mine
    repo.git("fsck", "--connectivity-only")
    mo("land", other)
    assert str(mo.goal(run(mo, tasks[:1])).state) == "done"
    running = start(mo, [{"id": "t", "run": sh(HELD + "true")}])
    started(mo, running, "t")
    assert "has not ended" in refusal(mo, "gc", running, code=1)["message"]
    mo("cancel", running)
    finish(mo, running)
    assert len(facts(mo, running, "task_cancelled")) == 1
