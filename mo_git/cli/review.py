"""`mo review`: what waits for a person, and what that person says to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from mo_git import views
from mo_git.cli import Context
from mo_git.cli.client import report, request
from mo_git.cli.context import emit_json, json_option, open_home, open_reader, use_color
from mo_git.cli.guided import ask, can_ask, send_answers
from mo_git.cli.ids import ID
from mo_git.cli.target import resolve_target, who
from mo_git.errors import Exit, MoError
from mo_git.git.binary import Git
from mo_git.git.patch import NO_PROGRAMS, PLAIN, patch
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.home import Home
from mo_git.model import TaskState
from mo_git.text import count, one_line, printable, table
from mo_git.views.changes import statistics

_LETTERS = {"added": "A", "removed": "D", "renamed": "R", "modified": "M"}
_FINDINGS = 50


@click.command(name="review")
@click.argument("target", type=ID, default="", metavar="[GOAL[/TASK]]")
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="TEXT",
    help="The answer to a question, in their order; once for each. Empty: the planner decides.",
)
@click.option(
    "--approve",
    "--accept",
    "verdict",
    flag_value="approve",
    help="It is fine: the task's change, what the gate doubts in it, or the plan.",
)
@click.option("--reject", "verdict", flag_value="reject", help="It is not: the task is ejected.")
@click.option("--comment", metavar="TEXT", help="What has to be changed: the task goes back to its agent.")
@click.option("--diff", "with_diff", is_flag=True, help="The change itself, too.")
@json_option
@click.pass_obj
def command(
    obj: Context,
    target: str,
    answers: tuple[str, ...],
    verdict: str | None,
    comment: str | None,
    with_diff: bool,
) -> None:
    """Show what waits for you; approve it, reject it, say what to change, answer a planner.

    Without GOAL everything that waits: one reason and one next action each.  What is approved is a candidate
    again, and lands when the gate is green.  What is commented goes back to the agent that did it, which
    goes on from its own work.  On a terminal the planner's questions are asked one after another, and what to
    say to the change of GOAL/TASK.  What waits is printed, with exit code 5.
    """
    home = open_home(obj)
    if not target:
        if verdict or answers or comment is not None or with_diff:
            raise MoError("say what you mean", "mo review lists it; then mo review GOAL/TASK ...", Exit.USAGE)
        _show_all(obj, home)
        return
    goal, task = resolve_target(home, target)
    status = _status(home, goal)
    if comment is not None and verdict is None:
        verdict = "comment"
    if verdict:
        if answers or (comment is not None and verdict == "approve"):
            said = "--answer is for the planner, --approve, --reject or --comment for a task"
            raise MoError(said, "say one of them; --reject may have a --comment", Exit.USAGE)
        task = task or ("" if verdict == "approve" and status.awaits_approval else _only(status))
        _say(obj, home, goal, task, verdict, comment or "")
        return
    given = list(answers)
    if not given and status.awaits_answers and can_ask(obj):
        given = ask(status.planning.questions)
    if given:
        report(obj, send_answers(obj, home, status.id, given))
        return
    needs = [need for need in views.needs(status) if task in ("", need["task"])]
    _show(obj, home, status, task, needs, with_diff=with_diff)
    if task and needs and status.tasks[task].doubt and can_ask(obj):
        verdict, comment = _decide(obj, home, status.tasks[task])
        if verdict != "later":
            _say(obj, home, goal, task, verdict, comment)
            return
    if needs:
        raise click.exceptions.Exit(Exit.PERSON)


def _say(obj: Context, home: Home, goal: str, task: str, verdict: str, comment: str) -> None:
    """Hand a person's verdict to the daemon."""
    payload = {"goal": goal, "task": task, "verdict": verdict, "by": who(), "comment": comment}
    report(obj, request(obj, home, "review", payload, start_daemon=True))


def _decide(obj: Context, home: Home, task: TaskStatus) -> tuple[str, str]:
    """Ask on the terminal what to say to a change: the verdict and its comment."""
    ways = ["approve", "reject", *(["comment"] if task.spec.by_agent else []), "diff", "later"]
    while True:
        way = str(click.prompt("What do you say?", type=click.Choice(ways), default="later"))
        if way == "diff":
            _print_diff(obj, home, task)
            continue
        text = click.prompt("What has to be changed?") if way == "comment" else ""
        return way, str(text)


