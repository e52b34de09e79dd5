"""What to do next: a snapshot of all goals, the limits and the time -> a list of actions.  Pure.

Level-triggered: called after every change and every two seconds, it looks at what is and never at what
happened.  Work that the records call running but that nobody runs (`busy`) is recovered, so the first
decision after a restart is the recovery.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from mo_daemon import dead_ends, riders
from mo_daemon.actions import (
    Action,
    CancelItems,
    CheckGoal,
    FinishGoal,
    Land,
    LandItems,
    Operate,
    PlanGoal,
    PrepareGoal,
    Record,
    RecoverAttempt,
    RecoverLanding,
    RunItems,
    StartAttempt,
    Stop,
    VerifyGoal,
    _recovery_key,
    attempt_key,
    items_key,
    keys_of,
    landing_key,
)
from mo_daemon.allowance import Crew, Room, agents_at_work, recent_starts
from mo_daemon.limits import Limits
from mo_git import dag
from mo_git.breakers import Wait
from mo_git.goal_status import AT_WORK, STEPPING_IN, GoalStatus, Operation, TaskStatus
from mo_git.lifecycle import has_ended
from mo_git.model import GoalState, Kind, NewFact, TaskState
from mo_git.simple.item import ItemState


def decide(goals: Mapping[str, GoalStatus], busy: frozenset[str], limits: Limits, now: float) -> list[Action]:
    """Actions to perform now, in order.  Jobs whose keys are busy are not repeated."""
    actions: list[Action] = []
    taken = set(busy)
    for action in _wanted(goals, busy, now):
        if isinstance(action, Record | Stop):
            actions.append(action)
        elif not isinstance(action, StartAttempt) and not taken & action.keys:
            taken |= action.keys
            actions.append(action)
    if not limits.hold:
        actions += _starts(goals, taken, limits, now)[0]
    return actions


def waits(
    goals: Mapping[str, GoalStatus], busy: frozenset[str], limits: Limits, now: float
) -> dict[str, dict[Wait, int]]:
    """Goal -> {what tasks wait for that could start otherwise: how many; 0: its planning does}."""
    return {} if limits.hold else _starts(goals, set(busy), limits, now)[1]


def _wanted(goals: Mapping[str, GoalStatus], busy: frozenset[str], now: float) -> Iterator[Action]:
    for goal in sorted(goals.values(), key=lambda g: (g.created_at, g.id)):
        running = keys_of(goal, busy)
        yield from _recover(goal, busy)
        for operation in goal.pending_operations():
            yield _operate(goal, operation)
        if has_ended(goal):
            continue
        if goal.cancelling:
            yield from _cancel(goal, running)
        elif goal.started_at is None:
            yield from _begin(goal, goals)
        elif goal.ends_at is not None and goal.ends_at <= now:
            reason = f"the goal's time of {goal.plan.max_hours:g} hours is over (max_hours)"
            yield Record((NewFact(goal.id, Kind.BUDGET_SPENT, {"reason": reason}),))
        elif all(operation.name in STEPPING_IN for operation in goal.pending_operations()):
            yield from _advance(goal, running)


def _operate(goal: GoalStatus, operation: Operation) -> Action:
    if operation.name in STEPPING_IN:
        return Operate(goal.id, operation.request, task=operation.arguments["task"])
    return Operate(goal.id, operation.request, _lane(goal, operation))


def _lane(goal: GoalStatus, operation: Operation) -> str:
    return operation.arguments.get("onto") or goal.lane


def _recover(goal: GoalStatus, busy: frozenset[str]) -> Iterator[Action]:
    landing = landing_key(goal.id) in busy
    gating = any(task.state is TaskState.GATING for task in goal.tasks.values())
    if not landing and (goal.intent is not None or gating):
        yield RecoverLanding(goal.id)
    for task in goal.tasks.values():
        at_work = task.state in AT_WORK and not task.by_hand  # what a person gave is looked at again
        if at_work and attempt_key(goal.id, task.spec.id) not in busy:
            yield RecoverAttempt(goal.id, task.spec.id)


def _cancel(goal: GoalStatus, running: list[str]) -> Iterator[Action]:
    yield from (Stop(key) for key in running)
    if running:
        return
    if goal.spec.bulk is not None and goal.items and not goal.all_ended:
        yield CancelItems(goal.id)
        return
    facts = [
        NewFact(goal.id, Kind.TASK_CANCELLED, {"reason": goal.cancelling}, task.spec.id)
        for task in goal.tasks.values()
        if not task.ended
    ]
    end = NewFact(goal.id, Kind.GOAL_ENDED, {"state": GoalState.CANCELLED, "reason": goal.cancelling})
    yield Record((*facts, end))


def _begin(goal: GoalStatus, goals: Mapping[str, GoalStatus]) -> Iterator[Action]:
    if goal.paused:
        return
    if goal.blocked:
        yield _halt(goal)
        return
    earlier = goals.get(goal.spec.depends_on)
    if goal.spec.depends_on and (earlier is None or earlier.state is not GoalState.DONE):
        if earlier is None or has_ended(earlier):
            state = earlier.state if earlier else "unknown"
            reason = f"the goal it depends on, {goal.spec.depends_on}, ended {state}"
            yield Record((NewFact(goal.id, Kind.GOAL_ENDED, {"state": GoalState.FAILED, "reason": reason}),))
        return
    yield PrepareGoal(goal.id)


def _halt(goal: GoalStatus) -> Record:
    assert goal.blocked is not None
    state, reason = goal.blocked
    data = {"state": state, "reason": reason}
    return Record((NewFact(goal.id, Kind.GOAL_ENDED, data),))


def _advance(goal: GoalStatus, running: list[str]) -> Iterator[Action]:
    """A started goal: skip what cannot start any more, land candidates, end it."""
    if goal.needs_plan or goal.awaits_approval:  # planning itself starts where attempts do
        if goal.blocked and not running:
            yield _halt(goal)
        return
    skips = dead_ends.skips(goal)
    if skips:
        yield Record(tuple(skips))
        return
    if goal.blocked and goal.blocked[0] is GoalState.HALTED:
        if not running:
            yield _halt(goal)
        return
    if goal.spec.bulk is not None:
        yield from _advance_job(goal, running)
        return
    for name in dead_ends.pointless(goal):  # but a recovery ends by itself, and has to
        key = attempt_key(goal.id, name)
        if key in running and _recovery_key(goal.id, name) not in running:
            yield Stop(key)
    may_land = not goal.paused and landing_key(goal.id) not in running
    candidates = may_land and riders.riders(goal, {})
    if candidates:
        yield Land(goal.id)
    if all(task.ended for task in goal.tasks.values()) and not running:
        if not goal.wants_verdict:  # the verifier starts where attempts do
            yield _end(goal)
        elif goal.blocked:
            yield _halt(goal)
    elif goal.blocked and not running and not candidates:
        yield _halt(goal)  # out of money: what was paid for has landed


def _advance_job(goal: GoalStatus, running: list[str]) -> Iterator[Action]:
    """A started job: do its items, land what was accepted, end it."""
    items = goal.items or {}
    left, waiting = items.get(ItemState.QUEUED, 0), items.get(ItemState.CANDIDATE, 0)
    left += items.get(ItemState.RUNNING, 0)
    at_work, lands = items_key(goal.id) in running, landing_key(goal.id) in running
    if left and not at_work and may_start(goal):
        yield RunItems(goal.id)
        at_work = True
    full = waiting >= max(1, goal.batch)
    if waiting and not lands and not goal.paused and (full or not at_work):
        yield LandItems(goal.id)
    elif goal.all_ended and not running:
        yield _end(goal)
    elif goal.blocked and not running and not waiting:
        yield _halt(goal)


def _end(goal: GoalStatus) -> Action:
    """The goal's own check and fixes first: also where nothing had to be changed, they have to hold."""
    return CheckGoal(goal.id) if goal.wants_check else FinishGoal(goal.id)


