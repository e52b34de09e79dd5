"""Without a sandbox: what the ref guard refuses, what a look finds, and whose it is said to be."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_daemon.environment import task_environment
from mo_daemon.sandbox import Tier, gitconfig
from mo_daemon.sandbox.blame import Claims, judge, name_of, runs_something
from mo_daemon.sandbox.lookout import Lookout
from mo_daemon.sandbox.tripwire import Difference, Expected, Snapshot, differences, take
from mo_git.git import refs
from mo_git.git.moves import Moves
from mo_git.git.repo import Repo
from tests import cells
from tests.cells import BRANCH, Cell
from tests.support import RepoBuilder

HOOKS = Path(__file__).parents[1] / "hooks"
CLAIMS = Claims({"refs/heads/mo/goal/other": "goal"}, {f"refs/heads/{BRANCH}": "goal/task#1"})


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


def found(cell: Cell, before: Snapshot) -> list[str]:
    """What is told of a difference, with a mark where it is surely not the user's."""
    now, repo = take(cell.git_dir, before), Repo(cell.git_dir)
    judged = (judge(repo, item, now, before, CLAIMS) for item in differences(before, now))
    return [f"{one.text} !" if one.foreign else one.text for one in judged if one]


UNNOTICED: tuple[str, ...] = ()
GUARD = ("refused by the guard",)
FREE = "unset GIT_CONFIG_COUNT; "

# script -> what is told; an exclamation mark: surely not the user's
SCRIPTS: dict[str, tuple[str, ...]] = {
    "git commit -q --allow-empty -m x; git reset -q --hard HEAD~1; git switch -q --detach": UNNOTICED,
    "git stash list; git status; git gc -q; git pack-refs --all": UNNOTICED,
    "git branch new": GUARD,
    "git branch -D victim": GUARD,
    "git tag v2": GUARD,
    "git update-ref refs/heads/main HEAD~1": GUARD,
    "echo x >> a.txt; git stash": GUARD,
    "git -C $MAIN commit -q --allow-empty -m x": GUARD,
    "git -c core.hooksPath= branch new": UNNOTICED,
    f"{FREE}git update-ref -d refs/heads/{BRANCH}": (f"refs/heads/{BRANCH} was removed !",),
    f"{FREE}git update-ref refs/heads/mo/goal/other HEAD~1": ("refs/heads/mo/goal/other was changed !",),
    f"{FREE}git -C $OTHER commit -q --allow-empty -m x": ("refs/heads/mo/goal/other was changed",),
    "git rev-parse HEAD > $GIT/refs/heads/victim": ("refs/heads/victim was changed",),
    f"{FREE}git -C $MAIN stash -q": UNNOTICED,
    "git config user.name Eve": UNNOTICED,
    "git -C $MAIN symbolic-ref HEAD refs/heads/victim": (
        "HEAD of the main checkout was switched to refs/heads/victim !",
    ),
    "git rev-parse HEAD > $GIT/HEAD": ("HEAD of the main checkout was switched to OID !",),
    "echo x > $GIT/hooks/pre-commit": ("hooks/pre-commit was made !",),
    "echo '* filter=x' > $GIT/info/attributes": ("info/attributes was made !",),
    "echo /x > $GIT/objects/info/alternates": ("objects/info/alternates was made !",),
    "git config extensions.worktreeConfig true; git config --worktree core.editor evil": (
        "core.editor was set in worktrees/mo-1/config.worktree !",
    ),
    # Promised by nobody: the sandbox is what stops these.
    "git -C $MAIN checkout -qf victim": UNNOTICED,
    "git -C $MAIN checkout -q -- a.txt": UNNOTICED,
    "git worktree unlock $OTHER": UNNOTICED,
    "git push -q $TOP/hub.git HEAD:refs/heads/evil": UNNOTICED,
    "echo evil > $OTHER/work.txt": UNNOTICED,
    "rm -rf $MAIN/a.txt": UNNOTICED,
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_told(cell: Cell, script: str) -> None:
    before = take(cell.git_dir)
    commit = cell.git("rev-parse", BRANCH)
    code, said = guarded(cell, script)
    expected = SCRIPTS[script]
    if expected == GUARD:
        assert (code != 0, "mo: this task may only move" in said) == (True, True)
        expected = ()
    assert found(cell, before) == [text.replace("OID", commit) for text in expected]


def test_packing_is_no_difference(cell: Cell) -> None:
    before = take(cell.git_dir)
    cell.git("pack-refs", "--all")
    cell.git("gc", "-q")
    after = take(cell.git_dir, before)
    assert differences(before, after) == []
    assert take(cell.git_dir, after) == after
    assert (after.packed, after.loose) == (before.refs, {})


def test_submodules_are_watched_from_the_second_look_on(cell: Cell) -> None:
    other = RepoBuilder.create(cell.top / "sub", {"x": "x"})
    before = take(cell.git_dir)
    cell.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.path), "deep/sub")
    hooks = cell.git_dir / "modules/deep/sub/hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "post-merge").write_text("#!/bin/sh\n")
    assert found(cell, before) == []
    before = take(cell.git_dir)
    (hooks / "post-checkout").write_text("#!/bin/sh\n")
    cell.git("config", "core.fsmonitor", "evil", where=cell.main / "deep/sub")
    assert found(cell, before) == [
        "core.fsmonitor was set in modules/deep/sub/config !",
        "modules/deep/sub/hooks/post-checkout was made !",
    ]


