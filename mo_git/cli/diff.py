"""`mo diff`: what a task or a goal changes, by git itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from mo_git.cli import Context
from mo_git.cli.context import emit_json, json_option, open_home, open_reader, use_color
from mo_git.cli.ids import ID, LAST, find_attempt, find_task, resolve_goal, split
from mo_git.errors import Exit, MoError
from mo_git.git.binary import Git
from mo_git.git.patch import NO_PROGRAMS, PLAIN
from mo_git.goal_status import GoalStatus

_CHANGES = {"A": "added", "D": "removed", "R": "renamed"}


@click.command(name="diff")
@click.argument("what", default=LAST, type=ID, metavar="[ID]")
@click.option("--stat", is_flag=True, help="Changed lines per file.")
@click.option("--name-only", is_flag=True, help="Names of the changed files.")
@json_option
@click.pass_obj
def command(obj: Context, what: str, stat: bool, name_only: bool) -> None:
    """Show what a task or a goal changes.

    GOAL: everything on its integration branch.  GOAL/TASK: the task's candidate; where there is none, what
    its last attempt left.  GOAL/TASK#N: that attempt.  The base is the commit that the work started from.
    """
    goal_text, task_text, number = split(what)
    home = open_home(obj)
    reader = open_reader(home)
    try:
        goal = reader.goal(resolve_goal(reader, goal_text))
    finally:
        reader.close()
    base, commit = _range(goal, task_text, number)
    git = Git(home.top, config=PLAIN)
    if obj.json:
        emit_json(_document(git, base, commit, with_patch=not (stat or name_only)))
        return
    color = "--color=always" if use_color(obj) else "--color=never"
    form = ["--name-only"] if name_only else ["--stat"] if stat else []
    done = git("diff", *NO_PROGRAMS, color, *form, base, commit, "--")
    click.echo(done.out, nl=False)


def _range(goal: GoalStatus, task_text: str, number: int | None) -> tuple[str, str]:
    """(base, commit); MoError (not_found) where there is no work yet."""
    if not task_text:
        if not goal.integration:
            raise MoError(f"{goal.id} has not started yet", f"mo status {goal.id}", Exit.NOT_FOUND)
        return goal.base, goal.integration
    task = find_task(goal, task_text)
    attempt = find_attempt(goal, task, number)
    if attempt and attempt is task.attempts[-1] and task.commit and attempt.state != "failed":
        return attempt.base, task.commit
    if attempt and attempt.kept:
        return attempt.base, attempt.kept
    name = f"{goal.id}/{task.spec.id}" + (f"#{number}" if number else "")
    raise MoError(f"{name} has no finished work to show", f"mo show {name}", Exit.NOT_FOUND)


def _document(git: Git, base: str, commit: str, *, with_patch: bool) -> dict[str, Any]:
    """Per file: path, old_path, change, added and removed lines, binary; the patch too where asked for.

    Names and numbers come NUL-separated from git: a patch holds odd names in quotes.
    """

    def ask(*options: str) -> str:
        return git("diff", *NO_PROGRAMS, "--color=never", "-M", *options, base, commit, "--").text

    lines = _numbers(ask("--numstat", "-z").split("\0"))
    files = [
        {
            "path": path,
            "old_path": old,
            "change": _CHANGES.get(letter, "modified"),
            "added": int(added) if added != "-" else 0,
            "removed": int(removed) if removed != "-" else 0,
            "binary": added == "-",
        }
        for letter, old, path in _names(ask("--name-status", "-z").split("\0"))
        for added, removed in [lines[path]]
    ]
    document = {"v": 1, "base": base, "commit": commit, "files": files}
    return document | ({"patch": ask()} if with_patch else {})


def _names(fields: list[str]) -> Iterator[tuple[str, str | None, str]]:
    """(status letter, old name of a rename, name) from `--name-status -z`."""
    words = iter(fields[:-1])
    for status in words:
        old = next(words) if status.startswith("R") else None
        yield status[0], old, next(words)


def _numbers(fields: list[str]) -> dict[str, tuple[str, str]]:
    """Name -> (added, removed) from `--numstat -z`; a rename has an empty name, then both."""
    words, found = iter(fields[:-1]), {}
    for word in words:
        added, removed, path = word.split("\t", 2)
        if not path:
            _, path = next(words), next(words)
        found[path] = (added, removed)
    return found
