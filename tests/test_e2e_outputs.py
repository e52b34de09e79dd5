"""Outputs of tasks: declared, left by a command, checked, shown, and handed to what depends on them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.driver import Mo, plan, python
from tests.support import RepoBuilder

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "names": {"type": "array", "items": {"type": "string"}}},
    "required": ["n"],
}


@pytest.fixture
def mo(repo: RepoBuilder) -> Iterator[Mo]:
    driver = Mo(repo)
    driver.configure(gate={"command": "none"}, retry={"base_seconds": 0.1})
    yield driver
    driver.stop()
    assert driver.programs() == []


def leaves(value: Any, *more: str) -> list[str]:
    """A command that leaves this output, as text or as JSON, in the file that MO_OUTPUT names."""
    text = value if isinstance(value, str) else json.dumps(value)
    return python(
        f"import os, pathlib; pathlib.Path(os.environ['MO_OUTPUT']).write_text({text!r}); {'; '.join(more)}"
    )


def run(mo: Mo, *tasks: dict[str, Any], code: int = 0) -> dict[str, Any]:
    file = mo.repo.path.parent / "plan.json"
    file.write_text(plan(tasks))
    mo("do", f"@{file}", code=code)
    return {task["id"]: task for task in mo.json("show", "@last")["goal"]["tasks"]}


def test_an_output_is_recorded_shown_and_never_committed(mo: Mo) -> None:
    found = {"n": 2, "names": ["a", "ü"]}
    tasks = run(
        mo,
        {"id": "file", "run": leaves(found, "open('made.txt', 'w').write('x')"), "output": SCHEMA},
        {"id": "said", "run": ["echo", 'looking\n{"n": 3}'], "output": True},
        {"id": "none", "run": ["sh", "-c", 'test -z "$MO_OUTPUT"']},
    )
    assert {name: (task["state"], task["output"]) for name, task in tasks.items()} == {
        "file": ("landed", found),
        "said": ("unchanged", {"n": 3}),
        "none": ("unchanged", None),
    }
    assert tasks["file"]["paths"] == ["made.txt"]
    assert ".mo-output.json" not in mo.repo.tree(mo.goal().integration)
    assert mo.json("show", "@last/file")["task"]["output"] == found
    assert mo("show", "@last/file").out.endswith(
        '\noutput\n  {\n    "n": 2,\n    "names": [\n      "a",\n      "ü"\n    ]\n  }\n'
    )


@pytest.mark.parametrize(
    ("left", "why"),
    [
        ({"n": "2"}, "n: expected integer, found string"),
        ({}, '"n" is missing'),
        ("[1]", "not a JSON object"),
        ("{", "not JSON: Expecting property name"),
        ('{"n": 2, "x": "' + "y" * 66_000 + '"}', "more than 64 KiB"),
    ],
)
def test_an_output_that_does_not_fit_fails_the_task(mo: Mo, left: Any, why: str) -> None:
    task = run(mo, {"id": "a", "run": leaves(left), "output": SCHEMA}, code=1)["a"]
    assert (task["state"], task["output"], len(task["attempts"])) == ("failed", None, 1)
    assert task["attempts"][0]["class"] == "invalid_output"
    assert f"its output (.mo-output.json): {why}" in task["reason"]


def test_a_file_of_that_name_in_the_repository_is_refused(mo: Mo) -> None:
    (mo.repo.path / ".mo-output.json").write_text("{}\n")
    mo.repo.git("add", ".mo-output.json")
    mo.repo.git("commit", "-qm", "a file of mo's name")
    task = run(mo, {"id": "a", "run": leaves({"n": 1}), "output": True}, code=1)["a"]
    assert task["reason"] == "the repository holds .mo-output.json, the name of task outputs"


def test_a_link_in_place_of_the_output_is_not_followed(mo: Mo) -> None:
    secret = mo.repo.path.parent / "secret.json"
    secret.write_text('{"n": 1}')
    link = python(f"import os; os.symlink({str(secret)!r}, os.environ['MO_OUTPUT'])")
    task = run(mo, {"id": "a", "run": link, "output": True}, code=1)["a"]
    assert task["reason"].endswith("an empty file, or no file at all")
    assert secret.exists()
    assert os.listdir(mo.repo.path.parent).count("secret.json") == 1
