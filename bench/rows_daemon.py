"""The daemon: how soon it starts work, what it costs beside the work, and what it costs at rest."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.measure import Context, Row, alternate
from bench.shell import one_by_one
from bench.world import Mo, bare_memory, command, cpu_seconds, daemon, resident_mb, task, wait_until

IDLE_SECONDS = 5.0
TASKS = 40  # of the goals whose CPU time is taken; the kernel counts in steps of 10 ms
_numbers = itertools.count()


def start(context: Context) -> Iterator[Row]:
    """`mo do --detach` to the first program started, beside a shell that adds a worktree and starts it."""
    with daemon() as mo:

        def by_mo() -> float:
            stamp = mo.world.place / f"stamp-{next(_numbers)}"
            began = time.time()
            goal = mo("do", mo.plan([_stamping(stamp)]), "--detach")
            wait_until(stamp.exists, 30)
            mo.demand(mo.ended(goal))
            return stamp.stat().st_mtime - began

        def by_shell() -> float:
            number = next(_numbers)
            stamp, tree = mo.world.place / f"stamp-{number}", mo.world.place / f"shell-{number}"
            began = time.time()
            words = f"git worktree add -q -b shell-{number} {tree} && cd {tree} && {_touch(stamp)}"
            mo.world.run("sh", "-c", words, cwd=mo.top)
            return stamp.stat().st_mtime - began

        found = alternate(context.rounds * 3, {"mo": by_mo, "shell": by_shell})
    yield Row(
        "do --detach -> program started",
        found["mo"] * 1000,
        "ms",
        found["shell"] * 1000,
        "git worktree add + start",
        ("value", "<=", 150),
        f"median of {context.rounds * 3}; the cold start of `mo do` is in it",
    )


def _touch(stamp: Path) -> str:
    return f": > {stamp}"


def _stamping(stamp: Path) -> dict[str, object]:
    return {"id": "stamp", "run": ["sh", "-c", f"{_touch(stamp)}; {command(stamp.name)}"]}


def cpu(context: Context) -> Iterator[Row]:
    """CPU of the daemon for each task that writes one file: its own, and with the git it calls."""
    for name, gate in (("no gate", "none"), ("trivial gate", "")):
        own, whole, shell = [], [], []
        for _ in range(context.rounds):
            with daemon() as mo:
                one, both = _daemon_cpu(mo, gate)
                shell.append(one_by_one(mo.world, TASKS).cpu / TASKS)
            own.append(one)
            whole.append(both)
        against = "shell loop, all its programs"
        yield Row(
            f"daemon CPU a task, {name}", median(own) * 1000, "ms", median(shell) * 1000, against, _CPU_GOAL
        )
        yield Row(
            f"daemon + git CPU a task, {name}",
            median(whole) * 1000,
            "ms",
            median(shell) * 1000,
            against,
            None,
            "the task's and the gate's programs in it",
        )


_CPU_GOAL = ("value", "<=", 60.0)


def _daemon_cpu(mo: Mo, gate: str) -> tuple[float, float]:
    """CPU seconds a task: the daemon's own, and with every program that it started."""
    tasks = [task(f"t{number}") for number in range(TASKS)]
    own, children = cpu_seconds(mo.pid())
    mo.finish(tasks, *(["--gate", gate] if gate else []), "-j", "4")
    own_after, children_after = cpu_seconds(mo.pid())
    one = (own_after - own) / TASKS
    return one, one + (children_after - children) / TASKS


def idle(context: Context) -> Iterator[Row]:
    """Memory and CPU of a daemon that has nothing to do, after a goal has run."""
    memory, cpu = [], []
    with daemon() as mo:
        mo.finish([task(f"t{number}") for number in range(5)])
        for _ in range(context.rounds):
            before = sum(cpu_seconds(mo.pid()))
            time.sleep(IDLE_SECONDS)
            cpu.append((sum(cpu_seconds(mo.pid())) - before) / IDLE_SECONDS * 100)
            memory.append(resident_mb(mo.pid()))
    bare = bare_memory()
    yield Row("idle daemon, memory", median(memory), "MiB", bare, "bare python", ("value", "<=", 70.0))
    note = f"in windows of {IDLE_SECONDS:g} s, in steps of 0.2 %"
    yield Row("idle daemon, CPU", median(cpu), "%", 0.0, "a sleeping process", ("value", "<=", 0.2), note)
