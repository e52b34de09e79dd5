"""Moving a checked-out branch: forward only, and never over work that is not committed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mo_git.git.worktrees import FastForward, Refusal, fast_forward
from tests.support import RepoBuilder


@pytest.fixture
def ahead(repo: RepoBuilder) -> str:
    """A commit in front of main that changes a and removes r, and adds n and dir/x."""
    repo.commit({"a": "1\n", "r": "1\n", "own": "1\n", ".gitignore": "secret\nout/\n"})
    repo.git("checkout", "-q", "-b", "ahead")
    repo.git("rm", "-q", "r")
    commit = repo.commit({"a": "2\n", "n": "new\n", "dir/x": "x\n"})
    repo.git("checkout", "-q", "main")
    return commit


def state(repo: RepoBuilder) -> tuple[str, str, dict[str, str]]:
    files = {p.name: p.read_text() for p in repo.path.rglob("*") if p.is_file() and ".git" not in p.parts}
    return repo.head(), repo.git("status", "-s"), files


def test_branch_index_and_files_move_together(repo: RepoBuilder, ahead: str) -> None:
    assert fast_forward(repo.path, ahead) == FastForward(True)
    assert (repo.head("main"), repo.git("status", "-sb")) == (ahead, "## main")
    assert not (repo.path / "r").exists()
    assert fast_forward(repo.path, ahead) == FastForward(True)
    assert fast_forward(repo.path, f"{ahead}~1") == FastForward(True)
    assert repo.head() == ahead


def test_uncommitted_work_elsewhere_stays_and_is_reported(repo: RepoBuilder, ahead: str) -> None:
    repo.write({"own": "dirty\n", "mine": "untracked\n", "secret": "ignored\n", "staged": "s\n"})
    repo.git("add", "staged")
    assert fast_forward(repo.path, ahead) == FastForward(True, uncommitted=("mine", "own", "staged"))
    assert repo.head() == ahead
    assert repo.git("status", "-s").splitlines() == [" M own", "A  staged", "?? mine"]


@pytest.mark.parametrize(
    ("refusal", "work", "paths"),
    [
        (Refusal.DIRTY, {"a": "mine\n"}, ("a",)),
        (Refusal.DIRTY, {"r": "mine\n", "own": "elsewhere\n"}, ("r",)),
        (Refusal.UNTRACKED, {"n": "mine\n", "other": "x"}, ("n",)),
        (Refusal.UNTRACKED, {"n/below": "mine\n"}, ("n/below",)),
        (Refusal.UNTRACKED, {"dir": "a file\n"}, ("dir",)),
    ],
)
def test_work_in_the_way_refuses(
    repo: RepoBuilder, ahead: str, refusal: Refusal, work: dict[str, str | bytes], paths: tuple[str, ...]
) -> None:
    repo.write(work)
    before = state(repo)
    found = fast_forward(repo.path, ahead)
    assert (found.moved, found.refusal, found.paths) == (False, refusal, paths)
    assert "would be overwritten" in found.detail or "would lose untracked files" in found.detail
    assert state(repo) == before


def test_staged_work_in_the_way_refuses(repo: RepoBuilder, ahead: str) -> None:
    repo.write({"a": "staged\n"})
    repo.git("add", "a")
    before = state(repo)
    assert fast_forward(repo.path, ahead).paths == ("a",)
    assert state(repo) == before


def test_ignored_files_in_the_way_refuse(repo: RepoBuilder, ahead: str) -> None:
    repo.git("checkout", "-q", "ahead")
    repo.write({"secret": "theirs\n"})
    repo.git("add", "-f", "secret")
    commit = repo.commit({})
    repo.git("checkout", "-q", "main")
    repo.write({"secret": "password\n"})
    found = fast_forward(repo.path, commit)
    assert (found.moved, found.refusal, found.paths) == (False, Refusal.UNTRACKED, ("secret",))
    assert (repo.path / "secret").read_text() == "password\n"
    assert ahead != commit


def test_odd_names_in_the_way(repo: RepoBuilder, ahead: str) -> None:
    names = ["sp ace", "new\nline", 'quo"te', os.fsdecode(b"raw\xff")]
    repo.git("checkout", "-q", "ahead")
    repo.write(dict.fromkeys(names, "theirs"))
    commit = repo.commit({})
    repo.git("checkout", "-q", "main")
    repo.write(dict.fromkeys(names, "mine"))
    found = fast_forward(repo.path, commit)
    assert (found.refusal, set(found.paths)) == (Refusal.UNTRACKED, set(names))
    assert ahead != commit


def test_diverged_and_missing_commits(repo: RepoBuilder, ahead: str) -> None:
    repo.commit({"own": "2\n"})
    before = state(repo)
    assert fast_forward(repo.path, ahead) == FastForward(False, Refusal.NOT_FAST_FORWARD)
    missing = fast_forward(repo.path, "0" * 40)
    assert (missing.moved, missing.refusal) == (False, Refusal.OTHER)
    assert "0" * 40 in missing.detail
    assert state(repo) == before


def test_a_half_done_operation_refuses(repo: RepoBuilder, ahead: str) -> None:
    repo.branch("side", {"own": "side\n"})
    repo.write({"own": "here\n"})
    repo.git("commit", "-q", "-am", "here")
    repo.git("merge", "side", check=False)
    found = fast_forward(repo.path, ahead)
    assert found == FastForward(False, Refusal.OPERATION, detail="merge")


def test_another_git_command_is_waited_for(repo: RepoBuilder, ahead: str) -> None:
    lock = repo.path / ".git/index.lock"
    lock.touch()
    timer = threading.Timer(0.3, lock.unlink)
    timer.start()
    assert fast_forward(repo.path, ahead, patience=60) == FastForward(True)
    assert repo.head() == ahead
    timer.join()


def test_a_lock_that_stays_refuses(repo: RepoBuilder, ahead: str) -> None:
    lock = repo.path / ".git/index.lock"
    lock.touch()
    found = fast_forward(repo.path, ahead, patience=0.1)
    assert (found.moved, found.refusal, found.paths) == (False, Refusal.LOCKED, (str(lock),))


def test_settings_of_the_user_do_not_change_what_happens(repo: RepoBuilder, ahead: str) -> None:
    for key, value in (
        ("merge.ff", "false"),
        ("merge.autoStash", "true"),
        ("branch.main.mergeOptions", "--squash --no-commit"),
        ("pull.rebase", "true"),
    ):
        repo.git("config", key, value)
    hook = repo.path / ".git/hooks/post-merge"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    repo.write({"a": "mine\n"})
    assert fast_forward(repo.path, ahead).refusal is Refusal.DIRTY
    assert repo.git("stash", "list") == ""
    repo.git("checkout", "-q", "a")
    assert fast_forward(repo.path, ahead) == FastForward(True)
    assert repo.head() == ahead
    assert not (repo.path / "ran").exists()


def test_a_sparse_checkout_stays_sparse(repo: RepoBuilder, ahead: str) -> None:
    repo.git("sparse-checkout", "set", "--cone", "--sparse-index", "none")
    assert fast_forward(repo.path, ahead) == FastForward(True)
    assert repo.head() == ahead
    assert not (repo.path / "dir").exists()
    assert repo.git("status", "-s") == ""


def test_in_a_linked_worktree(repo: RepoBuilder, ahead: str, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", "-b", "linked", str(tmp_path / "w"), "main")
    assert fast_forward(tmp_path / "w", ahead) == FastForward(True)
    assert repo.head("linked") == ahead
    assert (tmp_path / "w/n").read_text() == "new\n"


def test_a_branch_that_somebody_moves_meanwhile_stays_theirs(repo: RepoBuilder) -> None:
    """A filter that runs while git writes the files moves the branch, as a commit just then would."""
    repo.commit({"a": "1\n", "r": "1\n", ".gitattributes": "n filter=racing\n"})
    repo.git("checkout", "-q", "-b", "ahead")
    repo.git("rm", "-q", "r")
    commit = repo.commit({"a": "2\n", "n": "new\n"})
    repo.git("checkout", "-q", "main")
    theirs = repo.branch("theirs", {"p": "p\n"})
    repo.write({"p": "p\n", "mine": "untracked\n"})
    repo.git("add", "p")
    repo.git("config", "filter.racing.smudge", f"git update-ref refs/heads/main {theirs}; cat")
    assert fast_forward(repo.path, commit) == FastForward(False, Refusal.NOT_FAST_FORWARD)
    assert (repo.head("main"), repo.git("status", "-s")) == (theirs, "?? mine")
    assert ((repo.path / "a").read_text(), (repo.path / "n").exists()) == ("1\n", False)


def test_a_branch_that_is_locked_stays_where_it_was(repo: RepoBuilder, ahead: str) -> None:
    repo.write({"mine": "untracked\n", "staged": "s\n"})
    repo.git("add", "staged")
    lock = repo.path / ".git/refs/heads/main.lock"
    lock.touch()
    before = state(repo)
    found = fast_forward(repo.path, ahead, patience=0.1)
    assert (found.moved, found.refusal, found.paths) == (False, Refusal.LOCKED, (str(lock),))
    assert state(repo) == before
