"""Looking at processes: who one is, who its children are, and whose it is.

A bare pid may be somebody else by now: identity is pid, start time and boot.  The daemon's long children
carry a marker in their environment, so that descendants which left its session are found too.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MARKER = "MO_ATTEMPT"
ON_LINUX = sys.platform == "linux"


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that can be recognised later: pid, start time (clock ticks, or seconds), boot id."""

    pid: int
    start: str
    boot: str


@cache
def boot_id() -> str:
    """An id of this boot of the machine; empty where the platform has none to read cheaply."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def identify(pid: int) -> Identity | None:
    """The identity of a live process, or None."""
    if ON_LINUX:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            return None
        fields = stat[stat.rindex(")") + 2 :].split()  # field 22 (start time) of proc(5), 3rd field first
        return None if fields[0] in "ZX" else Identity(pid, fields[19], boot_id())
    import psutil

    try:
        return Identity(pid, str(psutil.Process(pid).create_time()), boot_id())
    except psutil.Error:
        return None


def is_alive(identity: Identity) -> bool:
    return identify(identity.pid) == identity


def is_marked(pid: int, needles: Sequence[bytes]) -> bool:
    """Whether the process has one of these `NAME=value` in its environment (Linux)."""
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return any(needle in environ and needle in environ.split(b"\0") for needle in needles)


def survivors(tokens: Iterable[str]) -> list[int]:
    """Pids of live processes that carry one of these tokens in their environment."""
    needles = [f"{MARKER}={token}".encode() for token in tokens]
    if not needles:
        return []
    if ON_LINUX:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return [pid for pid in pids if pid != os.getpid() and is_marked(pid, needles) and identify(pid)]
    import psutil

    wanted = {needle.decode() for needle in needles}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(f"{key}={value}" in wanted for key, value in process.environ().items()):
                found.append(process.pid)
    return found


def children(parent: int) -> list[int]:
    """Direct children of a process."""
    if not ON_LINUX:
        import psutil

        with contextlib.suppress(psutil.Error):
            return [child.pid for child in psutil.Process(parent).children()]
        return []
    pids: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{parent}/task"):  # threads are many: paths as texts take a third
            with (
                contextlib.suppress(OSError),
                open(  # noqa: PTH123
                    f"/proc/{parent}/task/{task}/children"
                ) as file,
            ):
                pids += [int(pid) for pid in file.read().split()]
    return pids


def works_in(pid: int, directory: Path) -> bool:
    """Whether a process has this directory, or one below it, as its own (Linux; elsewhere unknown: no)."""
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(directory)
    except OSError:
        return False
