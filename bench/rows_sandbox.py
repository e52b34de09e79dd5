"""What it costs to run a gate's program in the sandbox."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

from bench.measure import Context, Row, alternate, timed
from bench.world import world
from mo_daemon import sandbox
from mo_daemon.containment import GATES, Containment
from mo_daemon.sandbox import Policy, Purpose
from mo_git.git import worktrees
from mo_git.git.repo import Repo
from mo_git.home import Home

RUNS = 10


def cell(context: Context) -> Iterator[Row]:
    """A program that does nothing, in a new cell against without one; no row where nothing contains it."""
    tier = sandbox.probe(os.environ)
    if not tier.contained:
        return
    with world() as here:
        top = here.repository()
        repo, home = Repo(top / ".git", top=top), Home(top, top / ".git")
        path = here.place / "state/repo/gates/1"
        path.parent.mkdir(parents=True)
        head = here.run("git", "rev-parse", "HEAD", cwd=top)
        worktrees.birth(repo, "mo-gate-1", path, branch=None, commit=head)
        contained = Containment(tier, Policy(), home, here.place / "state/repo", here.environ, gates=True)

        def inside() -> None:
            made = contained.cell(repo, ".gates/1", path, {}, None, goal="g", cache=GATES, fresh=True)
            argv, env = made.enclose(("true",), here.environ, Purpose.GATE)
            subprocess.run(argv, env=env, check=True)

        def outside() -> None:
            subprocess.run(("true",), env=here.environ, check=True)

        ways = {
            "inside": lambda: timed(lambda: [inside() for _ in range(RUNS)]) / RUNS,
            "outside": lambda: timed(lambda: [outside() for _ in range(RUNS)]) / RUNS,
        }
        found = alternate(context.rounds, ways)
    yield Row(
        "program in a new cell",
        found["inside"] * 1000,
        "ms",
        found["outside"] * 1000,
        "without a cell",
        ("value", "<=", 50.0),
        "home emptied, view of the repository made, bwrap",
    )
