"""Worktrees and merges on generated repositories, by mo's own edges and by git."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from bench.measure import Context, Row, alternate, timed
from bench.world import World, world
from mo_daemon.forecast import Source
from mo_daemon.foresight import Foresight
from mo_daemon.worktrees import Pool, Slot
from mo_git.git.merge import Merger
from mo_git.git.repo import Repo

CHANGED = 200  # files that differ between the commit a slot was at and the one it is wanted at
UNTRACKED = 50  # files that the last task left in it
MERGES = 10
TRAIN = 150  # branches
PAIRS = 60  # merges by which that of all pairs is estimated


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
        merger.merge(main, branches[0])

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

        with closing(merger):
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


def train(context: Context) -> Iterator[Row]:
    """Merges in memory one after the other, asked of a git that keeps running and of a process each."""
    length = 30 if context.quick else TRAIN
    with world() as here, _environment(here):
        top, base, branches = _branches(here, length, hot=0)
        copies = itertools.count()

        def built(**environ: str) -> float:
            """The seconds of a chain of merges, in a repository that has none of its objects yet."""
            copy = shutil.copytree(top, here.place / f"copy-{next(copies)}")
            repo = Repo(copy / ".git")
            with _variables(environ), closing(Merger(repo, copy / "merge")) as merger:
                merger.merge(base, base)

                def chain() -> None:
                    head = base
                    for branch in branches:
                        tree = merger.merge(head, branch).tree
                        assert tree
                        head = repo.commit_tree(tree, [head, branch], "land\n", when=1, settled=False)

                return timed(chain)

        ways = {"stream": built, "processes": lambda: built(PATH=_without_stdbuf(here))}
        found = alternate(context.rounds, ways)
    yield Row(
        "merge of one branch, in a train",
        found["stream"] * 1000 / length,
        "ms",
        found["processes"] * 1000 / length,
        "a process each",
        ("value", "<=", 5.0),
        "5000 files, commit included",
    )
    yield Row(
        f"train of {length} branches",
        found["stream"],
        "s",
        found["processes"],
        "a process each",
        ("value", "<=", 0.6),
        "commits included",
    )


def forecast(context: Context) -> Iterator[Row]:
    """Which of many branches will conflict, against a merge of every pair (a part of it, extrapolated)."""
    with world() as here, _environment(here):
        top, base, branches = _branches(here, TRAIN + 1, hot=220)
        repo = Repo(top / ".git")
        sources = [Source(f"g/{number}", base, branch) for number, branch in enumerate(branches)]
        took: dict[str, list[float]] = {"all": [], "new": [], "pair": []}
        for _ in range(context.rounds):
            with closing(Foresight(repo, here.place / "forecast")) as foresight:
                took["all"].append(timed(lambda: foresight.compare(sources[:-1], seconds=600)))
                took["new"].append(timed(lambda: foresight.compare(sources, seconds=600)))
                coming = len(foresight.coming)
            with closing(Merger(repo, here.place / "merge")) as merger:
                merger.merge(base, base)
                for one, other in zip(branches[:PAIRS], branches[PAIRS:]):
                    took["pair"].append(timed(lambda one=one, other=other: merger.merge(one, other)))
    found = {name: statistics.median(times) for name, times in took.items()}
    yield Row(
        f"forecast of {TRAIN} branches",
        found["all"],
        "s",
        found["pair"] * TRAIN * (TRAIN - 1) / 2,
        "merges of all pairs",
        ("value", "<=", 0.4),
        f"5000 files, 6 changed by each, {coming} conflicts; baseline extrapolated from {PAIRS} merges",
    )
    yield Row(
        "forecast of one branch more",
        found["new"] * 1000,
        "ms",
        found["pair"] * TRAIN * 1000,
        "merges with all others",
        ("value", "<=", 20.0),
    )


def _branches(here: World, branches: int, *, hot: int) -> tuple[Path, str, list[str]]:
    """5000 files, and branches that change 5 lines in 6 of them: root, base commit, tips.

    With `hot` half of the files are of so many that everybody changes: of 220, about one pair of branches in
    24 meets in a file, and one in 100 in its lines.  Else no two branches meet.
    """
    top = here.place / "branches"
    top.mkdir()
    here.run("git", "init", "-q", "-b", "main", cwd=top)
    draw = random.Random(1)
    lines = {name: [f"{name} {n}" for n in range(60)] for name in (_hot_name(n) for n in range(5000))}
    out = [_commit("main", "", lines)]
    for number in range(branches):
        chosen = (
            [*draw.sample(range(hot), 3), *draw.sample(range(5000), 3)] if hot else range(number, 906, 151)
        )
        changed = {}
        for name in map(_hot_name, chosen):
            at = draw.randrange(55)
            edited = [f"{number} {n}" for n in range(5)]
            changed[name] = [*lines[name][:at], *edited, *lines[name][at + 5 :]]
        out.append(_commit(f"b{number}", "main", changed))
    here.run("git", "fast-import", "--quiet", cwd=top, stdin="".join(out))
    tips = here.run("git", "rev-parse", "main", *(f"b{number}" for number in range(branches)), cwd=top)
    base, *others = tips.split()
    return top, base, others


def _hot_name(number: int) -> str:
    return f"data/{number // 100:03d}/{number:05d}.txt"


def _commit(branch: str, parent: str, files: Mapping[str, Sequence[str]]) -> str:
    """A commit in the language of git-fast-import(1); all is ASCII, so characters are bytes."""
    who = "committer A Person <person@example.org> 1700000000 +0000"
    told = [f"commit refs/heads/{branch}\n{who}\ndata 0\n", f"from refs/heads/{parent}\n" if parent else ""]
    for name, text in files.items():
        content = "\n".join(text) + "\n"
        told.append(f"M 100644 inline {name}\ndata {len(content)}\n{content}\n")
    return "".join(told)


def _without_stdbuf(here: World) -> str:
    """A PATH with git alone: then mo starts one for each merge."""
    place = here.place / "bin"
    place.mkdir(exist_ok=True)
    if not (place / "git").exists():
        (place / "git").symlink_to(str(shutil.which("git")))
    return str(place)


@contextmanager
def _variables(environ: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


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