def _starts(
    goals: Mapping[str, GoalStatus], taken: set[str], limits: Limits, now: float
) -> tuple[list[Action], dict[str, dict[Wait, int]]]:
    """What to start within the limits, older goals first, then what holds up most; and what has to wait."""
    actions: list[Action] = []
    waiting: dict[str, dict[Wait, int]] = {}
    slots = limits.parallel - sum(key.startswith(("attempt ", "plan ", "verify ")) for key in taken)
    at_work = list(agents_at_work(goals, taken, limits.agent_of, now))
    started = recent_starts(goals, now) if any(limits.starts.values()) else {}
    crew = Crew(limits.caps, limits.memory, limits.breakers, limits.starts, started)
    room = Room(slots, crew, at_work, now)
    for goal in sorted(goals.values(), key=lambda g: (g.created_at, g.id)):
        if room.slots <= 0:
            break
        if not may_start(goal):
            continue
        if goal.needs_plan or goal.wants_verdict:
            job = (PlanGoal if goal.needs_plan else VerifyGoal)(goal.id)
            if reads_from(goal) > now or job.keys & taken:
                continue
            agent = limits.agent_of(goal, None)
            if why := room.refusal(agent) or _refusal(limits, goal, agent):
                waiting[goal.id] = {why: 0}
            else:
                actions.append(job)
                room.take(agent)
            continue
        chosen, held = _choose(goal, taken, room, limits, now)
        actions += chosen
        if held:
            waiting[goal.id] = dict(held)
    return actions, waiting


