"""What `mo land`, `mo sync` and `mo rollback` do to real branches and checkouts, and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mo_git.lifecycle import has_ended
from tests.driver import Mo, plan
from tests.support import RepoBuilder

QUICK = {"gate": {"command": "test ! -e red", "proof": "off"}}
UNITTEST = {"gate": {"command": f"{sys.executable} -m unittest -q", "proof": "off"}}


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def run(mo: Mo, tasks: Sequence[Mapping[str, Any]], *args: str, code: int = 0, **top: Any) -> str:
    """Follow a goal of these tasks to its end; its id."""
    file = mo.repo.path.parent / "plan.json"
    file.write_text(plan(tasks, **top))
    mo("do", f"@{file}", *args, code=code)
    return mo.goal().id


def finish(mo: Mo, goal: str) -> None:
    mo.wait_for(lambda: has_ended(mo.goal(goal)) and not mo.goal(goal).pending_operations())


def checkout(repo: RepoBuilder) -> dict[str, Any]:
    """All that a person has in a checkout: branch, index, files, stashes."""
    files = (path for path in repo.path.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {
        "head": repo.git("symbolic-ref", "-q", "HEAD", check=False) or repo.head(),
        "commit": repo.head(),
        "index": repo.git("ls-files", "-s"),
        "files": {str(path.relative_to(repo.path)): path.read_bytes() for path in files if ".mo" not in path.parts},
        "stash": repo.git("stash", "list"),
    }


def refusal(mo: Mo, *args: str, code: int) -> dict[str, Any]:
    """The error document of a command that must change nothing in the checkout, and no branch."""
    before = checkout(mo.repo), mo.repo.git("for-each-ref", "refs/heads")
    done = mo("--json", *args, code=code)
    import json

    assert (checkout(mo.repo), mo.repo.git("for-each-ref", "refs/heads")) == before
    error: dict[str, Any] = json.loads(done.err)["error"]
    return error


def green(mo: Mo, commit: str) -> bool:
    """Whether the tests pass in a fresh clone at a commit."""
    clone = mo.repo.path.parent / f"clone-{commit[:12]}"
    mo.repo.git("clone", "-q", "--no-checkout", str(mo.repo.path), str(clone))
    RepoBuilder(clone).git("fetch", "-q", "origin", "refs/heads/mo/*:refs/heads/mo/*")
    RepoBuilder(clone).git("checkout", "-q", "--detach", commit)
    done = subprocess.run([sys.executable, "-m", "unittest", "-q"], cwd=clone, capture_output=True, check=False)
    return done.returncode == 0


# -- over uncommitted work ----------------------------------------------------------------------------


def test_land_moves_the_checkout_only_where_nothing_is_in_the_way(mo: Mo) -> None:
    repo = mo.repo
    repo.commit({"a.txt": "one\n", "b.txt": "one\n", ".gitignore": "new.log\n"})
    mo.configure(**QUICK)
    start = repo.head()
    goal = run(mo, [{"id": "t", "run": sh("echo two > a.txt; mkdir d; echo n > d/new.txt; git add -f new.log 2>/dev/null; true")}])
    integration = mo.goal().integration
    assert repo.head() == start

    repo.write({"a.txt": "mine\n", "b.txt": "mine\n"})
    error = refusal(mo, "land", goal, code=1)
    assert "a.txt" in error["message"]
    assert "b.txt" not in error["message"]
    assert "stash" in error["hint"]

    repo.git("add", "a.txt")
    assert "a.txt" in refusal(mo, "land", goal, code=1)["message"]
    repo.git("reset", "-q", "--", "a.txt")
    repo.git("checkout", "-q", "--", "a.txt")

    repo.write({"d/new.txt": "an untracked file of mine\n"})
    error = refusal(mo, "land", goal, code=1)
    assert "untracked" in error["message"]
    assert "d/new.txt" in error["message"]
    (repo.path / ".git" / "info" / "exclude").write_text("d/\n.mo/\n")
    assert "d/new.txt" in refusal(mo, "land", goal, code=1)["message"], "ignored files are not overwritten"
    (repo.path / "d/new.txt").unlink()

    repo.write({"other.txt": "untracked\n"})
    done = mo("land", goal)
    assert "1 of 1 tasks" in done.out
    assert repo.head("main") == repo.head() == integration
    assert (repo.path / "a.txt").read_text() == "two\n"
    assert (repo.path / "d/new.txt").read_text() == "n\n"
    assert repo.git("status", "--porcelain") == " M b.txt\n?? other.txt"
    assert "contains" in mo("land", goal).out
    assert repo.head("main") == integration
