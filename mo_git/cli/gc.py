"""`mo gc`: remove what is no longer needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import json_option, open_home
from mo_git.cli.ids import ID, resolve_goal

_UNITS = ("KiB", "MiB", "GiB")


@click.command(name="gc")
@click.argument("goal", required=False, type=ID)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=14,
    show_default=True,
    metavar="DAYS",
    help="Leave younger ones alone.",
)
@json_option
@click.pass_obj
def command(obj: Context, goal: str | None, dry_run: bool, older_than: float) -> None:
    """Remove worktrees, logs and keep-refs that are no longer needed.

    Only of goals that ended more than DAYS days ago; without GOAL, of all of those.  Says what is kept and why.
    """
    home = open_home(obj)
    payload = {
        "goal": resolve_goal(home, goal) if goal else "",
        "dry_run": dry_run,
        "older_than_days": older_than,
    }
    outcome = request(obj, home, "gc", payload, start_daemon=True, wait=None)
    if outcome is not None and not obj.json and not obj.quiet:
        for line in lines(outcome, dry_run=dry_run):
            click.echo(line)
    report(obj, outcome)


def lines(outcome: Mapping[str, Any], *, dry_run: bool) -> list[str]:
    """What was removed and what was kept, each with its reason, and the bytes that this freed."""
    removed, kept = outcome.get("removed", ()), outcome.get("kept", ())
    word = "would remove" if dry_run else "removed"
    freed = size(int(outcome.get("freed_bytes", 0)))
    return [
        *_each(word, removed),
        *_each("kept", kept),
        f"{word} {len(removed)}, kept {len(kept)}, {freed} {'to free' if dry_run else 'freed'}",
    ]


def _each(word: str, items: Iterable[Mapping[str, str]]) -> list[str]:
    return [f"{word} {item['what']}" + (f": {item['why']}" if item.get("why") else "") for item in items]


def size(count: int) -> str:
    """A number of bytes as a person reads it."""
    if count < 1024:
        return f"{count} bytes"
    power = min((count.bit_length() - 1) // 10, len(_UNITS))
    return f"{count / 1024**power:.1f} {_UNITS[power - 1]}"
