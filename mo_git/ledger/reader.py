"""Read-only look at the ledger, for people's commands: needs no daemon, and only the standard library."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from mo_git.flakes import Seen
from mo_git.goal_status import GoalStatus
from mo_git.ledger.items import ItemLook
from mo_git.ledger.records import ANSWERS, FACT_COLUMNS, FLAKES, facts_of, goal_from_data
from mo_git.lifecycle import replay
from mo_git.model import Fact, GoalSpec, Kind


class Reader:
    """`mode=ro` connection to an existing ledger."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(f"file:{_uri(path)}?mode=ro", uri=True, isolation_level=None, timeout=5)
        self.items = ItemLook(self._db)

    @classmethod
    def open(cls, path: Path) -> Reader | None:
        """None where there is no ledger yet; a file that is no ledger raises sqlite3.DatabaseError."""
        if not path.exists():
            return None
        reader = cls(path)
        tables = reader._db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'facts'").fetchone()
        return reader if tables[0] else None

    def close(self) -> None:
        self._db.close()

    def goal_ids(self) -> list[str]:
        """All goals, oldest first."""
        return [goal for (goal,) in self._db.execute("SELECT id FROM goals ORDER BY created_at, id")]

    def spec(self, goal: str) -> GoalSpec:
        row = self._db.execute("SELECT spec FROM goals WHERE id = ?", (goal,)).fetchone()
        return goal_from_data(json.loads(row[0]))

    def goal(self, goal: str) -> GoalStatus:
        found = replay(self.spec(goal), self.facts(goal))
        found.items = self.items.counts(goal) if found.spec.bulk else None
        return found

    def facts(self, goal: str, after: int = 0) -> list[Fact]:
        rows = self._db.execute(
            f"SELECT {FACT_COLUMNS} FROM facts WHERE goal = ? AND seq > ? ORDER BY seq", (goal, after)
        )
        return facts_of(rows)

    def integration(self, goal: str) -> str:
        """The newest landing of a goal, without reading all its facts; empty before the first."""
        query = "SELECT data FROM facts WHERE goal = ? AND kind = ? ORDER BY seq DESC LIMIT 1"
        row = self._db.execute(query, (goal, Kind.LANDING.value)).fetchone()
        return str(json.loads(row[0])["commit"]) if row else ""

    def usage(self, goal: str = "") -> list[Fact]:
        """What agents used, of one goal or of all, oldest first."""
        rows = self._db.execute(
            f"SELECT {FACT_COLUMNS} FROM facts WHERE kind = ? AND (? = '' OR goal = ?) ORDER BY seq",
            (Kind.USAGE.value, goal, goal),
        )
        return facts_of(rows)

    def failures(self, newest: int = 2000) -> list[Fact]:
        """The newest facts about failed attempts of any goals, and about other tries, oldest first."""
        rows = self._db.execute(
            f"SELECT {FACT_COLUMNS} FROM facts WHERE kind IN (?, ?) ORDER BY seq DESC LIMIT ?",
            (Kind.ATTEMPT_FAILED.value, Kind.RETRY_SCHEDULED.value, newest),
        )
        return facts_of(list(rows)[::-1])

    def answers(self, since: float) -> list[Fact]:
        """How runs of providers ended since a time, oldest first."""
        return facts_of(self._db.execute(ANSWERS, (Kind.PROVIDER_ANSWERED.value, since)))

    def flakes_seen(self) -> list[Seen]:
        """What is known of flaky tests; nothing in a ledger that an older mo made."""
        known = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'flakes'").fetchone()
        return [Seen(*row) for row in self._db.execute(FLAKES)] if known else []

    def outcome(self, request: str) -> dict[str, Any] | None:
        """What came of a request: None while it is not settled or not recorded yet."""
        row = self._db.execute("SELECT outcome FROM requests WHERE name = ?", (request,)).fetchone()
        return json.loads(row[0]) if row and row[0] else None

    def is_recorded(self, request: str) -> bool:
        return self._db.execute("SELECT 1 FROM requests WHERE name = ?", (request,)).fetchone() is not None


def _uri(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
