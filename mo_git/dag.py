"""Questions about a set of tasks as a graph: order, cycles, dependents, critical path, what may start.

Pure.  Edges run from a task to what it depends on.  A dependency that names no task of the sequence is
ignored here (`plan` refuses it), except by `ready`, for which it is simply not satisfied.  Ids are unique.
All functions but the two transitive closures take time linear in tasks and dependencies; a closure takes
time linear in its own size at worst times the number of direct edges.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from mo_git.model import TaskSpec

_Edges = Mapping[str, Collection[str]]


def _dependencies(tasks: Sequence[TaskSpec]) -> dict[str, tuple[str, ...]]:
    """Task id -> the ids it depends on, each once, both in the order of the file."""
    known = {task.id for task in tasks}
    return {task.id: tuple(dict.fromkeys(i for i in task.depends_on if i in known)) for task in tasks}


def _topological(edges: _Edges) -> Iterable[str]:
    """Dependencies first; raises graphlib.CycleError where there is no such order."""
    return TopologicalSorter(edges).static_order()


def find_cycle(tasks: Sequence[TaskSpec]) -> list[str] | None:
    """One cycle as [a, b, ..., a], each depending on the next, or None.

    It starts with the task that comes first in the file, so that equal plans give equal messages.
    """
    edges = _dependencies(tasks)
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        ring: list[str] = list(reversed(error.args[1]))[:-1]  # graphlib lists dependencies first
        place = {task_id: index for index, task_id in enumerate(edges)}
        first = min(range(len(ring)), key=lambda index: place[ring[index]])
        return [*ring[first:], *ring[:first], ring[first]]
    return None


def levels(tasks: Sequence[TaskSpec]) -> list[list[str]]:
    """Tasks by depth: level 0 depends on nothing, level n on something of level n-1.

    Within a level the order of the file is kept.  Raises graphlib.CycleError for a cycle.
    """
    edges = _dependencies(tasks)
    depth: dict[str, int] = {}
    for task_id in _topological(edges):
        depth[task_id] = max((depth[other] + 1 for other in edges[task_id]), default=0)
    result: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for task_id in edges:
        result[depth[task_id]].append(task_id)
    return result


def order(tasks: Sequence[TaskSpec]) -> list[str]:
    """All ids, dependencies before dependents, level by level; the same for the same sequence.

    Raises graphlib.CycleError for a cycle.
    """
    return [task_id for level in levels(tasks) for task_id in level]


def direct_dependents(tasks: Sequence[TaskSpec]) -> dict[str, tuple[str, ...]]:
    """Task id -> the tasks that name it in `depends_on`, in the order of the file."""
    result: dict[str, list[str]] = {task.id: [] for task in tasks}
    for task_id, needed in _dependencies(tasks).items():
        for other in needed:
            result[other].append(task_id)
    return {task_id: tuple(found) for task_id, found in result.items()}


def _closure(edges: _Edges, ids: Iterable[str]) -> dict[str, frozenset[str]]:
    """Everything reachable over `edges`; `ids` must list the targets of edges before their sources."""
    reached: dict[str, frozenset[str]] = {}
    for task_id in ids:
        reached[task_id] = frozenset(edges[task_id]).union(*(reached[other] for other in edges[task_id]))
    return reached


def ancestors(tasks: Sequence[TaskSpec]) -> dict[str, frozenset[str]]:
    """Task id -> all it depends on, directly or through others.  Raises graphlib.CycleError."""
    return _closure(_dependencies(tasks), order(tasks))


def dependents(tasks: Sequence[TaskSpec]) -> dict[str, frozenset[str]]:
    """Task id -> all that depend on it, directly or through others.  Raises graphlib.CycleError."""
    return _closure(direct_dependents(tasks), reversed(order(tasks)))


def width(tasks: Sequence[TaskSpec], ids: Collection[str]) -> int:
    """How many of the tasks `ids` can be under way at once at most: the largest set without a path inside.

    Dilworth's theorem: as many as there are chains in the smallest cover, which is `ids` less a maximum
    matching of each task with one that it depends on (augmenting paths, breadth first).
    """
    above = ancestors(tasks) if ids else {}
    after: dict[str, str] = {}  # task -> the one that follows it in its chain
    before: dict[str, str] = {}
    for task_id in ids:
        reached: dict[str, str] = {}  # ancestor -> from which task
        queue = [task_id]
        free: str | None = None
        for here in queue:
            for other in above[here].intersection(ids) - reached.keys():
                reached[other] = here
                if other not in after:
                    free = other
                    break
                queue.append(after[other])
            if free is not None:
                break
        while free is not None:
            follower = reached[free]
            after[free] = follower
            former = before.get(follower)
            before[follower], free = free, former
    return len(ids) - len(after)


def critical_path(tasks: Sequence[TaskSpec], weight: Callable[[TaskSpec], float]) -> list[str]:
    """The chain of tasks with the greatest total weight, first task first; [] without tasks.

    `weight` gives a task's length (for example seconds), not negative.  Of equal chains the one whose end
    comes first in topological order wins.  Longest path in a DAG by one pass in topological order.
    """
    edges = _dependencies(tasks)
    by_id = {task.id: task for task in tasks}
    total: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for task_id in order(tasks):
        before[task_id] = max(edges[task_id], key=total.__getitem__, default=None)
        behind = before[task_id]
        total[task_id] = weight(by_id[task_id]) + (total[behind] if behind is not None else 0.0)
    path: list[str] = []
    step = max(total, key=total.__getitem__, default=None)
    while step is not None:
        path.append(step)
        step = before[step]
    return path[::-1]


def ready(tasks: Sequence[TaskSpec], satisfied: Collection[str], started: Collection[str]) -> list[str]:
    """Tasks not yet started (nor satisfied) whose dependencies are all satisfied, in file order.

    Pass sets: each task and dependency is looked up once.
    """
    return [
        task.id
        for task in tasks
        if task.id not in started
        and task.id not in satisfied
        and all(other in satisfied for other in task.depends_on)
    ]
