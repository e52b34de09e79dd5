"""What plans say about outputs, references and options of agents; values held to schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_daemon import outputs
from mo_daemon.harvest import AttemptFailed
from mo_git.errors import MoError
from mo_git.model import AgentOptions, FailureClass, TaskSpec
from mo_git.plan import parse_plan, plan_from_data, plan_to_data, plan_to_toml
from mo_git.plan_schema import DEPTH, KEYWORDS, violations


def task(name: str = "a", **keys: Any) -> dict[str, Any]:
    return {"id": name, "prompt": "x", **keys}


def refused(*tasks: dict[str, Any]) -> list[str]:
    """What is wrong with a plan of these tasks, without its name."""
    with pytest.raises(MoError) as caught:
        plan_from_data({"goal": "g", "task": list(tasks)}, "p")
    return [line.removeprefix("p: ") for line in caught.value.message.splitlines()]


# -- schemas ------------------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "description": "what was found",
    "required": ["n"],
    "properties": {
        "n": {"type": "integer"},
        "kind": {"enum": ["a", 1, 1.5, True]},
        "names": {"type": "array", "items": {"type": ["string", "null"]}},
    },
}


@pytest.mark.parametrize(
    ("output", "read"), [(True, {"type": "object"}), (False, None), (SCHEMA, SCHEMA), (None, None)]
)
def test_an_output_comes_back_equal(output: Any, read: Any) -> None:
    plan = plan_from_data({"goal": "g", "task": [task(output=output)]}, "p")
    assert plan.tasks[0].output == read
    assert plan_from_data(json.loads(json.dumps(plan_to_data(plan))), "p") == plan
    assert parse_plan(plan_to_toml(plan), "p.toml") == plan


@pytest.mark.parametrize(
    ("output", "problems"),
    [
        ("true", ["expected true or a JSON schema as a table, found text"]),
        ({}, ['a task\'s output is an object: say type = "object"']),
        ({"type": "array"}, ['a task\'s output is an object: say type = "object"']),
        ({"type": ["object", "null"]}, ['a task\'s output is an object: say type = "object"']),
        (
            {"type": "object", "minimum": 1, "requird": []},
            [
                f'no keyword "minimum" (known: {", ".join(KEYWORDS)})',
                f'no keyword "requird", did you mean "required"? (known: {", ".join(KEYWORDS)})',
            ],
        ),
        (
            {"type": "object", "properties": {"n": {"type": "int"}, "m": 1}},
            [
                "n: type: expected some of object, array, string, integer, number, boolean, null, "
                'found "int", did you mean "integer"?',
                "m: expected a schema as a table, found a whole number",
            ],
        ),
        (
            {"type": "object", "properties": {"n": {"items": {"type": []}}}},
            ["n[]: type: is empty"],
        ),
        ({"type": "object", "properties": []}, ["properties: expected a table, found a list"]),
        (
            {"type": "object", "properties": {"name": {}}, "required": ["nam"]},
            ['required: "nam" is not in properties, did you mean "name"?'],
        ),
        ({"type": "object", "required": "n"}, ["required: expected a list, found text"]),
        ({"type": "object", "required": [1]}, ["required: expected names, found a whole number"]),
        ({"type": "object", "enum": []}, ["enum: is empty"]),
        (
            {"type": "object", "enum": [None, float("nan"), {}]},
            [
                "enum: expected texts, numbers, true or false, found nothing (null)",
                "enum: expected texts, numbers, true or false, found a number",
                "enum: expected texts, numbers, true or false, found a table",
            ],
        ),
        ({"type": "object", "description": 1}, ["description: expected text, found a whole number"]),
        (
            {"type": "object", "properties": {"a\0": {}}},
            ["holds a NUL or half a surrogate pair, which no file or command can take"],
        ),
    ],
)
def test_a_bad_schema(output: Any, problems: list[str]) -> None:
    assert refused(task(output=output)) == [f'task "a": output: {problem}' for problem in problems]


def test_a_schema_is_not_nested_without_end() -> None:
    schema: dict[str, Any] = {}
    for _ in range(DEPTH + 2):
        schema = {"items": schema}
    (problem,) = refused(task(output={"type": "object", "properties": {"n": schema}}))
    assert problem.endswith("nested too deeply")


@pytest.mark.parametrize(
    ("value", "problems"),
    [
        ({"n": 1}, []),
        ({"n": 1.0, "kind": 1.5, "names": ["x", None], "more": {}}, []),
        ({"n": 1, "kind": True}, []),
        ({}, ['"n" is missing']),
        ({"n": 1.5}, ["n: expected integer, found number"]),
        ({"n": True}, ["n: expected integer, found boolean"]),
        ({"n": 1, "kind": False}, ["kind: is none of the values in enum"]),
        ({"n": 1, "names": ["x", 1]}, ["names[1]: expected string or null, found integer"]),
        ({"n": 1, "names": [[]]}, ["names[0]: expected string or null, found array"]),
        (
            {"n": None, "names": {}},
            ["n: expected integer, found null", "names: expected array, found object"],
        ),
        ([], ["expected object, found array"]),
    ],
)
def test_a_value_and_a_schema(value: Any, problems: list[str]) -> None:
    assert list(violations(value, SCHEMA)) == problems


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abn"), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_any_value_is_judged(value: Any) -> None:
    assert list(violations({"any": value}, {"type": "object"})) == []
    exact = {"type": "object", "properties": {"any": {"type": "integer"}}}
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    assert (list(violations({"any": value}, exact)) == []) == whole


# -- references ---------------------------------------------------------------------------------------


def chained(prompt: str, **first: Any) -> list[dict[str, Any]]:
    """a <- b <- c, and d beside them; c has the prompt."""
    return [
        task("a", **first),
        task("b", depends_on=["a"]),
        {"id": "c", "prompt": prompt, "depends_on": ["b"]},
        task("d"),
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        "{{task.a.summary}} {{task.b.files}} {{task.a.output}} {{task.a.output.n}}",
        "{{ task.x.y }} {{task}} {{tasks.a}} {{check}} {task.a.sum}",
    ],
)
def test_good_references(prompt: str) -> None:
    plan_from_data({"goal": "g", "task": chained(prompt, output=SCHEMA)}, "p")


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("task.x.summary", 'no task "x"'),
        ("task.d.summary", 'the task does not depend on "d": add it to depends_on'),
        ("task.c.summary", 'the task does not depend on "c": add it to depends_on'),
        (
            "task.a.sumary",
            'no "sumary" of a task, did you mean "summary"? (known: summary, output, files)',
        ),
        ("task.a", 'no "" of a task (known: summary, output, files)'),
        ("task.", 'no task ""'),
        ("task.a.summary.n", '"summary" has no keys'),
        ("task.b.output", 'task "b" declares no output'),
        ("task.a.output.nam", 'the output of "a" has no key "nam", did you mean "names"?'),
    ],
)
def test_a_bad_reference(reference: str, problem: str) -> None:
    written = f"{{{{{reference}}}}}"
    said = [f'task "c": prompt: {written}: {problem}']
    assert refused(*chained(f"Use {written} and {written}.", output=SCHEMA)) == said


def test_any_key_of_an_output_without_properties() -> None:
    plan_from_data({"goal": "g", "task": chained("{{task.a.output.what-ever}}", output=True)}, "p")


def test_references_are_for_prompts_alone() -> None:
    """Text of agents never becomes part of a command."""
    words = "{{task.a.summary}}"
    command = {"id": "b", "run": ["echo", words], "check": words, "depends_on": ["a"]}
    plan = plan_from_data({"goal": "g", "task": [task("a"), command]}, "p")
    assert (plan.tasks[1].run, plan.tasks[1].check) == (("echo", words), words)


def test_a_cycle_is_said_and_references_in_it_are_left_alone() -> None:
    first = {"id": "a", "prompt": "{{task.b.summary}}", "depends_on": ["b"]}
    assert refused(first, task("b", depends_on=["a"])) == ['task "a": depends_on: cycle: a -> b -> a']


# -- options of agents --------------------------------------------------------------------------------


def test_options_of_an_agent_come_back_equal() -> None:
    options = {"max_turns": 40, "effort": "high", "max_budget_usd": 2.5}
    plan = plan_from_data({"goal": "g", "defaults": {"agent": options}, "task": [task()]}, "p")
    assert plan.tasks[0].agent == AgentOptions(40, "high", 2.5)
    assert plan_from_data(json.loads(json.dumps(plan_to_data(plan))), "p") == plan
    assert parse_plan(plan_to_toml(plan), "p.toml") == plan


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"agent": 1}, "expected a table such as { max_turns = 40 }, found a whole number"),
        ({"agent": {"max_turn": 1}}, 'max_turn: unknown key, did you mean "max_turns"?'),
        ({"agent": {"max_turns": 0}}, "max_turns: expected a whole number, 1 or more, found 0"),
        (
            {"agent": {"effort": "hgh"}},
            'effort: expected one of low, medium, high, found "hgh", did you mean "high"?',
        ),
        (
            {"agent": {"max_budget_usd": 0}},
            "max_budget_usd: expected US dollars, more than 0, found 0",
        ),
        (
            {"agent": {"max_turns": 4}, "provider": "codex"},
            "max_turns: codex knows no such limit, timeout holds for all",
        ),
        (
            {"agent": {"effort": "low"}, "prompt": None, "run": ["true"]},
            "a command has no agent: leave it out",
        ),
    ],
)
def test_bad_options_of_an_agent(keys: dict[str, Any], problem: str) -> None:
    assert refused(task(**keys)) == [f'task "a": agent: {problem}']


def test_a_command_takes_no_options_from_the_defaults() -> None:
    data = {"goal": "g", "defaults": {"agent": {"effort": "low"}}, "task": [{"id": "a", "run": ["true"]}]}
    assert plan_from_data(data, "p").tasks[0] == TaskSpec("a", run=("true",))


def test_a_task_with_an_output_may_change_nothing() -> None:
    assert TaskSpec("a", prompt="x", output={"type": "object"}).unchanged_is_fine
    assert not TaskSpec("a", prompt="x").unchanged_is_fine


# -- what a task left -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        '{"n": 1}',
        ' \n{"n":\n 1}\n',
        'I counted.\n{"n": 1}\n',
        'I counted.\n\n```json\n{"n": 0}\n```\nno:\n```\n{"n": 1}\n```\nThat is all.',
    ],
)
def test_what_was_said_counts_without_a_file(said: str, tmp_path: Path) -> None:
    assert outputs.take(tmp_path, SCHEMA, said) == {"n": 1}


def test_the_file_counts_before_what_was_said_and_goes(tmp_path: Path) -> None:
    (tmp_path / outputs.FILE).write_bytes(b'\xef\xbb\xbf{"n": 2}\r\n')
    assert outputs.take(tmp_path, SCHEMA, '{"n": 1}') == {"n": 2}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("left", "why"),
    [
        (b"", "an empty file, or no file at all"),
        (b"\xff", "not UTF-8 text, or half a surrogate pair in it"),
        (rb'{"n": "\ud800"}', "not UTF-8 text, or half a surrogate pair in it"),
        (b'{"n": NaN}', "NaN is no JSON number"),
        (b'{"n": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
        (b"null", "not a JSON object"),
        (b'{"n": ' + b"[" * 60_000, "nested too deeply"),
        (b'{"n": 1, "m": ' + b"[" * 40 + b"]" * 40 + b"}", f"nested deeper than {DEPTH} levels"),
        (b"{" + b" " * outputs.LIMIT + b"}", "more than 64 KiB"),
        (None, "there is no such file, and no JSON object at the end of what it said"),
    ],
)
def test_an_output_that_is_none(left: bytes | None, why: str, tmp_path: Path) -> None:
    if left is not None:
        (tmp_path / outputs.FILE).write_bytes(left)
    with pytest.raises(AttemptFailed) as caught:
        outputs.take(tmp_path, {"type": "object"}, "I did it. [1]")
    assert caught.value.failure is FailureClass.INVALID_OUTPUT
    assert caught.value.reason.startswith(f"its output (.mo-output.json): {why}")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_in_place_of_the_output_goes(tmp_path: Path) -> None:
    (tmp_path / outputs.FILE / "deep").mkdir(parents=True)
    with pytest.raises(AttemptFailed):
        outputs.take(tmp_path, SCHEMA, '{"n": 1}')
    assert list(tmp_path.iterdir()) == []


def test_a_secret_does_not_travel(tmp_path: Path) -> None:
    key = "AKIA" + "QWERTYUIOPASDF23"
    (tmp_path / outputs.FILE).write_text(json.dumps({"n": 1, "key": key}))
    with pytest.raises(AttemptFailed) as caught:
        outputs.take(tmp_path, SCHEMA, "")
    assert caught.value.failure is FailureClass.SECRETS
    assert key not in caught.value.reason
