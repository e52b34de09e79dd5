"""Branches that people and other tools made, through the gate: `from` tasks and `mo queue`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mo_git.errors import Exit
from tests.agents import endings, run
from tests.driver import Mo, plan
from tests.test_e2e_goal import QUICK, UNITTEST, case, refusal, sh

pytestmark = pytest.mark.slow


def queued(mo: Mo, *args: str, code: int = 0) -> dict[str, Any]:
    """`mo queue add` to the end; the goal's document."""
    mo("queue", "add", *args, code=code)
    document: dict[str, Any] = mo.json("show", "@last")["goal"]
    return document


def states(goal: Mapping[str, Any]) -> dict[str, str]:
    return {task["id"]: task["state"] for task in goal["tasks"]}


# -- mo queue add -------------------------------------------------------------------------------------


def test_branches_land_each_gated_with_the_persons_commits(mo: Mo) -> None:
    repo = mo.repo
    mo.home.create()
    repo.commit(case("first", "self.assertTrue(True)"))
    one = repo.branch("feature/one", {"one.txt": "1\n"})
    two = repo.branch("two", {"two.txt": "2\n"})
    main = repo.commit({"meanwhile.txt": "x\n"})
    mo.configure(**UNITTEST)
    goal = queued(mo, "feature/one", "two", "--deliver", "merge")
    assert states(goal) == {"feature-one": "landed", "two": "landed"}
    for task, commit in zip(goal["tasks"], (one, two), strict=True):
        assert task["commit"] == commit
        assert repo.git("rev-parse", f"{task['landed_commit']}^2") == commit
        assert task["attempts"][0]["log"]
    assert repo.head("main") == goal["integration"]  # delivered
    assert set(repo.tree("main")) >= {"one.txt", "two.txt", "meanwhile.txt"}
    assert repo.git("merge-base", "--is-ancestor", main, "main") == ""
    assert {gate["result"] for gate in goal["gates"]} == {"green"}
    assert (repo.head("feature/one"), repo.head("two")) == (one, two)
    assert "from" in mo("show", f"{goal['id']}/two").out


def test_a_red_branch_is_ejected_and_the_others_land(mo: Mo) -> None:
    repo = mo.repo
    mo.home.create()
    repo.commit(case("good", "self.assertFalse(os.path.exists('bad'))"))
    bad = repo.branch("bad", {"bad": "x\n"})
    repo.branch("fine", {"fine": "x\n"})
    mo.configure(**UNITTEST)
    goal = queued(mo, "bad", "fine", code=Exit.FAILED)
    assert endings(goal) == {"bad": ("ejected", [None]), "fine": ("landed", [None])}
    (ejection,) = goal["ejections"]
    assert ejection["evidence"]["failed_ids"] == ["test_good.Case.test_good"]
    assert set(repo.tree(goal["integration"])) >= {"fine"}
    assert repo.head("bad") == bad
    # mended by its owner: read again, where a retry says so
    repo.git("checkout", "-q", "bad")
    repo.git("rm", "-q", "bad")
    mended = repo.commit({"better": "x\n"})
    repo.git("checkout", "-q", "main")
    mo("retry", f"{goal['id']}/bad")
    mo.wait_for(lambda: mo.goal().ended is not None)
    goal = mo.json("show", "@last")["goal"]
    assert states(goal) == {"bad": "landed", "fine": "landed"}
    assert goal["tasks"][0]["commit"] == mended


def test_what_cannot_be_queued(mo: Mo) -> None:
    repo = mo.repo
    mo.home.create()
    mo.configure(**QUICK)
    old = repo.head()
    repo.commit({"a": "1\n"})
    repo.branch("side", {"b": "1\n"})
    repo.branch("mo/other-k3f9/task", {"c": "1\n"})
    repo.git("checkout", "-q", "--orphan", "alien")
    repo.commit({"d": "1\n"})
    repo.git("checkout", "-q", "main")

    def refused(*args: str, code: Exit = Exit.USAGE) -> str:
        return str(refusal(mo, "queue", "add", *args, code=code)["message"])

    assert refused("nowhere", code=Exit.NOT_FOUND) == "no commit is called 'nowhere' here"
    assert refused("side", "main") == "main is the target branch itself"
    assert refused("HEAD") == "HEAD is the target branch itself"
    assert refused("side", "--onto", "side") == "side is the target branch itself"
    assert refused("mo/other-k3f9/task") == "mo/other-k3f9/task is mo's own branch, and goes its own way"
    assert refused(old) == f"main contains {old} already"
    assert refused("alien").startswith("alien has no common history with ")
    assert refused("side", "--onto", "nowhere", code=Exit.NOT_FOUND)
    assert mo("queue", "add", code=Exit.USAGE).err.endswith("Missing argument 'REF...'.\n")
    repo.git("checkout", "-q", "--detach")
    assert refused("side") == "HEAD is detached: there is no branch to land on"
    assert not mo.home.database.exists()


