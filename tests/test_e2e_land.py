"""What `mo land`, `mo sync` and `mo rollback` do to real branches and checkouts, and what they refuse."""

from __future__ import annotations

import pytest

from tests.driver import Mo
from tests.support import RepoBuilder
from tests.test_e2e_goal import (
    HELD,
    QUICK,
    UNITTEST,
    adds,
    after,
    case,
    checkout,
    finish,
    fresh_clone,
    let_go,
    parents,
    passes,
    refusal,
    run,
    sh,
    start,
    started,
    state,
)

# -- over uncommitted work ----------------------------------------------------------------------------


def test_land_moves_a_checkout_only_where_nothing_is_in_the_way(mo: Mo) -> None:
    repo = mo.repo
    repo.commit({"a.txt": "one\n", "b.txt": "one\n"})
    mo.configure(**QUICK)
    first = repo.head()
    goal = run(mo, [{"id": "t", "run": sh("echo two > a.txt; mkdir d; echo n > d/new.txt")}])
    integration = mo.goal(goal).integration
    assert repo.head() == first

    repo.write({"a.txt": "mine\n", "b.txt": "mine\n"})
    error = refusal(mo, "land", goal, code=1)
    assert "a.txt" in error["message"]
    assert "b.txt" not in error["message"]
    assert "stash" in error["hint"]
    repo.git("add", "a.txt")
    assert "a.txt" in refusal(mo, "land", goal, code=1)["message"]
    repo.git("reset", "-q", "--", "a.txt")
    repo.git("checkout", "-q", "--", "a.txt")

    repo.write({"d/new.txt": "an untracked file of mine\n"})
    error = refusal(mo, "land", goal, code=1)
    assert "untracked" in error["message"]
    assert "d/new.txt" in error["message"]
    exclude = repo.path / ".git" / "info" / "exclude"
    before = exclude.read_text()
    exclude.write_text(before + "d/\n")
    assert "d/new.txt" in refusal(mo, "land", goal, code=1)["message"]  # nor an ignored one
    exclude.write_text(before)
    (repo.path / "d/new.txt").unlink()

    repo.write({"other.txt": "untracked\n"})
    assert "1 of 1 tasks" in mo("land", goal).out
    assert repo.head("main") == repo.head() == integration
    assert (repo.path / "a.txt").read_text() == "two\n"
    assert (repo.path / "d/new.txt").read_text() == "n\n"
    assert repo.git("status", "--porcelain") == " M b.txt\n?? other.txt"
    assert "contains" in mo("land", goal).out
    assert repo.head("main") == integration


def test_land_waits_for_an_operation_in_progress(mo: Mo) -> None:
    repo = mo.repo
    repo.commit({"f": "base\n"})
    repo.branch("side", {"f": "side\n"})
    repo.commit({"f": "main\n"})
    mo.configure(**QUICK)
    goal = run(mo, [{"id": "t", "run": sh("echo new > new")}])
    for begin, word in (
        (("merge", "side"), "merge"),
        (("rebase", "side"), "rebase"),
        (("cherry-pick", "side"), "cherry-pick"),
    ):
        repo.git(*begin, check=False)
        error = refusal(mo, "land", goal, code=1)
        assert f"a {word} is in progress" in error["message"]
        assert f"git {word} --continue" in error["hint"]
        repo.git(word, "--abort")
    repo.git("bisect", "start")
    repo.git("bisect", "bad")
    repo.git("bisect", "good", "HEAD~1")
    error = refusal(mo, "land", goal, code=1)
    assert "bisect is in progress" in error["message"]
    assert "git bisect reset" in error["hint"]
    repo.git("bisect", "reset")
    mo("land", goal)
    assert repo.head("main") == mo.goal(goal).integration


