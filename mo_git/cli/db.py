"""`mo db`: the ledger through the tool of sqlite-utils."""

from __future__ import annotations

import click

from mo_git.cli import Context
from mo_git.cli.context import emit_json, open_home, open_reader
from mo_git.ledger import looking
from mo_git.text import table


@click.command(
    name="db",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("verb", required=False, type=click.Choice(looking.COMMANDS), metavar="[COMMAND]")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def command(obj: Context, verb: str | None, arguments: tuple[str, ...]) -> None:
    """Look into the ledger (the tool of sqlite-utils, read-only).

    Without COMMAND: where the ledger is, and its tables.  COMMAND is one of tables, views, schema, indexes,
    rows, query, search, analyze-tables, dump, with the arguments of sqlite-utils, the file left out:

    \b
      mo db query "select kind, count(*) from facts group by kind" --table
      mo db rows facts --limit 5

    It works on a private copy: nothing can be changed.
    """
    home = open_home(obj)
    open_reader(home).close()
    if verb:
        looking.run_tool(home.database, verb, arguments)
        return
    sizes = looking.table_sizes(home.database)
    if obj.json:
        emit_json({"v": 1, "path": str(home.database), "tables": dict(sizes)})
        return
    click.echo(home.database)
    for line in table([[f"  {name}", str(rows)] for name, rows in sizes]):
        click.echo(line)
