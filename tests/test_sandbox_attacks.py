"""Attacks from inside an attempt.  Each is also run without the sandbox on a copy, where it has to hit."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from mo_daemon.sandbox import Policy, Profile
from tests import cells
from tests.cells import CANARY, Cell


@pytest.fixture(scope="module", params=cells.USERS, ids=cells.name_of)
def cell(request: pytest.FixtureRequest) -> Iterator[Cell]:
    made = cells.build(request.param, cells.tier())
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
    "rebase": "git rebase -q --no-ff HEAD~1 && git commit -q --amend -m x",
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
    "loose ref": "git rev-parse HEAD > $GIT/refs/heads/victim",
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
    "main deleted": "test -e $MAIN/a.txt && rm -rf $MAIN/a.txt $MAIN/.mo",
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
    "by /proc": "echo evil > /proc/self/root$MAIN/a.txt",
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


def all_of(cell: Cell, attacks: Mapping[str, str], profile: Profile) -> Mapping[str, tuple[int, str]]:
    """Run all attacks in one sandbox, one after the other: name -> (exit code, output)."""
    script = "".join(
        f"cd $WT; ({attack}) 2>&1; code=$?; echo; echo '=== {number}' $code\n"
        for number, attack in enumerate(attacks.values())
    )
    done = cell.run(script, policy=Policy(profile=profile))
    parts = re.split(r"^=== (\d+) (\d+)\n", done.out, flags=re.MULTILINE)
    assert parts.pop() == "", done
    names = list(attacks)
    return {
        names[int(number)]: (int(code), said) for said, number, code in zip(*[iter(parts)] * 3, strict=True)
    }


def uncontained(cell: Cell, script: str, tmp_path: Path) -> tuple[str, str, dict[str, str]]:
    """Run an attack on a copy that lies at the same path; its output and the world afterwards."""
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
def test_nothing_outside_changes(cell: Cell, profile: Profile) -> None:
    before = cell.world()
    results = all_of(cell, CHANGES, profile)
    assert cell.world() == before
    assert list(results) == list(CHANGES)
    assert {name: said for name, (code, said) in results.items() if code == 0} == {}


@pytest.mark.parametrize("profile", list(Profile))
def test_nothing_secret_is_told(cell: Cell, profile: Profile) -> None:
    results = all_of(cell, READS, profile)
    assert list(results) == list(READS)
    assert {name: said for name, (_, said) in results.items() if CANARY in said} == {}


@pytest.mark.parametrize("name", CHANGES)
def test_without_the_sandbox_it_changes_something(
    plain: Cell, untouched: dict[str, str], name: str, tmp_path: Path
) -> None:
    out, err, after = uncontained(plain, CHANGES[name], tmp_path)
    assert after != untouched, out + err


def test_without_the_sandbox_everything_is_told(plain: Cell) -> None:
    told = {
        name: subprocess.run(
            ["sh", "-c", script], cwd=plain.worktree, env=plain.environ, capture_output=True, check=False
        ).stdout
        for name, script in READS.items()
    }
    assert [name for name, said in told.items() if CANARY.encode() not in said] == []


@pytest.fixture(scope="module")
def plain() -> Iterator[Cell]:
    made = cells.build(os.geteuid(), cells.tier())
    yield made
    cells.remove(made)


@pytest.fixture(scope="module")
def untouched(plain: Cell) -> dict[str, str]:
    return plain.world()
