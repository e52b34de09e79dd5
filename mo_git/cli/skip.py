"""`mo skip`: count a task as done."""

from __future__ import annotations

import click

from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import json_option, open_home
from mo_git.cli.ids import ID
from mo_git.cli.target import resolve_target
from mo_git.errors import Exit, MoError


@click.command(name="skip")
@click.argument("target", type=ID, metavar="GOAL/TASK")
@json_option
@click.pass_obj
def command(obj: Context, target: str) -> None:
    """Count a task as done for its dependents.

    mo retry undoes it.
    """
    home = open_home(obj)
    goal, task = resolve_target(home, target)
    if not task:
        raise MoError("skip takes one task", f"mo skip {goal}/TASK; mo show {goal} lists them", Exit.USAGE)
    report(obj, request(obj, home, "skip", {"goal": goal, "task": task}, start_daemon=False))
