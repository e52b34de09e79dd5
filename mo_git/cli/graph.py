"""`mo graph`: the DAG of a goal, drawn or as data."""

from __future__ import annotations

import click

from mo_git import views
from mo_git.cli import Context
from mo_git.cli.context import emit_json, json_option, open_home, open_reader, say, use_color
from mo_git.cli.ids import ID, LAST, resolve_goal, split

FORMATS = ("tree", "mermaid", "dot", "json")


@click.command(name="graph")
@click.argument("goal", default=LAST, type=ID, metavar="[GOAL]")
@click.option("--format", "form", type=click.Choice(FORMATS), default="tree", show_default=True)
@json_option
@click.pass_obj
def command(obj: Context, goal: str, form: str) -> None:
    """Draw the DAG of a goal.

    The newest goal where none is named.  In the tree a task hangs below one that it waits for; others that
    it waits for too are named beside it.
    """
    reader = open_reader(open_home(obj))
    try:
        status = reader.goal(resolve_goal(reader, split(goal)[0]))
    finally:
        reader.close()
    if obj.json or form == "json":
        emit_json(views.graph_document(status))
    elif form == "tree":
        say(obj, views.graph_text(status, use_color(obj)))
    else:
        click.echo(views.graph_mermaid(status) if form == "mermaid" else views.graph_dot(status))
