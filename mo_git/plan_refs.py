"""References of a prompt to what other tasks gave: {{task.ID.summary}}, .files, .output, .output.KEY.  Pure.

Only `{{task.` without a space is a reference; anything else in braces belongs to the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mo_git import dag
from mo_git.model import TaskSpec
from mo_git.values import nearest

FIELDS = ("summary", "output", "files")
_REFERENCE = re.compile(r"\{\{task\.([^{}\n]*)\}\}")


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference; `key` is of the task's output, empty: the whole."""

    task: str
    field: str
    key: str = ""


def _read(inside: str) -> Reference:
    task, field, key = (*inside.split(".", 2), "", "")[:3]
    return Reference(task, field, key)


def references(prompt: str) -> list[tuple[str, Reference]]:
    """(as written, what it means) of each reference, in order."""
    return [(match[0], _read(match[1])) for match in _REFERENCE.finditer(prompt)]


def replace(prompt: str, put: Callable[[Reference], str]) -> str:
    """The prompt with `put` in place of each reference; what is put in is not looked at again."""
    return _REFERENCE.sub(lambda match: put(_read(match[1])), prompt)


def wrong_references(tasks: Sequence[TaskSpec]) -> Iterator[tuple[str, str]]:
    """(task, what is wrong) of each reference that leads nowhere.  The tasks must be free of cycles."""
    known = {task.id: task for task in tasks}
    above = dag.ancestors(tasks)
    for task in tasks:
        for written, reference in dict(references(task.prompt)).items():
            if what := _wrong(reference, known, above[task.id]):
                yield task.id, f"{written}: {what}"


def _wrong(reference: Reference, known: dict[str, TaskSpec], above: frozenset[str]) -> str:
    name, field, key = reference.task, reference.field, reference.key
    if name not in known:
        return f'no task "{name}"{nearest(name, known)}'
    if field not in FIELDS:
        return f'no "{field}" of a task{nearest(field, FIELDS)} (known: {", ".join(FIELDS)})'
    if name not in above:
        return f'the task does not depend on "{name}": add it to depends_on'
    if field != "output":
        return f'"{field}" has no keys' if key else ""
    schema = known[name].output
    if schema is None:
        return f'task "{name}" declares no output'
    keys = schema.get("properties")
    if key and keys is not None and key not in keys:
        return f'the output of "{name}" has no key "{key}"{nearest(key, keys)}'
    return ""
