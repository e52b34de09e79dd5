"""Items of simple mode as rows: queued, claimed by compare-and-swap, ended; and how they are read.

Who claims an item gets a token; what is recorded of it counts only as long as the row still has that token,
so a late word of a worker that was given up changes nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from mo_git.ledger.records import dump
from mo_git.simple.item import Item, ItemState, item_from_data, item_to_data

_INSERT = """
INSERT OR IGNORE INTO items (job, n, id, data, bucket, priority, turn, state, attempt, tries, not_before,
                             token, class, failures, reason, base, "commit", landed, landing, kept,
                             worktree, provider, cost_usd)
VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', 0, 0, 0, '', '', '', '', '', '', '', '', '', '', '', 0)
"""

_COLUMNS = (
    'n, id, data, bucket, state, attempt, tries, not_before, token, class, failures, reason, base, "commit",'
    " landed, landing, kept, worktree, provider, cost_usd, started_at, ended_at"
)

# An item that shares a target with an earlier one waits until that one has ended, or is a candidate.
_CLAIMABLE = f"""
SELECT {_COLUMNS} FROM items WHERE job = ? AND state = 'queued' AND not_before <= ?
AND NOT EXISTS (SELECT 1 FROM item_order AS o JOIN items AS e ON e.job = o.job AND e.n = o.after
                WHERE o.job = items.job AND o.n = items.n AND e.state IN ('queued', 'running'))
ORDER BY priority DESC, turn, n LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class ItemRow:
    """An item and where it stands.

    `attempt` only grows, `tries` are those since a person's last retry, as are `failures` (classes, oldest
    first, with spaces between them); `base` and `commit` are of the
    candidate, `landed` is the commit on the integration branch, `landing` the branch's head that an intent
    wants; `kept` is a commit with what a failed attempt left, `worktree` where an agent is at work.
    """

    n: int
    item: Item
    bucket: str
    state: ItemState
    attempt: int
    tries: int
    not_before: float
    token: str
    failure: str
    failures: str
    reason: str
    base: str
    commit: str
    landed: str
    landing: str
    kept: str
    worktree: str
    provider: str
    cost_usd: float
    started_at: float | None
    ended_at: float | None


def _row(values: Sequence[Any]) -> ItemRow:
    n, _, data, bucket, state, *rest = values
    return ItemRow(n, item_from_data(json.loads(data)), bucket, ItemState(state), *rest)


