"""Ids as people type them: a full id, any unique prefix, @last; GOAL/TASK#N for tasks and attempts."""

from __future__ import annotations

from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from mo_git import fast_status
from mo_git.cli.context import open_reader
from mo_git.errors import Exit, MoError
from mo_git.goal_status import Attempt, GoalStatus, TaskStatus
from mo_git.home import Home
from mo_git.ledger.items import ItemRow
from mo_git.ledger.reader import Reader

LAST = "@last"


class IdType(click.ParamType[str]):
    """An id on the command line; completes goals from `status.json`."""

    name = "id"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,
        incomplete: str,
    ) -> list[CompletionItem]:
        top = fast_status.find_top(".")
        document = fast_status.load(top) if top else None
        goals = document["goals"] if document else []
        found = [goal for goal in goals if goal["id"].startswith(incomplete)]
        return [CompletionItem(goal["id"], help=goal["title"]) for goal in found]


ID = IdType()


def split(text: str) -> tuple[str, str, int | None]:
    """`GOAL/TASK#N` -> (goal, task, attempt); what is not there is empty or None.  MoError (usage)."""
    goal, slash, rest = text.partition("/")
    task, mark, number = rest.partition("#")
    if not goal or (slash and not task) or (mark and not number.isdecimal()) or ("#" in goal):
        raise MoError(f"{text!r} is no id", "write GOAL, GOAL/TASK or GOAL/TASK#N", Exit.USAGE)
    return goal, task, int(number) if mark else None


def resolve(ids: Sequence[str], text: str) -> str:
    """The one of `ids` (oldest first) that is meant; MoError (not_found), or (usage) for several."""
    if text in ids:
        return text
    if text == LAST and ids:
        return ids[-1]
    found = [one for one in ids if text and one.startswith(text)]
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(found[-5:]) + (", ..." if len(found) > 5 else "")
        message = f"{text!r} could be {len(found)} goals: {shown}"
        raise MoError(message, "write more of the id", Exit.USAGE)
    raise MoError(f"no goal {text!r}", _near(ids, text), Exit.NOT_FOUND)


def _near(ids: Sequence[str], text: str) -> str:
    import difflib

    near = difflib.get_close_matches(text, ids, 3, 0.5) or [one for one in ids if text and text in one][-3:]
    return f"did you mean {' or '.join(near)}?" if near else "mo status lists the goals"


def resolve_goal(source: Home | Reader, text: str) -> str:
    """The full id of a goal that was typed; MoError as in `resolve`."""
    if isinstance(source, Reader):
        return resolve(source.goal_ids(), text)
    reader = open_reader(source)
    try:
        return resolve(reader.goal_ids(), text)
    finally:
        reader.close()


def resolve_job(source: Home | Reader, text: str) -> str:
    """As `resolve_goal`, for a job of simple mode; empty or @last: the latest.

    MoError (usage) for another goal.
    """
    if isinstance(source, Home):
        reader = open_reader(source)
        try:
            return resolve_job(reader, text)
        finally:
            reader.close()
    ids = source.goal_ids()
    if text in ("", LAST):
        latest = next((goal for goal in reversed(ids) if source.spec(goal).bulk), None)
        if latest is None:
            raise MoError("no job of simple mode yet", "mo simple run starts one", Exit.NOT_FOUND)
        return latest
    found = resolve(ids, text)
    if source.spec(found).bulk is None:
        raise MoError(f"{found} is a goal with tasks, no job", f"mo show {found}", Exit.USAGE)
    return found


def find_task(goal: GoalStatus, task_id: str) -> TaskStatus:
    """A task by id or unique prefix; MoError (not_found) names what there is."""
    found = [task_id] if task_id in goal.tasks else [one for one in goal.tasks if one.startswith(task_id)]
    if len(found) != 1:
        tasks = ", ".join(found or goal.tasks)
        message = f"{task_id!r} could be several tasks" if found else f"no task {task_id!r} in {goal.id}"
        raise MoError(message, f"tasks: {tasks}", Exit.NOT_FOUND)
    return goal.tasks[found[0]]


def find_attempt(goal: GoalStatus, task: TaskStatus, number: int | None) -> Attempt | None:
    """An attempt by number; without one the newest (None before the first).  MoError (not_found)."""
    if number is None:
        return task.attempts[-1] if task.attempts else None
    for attempt in task.attempts:
        if attempt.n == number:
            return attempt
    there = f"attempts: {', '.join(str(a.n) for a in task.attempts)}" if task.attempts else "it has none yet"
    raise MoError(f"{goal.id}/{task.spec.id} has no attempt {number}", there, Exit.NOT_FOUND)


def find_item(reader: Reader, job: str, item: str) -> ItemRow:
    """An item of a job by its id; MoError (not_found)."""
    row = reader.items.find(job, item)
    if row is None:
        hint = f"mo simple show {job} lists them"
        raise MoError(f"{job} has no item {item!r}", hint, Exit.NOT_FOUND)
    return row
