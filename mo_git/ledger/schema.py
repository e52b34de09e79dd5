"""The tables of `.mo/mo.db` and their migrations (sqlite-utils)."""

from __future__ import annotations

import sqlite3

import sqlite_utils
from sqlite_utils import Migrations

from mo_git import __version__
from mo_git.errors import Exit, MoError

SCHEMA = 3  # raised by one with each migration; kept in PRAGMA user_version

migrations = Migrations("mo")


@migrations()
def m001_first(db: sqlite_utils.Database) -> None:
    """Goals as queued, facts about them, requests, programs that may be alive, gate verdicts."""
    db.table("goals").create({"id": str, "created_at": float, "spec": str}, pk="id")
    db.table("facts").create(
        {"seq": int, "at": float, "goal": str, "task": str, "attempt": int, "kind": str, "data": str},
        pk="seq",
        not_null={"at", "goal", "task", "attempt", "kind", "data"},
    )
    db.table("facts").create_index(["goal", "seq"])
    db.table("facts").create_index(["kind", "goal"])
    db.table("requests").create(
        {"name": str, "verb": str, "payload": str, "at": float, "outcome": str, "settled_at": float},
        pk="name",
    )
    db.table("programs").create(
        {"token": str, "purpose": str, "pid": int, "start": str, "boot": str, "at": float}, pk="token"
    )
    db.table("gate_runs").create({"key": str, "at": float, "run": str}, pk="key")


@migrations()
def m002_flakes(db: sqlite_utils.Database) -> None:
    """What flaky tests did, by tree."""
    db.table("flakes").create(
        {"test": str, "tree": str, "passed": int, "failed": int, "why": str, "at": float},
        pk=("test", "tree"),
        not_null={"passed", "failed", "why", "at"},
    )


@migrations()
def m003_items(db: sqlite_utils.Database) -> None:
    """Items of simple mode, and which of them share a target with an earlier one."""
    db.table("items").create(
        {
            "job": str,
            "n": int,
            "id": str,
            "data": str,
            "bucket": str,
            "priority": int,
            "turn": int,
            "state": str,
            "attempt": int,
            "tries": int,
            "not_before": float,
            "token": str,
            "class": str,
            "failures": str,
            "reason": str,
            "base": str,
            "commit": str,
            "landed": str,
            "landing": str,
            "kept": str,
            "worktree": str,
            "provider": str,
            "cost_usd": float,
            "started_at": float,
            "ended_at": float,
        },
        pk=("job", "n"),
        not_null={"id", "data", "state", "attempt", "tries", "not_before"},
    )
    db.table("items").create_index(["job", "id"], unique=True)
    db.execute("CREATE INDEX idx_items_queue ON items (job, state, priority DESC, turn, n)")
    db.execute("CREATE INDEX idx_items_ended ON items (job, ended_at)")
    db.table("item_order").create({"job": str, "n": int, "after": int}, pk=("job", "n", "after"))


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables up to date; a database of a newer mo is refused and left as it is."""
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    refuse_newer(found, writer_of(connection) if found else "")
    if found == SCHEMA:
        return
    database = sqlite_utils.Database(connection)
    migrations.apply(database)
    connection.execute("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT)")
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('mo_version', ?)", (__version__,))
    connection.execute(f"PRAGMA user_version = {SCHEMA}")


def writer_of(connection: sqlite3.Connection) -> str:
    """The version of mo that made the present schema."""
    try:
        row = connection.execute("SELECT value FROM meta WHERE key = 'mo_version'").fetchone()
    except sqlite3.OperationalError:
        return ""
    return str(row[0]) if row else ""


def refuse_newer(found: int, version: str) -> None:
    if found > SCHEMA:
        needed = f"mo {version} or newer" if version else "a newer mo"
        raise MoError(
            f".mo/mo.db has schema {found}, this mo ({__version__}) knows schema {SCHEMA}",
            f"install {needed}; nothing was changed",
            Exit.CONFIG,
        )
