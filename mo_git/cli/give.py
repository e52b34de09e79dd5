"""`mo give`: a person gives a task back."""

from __future__ import annotations

import click

from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import json_option, open_home
from mo_git.cli.ids import ID
from mo_git.cli.target import resolve_task, who
from mo_git.errors import Exit, MoError


@click.command(name="give")
@click.argument("target", type=ID, metavar="GOAL/TASK")
@click.option("--back", is_flag=True, help="Leave the task to its agent; what you made is kept aside.")
@click.option("--with", "hint", default="", metavar="TEXT", help="With --back: a hint for the agent.")
@json_option
@click.pass_obj
def command(obj: Context, target: str, back: bool, hint: str) -> None:
    """Give a task back: what you made is checked and becomes its candidate.

    All that is in the worktree counts, committed or not, and goes through what an agent's work goes through:
    secrets, markers, sizes, scope, the task's check, the gate.  What does not pass stays yours.
    """
    if hint and not back:
        raise MoError("--with is a hint for the agent: it goes with --back", "leave it out", Exit.USAGE)
    home = open_home(obj)
    goal, task = resolve_task(home, target)
    payload = {"goal": goal, "task": task, "by": who(), "back": back, "hint": hint}
    report(obj, request(obj, home, "give", payload, start_daemon=True, wait=None))
