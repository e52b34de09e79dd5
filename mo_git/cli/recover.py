"""`mo recover`: compare the records with git."""

from __future__ import annotations

import click

from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import json_option, open_home
from mo_git.cli.ids import ID, resolve_goal


@click.command(name="recover")
@click.argument("goal", required=False, type=ID)
@json_option
@click.pass_obj
def command(obj: Context, goal: str | None) -> None:
    """Compare the records with git and repair what differs.

    The daemon does this at each start; without GOAL it is done for all goals.
    """
    home = open_home(obj)
    payload = {"goal": resolve_goal(home, goal) if goal else ""}
    report(obj, request(obj, home, "recover", payload, start_daemon=False))
