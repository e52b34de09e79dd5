"""`mo daemon`: the background process, started, stopped and looked at."""

from __future__ import annotations

import os
import time

import click

from mo_git.cli import Context
from mo_git.cli.client import daemon_argv, ensure_daemon, find_daemon, stop_daemon, unfinished_goals
from mo_git.cli.context import emit_json, json_option, load_settings
from mo_git.cli.goals import find_repository
from mo_git.errors import Exit, MoError
from mo_git.home import Home
from mo_git.process import without_git_variables
from mo_git.text import clock, count


@click.group(name="daemon")
def command() -> None:
    """Start, stop or look at the background daemon.

    There is one per repository.  mo do starts it when it is needed, and it ends by itself when nothing is
    left to do.
    """


@command.command()
@json_option
@click.pass_obj
def start(obj: Context) -> None:
    """Start the daemon; harmless where it runs already."""
    _, home = find_repository(obj.cwd)
    before = find_daemon(home)
    if before is None:
        load_settings(home.top)
    home.create()
    info = ensure_daemon(home)
    word = "was already running" if before == info else "started"
    _say(obj, {"running": True, "pid": info.identity.pid, "version": info.version}, f"the daemon {word}")


@command.command()
@json_option
@click.pass_obj
def stop(obj: Context) -> None:
    """Stop the daemon; goals go on where they were when it starts again."""
    _, home = find_repository(obj.cwd)
    info = find_daemon(home)
    if info is None:
        _say(obj, {"running": False}, "the daemon is not running")
        return
    goals = unfinished_goals(home)
    stop_daemon(info)
    left = f"; mo daemon start goes on with {count(len(goals), 'unfinished goal')}" if goals else ""
    _say(obj, {"running": False, "goals": goals}, f"the daemon stopped{left}")


@command.command()
@json_option
@click.pass_obj
def status(obj: Context) -> None:
    """Say whether the daemon runs; exit code 3 where it does not."""
    _, home = find_repository(obj.cwd)
    info = find_daemon(home)
    goals = unfinished_goals(home)
    waiting = _waiting(home)
    document = {"running": info is not None, "goals": goals, "log": str(home.log_file), "waiting": waiting}
    if info is None:
        lines = [f"stopped, {count(waiting, 'request')} waiting", "start it: mo daemon start"]
    else:
        document |= {"pid": info.identity.pid, "version": info.version, "started_at": info.started_at}
        since = clock(info.started_at, time.time())
        lines = [
            f"running: pid {info.identity.pid}, mo {info.version}, since {since}",
            f"log: {home.log_file}",
            f"unfinished goals: {', '.join(goals) or 'none'}",
        ]
    _say(obj, document, "\n".join(lines))
    if info is None:
        raise click.exceptions.Exit(Exit.DAEMON)


@command.command()
@json_option
@click.pass_obj
def run(obj: Context) -> None:
    """Run the daemon in the foreground until Ctrl-C."""
    _, home = find_repository(obj.cwd)
    load_settings(home.top)
    home.create()
    if info := find_daemon(home):
        raise MoError(
            f"the daemon is already running (pid {info.identity.pid})", "stop it: mo daemon stop", Exit.DAEMON
        )
    os.chdir(home.top)
    argv = daemon_argv(home, "--foreground")
    os.execve(argv[0], argv, without_git_variables(os.environ))


def _waiting(home: Home) -> int:
    """How many requests lie in the inbox."""
    if not home.exists():
        return 0
    return sum(1 for entry in home.inbox.iterdir() if entry.is_file() and not entry.name.startswith("."))


def _say(obj: Context, document: dict[str, object], text: str) -> None:
    if obj.json:
        emit_json({"v": 1, **document})
    else:
        click.echo(text)
