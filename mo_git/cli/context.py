"""What every looking verb begins and ends with: the repository's `.mo/`, its ledger, JSON, colours."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from mo_git import trust
from mo_git.cli import Context
from mo_git.errors import Exit, MoError
from mo_git.git.layout import Layout, discover
from mo_git.home import DIRECTORY, Home
from mo_git.ledger import looking
from mo_git.ledger.reader import Reader

if TYPE_CHECKING:
    from mo_git.config import Loaded

F = TypeVar("F", bound=Callable[..., Any])


def open_home(obj: Context) -> Home:
    """The `.mo/` of the repository that `-C` (or the current directory) is in; it need not exist yet."""
    layout = discover(obj.cwd)
    return Home(layout.top, layout.common_dir)


def find_layout(cwd: Path) -> Layout | None:
    """The repository, or None outside of one: the user's own settings can be read anywhere."""
    try:
        return discover(cwd)
    except MoError as error:
        if error.code is Exit.NOT_FOUND:
            return None
        raise


def load_settings(cwd: Path) -> Loaded:
    """The settings in force here; MoError (config) where they cannot be used."""
    from mo_git.config import load

    layout = find_layout(cwd)
    if layout is None:
        return load(None, environ=os.environ)
    judge = trust.judge(layout.common_dir, trust.tracked(layout.top), environ=os.environ)
    return load(layout.top / DIRECTORY, environ=os.environ, trusted=judge)


def open_reader(home: Home) -> Reader:
    """The ledger, read-only; MoError (not_found) before the first goal, (config) where it is no ledger."""
    reader = looking.open_reader(home.database)
    if reader is None:
        raise no_goals()
    return reader


def no_goals() -> MoError:
    return MoError("no goals yet", "mo do @plan.toml starts one; mo demo shows how", Exit.NOT_FOUND)


def emit_json(document: Mapping[str, Any]) -> None:
    """One JSON document, or one line of a stream of them, at once."""
    click.echo(json.dumps(document))


def use_color(obj: Context, stream: TextIO | None = None) -> bool:
    """`--color`; with auto: the stream is a terminal that knows colours, and NO_COLOR is not set."""
    if obj.color != "auto":
        return obj.color == "always"
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return (stream or sys.stdout).isatty()


def json_option(function: F) -> F:
    """`--json` after the verb, with the effect of `mo --json`."""

    def switch(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value and isinstance(ctx.obj, Context):
            ctx.obj.json = True

    return click.option(
        "--json", is_flag=True, expose_value=False, callback=switch, help="Print a document as JSON."
    )(function)


def say(obj: Context, text: str) -> None:
    """Text that holds colours exactly where they are wanted; click would strip them by itself otherwise."""
    click.echo(text, color=use_color(obj))
