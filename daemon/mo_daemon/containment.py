"""The sandbox as the engine uses it: one per daemon, a cell per attempt.

Agents of mode `restricted`, and the checks of what they wrote, run in a cell where the platform can enforce
one.  What a person wrote (command tasks) runs as the person's own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mo_daemon import sandbox
from mo_daemon.fingerprint import first_words, words
from mo_daemon.sandbox import Places, Policy, Profile, Purpose, Room, Sandbox, Tier, View, toolchains
from mo_git import logins
from mo_git.config import Config
from mo_git.git.repo import Repo
from mo_git.git.worktrees import admin_of
from mo_git.home import Home

_preparing = threading.Lock()  # attempts share a cache, and start at the same time in several threads


@dataclass(frozen=True, slots=True)
class Cell:
    """What is around the programs of one attempt."""

    sandbox: Sandbox
    worktree: Path
    home: Path
    cache: Path
    view: View
    state_dir: Path | None
    frozen: bool

    def enclose(
        self, argv: Sequence[str], env: Mapping[str, str], purpose: Purpose
    ) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """The command line and environment that start the program inside.  Blocks: call it in a thread."""
        places = self.sandbox.places
        kept = (places.main_top, places.common_dir, *places.states, *places.homes)
        roots = (_root_of(Path(word)) for word in _programs(argv))
        # A root that holds something hidden would uncover it.
        read = [root for root in roots if root and not any(one.is_relative_to(root) for one in kept)]
        writable = [self.state_dir] if self.state_dir and purpose is Purpose.AGENT else []
        room = Room(self.worktree, self.home, self.cache, self.view, (self.worktree,) if self.frozen else ())
        wrapped = self.sandbox.wrap(argv, purpose=purpose, room=room, env=env, writable=writable, read=read)
        return wrapped.argv, wrapped.env


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

    def cell(
        self,
        repo: Repo,
        name: str,
        worktree: Path,
        refs: Mapping[str, str],
        state_dir: Path | None,
        *,
        writes: bool = True,
    ) -> Cell:
        """Make the cell of one attempt.  `name` keeps its private home; blocks: call it in a thread."""
        user = Path(self.environ.get("HOME", "/nonexistent"))
        places = Places(
            self.home.top,
            self.home.common_dir,
            (self.state.parent, self.state, logins.root(self.environ)),
            (user,),
            toolchains.of_checkout(self.home.top),
        )
        room = self.state / "cells" / name
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
            self.state / "cells" / "cache",
            view,
            state_dir,
            not writes,
        )
        with _preparing:
            sandbox.prepare(Room(worktree, cell.home, cell.cache, view), places.homes, self.environ)
        return cell


def contain(home: Home, state: Path, settings: Config, environ: Mapping[str, str]) -> Containment:
    """Probe the machine; MoError where the settings require what it cannot give."""
    wanted = settings.sandbox
    policy = Policy(
        wanted.mode,
        Profile(wanted.profile),
        wanted.network == "open",
        wanted.hide,
        wanted.read,
        (),
        wanted.tmp_mb,
    )
    tier = sandbox.in_force(policy, sandbox.probe(environ))
    return Containment(tier, policy, home, state, environ)
