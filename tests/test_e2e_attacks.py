"""Attacks by agents that do a task: the real programs in mo's sandbox, the whole way of a goal.

The attacks of test_sandbox_attacks (which shows that each of them hits without a sandbox) and some that
need a daemon.  One script runs them all, in a repository with everything around it that is worth an attack.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import pytest

from tests import cells, need, users
from tests.agents import KINDS, do, endings, keys, program, settings
from tests.cells import CANARY, Cell
from tests.driver import Mo, plan
from tests.stub_api import StubApi
from tests.support import RepoBuilder
from tests.test_sandbox_attacks import CHANGES, READS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

GATE = f"{sys.executable} -c 'import calc; assert calc.ONE == 1'"
CONNECT = "python3 -c 'import socket, sys; socket.socket(socket.{}).connect({})' "
UNIX = CONNECT.format("AF_UNIX", "sys.argv[1]")

# All of these have to fail.
REFUSED = {
    **{name: text.replace("worktrees/mo-1", "worktrees/$ADMIN") for name, text in CHANGES.items()},
    "kill the daemon": "kill -9 $DAEMON",
    "stop the daemon": "kill -STOP $DAEMON",
    "kill another program": "kill -9 $OUTSIDE",
    "read the database": "cat $MAIN/.mo/mo.db",
    "write the database": "echo evil > $MAIN/.mo/mo.db",
    "read what the daemon did": "cat $MAIN/.mo/runs/*/*/*/prompt.md",
    "socket of a service": f"{UNIX} $TOP/runtime/bus",
    "socket in the home": f"{UNIX} $USERHOME/documents/service.sock",
    "remount": "mount -o remount,rw,bind /",
    "user namespace": "unshare -Ur true",
}
# These may seem to work, but what they change is the attempt's own.
HARMLESS = {
    "worktree prune": "git worktree prune",
    "own settings of git": "git config --global core.fsmonitor 'touch $TOP/ran'",
    "start files of shells": "echo touch $TOP/ran | tee ~/.bashrc ~/.profile",
    "a repository of its own": "git init -q /tmp/r && git -C /tmp/r commit -q --allow-empty -m x",
}
# These have to tell nothing.
SILENT = {
    **READS,
    "own environment": "env",
    "environment of others": "cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -e canary- -e word-of",
}
# What the documentation says is not stopped: the network is open.
OPEN = {
    "service on loopback": CONNECT.format("AF_INET", '("127.0.0.1", int(sys.argv[1]))') + "$PORT",
    "abstract socket": CONNECT.format("AF_UNIX", '"\\0" + sys.argv[1]') + "$ABSTRACT",
}
ATTACKS = REFUSED | HARMLESS | SILENT | OPEN
# Those that test_sandbox_attacks does not have, and that do no harm: they work outside.
CONTROLS = (
    *("read the database", "read what the daemon did", "socket of a service", "socket in the home"),
    "environment of others",
)

# Without a sandbox: what the ref guard refuses, and what it lets a task do on its own branch.
GUARDED = {
    name: CHANGES[name]
    for name in ("stash", "branch -D", "branch -f", "tag", "update-ref", "switch", "fetch", "commit in main")
} | {"delete a tag": "git tag -d v1", "a new branch": "git branch mine", "pack refs": "git pack-refs --all"}
ALLOWED = {
    "restore": "git restore a.txt",
    "commit": "echo x > mine.txt && git add mine.txt && git commit -qm mine",
    "amend": "git commit -q --amend -m better",
    "rebase": "git rebase -q --no-ff HEAD~1",
    "detach": "git switch -q --detach && git switch -q -",
    "reset": "git reset -q --hard HEAD~1",
    "a repository of its own": "git init -q r && git -C r commit -q --allow-empty -m x && git -C r tag v9",
}
GUARD = GUARDED | ALLOWED

NESTED = """mkdir lib && cd lib && git init -q . && echo a > a
git config core.fsmonitor "touch $TOP/ran" && git config filter.x.clean "touch $TOP/ran; cat"
printf '#!/bin/sh\\ntouch $TOP/ran\\n' > .git/hooks/post-index-change && chmod +x .git/hooks/*
git -c core.fsmonitor=false -c core.hooksPath=/dev/null add a
git -c user.name=E -c user.email=e@example.org commit -qm x
echo '* filter=x' > .gitattributes; echo b > a"""
LINKS = """rm -r documents && ln -s $USERHOME/documents documents
ln -s $USERHOME/.ssh/id_ed25519 key; ln -s ../../../../.. up; ln -s $MAIN/.mo/token token"""


def quoted(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def attack_script(places: Mapping[str, str], attacks: Mapping[str, str]) -> str:
    """Runs each in the worktree and writes what it said to told-$1/NUMBER, and all exit codes."""
    lines = [
        quoted(places),
        'WT=$PWD; ADMIN=$(basename "$(git rev-parse --git-dir)"); TOLD=/tmp/told-$1; mkdir "$TOLD"',
    ]
    for number, attack in enumerate(attacks.values()):
        lines.append(f'cd "$WT"\n({attack}) > "$TOLD/{number}" 2>&1 < /dev/null\necho $? >> "$TOLD/codes"')
    # It may do to its own files what it likes; that is not the point here.
    lines.append("""cd "$WT"; ls -A | grep -vx .git | xargs rm -rf
git ls-tree -r --name-only HEAD | while read -r f; do
  mkdir -p "$(dirname "$f")"; git show "HEAD:$f" > "$f"
done
mv "$TOLD" .""")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Scene:
    """A machine with mo on it; `places` are the variables of the attacks."""

    cell: Cell
    mo: Mo
    places: Mapping[str, str]
    outside: subprocess.Popen[bytes]
    listeners: Mapping[str, socket.socket]

    def world(self) -> dict[str, str]:
        """Path -> type, mode and content of everything that is not mo's own work."""
        git, home = self.cell.git_dir, self.cell.main / ".mo"
        runs = home / "runs"
        goals = [path.name for path in runs.iterdir()] if runs.is_dir() else []
        own = {git / "objects", git / "mo-tmp", home, self.cell.top / "plan.json"}
        for refs in (git / "refs", git / "logs/refs"):
            own |= {refs / "mo", refs / "notes", *(refs / "heads/mo" / goal for goal in goals)}
        own |= set(git.glob("worktrees/mo-*-*"))
        own |= set(self.cell.state.glob("repo-*")) - {self.cell.state / "repo-1"}
        names = {str(path.relative_to(self.cell.top)) for path in own}
        found = cells.digests(self.cell.top, own)
        kept = {name: value for name, value in found.items() if name not in names}
        return kept | {"token": (home / "token").read_text()}

    def outside_of_the_sandbox(self, attack: str) -> int:
        """The exit code of an attack by somebody who is not contained."""
        script = f"set -e\n{quoted(self.places)}\n{attack}"
        with cells.acting_as(self.cell.uid):
            done = subprocess.run(["sh", "-c", script], env=self.cell.environ, stdout=DEVNULL, check=False)
        return done.returncode

    def reached(self) -> set[str]:
        """The listeners that somebody connected to since this was asked last."""
        found = set()
        for name, listener in self.listeners.items():
            listener.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    listener.accept()[0].close()
                    found.add(name)
        return found


def listening(stack: ExitStack, family: socket.AddressFamily, address: Any) -> socket.socket:
    listener = stack.enter_context(socket.socket(family))
    listener.bind(address)
    listener.listen()
    return listener


@contextmanager
def scene(
    uid: int, api: StubApi, tmp_path: Path, mode: str = "restricted", **tables: Mapping[str, Any]
) -> Iterator[Scene]:
    """A repository with everything around it, and mo's daemon of this user in it."""
    need.require("python3")
    with ExitStack() as stack:
        cell = cells.build(uid, cells.tier())
        stack.callback(cells.remove, cell)
        abstract = f"mo-attack-{os.getpid()}-{uid}"
        with cells.acting_as(uid):
            listeners = {
                "bus": listening(stack, socket.AF_UNIX, str(cell.top / "runtime/bus")),
                "home": listening(stack, socket.AF_UNIX, str(cell.home / "documents/service.sock")),
                "abstract socket": listening(stack, socket.AF_UNIX, f"\0{abstract}"),
                "service on loopback": listening(stack, socket.AF_INET, ("127.0.0.1", 0)),
            }
            outside = subprocess.Popen(["sleep", "600"], env={"SECRET": CANARY})
        stack.callback(outside.wait)
        stack.callback(outside.kill)
        secrets = dict.fromkeys(("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL"), CANARY)
        words = {"ANTHROPIC_API_KEY": "word-of-claude", "CODEX_API_KEY": "word-of-codex"}
        # Nothing of the test's own surroundings but this.
        before = users.acting(uid, map(program, KINDS), tmp_path)
        mo = Mo(
            RepoBuilder(cell.main),
            {**cell.environ, **secrets, **keys(api), **words},
            before=before,
            alone=True,
        )
        with cells.acting_as(uid):
            mo.configure(gate={"command": GATE}, **settings(api, mode), **tables)
        stack.callback(mo.stop)
        mo("daemon", "start")
        daemon = mo.daemon()
        assert daemon is not None
        places = {name: cell.environ[name] for name in ("MAIN", "GIT", "OTHER", "STATE", "USERHOME", "TOP")}
        places |= {"DAEMON": str(daemon.pid), "OUTSIDE": str(outside.pid), "ABSTRACT": abstract}
        places["PORT"] = str(listeners["service on loopback"].getsockname()[1])
        files = {
            "attack.sh": attack_script(places, ATTACKS),
            "guard.sh": attack_script(places, GUARD),
            "nested.sh": quoted(places) + NESTED,
        }
        files |= {"links.sh": quoted(places) + LINKS, "documents/a.txt": "a\n", "calc.py": "ONE = 1\n"}
        with cells.acting_as(uid):
            RepoBuilder(cell.main).write(files)
        cell.git("add", *files)
        cell.git("commit", "-qm", "scripts", "--", *files)
        yield Scene(cell, mo, places, outside, listeners)


@pytest.mark.parametrize("uid", cells.USERS, ids=cells.name_of)
def test_nothing_gets_out_of_the_sandbox(uid: int, api: StubApi, tmp_path: Path) -> None:
    with scene(uid, api, tmp_path) as one:
        before, daemon, first = one.world(), one.mo.daemon(), one.cell.git("rev-parse", "main")
        objects = set(one.cell.git("rev-list", "--objects", "--all").splitlines())
        tasks = [
            {"id": kind, "provider": kind, "prompt": do({"run": f"sh attack.sh {kind}"}, {"say": "Done."})}
            for kind in ("claude", "codex")
        ]
        tasks += [
            {"id": "nested", "provider": "codex", "max_attempts": 1, "prompt": do({"run": "sh nested.sh"})},
            {"id": "links", "provider": "codex", "prompt": do({"run": "sh links.sh"})},
        ]
        file = one.cell.top / "plan.json"
        file.write_text(plan(tasks))
        one.mo("do", f"@{file}", code=1, timeout=200)
        goal = one.mo.json("show", "@last")["goal"]

        assert endings(goal) == {
            "claude": ("landed", [None]),
            "codex": ("landed", [None]),
            "nested": ("failed", ["isolation_breach"]),
            "links": ("landed", [None]),
        }
        after = one.world()
        assert sorted(name for name in before | after if before.get(name) != after.get(name)) == []
        assert one.mo.daemon() == daemon
        assert one.outside.poll() is None
        assert one.reached() == set(OPEN)
        assert one.cell.git("rev-parse", "main") == first
        assert objects <= set(one.cell.git("rev-list", "--objects", "--all").splitlines())
        assert one.cell.git("fsck", "--full", "--no-dangling") == ""

        for kind, other in (("claude", "codex"), ("codex", "claude")):
            told = told_by(one.cell, goal["integration"], kind, ATTACKS)
            assert list(told) == list(ATTACKS)
            assert {name: said for name, (code, said) in told.items() if name in REFUSED and code == 0} == {}
            assert {name: said for name, (code, said) in told.items() if name in OPEN and code != 0} == {}
            secret = (CANARY, f"word-of-{other}")
            assert {name: said for name, (_, said) in told.items() if any(w in said for w in secret)} == {}

        controls = {name: one.outside_of_the_sandbox(ATTACKS[name]) for name in CONTROLS}
        assert controls == dict.fromkeys(CONTROLS, 0)
        assert one.reached() == {"bus", "home"}

        # What links lead to is not in any object, and neither is what nobody committed.
        with cells.acting_as(uid):
            argv = ["git", "cat-file", "--batch-all-objects", "--batch", "--unordered"]
            everything = subprocess.run(argv, cwd=one.cell.main, capture_output=True, check=True).stdout
        assert CANARY.encode() not in everything
        listed = one.cell.git("ls-tree", goal["integration"], "documents", "key", "token", "up").splitlines()
        assert [line.split()[0] for line in listed] == ["120000"] * 4
        kept = next(task for task in goal["tasks"] if task["id"] == "nested")["attempts"][0]["kept"]
        assert one.cell.git("show", f"{kept}:lib/a") == "b"


def told_by(cell: Cell, commit: str, kind: str, attacks: Mapping[str, str]) -> dict[str, tuple[int, str]]:
    """Attack -> exit code and what it said, from what the task committed."""
    codes = cell.git("show", f"{commit}:told-{kind}/codes").split()
    return {
        name: (int(code), cell.git("show", f"{commit}:told-{kind}/{number}"))
        for number, (name, code) in enumerate(zip(attacks, codes, strict=True))
    }


def test_the_ref_guard_where_there_is_no_sandbox(api: StubApi, tmp_path: Path) -> None:
    hook = {"hooks": [{"type": "command", "command": "touch hook-ran"}]}
    hooks = json.dumps({"hooks": {"SessionStart": [hook], "Stop": [hook]}})
    with scene(os.geteuid(), api, tmp_path, "trusted_local", sandbox={"mode": "off"}) as one:
        one.mo.repo.write({".claude/settings.json": hooks})
        one.cell.git("add", ".claude")
        one.cell.git("commit", "-qm", "hooks", "--", ".claude")
        before = refs_of(one.cell)
        tasks = [
            {"id": kind, "provider": kind, "prompt": do({"run": f"sh guard.sh {kind}"}, {"say": "Done."})}
            for kind in ("claude", "codex")
        ]
        file = one.cell.top / "plan.json"
        file.write_text(plan(tasks))
        one.mo("do", f"@{file}", timeout=200)
        goal = one.mo.json("show", "@last")["goal"]
        assert endings(goal) == {"claude": ("landed", [None]), "codex": ("landed", [None])}
        assert refs_of(one.cell) == before
        for kind in ("claude", "codex"):
            told = told_by(one.cell, goal["integration"], kind, GUARD)
            only = f"mo: this task may only move refs/heads/mo/{goal['id']}/{kind}, not "
            assert {name: said for name, (code, said) in told.items() if name in ALLOWED and code} == {}
            assert {
                name: said
                for name, (code, said) in told.items()
                if name in GUARDED and (code == 0 or only not in said)
            } == {}
        made, there = (
            set(one.cell.git("ls-tree", "-r", "--name-only", commit).splitlines())
            for commit in (goal["integration"], "main")
        )
        assert {name for name in made - there if not name.startswith("told-")} == set()


def refs_of(cell: Cell) -> dict[str, str]:
    """Refs -> commits, without those of mo's goals; and where HEAD is."""
    lines = cell.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    found = dict(line.split() for line in lines)
    goals = cell.main / ".mo/runs"
    own = ["refs/mo/", "refs/notes/mo"]
    own += [f"refs/heads/mo/{path.name}/" for path in (goals.iterdir() if goals.is_dir() else ())]
    kept = {name: commit for name, commit in found.items() if not name.startswith(tuple(own))}
    return kept | {"HEAD": cell.git("symbolic-ref", "HEAD")}
