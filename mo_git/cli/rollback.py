"""`mo rollback`: undo a task, or go back to a good commit, on top of integration."""

from __future__ import annotations

import re

import click

from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import json_option, open_home
from mo_git.cli.ids import ID
from mo_git.cli.target import resolve_target
from mo_git.errors import Exit, MoError
from mo_git.git.binary import Git, resolve
from mo_git.home import Home

_GOOD = re.compile(r"good/\d+")


@click.command(name="rollback")
@click.argument("target", type=ID, metavar="GOAL[/TASK]")
@click.option("--to", "to", default="", metavar="COMMIT", help="A good commit: a revision, or good/N.")
@click.option("--with-dependents", is_flag=True, help="Undo what was built on the task too.")
@json_option
@click.pass_obj
def command(obj: Context, target: str, to: str, with_dependents: bool) -> None:
    """Undo a task, or go back to a good commit, on top of integration.

    Integration never moves backwards: the change that undoes is a commit of its own, gated like any other.
    """
    home = open_home(obj)
    goal, task = resolve_target(home, target)
    if bool(task) == bool(to):
        raise MoError(
            "name either a task (GOAL/TASK) or a commit (GOAL --to COMMIT)",
            f"mo show {goal} lists the tasks and the good commits",
            Exit.USAGE,
        )
    payload = {
        "goal": goal,
        "task": task,
        "to": good_commit(home, goal, to) if to else "",
        "with_dependents": with_dependents,
    }
    report(obj, request(obj, home, "rollback", payload, start_daemon=True, wait=None))


def good_commit(home: Home, goal: str, rev: str) -> str:
    """The full id of a revision; good/N is the goal's N-th green landing."""
    return resolve(Git(home.top), f"refs/mo/{goal}/{rev}" if _GOOD.fullmatch(rev) else rev)
