"""`mo land`: move the target branch to the goal's green integration commit."""

from __future__ import annotations

import click

from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import json_option, open_home
from mo_git.cli.ids import ID, resolve_goal


@click.command(name="land")
@click.argument("goal", type=ID)
@click.option("--onto", default="", metavar="BRANCH", help="Another branch than the goal's target.")
@json_option
@click.pass_obj
def command(obj: Context, goal: str, onto: str) -> None:
    """Move the target branch to the goal's green integration commit.

    Only by fast-forward, and never over uncommitted work.  Where the target moved since, it is merged into
    the goal first and the result gated.  Works in mid-run and names what is missing.
    """
    home = open_home(obj)
    payload = {"goal": resolve_goal(home, goal), "onto": onto}
    report(obj, request(obj, home, "land", payload, start_daemon=True, wait=None))
