"""`mo status`, as far as the fast path leaves it to us: --watch, unusual repositories, errors."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from mo_git import fast_status, views
from mo_git.cli import Context
from mo_git.cli.context import emit_json, json_option, no_goals, open_home, open_reader, say, use_color
from mo_git.cli.ids import ID, LAST, resolve
from mo_git.errors import Exit, MoError
from mo_git.home import Home

_POLL_SECONDS = 0.25


@click.command(name="status")
@click.argument("goal", required=False, type=ID, metavar="[ID]")
@click.option("--watch", is_flag=True, help="Go on showing what changes, until Ctrl-C.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if a goal failed, 5 if something needs you.")
@click.option("-C", "directory", type=click.Path(), metavar="DIR", help="Run as if started in DIR.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), help="Colour output.")
@json_option
@click.pass_obj
def command(
    obj: Context, goal: str | None, watch: bool, exit_code: bool, directory: str | None, color: str | None
) -> None:
    """Show goals, tasks and what needs a person.

    Reads what the daemon last wrote; needs no daemon.  A goal that failed, or that is done and not landed
    yet, is listed with the command to type next.
    """
    obj.cwd = obj.cwd / directory if directory else obj.cwd
    obj.color = color or obj.color
    home = open_home(obj)
    if watch:
        _watch(obj, home, goal)
        return
    document = _document(home, goal)
    if obj.json:
        emit_json(document)
    else:
        say(obj, fast_status.text(document, time.time(), color=use_color(obj), one=bool(goal)))
    if exit_code:
        raise click.exceptions.Exit(fast_status.exit_code(document))


def _document(home: Home, goal: str | None) -> dict[str, Any]:
    """`status.json`, or the same from the ledger where that file is missing or lacks the goal."""
    document = fast_status.load(str(home.top))
    if document is None:
        document = _from_ledger(home)
    if goal is None:
        return document
    try:
        return _only(document, goal)
    except MoError as error:
        if error.code is not Exit.NOT_FOUND or not home.database.exists():
            raise
    return _only(_from_ledger(home), goal)


def _only(document: dict[str, Any], goal: str) -> dict[str, Any]:
    if not document["goals"]:
        raise no_goals()
    oldest_first = [one["id"] for one in reversed(document["goals"])]
    wanted = resolve(oldest_first, goal)
    return {**document, "goals": [one for one in document["goals"] if one["id"] == wanted]}


def _from_ledger(home: Home) -> dict[str, Any]:
    document = fast_status.empty()
    if home.database.exists():
        reader = open_reader(home)
        try:
            goals = [reader.goal(goal) for goal in reader.goal_ids()]
        finally:
            reader.close()
        seq = max((goal.last_seq for goal in goals), default=0)
        document = views.status_document(goals, seq=seq, daemon={}, limits={})
    return fast_status.with_daemon(document, str(home.top), None)


# -- watching -----------------------------------------------------------------------------------------


def _watch(obj: Context, home: Home, goal: str | None) -> None:
    if goal == LAST:  # stay with the goal that is the last one now
        goal = _document(home, goal)["goals"][0]["id"]
    try:
        if obj.json or not sys.stdout.isatty():
            _print_changes(obj, home, goal)
        else:
            _watch_terminal(obj, home, goal)
    except KeyboardInterrupt:
        return


def _changes(home: Home, goal: str | None) -> Iterator[dict[str, Any] | None]:
    """The document whenever it has changed, None while it has not."""
    before = ""
    while True:
        document = _document(home, goal)
        text = json.dumps({**document, "as_of": None})
        yield document if text != before else None
        before = text
        time.sleep(_POLL_SECONDS)


def _print_changes(obj: Context, home: Home, goal: str | None) -> None:
    for document in _changes(home, goal):
        if document and obj.json:
            emit_json(document)
        elif document:
            say(obj, fast_status.text(document, time.time(), color=use_color(obj), one=bool(goal)) + "\n")


def _watch_terminal(obj: Context, home: Home, goal: str | None) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    color = use_color(obj)
    with Live(console=Console(no_color=not color), auto_refresh=False, screen=True) as live:
        shown = None
        for document in _changes(home, goal):
            shown = document or shown
            assert shown is not None, "the first document is a change"
            text = fast_status.text(shown, time.time(), color=color, one=bool(goal))
            live.update(Text.from_ansi(text), refresh=True)
