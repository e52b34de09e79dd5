"""What works in the sandbox, what does not, and what is left when it ends: with the real bubblewrap."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mo_daemon import sandbox
from mo_daemon.sandbox import Policy, Profile, Purpose, inner
from mo_git import process
from mo_git.errors import MoError
from mo_git.git.repo import Repo
from mo_git.git.snapshot import NestedRepositories, snapshot
from tests import cells
from tests.cells import CANARY, Cell, acting_as
from tests.need import require

STRICT = Policy(profile=Profile.STRICT)
PROFILES = [Policy(), STRICT]


@pytest.fixture(scope="module", params=cells.USERS, ids=cells.name_of)
def shared(request: pytest.FixtureRequest) -> Iterator[Cell]:
    made = cells.build(request.param, cells.tier())
    yield made
    cells.remove(made)


@pytest.fixture
def cell(shared: Cell) -> Cell:
    """With a clean worktree and a new home; the rest is as other tests left it."""
    shared.git("checkout", "-q", "--", ".", where=shared.worktree)
    shared.git("clean", "-ffdxq", where=shared.worktree)
    cells.delete(shared.room.home)
    return shared


@pytest.fixture
def own() -> Iterator[Cell]:
    """A fresh cell of the user who runs the tests."""
    made = cells.build(os.geteuid(), cells.tier())
    yield made
    cells.remove(made)


def name_of(policy: object) -> str | None:
    return policy.profile.value if isinstance(policy, Policy) else None


def until(holds: Callable[[], object], what: str) -> None:
    limit = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < limit, f"never: {what}"
        time.sleep(0.005)


# -- what works ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", PROFILES, ids=name_of)
def test_git_reads(cell: Cell, policy: Policy) -> None:
    script = """
    printf 'one\\ntwo\\nthree\\n' > a.txt; echo x > new.txt
    git status --short; git diff --stat | tail -n 1; git diff | grep '^[+]three'
    git log --format=%s; git log --all --format=%D; git blame -s a.txt | cut -d ' ' -f 2-
    git show --format=%s --name-only; git grep -c two; git ls-files -o; git branch --show-current
    git rev-parse --short=4 HEAD~1 >/dev/null && git merge-base main HEAD >/dev/null && echo fine
    git worktree list | wc -l; git config user.name; git remote
    git init -q /tmp/r && cd /tmp/r && echo y > y && git add y && git commit -qm inside && git log --format=%s
    """
    done = cell.run(script, policy=policy)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        *(" M a.txt", "?? new.txt", " 1 file changed, 1 insertion(+)", "+three"),
        *("second", "first", f"HEAD -> {cells.BRANCH}, main", ""),
        *("1) one", "2) two", "3) three"),
        *("second", "", "a.txt", "a.txt:1", "new.txt", cells.BRANCH, "fine", "2"),
        *("A Person", "hub", "origin", "inside"),
    ]


def test_what_it_wrote_is_committed_from_outside(own: Cell) -> None:
    done = own.run(
        "echo work > work.txt; mkdir d; echo x > d/y; ln -s $USERHOME/.ssh/id_ed25519 key; git add ."
    )
    assert (done.code, "Read-only file system" in done.err) == (128, True)
    base = own.git("rev-parse", cells.BRANCH)
    repo = Repo(own.git_dir)
    found = snapshot(repo, own.worktree, base)
    assert found.changed == ("d/y", "key", "work.txt")
    commit = repo.commit_tree(found.tree, [base], "work", when=0)
    own.git("update-ref", f"refs/heads/{cells.BRANCH}", commit)
    assert own.git("show", f"{commit}:key") == str(own.home / ".ssh/id_ed25519")
    own.git("gc", "-q", "--prune=now")
    assert own.git("fsck", "--full", "--strict") == ""
    assert own.git("status", "--short", where=own.worktree) == ""


def test_a_nested_repository_is_noticed_and_runs_nothing(own: Cell) -> None:
    evil = own.top / "ran"
    own.run(
        f"""
        git init -q lib && cd lib && echo x > x && git add x && git commit -qm x
        git config core.fsmonitor 'touch {evil}'; git config filter.e.clean 'touch {evil}; cat'
        echo '* filter=e' > .gitattributes; printf '#!/bin/sh\\ntouch {evil}\\n' > .git/hooks/pre-commit
        chmod +x .git/hooks/pre-commit
        """
    )
    with pytest.raises(NestedRepositories) as caught:
        snapshot(Repo(own.git_dir), own.worktree, own.git("rev-parse", cells.BRANCH))
    assert caught.value.paths == ("lib",)
    assert not evil.exists()


def test_what_is_there_and_what_is_not(cell: Cell) -> None:
    script = "cd $USERHOME && ls -A; cat linked/notes.txt; ls -A .local projects/repo; cat .npmrc; tool"
    done = cell.run(script, env={"PATH": f"{cell.home}/.local/bin:/usr/bin:/bin"})
    assert done.out.splitlines() == [
        *(".cache", ".local", ".pyenv", "documents", "linked", "projects", "readable"),
        *(".local:", "bin", "share", "state", ""),
        *("projects/repo:", ".git", ".venv", "node_modules", "tool"),
    ]
    assert "No such file" in done.err


def test_strict_shows_what_is_named(cell: Cell) -> None:
    script = "ls -A / $USERHOME; cat $USERHOME/documents/notes.txt"
    done = cell.run(script, policy=replace(STRICT, read=(str(cell.home / "documents"),)))
    roots, home = done.out.split("\n\n")
    assert set(roots.splitlines()[1:]) <= {
        *(
            "bin",
            "dev",
            "etc",
            "lib",
            "lib32",
            "lib64",
            "libx32",
            "nix",
            "gnu",
            "proc",
            "sbin",
            "tmp",
            "usr",
            "var",
        )
    }
    assert home.splitlines()[1:] == [".local", "documents", "projects", "readable"]


def test_hide_wins_over_read(cell: Cell) -> None:
    notes = cell.home / "documents"
    policy = Policy(hide=(str(notes), str(cell.home / ".pyenv/version")), read=(str(notes),))
    done = cell.run("ls -A $USERHOME/documents; cat $USERHOME/.pyenv/version", policy=policy)
    assert done.out == ""


def test_its_own_home_cache_and_temporary_files(cell: Cell) -> None:
    script = """
    for d in ~ $XDG_CONFIG_HOME $XDG_DATA_HOME $XDG_STATE_HOME $XDG_CACHE_HOME $PIP_CACHE_DIR $UV_CACHE_DIR \\
      $NPM_CONFIG_CACHE $CARGO_HOME $GOPATH $GOCACHE $GOMODCACHE
    do echo x > $d/kept || exit 1; done
    echo x > /tmp/t && echo x > $TMPDIR/u && echo x > /dev/shm/s && cat ~/.npmrc && cat ~/.gitconfig
    echo "${SSH_AUTH_SOCK:-none} ${XDG_RUNTIME_DIR:-none}"
    """
    done = cell.run(script, env={"SSH_AUTH_SOCK": "/x"})
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "registry=https://example.org/",
        *("[user]", '\tname = "A Person"', "[user]", '\temail = "p@example.org"'),
        *("[safe]", '\tdirectory = "*"', "none none"),
    ]
    assert cell.run("cat ~/kept $PIP_CACHE_DIR/kept; ls /tmp /dev/shm | grep -c '^[tus]$'").out == "x\nx\n0\n"


def test_links_in_its_home_lead_nobody_out(cell: Cell) -> None:
    cell.run("true")
    before = cell.world()
    cell.run(
        "rm -rf ~/.config ~/.gitconfig $CARGO_HOME; ln -s $USERHOME/documents ~/.config;"
        "ln -s $USERHOME/.gitconfig ~/.gitconfig; ln -s $USERHOME/documents $CARGO_HOME; mkdir ~/.npmrc"
    )
    assert cell.run("test -f ~/.gitconfig -a ! -L ~/.config -a -f ~/.npmrc && touch $CARGO_HOME/x").code == 0
    assert cell.world() == before


def test_more_can_be_made_writable_for_checks_but_not_for_agents(cell: Cell) -> None:
    notes = cell.home / "documents"
    policy = Policy(writable=(str(notes),))
    script = f"echo x > {notes}/x"
    assert cell.run(script, policy=policy).code != 0
    assert cell.run(script, policy=policy, purpose=Purpose.CHECK).code == 0
    assert (notes / "x").exists()
    assert cell.run(f"echo y > {notes}/y", writable=[notes]).code == 0


@pytest.mark.parametrize("place", ["/", "top", "home", "main", "git_dir", "state"])
def test_nothing_that_holds_the_repository_is_opened_by_a_setting(own: Cell, place: str) -> None:
    path = Path(place) if place == "/" else getattr(own, place)
    with pytest.raises(MoError, match="unprotected") as caught:
        own.command("true", writable=[path])
    assert caught.value.hint == "name a smaller directory"
    with pytest.raises(MoError, match="is readable would leave"):
        own.command("true", policy=Policy(read=(str(path),)))


def test_frozen_files_of_the_worktree(own: Cell) -> None:
    (own.worktree / "sub").mkdir()
    pointer = own.worktree / "sub/.git"
    pointer.write_text("gitdir: x\n")
    assert own.run("echo y > sub/.git", frozen=[pointer]).code != 0
    assert own.run("rm -rf sub", frozen=[pointer]).code != 0
    assert pointer.read_text() == "gitdir: x\n"


def test_an_environment_in_the_worktree_opens_nothing(cell: Cell) -> None:
    """What an attempt left behind says where an interpreter is; the next program must not get to see that."""
    ssh, git = cell.home / ".ssh", cell.main / ".git/hooks"
    with acting_as(cell.uid):
        (cell.worktree / ".venv").mkdir()
        (cell.worktree / ".venv/pyvenv.cfg").write_text(f"home = {ssh}\n")
        (cell.worktree / ".venv/bin").symlink_to(cell.home / ".aws")
        (cell.worktree / "bin").mkdir()
        (cell.home / ".kube/run").write_text("#!/bin/sh\n")
        (cell.home / ".kube/run").chmod(0o755)
        (cell.worktree / "bin/run").symlink_to(cell.home / ".kube/run")
        (cell.worktree / "sub").symlink_to(cell.home / ".gnupg")
        (cell.home / ".gnupg/.git").write_text("gitdir: x\n")
    frozen = [cell.worktree / "sub/.git"]
    env = {"VIRTUAL_ENV": f"{cell.worktree}/.venv"}
    env["PATH"] = f"{cell.worktree}/.venv/bin:{cell.worktree}/bin:/usr/bin:/bin"
    script = f"ls {ssh} {git} {cell.home}/.aws {cell.home}/.kube {cell.home}/.gnupg"
    done = cell.run(script, env=env, frozen=frozen)
    assert (done.out, done.err.count("No such file")) == ("", 5)
    command = " ".join(cell.command(["run"], env=env, frozen=frozen).argv)
    assert not [name for name in (".ssh", ".aws", ".kube", ".gnupg") if f"{cell.home}/{name}" in command]


def test_a_worktree_behind_a_link(own: Cell) -> None:
    link = own.top / "link"
    link.symlink_to(own.state)
    room = replace(own.room, worktree=link / "repo-1/worktrees/1", view=own.view())
    made = sandbox.Sandbox(own.tier, own.places, Policy()).wrap(
        ["sh", "-c", "echo x > here && ! echo y > .git && pwd -P"],
        purpose=Purpose.AGENT,
        room=room,
        env=own.environ,
    )
    done = subprocess.run(made.argv, env=dict(made.env), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{own.worktree}\n")
    assert (own.worktree / "here").exists()


# -- what does not ------------------------------------------------------------------------------------

REFUSED = {
    "mount": "mount -t tmpfs none /mnt",
    "remount": "mount -o remount,rw /",
    "unmount": "umount $USERHOME",
    "namespaces": "unshare -Ur true",
    "chroot": "chroot / true",
    "device": "mknod /tmp/sda b 8 0",
    "system": "echo x > /etc/mo-was-here",
    "core pattern": "cd /proc/sys/kernel; was=$(cat core_pattern) && echo $was > core_pattern",
    "hostname of the machine": "cd /proc/sys/kernel; was=$(cat hostname) && echo $was > hostname",
    "sysfs": "echo 0 > /sys/kernel/mm/ksm/run",
    "sysrq": "test -w /proc/sysrq-trigger || test -w /proc/sys/kernel/sysrq",
    "password hashes": "grep -q . /etc/shadow",
    "disk": "cat /dev/sda /dev/vda /dev/nvme0n1",
    "kernel memory": "head -c 1 /proc/kcore",
    "other processes": 'test "$(ls -d /proc/[0-9]* | wc -l)" -gt 6',
    "time": "date -s 2001-01-01",
}


@pytest.mark.parametrize("policy", PROFILES, ids=name_of)
def test_refused(cell: Cell, policy: Policy) -> None:
    done = cell.run("".join(f"({it}) >/dev/null 2>&1; echo $?\n" for it in REFUSED.values()), policy=policy)
    codes = dict(zip(REFUSED, done.out.split(), strict=True))
    assert [name for name, code in codes.items() if code == "0"] == []


def test_other_processes_are_not_there(cell: Cell) -> None:
    with acting_as(cell.uid):
        victim = subprocess.Popen(["sleep", "60"], env={"SECRET": CANARY})
    try:
        done = cell.run(f"kill -9 {victim.pid}; kill -9 -1; cat /proc/*/environ | grep -ac {CANARY}")
        assert "No such process" in done.err
        assert victim.poll() is None
        assert (
            cell.run(f"cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n' | grep -c '{CANARY}$'").out
            == "0\n"
        )
    finally:
        victim.kill()
        victim.wait()


def test_the_environment_of_the_caller_does_not_leak(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", CANARY)
    assert CANARY not in cell.run("env; cat /proc/*/environ").out


def test_sockets_of_services(cell: Cell) -> None:
    with acting_as(cell.uid):
        places = [cell.top / "runtime/bus", cell.home / "documents/docker.sock", cell.home / ".ssh/agent"]
        listeners = []
        for place in places:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(place))
            listener.listen()
            listeners.append(listener)
    code = (
        "import socket,sys\nfor path in sys.argv[1:]:\n s = socket.socket(socket.AF_UNIX)\n"
        " try: s.connect(path); print('connected')\n except OSError as error: print(type(error).__name__)\n"
    )
    argv = [require("python3"), "-c", code, *map(str, places)]
    argv[0] = "/usr/bin/python3"
    try:
        if not Path(argv[0]).exists():
            pytest.skip("no /usr/bin/python3")
        assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "connected\n" * 3
        assert cell.run(argv).out.split() == [
            "FileNotFoundError",
            "ConnectionRefusedError",
            "FileNotFoundError",
        ]
        shown = cell.run(argv, read=[places[1]]).out.split()
        assert shown == ["FileNotFoundError", "connected", "FileNotFoundError"]
    finally:
        for listener in listeners:
            listener.close()


@pytest.mark.parametrize("network", [True, False])
def test_the_network(cell: Cell, network: bool) -> None:
    """While it is open, services on the machine's own address can be reached: they need passwords."""
    if not Path("/usr/bin/python3").exists():
        pytest.skip("no /usr/bin/python3")
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5)"
        done = cell.run(["/usr/bin/python3", "-c", code], policy=Policy(network=network))
    assert (done.code == 0) == network


