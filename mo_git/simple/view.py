"""Jobs of simple mode as people and scripts see them: documents, lines and how fast one goes.  Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any

from mo_git.ledger.items import ItemRow
from mo_git.simple.item import Item, ItemState
from mo_git.text import count, counts, duration, money, one_line, paint, state_color, table

WINDOW_SECONDS = 60.0  # over which a rate is measured
_OVER = frozenset({ItemState.LANDED, ItemState.UNCHANGED, ItemState.FAILED, ItemState.CANCELLED})
_BAD = (ItemState.FAILED, ItemState.CANCELLED)


def job_document(
    job: str,
    state: str,
    items: Mapping[ItemState, int],
    *,
    rate: float,
    cost_usd: float,
    integration: str,
    failed: Iterable[ItemRow],
    **more: Any,
) -> dict[str, Any]:
    """`mo simple status --json`; `rate`: items that ended a second."""
    return {
        "v": 1,
        "job": {
            "id": job,
            "state": state,
            "items": {str(one): items[one] for one in ItemState if items.get(one)},
            "rate_per_s": round(rate, 3),
            "cost_usd": round(cost_usd, 6),
            "integration": integration or None,
            "failed": [
                {
                    "id": row.item.id,
                    "target": target_of(row.item),
                    "class": row.failure or None,
                    "reason": row.reason,
                }
                for row in failed
            ],
            **more,
        },
    }


def target_of(item: Item) -> str | list[str]:
    """As a manifest has it: a text where there is one."""
    return item.targets[0] if len(item.targets) == 1 else list(item.targets)


def item_document(row: ItemRow) -> dict[str, Any]:
    """One item's result, as a line of `mo simple show --jsonl`."""
    took = row.ended_at - row.started_at if row.started_at and row.ended_at else None
    return {
        "id": row.item.id,
        "target": target_of(row.item),
        "state": str(row.state),
        "class": row.failure or None,
        "reason": row.reason,
        "attempt": row.attempt,
        "provider": row.provider or None,
        "commit": row.landed or row.commit or None,
        "seconds": None if took is None else round(max(took, 0.0), 3),
        "cost_usd": round(row.cost_usd, 6),
        "metadata": dict(row.item.metadata),
    }


def item_lines(rows: Iterable[ItemRow], color: bool) -> list[str]:
    """A line for each item: id, state, attempt, and the commit or what is wrong."""
    listed = list(rows)
    cells = [
        [
            one_line(row.item.id, 60),
            str(row.state),
            f"#{row.attempt}" if row.attempt > 1 else "",
            _said(row),
        ]
        for row in listed
    ]
    lines = []
    for row, line in zip(listed, table(cells)):
        before, word, after = line.partition(f"  {row.state}")
        lines.append(before + "  " + paint(word[2:], state_color(row.state), color) + after)
    return lines


def _said(row: ItemRow) -> str:
    if row.state is ItemState.LANDED:
        return row.landed[:10]
    return one_line(": ".join(part for part in (row.failure, row.reason) if part), 120)


def files_of(job: str, row: ItemRow) -> str | None:
    """The directory with the logs of the last attempt; of a command only what failed has one."""
    kept = row.attempt and (row.item.by_agent or row.state is ItemState.FAILED)
    return f".mo/runs/{job}/{row.item.id}/{row.attempt}" if kept else None


def item_text(job: str, row: ItemRow) -> list[str]:
    """Everything about one item."""
    document = item_document(row)
    shown = {
        "target": ", ".join(row.item.targets),
        "state": document["state"],
        "class": row.failure,
        "reason": row.reason,
        "attempt": str(row.attempt) if row.attempt else "",
        "bucket": row.bucket,
        "provider": row.provider,
        "commit": document["commit"] or "",
        "kept": row.kept,
        "took": "" if document["seconds"] is None else duration(document["seconds"]),
        "cost": money(row.cost_usd) if row.cost_usd else "",
        "does": " ".join(row.item.run) if row.item.run is not None else row.item.instruction,
        "files": files_of(job, row) or "",
    }
    cells = [[f"  {name}", one_line(text, 400)] for name, text in shown.items() if text]
    return [f"{job}: {row.item.id}", *table(cells)]


def done(items: Mapping[ItemState, int]) -> int:
    return sum(items.get(state, 0) for state in _OVER)


def lost(items: Mapping[ItemState, int]) -> int:
    """Items that ended without being done."""
    return sum(items.get(state, 0) for state in _BAD)


class Pace:
    """Items that ended a second, lately."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def rate(self, now: float, ended: int) -> float:
        """`now` in seconds of a clock that only goes forward; `ended`: items so far."""
        self._seen.append((now, ended))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW_SECONDS:
            self._seen.popleft()
        begun, before = self._seen[0]
        return max(ended - before, 0) / (now - begun) if now > begun else 0.0


def progress_line(
    job: str, state: str, items: Mapping[ItemState, int], total: int, rate: float, cost_usd: float
) -> str:
    """`JOB running: 120 of 2000 items, 12 running, 2 failed; 41.0/s, 46 s left, $0.12`"""
    over = done(items)
    parts = {str(one): items[one] for one in (*_WORK, *_BAD) if items.get(one)}
    line = f"{job} {state}: {over} of {count(total, 'item')}"
    if parts:
        line += f", {counts(parts)}"
    said = []
    if rate > 0 and over < total:
        said += [f"{rate:.1f}/s", f"{duration((total - over) / rate)} left"]
    if cost_usd:
        said.append(money(cost_usd))
    return f"{line}; {', '.join(said)}" if said else line


_WORK = (ItemState.RUNNING, ItemState.CANDIDATE)


def status_lines(document: Mapping[str, Any], color: bool, shown: int) -> list[str]:
    """The text of `mo simple status`."""
    job = document["job"]
    rate = f"{job['rate_per_s']:.1f}/s" if job["rate_per_s"] else ""
    cost = money(job["cost_usd"]) if job["cost_usd"] else ""
    tail = "".join(f", {part}" for part in (rate, cost) if part)
    state = paint(job["state"], state_color(job["state"]), color)
    lines = [f"{job['id']}  {state}  {counts(job['items']) or 'no items yet'}{tail}"]
    cells = [
        [f"  {one_line(one['id'], 60)}", str(one["class"] or ""), one_line(one["reason"], 100)]
        for one in job["failed"][:shown]
    ]
    lines += table(cells)
    number = job["items"].get("failed", 0)
    if number > len(cells):
        lines.append(f"  and {number - len(cells)} more: mo simple show {job['id']} --state failed")
    if number:
        lines.append(f"  mo simple retry {job['id']} starts what failed again")
    return lines


def bucket_counts(buckets: Iterable[str]) -> list[tuple[str, int]]:
    """How many items each bucket has, the largest first."""
    return Counter(buckets).most_common()


def bucket_lines(buckets: Iterable[str], shown: int) -> list[str]:
    """`src: 12 items` for the largest buckets, and how many more there are."""
    found = bucket_counts(buckets)
    lines = [f"{name or '(all)'}: {count(number, 'item')}" for name, number in found[:shown]]
    return [*lines, f"and {count(len(found) - shown, 'more bucket')}"] if len(found) > shown else lines
