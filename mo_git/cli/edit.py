"""`mo edit`: say otherwise what has not begun."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, time
from pathlib import Path
from typing import Any

import click

from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import json_option, open_home, open_reader
from mo_git.cli.goals import Providers, read_source
from mo_git.cli.guided import can_ask
from mo_git.cli.ids import ID
from mo_git.cli.target import resolve_target, who
from mo_git.errors import Exit, MoError
from mo_git.goal_status import GoalStatus
from mo_git.home import Home
from mo_git.model import Plan
from mo_git.plan import parse_plan, plan_to_data, plan_to_toml

_SHORT = ("prompt", "check", "provider", "model")


@click.command(name="edit")
@click.argument("target", type=ID, metavar="GOAL[/TASK]")
@click.option("--prompt", metavar="TEXT", help="What the agent is asked to do.")
@click.option("--check", metavar="CMD", help="What has to pass when it is done.")
@click.option("--provider", metavar="P", help="Who does it: auto, claude, codex or another agent.")
@click.option("--model", metavar="M", help="The agent's model.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any key of a task (docs/plans.md), its value as in TOML; an empty one takes the key out.",
)
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Of a GOAL: the whole plan as it is to be (.toml or .json).",
)
@json_option
@click.pass_obj
def command(
    obj: Context,
    target: str,
    prompt: str | None,
    check: str | None,
    provider: str | None,
    model: str | None,
    settings: tuple[str, ...],
    file: Path | None,
) -> None:
    """Change a task that has not begun, or a plan that waits.

    Without options your editor opens with the task, or with the whole plan of a GOAL.  A task that runs,
    waits to land or has landed stays as it is; one that failed may be changed before mo retry.  While a plan
    waits for you, tasks may also come and go.
    """
    home = open_home(obj)
    goal, task = resolve_target(home, target)
    status = _status(home, goal)
    given = dict(zip(_SHORT, (prompt, check, provider, model)))
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    changes |= dict(_setting(text) for text in settings)
    payload: dict[str, Any] = {"goal": goal, "by": who()}
    if changes and not task:
        raise MoError("these options are about one task", f"mo edit {goal}/TASK", Exit.USAGE)
    if file is not None:
        if task or changes:
            raise MoError("--file is the plan of a whole goal", f"mo edit {goal} --file FILE", Exit.USAGE)
        payload["plan"] = plan_to_data(read_source(f"@{file}", obj.cwd).plan)
    elif changes:
        payload |= {"task": task, "changes": changes}
    else:
        payload |= _by_editor(obj, status, task)
    report(obj, request(obj, home, "edit", payload, start_daemon=True))


def _status(home: Home, goal: str) -> GoalStatus:
    reader = open_reader(home)
    try:
        status = reader.goal(goal)
    finally:
        reader.close()
    if status.needs_plan:
        raise MoError(f"{goal} has no plan yet: it is {status.state}", f"mo status {goal}")
    return status


def _setting(text: str) -> tuple[str, Any]:
    """KEY=VALUE, the value as TOML or, where that is none, as it stands."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise MoError(f"--set {text}: not KEY=VALUE", "such as --set timeout=600", Exit.USAGE)
    if not value:
        return key, None
    try:
        said = tomllib.loads(f"value = {value}")["value"]
    except ValueError:
        return key, value
    return key, value if isinstance(said, date | time) else said  # model=2025-01-31 is a name


def _by_editor(obj: Context, status: GoalStatus, task: str) -> Mapping[str, Any]:
    """What a person changed in the editor."""
    if not can_ask(obj):
        hint = f'such as mo edit {status.id}/TASK --prompt "..."; mo edit --help lists what can be changed'
        raise MoError("without a terminal say what is to change", hint, Exit.USAGE)
    before = replace(status.plan, tasks=(status.plan.task(task),)) if task else status.plan
    if task:
        before = Plan(before.goal, before.tasks, groups=before.groups)
    text = plan_to_toml(before)
    while True:
        edited = click.edit(text, extension=".toml")
        if edited is None:
            raise MoError("nothing was changed", "", Exit.INTERRUPTED)
        try:
            if task:
                return {"task": task, "changes": _changes(before, _one_task(edited, f"{status.id}/{task}"))}
            return {"plan": plan_to_data(parse_plan(edited, "plan.toml", providers=Providers(obj.cwd)))}
        except MoError as error:  # what was typed is not lost for a slip
            click.echo(error.message, err=True)
            if not click.confirm("Edit it again?", default=True):
                raise
            text = edited


def _one_task(text: str, named: str) -> Mapping[str, Any]:
    """The one [[task]] of an edited text, as data."""
    try:
        tables: Sequence[Mapping[str, Any]] = tomllib.loads(text).get("task", [])
    except ValueError as error:
        raise MoError(f"not valid TOML: {error}", f"mo edit {named} again", Exit.USAGE) from None
    if len(tables) != 1:
        raise MoError("the text has to hold one [[task]]", f"mo edit {named} again", Exit.USAGE)
    return tables[0]


def _changes(before: Plan, table: Mapping[str, Any]) -> dict[str, Any]:
    """Keys that differ; None for those that are gone."""
    (old,) = plan_to_data(before)["task"]
    gone: dict[str, Any] = dict.fromkeys(key for key in old if key not in table)
    return gone | {key: value for key, value in table.items() if old.get(key) != value}
