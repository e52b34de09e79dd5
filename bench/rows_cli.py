"""Cold starts of the command line against a bare Python."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Context, Row, process_times
from bench.world import daemon, mo_argv, task

REPEATS = 5  # processes per round; the median counts


def status(context: Context) -> Iterator[Row]:
    """`mo status`, the verb on people's prompts."""
    yield from _cold(context, {"mo status": ["status"]}, 2)


def verbs(context: Context) -> Iterator[Row]:
    """The other verbs that people wait for; each `do` queues a goal of one task."""
    arguments = {
        "mo --help": ["--help"],
        "mo --version": ["--version"],
        "mo logs": ["logs"],
        "mo show": ["show", "@last"],
        "mo cancel of nothing": ["cancel", "nothing"],
        "mo do --detach": ["do", "@../plan.json", "--detach"],
    }
    yield from _cold(context, arguments, 6)


def _cold(context: Context, arguments: dict[str, list[str]], limit: float) -> Iterator[Row]:
    with daemon() as mo:
        mo.plan([task("more")])
        argvs = {name: [*mo_argv(), *args] for name, args in arguments.items()}
        bare = {"bare": [sys.executable, "-c", "pass"]}
        samples = _sample(context, bare | argvs, mo.top, dict(mo.world.environ))
    base_wall, base_cpu = samples["bare"]
    for name in arguments:
        wall, cpu = samples[name]
        yield Row(
            name,
            wall * 1000,
            "ms",
            base_wall * 1000,
            "bare python",
            ("ratio", "<=", limit),
            f"CPU {cpu * 1000:.0f} ms, {cpu / base_cpu:.1f}x",
        )


def _sample(
    context: Context, argvs: dict[str, list[str]], cwd: Path, env: dict[str, str]
) -> dict[str, tuple[float, float]]:
    """(wall, CPU) seconds per name: the median over rounds of the median within a round."""
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in argvs}
    for _ in range(context.rounds):
        within: dict[str, list[tuple[float, float]]] = {name: [] for name in argvs}
        for _ in range(REPEATS):
            for name, argv in argvs.items():
                within[name].append(process_times(argv, cwd, env))
        for name, found in within.items():
            rounds[name].append(_medians(found))
    return {name: _medians(found) for name, found in rounds.items()}


def _medians(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(wall for wall, _ in pairs), statistics.median(cpu for _, cpu in pairs)
