"""The planner's answers, the map that it is shown, and who may ask for a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mo_daemon.plan_answer import SCHEMA, Answer, read_answer
from mo_daemon.repo_map import TREE_LINES, repo_map
from mo_git.errors import MoError
from mo_git.model import Plan, TaskSpec
from tests.support import RepoBuilder


def task(name: str, *needed: str, **more: Any) -> dict[str, Any]:
    base = {"id": name, "title": name, "prompt": f"make {name}", "depends_on": list(needed)}
    return {**base, "writes": [], "check": "", "complexity": "simple", **more}


def said(*tasks: Any, **more: Any) -> dict[str, Any]:
    return {"questions": [], "assumptions": [], "tasks": list(tasks), **more}


def spec(name: str, *needed: str, **more: Any) -> TaskSpec:
    return TaskSpec(name, name, f"make {name}", depends_on=needed, complexity="simple", **more)


A = Answer(Plan("g", (spec("a"),)))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (said(task("a")), A),
        (json.dumps(said(task("a"))), A),
        (f"```json\n{json.dumps(said(task('a')))}\n```", A),
        (f"```\n{json.dumps(said(task('a')))}\n```\n", A),
        (
            said(task("a", writes=["a.py"], check="pytest"), task("b", "a"), assumptions=["one"]),
            Answer(Plan("g", (spec("a", writes=("a.py",), check="pytest"), spec("b", "a"))), (), ("one",)),
        ),
        (said(questions=["Which?"]), Answer(None, ("Which?",))),
        ({"tasks": [task("a")], "assumptions": "just one"}, Answer(A.plan, (), ("just one",))),
    ],
)
def test_answers_that_are_plans(answer: Any, expected: Answer) -> None:
    assert read_answer(answer, "g", max_tasks=3) == expected


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("I made a plan.", "the answer is not JSON: "),
        ("[]", "the answer is not a JSON object"),
        ({}, "the answer has no list of tasks"),
        (said(), "no tasks"),
        (said("a"), "task 1 is not an object"),
        (said(task("a", run=["rm", "-r", "."])), "task a has keys that a planner may not use: run"),
        (said(task("a", when=["x"], provider="command")), "may not use: provider, when"),
        (said(task("a"), task("a")), "is used twice"),
        (said(task("a", "b"), task("b", "a")), "cycle: a -> b -> a"),
        (said(task("a", "c")), 'no task "c"'),
        (said(task("a", prompt=" ")), "is missing or empty"),
        (said(*(task(f"t{number}") for number in range(4))), "4 tasks"),
        (said(task("A B")), "is not a good name"),
    ],
)
def test_answers_that_are_none(answer: Any, message: str) -> None:
    with pytest.raises(MoError) as error:
        read_answer(answer, "g", max_tasks=3)
    assert message in error.value.message


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(MoError) as error:
        read_answer(said(task("a", "a"), task("b", "c"), task("B")), "g", max_tasks=3)
    assert len(error.value.message.splitlines()) == 3


def test_the_schema_asks_for_every_key() -> None:
    """Strict structured output takes no optional keys."""

    def objects(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        inner = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
        own = [schema] if schema.get("type") == "object" else []
        return own + [found for one in inner for found in objects(one)]

    found = objects(SCHEMA)
    assert len(found) == 2
    for one in found:
        assert sorted(one["required"]) == sorted(one["properties"])
        assert one["additionalProperties"] is False


def test_the_map_of_a_small_repository(repo: RepoBuilder) -> None:
    first = repo.head()
    second = repo.commit({"a.py": "", "docs/b.md": "", "Makefile": ""}, "Second words")
    seen = repo_map(repo.path, second, "pytest -q", "Keep it short.")
    assert seen == (
        "4 files: .md 2, (no suffix) 1, .py 1\n\n"
        "Tests (the gate): pytest -q\n\n"
        "Directories and files:\nMakefile\nREADME.md\na.py\ndocs/b.md\n\n"
        f"Recent commits:\n{second[:7]} Second words\n{first[:7]} first\n\n"
        "Lessons from earlier work:\nKeep it short."
    )


def test_the_map_of_a_large_repository_is_bounded(repo: RepoBuilder, tmp_path: Path) -> None:
    files = {f"part{number % 30}/sub{number % 7}/file{number}.py": "" for number in range(300)}
    commit = repo.commit(files, "x" * 500)
    seen = repo_map(repo.path, commit, "")
    assert seen.startswith("301 files: .py 300, .md 1\n")
    assert "Tests (the gate): none found" in seen
    assert "part3/ (10 files)" in seen
    assert len(seen) < 12_000
    assert len(seen.splitlines()) < TREE_LINES + 40
