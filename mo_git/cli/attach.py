"""`mo attach`: an agent at work, seen and spoken to."""

from __future__ import annotations

import select
import sys
import time

import click

from mo_git import views
from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import emit_json, json_option, open_home
from mo_git.cli.follow import POLL_SECONDS, Watch
from mo_git.cli.guided import can_ask
from mo_git.cli.ids import ID
from mo_git.cli.logs import Printer, attempt_files
from mo_git.cli.target import last_fact, resolve_task, who
from mo_git.errors import Exit, MoError
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.home import Home
from mo_git.lifecycle import has_ended
from mo_git.model import Fact, Kind, TaskState
from mo_git.text import one_line

_NOW = "!"  # a line that begins so interrupts
_TO_COME = frozenset(
    {TaskState.PENDING, TaskState.WAITING, TaskState.RUNNING, TaskState.CHECKING, TaskState.REVIEWING}
)


@click.command(name="attach")
@click.argument("target", type=ID, metavar="GOAL/TASK")
@click.option("--send", "text", metavar="TEXT", help="Tell the agent this at its next turn; do not watch.")
@click.option("--now", is_flag=True, help="With --send: interrupt its turn to tell it.")
@json_option
@click.pass_obj
def command(obj: Context, target: str, text: str | None, now: bool) -> None:
    """Watch a task's agent at work, and tell it something.

    Shows what the agent says and does, as mo logs -f, until its work is done.  On a terminal every line that
    you type is told to the agent when its turn ends, and one that begins with ! at once: its turn is
    interrupted, and it goes on in the same worktree, with its session.  Ctrl-C leaves; the agent works on.
    To stop it and go on yourself: mo take.
    """
    home = open_home(obj)
    goal, task = resolve_task(home, target)
    if text is not None:
        report(obj, _tell(obj, home, goal, task, text, now=now))
        return
    if now:
        message = "--now interrupts an agent to tell it something"
        raise MoError(message, "say what: --send TEXT; mo take stops it for good", Exit.USAGE)
    try:
        _watch(obj, home, goal, task)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(Exit.OK) from None


def _tell(
    obj: Context, home: Home, goal: str, task: str, text: str, *, now: bool
) -> dict[str, object] | None:
    payload = {"goal": goal, "task": task, "text": text, "now": now, "by": who()}
    return request(obj, home, "say", payload, start_daemon=True)


def _watch(obj: Context, home: Home, goal: str, name: str) -> None:
    """Until the agent's work is done, or nothing goes on."""
    talks = can_ask(obj)
    if talks:
        hint = f"a line that you type is told at its next turn, {_NOW}line interrupts it; Ctrl-C leaves"
        click.echo(hint, err=True)
    watch, begun = Watch(home, goal, None), last_fact(home, goal)
    printer, shown = Printer(obj, list), 0
    try:
        while True:
            for fact, counted in watch.look():
                if watch.goal and counted and fact.task == name and fact.seq > begun:
                    printer.step(ended=fact.kind in (Kind.ATTEMPT_FAILED, Kind.CANDIDATE, Kind.UNCHANGED))
                    _show(obj, fact, watch.goal)
            assert watch.goal is not None, "its id was found"
            task = watch.goal.tasks[name]
            if task.attempt != shown:
                shown = task.attempt
                printer = Printer(obj, attempt_files(home.run_dir(goal, name, shown)), raw=obj.json)
            over = task.state not in _TO_COME or has_ended(watch.goal)
            printer.step(ended=over)
            if over:
                break
            watch.check_daemon()
            if talks:
                _listen(obj, home, goal, name)
            else:
                time.sleep(POLL_SECONDS)
    finally:
        watch.close()
    if not obj.json:
        click.echo(f"{goal}/{name} is {_with(task)}")


def _show(obj: Context, fact: Fact, goal: GoalStatus) -> None:
    if obj.json:
        emit_json(views.event_document(fact))
    elif line := views.event_line(fact, goal):
        click.echo(line)


def _with(task: TaskStatus) -> str:
    return f"{task.state}: {one_line(task.reason)}" if task.reason else str(task.state)


def _listen(obj: Context, home: Home, goal: str, name: str) -> None:
    """Pass on a line that was typed meanwhile; a refusal is said, and watching goes on."""
    if not select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
        return
    line = sys.stdin.readline()
    if not line:  # the end of the input: leave, as after Ctrl-C
        raise KeyboardInterrupt
    text = line.strip()
    if not text:
        return
    now = text.startswith(_NOW)
    try:
        report(obj, _tell(obj, home, goal, name, text.removeprefix(_NOW), now=now))
    except MoError as error:
        click.echo(f"{error.message}; {error.hint}", err=True)
