"""`mo flakes`: tests that pass and fail on the same tree."""

from __future__ import annotations

import time

import click

from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import emit_json, json_option, load_settings, open_home, open_reader
from mo_git.flakes import Flake, document, flakes
from mo_git.text import clock, count, printable

_WAYS = {"same_set": "two runs of the same tests differ", "good": "differs on a good commit"}


@click.command(name="flakes")
@click.option("--forget", metavar="ID", help="Forget what is known of this test: it counts as any other.")
@json_option
@click.pass_obj
def command(obj: Context, forget: str | None) -> None:
    """Show tests that pass and fail on the same tree.

    With each: how often it fails on trees that are right (estimated from what is known), where it was seen,
    and until when it is in quarantine.  In quarantine it may fail: that is told, and makes no gate red.
    """
    home = open_home(obj)
    if forget is not None:
        report(obj, request(obj, home, "flakes", {"forget": forget}, start_daemon=True, wait=None))
        return
    reader = open_reader(home)
    try:
        found = flakes(reader.flakes_seen())
    finally:
        reader.close()
    days, now = load_settings(obj.cwd).config.gate.quarantine_days, time.time()
    if obj.json:
        emit_json(document(found, days, now))
        return
    for flake in found:
        click.echo("\n".join(_lines(flake, days, now)))
    if not found:
        click.echo("no flaky test is known")


def _lines(flake: Flake, days: float, now: float) -> list[str]:
    until = flake.quarantined_until(days, now)
    where = f"in quarantine until {clock(until, now)}" if until else "not in quarantine"
    runs = count(flake.passed + flake.failed, "run")
    rate = f"fails about {flake.rate:.0%} of the time ({flake.failed} of {runs})"
    seen = [f"  {clock(one.at, now)}  tree {one.tree[:12]}: {_WAYS[one.why]}" for one in flake.evidence]
    return [f"{printable(flake.test)}", f"  {rate}, {where}", *seen]