def test_land_moves_the_worktree_that_holds_the_target_or_else_the_branch_alone(mo: Mo) -> None:
    repo = mo.repo
    mo.configure(**QUICK)
    goals = [run(mo, [{"id": "t", "run": sh("echo 1 > one")}])]
    repo.git("switch", "-q", "-c", "elsewhere")
    linked = RepoBuilder(repo.path.parent / "linked")
    repo.git("worktree", "add", "-q", str(linked.path), "main")
    mine = checkout(repo)
    linked.write({"one": "in the way\n"})
    assert str(linked.path) in refusal(mo, "land", goals[0], code=1)["message"]
    (linked.path / "one").unlink()
    mo("land", goals[0], cwd=linked.path)
    assert (linked.path / "one").read_text() == "1\n"
    assert linked.head() == repo.head("main") == mo.goal(goals[0]).integration
    assert linked.git("status", "--porcelain") == ""
    assert checkout(repo) == mine

    repo.git("worktree", "remove", str(linked.path))
    repo.git("switch", "-q", "main")
    goals.append(run(mo, [{"id": "t", "run": sh("echo 2 > two")}]))
    repo.git("switch", "-q", "elsewhere")
    mine = checkout(repo)
    mo("land", goals[1])
    assert repo.head("main") == mo.goal(goals[1]).integration
    assert checkout(repo) == mine

    repo.git("branch", "-D", "-q", "main")
    assert "no branch main" in refusal(mo, "land", goals[1], code=6)["message"]
    mo("land", goals[1], "--onto", "elsewhere")
    assert repo.head() == mo.goal(goals[1]).integration
    assert sorted(path.name for path in repo.path.iterdir() if path.name[0] != ".") == [
        "README.md",
        "one",
        "two",
    ]


# -- the target moves ---------------------------------------------------------------------------------


def test_land_in_mid_run_names_what_is_missing_and_catches_up_with_the_target(mo: Mo) -> None:
    repo = mo.repo
    mo.configure(**QUICK)
    goal = start(
        mo,
        [
            {"id": "early", "run": sh("echo 1 > early")},
            {"id": "late", "run": sh(HELD + "echo 2 > late"), "depends_on": ["early"]},
        ],
    )
    started(mo, goal, "late")
    document = mo.json("land", goal)
    assert document["missing"] == ["late"]
    assert repo.head() == document["commit"] == mo.goal(goal).integration
    assert "late" in "".join(document["details"])

    person = repo.commit({"person": "p\n"})
    let_go(mo, goal, "late")
    finish(mo, goal)
    mo("land", goal)
    status = mo.goal(goal)
    assert repo.head() == status.integration
    assert repo.git("rev-list", "--parents", "-1", "HEAD").split()[1:] == [
        status.landings[-2]["commit"],
        person,
    ]
    assert repo.tree() == {"README.md": "hello", "early": "1", "late": "2", "person": "p"}
    assert [landing["purpose"] for landing in status.landings] == ["task", "task", "sync"]
    assert repo.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_a_red_combination_with_the_target_is_refused(mo: Mo) -> None:
    repo = mo.repo
    repo.commit(case("base", "pass"))
    mo.configure(**UNITTEST)
    goal = run(mo, [{"id": "t", "run": sh("echo 1 > t")}])
    integration = mo.goal(goal).integration
    person = repo.commit(case("alone", 'self.assertFalse(os.path.exists("t"))'))
    error = refusal(mo, "land", goal, code=8)
    assert "test_alone.Case.test_alone" in error["message"]
    assert repo.head("main") == person
    assert mo.goal(goal).integration == integration == repo.head(f"mo/{goal}/integration")
    gate = mo.json("show", goal)["goal"]["gates"][-1]
    assert (gate["result"], gate["failed_ids"]) == ("red", ["test_alone.Case.test_alone"])

    repo.git("rm", "-q", "test_base.py")  # a person may take tests away
    repo.commit(case("alone", "pass"))
    mo("land", goal)
    assert repo.head("main") == mo.goal(goal).integration
    assert passes(fresh_clone(mo, "clone"), "main", UNITTEST["gate"]["command"])


def test_a_textual_conflict_with_the_target_is_refused(mo: Mo) -> None:
    repo = mo.repo
    mo.configure(**QUICK)
    goal = run(mo, [{"id": "t", "run": sh("echo theirs > README.md")}])
    repo.commit({"README.md": "mine\n"})
    error = refusal(mo, "land", goal, code=5)
    assert "README.md" in error["message"]
    assert f"git merge mo/{goal}/integration" in error["hint"]
    assert error == refusal(mo, "sync", goal, code=5)
    repo.git("merge", "-q", "-X", "ours", "--no-edit", f"mo/{goal}/integration")
    tip = repo.head()
    assert "contains" in mo("land", goal).out
    assert repo.head() == tip


