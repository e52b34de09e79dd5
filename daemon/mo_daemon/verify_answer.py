"""The verifier's answer: its JSON schema, and what it comes to.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mo_git.errors import MoError

MAX_MISSING = 50
LENGTH = 2000  # characters of one thing that is missing, and of the summary

# Every key is required: strict structured output of some providers knows no optional ones.
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "done": {"type": "boolean", "description": "whether the whole goal is reached"},
        "progress": {"type": "integer", "description": "how much of the goal is reached, 0 to 100"},
        "missing": {
            "type": "array",
            "items": {"type": "string"},
            "description": "what is missing or wrong, one piece of work each; empty when done",
        },
        "summary": {"type": "string", "description": "one or two sentences for a person"},
    },
    "required": ["done", "progress", "missing", "summary"],
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`progress` is from 0 to 1."""

    done: bool
    progress: float
    missing: tuple[str, ...]
    summary: str = ""


def read_verdict(answer: Any) -> Verdict:
    """Check an answer; a MoError says all that is wrong with it.  What misses something is not done."""
    if not isinstance(answer, dict):
        raise MoError("the answer is not a JSON object")
    done, progress, missing = answer.get("done"), answer.get("progress"), answer.get("missing")
    wrong = []
    if not isinstance(done, bool):
        wrong.append("done is not true or false")
    if not isinstance(progress, int | float) or isinstance(progress, bool) or not 0 <= progress <= 100:
        wrong.append("progress is no number from 0 to 100")
    if not isinstance(missing, list) or not all(isinstance(one, str) and one.strip() for one in missing):
        wrong.append("missing is no list of texts")
    elif len(missing) > MAX_MISSING:
        wrong.append(f"{len(missing)} things are missing, at most {MAX_MISSING} are allowed: sum them up")
    elif done is False and not missing:
        wrong.append("the goal is not done, and missing names nothing")
    if wrong:
        raise MoError("; ".join(wrong))
    assert isinstance(missing, list)
    assert isinstance(progress, int | float)
    said = tuple(one.strip()[:LENGTH] for one in missing)
    summary = answer.get("summary")
    text = summary[:LENGTH] if isinstance(summary, str) else ""
    return Verdict(bool(done) and not said, round(progress / 100, 4), said, text)
