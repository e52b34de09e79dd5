"""`mo review`: what waits for a person in a goal, and what that person says to it."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from typing import Any

import click

from mo_git import views
from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import emit_json, json_option, open_home, open_reader
from mo_git.cli.guided import ask, can_ask, send_answers
from mo_git.cli.ids import ID
from mo_git.cli.target import resolve_target
from mo_git.errors import Exit, MoError
from mo_git.goal_status import GoalStatus
from mo_git.model import TaskState
from mo_git.text import count, one_line, printable


@click.command(name="review")
@click.argument("target", type=ID, metavar="GOAL[/TASK]")
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="TEXT",
    help="The answer to a question, in their order; once for each. Empty: the planner decides.",
)
@click.option("--accept", "verdict", flag_value="accept", help="What the gate doubts in the task is fine.")
@click.option("--reject", "verdict", flag_value="reject", help="It is not: the task is ejected.")
@json_option
@click.pass_obj
def command(obj: Context, target: str, answers: tuple[str, ...], verdict: str | None) -> None:
    """Show what waits for you in a goal, accept or reject it, answer its planner.

    A task that is accepted is a candidate again, and lands when the gate is green but for what you accepted.
    On a terminal the planner's questions are asked one after another.  Elsewhere they are printed, with exit
    code 5.
    """
    home = open_home(obj)
    goal, task = resolve_target(home, target)
    reader = open_reader(home)
    try:
        status = reader.goal(goal)
    finally:
        reader.close()
    if verdict:
        if answers:
            raise MoError("--answer is for the planner, --accept and --reject for a task", "", Exit.USAGE)
        payload = {"goal": goal, "task": task or _only(status), "verdict": verdict, "by": _who()}
        report(obj, request(obj, home, "review", payload, start_daemon=True))
        return
    given = list(answers)
    if not given and status.awaits_answers and can_ask(obj):
        given = ask(status.planning.questions)
    if given:
        report(obj, send_answers(obj, home, status.id, given))
        return
    needs = [need for need in views.needs(status) if task in ("", need["task"])]
    _show(obj, status, task, needs)
    if needs:
        raise click.exceptions.Exit(Exit.PERSON)


def _only(goal: GoalStatus) -> str:
    """The one task that waits for a person; MoError (usage) where it has to be named."""
    waiting = [name for name, task in goal.tasks.items() if task.state is TaskState.AWAITING_PERSON]
    if len(waiting) == 1:
        return waiting[0]
    said = (
        f"{count(len(waiting), 'task')} of {goal.id} wait for you"
        if waiting
        else f"no task of {goal.id} waits"
    )
    raise MoError(
        said, f"name one: mo review {goal.id}/TASK --accept; mo review {goal.id} shows them", Exit.USAGE
    )


def _who() -> str:
    """Who says it, for the records."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in the system's list
        return ""


def _show(obj: Context, status: GoalStatus, task: str, needs: list[dict[str, Any]]) -> None:
    questions = status.planning.questions if status.awaits_answers else ()
    if obj.json:
        document = {"v": 1, "goal": status.id, "state": status.state}
        emit_json({**document, "questions": list(questions), "needs": needs})
        return
    if not needs:
        where = f"{status.id}/{task}" if task else status.id
        state = status.task_state(status.tasks[task]) if task else status.state
        click.echo(f"nothing waits for you in {where}: it is {state}")
        return
    for number, question in enumerate(questions, 1):
        click.echo(f"{number}. {printable(question)}")
    if questions:
        each = " ".join('--answer "..."' for _ in questions)
        click.echo(f"{count(len(questions), 'answer')}: mo review {status.id} {each}")
        return
    for need in needs:
        name = f"{status.id}/{need['task']}" if need["task"] else status.id
        click.echo(f"{name}: {need['why']}")
        doubt = status.tasks[need["task"]].doubt if need["task"] else None
        click.echo("\n".join(_doubt(name, doubt) if doubt else [f"  {need['do']}"]))


def _doubt(name: str, doubt: Mapping[str, Any]) -> list[str]:
    """All that a person has to look at, and the two things to say."""
    return [
        *(f"  file {one_line(path, 400)}" for path in doubt["paths"]),
        *(f"  test {one_line(test, 400)}" for test in doubt["ids"]),
        f"  look:   mo diff {name}",
        f"  fine:   mo review {name} --accept",
        f"  not so: mo review {name} --reject",
    ]
