"""How much of the machine is free, asked before each start."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

from mo_git.process import own_children, reap


def reason_to_hold(places: list[Path], *, min_free_gb: float, max_load_per_cpu: float) -> str:
    """Why nothing new should start now; empty where there is room.

    `places`: directories whose disks must keep `min_free_gb` GiB free; 0 switches a limit off.
    """
    for place in places:
        free = psutil.disk_usage(str(place)).free / 2**30
        if min_free_gb and free < min_free_gb:
            return f"only {free:.1f} GiB free below {place} (orchestrator.min_free_disk_gb = {min_free_gb:g})"
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    if max_load_per_cpu and load > max_load_per_cpu:
        return f"load {load:.1f} per processor (orchestrator.max_load_per_cpu = {max_load_per_cpu:g})"
    return ""


def memory_room(needed_mb: int) -> int:
    """How many programs that need this much (MiB) have room in free memory, or in what a cgroup leaves."""
    free = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # no limit is the word max
        free = min(free, _number("memory.max") - _number("memory.current"))
    return max(0, free // (needed_mb * 2**20))


def _number(name: str) -> int:
    return int((Path("/sys/fs/cgroup") / name).read_text())


def reap_orphans() -> None:
    """Collect ended processes that were adopted from ended programs."""
    reap(own_children())


def cpu_seconds(pid: int) -> float:
    """Processor time of a live process and its descendants so far."""
    total = 0.0
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:
        return total
    for one in tree:
        with contextlib.suppress(psutil.Error):
            times = one.cpu_times()
            total += times.user + times.system
    return total
