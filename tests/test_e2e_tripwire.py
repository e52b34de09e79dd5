"""Tasks without a sandbox that change the repository: noticed, put back, and whom it is blamed on."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mo_daemon.engine import Engine
from mo_git.goal_status import GoalStatus
from mo_git.lifecycle import has_ended
from mo_git.model import FailureClass
from tests.driver import Mo, plan
from tests.support import RepoBuilder
from tests.test_engine import World, running, sh, states, wait_for_file, world

__all__ = ["world"]  # a fixture

GOAL = "goal-0001"
FREE = "unset GIT_CONFIG_COUNT; "  # past the ref guard
MINE = {f"mo/{GOAL}/", "refs/mo/", "refs/notes/mo"}


def whole(repo: RepoBuilder) -> dict[str, Any]:
    """All that a task must leave as it is, mo's own refs apart."""
    git = repo.path / ".git"
    files = [path for path in repo.path.rglob("*") if path.is_file() and ".mo" not in path.parts]
    here = [path for path in files if ".git" not in path.parts]
    listed = repo.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return {
        "refs": [line for line in listed if not any(part in line for part in MINE)],
        "head": (git / "HEAD").read_text(),
        "index": repo.git("ls-files", "-s"),
        "files": {str(path): path.read_bytes() for path in here},
        "stash": repo.git("stash", "list"),
        "config": (git / "config").read_text(),
        "hooks": {path.name: path.read_bytes() for path in (git / "hooks").iterdir()},
        "info": {path.name: path.read_bytes() for path in (git / "info").iterdir()},
    }


def own_refs(repo: RepoBuilder) -> dict[str, str]:
    listed = repo.git("for-each-ref", "--format=%(refname) %(objectname)", f"refs/heads/mo/{GOAL}", "refs/mo")
    return dict(line.split() for line in listed.splitlines())


def person(repo: RepoBuilder, line: str) -> None:
    done = subprocess.run(["sh", "-ec", line], cwd=repo.path, check=False, capture_output=True, text=True)
    assert (done.returncode, line) == (0, line), done.stderr


# script of the attack -> what the failure says; $REPO is the main checkout, $OTHER another commit
ATTACKS = {
    "git -C $REPO branch -qD mo/goal-0001/first": "refs/heads/mo/goal-0001/first was removed (put back)",
    "git update-ref refs/heads/mo/goal-0001/first $OTHER": (
        "refs/heads/mo/goal-0001/first was changed (put back)"
    ),
    "git update-ref refs/heads/mo/goal-0001/integration $OTHER": (
        "refs/heads/mo/goal-0001/integration was changed (put back)"
    ),
    "git update-ref -d refs/mo/goal-0001/base": "refs/mo/goal-0001/base was removed (put back)",
    "git update-ref refs/mo/keep/goal-0001/x/1 $OTHER": "refs/mo/keep/goal-0001/x/1 was made (put back)",
    "echo $OTHER > $REPO/.git/refs/mo/goal-0001/base": "refs/mo/goal-0001/base was changed (put back)",
    "echo evil > $REPO/.git/hooks/pre-commit": "hooks/pre-commit was made (put back)",
    "rm $REPO/.git/hooks/post-commit": "hooks/post-commit was removed (put back)",
    "ln -sf /bin/true $REPO/.git/hooks/post-commit": "hooks/post-commit was changed (put back)",
    "git config core.fsmonitor ./evil": "core.fsmonitor was set in config (put back)",
    "git config alias.st '!evil'; git config core.hooksPath evil": (
        "alias.st, core.hookspath was set in config (put back)"
    ),
    "git config filter.x.clean other": "filter.x.clean was set in config (put back)",
    "echo '*.py filter=x' > $REPO/.git/info/attributes": "info/attributes was made (put back)",
    "git -C $REPO symbolic-ref HEAD refs/heads/stranger": (
        "HEAD of the main checkout was switched to refs/heads/stranger (put back)"
    ),
}


