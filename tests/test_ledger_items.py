"""Rows of items: claimed once, in a fair order, and nothing late counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_git.ledger.items import ItemRow
from mo_git.ledger.reader import Reader
from mo_git.ledger.writer import Ledger
from mo_git.simple.item import Item, ItemState

JOB = "job-0001"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "mo.db")
    yield made
    made.close()


def add(ledger: Ledger, *items: Item, after: dict[int, tuple[int, ...]] | None = None) -> None:
    turns: dict[str, int] = {}
    placed = []
    for n, item in enumerate(items, 1):
        turns[item.bucket] = turns.get(item.bucket, 0) + 1
        placed.append((item, item.bucket, turns[item.bucket], (after or {}).get(n, ())))
    ledger.items.add(JOB, 1, placed)


def claimable(ledger: Ledger, now: float = 0.0) -> list[str]:
    return [row.item.id for row in ledger.items.claimable(JOB, now, 100)]


def claim(ledger: Ledger, n: int, token: str = "t") -> ItemRow:
    row = ledger.items.row(JOB, n)
    assert row is not None
    claimed = ledger.items.claim(JOB, row, token, "command", 1.0)
    assert claimed is not None
    return claimed


def test_items_come_back_as_they_were(ledger: Ledger) -> None:
    checks = ("true", ("a", "b"))
    item = Item(
        "a", ("x", "y"), run=("sed", "{target}"), verify_commands=checks, metadata={"k": [{"z": None}]}
    )
    add(ledger, item, Item("b", instruction="ü\n" * 3, timeout_seconds=1.5))
    add(ledger, item)  # once more changes nothing
    rows = list(ledger.items.rows(JOB))
    assert [row.item.id for row in rows] == ["a", "b"]
    assert (rows[0].item.run, rows[0].item.verify_commands) == (item.run, item.verify_commands)
    assert rows[1].item == Item("b", instruction="ü\n" * 3, timeout_seconds=1.5)


def test_buckets_take_turns_below_priority(ledger: Ledger) -> None:
    add(
        ledger,
        Item("a1", bucket="a"),
        Item("a2", bucket="a"),
        Item("b1", bucket="b"),
        Item("urgent", bucket="b", priority=5),
        Item("a3", bucket="a"),
    )
    assert claimable(ledger) == ["urgent", "a1", "b1", "a2", "a3"]


def test_who_shares_a_target_waits_for_the_earlier_one(ledger: Ledger) -> None:
    add(ledger, Item("one"), Item("two"), after={2: (1,)})
    assert claimable(ledger) == ["one"]
    row = claim(ledger, 1)
    assert claimable(ledger) == []
    ledger.items.end(JOB, 1, row.token, ItemState.CANDIDATE, 2.0, commit="c1", base="b")
    assert claimable(ledger) == ["two"]
    assert [other.commit for other in ledger.items.earlier(JOB, 2)] == ["c1"]


def test_a_claim_is_a_compare_and_swap(ledger: Ledger) -> None:
    add(ledger, Item("one"))
    stale = ledger.items.row(JOB, 1)
    assert stale is not None
    row = claim(ledger, 1, "mine")
    assert (row.state, row.attempt, row.tries, row.token) == (ItemState.RUNNING, 1, 1, "mine")
    assert ledger.items.claim(JOB, stale, "yours", "command", 1.0) is None
    assert not ledger.items.end(JOB, 1, "yours", ItemState.FAILED, 2.0)
    assert ledger.items.end(JOB, 1, "mine", ItemState.QUEUED, 2.0, failure="crash", not_before=9.0)
    assert not ledger.items.end(JOB, 1, "mine", ItemState.FAILED, 2.0)  # it is over
    assert (claimable(ledger, 8.0), claimable(ledger, 9.0), ledger.items.next_due(JOB)) == ([], ["one"], 9.0)


def test_what_was_about_to_land_lands_once_or_not(ledger: Ledger) -> None:
    add(ledger, Item("one"), Item("two"), Item("three"))
    for n in (1, 2, 3):
        ledger.items.end(JOB, n, claim(ledger, n).token, ItemState.CANDIDATE, 2.0, commit=f"c{n}")
    ledger.items.intend(JOB, "head", {1: "l1", 2: "l2"})
    assert ledger.items.landings(JOB) == ["head"]
    ledger.items.drop_intent(JOB)
    assert (ledger.items.landings(JOB), ledger.items.land(JOB, "head")) == ([], 0)
    ledger.items.intend(JOB, "head", {1: "l1", 2: "l2"})
    assert (ledger.items.land(JOB, "head"), ledger.items.land(JOB, "head")) == (2, 0)
    assert ledger.items.counts(JOB) == {ItemState.LANDED: 2, ItemState.CANDIDATE: 1}
    assert [row.landed for row in ledger.items.rows(JOB, [ItemState.LANDED])] == ["l1", "l2"]


def test_lost_cancelled_and_retried(ledger: Ledger, tmp_path: Path) -> None:
    add(ledger, Item("one"), Item("two"), Item("three"))
    claim(ledger, 1)
    row = claim(ledger, 2)
    ledger.items.end(JOB, 2, row.token, ItemState.FAILED, 2.0, failure="crash", failures="crash", reason="no")
    ledger.items.requeue_running(JOB, "the daemon ended", {1: "kept"})
    again = ledger.items.row(JOB, 1)
    assert again is not None
    assert (again.state, again.attempt, again.tries, again.failure) == (ItemState.QUEUED, 1, 0, "lost")
    assert again.kept == "kept"
    assert ledger.items.cancel(JOB, "not wanted", 3.0) == 2
    assert ledger.items.retry(JOB, [ItemState.FAILED, ItemState.CANCELLED]) == 3
    assert claim(ledger, 2).attempt == 2
    reader = Reader.open(tmp_path / "mo.db")
    assert reader is not None
    found = reader.items.find(JOB, "two")
    reader.close()
    assert found is not None
    assert (found.n, found.failures) == (2, "")