def test_onto_another_branch_and_by_commit(mo: Mo) -> None:
    repo = mo.repo
    mo.home.create()
    mo.configure(**QUICK)
    repo.git("branch", "release")
    repo.branch("fix", {"a": "1\n"})
    commit = repo.branch("two", {"b": "1\n"}, "fix")
    goal = queued(mo, "fix", "two^{commit}", "--onto", "release", "--deliver", "merge")
    assert states(goal) == {"fix": "landed", "two-commit": "landed"}
    assert goal["target"] == "release"
    assert "b" in repo.tree("release")
    assert "a" not in repo.tree("main")
    assert repo.git("merge-base", "--is-ancestor", commit, "release") == ""


def test_the_list_of_what_waits(mo: Mo) -> None:
    repo = mo.repo
    mo.home.create()
    go = repo.path.parent / "go"
    mo.configure(
        gate={"command": f"until [ -e {go} ]; do sleep 0.02; done", "proof": "off", "sandbox": False}
    )
    repo.branch("one", {"a": "1\n"})
    assert "no goals yet" in mo("queue", "list", code=Exit.NOT_FOUND).err
    goal = mo("queue", "add", "one", "--detach").out.strip()
    (row,) = mo.json("queue", "list")["queue"]
    assert (row["target"], row["goal"], row["task"], row["from"]) == ("main", goal, "one", "one")
    assert f"main  {goal}/one  " in mo("queue", "list").out
    go.touch()
    mo.wait_for(lambda: mo.goal().ended is not None)
    assert mo("queue", "list").out == "nothing is in the queue\n"


# -- from in a plan -----------------------------------------------------------------------------------


def test_a_branch_between_tasks(mo: Mo) -> None:
    """Its check runs, what depends on it starts from it, what is contained already has nothing to do."""
    repo = mo.repo
    mo.home.create()
    mo.configure(**QUICK)
    repo.git("branch", "old")
    repo.branch("theirs", {"lib": "1\n"})
    tasks = [
        {"id": "lib", "from": "theirs", "check": "test -e lib"},
        {"id": "use", "run": sh("cp lib use"), "depends_on": ["lib"]},
        {"id": "old", "from": "old"},
        {"id": "wrong", "from": "theirs", "check": "test -e nothing"},
    ]
    goal = run(mo, plan(tasks), code=Exit.FAILED)
    assert endings(goal) == {
        "lib": ("landed", [None]),
        "use": ("landed", [None]),
        "old": ("unchanged", [None]),
        "wrong": ("failed", ["check_failed"]),
    }
    reasons = {task["id"]: task["reason"] for task in goal["tasks"]}
    assert reasons["old"] == "old is contained already"
    assert reasons["wrong"].startswith("check failed, exit code 1")
    assert "use" in repo.tree(goal["integration"])


@pytest.mark.parametrize(
    ("files", "failure", "reason"),
    [
        ({"a": "<<<<<<< x\n1\n=======\n2\n>>>>>>> y\n"}, "invalid_output", "a: conflict markers, line 1"),
        ({"key": "AKIA" + "QWERTYUIOPASDFGH\n"}, "secrets", "key: line 1: AWS access key id"),
        ({".mo/config.toml": "x = 1\n"}, "scope", ".mo/config.toml: belongs to mo"),
        ({"big": "x" * 2_000_000}, "invalid_output", "big: 2000000 bytes, the limit is 1048576"),
    ],
)
def test_a_branch_is_looked_at_like_any_work(
    mo: Mo, files: Mapping[str, str], failure: str, reason: str
) -> None:
    mo.home.create()
    mo.configure(limits={"max_file_mb": 1}, **QUICK)
    mo.repo.git("checkout", "-q", "-b", "side")
    mo.repo.write(files)
    mo.repo.git("add", "-A", "-f", *files)
    mo.repo.git("commit", "-q", "-m", "x")
    mo.repo.git("checkout", "-q", "main")
    goal = run(mo, plan([{"id": "t", "from": "side"}]), code=Exit.FAILED)
    assert endings(goal) == {"t": ("failed", [failure])}
    assert goal["tasks"][0]["reason"].startswith(reason)