class ItemLook:
    """What rows say; works on a read-only connection, too."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def is_known(self) -> bool:
        """Whether the ledger has items at all: an older mo made none."""
        query = "SELECT 1 FROM sqlite_master WHERE name = 'items'"
        return self._db.execute(query).fetchone() is not None

    def counts(self, job: str) -> dict[ItemState, int]:
        """How many items of a job are in which state."""
        rows = self._db.execute("SELECT state, count(*) FROM items WHERE job = ? GROUP BY state", (job,))
        return {ItemState(state): number for state, number in rows}

    def rows(
        self, job: str, states: Iterable[ItemState] = (), *, limit: int = -1, newest: bool = False
    ) -> Iterator[ItemRow]:
        """Rows in manifest order, or with `newest` the last ended first; of some states, or of all."""
        wanted = [str(state) for state in states]
        some = f" AND state IN ({', '.join('?' * len(wanted))})" if wanted else ""
        order = "ended_at DESC, n DESC" if newest else "n"
        query = f"SELECT {_COLUMNS} FROM items WHERE job = ?{some} ORDER BY {order} LIMIT ?"
        for values in self._db.execute(query, (job, *wanted, limit)):
            yield _row(values)

    def row(self, job: str, n: int) -> ItemRow | None:
        query = f"SELECT {_COLUMNS} FROM items WHERE job = ? AND n = ?"
        values = self._db.execute(query, (job, n)).fetchone()
        return None if values is None else _row(values)

    def find(self, job: str, item: str) -> ItemRow | None:
        """The item of this id."""
        query = f"SELECT {_COLUMNS} FROM items WHERE job = ? AND id = ?"
        values = self._db.execute(query, (job, item)).fetchone()
        return None if values is None else _row(values)

    def ended_since(self, job: str, at: float) -> int:
        """How many items have ended, or become candidates, since a time."""
        query = "SELECT count(*) FROM items WHERE job = ? AND ended_at >= ?"
        return int(self._db.execute(query, (job, at)).fetchone()[0])

    def rate(self, job: str, window: float) -> float:
        """How many items ended a second, over the last `window` seconds in which any did."""
        newest = self._db.execute("SELECT max(ended_at) FROM items WHERE job = ?", (job,)).fetchone()[0]
        if newest is None:
            return 0.0
        query = "SELECT min(ended_at), count(*) FROM items WHERE job = ? AND ended_at >= ?"
        oldest, number = self._db.execute(query, (job, newest - window)).fetchone()
        return (number - 1) / (newest - oldest) if newest > oldest else 0.0

    def earlier(self, job: str, n: int) -> list[ItemRow]:
        """The items before this one that share a target with it, in manifest order."""
        query = "SELECT after FROM item_order WHERE job = ? AND n = ? ORDER BY after"
        found = (self.row(job, after) for (after,) in self._db.execute(query, (job, n)))
        return [row for row in found if row is not None]

    def later(self, job: str, n: int) -> list[int]:
        """The items after this one that share a target with it."""
        query = "SELECT n FROM item_order WHERE job = ? AND after = ? ORDER BY n"
        return [later for (later,) in self._db.execute(query, (job, n))]

    def landings(self, job: str) -> list[str]:
        """The heads that the branch was about to be moved to."""
        query = "SELECT DISTINCT landing FROM items WHERE job = ? AND landing != ''"
        return [head for (head,) in self._db.execute(query, (job,))]

    def next_due(self, job: str) -> float | None:
        """When the first of the items that wait may start; None: none waits."""
        query = "SELECT min(not_before) FROM items WHERE job = ? AND state = 'queued'"
        found = self._db.execute(query, (job,)).fetchone()[0]
        return None if found is None else float(found)


Transaction = Callable[[bool], AbstractContextManager[None]]


class ItemRows(ItemLook):
    """The one writer of items.  `transaction` takes whether it has to be durable."""

    def __init__(self, db: sqlite3.Connection, transaction: Transaction) -> None:
        super().__init__(db)
        self._transaction = transaction

    def add(self, job: str, first: int, items: Sequence[tuple[Item, str, int, Sequence[int]]]) -> None:
        """Queue items from number `first` on: (item, bucket, turn within it, items that it comes after).

        What is there already stays as it is, so it may be repeated.
        """
        rows = [
            (job, n, item.id, dump(item_to_data(item)), bucket, item.priority, turn)
            for n, (item, bucket, turn, _) in enumerate(items, first)
        ]
        order = [(job, n, after) for n, (*_, earlier) in enumerate(items, first) for after in earlier]
        with self._transaction(False):
            self._db.executemany(_INSERT, rows)
            self._db.executemany("INSERT OR IGNORE INTO item_order VALUES (?, ?, ?)", order)

    def claimable(self, job: str, now: float, limit: int) -> list[ItemRow]:
        """Items that may start now, the first first: by priority, then fair among buckets."""
        return [_row(values) for values in self._db.execute(_CLAIMABLE, (job, now, limit))]

    def claim(self, job: str, row: ItemRow, token: str, provider: str, at: float) -> ItemRow | None:
        """Take a queued item; None where somebody else was faster.  The row as it is then.

        Why the attempt before failed stays: the next one is told.
        """
        with self._transaction(False):
            done = self._db.execute(
                "UPDATE items SET state = 'running', token = ?, attempt = attempt + 1, tries = tries + 1,"
                " provider = ?, started_at = ?, ended_at = NULL"
                " WHERE job = ? AND n = ? AND state = 'queued' AND attempt = ?",
                (token, provider, at, job, row.n, row.attempt),
            )
        return self.row(job, row.n) if done.rowcount else None

    def place(self, job: str, row: ItemRow, worktree: str, base: str) -> None:
        """Where an agent works on a claimed item, from which commit: after a kill that is looked at."""
        with self._transaction(False):
            self._db.execute(
                "UPDATE items SET worktree = ?, base = ? WHERE job = ? AND n = ? AND token = ?",
                (worktree, base, job, row.n, row.token),
            )

    def end(self, job: str, n: int, token: str, state: ItemState, at: float, **values: Any) -> bool:
        """What came of a claimed item; False where the claim does not hold any more."""
        named = {"class" if name == "failure" else name: value for name, value in values.items()}
        columns = "".join(f', "{name}" = ?' for name in named)
        with self._transaction(False):
            done = self._db.execute(
                f"UPDATE items SET state = ?, ended_at = ?, token = '', worktree = ''{columns}"
                " WHERE job = ? AND n = ? AND token = ? AND state = 'running'",
                (str(state), at, *named.values(), job, n, token),
            )
        return bool(done.rowcount)

    def put(self, job: str, n: int, before: ItemState, state: ItemState, **values: Any) -> bool:
        """Compare and swap the state of an item that nobody works on."""
        named = {"class" if name == "failure" else name: value for name, value in values.items()}
        columns = "".join(f', "{name}" = ?' for name in named)
        with self._transaction(False):
            done = self._db.execute(
                f"UPDATE items SET state = ?{columns} WHERE job = ? AND n = ? AND state = ?",
                (str(state), *named.values(), job, n, str(before)),
            )
        return bool(done.rowcount)

    def intend(self, job: str, head: str, commits: Mapping[int, str]) -> None:
        """Before the branch moves to `head`: which candidates (n -> commit there) land by that; durably."""
        with self._transaction(True):
            self._db.execute("UPDATE items SET landing = '' WHERE job = ? AND landing != ''", (job,))
            self._db.executemany(
                "UPDATE items SET landing = ?, landed = ? WHERE job = ? AND n = ? AND state = 'candidate'",
                [(head, commit, job, n) for n, commit in commits.items()],
            )

    def land(self, job: str, head: str) -> int:
        """The branch is at `head`: what was intended has happened; the number of items."""
        with self._transaction(True):
            return self._db.execute(
                "UPDATE items SET state = 'landed', landing = '', class = '', reason = ''"
                " WHERE job = ? AND landing = ? AND state = 'candidate'",
                (job, head),
            ).rowcount

    def drop_intent(self, job: str) -> None:
        """The branch was not moved: the candidates wait on."""
        with self._transaction(False):
            self._db.execute(
                "UPDATE items SET landing = '', landed = '' WHERE job = ? AND landing != ''", (job,)
            )

    def requeue_running(self, job: str, reason: str, kept: Mapping[int, str]) -> None:
        """Items that nobody works on any more are queued again, as they were; `kept`: n -> a commit."""
        with self._transaction(False):
            self._db.executemany(
                "UPDATE items SET kept = ? WHERE job = ? AND n = ? AND state = 'running'",
                [(commit, job, n) for n, commit in kept.items() if commit],
            )
            self._db.execute(
                "UPDATE items SET state = 'queued', token = '', worktree = '', tries = tries - 1,"
                " class = 'lost', reason = ? WHERE job = ? AND state = 'running'",
                (reason, job),
            )

    def retry(self, job: str, states: Sequence[ItemState]) -> int:
        """Items that ended in one of these states start again; how many."""
        marks = ", ".join("?" * len(states))
        with self._transaction(True):
            return self._db.execute(
                "UPDATE items SET state = 'queued', tries = 0, not_before = 0, class = '', failures = '',"
                f" reason = '', token = '', \"commit\" = '', base = '' WHERE job = ? AND state IN ({marks})",
                (job, *map(str, states)),
            ).rowcount

    def cancel(self, job: str, reason: str, at: float) -> int:
        """Items that have not ended, and are no candidates, end cancelled."""
        with self._transaction(True):
            return self._db.execute(
                "UPDATE items SET state = 'cancelled', class = 'cancelled', reason = ?, token = '',"
                " ended_at = ?"
                " WHERE job = ? AND state IN ('queued', 'running', 'candidate')",
                (reason, at, job),
            ).rowcount