# -- taking back --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_rollback_takes_one_task_back_and_retry_brings_it_again(mo: Mo) -> None:
    repo = mo.repo
    repo.commit(case("base", "pass"))
    mo.configure(**UNITTEST)
    goal = run(
        mo,
        [
            {"id": "a", "run": adds({"a": "1", **case("a", "open('a').close()")})},
            {"id": "b", "run": adds({"b": "2", **case("b", "open('a').close()")}), "depends_on": ["a"]},
            {"id": "c", "depends_on": ["b"], "no_change": "ok", "run": sh("true")},
            {"id": "d", "depends_on": ["a"], "run": sh("echo 4 > d")},
        ],
    )
    whole = mo.goal(goal)
    assert str(whole.state) == "done"
    error = refusal(mo, "rollback", f"{goal}/a", code=1)
    assert error["message"] in ("landed tasks depend on a: b, d", "landed tasks depend on a: d, b")
    assert "--with-dependents" in error["hint"]

    mine = checkout(repo)
    mo("rollback", f"{goal}/b")
    after = mo.goal(goal)
    assert set(repo.tree(after.integration)) == {"README.md", "test_base.py", "a", "test_a.py", "d"}
    assert parents(repo, after.integration) == [whole.integration]
    assert repo.head(f"refs/mo/{goal}/good/{len(after.landings)}") == after.integration
    assert after.landings[-1]["purpose"] == "rollback"
    assert (state(mo, goal, "b"), after.tasks["b"].reason) == ("ejected", "taken back by a person")
    assert passes(fresh_clone(mo, "clone"), after.integration, UNITTEST["gate"]["command"])
    assert checkout(repo) == mine

    mo("retry", f"{goal}/b")
    again = finish(mo, goal)
    assert str(again.state) == "done"
    assert repo.tree(again.integration) == repo.tree(whole.integration)
    assert again.tasks["b"].attempt == 2

    mo("rollback", f"{goal}/a", "--with-dependents")
    assert repo.tree(mo.goal(goal).integration) == repo.tree(whole.base)
    assert {name: state(mo, goal, name) for name in "abd"} == dict.fromkeys("abd", "ejected")
    mo("retry", goal)
    assert str(finish(mo, goal).state) == "done"
    assert repo.tree(mo.goal(goal).integration) == repo.tree(whole.integration)
    mo("land", goal)
    assert repo.tree("main") == repo.tree(whole.integration)


@pytest.mark.slow
def test_rollback_to_a_good_commit_keeps_what_came_from_the_target(mo: Mo) -> None:
    repo = mo.repo
    mo.configure(**QUICK)
    order = (("x", ""), ("y", after("x")), ("z", after("y")))
    goal = run(mo, [{"id": name, "run": sh(f"{wait}echo {name} > {name}")} for name, wait in order])
    first = mo.goal(goal).landings[0]
    assert first["tasks"] == ["x"]
    repo.commit({"person": "p\n"})
    mo("sync", goal)
    mo("rollback", f"{goal}/y")
    assert set(repo.tree(mo.goal(goal).integration)) == {"README.md", "person", "x", "z"}
    mo("rollback", goal, "--to", "good/1")
    assert set(repo.tree(mo.goal(goal).integration)) == {"README.md", "person", "x"}
    assert mo.states(goal) == {"x": "landed", "y": "ejected", "z": "ejected"}
    assert "no task landed after" in refusal(mo, "rollback", goal, "--to", "good/1", code=1)["message"]
    assert "not a good commit" in refusal(mo, "rollback", goal, "--to", "main", code=6)["message"]
    assert "has not landed" in refusal(mo, "rollback", f"{goal}/y", code=1)["message"]
    mo("rollback", goal, "--to", f"refs/mo/{goal}/base")
    assert set(repo.tree(mo.goal(goal).integration)) == {"README.md", "person"}
    mo("land", goal)
    assert set(repo.tree("main")) == {"README.md", "person"}


