"""What keeps a candidate from landing, or from being ejected, until a person has looked.

A person may then accept it (`mo review --accept`): the task is a candidate again, and what was accepted is
left out of what the gate expects of everything that contains it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mo_daemon import doubts, inputs
from mo_daemon.doubts import Modules
from mo_daemon.gate import NONE, UNKNOWN, GateCommand, GateRun
from mo_daemon.gate_metrics import compared
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.services import Services
from mo_daemon.testids import Tests
from mo_git.config import Config
from mo_git.git.grafts import file_of
from mo_git.git.repo import Repo
from mo_git.goal_status import GoalStatus, TaskStatus


@dataclass(frozen=True, slots=True)
class SecondGate:
    """What the gate said with the head's inputs.  `held`: data of a HELD fact; None: nothing against it."""

    run: GateRun
    held: dict[str, Any] | None


def inputs_of(settings: Config, command: GateCommand) -> tuple[str, ...]:
    """The patterns of the gate's inputs, for `inputs.touches`: who touches one has to ride alone."""
    scripts = (command.command, *(metric.command for metric in command.metrics))
    return inputs.patterns(settings.gate.inputs, *scripts)


async def of_regression(services: Services, task: TaskStatus, run: GateRun) -> dict[str, Any] | None:
    """The data of a HELD fact, where all that a red run of this candidate found may be on purpose."""
    if not run.regression:
        return None
    modules = await services.git(_modules, services.repo, task)
    ids = doubts.only_doubtful(run.regression, task.paths, modules)
    return doubts.held(run.regression, ids, task.paths, modules) if ids else None


async def of_inputs(
    services: Services,
    gatekeeper: Gatekeeper,
    goal: GoalStatus,
    task: TaskStatus,
    commit: str,
    baseline: Tests | None,
) -> SecondGate | None:
    """Gate a green merge commit once more, with the integration head's inputs; None: it changes none.

    `baseline` is what the commit itself was judged against.  The train holds this candidate alone.
    """
    command = await gatekeeper.command(goal)
    if command.command == NONE:
        return None
    wanted = inputs_of(services.settings, command)
    look = (services.repo, goal.integration, commit, wanted, task.accepted_inputs)
    older = await services.git(inputs.with_inputs_of, *look)
    if older is None:
        return None
    run = await gatekeeper.judge(goal, older, baseline)
    if run.result == UNKNOWN:
        run = await gatekeeper.judge(goal, older, baseline)
    before = await gatekeeper.figures(goal, goal.integration)
    run = compared(run, before, command.metrics)
    against, ids = inputs.speaks_against(run.result, run.regression, baseline)
    if not against:
        return SecondGate(run, None)
    paths = await services.git(inputs.differing, *look)
    return SecondGate(run, inputs.held(paths, ids, run.reason or run.result))


def _modules(repo: Repo, task: TaskStatus) -> Modules:
    """The go modules above the tests that a candidate changes: directory -> name."""
    found = {}
    for path in task.paths:
        parts = path.split("/")[:-1] if path.endswith("_test.go") else []
        places = ["/".join(parts[:size]) for size in range(len(parts), -1, -1)]
        for place in places if path.endswith("_test.go") else ():
            file = file_of(repo, task.commit, f"{place}/go.mod" if place else "go.mod")
            if file is not None:
                found[place] = doubts.go_module(file.content.decode("utf-8", "replace"))
    return found
