"""Without a sandbox: what the ref guard refuses, what the tripwire finds and undoes, what neither sees."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_daemon.environment import task_environment
from mo_daemon.sandbox import Tier
from mo_daemon.sandbox.tripwire import Difference, Expected, Snapshot, checkout, differences, take
from mo_daemon.sandbox.undo import undo
from mo_git.git.repo import Repo
from tests import cells
from tests.cells import BRANCH, Cell
from tests.support import RepoBuilder

HOOKS = Path(__file__).parents[1] / "hooks"
KEEP = "refs/mo/keep/goal/task/1-foreign"
OWN = Expected(free=[f"refs/heads/{BRANCH}"], worktrees=["mo-1"])


@pytest.fixture
def cell() -> Iterator[Cell]:
    made = cells.build(os.geteuid(), Tier("guard"))
    yield made
    cells.remove(made)


def guarded(cell: Cell, script: str) -> tuple[int, str]:
    """Run a program as an attempt without a sandbox runs it."""
    env = task_environment(
        cell.environ,
        goal="goal",
        task="task",
        attempt=1,
        worktree=cell.worktree,
        common_dir=cell.git_dir,
        port_base=20000,
        passed=["MAIN", "GIT", "WT", "OTHER", "TOP", "GIT_CONFIG_NOSYSTEM"],
        guard=(HOOKS, f"refs/heads/{BRANCH}"),
    )
    done = subprocess.run(
        ["sh", "-c", script], cwd=cell.worktree, env=env, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


def found(cell: Cell, before: Snapshot, expected: Expected = OWN) -> list[str]:
    return [item.text for item in differences(before, take(cell.git_dir), expected)]


UNNOTICED: tuple[str, ...] = ()
GUARD = ("refused by the guard",)

# script -> what the tripwire finds
ATTACKS: dict[str, tuple[str, ...]] = {
    "git commit -q --allow-empty -m x; git reset -q --hard HEAD~1; git switch -q --detach": UNNOTICED,
    "git stash list; git status; git gc -q; git pack-refs --all": UNNOTICED,
    "git branch new": GUARD,
    "git branch -D victim": GUARD,
    "git tag v2": GUARD,
    "git update-ref refs/heads/main HEAD~1": GUARD,
    "echo x >> a.txt; git stash": GUARD,
    "git -C $MAIN commit -q --allow-empty -m x": GUARD,
    "git -c core.hooksPath= branch new": ("refs/heads/new was made",),
    "env -u GIT_CONFIG_COUNT git branch -D victim": ("refs/heads/victim was removed",),
    "git rev-parse HEAD > $GIT/refs/heads/victim": ("refs/heads/victim was changed",),
    "env -u GIT_CONFIG_COUNT git -C $MAIN stash -q": ("refs/stash was made", "logs/refs/stash was made"),
    "env -u GIT_CONFIG_COUNT git replace HEAD HEAD~1": ("refs/replace/",),
    "git config user.name Eve": ("config was changed",),
    "git -C $MAIN symbolic-ref HEAD refs/heads/victim": ("HEAD was changed",),
    "git -C $MAIN checkout -qf victim": ("HEAD was changed",),
    "echo x > $GIT/hooks/pre-commit": ("hooks/pre-commit was made",),
    "echo '* filter=x' > $GIT/info/attributes": ("info/attributes was made",),
    "echo /x > $GIT/objects/info/alternates": ("objects/info/alternates was made",),
    "git rev-parse HEAD~1 > $GIT/shallow": ("shallow was made",),
    "git worktree remove -f -f $OTHER": (
        *("worktrees/mo-2/HEAD was removed", "worktrees/mo-2/commondir was removed"),
        *("worktrees/mo-2/gitdir was removed", "worktrees/mo-2/locked was removed"),
    ),
    "git worktree unlock $OTHER": ("worktrees/mo-2/locked was removed",),
    # Promised by nobody: the sandbox is what stops these.
    "git push -q $TOP/hub.git HEAD:refs/heads/evil": UNNOTICED,
    "echo evil > $OTHER/work.txt": UNNOTICED,
    "rm -rf $MAIN/a.txt": UNNOTICED,
}


@pytest.mark.parametrize("script", ATTACKS)
def test_what_is_found(cell: Cell, script: str) -> None:
    before = take(cell.git_dir)
    code, said = guarded(cell, script)
    expected = ATTACKS[script]
    if expected == GUARD:
        assert (code != 0, "mo: this task may only move" in said) == (True, True)
        expected = ()
    said_now = found(cell, before)
    assert len(said_now) == len(expected)
    assert all(now.startswith(wanted) for now, wanted in zip(said_now, expected, strict=True)), said_now


def test_what_the_daemon_did_is_expected(cell: Cell) -> None:
    before = take(cell.git_dir)
    first, second = cell.git("rev-parse", "HEAD~1"), cell.git("rev-parse", "HEAD")
    cell.git("update-ref", "refs/heads/victim", second)
    cell.git("update-ref", "refs/mo/goal/good/1", second)
    cell.git("tag", "-d", "v1")
    known = Expected({"refs/heads/victim": second, "refs/tags/v1": None}, ["refs/mo/"])
    assert found(cell, before, known) == []
    stale = Expected({"refs/heads/victim": first, "refs/tags/v1": None}, ["refs/mo/goal/"])
    assert differences(before, take(cell.git_dir), stale) == [Difference("refs/heads/victim", first, second)]
    assert found(cell, before, Expected()) == [
        *("refs/heads/victim was changed", "refs/mo/goal/good/1 was made", "refs/tags/v1 was removed"),
    ]


def test_packing_is_no_difference(cell: Cell) -> None:
    before = take(cell.git_dir)
    cell.git("pack-refs", "--all")
    cell.git("gc", "-q")
    after = take(cell.git_dir, before)
    assert differences(before, after) == []
    assert take(cell.git_dir, after) == after
    assert after.packed == after.refs == before.refs


def test_undo(cell: Cell) -> None:
    cell.git("pack-refs", "--all")
    world = cell.world()
    refs = cell.git("for-each-ref")
    before = take(cell.git_dir)
    guarded(
        cell,
        """
        unset GIT_CONFIG_COUNT
        git branch evil; git branch -D victim; git tag -f v1 HEAD~1; git config user.name Eve
        git -C $MAIN symbolic-ref HEAD refs/heads/nowhere; ln -s /bin/true $GIT/hooks/pre-commit
        echo '* filter=x' > $GIT/info/attributes; git worktree unlock $OTHER
        """,
    )
    commit = cell.git("rev-parse", "evil")
    old = cell.git("rev-parse", "v1")
    results = undo(Repo(cell.git_dir), differences(before, take(cell.git_dir), OWN), keep=KEEP)
    assert [(result.difference.text, result.left) for result in results] == [
        ("refs/heads/evil was made", ""),
        ("refs/heads/victim was removed", ""),
        ("refs/tags/v1 was changed", ""),
        ("HEAD was changed", ""),
        ("config was changed", ""),
        ("hooks/pre-commit was made", ""),
        ("info/attributes was made", ""),
        ("worktrees/mo-2/locked was removed", ""),
    ]
    assert found(cell, before, Expected(free=["refs/mo/keep/"])) == []
    kept = cell.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/mo").splitlines()
    assert kept == [f"{KEEP}/heads/evil {commit}", f"{KEEP}/tags/v1 {old}"]
    for name in kept:
        cell.git("update-ref", "-d", name.split()[0])
    assert cell.git("for-each-ref") == refs
    changed = {name for name, digest in cell.world().items() if digest != world.get(name)}
    ours = "home/projects/repo/.git"
    assert {name for name in changed if "/refs/" not in name and "/logs" not in name} <= {
        f"{ours}/packed-refs"
    }


def test_a_stash_is_taken_apart(cell: Cell) -> None:
    cell.git("stash", "-q")
    (cell.main / "a.txt").write_text("other\n")
    stash, log = cell.git("rev-parse", "refs/stash"), (cell.git_dir / "logs/refs/stash").read_bytes()
    cell.git("update-index", "--refresh", "-q", check=False)
    before = take(cell.git_dir)
    cell.git("stash", "drop", "-q")
    results = undo(Repo(cell.git_dir), differences(before, take(cell.git_dir)), keep=KEEP)
    assert [result.left for result in results] == ["", ""]
    assert cell.git("rev-parse", "refs/stash") == stash
    assert (cell.git_dir / "logs/refs/stash").read_bytes() == log
    before = take(cell.git_dir)
    cell.git("stash", "-q")
    made = cell.git("rev-parse", "refs/stash")
    results = undo(Repo(cell.git_dir), differences(before, take(cell.git_dir)), keep=KEEP)
    assert [(result.difference.name, result.left) for result in results] == [
        *(("refs/stash", ""), ("logs/refs/stash", "")),
    ]
    assert cell.git("stash", "list", "--format=%H") == stash
    assert cell.git("rev-parse", f"{KEEP}/stash") == made


def test_what_may_be_the_users_is_left(cell: Cell) -> None:
    before = take(cell.git_dir)
    cell.git("commit", "-qam", "the user's")
    commit = cell.git("rev-parse", "main")
    cell.git("config", "user.name", "New")
    seen = differences(before, take(cell.git_dir))
    cell.git("config", "user.name", "Newer")
    results = undo(Repo(cell.git_dir), seen, keep=KEEP)
    assert [(result.difference.name, result.left) for result in results] == [
        ("refs/heads/main", "the checkout that shows it changed as well"),
        ("config", "it changed again"),
    ]
    assert (cell.git("rev-parse", "main"), cell.git("config", "user.name")) == (commit, "Newer")
    (cell.git_dir / "config.lock").write_text("")
    [result] = undo(Repo(cell.git_dir), differences(before, take(cell.git_dir))[1:], keep=KEEP)
    assert result.left == f"{cell.git_dir / 'config.lock'} exists"
    assert not result.undone


def test_submodules_are_watched(cell: Cell) -> None:
    other = RepoBuilder.create(cell.top / "sub", {"x": "x"})
    cell.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.path), "deep/sub")
    before = take(cell.git_dir)
    (cell.git_dir / "modules/deep/sub/hooks").mkdir(exist_ok=True)
    (cell.git_dir / "modules/deep/sub/hooks/post-checkout").write_text("#!/bin/sh\n")
    cell.git("config", "core.fsmonitor", "evil", where=cell.main / "deep/sub")
    assert found(cell, before) == [
        "modules/deep/sub/config was changed",
        "modules/deep/sub/hooks/post-checkout was made",
    ]


def test_the_checkout(cell: Cell) -> None:
    before = checkout(cell.main)
    assert list(before) == ["a.txt"]
    (cell.main / "a.txt").write_text("again\n")
    (cell.main / "new.txt").write_text("new\n")
    (cell.main / ".gitignore").unlink()
    after = checkout(cell.main)
    assert sorted(after) == [".gitignore", ".mo/", ".venv/", "a.txt", "new.txt", "node_modules/"]
    assert after[".gitignore"] is None
    assert after["a.txt"] != before["a.txt"]


def test_it_is_quick_with_packed_refs(cell: Cell) -> None:
    """A thousand refs: a second look reads almost nothing."""
    commit = cell.git("rev-parse", "HEAD")
    lines = "".join(f"{commit} refs/heads/many/{number:04}\n" for number in range(1000))
    (cell.git_dir / "packed-refs").write_text(f"# pack-refs with: sorted \n{lines}")
    first = take(cell.git_dir)
    assert len(first.packed) == 1000
    spent = []
    for _ in range(20):
        started = time.perf_counter()
        assert take(cell.git_dir, first).packed is first.packed
        spent.append(time.perf_counter() - started)
    assert min(spent) < 0.02
