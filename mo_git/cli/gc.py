"""`mo gc`: remove what is no longer needed."""

from __future__ import annotations

import click

from mo_git.cli import Context
from mo_git.cli.amounts import Amount
from mo_git.cli.client import report, request
from mo_git.cli.context import json_option, open_home
from mo_git.cli.ids import ID, resolve_goal


@click.command(name="gc")
@click.argument("goal", required=False, type=ID)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--older-than",
    type=Amount(min=0),
    default=14,
    show_default=True,
    metavar="DAYS",
    help="Leave younger ones alone.",
)
@json_option
@click.pass_obj
def command(obj: Context, goal: str | None, dry_run: bool, older_than: float) -> None:
    """Remove worktrees, logs and keep-refs that are no longer needed.

    Of goals that ended more than DAYS days ago, or of one GOAL that ended, whenever that was; and worktrees
    that nothing uses now.  Integration branches and good commits stay.  Says what is removed.
    """
    home = open_home(obj)
    payload = {
        "goal": resolve_goal(home, goal) if goal else "",
        "dry_run": dry_run,
        "older_than": older_than,
    }
    report(obj, request(obj, home, "gc", payload, start_daemon=True, wait=None))
