"""`mo sync`: merge the target branch into a goal."""

from __future__ import annotations

import click

from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import json_option, open_home
from mo_git.cli.ids import ID, resolve_goal


@click.command(name="sync")
@click.argument("goal", type=ID)
@json_option
@click.pass_obj
def command(obj: Context, goal: str) -> None:
    """Merge the target branch into a goal, gated.

    The target branch itself stays where it is.
    """
    home = open_home(obj)
    payload = {"goal": resolve_goal(home, goal)}
    report(obj, request(obj, home, "sync", payload, start_daemon=True, wait=None))