@pytest.mark.slow
def test_a_rollback_that_conflicts_or_turns_the_gate_red_is_refused(mo: Mo) -> None:
    repo = mo.repo
    repo.commit(case("base", "pass"))
    mo.configure(**UNITTEST)
    goal = run(
        mo,
        [
            {"id": "helper", "run": sh("echo 1 > helper; echo one > README.md")},
            {"id": "user", "run": sh("echo two > README.md")},
            {"id": "tests", "run": adds(case("helper", "open('helper').close()"))},
        ],
        "-j",
        "1",
    )
    error = refusal(mo, "rollback", f"{goal}/helper", code=5)
    assert "README.md" in error["message"]
    assert "--to" in error["hint"]
    mo("rollback", f"{goal}/user")
    error = refusal(mo, "rollback", f"{goal}/helper", code=8)
    assert "test_helper.Case.test_helper" in error["message"]


def test_work_that_stands_on_a_task_taken_back_does_not_land(mo: Mo) -> None:
    repo = mo.repo
    mo.configure(**QUICK)
    goal = start(
        mo,
        [
            {"id": "a", "run": sh("echo a > a")},
            {"id": "b", "run": sh(HELD + "echo b > b"), "depends_on": ["a"]},
            {"id": "c", "run": sh("echo c > c"), "depends_on": ["b"]},
        ],
    )
    started(mo, goal, "b")
    mo("rollback", f"{goal}/a")
    let_go(mo, goal, "b")
    status = finish(mo, goal)
    assert mo.states(goal) == {"a": "ejected", "b": "skipped", "c": "skipped"}
    assert status.tasks["b"].reason == "a ejected"
    assert set(repo.tree(status.integration)) == {"README.md"}
    assert set(repo.tree(f"mo/{goal}/b")) == {"README.md", "a", "b"}  # its work is kept

    mo("retry", goal)
    started(mo, goal, "b")
    let_go(mo, goal, "b")
    assert str(finish(mo, goal).state) == "done"
    assert set(repo.tree(mo.goal(goal).integration)) == {"README.md", "a", "b", "c"}


# -- odd situations -----------------------------------------------------------------------------------


def test_commits_of_others_on_integration_are_not_taken_for_gated(mo: Mo) -> None:
    repo = mo.repo
    mo.configure(**QUICK)
    tasks = [
        {"id": "a", "run": sh("echo a > a")},
        {"id": "b", "run": sh(HELD + "echo b > b"), "depends_on": ["a"]},
    ]
    goal = start(mo, tasks)
    started(mo, goal, "b")
    repo.git("switch", "-q", f"mo/{goal}/integration")
    foreign = repo.commit({"foreign": "not gated\n"})
    repo.git("switch", "-q", "main")
    error = refusal(mo, "land", goal, code=5)
    assert f"the integration branch of {goal} is at {foreign[:12]}" in error["message"]
    assert f"mo recover {goal}" in error["hint"]
    let_go(mo, goal, "b")
    assert str(finish(mo, goal).state) == "halted"
    assert repo.head(f"mo/{goal}/integration") == foreign
    assert "is kept as refs/mo/keep/" in mo("recover", goal).out
    mo("resume", goal)
    assert str(finish(mo, goal).state) == "done"
    mo("land", goal)
    assert set(repo.tree("main")) == {"README.md", "a", "b"}
    assert foreign in repo.git("for-each-ref", f"refs/mo/keep/{goal}")


def test_a_goal_from_a_detached_head_and_a_target_without_common_history(mo: Mo) -> None:
    repo = mo.repo
    mo.configure(**QUICK)
    repo.git("switch", "-q", "--detach")
    goal = run(mo, [{"id": "t", "run": sh("echo t > t")}], "--base", "HEAD")
    error = refusal(mo, "land", goal, code=2)
    assert "has no target branch" in error["message"]
    assert "--onto BRANCH" in error["hint"]
    assert "target" in refusal(mo, "sync", goal, code=2)["message"]
    mo("land", goal, "--onto", "main")
    assert repo.tree("main")["t"] == "t"

    repo.git("switch", "-q", "--orphan", "other")
    repo.commit({"alone": "x\n"})
    assert "no common history" in refusal(mo, "land", goal, "--onto", "other", code=5)["message"]
