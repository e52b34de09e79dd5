"""`python -m bench.queue_sim`: what the merge queue's policy costs, against other ways to gate candidates.

Simulated gates, the daemon's own policy.  Units are full gate runs (a run of a few test ids costs a part of
one), time is in the length of one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.measure import Context, Row
from bench.queue_world import Driver, World, false_ejections, random_world
from mo_daemon.queue import Blame, Probe

SIZE = 150
RATES = (0.01, 0.02, 0.05, 0.10, 0.20)
# Most units with two slots: failure rate -> cold, with learnt rates.
GOALS = {0.01: (12.0, 7.0), 0.05: (27.0, 27.0), 0.10: (51.0, 51.0)}


@dataclass(frozen=True)
class Options:
    """What is simulated."""

    seeds: int = 200
    size: int = SIZE
    slots: int = 2
    ids_cost: float = 0.1
    interactions: float = 0.0
    flaky: int = 0


@dataclass(frozen=True)
class Cost:
    """Of one way to gate all candidates; `wrong` are good ones that were thrown out."""

    units: float
    time: float
    wrong: int


Way = Callable[[World, float, int, Options], Cost]


def cold(world: World, rate: float, seed: int, options: Options) -> Cost:
    """This policy, which learns the rate on the way."""
    return _policy(world, None, seed, options)


def learnt(world: World, rate: float, seed: int, options: Options) -> Cost:
    """This policy, when it knows the rate."""
    return _policy(world, rate, seed, options)


def _policy(world: World, risk: float | None, seed: int, options: Options) -> Cost:
    run = Driver(world, options.slots, seed, options.ids_cost, risk).run()
    return Cost(run.units, run.time, len(false_ejections(world, run.blames)))


class _Plain:
    """Full gates and nothing else, for the other ways."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.die = world, random.Random(seed)
        self.head: frozenset[str] = frozenset()
        self.out: list[Blame] = []
        self.units = 0

    def green(self, members: Sequence[str]) -> bool:
        self.units += 1
        probe = Probe(tuple(members))
        return self.world.judge(self.head, probe, self.die, frozenset()).verdict == "green"

    def land(self, members: Sequence[str]) -> None:
        self.head |= set(members)

    def eject(self, task: str) -> None:
        self.out.append(Blame(task, frozenset(), Probe((*sorted(self.head), task))))

    def cost(self, time: float) -> Cost:
        return Cost(self.units, time, len(false_ejections(self.world, self.out)))


def singly(world: World, rate: float, seed: int, options: Options) -> Cost:
    """One by one."""
    gate = _Plain(world, seed)
    for task in world.tasks:
        if gate.green([task]):
            gate.land([task])
        else:
            gate.eject(task)
    return gate.cost(gate.units)


def halving(world: World, rate: float, seed: int, options: Options) -> Cost:
    """The whole queue as one batch, red ones in halves, as bors does."""
    gate = _Plain(world, seed)
    batches = [list(world.tasks)]
    while batches:
        batch = batches.pop(0)
        if gate.green(batch):
            gate.land(batch)
        elif len(batch) == 1:
            gate.eject(batch[0])
        else:
            middle = len(batch) // 2
            batches[:0] = [batch[:middle], batch[middle:]]
    return gate.cost(gate.units)


def chain(world: World, rate: float, seed: int, options: Options) -> Cost:
    """Each on top of all before it, as many at once as there are slots, as Zuul does; what is behind a red
    one starts again."""
    gate, left, rounds = _Plain(world, seed), list(world.tasks), 0
    while left:
        rounds += 1
        results = [gate.green(left[: size + 1]) for size in range(min(options.slots, len(left)))]
        good = results.index(False) if False in results else len(results)
        gate.land(left[:good])
        if good < len(results):
            gate.eject(left[good])
        left = left[len(results) if good == len(results) else good + 1 :]
    return gate.cost(rounds)


WAYS: dict[str, Way] = {
    "cold": cold,
    "learnt": learnt,
    "one by one": singly,
    "halving": halving,
    "chain": chain,
}


