"""`mo resume`: go on with a goal."""

from __future__ import annotations

import click

from mo_git.cli import Context
from mo_git.cli.amounts import Amount
from mo_git.cli.client import report, request
from mo_git.cli.context import json_option, open_home
from mo_git.cli.ids import ID, resolve_goal


@click.command(name="resume")
@click.argument("goal", type=ID)
@click.option(
    "--budget",
    type=Amount(min=0),
    metavar="USD",
    help="What the goal may spend in all, once it spent its budget; 0: no limit.",
)
@click.option(
    "--iterations",
    type=click.IntRange(1, 50),
    metavar="N",
    help="Plan what is still missing, up to the Nth iteration of the goal.",
)
@json_option
@click.pass_obj
def command(obj: Context, goal: str, budget: float | None, iterations: int | None) -> None:
    """Go on with a paused or halted goal.

    Tasks that failed are not started again by this; mo retry does that.  With --iterations a goal that failed
    goes on, too.
    """
    home = open_home(obj)
    payload: dict[str, object] = {"goal": resolve_goal(home, goal)}
    if budget is not None:
        payload["budget_usd"] = budget
    if iterations is not None:
        payload["iterations"] = iterations
    report(obj, request(obj, home, "resume", payload, start_daemon=True))