def attacked(
    world: World, tmp_path: Path, attack: str, free: str = FREE
) -> tuple[GoalStatus, dict[str, str], dict[str, str]]:
    """A goal of which one task waits for its next attempt while another attacks; mo's refs before, after."""
    go = tmp_path / "go"
    world.configure(retry={"base_seconds": 1000}, orchestrator={"tick_seconds": 1000})  # no look half way
    script = f"export REPO={world.repo.path} OTHER={world.repo.head('stranger')}; {free}{attack}"
    world.queue(sh("first", "kill -9 $$"), sh("evil", f"{wait_for_file(go)}; echo x > evil.txt; {script}"))

    async def until_evil_ends(engine: Engine) -> tuple[GoalStatus, dict[str, str], dict[str, str]]:
        engine.services.jitter = lambda: 1.0
        with running(engine) as until:
            await until(lambda: GOAL in engine.goals and states(engine.goals[GOAL])["first"] == "waiting")
            await until(lambda: states(engine.goals[GOAL])["evil"] == "running")
            before = own_refs(world.repo)
            go.touch()
            await until(lambda: engine.goals[GOAL].tasks["evil"].ended)
        return engine.goals[GOAL], before, own_refs(world.repo)

    return world.run(until_evil_ends)


@pytest.fixture
def home(world: World) -> RepoBuilder:
    """The user's repository, with things in it that a task could spoil."""
    repo = world.repo
    repo.branch("stranger", {"strange.txt": "x"})
    (repo.path / ".git/hooks/post-commit").write_text("#!/bin/sh\n")
    (repo.path / ".git/info/attributes").unlink(missing_ok=True)
    repo.git("config", "filter.x.clean", "cat")
    repo.git("config", "branch.main.remote", "origin")
    repo.git("remote", "add", "hub", "../hub.git")
    repo.git("tag", "lonely", repo.git("commit-tree", "-m", "lonely", "HEAD^{tree}"))
    for text in ("one", "two"):
        repo.write({"README.md": text})
        repo.git("stash")
    (repo.path / "README.md").write_text("the user's\n")
    repo.git("status")
    return repo


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_surely_not_the_users_is_put_back(
    world: World, home: RepoBuilder, tmp_path: Path, attack: str
) -> None:
    before = whole(home)
    goal, refs, after = attacked(world, tmp_path, attack)
    [tried] = goal.tasks["evil"].attempts
    assert (tried.failure, tried.reason) == (
        FailureClass.ISOLATION_BREACH,
        f"changed the repository: {ATTACKS[attack]}",
    )
    assert whole(home) == before
    kept = {name for name in after if name.startswith(f"refs/mo/keep/{GOAL}/")}
    assert {name: oid for name, oid in after.items() if name not in kept - set(refs)} == refs
    assert goal.changes == []


# script -> what is told, and how it is put back; $OID in there is a commit
DOUBTFUL = {
    "git -C $REPO branch -qD stranger": (
        "refs/heads/stranger was removed",
        "git update-ref refs/heads/stranger",
    ),
    "git update-ref refs/heads/stranger HEAD": (
        "refs/heads/stranger was changed",
        "git update-ref refs/heads/stranger",
    ),
    "git rev-parse HEAD > $REPO/.git/refs/heads/stranger": (
        "refs/heads/stranger was changed",
        "git update-ref refs/heads/stranger",
    ),
    "git tag -d lonely": ("refs/tags/lonely was removed", "git update-ref refs/tags/lonely"),
    "git replace $OTHER HEAD": ("refs/replace/", "git update-ref -d refs/replace/"),
    "git config remote.hub.url evil": (
        "remote.hub.url was changed in config",
        "git config remote.hub.url ../hub.git",
    ),
    "git -C $REPO stash clear": ("2 stashes were dropped", "git stash store "),
    "git -C $REPO symbolic-ref HEAD refs/heads/new": (
        "HEAD of the main checkout was switched to refs/heads/new",
        "git symbolic-ref HEAD refs/heads/main",
    ),
}


@pytest.mark.parametrize("script", DOUBTFUL)
def test_what_may_be_the_users_is_told_and_not_touched(
    world: World, home: RepoBuilder, tmp_path: Path, script: str
) -> None:
    before = whole(home)
    goal, _, _ = attacked(world, tmp_path, script)
    assert [attempt.failure for attempt in goal.tasks["evil"].attempts] == [""]
    assert whole(home) != before
    [change] = goal.changes
    what, remedy = DOUBTFUL[script]
    assert (change["what"][: len(what)], change["do"][: len(remedy)]) == (what, remedy)
    assert change["ran"] == [f"{GOAL}/evil#1"]
    person(home, change["do"])
    mended = whole(home)
    assert [line.partition(": ")[0] for line in mended.pop("stash").splitlines()] == [
        line.partition(": ")[0] for line in before.pop("stash").splitlines()
    ]
    assert mended == before