def test_the_disk_in_memory_is_limited(cell: Cell) -> None:
    script = (
        "for d in /tmp /var/tmp /dev/shm; do head -c 20000000 /dev/zero > $d/x; done; echo; du -sk /tmp/x"
    )
    done = cell.run(script, policy=Policy(tmp_mb=8))
    assert done.err.count("No space left on device") == 3


def test_a_change_of_the_config_during_the_run_tells_nothing(cell: Cell) -> None:
    """git replaces the file: a mount over the file itself would be dropped."""
    script = "echo ready; read x; cat $GIT/config; git config --list; git status --short; git log --format=%s"
    wrapped = cell.command(script)
    with acting_as(cell.uid):
        program = subprocess.Popen(
            wrapped.argv,
            env=dict(wrapped.env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    cell.git("config", "mo.changed", CANARY)
    cell.git("pack-refs", "--all")
    cell.git("gc", "-q", "--prune=now")
    (cell.home / ".netrc.new").write_text(CANARY)
    (cell.home / ".netrc.new").rename(cell.home / ".netrc")
    out, _ = program.communicate("go\n", timeout=30)
    assert CANARY not in out
    assert out.endswith("second\nfirst\n")


# -- its end ------------------------------------------------------------------------------------------

# A child, one in a session of its own, and one that was left behind and ignores SIGTERM.
FAMILY = """
sleep 300 & setsid sleep 300 & (trap '' TERM; setsid sleep 300 & ) &
trap 'echo graceful > end; exit 7' TERM
echo ready > ready; while :; do sleep 0.01; done
"""


def start(cell: Cell, script: str, *options: str, fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    wrapped = cell.command(script, env={process.MARKER: f"mark-{cell.top.name}"})
    argv = (wrapped.argv[0], *options, *wrapped.argv[1:])
    with acting_as(cell.uid):
        return subprocess.Popen(argv, env=dict(wrapped.env), start_new_session=True, pass_fds=fds)


def alive(cell: Cell) -> list[int]:
    return process.survivors([f"mark-{cell.top.name}"])


def test_a_killed_sandbox_leaves_nothing(cell: Cell) -> None:
    outer = start(cell, FAMILY)
    until((cell.worktree / "ready").exists, "the program runs")
    until(lambda: len(alive(cell)) >= 5, "its family runs")
    outer.kill()
    outer.wait()
    until(lambda: not alive(cell), "nothing of it lives")
    assert not (cell.worktree / "end").exists()


def test_the_program_gets_its_time_to_end(cell: Cell) -> None:
    read, write = os.pipe()
    outer = start(cell, FAMILY, "--info-fd", str(write), fds=[write])
    os.close(write)
    with os.fdopen(read) as info:
        named = inner.inner_pid(info.read())
    until((cell.worktree / "ready").exists, "the program runs")
    group = sandbox.inner_group(outer.pid)
    assert group == named
    os.killpg(group, signal.SIGTERM)
    assert outer.wait(20) == 7
    assert (cell.worktree / "end").read_text() == "graceful\n"
    until(lambda: not alive(cell), "nothing of it lives")
    assert sandbox.inner_group(outer.pid) is None


def test_when_the_program_ends_the_rest_ends_too(cell: Cell) -> None:
    outer = start(cell, "sleep 300 & setsid sleep 300 & exit 5")
    assert outer.wait(20) == 5
    until(lambda: not alive(cell), "nothing of it lives")


def test_it_ends_with_the_process_that_started_it(cell: Cell) -> None:
    wrapped = cell.command(FAMILY, env={process.MARKER: f"mark-{cell.top.name}"})
    with acting_as(cell.uid):
        parent = subprocess.Popen(["sh", "-c", '"$@" & wait', "sh", *wrapped.argv], env=dict(wrapped.env))
    until((cell.worktree / "ready").exists, "the program runs")
    parent.kill()
    parent.wait()
    until(lambda: not alive(cell), "nothing of it lives")


def test_how_it_ended(cell: Cell) -> None:
    assert cell.run("exit 9").code == 9
    assert cell.run("kill -9 $$").code == 137
    missing = cell.run(["no-such-program"])
    assert missing.code == 1
    assert sandbox.failure(missing.err.encode()) == "execvp no-such-program: No such file or directory"
    assert sandbox.failure(b"hello\nbwrap: x\n") == ""
    assert json.loads('{"child-pid": 3}')["child-pid"] == inner.inner_pid(b'{\n    "child-pid": 3\n}\n')


# -- tool chains --------------------------------------------------------------------------------------


def real_home(cell: Cell) -> sandbox.Places:
    """With the home in which this machine's tool chains may live."""
    return replace(cell.places, homes=(cell.home, Path(pwd.getpwuid(os.geteuid()).pw_dir)))


def test_this_interpreter_and_its_tests(own: Cell) -> None:
    """Wherever it lives, also in a virtual environment below /tmp."""
    (own.worktree / "test_it.py").write_text(
        "import pytest\ndef test_it(tmp_path):\n    assert tmp_path.is_dir()\n"
    )
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = own.run([sys.executable, "-m", "pytest", "-q"], env=env, places=real_home(own))
    assert done.code == 0, done
    assert "1 passed" in done.out


def test_a_virtual_environment(own: Cell) -> None:
    require("python3")
    script = "python3 -m venv --without-pip v && v/bin/python -c 'import sys; print(sys.prefix)'"
    done = own.run(script, env={"PATH": os.environ["PATH"]}, places=real_home(own))
    assert done.out == f"{own.worktree}/v\n"


@pytest.mark.slow
def test_node(own: Cell) -> None:
    require("node")
    require("npm")
    files = {
        "package.json": '{"name":"x","dependencies":{"dep":"file:dep"},"scripts":{"test":"node --test"}}',
        "dep/package.json": '{"name":"dep","version":"1.0.0","main":"i.js"}',
        "dep/i.js": "module.exports = 1",
        "x.test.js": "require('node:test')('one', () => require('node:assert').equal(require('dep'), 1))",
    }
    for name, text in files.items():
        (own.worktree / name).parent.mkdir(exist_ok=True)
        (own.worktree / name).write_text(text)
    script = (
        "npm install --offline --no-audit --no-fund && rm -r node_modules && npm ci --offline && npm test"
    )
    done = own.run(script, env={"PATH": os.environ["PATH"]})
    assert done.code == 0, done
    assert "pass 1" in done.out


@pytest.mark.slow
def test_go(own: Cell) -> None:
    require("go")
    (own.worktree / "go.mod").write_text("module x\n\ngo 1.18\n")
    (own.worktree / "x_test.go").write_text('package x\nimport "testing"\nfunc TestX(t *testing.T) {}\n')
    done = own.run("go test ./... && ls $GOCACHE | grep -c .", env={"PATH": os.environ["PATH"]})
    assert done.code == 0, done


@pytest.mark.slow
def test_cargo(own: Cell) -> None:
    require("cargo")
    (own.worktree / "src").mkdir()
    (own.worktree / "Cargo.toml").write_text('[package]\nname = "x"\nversion = "0.1.0"\nedition = "2021"\n')
    (own.worktree / "src/lib.rs").write_text("#[test]\nfn it() {}\n")
    env = {"PATH": os.environ["PATH"]}
    done = own.run(["cargo", "test", "--offline"], env=env, places=real_home(own))
    assert done.code == 0, done
    assert "1 passed" in done.out


def test_git_lfs(own: Cell) -> None:
    require("git-lfs")
    (own.worktree / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (own.worktree / "a.bin").write_bytes(b"\0" * 100)
    own.git("lfs", "install", "--local", "--skip-repo")
    own.git("add", "-A", where=own.worktree)
    own.git("-c", "core.hooksPath=/dev/null", "commit", "-qm", "lfs", where=own.worktree)
    with acting_as(own.uid):
        refs = {f"refs/heads/{cells.BRANCH}": own.git("rev-parse", cells.BRANCH)}
        view = sandbox.make_view(own.git_dir, own.state / "repo-1/views/1", admin="mo-1", refs=refs, lfs=True)
    wrapped = sandbox.Sandbox(own.tier, own.places, Policy()).wrap(
        [
            "sh",
            "-c",
            "touch a.bin; git status --short; echo new > a.bin; git status --short; git diff --stat",
        ],
        purpose=Purpose.AGENT,
        room=replace(own.room, view=view),
        env=own.environ,
    )
    done = subprocess.run(wrapped.argv, env=dict(wrapped.env), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == " M a.bin"
    assert len(done.stdout.splitlines()) == 3