# -- the daemon's own moves ---------------------------------------------------------------------------

A, B, C = ("a" * 40, "b" * 40, "c" * 40)
# before, after, values that the daemon gave it, whether a move may not have been over -> difference
MOVED = [
    (A, A, None, False, None),
    (A, B, None, False, Difference("refs/x", A, B)),
    (A, B, (B,), False, None),
    (A, B, (B, C), True, None),
    (A, C, (B, C), False, None),
    (A, A, (B,), True, None),
    (A, A, (B,), False, Difference("refs/x", B, A)),
    (A, C, (B,), True, Difference("refs/x", B, C)),
    (A, None, (None,), False, None),
    (A, None, (B,), False, Difference("refs/x", B, None)),
    (None, None, (B,), False, Difference("refs/x", B, None)),
]


@pytest.mark.parametrize(("before", "after", "given", "pending", "expected"), MOVED)
def test_what_the_daemon_did_is_expected(
    before: str | None,
    after: str | None,
    given: tuple[str | None, ...] | None,
    pending: bool,
    expected: Difference | None,
) -> None:
    was, now = (Snapshot({"refs/x": oid} if oid else {}, {}, {}, {}, None, None) for oid in (before, after))
    known = Expected({"refs/x": given} if given else {}, ["refs/x"] if pending else [])
    assert differences(was, now, known) == ([expected] if expected else [])


def test_moves_are_noted_before_they_are_made() -> None:
    moves = Moves()
    seen = []

    def move(succeeds: bool) -> bool:
        seen.append((dict(moves.values()), len(moves.over())))
        return succeeds

    assert moves.note("refs/x", A, lambda: move(True)) is True
    assert moves.note("refs/x", B, lambda: move(False)) is False
    with pytest.raises(KeyError):
        moves.note("refs/y", B, lambda: {}[0])
    assert seen == [({"refs/x": (A,)}, 0), ({"refs/x": (A, B)}, 1)]
    assert moves.values() == {"refs/x": (A,)}
    moves.forget(moves.over())
    assert moves.values() == {}


# -- settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "runs"),
    [
        ("[core]\nhooksPath = .husky", "core.hookspath"),
        ("[core]\nfsmonitor = ./evil", "core.fsmonitor"),
        ("[core]\nfsmonitor = true", ""),
        ("[core]\nfsmonitor", ""),
        ("[core]\nautocrlf = input", ""),
        ("[alias]\nst = status", ""),
        ("[alias]\nst = !evil", "alias.st"),
        ('[filter "lfs"]\nclean = git-lfs clean', "filter.lfs.clean"),
        ('[filter "lfs"]\nrequired = true', ""),
        ('[merge "x"]\ndriver = evil', "merge.x.driver"),
        ('[diff "x"]\ntextconv = evil', "diff.x.textconv"),
        ("[credential]\nhelper = evil", "credential.helper"),
        ('[credential "https://x"]\nhelper = evil', "credential.https://x.helper"),
        ("[include]\npath = evil", "include.path"),
        ('[includeIf "gitdir:x"]\npath = evil', "includeif.gitdir:x.path"),
        ('[remote "o"]\nurl = x', ""),
        ('[remote "o"]\nuploadpack = evil', "remote.o.uploadpack"),
        ('[submodule "s"]\nupdate = rebase', ""),
        ('[submodule "s"]\nupdate = !evil', "submodule.s.update"),
        ('[branch "main"]\nremote = origin', ""),
        ("[user]\nname = x", ""),
    ],
)
def test_which_settings_run_something(line: str, runs: str) -> None:
    [setting] = gitconfig.parse(line)
    assert (name_of(setting) if runs_something(setting) else "") == runs


# -- who ran ------------------------------------------------------------------------------------------


def test_only_who_ran_since_the_last_look_is_named(cell: Cell) -> None:
    repo = Repo(cell.git_dir)
    lookout = Lookout(repo, cell.state, cell.main / ".mo/runs")
    lookout.look(CLAIMS)
    lookout.enter("1", "goal/early#1")
    lookout.leave("1")
    lookout.look(CLAIMS)
    lookout.enter("2", "goal/task#1")
    lookout.watch("goal/task#1")
    lookout.enter("3", "gate goal")
    cell.git("config", "core.pager", "evil")
    lookout.leave("3")
    lookout.look(CLAIMS)
    cell.git("config", "core.editor", "evil")
    lookout.look(CLAIMS)
    assert [(seen.what, seen.ran, seen.goals) for seen in lookout.seen()] == [
        ("core.pager was set in config (put back)", ("gate goal", "goal/task#1"), ("goal",))
    ]
    assert lookout.unwatch("goal/task#1") == ["core.editor was set in config (put back)"]
    assert cell.git("config", "core.pager", check=False) == ""
    lookout.leave("2")
    lookout.look(CLAIMS)
    assert (lookout.seen(), lookout.unwatch("goal/task#1")) == ([], [])