def simulate(way: Way, rate: float, options: Options) -> Cost:
    """The mean over the seeds; `wrong` is the sum."""
    costs = []
    for seed in range(options.seeds):
        die = random.Random(f"{seed} {rate}")
        world = random_world(die, options.size, rate, options.interactions, options.flaky)
        costs.append(way(world, rate, seed, options))
    units = statistics.fmean(cost.units for cost in costs)
    time = statistics.fmean(cost.time for cost in costs)
    return Cost(units, time, sum(cost.wrong for cost in costs))


def table(slots: Sequence[int], options: Options) -> Iterator[str]:
    """Lines of units/time for each failure rate and way; a ! where a good candidate was thrown out."""
    yield (
        f"{options.size} candidates, {options.seeds} seeds, ids runs cost {options.ids_cost:.0%}, "
        f"{options.interactions:g} interactions, {options.flaky} flaky tests.  Full runs / time."
    )
    head = ["slots", "bad", *WAYS, "of halving"]
    yield "  ".join(f"{name:>14}" for name in head)
    for many in slots:
        for rate in RATES:
            here = Options(
                options.seeds, options.size, many, options.ids_cost, options.interactions, options.flaky
            )
            costs = {name: simulate(way, rate, here) for name, way in WAYS.items()}
            cells = [
                f"{cost.units:.1f}/{cost.time:.1f}" + (f" !{cost.wrong}" if cost.wrong else "")
                for cost in costs.values()
            ]
            ratio = f"{costs['cold'].units / costs['halving'].units:.2f}x"
            yield "  ".join(f"{cell:>14}" for cell in [str(many), f"{rate:.0%}", *cells, ratio])


def rows(context: Context) -> Iterator[Row]:
    """The rows of `python -m bench`: two slots, in full runs, against halving; and false ejections."""
    options = Options(seeds=20 if context.quick else 100)
    for rate, goals in GOALS.items():
        base = simulate(halving, rate, options)
        chained = simulate(chain, rate, options)
        for name, goal in zip(("cold", "learnt"), goals, strict=True):
            cost = simulate(WAYS[name], rate, options)
            yield Row(
                f"queue: {options.size} candidates, {rate:.0%} bad, {name}",
                cost.units,
                "runs",
                base.units,
                "halving",
                ("value", "<=", goal),
                f"time {cost.time:.1f}; halving {base.time:.0f}; chain {chained.units:.0f} runs, "
                f"{chained.time:.0f}",
            )
    flaky = Options(seeds=options.seeds, flaky=3)
    cost, base = simulate(cold, 0.05, flaky), simulate(singly, 0.05, flaky)
    yield Row(
        "queue: good candidates thrown out, 3 tests fail in a fifth of all runs",
        cost.wrong / flaky.seeds,
        "each",
        base.wrong / flaky.seeds,
        "one by one",
        ("value", "<=", 0.0),
        f"{cost.units:.1f} runs",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.queue_sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="worlds for each cell (default 200)")
    parser.add_argument("--quick", action="store_true", help="3 seeds, two slots")
    parser.add_argument("--size", type=int, default=SIZE, help=f"candidates (default {SIZE})")
    parser.add_argument(
        "--slots", type=int, nargs="+", default=[2, 1, 4], help="gates at once (default 2 1 4)"
    )
    parser.add_argument("--ids-cost", type=float, default=0.1, help="of a run of some ids (default 0.1)")
    parser.add_argument(
        "--interactions", type=float, default=0, help="expected pairs that fail together only"
    )
    parser.add_argument("--flaky", type=int, default=0, help="tests that fail in a fifth of all runs")
    given = parser.parse_args(arguments)
    if given.seeds < 1 or given.size < 1 or min(given.slots) < 1:
        parser.error("--seeds, --size and --slots are at least 1")
    seeds, slots = (3, [2]) if given.quick else (given.seeds, given.slots)
    options = Options(seeds, given.size, 2, given.ids_cost, given.interactions, given.flaky)
    for line in table(slots, options):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
