"""Plans as text: what is read, what is refused and in which words, and the way back to a file."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mo_git.errors import Exit, MoError
from mo_git.globs import bad_pattern, overlap
from mo_git.model import AgentOptions, Plan, TaskSpec
from mo_git.plan import (
    overlaps,
    parse_goal_file,
    parse_plan,
    plan_from_data,
    plan_to_data,
    plan_to_toml,
)
from mo_git.plan_read import DEFAULTS_READERS, PLAN_KEYS, TASK_READERS

FULL = '''
goal = "Add JWT authentication"
check = "pytest -q"
error_policy = "fail_fast"

[groups]
db = 1

[defaults]
timeout = 60
prompt = "Do what the title says."
provider = "claude"

[[task]]
id = "middleware"
title = "Write the middleware"
prompt = """
First line.
Second line."""
writes = ["src/auth/**"]
scope = "enforce"
check = ["pytest", "-q", "tests/auth"]
no_change = "ok"
complexity = "complex"
group = "db"
when = ["test", "-f", "setup.py"]
model = "sonnet"
timeout = 1800
max_attempts = 3
priority = -2

[[task]]
id = "docs"
run = ["make", "docs"]
depends_on = ["middleware", "middleware"]
writes = []
check = ""

[[task]]
id = "notes"

[[task]]
id = "theirs"
from = "feature/x"
depends_on = ["docs"]
check = "make"
priority = 1
'''
FULL_PLAN = Plan(
    goal="Add JWT authentication",
    check="pytest -q",
    error_policy="fail_fast",
    groups={"db": 1},
    tasks=(
        TaskSpec(
            id="middleware",
            title="Write the middleware",
            prompt="First line.\nSecond line.",
            writes=("src/auth/**",),
            scope="enforce",
            check=("pytest", "-q", "tests/auth"),
            no_change="ok",
            complexity="complex",
            group="db",
            when=("test", "-f", "setup.py"),
            provider="claude",
            model="sonnet",
            timeout=1800.0,
            max_attempts=3,
            priority=-2,
        ),
        TaskSpec(id="docs", run=("make", "docs"), depends_on=("middleware",), writes=(), timeout=60.0),
        TaskSpec(id="notes", prompt="Do what the title says.", provider="claude", timeout=60.0),
        TaskSpec(id="theirs", from_ref="feature/x", depends_on=("docs",), check="make", priority=1),
    ),
)


def refused(text: str, source: str = "p.toml", **options: Any) -> list[str]:
    """The lines of the refusal."""
    with pytest.raises(MoError) as caught:
        parse_plan(text, source, **options)
    assert caught.value.code is Exit.USAGE
    return caught.value.message.split("\n")


def task(body: str) -> str:
    return f'[[task]]\nid = "a"\n{body}\n'


# -- reading ------------------------------------------------------------------------------------------


def test_every_key() -> None:
    assert parse_plan(FULL, "p.toml") == FULL_PLAN


def test_keys_are_the_fields_of_the_words() -> None:
    names = {field.name for field in dataclasses.fields(TaskSpec)}
    assert set(TASK_READERS) == {{"from_ref": "from"}.get(name, name) for name in names}
    fields = {field.name for field in dataclasses.fields(Plan)} - {"tasks"}
    assert set(PLAN_KEYS) == fields | {"task", "defaults"}
    assert set(DEFAULTS_READERS) == set(TASK_READERS) - {"id", "depends_on", "from"}


@pytest.mark.parametrize(
    ("source", "format"), [("p.json", "auto"), ("answer", "auto"), ("p.toml", "json"), ("p.JSON", "auto")]
)
def test_json_takes_null_for_what_is_not_given(source: str, format: Any) -> None:
    text = ' {"goal": "g", "check": null, "task": [{"id": "a", "prompt": "x", "model": null, "run": null}]}'
    assert parse_plan(text, source, format) == Plan("g", (TaskSpec("a", prompt="x"),))


def test_toml_with_byte_order_mark_and_windows_lines() -> None:
    assert parse_plan("\ufeff" + FULL.replace("\n", "\r\n"), "p.toml").tasks[0].group == "db"


def test_a_task_that_says_what_it_does_is_not_given_the_other_kind_by_default() -> None:
    text = '[defaults]\nrun = ["make"]\n' + task('prompt = "x"')
    assert parse_plan(text, "p.toml").tasks == (TaskSpec("a", prompt="x"),)


# -- refusing -----------------------------------------------------------------------------------------

SLUG_RULE = "is not a good name: use lower-case letters, digits, - and _, starting with a letter or digit"
PROVIDERS = "(known: auto, claude, codex, command)"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('prompt = "x"\nscop = "warn"', 'scop: unknown key, did you mean "scope"?'),
        ('prompt = "x"\ntitle = 3', "title: expected text, found a whole number"),
        ('prompt = ["x"]', "prompt: expected text, found a list"),
        ('prompt = " \\n"', "prompt: is missing or empty: a task needs prompt, run = [...] or from"),
        ("", "prompt: is missing or empty: a task needs prompt, run = [...] or from"),
        ('prompt = "x"\nrun = ["y"]', "run: stands beside prompt: a task has one of them"),
        ('from = "x"\nrun = ["y"]', "run: stands beside from: nothing is done there, leave it out"),
        ('from = "x"\noutput = true', "output: stands beside from: nothing is done there, leave it out"),
        ('from = " x"', "from: expected the name of a branch or a commit"),
        ('from = "--all"', "from: expected the name of a branch or a commit"),
        ("run = []", "run: is empty: name a program and its arguments"),
        ('run = [" ", "x"]', "run: is empty: name a program and its arguments"),
        (
            "run = \"ruff check --fix 'my src'\"",
            'run: expected an argv list, found text: write ["ruff", "check", "--fix", "my src"]',
        ),
        ('run = "it\'s"', 'run: expected an argv list, found text: write ["ruff", "check"]'),
        ('run = ["a", 1]', "run: expected a list of texts, found a whole number in it"),
        (
            'prompt = "x"\nwhen = "test -f x"',
            'when: expected an argv list, found text: write ["test", "-f", "x"]',
        ),
        (
            'prompt = "x"\ncheck = 1',
            "check: expected text (run by sh -c) or an argv list, found a whole number",
        ),
        ('prompt = "x"\ncheck = []', "check: is empty: name a program and its arguments"),
        (
            'prompt = "x"\nscope = "warm"',
            'scope: expected one of warn, enforce, off, found "warm", did you mean "warn"?',
        ),
        ('prompt = "x"\nno_change = true', "no_change: expected one of ok, fail, found true or false"),
        (
            'prompt = "x"\ncomplexity = "hard"',
            'complexity: expected one of simple, moderate, complex, found "hard"',
        ),
        ('prompt = "x"\ntimeout = 0', "timeout: expected a number of seconds greater than 0, found 0"),
        ('prompt = "x"\ntimeout = -1.5', "timeout: expected a number of seconds greater than 0, found -1.5"),
        (
            'prompt = "x"\ntimeout = inf',
            "timeout: expected a number of seconds greater than 0, found one that is out of range",
        ),
        (
            f'prompt = "x"\ntimeout = {10**30}',
            "timeout: expected a number of seconds greater than 0, found one that is out of range",
        ),
        ('prompt = "x"\ntimeout = "1h"', "timeout: expected a number of seconds greater than 0, found text"),
        ('prompt = "x"\nmax_attempts = 0', "max_attempts: expected a whole number, 1 or more, found 0"),
        (
            'prompt = "x"\nmax_attempts = true',
            "max_attempts: expected a whole number, 1 or more, found true or false",
        ),
        ('prompt = "x"\npriority = 1.5', "priority: expected a whole number, found a number"),
        ('prompt = "x"\npriority = 2026-01-01', "priority: expected a whole number, found a date"),
        ('prompt = "x"\ndepends_on = "b"', "depends_on: expected a list of texts, found text"),
        ('prompt = "x"\ndepends_on = ["a"]', "depends_on: names the task itself"),
        ('prompt = "x"\ndepends_on = ["b"]', 'depends_on: no task "b"'),
        ('prompt = "x"\ngroup = "db"', 'group: no "db" in [groups]'),
        (
            'prompt = "x"\nprovider = "cluade"',
            f'provider: no provider "cluade", did you mean "claude"? {PROVIDERS}',
        ),
        ('prompt = "x"\nprovider = "command"', 'provider: "command" takes run = [...], not a prompt'),
        ('run = ["x"]\nprovider = "codex"', 'provider: "codex" cannot run = [...]: leave provider out'),
        ('prompt = "x"\nmodel = "a\\u0000b"', "model: holds a NUL or half a surrogate pair, which no file"),
        ('prompt = "x"\n"k\\u001b[2J" = 1', "k\\u001b[2J: unknown key"),
        (
            'prompt = "x"\nwrites = ["ok/**", "/abs", "a\\\\b"]',
            'writes: pattern "/abs" is absolute, write it relative to the repository root',
        ),
    ],
)
def test_a_bad_task(body: str, problem: str) -> None:
    first = refused(task(body))[0]
    assert first.startswith(f'p.toml: task "a": {problem}')


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ('""', "task 1: id: is empty"),
        ('"Fix Login"', f'task "Fix Login": id: "Fix Login" {SLUG_RULE}, for example "fix-login"'),
        ('"-x"', f'task "-x": id: "-x" {SLUG_RULE}, for example "x"'),
        ('"é"', f'task "é": id: "é" {SLUG_RULE}'),
        ('"a/b"', f'task "a/b": id: "a/b" {SLUG_RULE}, for example "a-b"'),
        ("7", "task 1: id: expected text, found a whole number"),
        ('"integration"', 'task "integration": id: is reserved, use another name'),
    ],
)
def test_a_bad_id(name: str, problem: str) -> None:
    assert refused(f'[[task]]\nid = {name}\nprompt = "x"') == [f"p.toml: {problem}"]


def test_an_id_may_have_sixty_characters() -> None:
    assert parse_plan(f'[[task]]\nid = "{"a" * 60}"\nprompt = "x"', "p.toml").tasks[0].id == "a" * 60
    assert refused(f'[[task]]\nid = "{"a" * 61}"\nprompt = "x"') == [
        f'p.toml: task "{"a" * 61}": id: "{"a" * 20}..." has 61 characters, at most 60 are allowed'
    ]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('goal = "x"', ["p.toml: task: no tasks: write at least one [[task]]"]),
        (
            '[tasks.a]\nprompt = "x"',
            [
                "p.toml: tasks: unknown key: write each task as [[task]] with its id inside",
                "p.toml: task: no tasks: write at least one [[task]]",
            ],
        ),
        ('[task]\nid = "a"', ["p.toml: task: expected a list of tables: write [[task]], found a table"]),
        ("task = [1]", ["p.toml: task 1: expected a table, found a whole number"]),
        ('[[task]]\nprompt = "x"', ["p.toml: task 1: id: is missing"]),
        (
            'error_policy = "stop"\n' + task('prompt = "x"'),
            ['p.toml: error_policy: expected one of skip_dependents, fail_fast, found "stop"'],
        ),
        (
            "groups = 3\n" + task('prompt = "x"'),
            ["p.toml: groups: expected a table of name = number, found a whole number"],
        ),
        (
            '[groups]\n"D B" = 1\ndb = 0\n' + task('prompt = "x"\ngroup = "db"'),
            [
                f'p.toml: [groups]: D B: "D B" {SLUG_RULE}, for example "d-b"',
                "p.toml: [groups]: db: expected a whole number, 1 or more, found 0",
            ],
        ),
        (
            '[defaults]\nid = "x"\ndepends_on = []\ntimeout = 0\ntimout = 1\n' + task('prompt = "x"'),
            [
                'p.toml: [defaults]: timout: unknown key, did you mean "timeout"?',
                "p.toml: [defaults]: id: belongs to one task, write it there",
                "p.toml: [defaults]: depends_on: belongs to one task, write it there",
                "p.toml: [defaults]: timeout: expected a number of seconds greater than 0, found 0",
            ],
        ),
        (
            "defaults = 1\n" + task('prompt = "x"'),
            ["p.toml: defaults: expected a table of task keys, found a whole number"],
        ),
        (
            task('prompt = "x"') * 2,
            ['p.toml: task "a": id: is used twice: ids are unique in a plan'],
        ),
    ],
)
def test_a_bad_plan(text: str, problems: list[str]) -> None:
    assert refused(text) == problems


def test_every_cycle_is_printed() -> None:
    edges = {"a": "c", "b": "a", "c": "b", "d": "a", "x": "y", "y": "x"}
    text = "".join(f'[[task]]\nid = "{a}"\nprompt = "x"\ndepends_on = ["{b}"]\n' for a, b in edges.items())
    assert refused(text) == [
        'p.toml: task "a": depends_on: cycle: a -> c -> b -> a',
        'p.toml: task "x": depends_on: cycle: x -> y -> x',
    ]


def test_everything_wrong_is_said_at_once() -> None:
    text = """
        goal = 1
        [[task]]
        id = "One"
        prompt = "x"
        depends_on = ["two"]
        [[task]]
        id = "two"
        depends_on = ["One", "thre"]
        writes = ["../up", "["]
        [[task]]
        id = "three"
        run = "make"
        timeout = 0
    """
    with pytest.raises(MoError) as caught:
        parse_plan(text, "p.toml", max_tasks=2)
    assert caught.value.message.split("\n") == [
        "p.toml: goal: expected text, found a whole number",
        f'p.toml: task "One": id: "One" {SLUG_RULE}, for example "one"',
        'p.toml: task "two": writes: pattern "../up" leaves the repository (..)',
        'p.toml: task "two": writes: pattern "[" has a [ without its ]',
        'p.toml: task "three": run: expected an argv list, found text: write ["make"]',
        'p.toml: task "three": timeout: expected a number of seconds greater than 0, found 0',
        "p.toml: task: 3 tasks, at most 2 are allowed (planner.max_tasks)",
        'p.toml: task "two": prompt: is missing or empty: a task needs prompt, run = [...] or from',
        'p.toml: task "two": depends_on: no task "thre", did you mean "three"?',
        'p.toml: task "One": depends_on: cycle: One -> two -> One',
    ]
    assert caught.value.hint == "correct these 10 problems in p.toml"


def test_limits_can_be_left_out() -> None:
    text = "".join(f'[[task]]\nid = "t{n}"\nprompt = "x"\nprovider = "mine"\n' for n in range(3))
    assert len(parse_plan(text, "p.toml", providers=None).tasks) == 3
    assert len(parse_plan(text, "p.toml", max_tasks=3, providers=["mine"]).tasks) == 3


@pytest.mark.parametrize(
    ("source", "text", "message"),
    [
        (
            "p.toml",
            'goal = "x"\nbad line\n',
            "p.toml:2:5: not valid TOML: Expected '=' after a key in a key/value pair",
        ),
        ("p.toml", "a = 1\nb = [1,\n", "p.toml:2: not valid TOML: Invalid value, at the end of the file"),
        ("p.toml", "a = 1\na = 2\n", "p.toml:2:6: not valid TOML: Cannot overwrite a value"),
        ("p.toml", f"a = {'[' * 5000}", "p.toml: not valid TOML: nested too deeply"),
        ("p.json", '{"goal": "x",\n "task": [}', "p.json:2:11: not valid JSON: Expecting value"),
        ("p.json", "[" * 100000, "p.json: not valid JSON: nested too deeply"),
        (
            "p.json",
            '{"task": [{"id": "a", "id": "b"}]}',
            'p.json: not valid JSON: the key "id" stands twice in one object',
        ),
        ("p.json", "[1]", "p.json: expected a plan as a JSON object, found a list"),
    ],
)
def test_broken_text_names_file_and_line(source: str, text: str, message: str) -> None:
    assert refused(text, source) == [message]


# -- goal files ---------------------------------------------------------------------------------------


def test_a_goal_in_words() -> None:
    read = parse_goal_file("# Faster start\n\nMake it start faster.\n", "g.md")
    assert (read.meta, read.text, read.plan) == ({}, "# Faster start\n\nMake it start faster.", None)


def test_a_goal_with_settings_and_tasks() -> None:
    text = (
        '+++\r\ntitle = "T"\nparallel = 2\ncheck = "make"\n[[task]]\nid = "a"\nprompt = "x"\n+++ \n\nDo it.\n'
    )
    read = parse_goal_file(text, "g.md")
    assert read.meta == {"title": "T", "parallel": 2}
    assert read.text == "Do it."
    assert read.plan == Plan("Do it.", (TaskSpec("a", prompt="x"),), check="make")


def test_without_tasks_all_keys_stay_in_the_front_matter() -> None:
    read = parse_goal_file('+++\ngoal = "Do it."\ncheck = "make"\ndeliver = "merge"\n+++\n', "g.md")
    assert read.meta == {"goal": "Do it.", "check": "make", "deliver": "merge"}
    assert (read.text, read.plan) == ("Do it.", None)


def test_a_prompt_may_hold_the_fence() -> None:
    plan = Plan("g", (TaskSpec("a", prompt="Write a post:\n+++\ntitle = 1\n+++\nText"),))
    read = parse_goal_file(f"+++\n{plan_to_toml(plan)}+++\nBody\n+++\nmore\n", "g.md")
    assert (read.plan, read.text) == (plan, "Body\n+++\nmore")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["g.md: goal: no text and no tasks: say what is to be done"]),
        ("+++\n+++\n \n", ["g.md: goal: no text and no tasks: say what is to be done"]),
        ("+++\nbase = 1\n", ["g.md:1: the front matter has no end"]),
        (
            "+++\nbase = 'x'\nbad\n+++\nText",
            ["g.md:3:4: not valid TOML: Expected '=' after a key in a key/value pair"],
        ),
        (
            '+++\nbase = 1\ndeliver = "pr"\nparalel = 3\nscope = "off"\n[defaults]\nx = 1\n+++\nText',
            [
                'g.md: paralel: unknown key, did you mean "parallel"?',
                "g.md: scope: unknown key",
                "g.md: base: expected text, found a whole number",
                'g.md: deliver: expected one of branch, merge, found "pr"',
                "g.md: [defaults]: x: unknown key",
            ],
        ),
        (
            '+++\n[[task]]\nid = "a"\nrun = "x"\n+++\nText',
            ['g.md: task "a": run: expected an argv list, found text: write ["x"]'],
        ),
    ],
)
def test_a_bad_goal_file(text: str, problems: list[str]) -> None:
    with pytest.raises(MoError) as caught:
        parse_goal_file(text, "g.md")
    assert caught.value.message.split("\n") == problems
    assert caught.value.code is Exit.USAGE


def test_a_goal_file_keeps_to_the_limits() -> None:
    text = '+++\n[[task]]\nid = "a"\nprompt = "x"\n[[task]]\nid = "b"\nprompt = "x"\n+++\nText'
    with pytest.raises(MoError, match=r"g.md: task: 2 tasks, at most 1 are allowed"):
        parse_goal_file(text, "g.md", max_tasks=1)


# -- the way back -------------------------------------------------------------------------------------


def test_the_file_is_one_to_edit() -> None:
    plan = Plan(
        "Two things",
        (
            TaskSpec("a", prompt='Say "hi"\nand \\n.\n', timeout=2.5, writes=("src/**",)),
            TaskSpec("b", run=("make", "x y"), depends_on=("a",), group="db", timeout=60.0),
        ),
        groups={"db": 1},
    )
    assert plan_to_toml(plan) == (
        'goal = "Two things"\n\n[groups]\ndb = 1\n\n'
        '[[task]]\nid = "a"\nprompt = """\nSay "hi"\nand \\\\n.\n"""\nwrites = ["src/**"]\ntimeout = 2.5\n\n'
        '[[task]]\nid = "b"\nrun = ["make", "x y"]\ndepends_on = ["a"]\ngroup = "db"\ntimeout = 60\n'
    )


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TRICKY = st.lists(st.sampled_from(['"', "\\", "\n", "\r", "n", "'", "\t", "\x7f", "+++\n"]), max_size=9).map(
    "".join
)
FILLED = (TEXT | TRICKY).filter(lambda text: bool(text.strip()))
ARGV = st.lists(FILLED, min_size=1, max_size=30).map(tuple)
GLOBS = st.lists(st.sampled_from(["src/**", "a.py", "[ab]?/*", "docs/"]), max_size=2).map(tuple)
COMMON: dict[str, Any] = {
    "title": TEXT | TRICKY,
    "writes": st.none() | GLOBS,
    "scope": st.sampled_from(["warn", "enforce", "off"]),
    "check": st.none() | FILLED | ARGV,
    "no_change": st.sampled_from(["", "ok", "fail"]),
    "complexity": st.sampled_from(["simple", "moderate", "complex"]),
    "group": st.sampled_from(["", "db"]),
    "when": st.none() | ARGV,
    "model": TEXT,
    "timeout": st.none() | st.floats(0.001, 1e9),
    "max_attempts": st.none() | st.integers(1, 99),
    "priority": st.integers(-9, 9),
    "output": st.none()
    | st.dictionaries(TEXT, st.sampled_from([{}, {"enum": ["a", 1.5, True]}, {"type": ["null"]}])).map(
        lambda inner: {"type": "object", "properties": inner, "required": sorted(inner)}
    ),
}
AGENT = st.builds(
    TaskSpec,
    id=st.just("a"),
    prompt=FILLED,
    provider=st.sampled_from(["auto", "codex"]),
    agent=st.builds(
        AgentOptions,
        effort=st.sampled_from(["", "low", "high"]),
        max_budget_usd=st.none() | st.floats(0.001, 1e6),
    ),
    **COMMON,
)
COMMAND = st.builds(TaskSpec, id=st.just("b"), run=ARGV, depends_on=st.just(("a",)), **COMMON)
KEYS = st.sampled_from([*PLAN_KEYS, *TASK_READERS])
PLANS = st.builds(
    Plan,
    goal=TEXT | TRICKY,
    tasks=st.tuples(AGENT, COMMAND),
    check=st.none() | FILLED | ARGV,
    groups=st.just({"db": 2}),
    error_policy=st.sampled_from(["skip_dependents", "fail_fast"]),
)


@settings(max_examples=80, deadline=None)
@given(PLANS)
def test_a_plan_comes_back_equal(plan: Plan) -> None:
    stored = json.loads(json.dumps(plan_to_data(plan)))
    assert plan_from_data(stored, "stored") == plan
    assert parse_plan(plan_to_toml(plan), "p.toml") == plan
    assert parse_goal_file(f"+++\n{plan_to_toml(plan)}+++\nText", "g.md").plan == plan


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, ANY, max_size=4))
def test_any_data_is_refused_in_words(data: dict[str, Any]) -> None:
    data["task"] = [data.get("task"), {"id": "a"}]
    with pytest.raises(MoError) as caught:
        plan_from_data(data, "p")
    assert all(line.startswith("p: ") for line in caught.value.message.split("\n"))


# -- overlapping writes -------------------------------------------------------------------------------


def writing(**writes: str) -> list[TaskSpec]:
    return [TaskSpec(name, prompt="x", writes=tuple(globs.split())) for name, globs in writes.items()]


def test_overlaps_of_tasks_that_can_run_at_once() -> None:
    one, two, three, four = writing(one="src/auth/** docs/a.md", two="src/*/x.py", three="tests", four="src")
    five = TaskSpec("five", prompt="x")
    late = dataclasses.replace(four, depends_on=("two",))
    assert overlaps(Plan("g", (one, two, three, four, five))) == [
        ("one", "two", "src/auth/** and src/*/x.py"),
        ("one", "four", "src/auth/** and src"),
        ("two", "four", "src/*/x.py and src"),
    ]
    assert overlaps(Plan("g", (late, one, two))) == [
        ("four", "one", "src and src/auth/**"),
        ("one", "two", "src/auth/** and src/*/x.py"),
    ]


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("a.py", "a.py", True),
        ("a.py", "b.py", False),
        ("src", "src/a.py", True),
        ("src/", "src/deep/a.py", True),
        ("src", "srcs/a.py", False),
        ("src/**", "tests/**", False),
        ("**", "anything/at/all", True),
        ("src/**/x.py", "src/x.py", True),
        ("src/**/x.py", "src/a/b/y.py", False),
        ("src/*.py", "src/a.txt", False),
        ("src/*.py", "src/deep/a.py", False),
        ("src/a*", "src/*b", True),
        ("src/a?c", "src/abd", False),
        ("src/[ab].py", "src/c.py", True),  # said to meet: brackets are not looked into
        ("*.md", "docs/guide.md", True),
        ("README.md", "docs/README.md", False),
        ("docs/*/*.md", "docs/*/a.*", True),
        ("a/**/b/**/c", "a/x/y/z.py", False),
        ("*.md", "src/a.py", False),
        ("*.md", "docs", True),
        ("src/**/test_a.py", "src/b.py", False),
        (".github", ".github/workflows/ci.yml", True),
        ("lib/v1.2", "lib/v1.2/a.py", False),  # the guess is wrong here, a slash at the end says it
        ("lib/v1.2/", "lib/v1.2/a.py", True),
    ],
)
def test_patterns_that_could_meet(one: str, other: str, meet: bool) -> None:
    assert overlap(one, other) is meet
    assert overlap(other, one) is meet


def test_long_patterns_take_no_time() -> None:
    stars = "/".join(["**", "*a*" * 20] * 20)
    assert not overlap(stars + "/x.py", stars + "/y.py")
    assert overlap(stars, stars + "/y.py")


def covered(pattern: str, path: str) -> bool:
    """A slow and simple reading of a pattern with a slash, to hold `overlap` to."""
    part = re.escape(pattern).replace(r"/\*\*/", "/(.*/)?").replace(r"\*\*/", "(.*/)?").replace(r"\*\*", ".*")
    return bool(re.fullmatch(part.replace(r"\*", "[^/]*").replace(r"\?", "[^/]") + "(/.*)?", path))


def test_overlap_never_misses_a_common_path() -> None:
    rng = random.Random(7)
    parts = ["a", "b", "*", "**", "a?", "?b", "a*"]
    patterns = ["/".join(rng.choices(parts, k=rng.randint(2, 4))) for _ in range(120)]
    names = ["a", "b", "ab", "aa"]
    paths = ["/".join(some) for size in (2, 3, 4) for some in itertools.product(names, repeat=size)]
    matched = {pattern: {path for path in paths if covered(pattern, path)} for pattern in patterns}
    common = [(a, b) for a, b in itertools.combinations(patterns, 2) if matched[a] & matched[b]]
    assert len(common) > 1000
    assert [pair for pair in common if not overlap(*pair)] == []


@pytest.mark.parametrize(
    "pattern", ["src/**", "a b.py", "**", "*.md", "[ab]/[!c]/[]]x", "docs/", "~x", "@scope/name", "a,b"]
)
def test_good_patterns(pattern: str) -> None:
    assert bad_pattern(pattern) == ""


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("a ", "has a space at its end"),
        ("/src", "is absolute"),
        ("~/src", "starts with ~/"),
        ("!src", "excludes (!)"),
        (":(top)src", "uses git's"),
        ("a\\b", "has a backslash"),
        ("a/../b", "leaves the repository"),
        (".", "has an empty or . segment"),
        ("./a", "has an empty or . segment"),
        ("a//b", "has an empty or . segment"),
        ("a**", "has ** inside"),
        ("a/[b/c]", "has a [ without its ]"),
    ],
)
def test_bad_patterns(pattern: str, why: str) -> None:
    assert bad_pattern(pattern).startswith(why)
