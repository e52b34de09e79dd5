"""GOAL/TASK as people type it, for the verbs that act on it."""

from __future__ import annotations

import getpass

from mo_git.cli.context import open_reader
from mo_git.cli.ids import find_task, resolve_goal, split
from mo_git.errors import Exit, MoError
from mo_git.home import Home


def resolve_target(home: Home, text: str) -> tuple[str, str]:
    """`GOAL[/TASK]`, each by unique prefix -> full ids, the task's empty where none is named.

    MoError: usage for what is no such id (an attempt is not acted on), not_found.
    """
    goal, task, attempt = split(text)
    if attempt is not None:
        raise MoError("an attempt cannot be acted on, only its task", f"leave out #{attempt}", Exit.USAGE)
    reader = open_reader(home)
    try:
        full = resolve_goal(reader, goal)
        return full, find_task(reader.goal(full), task).spec.id if task else ""
    finally:
        reader.close()


def last_fact(home: Home, goal: str) -> int:
    """The number of the newest fact about a goal."""
    reader = open_reader(home)
    try:
        return reader.goal(goal).last_seq
    finally:
        reader.close()


def resolve_task(home: Home, text: str) -> tuple[str, str]:
    """`GOAL/TASK`, each by unique prefix -> full ids; MoError as in `resolve_target`."""
    goal, task = resolve_target(home, text)
    if not task:
        raise MoError(f"{goal} is a goal: name one of its tasks", f"mo show {goal} lists them", Exit.USAGE)
    return goal, task


def who() -> str:
    """Who asks for it, for the records."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in the system's list
        return ""
