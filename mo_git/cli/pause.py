"""`mo pause`: start nothing new in a goal."""

from __future__ import annotations

import click

from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import json_option, open_home
from mo_git.cli.ids import ID, resolve_goal


@click.command(name="pause")
@click.argument("goal", type=ID)
@json_option
@click.pass_obj
def command(obj: Context, goal: str) -> None:
    """Start nothing new in a goal; what runs finishes.

    mo resume goes on.
    """
    home = open_home(obj)
    payload = {"goal": resolve_goal(home, goal)}
    report(obj, request(obj, home, "pause", payload, start_daemon=False))
