"""The one writer of the ledger.  It lives on the daemon's event loop thread.

Transactions are BEGIN IMMEDIATE: a deferred one that reads and then writes fails at once against another
writer.  Facts that guard an effect outside (a ref move) are written with `durable=True`, that is with
synchronous=FULL, so that they survive a power loss; the rest may lose the last moment, never its shape.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mo_git.errors import Exit, MoError
from mo_git.flakes import Seen
from mo_git.goal_status import GoalStatus
from mo_git.ledger.items import ItemRows
from mo_git.ledger.records import ANSWERS, FACT_COLUMNS, FLAKES, dump, facts_of, goal_from_data, goal_to_data
from mo_git.ledger.schema import migrate
from mo_git.lifecycle import replay
from mo_git.model import Fact, GoalSpec, Kind, NewFact
from mo_git.process import Identity

_CURRENT_GOALS = """
SELECT spec FROM goals WHERE id IN (SELECT id FROM goals ORDER BY created_at DESC LIMIT :recent)
OR coalesce((SELECT kind FROM facts WHERE goal = goals.id AND kind IN ('goal_ended', 'goal_reopened')
             ORDER BY seq DESC LIMIT 1), '') != 'goal_ended'
OR (SELECT count(*) FROM facts WHERE goal = goals.id AND kind = 'operation_requested')
 > (SELECT count(*) FROM facts WHERE goal = goals.id AND kind = 'operation_ended')
ORDER BY created_at, id
"""

_NOTE_FLAKE = """
INSERT INTO flakes (test, tree, passed, failed, why, at)
VALUES (:test, :tree, :passed, :failed, :why, :at)
ON CONFLICT (test, tree) DO UPDATE SET passed = passed + excluded.passed, failed = failed + excluded.failed,
why = excluded.why, at = excluded.at
"""

_ROOM = 64 * 1024  # bytes that have to be free before work goes on


class LedgerFull(MoError):
    """A fact could not be written now (a full disk, mostly); nothing was written, later it may be."""


class LedgerBroken(MoError):
    """The file is no ledger any more; nothing can be recorded."""


# What passes by itself, by the primary result code of sqlite3.h: message, remedy.
_FOR_NOW: Mapping[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: ("no space left", "free some disk space"),
    sqlite3.SQLITE_IOERR: ("the disk refuses", "check its free space and its health"),
    sqlite3.SQLITE_BUSY: ("another program holds it", "end what has it open for writing"),
    sqlite3.SQLITE_READONLY: ("it is read-only", "make .mo/ and what is in it writable"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "make .mo/ and what is in it writable"),
}


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """SQLite's errors as what a person can do about them; a wrong statement stays what it is, a bug."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _FOR_NOW:
            why, remedy = _FOR_NOW[code]
            raise LedgerFull(f"cannot write {path}: {why} ({error})", remedy) from None
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise unreadable(path, error) from None
        raise


