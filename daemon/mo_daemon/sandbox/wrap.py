"""The command line that runs a program in the sandbox: made from what is on the disk, nothing is changed.

A program sees the machine of its profile, its own worktree, home and cache, and a read-only view of the
repository.  It has process, IPC, host name and cgroup namespaces of its own and no capabilities, and it
ends with the process that started it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mo_daemon.sandbox import base, toolchains
from mo_daemon.sandbox.mounts import Mounts, contains, exists, is_dir, real
from mo_daemon.sandbox.rooms import environment
from mo_daemon.sandbox.sockets import listening
from mo_daemon.sandbox.words import Places, Policy, Profile, Purpose, Room, Tier, View, Wrapped
from mo_git.errors import Exit, MoError

_NAMESPACES = ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
_LFS_MB = 64
_ENDING = ("--die-with-parent", "--new-session", "--cap-drop", "ALL")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Wraps programs of one repository.  `tier` has to be one that contains."""

    tier: Tier
    places: Places
    policy: Policy

    def wrap(
        self,
        argv: Sequence[str],
        *,
        purpose: Purpose,
        room: Room,
        env: Mapping[str, str],
        writable: Sequence[Path] = (),
        read: Sequence[Path] = (),
    ) -> Wrapped:
        """The program in its sandbox; `env` is its whole environment before the sandbox's own variables.

        `writable` and `read` are shown besides what the settings name.  Raises MoError where a directory
        to write to, or one that the settings show, would open up the repository or mo's own state.
        """
        inner = environment(env, room, self.places.homes)
        mounts = Mounts(self.tier.options)
        if self.policy.profile is Profile.STANDARD:
            base.standard(mounts, self.places, self.policy, env)
        else:
            base.strict(mounts, self.places, self.policy)
        self._hide_repository(mounts)
        if self.policy.profile is Profile.STANDARD:
            self._show_tools(mounts, argv, inner, room)
        for path in listening():
            mounts.hide(path)
        for path in _named(self.policy.read):
            self._refuse_open(path, "readable")
        for path in (*read, *_named(self.policy.read)):
            _read(mounts, path)
        for path in _named(self.policy.hide):
            mounts.hide(real(path))
        if room.view is not None:
            _repository(mounts, room.view)
        named = () if purpose is Purpose.AGENT else _named(self.policy.writable)
        self._open(mounts, room, (*writable, *named))
        arguments = (*self._options(), *mounts.sealed(), "--chdir", str(real(room.worktree)), "--", *argv)
        return Wrapped((str(self.tier.bwrap), *arguments), inner)

    def _options(self) -> tuple[str, ...]:
        deep = ("--disable-userns",) if "--disable-userns" in self.tier.options else ()
        network = () if self.policy.network else ("--unshare-net",)
        return (*_NAMESPACES, *deep, *network, *_ENDING)

    def _hide_repository(self, mounts: Mounts) -> None:
        """The main checkout, the git directory and mo's state; tool chains of the checkout come back."""
        main = real(self.places.main_top)
        holds_home = any(contains(main, real(home)) for home in self.places.homes)
        tops = [main / ".mo"] if holds_home or main == Path("/") else [main]
        for path in (*tops, *map(real, self.places.states)):
            if is_dir(path) and not mounts.hides(path):
                mounts.empty(path)
        outermost = _git_directory(real(self.places.common_dir))
        if not mounts.hides(outermost):
            mounts.empty(outermost)

    def _closed(self) -> tuple[Path, ...]:
        return (self.places.main_top, self.places.common_dir, *self.places.states)

    def _show_tools(self, mounts: Mounts, argv: Sequence[str], env: Mapping[str, str], room: Room) -> None:
        found = toolchains.roots(
            argv,
            env,
            closed=self._closed(),
            homes=self.places.homes,
            untrusted=(room.worktree, room.home, room.cache),
        )
        for path in (*self.places.toolchains, *found):
            if is_dir(path) and not mounts.shows(real(path)):
                mounts.read(real(path))
        for path in map(Path, env.get("PATH", "").split(os.pathsep)):
            if path.is_absolute() and mounts.shows(real(path)):
                _read(mounts, path)

    def _refuse_open(self, path: Path, how: str) -> None:
        """MoError for a directory that holds what the sandbox hides."""
        if bad := next((kept for kept in self._closed() if contains(real(path), real(kept))), None):
            raise MoError(
                f"a sandbox in which {path} is {how} would leave {bad} unprotected",
                "name a smaller directory",
                Exit.CONFIG,
            )

    def _open(self, mounts: Mounts, room: Room, writable: Sequence[Path]) -> None:
        for path in writable:
            self._refuse_open(path, "writable")
        for path in (*writable, room.cache, room.home, room.worktree):
            if exists(path):
                mounts.write(real(path))
        for path in (room.worktree / ".git", *room.frozen):
            place = real(path.parent) / path.name
            if os.path.lexists(place) and contains(real(room.worktree), place):
                mounts.read(place)


def _named(names: Iterable[str]) -> tuple[Path, ...]:
    return tuple(Path(name).expanduser() for name in names)


def _git_directory(common_dir: Path) -> Path:
    """The git directory that holds a submodule's, or the directory itself."""
    return next((path for path in reversed(common_dir.parents) if path.name == ".git"), common_dir)


def _repository(mounts: Mounts, view: View) -> None:
    """The view in place of the git directory; in it the real objects and the worktree's own records."""
    mounts.read(view.common_dir, view.path)
    for path in (view.common_dir / "objects", view.admin):
        mounts.read(path)
    for path, shown in view.covers:
        mounts.read(path, shown)
    if is_dir(view.path / "lfs"):
        mounts.scratch(view.common_dir / "lfs", _LFS_MB)
    for path in view.objects:
        if is_dir(path) and not mounts.shows(path):
            mounts.read(path)


def _read(mounts: Mounts, path: Path) -> None:
    """Show a path, also under the name by which it was given."""
    target = real(path)
    if exists(target) and not mounts.shows(target):
        mounts.read(target)
    if exists(target) and not mounts.shows(path):
        mounts.read(path, target)
