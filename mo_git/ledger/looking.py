"""Opening the ledger for people: errors as they can be understood, and the tool of sqlite-utils on a copy."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from mo_git.errors import Exit, MoError
from mo_git.ledger.reader import Reader

# commands of sqlite-utils that only look
COMMANDS = ("tables", "views", "schema", "indexes", "rows", "query", "search", "analyze-tables", "dump")


def open_reader(path: Path) -> Reader | None:
    """None where there is no ledger yet; MoError (config) for a file that is none or cannot be read."""
    try:
        return Reader.open(path)
    except sqlite3.Error as error:
        raise MoError(
            f"cannot read {path}: {error}",
            f"your work is in git (branches mo/*, refs/mo/*); move {path.name} away to start a new ledger",
            Exit.CONFIG,
        ) from None


def refuse_newer(path: Path) -> None:
    """MoError (config) for an existing ledger that a newer mo made: it can be read, not written."""
    from mo_git.ledger import schema

    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        found = database.execute("PRAGMA user_version").fetchone()[0]
        schema.refuse_newer(found, schema.writer_of(database))
    finally:
        database.close()


def table_sizes(path: Path) -> list[tuple[str, int]]:
    """(table, rows) of the ledger, by name."""
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        listed = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [
            (name, database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])
            for (name,) in listed.fetchall()
        ]
    finally:
        database.close()


def run_tool(path: Path, command: str, arguments: Sequence[str]) -> None:
    """`sqlite-utils COMMAND LEDGER ARGUMENTS`, on a private copy: nothing it does can reach the ledger.

    Raises click's exceptions for wrong usage, as the tool does.
    """
    import tempfile

    import sqlite_utils.cli

    with tempfile.TemporaryDirectory(prefix="mo-db-") as directory:
        copy = Path(directory) / path.name
        source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        target = sqlite3.connect(copy)
        try:
            source.backup(target)
        finally:
            target.close()
            source.close()
        sqlite_utils.cli.cli.main([command, str(copy), *arguments], prog_name="mo db", standalone_mode=False)
