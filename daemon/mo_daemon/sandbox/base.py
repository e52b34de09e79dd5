"""What a program sees of the machine before anything of the repository comes in: one function a profile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mo_daemon.sandbox import hidden
from mo_daemon.sandbox.mounts import Mounts, contains, exists, is_dir, real
from mo_daemon.sandbox.words import Places, Policy


def standard(mounts: Mounts, places: Places, policy: Policy, env: Mapping[str, str]) -> None:
    """The whole file system, read-only, without secrets, run-time state and temporary files."""
    mounts.read(Path("/"))
    _kernel(mounts, policy)
    _temporary(mounts, policy)
    mounts.empty(real("/run"))
    if (runtime := env.get("XDG_RUNTIME_DIR")) and mounts.shows(real(runtime)):
        mounts.hide(real(runtime))
    for name in hidden.SYSTEM_FILES:
        _bring(mounts, real(name))
    for link in map(Path, hidden.SYSTEM_LINKS):
        if link.is_symlink():
            mounts.link(link, os.readlink(link))
    for name in hidden.SYSTEM:
        if os.access(name, os.R_OK, effective_ids=True):
            mounts.hide(real(name))
    for home in _homes(places):
        _home(mounts, home, places.main_top)


def strict(mounts: Mounts, places: Places, policy: Policy) -> None:
    """System directories only."""
    mounts.bare()
    for name in hidden.STRICT_DIRECTORIES:
        if Path(name).is_symlink():
            mounts.link(Path(name), os.readlink(name))
        elif is_dir(Path(name)):
            mounts.read(Path(name))
    for name in hidden.STRICT_FILES:
        if exists(Path(name)):
            mounts.read(Path(name), real(name))
    _kernel(mounts, policy)
    _temporary(mounts, policy)
    for home in map(real, places.homes):
        if not mounts.hides(home) and is_dir(home):  # below /tmp
            mounts.empty(home)


def _kernel(mounts: Mounts, policy: Policy) -> None:
    """/proc and /dev of their own.

    bwrap leaves /proc/sys writable for root, where the core pattern names a program that the kernel runs
    outside of every sandbox.
    """
    mounts.raw("--proc", "/proc")
    if os.geteuid() == 0:
        mounts.raw("--remount-ro", "/proc")
    mounts.raw("--dev", "/dev")
    mounts.scratch(Path("/dev/shm"), policy.tmp_mb)
    mounts.raw("--remount-ro", "/dev")


def _temporary(mounts: Mounts, policy: Policy) -> None:
    for name in ("/tmp", "/var/tmp"):
        mounts.scratch(real(name), policy.tmp_mb)


def _bring(mounts: Mounts, path: Path) -> None:
    """Show something of the machine that is hidden so far."""
    if exists(path) and not mounts.shows(path):
        mounts.read(path)


def _homes(places: Places) -> list[Path]:
    """The user's homes; for root, who can read them, those of other people too."""
    found = [real(home) for home in places.homes]
    if os.geteuid() == 0:
        found += [real(path) for path in _children(Path("/home"), is_dir)]
    return [home for home in dict.fromkeys(found) if is_dir(home)]


def _home(mounts: Mounts, home: Path, main_top: Path) -> None:
    """Hide a home, then show its ordinary directories and the places of tool chains."""
    if mounts.hides(home):
        return
    if str(home) in hidden.TOO_LARGE:
        for name in hidden.BY_NAME:
            mounts.hide(real(home / name))
        return
    mounts.empty(home)
    if home != main_top:
        for entry in _children(home, is_dir):
            if entry.name.startswith(".") or entry.name in hidden.SECRETS:
                continue
            if entry.is_symlink():
                mounts.link(entry, os.readlink(entry))
            else:
                mounts.read(entry)
    for name in hidden.TOOLS:
        _tool(mounts, home, home / name)
    for name in hidden.SECRETS:
        mounts.hide(real(home / name))
    for name in hidden.LINKS:
        _tool(mounts, home, home / name)


def _tool(mounts: Mounts, home: Path, path: Path) -> None:
    if path.is_symlink() and path.parent == home:
        mounts.link(path, os.readlink(path))
    elif is_dir(path) and contains(home, real(path)):
        _bring(mounts, real(path))


def _children(directory: Path, wanted: Callable[[Path], bool]) -> Iterator[Path]:
    try:
        entries = sorted(directory.iterdir())
    except OSError:
        return
    yield from (entry for entry in entries if wanted(entry))