def test_a_branch_in_conflict_waits_for_its_owner(mo: Mo) -> None:
    repo = mo.repo
    mo.home.create()
    mo.configure(**QUICK)
    repo.commit({"a": "base\n"})
    repo.branch("one", {"a": "one\n"})
    repo.branch("two", {"a": "two\n"})
    goal = queued(mo, "one", "two", code=Exit.PERSON)
    stuck = next(name for name, state in states(goal).items() if state == "conflict")
    assert sorted(states(goal).values()) == ["conflict", "landed"]
    assert [conflict["resolution"] for conflict in goal["conflicts"]] == ["person"]
    assert f"mo retry {goal['id']}/{stuck}" in mo("review", goal["id"], code=Exit.PERSON).out


def test_a_lock_file_of_a_branch_is_rebuilt_and_its_commits_stay(mo: Mo) -> None:
    repo = mo.repo
    mo.home.create()
    rebuild = {'"all.lock"': "ls deps > all.lock"}
    mo.configure(**QUICK, **{"converge.regenerate": rebuild})
    repo.commit({"deps/a": "", "all.lock": "a\n"})
    repo.branch("one", {"deps/b": "", "all.lock": "a\nb\n"})
    repo.branch("two", {"deps/c": "", "all.lock": "a\nc\n"})
    goal = queued(mo, "one", "two")
    assert states(goal) == {"one": "landed", "two": "landed"}
    assert repo.tree(goal["integration"])["all.lock"] == "a\nb\nc"
    (conflict,) = goal["conflicts"]
    assert conflict["resolution"] == "regenerate"
    assert repo.git("rev-parse", f"{conflict['commit']}^2") == repo.head(conflict["task"])
    assert repo.git("merge-base", "--is-ancestor", conflict["task"], goal["integration"]) == ""


def test_a_branch_that_is_not_there(mo: Mo) -> None:
    """Said at once; where it goes before the goal starts, the goal says so and waits."""
    repo = mo.repo
    mo.home.create()
    mo.configure(**QUICK)
    file = repo.path.parent / "plan.json"
    file.write_text(plan([{"id": "t", "from": "nowhere"}]))
    error = refusal(mo, "do", f"@{file}", code=Exit.NOT_FOUND)
    assert error["message"] == "no commit is called 'nowhere' here"
    go = repo.path.parent / "go"
    repo.branch("later", {"a": "1\n"})
    file.write_text(plan([{"id": "wait", "run": sh(f"until [ -e {go} ]; do sleep 0.02; done")}]))
    first = mo.json("do", f"@{file}", "--detach")["goal"]
    file.write_text(plan([{"id": "t", "from": "later"}]))
    second = mo.json("do", f"@{file}", "--detach", "--depends-on", first)["goal"]
    repo.git("branch", "-m", "later", "gone")
    go.touch()
    mo.wait_for(lambda: mo.goal(second).ended is not None)
    status = mo.goal(second)
    assert status.state == "halted"
    assert status.reason.startswith(
        "task t: there is no branch or commit later; make it again, then mo resume"
    )
    repo.git("branch", "-m", "gone", "later")
    mo("resume", second)
    mo.wait_for(lambda: mo.goal(second).state == "done")


def test_a_check_that_was_cut_short_runs_again(mo: Mo) -> None:
    """The daemon is killed while it runs; what lands is the commit that was pinned."""
    repo = mo.repo
    mo.home.create()
    mo.configure(**QUICK)
    marks = repo.path.parent
    commit = repo.branch("side", {"a": "1\n"})
    check = f"[ -e {marks}/go ] || {{ touch {marks}/begun; sleep 60; }}"
    file = marks / "plan.json"
    file.write_text(plan([{"id": "t", "from": "side", "check": check}]))
    mo.environ["MO_GATE__SANDBOX"] = "false"
    mo("do", f"@{file}", "--detach")
    mo.wait_for((marks / "begun").exists)
    mo.kill()
    (marks / "go").touch()
    repo.git("branch", "-f", "side", "main")
    mo("daemon", "start")
    mo.wait_for(lambda: mo.goal().ended is not None)
    goal = mo.json("show", "@last")["goal"]
    assert endings(goal) == {"t": ("landed", ["lost", None])}
    assert goal["tasks"][0]["commit"] == commit
