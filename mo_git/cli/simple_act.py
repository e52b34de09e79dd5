"""`mo simple resume`, `retry`, `cancel` and `revert`: what is done to a job."""

from __future__ import annotations

import click

from mo_git.cli import Context
from mo_git.cli.client import ensure_daemon, report, request
from mo_git.cli.context import json_option, open_home, open_reader
from mo_git.cli.follow_job import follow_job
from mo_git.cli.ids import ID, find_item, resolve_job
from mo_git.cli.target import last_fact
from mo_git.errors import Exit, MoError
from mo_git.model import ENDED_GOAL, GoalState

_RESUMED = frozenset({GoalState.PAUSED, GoalState.HALTED, GoalState.OVER_BUDGET})


@click.command()
@click.argument("job", type=ID, default="", metavar="[JOB]")
@json_option
@click.pass_obj
def resume(obj: Context, job: str) -> None:
    """Go on with a job, and follow it.

    A daemon is started where none runs; a paused or halted job goes on.  What failed stays failed: mo simple
    retry starts it again.
    """
    home = open_home(obj)
    found = resolve_job(home, job)
    reader = open_reader(home)
    try:
        goal = reader.goal(found)
    finally:
        reader.close()
    if goal.state in _RESUMED:
        request(obj, home, "resume", {"goal": found}, start_daemon=True)
    elif goal.state in ENDED_GOAL:
        hint = f"mo simple retry {found} starts again what failed or was cancelled"
        raise MoError(f"{found} has ended: {goal.state}", hint, Exit.USAGE)
    else:
        ensure_daemon(home)
    raise click.exceptions.Exit(follow_job(obj, home, found, goal.last_seq))


@click.command()
@click.argument("job", type=ID, default="", metavar="[JOB]")
@click.option("--detach", is_flag=True, help="Do not follow.")
@json_option
@click.pass_obj
def retry(obj: Context, job: str, detach: bool) -> None:
    """Start failed and cancelled items again, and follow the job."""
    home = open_home(obj)
    found = resolve_job(home, job)
    shown = last_fact(home, found)
    outcome = request(obj, home, "retry", {"goal": found, "task": "", "hint": ""}, start_daemon=True)
    if detach or outcome is None:
        report(obj, outcome)
        return
    raise click.exceptions.Exit(follow_job(obj, home, found, shown))


@click.command()
@click.argument("job", type=ID, default="", metavar="[JOB]")
@json_option
@click.pass_obj
def cancel(obj: Context, job: str) -> None:
    """Stop a job; what landed stays on its integration branch."""
    home = open_home(obj)
    report(obj, request(obj, home, "cancel", {"goal": resolve_job(home, job)}, start_daemon=False))


@click.command()
@click.argument("job", type=ID)
@click.argument("item")
@json_option
@click.pass_obj
def revert(obj: Context, job: str, item: str) -> None:
    """Take one landed item back, gated, on the job's integration branch."""
    home = open_home(obj)
    found = resolve_job(home, job)
    reader = open_reader(home)
    try:
        full = find_item(reader, found, item).item.id
    finally:
        reader.close()
    payload = {"goal": found, "item": full}
    report(obj, request(obj, home, "rollback", payload, start_daemon=True, wait=None))
