"""The planner's answer: its JSON schema, and how it becomes a plan.  Pure.

An agent's plan goes through the same parser as a person's, and may not contain commands (`run`, `when`,
provider `command`): what an agent writes is never run as it stands, except checks, inside the sandbox.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mo_git import plan_refs
from mo_git.errors import MoError
from mo_git.model import Plan, TaskSpec
from mo_git.plan import plan_from_data
from mo_git.plan_refs import Reference
from mo_git.values import SLUG_LENGTH

_STRING = {"type": "string"}
_STRINGS = {"type": "array", "items": _STRING}

# Every key is required: strict structured output of some providers knows no optional ones.
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "questions": {**_STRINGS, "description": "what a person must answer first; empty otherwise"},
        "assumptions": {**_STRINGS, "description": "what had to be assumed"},
        "tasks": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "id": {**_STRING, "description": "slug: lower-case letters, digits, -"},
                    "title": _STRING,
                    "prompt": {**_STRING, "description": "the whole instruction for the agent"},
                    "depends_on": {**_STRINGS, "description": "ids of tasks whose code this one needs"},
                    "writes": {**_STRINGS, "description": "globs of files it will change; may be empty"},
                    "check": {**_STRING, "description": "shell command that passes when done; may be empty"},
                    "complexity": {"type": "string", "enum": ["simple", "moderate", "complex"]},
                    "provider": {**_STRING, "description": "auto, or the agent that has to do it"},
                },
                "required": [
                    *("id", "title", "prompt", "depends_on", "writes", "check", "complexity", "provider")
                ],
            },
        },
    },
    "required": ["questions", "assumptions", "tasks"],
}

_TASK_KEYS = frozenset(SCHEMA["properties"]["tasks"]["items"]["properties"])
_MAY_BE_EMPTY = ("writes", "check", "provider")
MAX_QUESTIONS = 10
QUESTION_LENGTH = 1000  # characters


@dataclass(frozen=True, slots=True)
class Answer:
    """What the planner said: a plan, or questions first."""

    plan: Plan | None
    questions: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()


def read_answer(
    answer: Any, goal: str, *, max_tasks: int, providers: Collection[str] | None = None
) -> Answer:
    """Parse an answer (JSON text or data); a MoError lists everything that is wrong with it.

    `providers`: who a task may name besides auto; None: anybody.
    """
    data = _data(answer)
    questions = _texts(data, "questions")
    tasks = data.get("tasks")
    if questions and not tasks:
        return Answer(None, _asked(questions))
    if not isinstance(tasks, list):
        raise MoError("the answer has no list of tasks")
    plan_data = {"goal": goal, "task": [_task(task, number) for number, task in enumerate(tasks, 1)]}
    known = None if providers is None else ("auto", *providers)
    plan = plan_from_data(plan_data, "the plan", max_tasks=max_tasks, providers=known)
    return Answer(plan, questions, _texts(data, "assumptions"))


def distinct(tasks: Sequence[TaskSpec], taken: Collection[str], iteration: int) -> tuple[TaskSpec, ...]:
    """The tasks under ids that the goal does not have yet: `a` of a second iteration may become `a-2`."""
    names: dict[str, str] = {}
    used = {*taken, *(task.id for task in tasks)}
    for task in tasks:
        names[task.id] = task.id if task.id not in taken else _free(task.id, used, iteration)
        used.add(names[task.id])

    def renamed(reference: Reference) -> str:
        parts = (names[reference.task], reference.field, reference.key)
        return "{{task." + ".".join(filter(None, parts)) + "}}"

    return tuple(
        replace(
            task,
            id=names[task.id],
            depends_on=tuple(names[name] for name in task.depends_on),
            prompt=plan_refs.replace(task.prompt, renamed),
        )
        for task in tasks
    )


def _free(name: str, taken: Collection[str], iteration: int) -> str:
    """A name that nobody has, near to the one that was wanted."""
    numbers = itertools.count(iteration)
    candidates = (f"{name[: SLUG_LENGTH - 4]}-{number}" for number in numbers)
    return next(one for one in candidates if one not in taken)


def _data(answer: Any) -> Mapping[str, Any]:
    if isinstance(answer, str):
        try:
            answer = json.loads(_without_fence(answer))
        except ValueError as error:
            raise MoError(f"the answer is not JSON: {error}") from None
    if not isinstance(answer, dict):
        raise MoError("the answer is not a JSON object")
    return answer


def _without_fence(text: str) -> str:
    """Models like to put JSON into a fenced block."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text[3:-3].removeprefix("json").strip()
    return text


def _texts(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = data.get(key) or []
    return tuple(str(item) for item in value) if isinstance(value, list) else (str(value),)


def _asked(questions: tuple[str, ...]) -> tuple[str, ...]:
    wrong = []
    if len(questions) > MAX_QUESTIONS:
        wrong.append(f"{len(questions)} questions, at most {MAX_QUESTIONS} are allowed")
    if any(not text.strip() or len(text) > QUESTION_LENGTH for text in questions):
        wrong.append(f"a question is empty, or has more than {QUESTION_LENGTH} characters")
    if wrong:
        raise MoError("\n".join(wrong))
    return tuple(text.strip() for text in questions)


def _task(task: Any, number: int) -> dict[str, Any]:
    if not isinstance(task, dict):
        raise MoError(f"task {number} is not an object")
    foreign = sorted(set(task) - _TASK_KEYS)
    if foreign:
        raise MoError(
            f"task {task.get('id', number)} has keys that a planner may not use: {', '.join(foreign)}"
        )
    return {key: value for key, value in task.items() if value or key not in _MAY_BE_EMPTY}