def test_when_nothing_ran_only_what_is_mos_is_told(cell: Cell) -> None:
    """Nothing is put back: it was a person, who may have had a reason."""
    lookout = Lookout(Repo(cell.git_dir), cell.state, cell.main / ".mo/runs")
    lookout.look(CLAIMS)
    cell.git("config", "core.pager", "less")
    cell.git("branch", "-D", "victim")
    commit = cell.git("rev-parse", "main")
    cell.git("update-ref", "refs/mo/goal/base", commit)
    cell.git("update-ref", "-d", "refs/heads/mo/goal/other")
    lookout.look(CLAIMS)
    assert [(seen.what, seen.ran, seen.goals) for seen in lookout.seen()] == [
        ("refs/heads/mo/goal/other was removed", (), ("goal",)),
        ("refs/mo/goal/base was made", (), ("goal",)),
    ]
    assert cell.git("rev-parse", "refs/mo/goal/base") == commit


def test_a_branch_that_a_person_has_checked_out_is_left(cell: Cell) -> None:
    lookout = Lookout(Repo(cell.git_dir), cell.state, cell.main / ".mo/runs")
    cell.git("worktree", "add", "-q", "--force", str(cell.top / "look"), "mo/goal/other")
    cell.git("worktree", "remove", "--force", "--force", str(cell.other))
    lookout.enter("1", "goal/task#1")
    lookout.watch("goal/task#1")
    lookout.look(CLAIMS)
    cell.git("commit", "-q", "--allow-empty", "-m", "a person's", where=cell.top / "look")
    lookout.look(CLAIMS)
    assert [seen.what for seen in lookout.seen()] == ["refs/heads/mo/goal/other was changed"]
    assert lookout.unwatch("goal/task#1") == []
    assert cell.git("log", "-1", "--format=%s", "mo/goal/other") == "a person's"


def test_its_own_branch_is_its_own(cell: Cell) -> None:
    lookout = Lookout(Repo(cell.git_dir), cell.state, cell.main / ".mo/runs")
    lookout.enter("1", "goal/task#1")
    lookout.watch("goal/task#1")
    lookout.look(CLAIMS)
    cell.git("update-ref", "-d", f"refs/heads/{BRANCH}")
    lookout.look(CLAIMS)
    assert (lookout.seen(), lookout.unwatch("goal/task#1")) == ([], [])


def test_the_daemon_may_move_refs_while_others_look(cell: Cell) -> None:
    """Two threads move refs as fast as they can, and a program runs that is blamed for nothing."""
    repo = Repo(cell.git_dir)
    lookout = Lookout(repo, cell.state, cell.main / ".mo/runs")
    lookout.enter("1", "goal/task#1")
    lookout.watch("goal/task#1")
    lookout.look(CLAIMS)
    first, second = cell.git("rev-parse", "HEAD~1"), cell.git("rev-parse", "HEAD")
    over = threading.Event()

    def move(name: str) -> None:
        mine = Repo(cell.git_dir)
        mine.moves = repo.moves
        for _ in range(60):
            refs.create(mine, name, first)
            refs.swap(mine, name, second, first, "test")
            refs.delete(mine, name, second)

    workers = [threading.Thread(target=move, args=(f"refs/mo/goal/x{number}",)) for number in range(2)]
    watcher = threading.Thread(target=lambda: [lookout.look(CLAIMS) for _ in iter(over.is_set, True)])
    for thread in (watcher, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    over.set()
    watcher.join()
    lookout.look(CLAIMS)
    assert (lookout.seen(), lookout.unwatch("goal/task#1")) == ([], [])
    assert repo.moves.values() == {}


def test_a_second_look_reads_almost_nothing(cell: Cell) -> None:
    commit = cell.git("rev-parse", "HEAD")
    lines = "".join(f"{commit} refs/heads/many/{number:04}\n" for number in range(1000))
    (cell.git_dir / "packed-refs").write_text(f"# pack-refs with: sorted \n{lines}")
    first = take(cell.git_dir)
    assert len(first.packed) == 1000
    second = take(cell.git_dir, first)
    assert second.packed is first.packed
    assert all(second.files[name] is file for name, file in first.files.items())
    assert all(second.loose[name] is file for name, file in first.loose.items())
    started = time.process_time()
    take(cell.git_dir, second)
    assert time.process_time() - started < 0.2
