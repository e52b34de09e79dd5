"""What surrounds a gate and can change its verdict without a change of its tree or its command."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from mo_daemon import include
from mo_daemon.fingerprint import words
from mo_git.git.binary import Git
from mo_git.model import Command

_INSTALLED = (".dist-info", ".egg-info", ".egg-link", ".pth")


def state(command: Command, env: Mapping[str, str], main_top: Path) -> str:
    """64 hex digits that change when something is installed or removed, or an included file changes.

    Looked at are the virtual environments that PATH or the command names, and the files of the main
    checkout that `.worktreeinclude` takes along.
    """
    digest = hashlib.sha256()
    for path in sorted(_installed(command, env)):
        digest.update(f"{path}\0{_modified(path)}\0".encode("utf-8", "surrogateescape"))
    for entry in include.included(main_top):
        path = main_top / entry.rstrip("/")
        digest.update(f"{entry}\0{_modified(path)}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _installed(command: Command, env: Mapping[str, str]) -> Iterator[Path]:
    """What pip writes for each package that it installs, in every environment that is in use."""
    directories = {Path(entry) for entry in env.get("PATH", "").split(os.pathsep)}
    directories |= {Path(word).parent for word in words(command) if word.startswith("/")}
    for home in {directory.parent for directory in directories}:
        if (home / "pyvenv.cfg").is_file():
            for site in home.glob("lib/python*/site-packages"):
                yield from (entry for entry in site.iterdir() if entry.suffix in _INSTALLED)


def _modified(path: Path) -> str:
    try:
        status = path.lstat()
    except OSError:
        return ""
    return f"{status.st_mtime_ns} {status.st_size}"


@lru_cache(maxsize=64)
def layout(common_dir: Path, commit: str) -> str:
    """How a project is laid out: 64 hex digits for the names of the directories at its root."""
    return hashlib.sha256(Git(common_dir)("ls-tree", "-d", "-z", "--name-only", commit).out).hexdigest()
