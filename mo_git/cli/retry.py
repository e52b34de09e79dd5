"""`mo retry`: start failed tasks again."""

from __future__ import annotations

import click

from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import json_option, open_home
from mo_git.cli.guided import follow_to_end
from mo_git.cli.ids import ID
from mo_git.cli.target import last_fact, resolve_target


@click.command(name="retry")
@click.argument("target", type=ID, metavar="GOAL[/TASK]")
@click.option("--with", "hint", default="", metavar="TEXT", help="A hint for the next attempt.")
@click.option("--follow", "follow_it", is_flag=True, help="Follow the goal to its end.")
@json_option
@click.pass_obj
def command(obj: Context, target: str, hint: str, follow_it: bool) -> None:
    """Start failed tasks of a goal again.

    Tasks that were skipped because of them come back too, and an ended goal goes on.
    """
    home = open_home(obj)
    goal, task = resolve_target(home, target)
    payload = {"goal": goal, "task": task, "hint": hint}
    shown = last_fact(home, goal)
    outcome = request(obj, home, "retry", payload, start_daemon=True)
    if follow_it and outcome is not None:
        raise click.exceptions.Exit(follow_to_end(obj, home, goal, shown))
    report(obj, outcome)
