"""The schemas of the JSON documents: they accept what is right, refuse what is not, and know every state."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mo_git.ledger.items import ItemRow
from mo_git.model import ENDED_GOAL, Fact, GoalState, TaskState
from mo_git.simple.item import Item, ItemState
from mo_git.simple.view import item_document, job_document
from mo_git.views import lessons
from mo_git.views.cost import cost_document
from mo_git.views.lessons import Lesson
from tests.schemas import DIRECTORY, DRAFT, problems, schema

NAMES = ("cost", "do", "flakes", "lessons", "show", "simple_item", "simple_status", "status")

ATTEMPT = {
    "n": 1,
    "provider": "command",
    "model": "",
    "state": "failed",
    "class": "crash",
    "exit_code": -9,
    "started_at": 1.5,
    "ended_at": None,
    "cost_usd": 0,
    "tokens": {"input": 0, "output": 0},
    "log": None,
}
TASK = {
    "id": "a",
    "title": "A",
    "state": "landed",
    "reason": "",
    "depends_on": [],
    "branch": "mo/g-1/a",
    "base": "b" * 40,
    "commit": "c" * 40,
    "landed_commit": None,
    "writes": ["src/**"],
    "review": None,
    "attempts": [ATTEMPT],
    "worktree": None,
}
GATE = {
    "commit": "c",
    "tree": "t",
    "tasks": ["a"],
    "kind": "full",
    "result": "red",
    "cached": False,
    "tests": {"passed": 3, "failed": 1, "missing": 0, "flaky": None},
    "failed_ids": ["x"],
    "flaky_ids": ["y"],
    "seconds": 0.1,
}
FLAKES = {
    "v": 1,
    "quarantine_days": 14,
    "flakes": [
        {
            "id": "x",
            "rate": 0.2,
            "passed": 3,
            "failed": 1,
            "evidence": [{"tree": "t", "why": "same_set", "at": 1.5}],
            "quarantined_until": None,
        }
    ],
}
SHOW: dict[str, Any] = {
    "v": 1,
    "goal": {
        "id": "g-1",
        "title": "G",
        "state": "done",
        "reason": "",
        "base": "b",
        "integration": None,
        "deliver": "branch",
        "iteration": 1,
        "cost_usd": 0.0,
        "tokens": {"input": 0, "output": 0},
        "tasks": [TASK],
        "gates": [GATE],
        "score": [],
        "landings": [{"seq": 1, "commit": "c", "tree": "t", "tasks": ["a"], "at": 2.0}],
        "conflicts": [{"task": "a", "with": ["b"], "paths": ["f"], "resolution": None}],
        "ejections": [{"task": "b", "why": "red", "evidence": ["x"]}],
    },
}
STATUS: dict[str, Any] = {
    "v": 1,
    "seq": 4,
    "daemon": None,
    "limits": {},
    "goals": [
        {
            "id": "g-1",
            "title": "G",
            "state": "running",
            "tasks": {"landed": 2},
            "cost_usd": 0,
            "needs": [{"task": "a", "why": "gate proof", "do": "mo retry"}],
        }
    ],
    "forecast": [{"tasks": ["a", "b"], "paths": ["f"]}],
}
ROW = ItemRow(
    n=1,
    item=Item("a", ("x", "y"), run=("true",), metadata={"n": 1}),
    bucket="b",
    state=ItemState.FAILED,
    attempt=2,
    tries=2,
    not_before=0.0,
    token="",
    failure="check_failed",
    failures="check_failed check_failed",
    reason="false: exit 1",
    base="",
    commit="",
    landed="",
    landing="",
    kept="",
    worktree="",
    provider="command",
    cost_usd=0.0,
    started_at=1.0,
    ended_at=2.5,
)
JOB = job_document(
    "j-1",
    "failed",
    {ItemState.FAILED: 1, ItemState.LANDED: 3},
    rate=1.5,
    cost_usd=0.0,
    integration="",
    failed=[ROW],
)
GOOD: list[tuple[str, dict[str, Any]]] = [
    ("do", {"v": 1, "goal": "g-1"}),
    ("do", {"event": "task_landed", "goal": "g-1", "task": "a", "at": 1.0, "more": True}),
    ("do", {"event": "goal_ended", "goal": "g-1", "state": "done"}),
    ("flakes", FLAKES),
    ("cost", cost_document([], "day")),
    ("cost", cost_document([Fact(1, 0.0, "g-1", "a", 1, "usage", {"cost_usd": 0.5})], "task", "g-1")),
    ("lessons", lessons.document([Lesson("a1b2c3", "crash", "Do not.", 3, ("g/a", "g/b"))], "- Do.")),
    ("show", SHOW),
    ("simple_item", item_document(ROW)),
    ("simple_status", JOB),
    ("status", STATUS),
    ("status", {**STATUS, "goals": [{**STATUS["goals"][0], "tasks": {}, "items": {"landed": 2}}]}),
]


@pytest.mark.parametrize("name", NAMES)
def test_is_a_schema(name: str) -> None:
    assert (schema(name)["$schema"], schema(name)["$id"]) == (DRAFT, f"{name}.json")
    assert sorted(path.stem for path in DIRECTORY.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize(("name", "document"), GOOD)
def test_accepts(name: str, document: dict[str, Any]) -> None:
    assert problems(name, document) == []
    assert problems(name, {**document, "new_field": 1}) == []


@pytest.mark.parametrize("key", SHOW["goal"])
def test_no_field_of_a_goal_may_be_dropped(key: str) -> None:
    goal = {name: value for name, value in SHOW["goal"].items() if name != key}
    assert problems("show", {"v": 1, "goal": goal}) == [f"$.goal: {key} is missing"]


@pytest.mark.parametrize(
    ("name", "path", "value", "expected"),
    [
        ("show", ["v"], 2, "$.v: 2 is not 1"),
        (
            "show",
            ["goal", "tasks", 0, "depends_on"],
            "a",
            '$.goal.tasks[0].depends_on: "a" is not of type array',
        ),
        ("show", ["goal", "gates", 0, "cached"], 1, "$.goal.gates[0].cached: 1 is not of type boolean"),
        (
            "show",
            ["goal", "tasks", 0, "attempts", 0, "n"],
            0,
            "$.goal.tasks[0].attempts[0].n: 0 is less than 1",
        ),
        ("status", ["seq"], True, "$.seq: true is not of type integer"),
        ("status", ["goals", 0, "needs", 0], {"task": "a", "why": ""}, "$.goals[0].needs[0]: do is missing"),
    ],
)
def test_refuses(name: str, path: list[Any], value: object, expected: str) -> None:
    document = copy.deepcopy(SHOW if name == "show" else STATUS)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert problems(name, document) == [expected]


def test_refuses_unknown_states_and_incomplete_endings() -> None:
    status = copy.deepcopy(STATUS)
    status["goals"][0]["tasks"] = {"flying": 1}
    assert [problem.split(" is ")[0] for problem in problems("status", status)] == [
        '$.goals[0].tasks.flying: "flying"'
    ]
    assert problems("do", {"event": "goal_ended", "goal": "g-1"}) != []
    assert problems("do", {"goal": "g-1"}) == ["$: v is missing"]


@pytest.mark.parametrize("name", ["show", "status"])
def test_knows_every_state(name: str) -> None:
    definitions = schema(name)["$defs"]
    for other in ("simple_status", "status"):
        assert schema(other)["$defs"]["item_state"]["enum"] == list(ItemState)
    assert schema("simple_item")["properties"]["state"]["enum"] == list(ItemState)
    assert schema("simple_status")["$defs"]["goal_state"]["enum"] == list(GoalState)
    assert definitions["goal_state"]["enum"] == list(GoalState)
    assert definitions["task_state"]["enum"] == list(TaskState)
    assert set(schema("do")["$defs"]["goal_ended"]["properties"]["state"]["enum"]) == ENDED_GOAL