def test_of_two_that_ran_nobody_is_blamed(world: World, home: RepoBuilder, tmp_path: Path) -> None:
    """It is put back all the same, and both are named."""
    before = whole(home)
    done = tmp_path / "done"
    world.configure(orchestrator={"tick_seconds": 1000})
    world.queue(
        sh("one", f"{wait_for_file(tmp_path / 'two')}; touch {tmp_path}/one; echo 1 > one.txt"),
        sh(
            "two",
            f"touch {tmp_path}/two; {wait_for_file(tmp_path / 'one')}; "
            f"{FREE}git config core.fsmonitor evil; echo 2 > two.txt; touch {done}; {wait_for_file(done)}",
        ),
    )
    goal = world.to_the_end()[GOAL]
    assert states(goal) == {"one": "landed", "two": "landed"}
    assert whole(home) == before
    assert [(change["what"], change["do"]) for change in goal.changes] == [
        ("core.fsmonitor was set in config (put back)", "")
    ]


def test_what_the_user_did_with_it_survives(world: World, home: RepoBuilder, tmp_path: Path) -> None:
    """One setting of a file is put back, another one that came meanwhile stays."""
    goal, _, _ = attacked(
        world, tmp_path, "git config core.pager evil; git config branch.main.merge refs/heads/main"
    )
    [tried] = goal.tasks["evil"].attempts
    assert tried.reason == "changed the repository: core.pager was set in config (put back)"
    assert home.git("config", "branch.main.merge") == "refs/heads/main"
    assert home.git("config", "core.pager", check=False) == ""


def test_what_is_taken_away_is_kept(world: World, home: RepoBuilder, tmp_path: Path) -> None:
    stranger = home.head("stranger")
    _, _, after = attacked(
        world,
        tmp_path,
        f"echo evil > $REPO/.git/hooks/pre-push; git update-ref refs/heads/mo/{GOAL}/first $OTHER",
    )
    [copy] = (home.path / ".mo/runs" / GOAL / "foreign").glob("*/hooks-pre-push")
    assert copy.read_text() == "evil\n"
    assert stranger in [
        oid for name, oid in after.items() if name.startswith(f"refs/mo/keep/{GOAL}/foreign/")
    ]


# script, with the ref guard in place -> how changed files of the checkout come back; empty: none changed
STRAYS = {
    "git -C $REPO switch -q stranger": "git -C $REPO switch -",
    "git -C $REPO checkout -q -- README.md": "nothing brings overwritten files back",
    "git -C $REPO branch new; git -C $REPO stash; git -C $REPO status; true": "",
    "git switch -q --detach; git checkout -q -- .; git worktree add -q --detach $PWD/../../own": "",
    "git clone -q . sub; git -C sub switch -q --detach; rm -rf sub": "",
    "git init -q $HOME/x; cd $HOME/x; git commit -q --allow-empty -m x; git switch -q -c y": "",
}


@pytest.mark.parametrize("script", STRAYS)
def test_git_commands_in_the_users_checkout(
    world: World, home: RepoBuilder, tmp_path: Path, script: str
) -> None:
    home.git("checkout", "-q", "--", "README.md")
    goal, _, _ = attacked(world, tmp_path, script, free="")
    [tried] = goal.tasks["evil"].attempts
    remedy = STRAYS[script].replace("$REPO", str(home.path))
    assert tried.reason == (
        f"changed the repository: git changed files in {home.path} (not put back: {remedy})" if remedy else ""
    )
    assert goal.changes == []


def test_a_breach_is_told_with_the_other_failure(world: World, home: RepoBuilder, tmp_path: Path) -> None:
    goal, _, _ = attacked(world, tmp_path, "git config core.pager evil; exit 3")
    [tried] = goal.tasks["evil"].attempts
    assert (tried.failure, tried.exit_code) == (FailureClass.ISOLATION_BREACH, 3)
    assert tried.reason == (
        "changed the repository: core.pager was set in config (put back) (and it failed: exit code 3)"
    )


