"""Finding out what a machine can do, and saying what to do about it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from mo_daemon.sandbox import Policy, Tier, in_force, probe
from mo_daemon.sandbox.mounts import Mounts
from mo_daemon.sandbox.probe import Machine, diagnose, look_at
from mo_daemon.sandbox.sockets import listening
from mo_daemon.sandbox.toolchains import of_checkout, roots
from mo_git.errors import Exit, MoError
from tests import cells
from tests.support import RepoBuilder

HELP = 'case $1 in --version) echo "bubblewrap 0.6.1"; exit;; --help) echo " --perms OCTAL "; exit;; esac\n'


def machine(tmp_path: Path, bwrap: str | None, *programs: str) -> Mapping[str, str]:
    """A PATH with this bwrap (text of a sh script) and nothing else but some programs that do nothing."""
    directory = tmp_path / "bin"
    directory.mkdir()
    scripts = dict.fromkeys(programs, "") | ({"bwrap": HELP + bwrap} if bwrap is not None else {})
    for name, text in scripts.items():
        (directory / name).write_text(f"#!/bin/sh\n{text}")
        (directory / name).chmod(0o755)
    return {"PATH": str(directory)}


def test_this_machine() -> None:
    cells.tier()
    found = probe(os.environ)
    assert found.name == "sandbox"
    assert found.reason == f"bubblewrap {found.version}"
    assert found.bwrap is not None
    assert found.bwrap.is_absolute()


def test_not_installed(tmp_path: Path) -> None:
    found = probe(machine(tmp_path, None, "dnf"))
    assert found == Tier("guard", "bubblewrap is not installed", "sudo dnf install bubblewrap")
    assert probe({"PATH": "/nonexistent"}).remedy == "install bubblewrap"


def test_one_that_fails(tmp_path: Path) -> None:
    environ = machine(tmp_path, "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1")
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/apparmor_restrict_unprivileged_userns").write_text("1\n")
    found = probe(environ, root=tmp_path)
    assert (found.name, found.version) == ("guard", "0.6.1")
    assert found.reason == "AppArmor forbids user namespaces: setting up uid map: Permission denied"
    assert f"profile bwrap {tmp_path}/bin/bwrap flags=(unconfined) {{\n  userns,\n}}" in found.remedy


def test_one_that_contains_nothing(tmp_path: Path) -> None:
    environ = machine(tmp_path, 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    found = probe(environ, root=tmp_path)
    assert found.name == "guard"
    assert "a directory that was mounted read-only could be written to" in found.reason


def test_one_without_the_newest_option(tmp_path: Path) -> None:
    """It says that it knows --disable-userns, and fails with it, as it does inside another sandbox."""
    real = cells.tier().bwrap
    refuse = '[ "$it" != --disable-userns ] || { echo "bwrap: no" >&2; exit 1; }'
    environ = machine(tmp_path, f'for it; do {refuse}; done; exec {real} "$@"')
    script = Path(environ["PATH"], "bwrap")
    script.write_text(script.read_text().replace("--perms OCTAL", "--disable-userns --size BYTES"))
    found = probe(environ)
    assert (found.name, found.options) == ("sandbox", frozenset({"--size"}))


CASES = [
    (
        "bwrap: No permissions to create new namespace, likely because ...",
        Machine(forbidden="kernel.unprivileged_userns_clone", container=True),
        "the kernel forbids user namespaces: No permissions to create new namespace, likely because ...",
        "sudo sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    (
        "bwrap: Creating new namespace failed: No space left on device\n",
        Machine(forbidden="user.max_user_namespaces"),
        "the kernel forbids user namespaces: Creating new namespace failed: No space left on device",
        "sudo sysctl -w user.max_user_namespaces=15000",
    ),
    (
        "bwrap: Can't mount proc on /newroot/proc: Operation not permitted",
        Machine(container=True),
        "this container forbids namespaces: Can't mount proc on /newroot/proc: Operation not permitted",
        "give the container the right to make namespaces",
    ),
    (
        "",
        Machine(),
        "bubblewrap cannot start a program here: no reason given",
        "/usr/bin/bwrap --unshare-user",
    ),
]


@pytest.mark.parametrize(("said", "machine", "reason", "remedy"), CASES)
def test_diagnoses(said: str, machine: Machine, reason: str, remedy: str) -> None:
    found = diagnose(said, machine, Path("/usr/bin/bwrap"))
    assert found[0] == reason
    assert found[1].startswith(remedy)


def test_looking_at_the_machine(tmp_path: Path) -> None:
    assert look_at(tmp_path, {}) == Machine()
    (tmp_path / "proc/sys/user").mkdir(parents=True)
    (tmp_path / "proc/sys/user/max_user_namespaces").write_text("0\n")
    (tmp_path / ".dockerenv").touch()
    assert look_at(tmp_path, {}) == Machine(forbidden="user.max_user_namespaces", container=True)
    assert look_at(tmp_path / "x", {"container": "podman"}) == Machine(container=True)


def test_the_tier_in_force() -> None:
    able, unable = Tier("sandbox", "bubblewrap 1"), Tier("guard", "it is not installed", "install it")
    assert in_force(Policy(), able) is in_force(Policy(mode="required"), able) is able
    assert in_force(Policy(), unable) is unable
    assert in_force(Policy(mode="off"), able) == Tier("guard", "sandbox.mode is off")
    with pytest.raises(MoError) as caught:
        in_force(Policy(mode="required"), unable)
    assert caught.value.message == "sandbox.mode is required, but it is not installed"
    assert (caught.value.hint, caught.value.code) == ("install it", Exit.CONFIG)


# -- parts --------------------------------------------------------------------------------------------


def test_mounts(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").touch()
    mounts = Mounts({"--size"})
    assert mounts.hides(tmp_path)
    mounts.read(Path("/"))
    mounts.hide(tmp_path / "gone")
    mounts.hide(tmp_path / "dir")
    mounts.hide(tmp_path / "dir/inside")
    mounts.hide(tmp_path / "file")
    mounts.write(tmp_path / "dir/own")
    mounts.scratch(Path("/tmp/x"), 1)
    mounts.link(Path("/tmp/x/l"), "y")
    places = ("dir", "dir/inside", "dir/own/x", "file", "other")
    assert [mounts.shows(tmp_path / name) for name in places] == [False, False, True, False, True]
    assert [mounts.hides(path) for path in (tmp_path / "dir", Path("/tmp/x/y"))] == [True, False]
    assert mounts.sealed() == (
        *("--ro-bind", "/", "/", "--tmpfs", f"{tmp_path}/dir", "--ro-bind", "/dev/null", f"{tmp_path}/file"),
        *("--bind", f"{tmp_path}/dir/own", f"{tmp_path}/dir/own", "--size", "1048576", "--tmpfs", "/tmp/x"),
        *("--symlink", "y", "/tmp/x/l", "--remount-ro", f"{tmp_path}/dir"),
    )


def test_where_programs_live(tmp_path: Path) -> None:
    home, main = tmp_path / "home", tmp_path / "home/main"
    for name in (".tool/bin", "opt/it/bin", ".venv/bin", "main/bin", "base/bin", "bin"):
        (home / name).mkdir(parents=True)
    (home / ".venv/pyvenv.cfg").write_text(f"home = {home}/base/bin\n")
    program = home / "opt/it/bin/run"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (home / "bin/run").symlink_to(program)
    env = {
        "PATH": f"{home}/.tool/bin:{main}/bin:{home}/bin:x:{tmp_path}/gone",
        "VIRTUAL_ENV": f"{home}/.venv",
    }
    found = roots(["run"], env, closed=[main], homes=[home])
    assert [str(path.relative_to(home)) for path in found] == [".tool/bin", "bin", ".venv", "opt/it", "base"]


def test_tool_chains_of_a_checkout(repo: RepoBuilder) -> None:
    repo.commit({".gitignore": "node_modules\n.venv\nenv/\nbuild/\n", "a/package.json": "{}"})
    repo.write(
        {
            "a/node_modules/x.js": "",
            "env/pyvenv.cfg": "",
            "build/x": "",
            ".venv/x": "",
            "venv/not-ignored": "",
        }
    )
    (repo.path / "node_modules").symlink_to("/etc")
    found = of_checkout(repo.path)
    assert sorted(str(path.relative_to(repo.path)) for path in found) == [".venv", "a/node_modules", "env"]


def test_sockets(tmp_path: Path) -> None:
    table = tmp_path / "unix"
    (tmp_path / "plain").touch()
    head = "Num       RefCount Protocol Flags    Type St Inode Path\n"
    row = "0000000000000000: 00000002 00000000 00010000 0001 01 12345"
    table.write_text(f"{head}{row}\n{row} @abstract\n{row} {tmp_path}/plain\n{row} {tmp_path}/gone\n")
    assert listening(table) == []
    assert listening(tmp_path / "none") == []
