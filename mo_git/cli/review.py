"""`mo review`: what waits for a person in a goal, and the answers to its planner's questions."""

from __future__ import annotations

import click

from mo_git import views
from mo_git.cli import Context
from mo_git.cli.client import report
from mo_git.cli.context import emit_json, json_option, open_home, open_reader
from mo_git.cli.guided import ask, can_ask, send_answers
from mo_git.cli.ids import ID, resolve_goal
from mo_git.errors import Exit
from mo_git.goal_status import GoalStatus
from mo_git.text import count, printable


@click.command(name="review")
@click.argument("goal", type=ID)
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="TEXT",
    help="The answer to a question, in their order; once for each. Empty: the planner decides.",
)
@json_option
@click.pass_obj
def command(obj: Context, goal: str, answers: tuple[str, ...]) -> None:
    """Show what waits for you in a goal, and answer its planner's questions.

    On a terminal the questions are asked one after another.  Elsewhere they are printed, with exit code 5.
    """
    home = open_home(obj)
    reader = open_reader(home)
    try:
        status = reader.goal(resolve_goal(reader, goal))
    finally:
        reader.close()
    given = list(answers)
    if not given and status.awaits_answers and can_ask(obj):
        given = ask(status.planning.questions)
    if given:
        report(obj, send_answers(obj, home, status.id, given))
        return
    _show(obj, status)
    if views.needs(status):
        raise click.exceptions.Exit(Exit.PERSON)


def _show(obj: Context, status: GoalStatus) -> None:
    needs = views.needs(status)
    questions = status.planning.questions if status.awaits_answers else ()
    if obj.json:
        document = {"v": 1, "goal": status.id, "state": status.state}
        emit_json({**document, "questions": list(questions), "needs": needs})
        return
    if not needs:
        click.echo(f"nothing waits for you in {status.id}: it is {status.state}")
        return
    for number, question in enumerate(questions, 1):
        click.echo(f"{number}. {printable(question)}")
    if questions:
        each = " ".join('--answer "..."' for _ in questions)
        click.echo(f"{count(len(questions), 'answer')}: mo review {status.id} {each}")
        return
    for need in needs:
        name = f"{status.id}/{need['task']}" if need["task"] else status.id
        click.echo(f"{name}: {need['why']}\n  {need['do']}")
