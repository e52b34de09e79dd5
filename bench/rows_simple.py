"""Simple mode: many items with a trivial command; and what a hundred thousand cost to queue and to see."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from statistics import median

from bench.measure import Context, Row, timed
from bench.world import GATE, Mo, daemon, resident_mb
from mo_git.ledger.reader import Reader

ITEMS, MANY = 2000, 100_000
WORKERS = 16
COMMAND = ("sh", "-c", 'echo done >> "$1"', "sh")


def simple(context: Context) -> Iterator[Row]:
    """Items a second, from the queue to the last landing; without a gate, and with one."""
    count = 200 if context.quick else ITEMS
    rates: dict[str, list[float]] = {"none": [], GATE: []}
    loops, memory = [], []
    for _ in range(context.rounds):
        for gate, found in rates.items():
            with daemon() as mo:
                names = _files(mo, count)
                found.append(count / timed(lambda mo=mo, gate=gate: _run(mo, gate)))  # type: ignore[misc]
                memory.append(resident_mb(mo.pid()))
                _demand(mo, count)
                loops.append(count / timed(lambda mo=mo, names=names: _xargs(mo, names)))  # type: ignore[misc]
    against, goal = f"the bare commands by xargs -P {WORKERS}", ("value", ">=", 40.0)
    loop = median(loops)
    yield Row(f"{count} items, {WORKERS} workers", median(rates["none"]), "/s", loop, against, goal)
    yield Row(f"{count} items, gated in batches", median(rates[GATE]), "/s", loop, against, goal)
    yield Row("daemon after these items, memory", max(memory), "MB", 0.0, "", ("value", "<=", 150.0))


def queued(context: Context) -> Iterator[Row]:
    """A hundred thousand lines: read, checked and in the ledger; and how fast their status is told."""
    count = 10_000 if context.quick else MANY
    with daemon() as mo:
        names = _files(mo, 100)
        lines = (
            json.dumps({"id": f"i{n}", "target": names[n % 100], "run": ["true", "{target}"]})
            for n in range(count)
        )
        (mo.world.place / "many.jsonl").write_text("\n".join(lines) + "\n")
        took = timed(lambda: _queue_paused(mo, count))
        bare = timed(lambda: [json.loads(line) for line in (mo.world.place / "many.jsonl").open()])
        name = f"{count} items read, checked and queued"
        yield Row(name, took, "s", bare, "json.loads of the lines", ("value", "<=", 15.0))
        looks = [timed(lambda: mo("simple", "status", "--json")) for _ in range(5)]
        bare = timed(lambda: mo.world.run(sys.executable, "-c", "pass", cwd=mo.top))
        name, goal = "mo simple status of these", ("value", "<=", 200.0)
        yield Row(name, median(looks) * 1000, "ms", bare * 1000, "bare Python", goal)
        mo("simple", "cancel")


def _files(mo: Mo, count: int) -> list[str]:
    names = [f"items/{n // 100:03d}/{n}.txt" for n in range(count)]
    for name in names:
        (mo.top / name).parent.mkdir(parents=True, exist_ok=True)
        (mo.top / name).write_text(f"{name}\n")
    mo.world.commit(mo.top, "items")
    lines = (json.dumps({"target": name, "run": [*COMMAND, "{target}"]}) for name in names)
    (mo.world.place / "items.jsonl").write_text("\n".join(lines) + "\n")
    return names


def _run(mo: Mo, gate: str) -> None:
    file = str(mo.world.place / "items.jsonl")
    mo("-q", "simple", "run", "--manifest", file, "--gate", gate, "-j", str(WORKERS), "-y")


def _queue_paused(mo: Mo, count: int) -> None:
    """Queue the items, and wait until their rows are there."""
    job = mo(
        "simple", "run", "--manifest", str(mo.world.place / "many.jsonl"), "--gate", "none", "-y", "--detach"
    )
    mo("pause", job)
    reader = Reader.open(mo.home.database)
    assert reader is not None
    try:
        while sum(reader.items.counts(job).values()) < count:
            pass
    finally:
        reader.close()


def _demand(mo: Mo, count: int) -> None:
    """Everything has landed, as one commit each."""
    reader = Reader.open(mo.home.database)
    assert reader is not None
    try:
        job = reader.goal_ids()[-1]
        landed = {str(state): n for state, n in reader.items.counts(job).items()}
    finally:
        reader.close()
    commits = mo.world.run("git", "rev-list", "--count", f"main..mo/{job}/integration", cwd=mo.top)
    if landed != {"landed": count} or int(commits) != count:
        raise RuntimeError(f"{job}: {landed}, {commits} commits\n{mo.home.log_file.read_text()[-3000:]}")


def _xargs(mo: Mo, names: Sequence[str]) -> None:
    mo.world.run("xargs", "-P", str(WORKERS), "-n", "1", *COMMAND, cwd=mo.top, stdin="\n".join(names))
