"""Programs are started with a marker and ended as whole trees."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_git import process
from mo_git.errors import MoError

TOKEN = f"t1-{os.getpid()}"
ENV = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert process.survivors([TOKEN]) == []
    process.reap(process.own_children())


def ended(
    script: str, cwd: Path, timeout: float = 20, limit: int = process.LOG_LIMIT, grace: float = 5
) -> process.Ending:
    async def go() -> process.Ending:
        process.become_subreaper()
        sink = process.Sink(cwd / "log", limit)
        child = process.start(["sh", "-c", script], cwd=cwd, env=ENV, token=TOKEN, stdout=sink)
        return await child.wait(timeout, grace=grace)

    return asyncio.run(go())


def test_a_failing_child_is_a_result(tmp_path: Path) -> None:
    ending = ended("echo out; echo err >&2; exit 3", tmp_path)
    assert (ending.code, ending.timed_out) == (3, False)
    assert (tmp_path / "log").read_text() == "out\nerr\n"


def test_what_the_leader_leaves_behind_is_killed(tmp_path: Path) -> None:
    ending = ended("sleep 60 & setsid sleep 60 & (setsid sh -c 'sleep 60' &) ; exit 0", tmp_path)
    assert ending.code == 0
    assert process.survivors([TOKEN]) == []


def test_a_deadline_ends_a_tree_that_ignores_sigterm(tmp_path: Path) -> None:
    ending = ended("trap '' TERM; sleep 60 & sleep 60; sleep 60", tmp_path, timeout=0.2, grace=0.1)
    assert ending.timed_out


def test_sigterm_gives_a_child_time_to_finish(tmp_path: Path) -> None:
    ending = ended("trap 'echo bye; exit 0' TERM; sleep 60 & wait", tmp_path, timeout=0.2)
    assert ending.timed_out
    assert (tmp_path / "log").read_text() == "bye\n"


def test_endless_output_keeps_head_and_tail(tmp_path: Path) -> None:
    ended("printf aaaa; head -c 1000000 /dev/zero | tr '\\0' b; printf END", tmp_path, limit=100)
    text = (tmp_path / "log").read_text()
    assert text.startswith("aaaab")
    assert text.endswith("END")
    assert "bytes left out" in text
    assert len(text) < 400_000


def test_run_reports_code_output_and_timeout(tmp_path: Path) -> None:
    done = process.run(["sh", "-c", "cat; echo no >&2; exit 4"], cwd=tmp_path, stdin=b"in")
    assert (done.code, done.out, done.error_text) == (4, b"in", "no")
    assert process.run(["sleep", "60"], timeout=0.1).code == 124


def test_a_missing_program_is_an_error_with_a_remedy() -> None:
    with pytest.raises(MoError, match="no-such-program") as caught:
        process.run(["no-such-program"])
    assert "install no-such-program" in caught.value.hint


def test_identity_tells_a_reused_pid_apart() -> None:
    mine = process.identify(os.getpid())
    assert mine is not None
    assert process.is_alive(mine)
    assert not process.is_alive(process.Identity(mine.pid, "1", mine.boot))
    assert process.identify(2**22 + 5) is None


def test_git_variables_do_not_leak() -> None:
    assert process.without_git_variables({"GIT_DIR": "x", "PATH": "p", "GITHUB_ACTIONS": "1"}) == {
        "PATH": "p",
        "GITHUB_ACTIONS": "1",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="subreaper exists on Linux only")
def test_reap_never_takes_the_status_of_a_waited_child(tmp_path: Path) -> None:
    async def go() -> list[int]:
        process.become_subreaper()
        codes = []
        for number in range(20):
            sink = process.Sink(tmp_path / f"log{number}")
            child = process.start(["sh", "-c", "exit 7"], cwd=tmp_path, env=ENV, token=TOKEN, stdout=sink)
            process.reap(process.own_children())
            codes.append((await child.wait(5)).code)
        return codes

    assert asyncio.run(go()) == [7] * 20


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_one_that_forgot_its_environment_is_killed_too(tmp_path: Path) -> None:
    """It lost the marker and left the session, but it works where it was started."""
    ended("env -i setsid sleep 61 & env -i setsid sh -c 'sleep 61 & sleep 61' & exit 0", tmp_path)
    assert processes_in(tmp_path) == []


CHAIN = """
import os, time
for _ in range(8):
    if os.fork():
        break
    os.setsid()
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_children_of_the_dying_are_killed_too(tmp_path: Path) -> None:
    """Sessions, each the child of one that is being killed itself, so that nobody has adopted them yet."""
    for _ in range(3):
        ended(f"{sys.executable} -c '{CHAIN}' & sleep 0.1; exit 0", tmp_path)
        assert processes_in(tmp_path) == []


def processes_in(directory: Path) -> list[str]:
    """Command lines of live processes that work in a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str(directory) == os.readlink(entry / "cwd"):
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="adopts orphans on Linux only")
def test_orphans_of_this_process_and_nobody_else(tmp_path: Path) -> None:
    async def go() -> tuple[int, int]:
        process.become_subreaper()
        sink = process.Sink(tmp_path / "log")
        child = process.start(["sleep", "63"], cwd=tmp_path, env=ENV, token=TOKEN, stdout=sink)
        process.run(["sh", "-c", "env -i setsid sleep 64 >/dev/null 2>&1 &"], cwd="/")
        killed = process.end_orphans()
        alive = process.identify(child.pid) is not None
        ending = await child.wait(0, grace=0.1)
        assert alive
        return killed, ending.code

    assert asyncio.run(go()) == (1, -15)
