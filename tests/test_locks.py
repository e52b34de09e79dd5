"""Locks of refs that a killed process left go; those that somebody may hold stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mo_git.locks import drop_abandoned, is_abandoned
from tests.support import RepoBuilder

PREFIXES = ("refs/heads/mo/", "refs/mo/")


def lock(repo: RepoBuilder, ref: str) -> Path:
    path = repo.path / f".git/{ref}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("0" * 40)
    return path


def places(repo: RepoBuilder) -> list[Path]:
    return [repo.path, repo.path / ".git"]


def wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


@contextmanager
def beside(argv: list[str], cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs meanwhile."""
    child = subprocess.Popen(
        argv, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield child
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def test_only_mos_own_and_only_locks(repo: RepoBuilder) -> None:
    mine = [
        lock(repo, name) for name in ("refs/heads/mo/goal/a", "refs/mo/goal/good/1", "refs/mo/keep/g/a/1")
    ]
    others = [lock(repo, name) for name in ("refs/heads/main", "refs/heads/mo-else", "refs/tags/v1")]
    repo.git("update-ref", "refs/mo/goal/base", "HEAD")
    assert drop_abandoned(repo.path / ".git", PREFIXES, places(repo)) == [
        *("refs/heads/mo/goal/a.lock", "refs/mo/goal/good/1.lock", "refs/mo/keep/g/a/1.lock"),
    ]
    assert [path.exists() for path in mine + others] == [False] * 3 + [True] * 3
    assert repo.head("refs/mo/goal/base") == repo.head()


def test_nothing_there(repo: RepoBuilder) -> None:
    assert drop_abandoned(repo.path / ".git", PREFIXES, places(repo)) == []
    assert not is_abandoned(repo.path / ".git/refs/heads/no.lock", places(repo))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_lock_that_a_process_has_open_stays(repo: RepoBuilder) -> None:
    path = lock(repo, "refs/heads/mo/goal/a")
    script = f"file = open({str(path)!r}); print(flush=True); input()"
    with beside([sys.executable, "-c", script], Path("/")) as child:
        wait_for(lambda: any(_opened(child.pid, path)))
        assert not is_abandoned(path, places(repo))
    assert is_abandoned(path, places(repo))


def _opened(pid: int, path: Path) -> Iterator[bool]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        yield entry.exists() and entry.samefile(path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_git_in_the_middle_of_its_hook_holds_it(repo: RepoBuilder) -> None:
    """It has closed the file already, and will rename it when the hook lets it."""
    hook = repo.path / ".git/hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ntest "$1" = prepared && sleep 300\nexit 0\n')
    hook.chmod(0o755)
    path = repo.path / ".git/refs/heads/mo/goal/a.lock"
    with beside(["git", "update-ref", "refs/heads/mo/goal/a", "HEAD"], repo.path):
        wait_for(path.exists)
        wait_for(lambda: not any(_opened_by_any(path)))
        assert not is_abandoned(path, places(repo))
        assert is_abandoned(path, [repo.path / "elsewhere"])
    assert is_abandoned(path, places(repo))


def _opened_by_any(path: Path) -> Iterator[bool]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield any(_opened(int(process.name), path))
        except OSError:
            continue


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_person_who_reads_history_holds_nothing(repo: RepoBuilder) -> None:
    path = lock(repo, "refs/heads/mo/goal/a")
    with beside(["git", "--no-pager", "log", "--stdin"], repo.path) as child:  # waits for what to show
        wait_for(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "git\n")
        os.utime(path)
        assert child.poll() is None
        assert is_abandoned(path, places(repo))
    with beside(["git", "update-ref", "--stdin"], repo.path) as child:
        wait_for(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "git\n")
        os.utime(path)
        assert not is_abandoned(path, places(repo))
