"""What an agent is told: the task, the team's instructions, what went before.  Pure.

Everything that somebody else wrote (outputs of other tasks, documents) stands in marked data blocks.
"""

from __future__ import annotations

from collections.abc import Mapping

from mo_daemon.prompts import data_block, fill
from mo_git.lifecycle import GoalStatus, TaskStatus

DOCUMENT_LIMIT = 40_000  # characters of all documents of a goal together
TEAM_FILES = ("CLAUDE.md", "AGENTS.md")


def brief(
    template: str,
    goal: GoalStatus,
    task: TaskStatus,
    team: Mapping[str, str],
    log: str,
    *,
    goes_on: bool = False,
) -> str:
    """The prompt of an attempt.

    `team`: instruction files of the repository; `log`: the last failure's; `goes_on`: the last attempt's work
    is in the worktree.
    """
    spec = task.spec
    check = (
        f"This must pass when you are done: {shown(spec.check)}"
        if spec.check
        else "Run the tests of what you change."
    )
    writes = f"\nExpected to change: {', '.join(spec.writes)}\n" if spec.writes else ""
    values = {
        "title": spec.title or spec.id,
        "prompt": spec.prompt,
        "check": check,
        "writes": writes,
        "rework": rework(task, log, goes_on),
        "instructions": instructions(team),
        "documents": documents(goal.spec.documents),
        "outputs": _outputs(goal, task),
    }
    return fill(template, values)


def instructions(team: Mapping[str, str]) -> str:
    """The team's own files for agents, to be followed."""
    return "".join(f"\nThe team's instructions ({name}):\n\n{text}\n" for name, text in team.items())


def rework(task: TaskStatus, log: str, goes_on: bool) -> str:
    """Why the last attempt was not taken, and what is still there of it."""
    failed = [attempt for attempt in task.attempts if attempt.state == "failed"]
    if not failed and not task.reason:
        return ""
    last = failed[-1] if failed else None
    said = f"\nAn earlier attempt was not accepted: {last.reason if last else task.reason}\n"
    if goes_on:
        said += "Its files are in the worktree: correct them, do not start from nothing.\n"
    return said + (data_block("the log of that attempt", log, 6000) if log else "")


def documents(texts: Mapping[str, str]) -> str:
    """The goal's documents, together within the limit."""
    share = DOCUMENT_LIMIT // max(1, len(texts))
    return "".join(data_block(name, text, share) for name, text in texts.items())


def _outputs(goal: GoalStatus, task: TaskStatus) -> str:
    found = []
    for name in task.spec.depends_on:
        other = goal.tasks[name]
        if other.summary:
            changed = ", ".join(other.paths[:20])
            found.append(
                data_block(f"what task {name} reported", f"{other.summary}\n\nChanged: {changed}", 6000)
            )
    return "".join(found)


def shown(command: str | tuple[str, ...]) -> str:
    return command if isinstance(command, str) else " ".join(command)
