"""`mo take`: a person takes a task over."""

from __future__ import annotations

import click

from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import json_option, open_home
from mo_git.cli.ids import ID
from mo_git.cli.target import resolve_task, who


@click.command(name="take")
@click.argument("target", type=ID, metavar="GOAL/TASK")
@json_option
@click.pass_obj
def command(obj: Context, target: str) -> None:
    """Take a task over: its agent stops, its worktree is yours.

    Prints where it is, and the agent's own command that goes on with its session.  What is there stays as it
    was left; a task without a worktree gets one, with what it has so far.  It is yours until mo give, also
    when the daemon or the machine is started anew.
    """
    home = open_home(obj)
    goal, task = resolve_task(home, target)
    payload = {"goal": goal, "task": task, "by": who()}
    report(obj, request(obj, home, "take", payload, start_daemon=True, wait=None))
