"""Sockets of the machine's services.  A read-only mount does not keep anybody from connecting to one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mo_daemon.sandbox.mounts import real

_TABLE = Path("/proc/net/unix")  # proc(5): the path is the eighth field, where there is one


def listening(table: Path = _TABLE) -> list[Path]:
    """Paths of the Unix sockets that are bound now, without links, in order."""
    try:
        lines = table.read_bytes().splitlines()[1:]
    except OSError:
        return []
    names = {fields[7] for line in lines if len(fields := line.split(maxsplit=7)) == 8}
    paths = {real(os.fsdecode(name)) for name in names if name.startswith(b"/")}
    return sorted(path for path in paths if _is_socket(path))


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False
