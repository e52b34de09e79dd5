"""Lessons that repeated failures suggest.  Pure: facts -> proposals that a person may accept.

One kind of failure is a class and its reason without what differs from case to case (numbers, hashes).  What
came at least TIMES in at least TASKS tasks is proposed; people say in their own words what it teaches, or
take the proposal as it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from mo_git.model import Fact, FailureClass, Kind
from mo_git.text import count, one_line

TIMES = 3
TASKS = 2
_MOST = 160  # characters of a reason
_CHANGES = re.compile(r"\b[0-9a-f]{7,64}\b|\d+(\.\d+)?")
_AGAIN = re.compile(r" \((attempt )?\d+ (of \d+|times)\)$")

# What an agent can do about each class; others are nobody's lesson.
ADVICE = {
    FailureClass.NO_CHANGE: "change files: an answer in words is no work",
    FailureClass.SCOPE: "stay within the paths that the task names",
    FailureClass.SECRETS: "put no keys, tokens or passwords into files",
    FailureClass.ISOLATION_BREACH: "work only inside the worktree, and leave its repository's settings alone",
    FailureClass.INVALID_OUTPUT: "give results in exactly the form that is asked for",
    FailureClass.CHECK_FAILED: "run the task's check before you end",
    FailureClass.REVIEW_REJECTED: "look for what reviews have refused before",
    FailureClass.GATE_RED: "run the tests that your change touches before you end",
    FailureClass.CONFLICT: "keep what others have added when you resolve a conflict",
    FailureClass.CONTEXT_OVERFLOW: "read only the parts of files that you need",
    FailureClass.TIMEOUT: "work in small steps, and start no command that does not end by itself",
    FailureClass.IDLE: "start no command that waits for input",
}


@dataclass(frozen=True, slots=True)
class Lesson:
    """A proposal: `text` is the line that goes into the lessons; `tasks` are GOAL/TASK, newest last."""

    id: str
    failure: str
    text: str
    times: int
    tasks: tuple[str, ...]


def proposals(facts: Iterable[Fact], settled: Collection[str]) -> list[Lesson]:
    """What failures of any goals teach, the most frequent first; `settled` are ids that people judged."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for fact in facts:
        failure, reason = _failure(fact)
        if failure in ADVICE and reason:
            kind = (failure, _CHANGES.sub("N", reason))
            found.setdefault(kind, []).append((f"{fact.goal}/{fact.task}", reason))
    lessons = []
    for (failure, general), cases in found.items():
        tasks = tuple(dict.fromkeys(task for task, _ in cases))
        if len(cases) >= TIMES and len(tasks) >= TASKS:
            name = hashlib.sha256(f"{failure} {general}".encode()).hexdigest()[:6]
            advice = ADVICE[FailureClass(failure)]
            text = f"{advice[0].upper()}{advice[1:]} (failed {count(len(cases), 'time')}: {cases[-1][1]})"
            lessons.append(Lesson(name, failure, text, len(cases), tasks))
    return sorted((one for one in lessons if one.id not in settled), key=lambda one: -one.times)


def _failure(fact: Fact) -> tuple[str, str]:
    """(class, reason) of a failed attempt, or of work that the gate sent back; empty for anything else."""
    if fact.kind == Kind.ATTEMPT_FAILED:
        said = fact.data.get("reason")
    elif fact.kind == Kind.RETRY_SCHEDULED and fact.data.get("red"):
        said = fact.data.get("why")
    else:
        return "", ""
    return str(fact.data.get("class") or ""), one_line(_AGAIN.sub("", str(said or "")))[:_MOST]


def document(lessons: Iterable[Lesson], text: str) -> dict[str, Any]:
    """The document of `mo lessons --json`; `text` is what the file says now."""
    return {"v": 1, "text": text, "proposals": [{**asdict(one), "tasks": list(one.tasks)} for one in lessons]}
