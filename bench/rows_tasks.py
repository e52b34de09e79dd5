"""Whole goals: independent tasks, a chain, and many agents at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from bench.measure import Context, Row, alternate, timed
from bench.shell import Cost, in_parallel, one_by_one
from bench.world import GATE, Mo, bare_memory, command, daemon, resident_mb, task

AGENTS = 150
AGENT_SECONDS = 5.0
CHAIN = 20
CANDIDATES, CULPRITS = 32, (7, 21)
GATE_SECONDS = 1.0


def independent(context: Context) -> Iterator[Row]:
    """20 and 100 independent tasks of about 10 ms each, every landing gated."""
    for count in (20,) if context.quick else (20, 100):
        by_mo, loop, bare = [], [], []
        for _ in range(context.rounds):
            with daemon() as mo:
                by_mo.append(_wall(mo, [task(f"t{number}") for number in range(count)]) / count)
                loop.append(one_by_one(mo.world, count).wall / count)
                bare.append(in_parallel(mo.world, count, 8).wall / count)
        yield Row(
            f"{count} independent tasks, each",
            median(by_mo) * 1000,
            "ms",
            median(loop) * 1000,
            "shell loop with git",
            ("value", "<=", 80.0),
            f"the bare commands by xargs -P 8: {median(bare) * 1000:.1f} ms each",
        )


def chain(context: Context) -> Iterator[Row]:
    """A chain: each task starts from the landed work of the one before it."""
    by_mo, loop = [], []
    for _ in range(context.rounds):
        with daemon() as mo:
            tasks = [task("t0")]
            tasks += [task(f"t{n}", depends_on=[f"t{n - 1}"]) for n in range(1, CHAIN)]
            work = _alone(mo, command("alone"), mo.top) + _alone(mo, GATE, mo.top)
            by_mo.append(_wall(mo, tasks) / CHAIN - work)
            loop.append(one_by_one(mo.world, CHAIN).wall / CHAIN - work)
    yield Row(
        f"chain of {CHAIN}, a link beyond command and gate",
        median(by_mo) * 1000,
        "ms",
        median(loop) * 1000,
        "shell loop with git",
        ("value", "<=", 200.0),
    )


def many(context: Context) -> Iterator[Row]:
    """150 command agents of 5 s at once: first start to last landing."""
    if context.quick:
        return
    walls, memory, bare = [], [], []
    for _ in range(context.rounds):
        with daemon() as mo:
            tasks = [_slow(number) for number in range(AGENTS)]
            goal = mo("do", mo.plan(tasks), "--detach", "-j", str(AGENTS))
            time.sleep(AGENT_SECONDS)
            memory.append(resident_mb(mo.pid()))
            status = mo.ended(goal)
            mo.demand(status)
            memory[-1] = max(memory[-1], resident_mb(mo.pid()))
            started = min(attempt.started_at for one in status.tasks.values() for attempt in one.attempts)
            walls.append(max(one.since for one in status.tasks.values()) - started)
            bare.append(_sleepers(mo).wall)
    gates = "first start to last landing"
    limit = 2 * AGENT_SECONDS
    yield Row(
        f"{AGENTS} agents of {AGENT_SECONDS:g} s at once",
        median(walls),
        "s",
        median(bare),
        "xargs -P 150",
        ("value", "<=", limit),
        gates,
    )
    yield Row(
        f"daemon with {AGENTS} agents, memory",
        median(memory),
        "MiB",
        bare_memory(),
        "bare python",
        ("value", "<=", 150.0),
    )


def slots(context: Context) -> Iterator[Row]:
    """Two gates at once against one: candidates of which some break a long gate."""
    if context.quick:
        return

    def wall(gates: int) -> float:
        gate = f"{GATE} && sleep {GATE_SECONDS:g} && test ! -e out/broken"
        with daemon(gates) as mo:
            mo.finish([task("base")], "--gate", gate)  # proves it
            tasks = [task(f"c{number}") for number in range(CANDIDATES)]
            for culprit in CULPRITS:
                tasks[culprit]["run"] = ["sh", "-c", f"echo {culprit} > out/broken"]
            goal = mo.ended(mo("do", mo.plan(tasks), "--gate", gate, "--detach"))
            out = {name for name, one in goal.tasks.items() if str(one.state) == "ejected"}
            assert out == {f"c{culprit}" for culprit in CULPRITS}
            assert goal.ended_at is not None
            return goal.ended_at - goal.created_at

    found = alternate(context.rounds, {"two": lambda: wall(2), "one": lambda: wall(1)})
    yield Row(
        f"{CANDIDATES} candidates with {len(CULPRITS)} culprits, two gates at once",
        found["two"],
        "s",
        found["one"],
        "one gate at once",
        ("ratio", "<=", 1.0),
        f"a gate of {GATE_SECONDS:g} s that says no more than its exit code",
    )


def _slow(number: int) -> Mapping[str, Any]:
    return {
        "id": f"a{number}",
        "run": ["sh", "-c", f"sleep {AGENT_SECONDS:g}; echo {number} > out/a{number}"],
    }


def _sleepers(mo: Mo) -> Cost:
    began = time.perf_counter()
    names = "\n".join(map(str, range(AGENTS)))
    mo.world.run(
        "xargs",
        "-P",
        str(AGENTS),
        "-I",
        "{}",
        "sh",
        "-c",
        f"sleep {AGENT_SECONDS:g}; echo {{}} > /dev/null",
        cwd=mo.top,
        stdin=names,
    )
    return Cost(time.perf_counter() - began, 0.0)


def _wall(mo: Mo, tasks: Sequence[Mapping[str, Any]]) -> float:
    """Seconds from queueing a goal to its end, as its facts tell; the command line's start is not in it."""
    goal = mo.finish(tasks)
    assert goal.ended_at is not None
    return goal.ended_at - goal.created_at


def _alone(mo: Mo, words: str, cwd: Any) -> float:
    return median(timed(lambda: mo.world.run("sh", "-c", words, cwd=cwd)) for _ in range(5))
