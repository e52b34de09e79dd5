"""Jobs of simple mode for tests: queued as the command line queues them, and looked at in the ledger."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mo_git.ledger.items import ItemRow
from mo_git.ledger.reader import Reader
from mo_git.ledger.records import goal_to_data
from mo_git.model import Bulk, GoalSpec, Plan
from mo_git.simple.item import Item, ItemState
from mo_git.simple.items_file import write_items_file
from tests.driver import Mo

JOB = "job-t3st"


def queue(
    mo: Mo,
    items: Sequence[Item],
    *,
    after: dict[int, tuple[int, ...]] | None = None,
    job: str = JOB,
    gate: str = "none",
    bulk: Bulk | None = None,
    **more: Any,
) -> str:
    """Queue a job; `after`: number of an item (from 1) -> the earlier ones that share a target with it."""
    mo.home.create()
    placed = [(item, item.bucket, n, (after or {}).get(n, ())) for n, item in enumerate(items, 1)]
    write_items_file(mo.home.items_file(job), placed)
    base = mo.repo.git("rev-parse", "HEAD").strip()
    bulk = replace(bulk or Bulk(0), items=len(items))
    environment = {"PATH": mo.environ["PATH"]}
    spec = GoalSpec(
        job,
        "a job",
        Plan("a job", ()),
        time.time(),
        base,
        "main",
        gate=gate,
        bulk=bulk,
        environment=environment,
    )
    mo.home.drop("do", {"goal": goal_to_data(replace(spec, **more))})
    return job


def rows(mo: Mo, job: str = JOB, *states: ItemState) -> dict[str, ItemRow]:
    """Item id -> its row."""
    reader = Reader.open(mo.home.database)
    assert reader is not None
    try:
        return {row.item.id: row for row in reader.items.rows(job, states)}
    finally:
        reader.close()


def counts(mo: Mo, job: str = JOB) -> Counter[str]:
    return Counter(str(row.state) for row in rows(mo, job).values())


def ended(mo: Mo, job: str = JOB) -> bool:
    reader = Reader.open(mo.home.database)
    if reader is None:
        return False
    try:
        return job in reader.goal_ids() and reader.goal(job).ended is not None
    finally:
        reader.close()


def run(mo: Mo, job: str = JOB, seconds: float = 60) -> None:
    """Let the daemon do it, to its end."""
    mo("daemon", "start")
    mo.wait_for(lambda: ended(mo, job), seconds)


def landed_items(mo: Mo, job: str = JOB) -> list[str]:
    """The items that have a commit on the integration branch, oldest first."""
    log = mo.repo.git(
        "log", "--reverse", "--format=%(trailers:key=Mo-Item,valueonly)", f"main..mo/{job}/integration"
    )
    return log.split()


def outcome(mo: Mo, request: str) -> dict[str, Any] | None:
    """What came of a request."""
    reader = Reader.open(mo.home.database)
    assert reader is not None
    try:
        return reader.outcome(request)
    finally:
        reader.close()