class Ledger:
    """Open for writing; makes or migrates the tables."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with _errors(path):
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=True, timeout=10)
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
                migrate(self._db)
        except sqlite3.DatabaseError as error:  # tables of something else
            raise unreadable(path, error) from None
        self.items = ItemRows(self._db, self._transaction)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self, durable: bool = False) -> Iterator[None]:
        with _errors(self.path):
            try:
                if durable:
                    self._db.execute("PRAGMA synchronous = FULL")
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if durable:
                    self._db.execute("PRAGMA synchronous = NORMAL")

    def _rows(self, query: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with _errors(self.path):
            return self._db.execute(query, values).fetchall()

    # -- facts ----------------------------------------------------------------------------------------

    def append(
        self,
        facts: Iterable[NewFact],
        at: float,
        *,
        durable: bool = False,
        goals: Sequence[GoalSpec] = (),
        answers: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> list[Fact]:
        """Record new goals, facts, and what came of requests (name -> outcome): all of it or nothing."""
        recorded = []
        with self._transaction(durable):
            for spec in goals:
                row = (spec.id, at, dump(goal_to_data(spec)))
                self._db.execute("INSERT INTO goals (id, created_at, spec) VALUES (?, ?, ?)", row)
            for new in facts:
                recorded.append(self._insert(new, at))
            for name, outcome in (answers or {}).items():
                self._settle(name, outcome, at)
        return recorded

    def _insert(self, new: NewFact, at: float) -> Fact:
        cursor = self._db.execute(
            "INSERT INTO facts (at, goal, task, attempt, kind, data) VALUES (?, ?, ?, ?, ?, ?)",
            (at, new.goal, new.task, new.attempt, new.kind.value, dump(new.data)),
        )
        assert cursor.lastrowid is not None
        return Fact(cursor.lastrowid, at, new.goal, new.task, new.attempt, new.kind.value, new.data)

    def add_goal(self, spec: GoalSpec, at: float) -> list[Fact]:
        """Record a goal and its first fact; the id must be new."""
        return self.append([NewFact(spec.id, Kind.GOAL_CREATED, {})], at, durable=True, goals=[spec])

    def facts(self, goal: str) -> list[Fact]:
        return facts_of(self._rows(f"SELECT {FACT_COLUMNS} FROM facts WHERE goal = ? ORDER BY seq", (goal,)))

    def status(self, spec: GoalSpec) -> GoalStatus:
        """Where a goal stands, after all its facts, and its items."""
        found = replay(spec, self.facts(spec.id))
        found.items = self.items.counts(spec.id) if spec.bulk else None
        return found

    def has_goal(self, goal: str) -> bool:
        return bool(self._rows("SELECT 1 FROM goals WHERE id = ?", (goal,)))

    def goal(self, goal: str) -> GoalSpec | None:
        rows = self._rows("SELECT spec FROM goals WHERE id = ?", (goal,))
        return goal_from_data(json.loads(rows[0][0])) if rows else None

    def spent_since(self, at: float) -> float:
        """US dollars of all usage facts since a time."""
        rows = self._db.execute(
            "SELECT coalesce(sum(json_extract(data, '$.cost_usd')), 0) FROM facts"
            " WHERE kind = 'usage' AND at >= ?",
            (at,),
        )
        return float(rows.fetchone()[0])

    def answers(self, since: float) -> list[Fact]:
        """How runs of providers ended since a time, oldest first."""
        rows = self._rows(ANSWERS, (Kind.PROVIDER_ANSWERED.value, since))
        return facts_of(rows)

    def usage(self, newest: int) -> list[Fact]:
        """The newest usage facts, oldest first."""
        return self.newest([Kind.USAGE], newest)

    def newest(self, kinds: Sequence[Kind], limit: int) -> list[Fact]:
        """The newest facts of some kinds, of any goals, oldest first."""
        marks = ", ".join("?" * len(kinds))
        rows = self._rows(
            f"SELECT {FACT_COLUMNS} FROM facts WHERE kind IN ({marks}) ORDER BY seq DESC LIMIT ?",
            (*(kind.value for kind in kinds), limit),
        )
        return facts_of(reversed(rows))

    def goal_ids(self) -> list[str]:
        """All goals ever queued, oldest first."""
        return [goal for (goal,) in self._db.execute("SELECT id FROM goals ORDER BY created_at, id")]

    def current_goals(self, recent: int = 20) -> list[GoalSpec]:
        """Goals that have not ended or have an operation pending, and the newest ones, oldest first."""
        rows = self._rows(_CURRENT_GOALS, {"recent": recent})
        return [goal_from_data(json.loads(spec)) for (spec,) in rows]

    # -- requests -------------------------------------------------------------------------------------

    def record_request(self, name: str, verb: str, payload: Mapping[str, Any], at: float) -> bool:
        """Record a request before its file is unlinked; False where it already was (a crash in between)."""
        with self._transaction():
            cursor = self._db.execute(
                "INSERT OR IGNORE INTO requests (name, verb, payload, at) VALUES (?, ?, ?, ?)",
                (name, verb, dump(payload), at),
            )
            return cursor.rowcount == 1

    def settle_request(self, name: str, outcome: Mapping[str, Any], at: float) -> None:
        with self._transaction():
            self._settle(name, outcome, at)

    def _settle(self, name: str, outcome: Mapping[str, Any], at: float) -> None:
        self._db.execute(
            "UPDATE requests SET outcome = ?, settled_at = ? WHERE name = ?", (dump(outcome), at, name)
        )

    def unsettled(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Requests that were recorded but not carried out, oldest first: (name, verb, payload)."""
        rows = self._rows("SELECT name, verb, payload FROM requests WHERE outcome IS NULL ORDER BY name")
        return [(name, verb, json.loads(payload)) for name, verb, payload in rows]

    # -- programs that may be alive -------------------------------------------------------------------

    def program_starting(self, token: str, purpose: str, at: float) -> None:
        """Before a program starts: a kill of the daemon right after must still find it by its token."""
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO programs (token, purpose, at) VALUES (?, ?, ?)", (token, purpose, at)
            )

    def program_started(self, token: str, identity: Identity) -> None:
        with self._transaction():
            self._db.execute(
                "UPDATE programs SET pid = ?, start = ?, boot = ? WHERE token = ?",
                (identity.pid, identity.start, identity.boot, token),
            )

    def program_ended(self, tokens: Sequence[str]) -> None:
        with self._transaction():
            self._db.executemany("DELETE FROM programs WHERE token = ?", [(token,) for token in tokens])

    def programs(self) -> list[str]:
        """Tokens of programs of which no end was recorded."""
        return [token for (token,) in self._rows("SELECT token FROM programs")]

    # -- gate verdicts --------------------------------------------------------------------------------

    def remember_gate(self, key: str, run: Mapping[str, Any], at: float) -> None:
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO gate_runs VALUES (?, ?, ?)", (key, at, dump(run)))

    def gate_run(self, key: str) -> dict[str, Any] | None:
        rows = self._rows("SELECT run FROM gate_runs WHERE key = ?", (key,))
        return json.loads(rows[0][0]) if rows else None

    # -- flakes ---------------------------------------------------------------------------------------

    def note_flakes(self, rows: Iterable[Seen]) -> None:
        """Add what tests did on a tree to what is known; the newest reason and time stay."""
        with self._transaction():
            self._db.executemany(_NOTE_FLAKE, [asdict(row) for row in rows])

    def flakes_seen(self) -> list[Seen]:
        return [Seen(*row) for row in self._rows(FLAKES)]

    def forget_flake(self, test: str) -> int:
        """Forget all about a test; the number of trees that were known."""
        with self._transaction():
            return self._db.execute("DELETE FROM flakes WHERE test = ?", (test,)).rowcount

    def probe(self) -> None:
        """Write what a few facts need and take it back: raises LedgerFull while that is not possible."""
        with self._transaction(durable=True):
            fact = self._insert(NewFact("", Kind.GATE_RUN, {"room": " " * _ROOM}), 0.0)
            self._db.execute("DELETE FROM facts WHERE seq = ?", (fact.seq,))

    # -- housekeeping ---------------------------------------------------------------------------------

    def forget_before(self, at: float) -> int:
        """Drop old gate verdicts and settled requests; facts stay.  Returns the number of rows."""
        with self._transaction():
            gone = self._db.execute("DELETE FROM gate_runs WHERE at < ?", (at,)).rowcount
            return gone + self._db.execute("DELETE FROM requests WHERE settled_at < ?", (at,)).rowcount


def unreadable(path: Path, error: Exception) -> LedgerBroken:
    return LedgerBroken(
        f"cannot read {path}: {error}",
        f"your work is in git (branches mo/*, refs/mo/*); move {path.name} away to start a new ledger, "
        "or restore it from a backup",
        Exit.CONFIG,
    )
