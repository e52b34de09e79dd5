"""`mo resume`: go on with a goal."""

from __future__ import annotations

import click

from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import json_option, open_home
from mo_git.cli.ids import ID, resolve_goal


@click.command(name="resume")
@click.argument("goal", type=ID)
@json_option
@click.pass_obj
def command(obj: Context, goal: str) -> None:
    """Go on with a paused or halted goal.

    Tasks that failed are not started again by this; mo retry does that.
    """
    home = open_home(obj)
    payload = {"goal": resolve_goal(home, goal)}
    report(obj, request(obj, home, "resume", payload, start_daemon=True))