def reads_from(goal: GoalStatus) -> float:
    """When the planner, or the verifier, may start."""
    return goal.planning.not_before if goal.needs_plan else goal.iterations.not_before


def _refusal(limits: Limits, goal: GoalStatus, agent: str) -> Wait | None:
    """Money and quota."""
    why = limits.refusal(goal, agent) if agent else ""
    return Wait(why) if why else None


def _choose(
    goal: GoalStatus, taken: set[str], room: Room, limits: Limits, now: float
) -> tuple[list[Action], Counter[Wait]]:
    """The attempts of one goal to start, and what its other tasks wait for."""
    chosen: list[Action] = []
    held: Counter[Wait] = Counter()
    prefix = f"attempt {goal.id}/"
    own = goal.spec.parallel or limits.parallel
    own -= sum(key.startswith(prefix) for key in taken)
    if min(own, room.slots) <= 0:
        return chosen, held
    agents = {}  # of the tasks that may start: only those are worth an order
    refused: dict[str, Wait | None] = {}  # agent -> why none of it may start for this goal
    for task in _ready(goal, taken, limits, now):
        agent = "" if not task.spec.by_agent else limits.agent_of(goal, task)
        if agent not in refused:
            refused[agent] = _refusal(limits, goal, agent)
        if why := room.refusal(agent) or refused[agent]:
            held[why] += 1
        else:
            agents[task.spec.id] = agent
    used = _used_groups(goal, taken)
    for task in _in_order(goal, agents):
        if min(room.slots, own - len(chosen)) <= 0:
            break
        group, agent = task.spec.group, agents[task.spec.id]
        if group in goal.plan.groups and used[group] >= goal.plan.groups[group]:
            continue
        if why := room.refusal(agent):
            held[why] += 1
            continue
        used[group] += 1
        room.take(agent)
        chosen.append(StartAttempt(goal.id, task.spec.id))
    return chosen, held


def may_start(goal: GoalStatus) -> bool:
    """Whether attempts of this goal may start at all."""
    return not (
        has_ended(goal)
        or goal.started_at is None
        or goal.paused
        or goal.cancelling
        or goal.blocked
        or goal.awaits_person
        or any(operation.name == "rollback" for operation in goal.pending_operations())
    )


def _ready(goal: GoalStatus, taken: set[str], limits: Limits, now: float) -> list[TaskStatus]:
    """Tasks that only the limits can hold back."""
    early = riders.speculates(goal, limits.speculate, now)
    return [
        task
        for task in goal.tasks.values()
        if task.state in (TaskState.PENDING, TaskState.WAITING)
        and task.not_before <= now
        and (goal.unblocked(task) or (early and riders.may_start_early(goal, task, limits.apart)))
        and attempt_key(goal.id, task.spec.id) not in taken
    ]


def _in_order(goal: GoalStatus, names: Iterable[str]) -> list[TaskStatus]:
    """Tasks by their priority, then by how many wait for them."""
    tasks = [goal.tasks[name] for name in names]
    if len(tasks) < 2:
        return tasks
    dependents = dag.dependents(goal.plan.tasks)
    return sorted(tasks, key=lambda task: (-task.spec.priority, -len(dependents[task.spec.id])))


def _used_groups(goal: GoalStatus, taken: set[str]) -> Counter[str]:
    """Tasks of each group that run; a job that has not recorded its start yet counts, too."""
    return Counter(
        task.spec.group
        for task in goal.tasks.values()
        if task.spec.group in goal.plan.groups
        and (task.state in AT_WORK or attempt_key(goal.id, task.spec.id) in taken)
    )
