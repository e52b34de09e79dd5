"""What an agent is told: the task, the team's instructions, what went before.  Pure.

Everything that somebody else wrote (outputs of other tasks, logs, documents) stands in marked data blocks.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from mo_daemon.prompts import data_block, fill
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.model import TaskSpec
from mo_git.plan_refs import Reference, references, replace
from mo_git.plan_schema import ANY_OBJECT

DOCUMENT_LIMIT = 40_000  # characters of all documents of a goal together
REPORT_LIMIT = 6000  # characters of what a dependency reports unasked
TEAM_FILES = ("CLAUDE.md", "AGENTS.md")
_CORRECT = "\nWork on this task is in the worktree already. Correct what its reviewer asks for:\n"
OUTPUT_FILE = ".mo-output.json"


def brief(
    template: str,
    goal: GoalStatus,
    task: TaskStatus,
    team: Mapping[str, str],
    log: str,
    lessons: str = "",
    *,
    goes_on: bool = False,
    asked: str = "",
    before: str = "",
) -> str:
    """The prompt of an attempt.  `team`: instruction files of the repository; `log`: the last failure's.

    `lessons`: what earlier work taught, in the words of people who are trusted; `goes_on`: the last attempt's
    work is in the worktree; `asked`: what a reviewer wants corrected there; `before`: what is known of a
    session that ran out of context.
    """
    spec = task.spec
    writes = f"\nExpected to change: {', '.join(spec.writes)}\n" if spec.writes else ""
    values = {
        "title": spec.title or spec.id,
        "prompt": task_text(goal, spec) + _asked_for(spec),
        "check": checked_by(spec),
        "writes": writes,
        "rework": rework(task, log, goes_on) + before + (_CORRECT + asked if asked else ""),
        "instructions": instructions(team),
        "lessons": taught(lessons),
        "documents": documents(goal.spec.documents),
        "outputs": _outputs(goal, spec),
    }
    return fill(template, values)


def task_text(goal: GoalStatus, spec: TaskSpec) -> str:
    """What the task asks for, with what its prompt refers to."""
    return replace(spec.prompt, lambda reference: _referred(goal, reference))


def checked_by(spec: TaskSpec) -> str:
    """What has to hold when the agent ends."""
    if spec.check:
        return f"This must pass when you are done: {shown(spec.check)}"
    return "Run the tests of what you change."


def unread(reads: Collection[str]) -> list[str]:
    """The team's files that an agent has to be told of: it does not read them by itself."""
    return [name for name in TEAM_FILES if name not in reads]


def taught(lessons: str) -> str:
    """What earlier work taught, in the words of people who are trusted."""
    return f"\nLessons from earlier work here:\n\n{lessons}\n" if lessons else ""


def instructions(team: Mapping[str, str]) -> str:
    """The team's own files for agents, to be followed."""
    return "".join(f"\nThe team's instructions ({name}):\n\n{text}\n" for name, text in team.items())


def rework(task: TaskStatus, log: str, goes_on: bool) -> str:
    """Why the last attempt was not taken, what is still there of it, and what a person said since."""
    phase = task.attempts[-1].phase if task.attempts else ""  # a resolution is no try at the task itself
    failed = [one for one in task.attempts if one.state == "failed" and one.phase == phase]
    said = ""
    if failed:
        said = "\nAn earlier attempt was not accepted.\n" + data_block("why not", failed[-1].reason)
        if goes_on:
            said += "\nIts files are in the worktree: correct them, do not start from nothing.\n"
        said += data_block("the log of that attempt", log, 6000) if log else ""
        said += _red(task.red) if task.red else ""
    return said + (f"\nA person says about this attempt: {task.hint}\n" if task.hint else "")


def _red(evidence: Mapping[str, Any]) -> str:
    """What the gate had against the candidate."""
    ids = "\n".join(evidence.get("failed_ids", ()))
    said = data_block("tests that fail with that work merged", ids, 6000) if ids else ""
    log = evidence.get("log_tail", "")
    return said + (data_block("the end of the gate's log", log, 6000) if log else "")


def documents(texts: Mapping[str, str]) -> str:
    """The goal's documents, together within the limit."""
    share = DOCUMENT_LIMIT // max(1, len(texts))
    return "".join(data_block(name, text, share) for name, text in texts.items())


def _asked_for(spec: TaskSpec) -> str:
    """The request for a declared output, part of the task itself: no template can leave it out."""
    if spec.output is None:
        return ""
    asked = (
        f"\n\nThe result of this task is also a JSON object: write it to the file {OUTPUT_FILE} at the "
        "top of the worktree. It is read and removed when you end, and never committed."
    )
    if spec.output != ANY_OBJECT:
        asked += f" It has to fit this JSON schema:\n{json.dumps(spec.output, ensure_ascii=False)}"
    return asked


def _referred(goal: GoalStatus, reference: Reference) -> str:
    """What a reference of a prompt stands for, as a data block."""
    other = goal.tasks[reference.task]
    if reference.field == "summary":
        title, text = "what task {} reported", other.summary
    elif reference.field == "files":
        title, text = "files that task {} changed", "\n".join(other.paths)
    elif reference.key:
        output = other.output or {}
        title = f"{reference.key} of the output of task {{}}"
        text = _as_text(output[reference.key]) if reference.key in output else ""
    else:
        title, text = "the output of task {}", _as_text(other.output) if other.output is not None else ""
    return data_block(title.format(reference.task), text or "(nothing)")


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)


def _outputs(goal: GoalStatus, spec: TaskSpec) -> str:
    """What direct dependencies report and the prompt does not refer to."""
    referred = {(reference.task, reference.field) for _, reference in references(spec.prompt)}
    found = []
    for name in spec.depends_on:
        other = goal.tasks[name]
        parts = {
            "summary": other.summary,
            "files": f"Changed: {', '.join(other.paths[:20])}" if other.summary and other.paths else "",
            "output": f"Output: {_as_text(other.output)}" if other.output is not None else "",
        }
        said = "\n\n".join(text for field, text in parts.items() if text and (name, field) not in referred)
        if said:
            found.append(data_block(f"what task {name} reported", said, REPORT_LIMIT))
    return "".join(found)


def shown(command: str | tuple[str, ...]) -> str:
    return command if isinstance(command, str) else " ".join(command)
