"""Programs run by another user of the machine, where the tests are root's."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from tests import need

PROJECT = Path(__file__).parents[1]


def acting(uid: int, programs: Iterable[str], scratch: Path) -> tuple[str, ...]:
    """What to put before a command line so that this user runs it: nothing for oneself.

    Another user may not be let into the directories in which Python, the project or the programs lie (root's
    home, say).  The command then gets mounts of its own, with nothing but those in such a place; `scratch` is
    an empty directory for that.
    """
    if uid == os.geteuid():
        return ()
    for program in ("setpriv", "unshare"):
        need.require(program)
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]
    wanted = {PROJECT, Path(sys.prefix), Path(sys.base_prefix)}
    wanted |= {Path(os.path.realpath(program)).parent for program in programs}
    closed = {path: wall for path in sorted(wanted) if (wall := _wall(path))}
    if not closed:
        return tuple(user)
    lines = ["set -e"]
    copies = {path: scratch / str(number) for number, path in enumerate(closed)}
    for path, copy in copies.items():
        lines.append(f"mkdir -p {_q(copy)}; mount --rbind {_q(path)} {_q(copy)}")
    for wall in sorted(set(closed.values())):
        lines.append(f"mount -t tmpfs -o mode=755 none {_q(wall)}")
    for path, copy in copies.items():
        lines.append(f"mkdir -p {_q(path)}; mount --rbind {_q(copy)} {_q(path)}; umount -l {_q(copy)}")
    script = "\n".join([*lines, 'exec "$@"'])
    return ("unshare", "--mount", "sh", "-c", script, "sh", *user)


def _wall(path: Path) -> Path | None:
    """The topmost directory on the way that only its owner may enter."""
    for directory in [*reversed(path.parents), path]:
        if not directory.stat().st_mode & stat.S_IXOTH:
            return directory
    return None


def _q(path: Path) -> str:
    return shlex.quote(str(path))
