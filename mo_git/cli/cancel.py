"""`mo cancel`: stop a goal, keep its work."""

from __future__ import annotations

import click

from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import json_option, open_home
from mo_git.cli.ids import ID, resolve_goal


@click.command(name="cancel")
@click.argument("goal", type=ID)
@json_option
@click.pass_obj
def command(obj: Context, goal: str) -> None:
    """Stop a goal; its work is kept.

    What landed stays on the goal's integration branch; mo retry goes on.
    """
    home = open_home(obj)
    payload = {"goal": resolve_goal(home, goal)}
    report(obj, request(obj, home, "cancel", payload, start_daemon=False))
