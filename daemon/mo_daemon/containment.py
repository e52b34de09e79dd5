"""The sandbox as the engine uses it: one per daemon, a cell for each attempt, gate and set-up.

Agents of mode `restricted`, and what runs code that agents wrote (checks, gates, set-up), run in a cell
where the platform can enforce one.  What a person wrote (command tasks) runs as the person's own.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mo_daemon import sandbox
from mo_daemon.fingerprint import first_words, words
from mo_daemon.sandbox import (
    Places,
    Policy,
    Profile,
    Purpose,
    Room,
    Sandbox,
    Tier,
    View,
    inner_group,
    toolchains,
)
from mo_daemon.sandbox_remedy import sandbox_remedy
from mo_daemon.threads import in_thread
from mo_git import logins, process
from mo_git.config import Config
from mo_git.git.files import delete_tree
from mo_git.git.repo import Repo
from mo_git.git.worktrees import admin_of
from mo_git.home import Home

# Caches of tools.  Agents write to that of tasks, so nothing that a gate reads may come from there.
TASKS, GATES = "cache", "cache-of-gates"

# Settings that do without a cell.
GATE_AS_YOU, SETUP_AS_YOU = "gate.sandbox", "workspace.setup_sandbox"

_GOALS = 16  # whose tool chains are remembered
_preparing = threading.Lock()  # attempts share a cache, and start at the same time in several threads


@dataclass(frozen=True, slots=True)
class Cell:
    """What is around the programs of one attempt, gate or set-up."""

    sandbox: Sandbox
    worktree: Path
    home: Path
    cache: Path
    view: View
    state_dir: Path | None
    frozen: bool

    def enclose(
        self, argv: Sequence[str], env: Mapping[str, str], purpose: Purpose, own: Sequence[Path] = ()
    ) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """The command line and environment that start the program inside; `own` are directories of this run.

        Blocks: call it in a thread.  OSError where there is no such program, as without a cell.
        """
        _find(argv[0], env, self.worktree)
        places = self.sandbox.places
        kept = (places.main_top, places.common_dir, *places.states, *places.homes)
        roots = (_root_of(Path(word)) for word in _programs(argv))
        # A root that holds something hidden would uncover it.
        read = [root for root in roots if root and not any(one.is_relative_to(root) for one in kept)]
        writable = [*own, *([self.state_dir] if self.state_dir and purpose is Purpose.AGENT else [])]
        room = Room(self.worktree, self.home, self.cache, self.view, (self.worktree,) if self.frozen else ())
        wrapped = self.sandbox.wrap(argv, purpose=purpose, room=room, env=env, writable=writable, read=read)
        return wrapped.argv, wrapped.env


def _find(program: str, env: Mapping[str, str], worktree: Path) -> None:
    """OSError, as execvp(3) says it, where a program is not there or may not be run."""
    place = shutil.which(program, path=env.get("PATH")) if os.sep not in program else worktree / program
    number = errno.ENOENT if place is None or not Path(place).exists() else errno.EACCES
    if place is None or not os.access(place, os.X_OK):
        raise OSError(number, os.strerror(number), program)


@dataclass(frozen=True, slots=True)
class Confinement:
    """How the programs of one run are confined: `rules` say by what, `cell` makes the cell and blocks.

    Programs whose rules are equal, and whose input is, come to the same results.
    """

    rules: str
    cell: Callable[[], Cell]


async def start(
    cell: Cell | None,
    purpose: Purpose,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    own: Sequence[Path] = (),
    **how: Any,
) -> process.Child:
    """`process.start`, inside the cell where there is one; `own` are directories of this run."""
    if cell is None:
        return process.start(argv, env=env, **how)
    wrapped, inside = await in_thread(cell.enclose, argv, env, purpose, own)
    return process.start(wrapped, env=inside, inner=inner_group, **how)


def _programs(argv: Sequence[str]) -> list[str]:
    """The programs that a command line names first, also inside `sh -c TEXT`."""
    if tuple(argv[:2]) == ("sh", "-c"):
        return first_words(words(argv[2]))
    return [argv[0]]


def _root_of(program: Path) -> Path | None:
    """The directory that a program named by its place needs beside it: `bin` has siblings."""
    if not program.is_absolute() or not os.access(program, os.X_OK) or program.is_dir():
        return None
    directory = program.parent
    return directory.parent if directory.name == "bin" else directory.resolve()


@dataclass(frozen=True, slots=True)
class Containment:
    """What this machine and the settings allow; `tier.contained` False: the guard tier."""

    tier: Tier
    policy: Policy
    home: Home
    state: Path
    environ: Mapping[str, str]
    gates: bool = False  # gates and checks run in cells
    setup: bool = False  # set-up does
    _toolchains: dict[str, tuple[Path, ...]] = field(default_factory=dict)

    @property
    def rules(self) -> str:
        """What confines a cell here, as text."""
        policy = self.policy
        lists = [sorted(paths) for paths in (policy.hide, policy.read, policy.writable)]
        return json.dumps([self.tier.name, policy.profile, policy.network, policy.tmp_mb, *lists])

    def remedy(self, output: str, as_you: str) -> str:
        """What to set, where the output of a program says that the sandbox was in its way."""
        closed = (self.home.top, self.home.common_dir, self.state)
        return sandbox_remedy(output, as_you, closed, network=self.policy.network)

    @property
    def all_rules(self) -> str:
        """What confines gates and their set-up, as text: it belongs to every verdict."""
        return f"gates {self.rules if self.gates else 'free'} setup {self.rules if self.setup else 'free'}"

    def cell(
        self,
        repo: Repo,
        name: str,
        worktree: Path,
        refs: Mapping[str, str],
        state_dir: Path | None,
        *,
        writes: bool = True,
        goal: str = "",
        cache: str = TASKS,
        fresh: bool = False,
    ) -> Cell:
        """Make the cell of one attempt, gate or set-up.  Blocks: call it in a thread.

        `name` keeps its private home, unless it is to be `fresh`; it begins with the goal, where `goal` does
        not say it.
        """
        user = Path(self.environ.get("HOME", "/nonexistent"))
        places = Places(
            self.home.top,
            self.home.common_dir,
            (self.state.parent, self.state, logins.root(self.environ)),
            (user,),
            self._toolchains_of(goal or name.partition("/")[0]),
        )
        room = self.state / "cells" / name
        if fresh:
            delete_tree(room / "home")
        view = sandbox.make_view(
            self.home.common_dir,
            room / "view",
            admin=admin_of(repo, worktree).name,
            refs=refs,
        )
        cell = Cell(
            Sandbox(self.tier, places, self.policy),
            worktree,
            room / "home",
            self.state / "cells" / cache,
            view,
            state_dir,
            not writes,
        )
        with _preparing:
            sandbox.prepare(Room(worktree, cell.home, cell.cache, view), places.homes, self.environ)
        return cell

    def forget(self, goal: str) -> None:
        """Look for tool chains again: a person may have installed something since."""
        self._toolchains.pop(goal, None)

    def _toolchains_of(self, goal: str) -> tuple[Path, ...]:
        """Those of the main checkout, looked for once in each goal."""
        with _preparing:
            if goal not in self._toolchains:
                if len(self._toolchains) >= _GOALS:
                    self._toolchains.clear()
                self._toolchains[goal] = toolchains.of_checkout(self.home.top)
            return self._toolchains[goal]


def contain(home: Home, state: Path, settings: Config, environ: Mapping[str, str]) -> Containment:
    """Probe the machine; MoError where the settings require what it cannot give."""
    wanted = settings.sandbox
    policy = Policy(
        wanted.mode,
        Profile(wanted.profile),
        wanted.network == "open",
        wanted.hide,
        wanted.read,
        settings.gate.writable,
        wanted.tmp_mb,
    )
    tier = sandbox.in_force(policy, sandbox.probe(environ))
    gates = tier.contained and settings.gate.sandbox
    setup = tier.contained and settings.workspace.setup_sandbox
    return Containment(tier, policy, home, state, environ, gates, setup)
