"""`mo cost`: what agents cost."""

from __future__ import annotations

import click

from mo_git.cli import Context
from mo_git.cli.context import emit_json, json_option, open_home, open_reader, say
from mo_git.cli.ids import ID, resolve_goal
from mo_git.views.cost import KEYS, cost_document, cost_lines


@click.command(name="cost")
@click.argument("goal", default="", type=ID, metavar="[GOAL]")
@click.option("--by", type=click.Choice(list(KEYS)), help="Add up by this; goal, or task for one goal.")
@json_option
@click.pass_obj
def command(obj: Context, goal: str, by: str | None) -> None:
    """Show what agents cost, in dollars and tokens.

    All goals of the repository, or one.  Money that a program did not report itself is estimated from its
    tokens, by list prices of a date or by [prices] of the settings, and marked with ~.  Days are those of
    UTC, as the daily budget counts them.
    """
    reader = open_reader(open_home(obj))
    try:
        goal = resolve_goal(reader, goal) if goal else ""
        facts = reader.usage(goal)
    finally:
        reader.close()
    by = by or ("task" if goal else "goal")
    if obj.json:
        emit_json(cost_document(facts, by, goal))
    else:
        say(obj, "\n".join(cost_lines(facts, by)))
