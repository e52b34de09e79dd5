"""The graph of a plan's tasks."""

from __future__ import annotations

from graphlib import CycleError
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mo_git import dag
from mo_git.model import TaskSpec


def tasks(**edges: str) -> list[TaskSpec]:
    """tasks(a="", b="a") : b depends on a."""
    return [TaskSpec(name, depends_on=tuple(needed.split())) for name, needed in edges.items()]


DIAMOND = tasks(end="left right", left="start", right="start", start="", lone="")


def test_a_diamond() -> None:
    assert dag.levels(DIAMOND) == [["start", "lone"], ["left", "right"], ["end"]]
    assert dag.order(DIAMOND) == ["start", "lone", "left", "right", "end"]
    assert dag.direct_dependents(DIAMOND) == {
        "end": (),
        "left": ("end",),
        "right": ("end",),
        "start": ("left", "right"),
        "lone": (),
    }
    assert dag.dependents(DIAMOND) == {
        "end": frozenset(),
        "left": frozenset({"end"}),
        "right": frozenset({"end"}),
        "start": frozenset({"left", "right", "end"}),
        "lone": frozenset(),
    }
    assert dag.ancestors(DIAMOND) == {
        "end": frozenset({"left", "right", "start"}),
        "left": frozenset({"start"}),
        "right": frozenset({"start"}),
        "start": frozenset(),
        "lone": frozenset(),
    }


def test_the_most_that_can_be_under_way() -> None:
    ids = [task.id for task in DIAMOND]
    assert dag.width(DIAMOND, ids) == 3
    assert dag.width(DIAMOND, ["start", "left", "end"]) == 1
    assert dag.width(tasks(y="x", z="x", x="", w=""), ["x", "y", "z", "w"]) == 3  # no level holds them all
    long = [TaskSpec(f"t{n}", depends_on=(f"t{n - 1}",) if n else ()) for n in range(500)]
    assert dag.width(long, [task.id for task in long]) == 1
    assert dag.width([TaskSpec(f"t{n}") for n in range(500)], [f"t{n}" for n in range(500)]) == 500


@given(st.lists(st.sets(st.integers(0, 6), max_size=3), max_size=7))
def test_the_width_is_that_of_the_largest_independent_set(needed: list[set[int]]) -> None:
    graph = [
        TaskSpec(str(n), depends_on=tuple(str(other) for other in sorted(some) if other < n))
        for n, some in enumerate(needed)
    ]
    above = dag.ancestors(graph)
    ids = [task.id for task in graph]
    sets = (some for size in range(len(ids) + 1) for some in combinations(ids, size))
    free = (some for some in sets if not any(above[one].intersection(some) for one in some))
    assert dag.width(graph, ids) == max(len(some) for some in free)


def test_nothing_to_do() -> None:
    assert dag.width([], []) == 0
    assert dag.order([]) == []
    assert dag.levels([]) == []
    assert dag.find_cycle([]) is None
    assert dag.critical_path([], lambda _: 1) == []
    assert dag.ready([], set(), set()) == []


@pytest.mark.parametrize(
    ("graph", "cycle"),
    [
        (tasks(a="", b="a", c="a b"), None),
        (tasks(a="a"), ["a", "a"]),
        (tasks(a="b", b="a"), ["a", "b", "a"]),
        (tasks(x="", c="a x", b="c", a="b"), ["c", "a", "b", "c"]),
        (tasks(a="unknown"), None),
    ],
)
def test_a_cycle_starts_with_the_first_task_of_the_file(
    graph: list[TaskSpec], cycle: list[str] | None
) -> None:
    assert dag.find_cycle(graph) == cycle
    if cycle:
        for function in (dag.order, dag.levels, dag.dependents, dag.ancestors):
            with pytest.raises(CycleError):
                function(graph)


@pytest.mark.parametrize(
    ("weights", "path"),
    [
        ({"left": 5}, ["start", "left", "end"]),
        ({"right": 5}, ["start", "right", "end"]),
        ({"lone": 50}, ["lone"]),
        ({}, ["start", "left", "end"]),
        ({"end": 0, "left": 0, "right": 0, "start": 0, "lone": 0}, ["start"]),
    ],
)
def test_critical_path(weights: dict[str, float], path: list[str]) -> None:
    assert dag.critical_path(DIAMOND, lambda task: weights.get(task.id, 1)) == path


