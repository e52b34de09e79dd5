"""Worktrees and merges on generated repositories, by mo's own edges and by git."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Context, Row, alternate, timed
from bench.world import World, world
from mo_daemon.worktrees import Pool, Slot
from mo_git.git.merge import Merger
from mo_git.git.repo import Repo

CHANGED = 200  # files that differ between the commit a slot was at and the one it is wanted at
UNTRACKED = 50  # files that the last task left in it
MERGES = 10


def worktree(context: Context) -> Iterator[Row]:
    """A recycled worktree against `git worktree add` of the same commit."""
    for files in (5000,) if context.quick else (5000, 30000):
        with world() as here, _environment(here):
            found = _worktrees(context, here, here.repository(files=files, changed=CHANGED))
        yield Row(
            f"worktree of {files} files, recycled",
            found["recycled"] * 1000,
            "ms",
            found["added"] * 1000,
            "git worktree add",
            ("ratio", ">=", 5),
            f"{CHANGED} files differ, {UNTRACKED} untracked; made anew by mo: {found['born'] * 1000:.0f} ms",
        )


def _worktrees(context: Context, here: World, top: Path) -> dict[str, float]:
    repo = Repo(top / ".git")
    pool = Pool(repo, here.place / "slots" / "tasks")
    commits = itertools.cycle([here.run("git", "rev-parse", rev, cwd=top) for rev in ("HEAD", "HEAD~1")])
    numbers = itertools.count()

    def made(slot: Slot) -> float:
        """The seconds it takes to bring a slot to the next commit, on a branch that is there already."""
        branch, commit = f"work-{next(numbers)}", next(commits)
        here.run("git", "branch", branch, commit, cwd=top)
        return timed(lambda: pool.point(slot, branch=branch, commit=commit))

    kept = pool.take("kept")
    made(kept)

    def recycled() -> float:
        for number in range(UNTRACKED):
            (kept.path / f"left-{number}").write_text("x\n")
        return made(kept)

    def added() -> float:
        path = here.place / f"added-{next(numbers)}"
        took = timed(lambda: here.run("git", "worktree", "add", "-q", "-b", path.name, str(path), cwd=top))
        here.run("git", "worktree", "remove", "--force", str(path), cwd=top)
        return took

    def born() -> float:
        other = pool.take("other")
        took = made(other)
        pool.remove(other)
        pool.give_back(other)
        return took

    return alternate(context.rounds, {"recycled": recycled, "added": added, "born": born})


def merge(context: Context) -> Iterator[Row]:
    """One branch into the integration head: in memory against `git merge` in a checkout."""
    with world() as here, _environment(here):
        top = here.repository(files=5000)
        main = here.run("git", "rev-parse", "HEAD", cwd=top)
        branches = [_branch(here, top, number) for number in range(MERGES)]
        repo = Repo(top / ".git")
        merger = Merger(repo, here.place / "merge")

        def in_memory() -> float:
            def all_of_them() -> None:
                head = main
                for number, branch in enumerate(branches):
                    tree = merger.merge(head, branch).tree
                    assert tree
                    head = repo.commit_tree(tree, [head, branch], f"land {number}\n", when=1)

            return timed(all_of_them) / MERGES

        def in_checkout() -> float:
            here.run("git", "reset", "-q", "--hard", main, cwd=top)
            words = "set -e\n" + "".join(f"git merge -q --no-ff -m land {branch}\n" for branch in branches)
            return timed(lambda: here.run("sh", "-c", words, cwd=top)) / MERGES

        found = alternate(context.rounds, {"mo": in_memory, "git": in_checkout})
    note = f"{MERGES} branches in a row, 5000 files"
    yield Row(
        "merge of one branch",
        found["mo"] * 1000,
        "ms",
        found["git"] * 1000,
        "git merge",
        ("value", "<=", 5.0),
        note,
    )


def _branch(here: World, top: Path, number: int) -> str:
    here.run("git", "checkout", "-q", "--detach", "main", cwd=top)
    (top / "data" / "000" / f"file-{number * 5:05d}.txt").write_text(f"branch {number}\n")
    (top / "out" / f"b{number}").write_text("new\n")
    commit = here.commit(top, f"branch {number}")
    here.run("git", "checkout", "-q", "main", cwd=top)
    return commit


class _environment:
    """This process's environment is the world's while mo's own code runs here."""

    def __init__(self, here: World) -> None:
        self._here = here

    def __enter__(self) -> None:
        self._before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self._here.environ)

    def __exit__(self, *_: object) -> None:
        os.environ.clear()
        os.environ.update(self._before)
