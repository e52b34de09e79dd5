"""Attacks from inside an attempt.  Each is also run without the sandbox on a copy, where it has to hit."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_daemon import sandbox
from mo_daemon.sandbox import Policy, Profile, Tier
from tests import cells
from tests.cells import CANARY, NOBODY, Cell, acting_as

USERS = [os.geteuid(), NOBODY] if os.geteuid() == 0 else [os.geteuid()]


@pytest.fixture(scope="module")
def tier() -> Tier:
    found = sandbox.probe(os.environ)
    if not found.contained:
        pytest.skip(found.reason)
    return found


@pytest.fixture(scope="module", params=USERS, ids=lambda uid: "root" if uid == 0 else "user")
def cell(request: pytest.FixtureRequest, tier: Tier) -> Iterator[Cell]:
    made = cells.build(request.param, tier)
    yield made
    cells.remove(made)


# What changes something outside of the worktree.
CHANGES = {
    "stash": "echo x >> a.txt; git stash",
    "branch -D": "git branch -D victim",
    "branch -f": "git branch -f victim HEAD",
    "tag": "git tag v2",
    "update-ref": "git update-ref refs/heads/victim HEAD",
    "symbolic-ref": "git -C $MAIN symbolic-ref HEAD refs/heads/victim",
    "switch": "git switch -q -c mine",
    "reset --hard": "git reset -q --hard HEAD~1",
    "rebase": "git checkout -q -- . ; git rebase -q --onto HEAD~1 HEAD~1 --no-ff && git commit -q --amend -m x",
    "merge": "git merge -q --no-ff -m x $(git commit-tree -p HEAD -m x 'HEAD^{tree}')",
    "add": "echo x > new; git add new && git commit -qm x",
    "commit": "git commit -q --allow-empty -m x",
    "config": "git config user.name Eve",
    "config by hand": 'printf "[core]\\n\\tfsmonitor = evil\\n" >> $GIT/config',
    "worktree remove": "git worktree remove -f -f $OTHER",
    "worktree add": "git worktree add -q --detach $TOP/more",
    "gc": "git gc -q --prune=now --force",
    "push to a path": "git push -q $TOP/hub.git HEAD:refs/heads/evil",
    "fetch": "git fetch -q $TOP/hub.git main:refs/heads/evil",
    "commit in main": "git -C $MAIN commit -q --allow-empty -m x",
    "hook": 'echo "#!/bin/sh" > $GIT/hooks/pre-commit',
    "attributes": 'echo "* filter=evil" > $GIT/info/attributes',
    "alternates": "echo /tmp > $GIT/objects/info/alternates",
    "packed-refs": 'echo "# x" >> $GIT/packed-refs',
    "loose ref": "git rev-parse HEAD~1 > $GIT/refs/heads/victim",
    "HEAD of main": 'echo "ref: refs/heads/victim" > $GIT/HEAD',
    "own HEAD": 'echo "ref: refs/heads/victim" > $GIT/worktrees/mo-1/HEAD',
    "own lock": "rm $GIT/worktrees/mo-1/locked",
    "objects": "rm -f $GIT/objects/*/* && touch $GIT/objects/x",
    "index of main": "rm $GIT/index",
    "pointer overwritten": 'echo "gitdir: /tmp" > $WT/.git',
    "pointer deleted": "rm -f $WT/.git && ! test -e $WT/.git",
    "pointer replaced": "echo x > p && mv -f p $WT/.git",
    "pointer renamed": "mv $WT/.git $WT/git && mkdir $WT/.git",
    "worktree renamed": "cd / && mv $WT $TOP/away && mkdir $WT",
    "main overwritten": "echo evil > $MAIN/a.txt",
    "main, new file": "echo evil > $MAIN/new.txt",
    "main deleted": "rm -rf $MAIN/a.txt $MAIN/.mo && ! test -e $MAIN/.mo",
    "tool chain": "echo evil > $MAIN/node_modules/x/index.js",
    "other worktree": "echo evil > $OTHER/work.txt",
    "other worktree, new file": "echo evil > $OTHER/evil.txt",
    "home": "echo evil > $USERHOME/.bashrc",
    "home, existing": "echo evil > $USERHOME/documents/notes.txt",
    "tool": "echo evil > $USERHOME/.local/bin/tool",
    "mo's state": "echo evil > $STATE/trust.json",
    "mo's requests": "mkdir -p $MAIN/.mo/inbox && echo x > $MAIN/.mo/inbox/1",
    "by a link": "ln -s $MAIN link; echo evil > link/a.txt",
    "by a hard link": "ln $MAIN/a.txt hard && echo evil > hard",
    "by /proc": "echo evil > /proc/1/root$MAIN/a.txt",
}

# What tells something that is not the task's business.
READS = {
    **{f"~/{name}": f"cat $USERHOME/{name}" for name in cells.SECRETS},
    "token of mo": "cat $MAIN/.mo/token",
    "uncommitted work": "cat $MAIN/a.txt",
    "config of the repository": "cat $GIT/config",
    "config by git": "git -C $MAIN config --list; git remote -v",
    "other worktree": "cat $OTHER/work.txt",
    "state of another repository": "cat $STATE/other-repo/worktrees/1/file",
    "trust": "cat $STATE/trust.json",
    "home through /proc": "cat /proc/*/root$USERHOME/.netrc",
    "home, searched": "grep -rs canary $USERHOME",
    "everything mounted": "grep -rsl --include=.netrc canary $TOP | xargs cat",
    "by a link": "ln -sf $USERHOME link2; cat link2/.netrc",
}


def uncontained(cell: Cell, script: str, tmp_path: Path) -> tuple[str, str, dict[str, str]]:
    """Run the attack on a copy that lies at the same path; its output and the world afterwards."""
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", str(cell.top), str(copy)], check=True)
    argv = [str(cell.tier.bwrap), "--dev-bind", "/", "/", "--bind", str(copy), str(cell.top)]
    done = subprocess.run(
        [*argv, "--chdir", str(cell.worktree), "sh", "-c", script],
        env=cell.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout, done.stderr, cell.world(copy)


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("name", CHANGES)
def test_nothing_outside_changes(cell: Cell, name: str, profile: Profile) -> None:
    before = cell.world()
    done = cell.run(CHANGES[name], policy=Policy(profile=profile))
    assert cell.world() == before
    assert done.code != 0, done
    tidy(cell)


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("name", READS)
def test_nothing_secret_is_told(cell: Cell, name: str, profile: Profile) -> None:
    done = cell.run(READS[name], policy=Policy(profile=profile))
    assert CANARY not in done.out + done.err
    tidy(cell)


def tidy(cell: Cell) -> None:
    """The worktree as it was."""
    cell.git("checkout", "-q", "--", ".", where=cell.worktree)
    cell.git("clean", "-ffdxq", where=cell.worktree)


@pytest.mark.parametrize("name", CHANGES)
def test_without_the_sandbox_it_changes_something(tier: Tier, plain: Cell, name: str, tmp_path: Path) -> None:
    out, err, after = uncontained(plain, CHANGES[name], tmp_path)
    assert after != plain.world(), out + err


@pytest.mark.parametrize("name", READS)
def test_without_the_sandbox_it_is_told(tier: Tier, plain: Cell, name: str, tmp_path: Path) -> None:
    out, err, _ = uncontained(plain, READS[name], tmp_path)
    assert CANARY in out, err


@pytest.fixture(scope="module")
def plain(tier: Tier) -> Iterator[Cell]:
    made = cells.build(os.geteuid(), tier)
    yield made
    cells.remove(made)