@pytest.mark.parametrize(
    ("satisfied", "started", "expected"),
    [
        ("", "", ["start", "lone"]),
        ("", "lone", ["start"]),
        ("start", "", ["left", "right", "lone"]),
        ("start left", "right lone", []),
        ("start left right", "lone", ["end"]),
        ("start left right end lone", "", []),
    ],
)
def test_ready(satisfied: str, started: str, expected: list[str]) -> None:
    assert dag.ready(DIAMOND, set(satisfied.split()), set(started.split())) == expected


def test_an_unknown_dependency_is_never_satisfied_by_itself() -> None:
    graph = tasks(a="gone")
    assert dag.order(graph) == ["a"]
    assert dag.ready(graph, set(), set()) == []
    assert dag.ready(graph, {"gone"}, set()) == ["a"]


def test_a_dependency_named_twice_counts_once() -> None:
    graph = tasks(a="", b="a a")
    assert dag.direct_dependents(graph) == {"a": ("b",), "b": ()}
    assert dag.order(graph) == ["a", "b"]


def test_a_long_chain_needs_no_recursion() -> None:
    chain = [TaskSpec("t0"), *(TaskSpec(f"t{n}", depends_on=(f"t{n - 1}",)) for n in range(1, 3000))]
    names = [task.id for task in chain]
    assert dag.order(chain[::-1]) == names
    assert dag.critical_path(chain, lambda _: 1) == names
    ring = [TaskSpec("t0", depends_on=("t2999",)), *chain[1:]]
    assert dag.find_cycle(ring) == ["t0", *names[::-1]]


@st.composite
def graphs(draw: st.DrawFn) -> list[TaskSpec]:
    """Acyclic graphs in any order of the file."""
    size = draw(st.integers(1, 8))
    made = []
    for n in range(size):
        needed = draw(st.lists(st.integers(0, n - 1), unique=True)) if n else []
        made.append(TaskSpec(f"t{n}", depends_on=tuple(f"t{m}" for m in needed)))
    return draw(st.permutations(made))


def reachable(by_id: dict[str, TaskSpec], start: str) -> set[str]:
    """By the definition, as a check of the faster way."""
    direct = set(by_id[start].depends_on)
    return direct.union(*(reachable(by_id, other) for other in direct))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_properties_of_every_graph(graph: list[TaskSpec]) -> None:
    by_id = {task.id: task for task in graph}
    order, above, below = dag.order(graph), dag.ancestors(graph), dag.dependents(graph)
    assert sorted(order) == sorted(by_id)
    place = {name: index for index, name in enumerate(order)}
    for task in graph:
        assert all(place[other] < place[task.id] for other in task.depends_on)
        assert above[task.id] == reachable(by_id, task.id)
        assert {other for other in by_id if task.id in above[other]} == below[task.id]
    path = dag.critical_path(graph, lambda _: 1)
    assert all(first in by_id[second].depends_on for first, second in pairwise(path))
    assert len(path) == len(dag.levels(graph))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_starting_what_is_ready_ends_everything_level_by_level(graph: list[TaskSpec]) -> None:
    done: set[str] = set()
    for level in dag.levels(graph):
        assert dag.ready(graph, done, set()) == level
        done.update(level)
    assert len(done) == len(graph)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.data())
def test_a_back_edge_is_found(graph: list[TaskSpec], data: st.DataObject) -> None:
    assert dag.find_cycle(graph) is None
    order = dag.order(graph)
    first = data.draw(st.sampled_from(order))
    last = data.draw(st.sampled_from([first, *sorted(dag.dependents(graph)[first])]))
    broken = [
        TaskSpec(task.id, depends_on=(*task.depends_on, last)) if task.id == first else task for task in graph
    ]
    cycle = dag.find_cycle(broken)
    assert cycle is not None
    assert cycle[0] == cycle[-1]
    by_id = {task.id: task for task in broken}
    assert all(second in by_id[one].depends_on for one, second in pairwise(cycle))