def test_who_follows_a_goal_is_told(mo: Mo) -> None:
    """By the real daemon; also afterwards by `mo show`."""
    oid = mo.repo.branch("stranger", {"strange.txt": "x"})
    mo.configure(gate={"command": "test ! -e red", "proof": "off"})
    script = f"{FREE}git -C {mo.repo.path} branch -qD stranger; echo x > x.txt"
    file = mo.repo.path.parent / "plan.json"
    file.write_text(plan([{"id": "evil", "run": ["sh", "-c", script]}]))
    followed = mo("do", f"@{file}").out
    [change] = mo.json("show")["goal"]["changes"]
    ran = f"{mo.goal().id}/evil#1"
    put_back = f"git update-ref refs/heads/stranger {oid}"
    assert change == {"what": "refs/heads/stranger was removed", "ran": [ran], "do": put_back}
    assert f"  goal  refs/heads/stranger was removed, while {ran} ran: {put_back}\n" in followed
    shown = mo("show").out
    assert (
        f"changed in the repository\n  refs/heads/stranger was removed, while {ran} ran  {put_back}\n"
        in shown
    )
    assert "the repository was changed" in mo.log()


# -- a person at work ---------------------------------------------------------------------------------

DAILY = """
echo one > mine.txt; git add mine.txt; git commit -qm one
git commit -q --amend -m again
git branch topic; git branch -m topic subject; git branch -d subject
git switch -qc feature; echo two > two.txt; git add two.txt; git commit -qm two; git switch -q main
git merge -q feature --no-edit; git branch -qd feature
git switch -q --detach; git switch -q -
echo edited > mine.txt; git stash -q; git stash pop -q; git stash -q
echo other > mine.txt; git stash -q; git stash drop -q
git stash pop -q; git checkout -q -- mine.txt
git tag v1; git tag -a -m v2 v2
git remote add hub ../hub.git; git push -q -u hub main; git fetch -q hub
git push -q hub HEAD~1:refs/heads/old; git fetch -q hub; git push -q hub :old; git fetch -q --prune hub
git rebase -q -f --root
git reset -q --hard HEAD~1; git reset -q --hard ORIG_HEAD
git cherry-pick stranger
git worktree add -q ../beside -b beside; git worktree remove ../beside
git pack-refs --all; git gc -q --prune=now
git config user.name Somebody; git config core.fsmonitor false; git config alias.st status
git notes add -m said; git bisect start HEAD HEAD~1; git bisect reset
rm README.md; echo new > new.txt; echo '*.o' >> .git/info/exclude
git reflog expire --expire=now --all; git commit -q --allow-empty -m last
git branch -qf beside HEAD~1; git fetch -q . main:beside
git switch -q stranger; git switch -q -c third; git switch -q main
"""


def test_a_person_at_work_loses_nothing_and_fails_nothing(world: World, tmp_path: Path) -> None:
    """One task runs alone meanwhile, so it would be blamed for everything; each line is looked at alone."""
    repo = world.repo
    repo.branch("stranger", {"strange.txt": "x"})
    repo.git("clone", "-q", "--bare", ".", "../hub.git")
    go = tmp_path / "go"
    world.queue(sh("long", f"{wait_for_file(go)}; echo x > x.txt"))

    async def script(engine: Engine) -> GoalStatus:
        lookout = engine.services.lookout
        with running(engine) as until:
            await until(lambda: GOAL in engine.goals and states(engine.goals[GOAL])["long"] == "running")
            for line in DAILY.strip().splitlines():
                looks = lookout._begun
                await until(lambda looks=looks: lookout._begun > looks + 1)  # type: ignore[misc]
                await asyncio.to_thread(person, repo, line)
                left = whole(repo)
                looks = lookout._begun
                await until(lambda looks=looks: lookout._begun > looks + 1)  # type: ignore[misc]
                assert (line, engine.goals[GOAL].changes) == (line, [])
                assert whole(repo) == left
            go.touch()
            await until(lambda: has_ended(engine.goals[GOAL]))
        return engine.goals[GOAL]

    goal = world.run(script)
    assert (str(goal.state), goal.changes) == ("done", [])
    assert [attempt.failure for attempt in goal.tasks["long"].attempts] == [""]
