"""Plans as text: one parser for TOML, JSON and goal files, with everything that is wrong said at once.  Pure.

Keys are the fields of `model.Plan` and `model.TaskSpec`: at the top `goal`, `check`, `error_policy`,
`[groups]`, `[defaults]` (any task key but `id` and `depends_on`) and one `[[task]]` per task.  A goal file
is a text that may start with the same keys (and those of GOAL_READERS) between two lines of +++.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mo_git import dag
from mo_git.errors import Exit, MoError
from mo_git.globs import overlap
from mo_git.model import PROVIDERS, Plan
from mo_git.plan_read import GOAL_READERS, PLAN_KEYS, Problems, read_plan
from mo_git.plan_write import plan_to_data, plan_to_toml
from mo_git.tomltext import parse_toml
from mo_git.values import kind

__all__ = [
    "GoalFile",
    "overlaps",
    "parse_goal_file",
    "parse_plan",
    "plan_from_data",
    "plan_to_data",
    "plan_to_toml",
]

Format = Literal["toml", "json", "auto"]
_FENCE = "+++"


@dataclass(frozen=True, slots=True)
class GoalFile:
    """A goal file: `meta` is the front matter as written, without what `plan` holds; `text` the goal."""

    meta: dict[str, Any]
    text: str
    plan: Plan | None


def parse_plan(
    text: str,
    source: str,
    format: Format = "auto",
    *,
    max_tasks: int | None = None,
    providers: Collection[str] | None = PROVIDERS,
) -> Plan:
    """Read a plan; `auto` goes by the ending of `source`, else by the first character.

    `max_tasks` None: any number; `providers` None: any name.  Raises MoError (usage) that lists every
    problem on a line of its own.
    """
    return plan_from_data(_load(text, source, format), source, max_tasks=max_tasks, providers=providers)


def plan_from_data(
    data: Mapping[str, Any],
    source: str,
    *,
    max_tasks: int | None = None,
    providers: Collection[str] | None = None,
    may_be_empty: bool = False,
) -> Plan:
    """A plan from plain data (parsed TOML or JSON, or `plan_to_data`); errors as in `parse_plan`."""
    problems = Problems(source)
    problems.refuse_unknown("", data, PLAN_KEYS)
    plan = read_plan(data, problems, max_tasks, providers)
    if not data.get("task") and not may_be_empty:
        problems.add("", "task", "no tasks: write at least one [[task]]")
    problems.finish()
    return plan


def parse_goal_file(
    text: str,
    source: str,
    *,
    max_tasks: int | None = None,
    providers: Collection[str] | None = PROVIDERS,
) -> GoalFile:
    """Read a goal file; `plan` is None where the front matter has no [[task]].  Errors as in `parse_plan`."""
    meta, body = _split_front_matter(text.removeprefix("\ufeff"), source)
    problems = Problems(source)
    problems.refuse_unknown("", meta, (*GOAL_READERS, *PLAN_KEYS))
    problems.read("", meta, GOAL_READERS)
    goal = str(meta.get("goal", "")).strip()
    if not (body.strip() or goal or meta.get("task")):
        problems.add("", "goal", "no text and no tasks: say what is to be done")
    planned = {key: meta[key] for key in PLAN_KEYS if key in meta}
    plan = read_plan({"goal": body.strip(), **planned}, problems, max_tasks, providers)
    problems.finish()
    if not plan.tasks:
        return GoalFile(meta, body.strip() or goal, None)
    rest = {key: value for key, value in meta.items() if key not in planned}
    return GoalFile(rest, body.strip() or goal, plan)


def overlaps(plan: Plan) -> list[tuple[str, str, str]]:
    """Pairs of tasks that may write the same path while neither waits for the other: (task, task, patterns).

    Tasks that declare no `writes` are left out: nothing is known about them.
    """
    below = dag.dependents(plan.tasks)
    found = []
    for index, one in enumerate(plan.tasks):
        for other in plan.tasks[index + 1 :]:
            if other.id not in below[one.id] and one.id not in below[other.id]:
                patterns = _common(one.writes or (), other.writes or ())
                if patterns:
                    found.append((one.id, other.id, patterns))
    return found


def _common(some: Sequence[str], others: Sequence[str]) -> str:
    """The first two patterns that overlap, as text; empty where none do."""
    pairs = ((one, other) for one in some for other in others)
    return next((a if a == b else f"{a} and {b}" for a, b in pairs if overlap(a, b)), "")


# -- from text to data --------------------------------------------------------------------------------


def _load(text: str, source: str, format: Format) -> Mapping[str, Any]:
    text = text.removeprefix("\ufeff")
    if format == "auto":
        ending = source.rpartition(".")[2].lower()
        by_ending: dict[str, Format] = {"toml": "toml", "json": "json"}
        format = by_ending.get(ending) or ("json" if text.lstrip()[:1] in ("{", "[") else "toml")
    return parse_toml(text, source, Exit.USAGE) if format == "toml" else _parse_json(text, source)


def _parse_json(text: str, source: str) -> Mapping[str, Any]:
    try:
        data = json.loads(text, object_pairs_hook=_no_double_keys)
    except json.JSONDecodeError as error:
        place = f"{source}:{error.lineno}:{error.colno}"
        raise MoError(f"{place}: not valid JSON: {error.msg}", f"correct {source}", Exit.USAGE) from None
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise MoError(f"{source}: not valid JSON: {why}", f"correct {source}", Exit.USAGE) from None
    if not isinstance(data, dict):
        message = f"{source}: expected a plan as a JSON object, found {kind(data)}"
        raise MoError(message, 'write {"goal": ..., "task": [...]}', Exit.USAGE)
    return data


def _no_double_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'the key "{twice}" stands twice in one object')
    return data


def _split_front_matter(text: str, source: str) -> tuple[dict[str, Any], str]:
    """(front matter, body).

    A prompt may hold a line of +++ too, so the front matter ends at the first such line that makes it TOML.
    """
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].rstrip() != _FENCE:
        return {}, text
    failure: MoError | None = None
    for index, line in enumerate(lines[1:], 1):
        if line.rstrip() == _FENCE:
            front = "\n" + "".join(lines[1:index])  # the empty line keeps line numbers those of the file
            try:
                return parse_toml(front, source, Exit.USAGE), "".join(lines[index + 1 :])
            except MoError as error:
                failure = failure or error
    if failure:
        raise failure
    message = f"{source}:1: the front matter has no end"
    raise MoError(message, f"put a line of {_FENCE} between it and the text of the goal", Exit.USAGE)
