"""`mo simple status` and `mo simple show`: where a job and its items stand; needs no daemon."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import click

from mo_git import fast_status
from mo_git.cli import Context
from mo_git.cli.context import emit_json, json_option, open_home, open_reader, say, use_color
from mo_git.cli.ids import ID, find_item, resolve_job
from mo_git.home import Home
from mo_git.ledger.items import ItemRow
from mo_git.ledger.reader import Reader
from mo_git.simple.item import ItemState
from mo_git.simple.view import (
    WINDOW_SECONDS,
    files_of,
    item_document,
    item_lines,
    item_text,
    job_document,
    status_lines,
)

_FAILED = 1000  # listed in a status document; fewer in its text
_SHOWN = 10


@click.command()
@click.argument("job", type=ID, default="", metavar="[JOB]")
@json_option
@click.pass_obj
def status(obj: Context, job: str) -> None:
    """Show how far a job is: counts, rate, cost, and what failed."""
    home = open_home(obj)
    reader = open_reader(home)
    try:
        document = _status_document(home, reader, resolve_job(reader, job), _FAILED if obj.json else _SHOWN)
    finally:
        reader.close()
    if obj.json:
        emit_json(document)
    else:
        say(obj, "\n".join(status_lines(document, use_color(obj), _SHOWN)))


def _status_document(home: Home, reader: Reader, job: str, most: int) -> dict[str, Any]:
    """The state is that of `status.json` where it has the job: facts are many, and need not be read then."""
    known = _overview(home, job)
    if known is None:
        goal = reader.goal(job)
        known = {"state": str(goal.state), "cost_usd": goal.total().cost_usd, "reason": goal.reason}
    return job_document(
        job,
        known["state"],
        reader.items.counts(job),
        rate=reader.items.rate(job, WINDOW_SECONDS),
        cost_usd=known["cost_usd"],
        integration=reader.integration(job),
        failed=reader.items.rows(job, [ItemState.FAILED], limit=most),
        reason=known.get("reason", ""),
    )


def _overview(home: Home, job: str) -> Mapping[str, Any] | None:
    document = fast_status.load(str(home.top))
    goals = document["goals"] if document else []
    return next((goal for goal in goals if goal["id"] == job), None)


@click.command()
@click.argument("job", type=ID, default="", metavar="[JOB]")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([str(one) for one in ItemState]),
    help="Only items in this state.",
)
@click.option("--item", default="", metavar="ID", help="Everything about one item.")
@click.option("--jsonl", is_flag=True, help="The results of all items, one JSON object a line.")
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=50, metavar="N", help="List at most N items."
)
@json_option
@click.pass_obj
def show(obj: Context, job: str, states: tuple[str, ...], item: str, jsonl: bool, limit: int) -> None:
    """List the items of a job, those that failed first, or show one of them."""
    home = open_home(obj)
    reader = open_reader(home)
    try:
        found = resolve_job(reader, job)
        if item:
            _show_item(obj, found, find_item(reader, found, item))
        elif jsonl:
            for row in reader.items.rows(found, [ItemState(one) for one in states]):
                emit_json(item_document(row))
        else:
            _show_items(obj, reader, found, [ItemState(one) for one in states], limit)
    finally:
        reader.close()


def _show_items(obj: Context, reader: Reader, job: str, states: list[ItemState], limit: int) -> None:
    wanted = states or [ItemState.FAILED, *(one for one in ItemState if one is not ItemState.FAILED)]
    rows = list(
        islice((row for state in wanted for row in reader.items.rows(job, [state], limit=limit)), limit)
    )
    numbers = reader.items.counts(job)
    total = sum(numbers.get(one, 0) for one in wanted)
    if obj.json:
        emit_json({"v": 1, "job": job, "total": total, "items": [item_document(row) for row in rows]})
        return
    lines = item_lines(rows, use_color(obj)) or ["no such items" if states else "no items yet"]
    more = (
        [f"and {total - len(rows)} more: -n N, --state STATE, or --jsonl for all"]
        if total > len(rows)
        else []
    )
    say(obj, "\n".join([*lines, *more]))


def _show_item(obj: Context, job: str, row: ItemRow) -> None:
    if obj.json:
        emit_json({"v": 1, "job": job, "item": {**item_document(row), "files": files_of(job, row)}})
    else:
        say(obj, "\n".join(item_text(job, row)))
