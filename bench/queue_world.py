"""A small world for the merge queue's policy: candidates that break tests, gates that take time, a driver.

Everything follows from the world and its die, so each run can be repeated.  The property tests use it, too.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mo_daemon.queue import (
    Blame,
    Candidate,
    Probe,
    Seen,
    Step,
    after_landing,
    prior,
    step,
    stripped,
    without,
)

MOST_STEPS = 20_000


@dataclass
class World:
    """What is true: which tests fail in a tree that holds these tasks.

    breaks: task -> tests that fail with it.  mends: task -> tests that it repairs.  pairs: (one, other,
    tests that fail with both).  leaks: tests that fail in full runs only.  silent: with these the gate
    gives no verdict.  flaky: test -> how often it fails by itself.  weak: the gate names no tests.  rests:
    task -> tasks without which it does not merge.
    """

    tasks: Sequence[str]
    breaks: Mapping[str, frozenset[str]] = field(default_factory=dict)
    mends: Mapping[str, frozenset[str]] = field(default_factory=dict)
    pairs: Sequence[tuple[str, str, frozenset[str]]] = ()
    leaks: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    flaky: Mapping[str, float] = field(default_factory=dict)
    weak: bool = False
    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    rests: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def failing(self, tree: frozenset[str]) -> frozenset[str]:
        """The tests that fail whenever this tree is gated in full."""
        failed: set[str] = set()
        for task in sorted(tree):
            failed |= self.breaks.get(task, frozenset())
        for one, other, tests in self.pairs:
            if one in tree and other in tree:
                failed |= tests
        for task in tree:
            failed -= self.mends.get(task, frozenset())
        return frozenset(failed)

    def judge(self, head: frozenset[str], probe: Probe, die: random.Random, known: frozenset[str]) -> Seen:
        """What the gate finds; tests in `known` are flakes that nobody minds any more."""
        tree = head | set(probe.members)
        merged = head
        for task in probe.members:
            if not self.rests.get(task, frozenset()) <= merged:
                return Seen(probe, "conflict")
            merged |= {task}
        if self.silent & tree:
            return Seen(probe, "unknown")
        failed = self.failing(tree) | {test for test, rate in self.flaky.items() if die.random() < rate}
        failed -= known
        if probe.ids is not None:
            failed &= probe.ids - self.leaks
        if not failed:
            return Seen(probe, "green")
        return Seen(probe, "red", frozenset() if self.weak else frozenset(failed))


@dataclass
class Run:
    """How it went: cost in full runs, time in the length of one, and what became of whom."""

    units: float = 0.0
    time: float = 0.0
    steps: int = 0
    landings: list[tuple[str, ...]] = field(default_factory=list)
    blames: list[Blame] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)  # ejected or held, or built on such a one
    held: list[str] = field(default_factory=list)
    flaky: set[str] = field(default_factory=set)


Watcher = Callable[[Step, Sequence[Candidate], Sequence[Seen], frozenset[str]], None]


@dataclass
class Driver:
    """Does what `step` says, in simulated time.

    `risk` of all candidates is learnt from what landed and was ejected (`prior`) where it is None.  `watch`
    is told each step before it is carried out.
    """

    world: World
    slots: int
    seed: int = 0
    ids_cost: float = 0.1
    risk: float | None = None
    watch: Watcher | None = None
    uneven: bool = False  # gates of very different lengths
    selects: bool = True  # the gate can run single tests

    def run(self) -> Run:
        self.die, self.result = random.Random(self.seed), Run()
        self.head: frozenset[str] = frozenset()
        self.left = list(self.world.tasks)
        train = self._train()
        self.seen: list[Seen] = []
        self.busy: list[tuple[float, int, float, Probe]] = []  # end, number, start, probe
        self.trees: Counter[str] = Counter()  # flaky test -> trees that showed it
        while self.left:
            self.result.steps += 1
            assert self.result.steps < MOST_STEPS, "the queue does not end"
            if len(train) != len(self.left):
                train = self._train()
            now = step(train, self.seen, [entry[3] for entry in self.busy], self.slots, self.selects)
            if self.watch:
                self.watch(now, train, self.seen, self.head)
            self._cancel(now.cancel)
            self._flaky(now.flaky)
            self._start(now.probes)
            if now.land:
                self._land(now.land)
            elif now.eject or now.hold:
                self._leave(now)
            else:
                assert self.busy, f"nothing runs and nothing is to do: {now} {self.seen}"
                self._wait()
        self._cancel([entry[3] for entry in self.busy])
        return self.result

    def _train(self) -> list[Candidate]:
        risk = self.risk
        if risk is None:
            risk = prior(len(self.head), len(self.result.gone))
        waiting = set(self.left)
        return [
            Candidate(task, 0, 0, 0.0, risk, self.world.needs.get(task, frozenset()) & waiting)
            for task in self.left
        ]

    def _start(self, probes: Sequence[Probe]) -> None:
        for probe in probes:
            length = 1.0 if probe.ids is None else self.ids_cost
            length *= self.die.uniform(0.2, 5) if self.uneven else 1
            self.result.steps += 1
            heapq.heappush(self.busy, (self.result.time + length, self.result.steps, self.result.time, probe))
        assert len(self.busy) <= self.slots, "more probes than slots"

    def _cancel(self, probes: Sequence[Probe]) -> None:
        for entry in [entry for entry in self.busy if entry[3] in probes]:
            self.busy.remove(entry)
            self.result.units += self.result.time - entry[2]
        heapq.heapify(self.busy)

    def _wait(self) -> None:
        """Until the next probe ends, and all that end with it."""
        self.result.time = self.busy[0][0]
        while self.busy and self.busy[0][0] <= self.result.time + 1e-9:
            _, _, start, probe = heapq.heappop(self.busy)
            self.result.units += self.result.time - start
            known = frozenset(test for test, trees in self.trees.items() if trees > 1)
            self.seen.append(self.world.judge(self.head, probe, self.die, known))

    def _land(self, tasks: tuple[str, ...]) -> None:
        self.head |= set(tasks)
        self.result.landings.append(tasks)
        self.left = [task for task in self.left if task not in tasks]
        self.seen = after_landing(self.seen, tasks)
        kept = [(entry, stripped(entry[3], tasks)) for entry in self.busy]
        self.busy = [(*entry[:3], probe) for entry, probe in kept if probe]
        assert len(self.busy) == len(kept), "a probe runs that says nothing about the new head"
        self.result.flaky.clear()

    def _leave(self, now: Step) -> None:
        self.result.blames += now.eject
        self.result.held += now.hold
        gone = {blame.task for blame in now.eject} | set(now.hold)
        for task in self.left:  # what does not merge any more is not the policy's business
            if (self.world.needs.get(task, frozenset()) | self.world.rests.get(task, frozenset())) & gone:
                gone.add(task)
        self.result.gone += sorted(gone)
        self.left = [task for task in self.left if task not in gone]
        self.seen = without(self.seen, gone)

    def _flaky(self, tests: frozenset[str]) -> None:
        """Two trees that showed a flake put it into quarantine."""
        for test in tests - self.result.flaky:
            self.trees[test] += 1
        self.result.flaky |= tests


def random_world(
    die: random.Random, size: int, rate: float, interactions: float = 0.0, flakes: int = 0
) -> World:
    """`size` candidates, each bad with this chance; a bad one breaks one to five tests, one of them perhaps
    together with others.  `interactions` are expected pairs; `flakes` tests fail in a fifth of all runs."""
    tasks = [f"t{number:03}" for number in range(size)]
    breaks = {}
    for task in tasks:
        if die.random() < rate:
            own = [f"{task}.{number}" for number in range(die.randint(1, 4))]
            shared = [f"shared.{die.randrange(20)}"] if die.random() < 0.2 else []
            breaks[task] = frozenset(own + shared)
    pairs = []
    for _ in range(_rounded(interactions, die)):
        one, other = sorted(die.sample(tasks, 2))
        pairs.append((one, other, frozenset({f"{one}+{other}"})))
    return World(tasks, breaks, pairs=pairs, flaky={f"flake.{number}": 0.2 for number in range(flakes)})


def _rounded(expected: float, die: random.Random) -> int:
    return int(expected) + (die.random() < expected % 1)


def false_ejections(world: World, blames: Iterable[Blame]) -> list[str]:
    """Who was ejected though nothing that it does is wrong, alone or together with somebody else."""
    mixing = {task for one, other, _ in world.pairs for task in (one, other)}
    return [blame.task for blame in blames if blame.task not in world.breaks and blame.task not in mixing]
