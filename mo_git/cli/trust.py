"""`mo trust`: let commands of this repository's tracked settings run, also those for agent programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from mo_git import trust
from mo_git.cli import Context
from mo_git.errors import Exit, MoError
from mo_git.git.layout import Layout, discover
from mo_git.home import DIRECTORY
from mo_git.plan import parse_goal_file
from mo_git.tomltext import parse_toml, toml_value
from mo_git.values import printable

_NOTHING = "no tracked file in .mo/"
_PLACES = ("config.toml", "lessons.md", "prompts", "goals")


@dataclass(frozen=True, slots=True)
class _File:
    """A tracked file below `.mo/`; `state`: trusted, changed, new."""

    name: str
    content: bytes
    state: str


@click.command(name="trust")
@click.option("--list", "only_list", is_flag=True, help="Show the files and whether they are trusted.")
@click.option("--revoke", is_flag=True, help="Trust these files (or all) no longer.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.argument("files", nargs=-1)
@click.pass_obj
def command(obj: Context, only_list: bool, revoke: bool, yes: bool, files: tuple[str, ...]) -> None:
    """Let commands of this repository's tracked settings run.

    Files below .mo/ that git tracks come with a clone.  Their commands, prompts and goals are used only after
    you trusted them, and a changed file asks again.  The same holds for hooks and MCP servers that
    .claude/settings.json, .mcp.json and .codex/config.toml declare.  FILES: some of them; without any, all.
    """
    layout = discover(obj.cwd)
    if revoke:
        _revoke(obj, layout, files)
        return
    found = _select(obj, layout, files)
    if only_list:
        _list(obj, found)
        return
    pending = [file for file in found if file.state != "trusted"]
    if not pending:
        _say(obj, found, [], "nothing to trust: " + ("all is trusted" if found else _NOTHING))
        return
    for file in pending:
        for line in _describe(file):
            click.echo(line, err=obj.json)
    if not (yes or _agreed(obj)):
        click.echo("nothing is trusted", err=True)
        raise click.exceptions.Exit(Exit.CONFIG)
    trust.trust(layout.common_dir, {file.name: file.content for file in pending}, environ=os.environ)
    _say(obj, found, pending, f"trusted: {', '.join(file.name for file in pending)}")


def _agreed(obj: Context) -> bool:
    if obj.no_input or obj.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise MoError("nobody is here to answer", "read the above, then: mo trust --yes", Exit.USAGE)
    return click.confirm("Trust this?", default=False)


def _revoke(obj: Context, layout: Layout, files: tuple[str, ...]) -> None:
    names = [_name(obj, layout, file) for file in files] if files else None
    gone = trust.revoke(layout.common_dir, names, environ=os.environ)
    if obj.json:
        click.echo(json.dumps({"v": 1, "revoked": list(gone)}))
    else:
        click.echo(f"no longer trusted: {', '.join(gone)}" if gone else "none of these was trusted")


def _list(obj: Context, found: list[_File]) -> None:
    if obj.json:
        click.echo(json.dumps({"v": 1, "files": [{"file": f.name, "state": f.state} for f in found]}))
        return
    for file in found:
        click.echo(f"{file.state:8} {printable(file.name)}")
    if not found:
        click.echo(_NOTHING)


def _say(obj: Context, found: list[_File], pending: list[_File], text: str) -> None:
    if obj.json:
        click.echo(
            json.dumps({"v": 1, "trusted": [f.name for f in pending], "files": [f.name for f in found]})
        )
    else:
        click.echo(printable(text))


# -- which files --------------------------------------------------------------------------------------


def _select(obj: Context, layout: Layout, files: tuple[str, ...]) -> list[_File]:
    """The tracked files that need trust: those named, or all."""
    home = layout.top / DIRECTORY
    is_tracked = trust.tracked(layout.top)
    if files:
        names = list(dict.fromkeys(_name(obj, layout, file) for file in files))
        for name in names:
            _refuse_others(home, name, is_tracked)
    else:
        own = [name for name in trust.AGENT_FILES if (layout.top / name).is_file()]
        names = [name for name in (*_candidates(home), *own) if is_tracked(name)]
    known = trust.listing(layout.common_dir, environ=os.environ)
    return [_read(layout.top / trust.place(name), name, known, layout) for name in names]


def _candidates(home: Path) -> Iterable[str]:
    for place in _PLACES:
        start = home / place
        paths = sorted(start.rglob("*")) if start.is_dir() else [start]
        yield from (str(path.relative_to(home)) for path in paths if path.is_file())


def _refuse_others(home: Path, name: str, is_tracked: Callable[[str], bool]) -> None:
    path = home.parent / trust.place(name)
    if not path.is_file():
        raise MoError(f"no such file: {path}", "mo trust --list", Exit.NOT_FOUND)
    if not trust.needs_trust(name):
        raise MoError(
            f"{name} is never used from git, so it cannot be trusted", "mo trust --list", Exit.USAGE
        )
    if not is_tracked(name):
        raise MoError(f"git does not track {name}: it is your own and needs no trust", "", Exit.USAGE)


def _name(obj: Context, layout: Layout, file: str) -> str:
    """A file as given (a path, or a name below `.mo/`) as a name below `.mo/`."""
    home = layout.top / DIRECTORY
    given = Path(os.path.normpath(obj.cwd / file))
    for root, path in ((layout.top, given), (Path(), Path(os.path.normpath(file)))):
        if path.is_relative_to(root) and (name := path.relative_to(root).as_posix()) in trust.AGENT_FILES:
            return name
    if given.is_relative_to(home) and given != home:
        return given.relative_to(home).as_posix()
    inner = Path(os.path.normpath(home / file))
    if inner.is_relative_to(home) and inner != home:
        return inner.relative_to(home).as_posix()
    raise MoError(f"{file} is not below {home}", "mo trust --list", Exit.USAGE)


def _read(path: Path, name: str, known: dict[str, str], layout: Layout) -> _File:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MoError(f"cannot read {path}: {error.strerror}", "", Exit.CONFIG) from None
    if trust.is_trusted(layout.common_dir, name, content, environ=os.environ):
        return _File(name, content, "trusted")
    return _File(name, content, "changed" if name in known else "new")


# -- what a file could do -----------------------------------------------------------------------------


def _describe(file: _File) -> list[str]:
    """What trusting the file would let run: each command with its key, or the text of a prompt."""
    text = file.content.decode("utf-8", "replace")
    if file.name == "config.toml":
        lines = _config_lines(text)
    elif file.name.startswith("goals/"):
        lines = _goal_lines(text, file.name)
    else:
        lines = text.splitlines()
    head = f"{file.name} ({file.state})"
    return [printable(head), *(f"  {printable(line)}" for line in lines)]


def _config_lines(text: str) -> list[str]:
    from mo_git.config import guarded_values

    values = guarded_values(parse_toml(text, "config.toml", Exit.CONFIG))
    return [f"{name} = {toml_value(value)}" for name, value in values.items()] or ["no commands"]


def _goal_lines(text: str, source: str) -> list[str]:
    """The commands of a goal and its tasks, then its words and prompts."""
    goal = parse_goal_file(text, source, providers=None)
    plan = goal.plan
    commands: list[tuple[str, object]] = [("gate", goal.meta.get("gate"))]
    commands.append(("check", plan.check if plan else goal.meta.get("check")))
    prompts = []
    for task in plan.tasks if plan else ():
        commands += [(f"{task.id}: {key}", getattr(task, key)) for key in ("run", "when", "check")]
        prompts += (
            [f"{task.id}: prompt", *(f"  {line}" for line in task.prompt.splitlines())] if task.prompt else []
        )
    lines = [f"{key} = {toml_value(value)}" for key, value in commands if value]
    return [*(lines or ["no commands"]), *prompts, *goal.text.splitlines()]
