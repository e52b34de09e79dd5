"""Random DAGs with random conflicts, breakers, pairs and flakes: the right ones land, in every seed."""

from __future__ import annotations

import os
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from mo_git.goal_status import GoalStatus
from mo_git.lifecycle import has_ended
from tests.driver import Mo
from tests.test_e2e_goal import sh, start
from tests.test_e2e_train import green_and_whole

SEEDS = 200
SECONDS = 0 if os.environ.get("MO_SOAK") else 75  # 0: all of them
AT_ONCE = 4  # goals in one daemon
BREAKS, PAIRS = 12, 4

# About 20 ms: writes what a test suite would say of this tree; one test may fail whatever the tree holds.
GATE = f"""\
import os, random, sys
tests = {{f"broken-{{n}}": not os.path.exists(f"broken-{{n}}") for n in range({BREAKS})}}
for n in range({PAIRS}):
    tests[f"pair-{{n}}"] = not (os.path.exists(f"left-{{n}}") and os.path.exists(f"right-{{n}}"))
if os.path.exists("flaky"):
    tests["flaky"] = random.random() > 0.2
wanted = [name.rpartition("::")[2] for name in sys.argv[1:]] or tests
cases = "".join(
    f'<testcase classname="suite" name="{{name}}">' + ("" if tests[name] else "<failure/>") + "</testcase>"
    for name in wanted
    if name in tests
)
with open("report.xml", "w") as report:
    report.write(f"<testsuite>{{cases}}</testsuite>")
sys.exit(not all(tests[name] for name in wanted if name in tests))
"""


@dataclass
class World:
    """A plan, and what becomes of its tasks when tests are deterministic."""

    seed: int
    tasks: list[dict[str, Any]] = field(default_factory=list)
    breakers: set[str] = field(default_factory=set)
    pairs: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        die = random.Random(self.seed)
        names = [f"t{n}" for n in range(die.randrange(4, 11))]
        scripts = {name: f"echo {name} > {name}" for name in names}
        unused = list(names)
        die.shuffle(unused)
        for number in range(die.choice([0, 0, 1, 2])):
            scripts[unused[-1]] += f"; echo x > broken-{number}"
            self.breakers.add(unused.pop())
        for number in range(die.choice([0, 0, 1])):
            left, right = unused.pop(), unused.pop()
            scripts[left] += f"; echo x > left-{number}"
            scripts[right] += f"; echo x > right-{number}"
            self.pairs.append((left, right))
        if die.random() < 0.5 and len(unused) > 1:  # both change the same line
            for name in (unused.pop(), unused.pop()):
                scripts[name] += f"; echo {name} >> shared"
        for at, name in enumerate(names):
            needs = [other for other in names[:at] if die.random() < 0.2]
            self.tasks.append({"id": name, "run": sh(scripts[name]), "depends_on": needs})

    def check(self, states: dict[str, str]) -> None:
        """Exactly the culprits are out, and what depends on them."""
        out = {name for name, state in states.items() if state == "ejected"}
        paired = {name for pair in self.pairs for name in pair}
        for task in self.tasks:
            name, lost = task["id"], [dep for dep in task["depends_on"] if states[dep] != "landed"]
            if lost:
                assert states[name] == "skipped", (name, states)
            elif name in self.breakers:
                assert states[name] == "ejected", (name, states)
            elif name not in paired:
                assert states[name] == "landed", (name, states)
        assert out <= self.breakers | paired, states
        for left, right in self.pairs:
            reached = [name for name in (left, right) if states[name] != "skipped"]
            landed = [name for name in reached if states[name] == "landed"]
            assert len(landed) == min(len(reached), 1), (left, right, states)


def prepare(mo: Mo, parallel: int) -> None:
    command = f"{sys.executable} -I -S gate.py"
    mo.repo.commit({"gate.py": GATE, ".gitignore": "report.xml\n", "shared": "", "flaky": ""})
    mo.configure(
        gate={
            "command": command,
            "select": command + " {ids}",
            "junit": "report.xml",
            "proof": "off",
            "sandbox": False,
            "parallel": parallel,
        },
        orchestrator={"max_parallel": 6},
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("parallel", [1, 2])
def test_seeds(mo: Mo, parallel: int, capsys: pytest.CaptureFixture[str]) -> None:
    """In every seed a test fails in a fifth of all runs, which costs nobody a place."""
    prepare(mo, parallel)
    begun, seed, runs = time.monotonic(), 0, 0
    while seed < SEEDS and (not SECONDS or time.monotonic() - begun < SECONDS):
        worlds = {}
        for _ in range(AT_ONCE):
            world, seed = World(seed), seed + 1
            worlds[start(mo, world.tasks)] = world
        mo.wait_for(lambda ids=tuple(worlds): all(has_ended(mo.goal(goal)) for goal in ids), 300)
        for goal, world in worlds.items():
            found = mo.goal(goal)
            runs += len(found.gates)
            judge(mo, world, found)
    with capsys.disabled():
        print(f"\n{seed} of {SEEDS} seeds, {runs} gate runs, {parallel} at once: all as by hand")


def judge(mo: Mo, world: World, found: GoalStatus) -> None:
    states = {name: str(task.state) for name, task in found.tasks.items()}
    try:
        world.check(states)
        for ejection in found.ejections:
            assert not any(test.endswith("flaky") for test in ejection["evidence"]["failed_ids"])
        green_and_whole(mo, found)
    except AssertionError as error:
        gates = "\n".join(str({key: gate[key] for key in SHOWN}) for gate in found.gates)
        raise AssertionError(f"seed {world.seed}: {error}\n{gates}") from error


SHOWN = ("tasks", "kind", "result", "failed_ids", "cached")