def _status(home: Home, goal: str) -> GoalStatus:
    reader = open_reader(home)
    try:
        return reader.goal(goal)
    finally:
        reader.close()


def _show_all(obj: Context, home: Home) -> None:
    """The attention list of the whole repository, newest goal first."""
    reader = open_reader(home)
    try:
        goals = [reader.goal(goal) for goal in reversed(reader.goal_ids())]
    finally:
        reader.close()
    found = [{"goal": goal.id, **need} for goal in goals for need in views.needs(goal)]
    if obj.json:
        emit_json({"v": 1, "needs": found})
    elif not found:
        click.echo("nothing waits for you")
    for need in [] if obj.json else found:
        name = f"{need['goal']}/{need['task']}" if need["task"] else need["goal"]
        click.echo(f"{name}: {need['why']}\n  {need['do']}")
    if found:
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
        said, f"name one: mo review {goal.id}/TASK --approve; mo review {goal.id} shows them", Exit.USAGE
    )


def _show(
    obj: Context,
    home: Home,
    status: GoalStatus,
    task: str,
    needs: list[dict[str, Any]],
    *,
    with_diff: bool,
) -> None:
    questions = status.planning.questions if status.awaits_answers else ()
    if obj.json:
        document = {"v": 1, "goal": status.id, "state": status.state}
        emit_json({**document, "questions": list(questions), "needs": needs})
        return
    if not needs:
        where = f"{status.id}/{task}" if task else status.id
        state = status.task_state(status.tasks[task]) if task else status.state
        click.echo(f"nothing waits for you in {where}: it is {state}")
    for number, question in enumerate(questions, 1):
        click.echo(f"{number}. {printable(question)}")
    if questions:
        each = " ".join('--answer "..."' for _ in questions)
        click.echo(f"{count(len(questions), 'answer')}: mo review {status.id} {each}")
        return
    for need in needs:
        name = f"{status.id}/{need['task']}" if need["task"] else status.id
        click.echo(f"{name}: {need['why']}")
        doubted = status.tasks[need["task"]] if need["task"] else None
        lines = [f"  {need['do']}"]
        if doubted is not None and doubted.doubt:
            lines = _doubt(name, doubted, doubted.doubt, home)
        click.echo("\n".join(lines))
    if with_diff:
        for one in (status.tasks[need["task"]] for need in needs if need["task"]):
            _print_diff(obj, home, one)


def _doubt(name: str, task: TaskStatus, doubt: Mapping[str, Any], home: Home) -> list[str]:
    """All that a person has to look at, and what can be said to it."""
    if doubt["about"] == "review":
        seen = [*_changes(home, task), *_findings(task)]
    else:
        seen = [
            *(f"  file {one_line(path, 400)}" for path in doubt["paths"]),
            *(f"  test {one_line(test, 400)}" for test in doubt["ids"]),
        ]
    change = [f'  change: mo review {name} --comment "..."'] if task.spec.by_agent else []
    return [
        *seen,
        f"  look:   mo diff {name}",
        f"  fine:   mo review {name} --approve",
        *change,
        f"  not so: mo review {name} --reject",
    ]


def _changes(home: Home, task: TaskStatus) -> list[str]:
    """The files of the task's change, and how much of each."""
    files = statistics(patch(home.top, task.attempts[-1].base, task.commit))
    rows = [
        [
            f"  {_LETTERS[file.change]} {one_line(file.path, 400)}",
            "binary" if file.binary else f"+{file.added} -{file.removed}",
        ]
        for file in files
    ]
    return table(rows)


def _findings(task: TaskStatus) -> list[str]:
    """What the reviewer said."""
    review = task.review or {}
    lines = []
    for found in review.get("findings", ())[:_FINDINGS]:
        place = one_line(found["path"], 200) + (f":{found['line']}" if found["line"] else "")
        lines.append(f"  {place or 'in general'} [{found['severity']}] {one_line(found['comment'], 600)}")
    return lines


def _print_diff(obj: Context, home: Home, task: TaskStatus) -> None:
    if not (task.attempts and task.commit):
        return
    color = "--color=always" if use_color(obj) else "--color=never"
    git = Git(home.top, config=PLAIN)
    click.echo(
        git("diff", *NO_PROGRAMS, color, "-M", task.attempts[-1].base, task.commit, "--").out, nl=False
    )
