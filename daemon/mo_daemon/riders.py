"""Who may ride in a goal's next train, and what may start before its dependencies have landed.  Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from statistics import median

from mo_daemon.queue import Candidate, prior, weighed
from mo_git import dag
from mo_git.goal_status import IN_QUEUE, GoalStatus, TaskStatus
from mo_git.model import TaskState

LONG_GATE = 60.0  # seconds from which waiting for a gate is long, whatever else takes long
LONG_RATIO = 5.0  # a gate that takes so many times longer than an attempt is long, too
SHORT_GATE = 10.0  # seconds up to which waiting for a gate is not worth starting early


def riders(
    goal: GoalStatus,
    risks: Mapping[str, float],
    steering: Collection[str] = (),
    clashes: Mapping[str, int] | None = None,
) -> list[Candidate]:
    """The candidates that may land now, each with those that have to ride ahead of it.

    What a candidate depends on has landed, or is the very candidate that it was built on.  `risks`: provider
    -> how likely a candidate of it is bad; `steering`: tasks that change how the gate runs; `clashes`:
    GOAL/TASK -> with how many unfinished tasks it will conflict (`forecast.counts`).
    """
    coming = clashes or {}
    eligible = {task.spec.id: task for task in goal.tasks.values() if task.state in IN_QUEUE}
    while out := [name for name, task in eligible.items() if not _may_ride(goal, task, eligible)]:
        for name in out:
            del eligible[name]
    if not eligible:
        return []
    dependents = dag.dependents(goal.plan.tasks)
    return [
        Candidate(
            name,
            len(dependents[name]),
            task.spec.priority,
            task.since,
            weighed(
                risks.get(task.provider, prior(0, 0)),
                files=len(task.paths),
                overlaps=coming.get(f"{goal.id}/{name}", 0),
                retries=len(task.failures),
                checked=task.spec.check is not None,
            ),
            frozenset(other for other in task.upon if other in eligible),
            task.redone + task.failures.count("gate_red"),
            name in steering,
        )
        for name, task in eligible.items()
    ]


def _may_ride(goal: GoalStatus, task: TaskStatus, eligible: Mapping[str, TaskStatus]) -> bool:
    if not all(goal.tasks[other].ended for other in task.behind):
        return False
    return all(
        goal.tasks[name].satisfied or (name in eligible and task.upon.get(name) == eligible[name].commit)
        for name in task.spec.depends_on
    )


def is_stale(goal: GoalStatus, task: TaskStatus) -> bool:
    """Whether a candidate holds work of a task that landed in another form, or not at all."""
    return any(
        commit != goal.tasks[name].commit or goal.tasks[name].state not in IN_QUEUE | {TaskState.LANDED}
        for name, commit in task.upon.items()
    )


def learnt_risks(goals: Mapping[str, GoalStatus]) -> dict[str, float]:
    """Provider -> how likely a candidate of it is bad, by how those of all goals here ended."""
    ended: dict[str, list[int]] = {}
    for goal in goals.values():
        for task in goal.tasks.values():
            bad = task.state is TaskState.EJECTED and not task.taken_back
            if task.state is TaskState.LANDED or bad:
                ended.setdefault(task.provider, [0, 0])[bad] += 1
    return {provider: prior(landed, ejected) for provider, (landed, ejected) in ended.items()}


def rate_of_steady(goals: Mapping[str, GoalStatus]) -> float:
    """How often a test may fail by itself that never did here: the mean of Beta(1, 9) and all green gates."""
    gates = [gate for goal in goals.values() for gate in goal.gates]
    green = [gate for gate in gates if gate["result"] == "green" and gate["kind"] == "full"]
    return 1 / (10 + sum(not gate["cached"] for gate in green))


# -- starting early -----------------------------------------------------------------------------------


def speculates(goal: GoalStatus, mode: str, now: float) -> bool:
    """Whether tasks start from what is not gated yet: `auto`, where waiting for a gate is long.

    Where none has ended, the one on the goal's base runs since the goal started.
    """
    if mode != "auto":
        return mode == "always"
    gates = [gate["seconds"] for gate in goal.gates if gate["kind"] == "full" and not gate["cached"]]
    if not gates and goal.proof is not None:
        gates = [goal.proof.get("seconds", 0.0)]
    if not gates:
        gates = [now - (goal.started_at or now)]
    gate = median(gates)
    attempts = [
        attempt.ended_at - attempt.started_at
        for task in goal.tasks.values()
        for attempt in task.attempts
        if attempt.ended_at is not None
    ]
    return gate > LONG_GATE or bool(gate > SHORT_GATE and attempts and gate > LONG_RATIO * median(attempts))


def ungated(goal: GoalStatus, task: TaskStatus) -> list[TaskStatus] | None:
    """What a task would be built on that has not landed, in landing order; None where it may not start.

    It may where everything that it depends on has landed, or waits to land and is built on what does.
    """
    found: dict[str, TaskStatus] = {}

    def gather(names: tuple[str, ...]) -> bool:
        for name in names:
            other = goal.tasks[name]
            if other.satisfied or name in found:
                continue
            if other.state not in IN_QUEUE or is_stale(goal, other) or not gather(other.spec.depends_on):
                return False
            found[name] = other
        return True

    if not gather(task.spec.depends_on) or not all(goal.tasks[other].ended for other in task.behind):
        return None
    return list(found.values())


def may_start_early(goal: GoalStatus, task: TaskStatus, apart: Collection[tuple[str, ...]]) -> bool:
    """Whether a task may start from work that waits to land; `apart`: heads, and what cannot merge there."""
    if task.resolve is not None or task.spec.from_ref:
        return False
    found = ungated(goal, task)
    return bool(found) and (goal.integration, *(one.commit for one in found or ())) not in apart
