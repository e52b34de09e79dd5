"""Following a goal with a person at hand: the planner's questions are answered, and its plan is agreed to.

Where nobody can be asked, the goal waits, and exit code 5 says so.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import click

from mo_git import views
from mo_git.cli import Context, follow
from mo_git.cli.client import request
from mo_git.cli.context import say, use_color
from mo_git.cli.lessons import proposed
from mo_git.errors import Exit
from mo_git.goal_status import GoalStatus
from mo_git.home import Home
from mo_git.model import GoalSpec, GoalState, Plan, TaskState
from mo_git.text import count, printable
from mo_git.views.needs import undelivered

_EXIT = {
    GoalState.DONE: Exit.OK,
    GoalState.HALTED: Exit.PERSON,
    GoalState.AWAITING_APPROVAL: Exit.PERSON,
    GoalState.OVER_BUDGET: Exit.BUDGET,
}
_OF_A_CONFLICT = frozenset({TaskState.CONFLICT, TaskState.SKIPPED})  # what it leaves of a goal
_NO_AGENT = "no agent can "  # how a reason begins where nobody can work
_OF_THE_GATE = ("gate ", "the gate ", "no gate")  # how reasons begin that are about the gate


def can_ask(obj: Context) -> bool:
    """Whether a person is there to answer: a terminal at both ends, and neither --no-input nor --json."""
    return not (obj.no_input or obj.json) and sys.stdin.isatty() and sys.stdout.isatty()


def follow_to_end(obj: Context, home: Home, goal: str, after: int = 0, *, agree: bool = False) -> Exit:
    """Follow a goal until it ends, print the summary, return the exit code; Ctrl-C only stops following.

    Facts up to the number `after` are not shown.  On a terminal questions of the planner are asked, and
    with `agree` whether to run its plan.
    """
    try:
        status = follow_and_answer(obj, home, goal, after)
        if agree and status.awaits_approval and can_ask(obj) and agreed(obj, status):
            request(obj, home, "resume", {"goal": goal}, start_daemon=True, wait=None)
            status = follow.follow(home, goal, obj, after=status.last_seq)
    except (follow.Detached, click.Abort):  # Ctrl-C, also at a question
        click.echo(f"no longer following; {goal} goes on (mo status {goal}, mo cancel {goal})", err=True)
        return Exit.INTERRUPTED
    if not obj.json:
        click.echo("\n".join(views.summary_lines(status)))
        if status.state is not GoalState.DONE and (more := proposed(home)):
            click.echo(f"  {count(more, 'lesson')} proposed from what failed: mo lessons")
    return exit_code(status)


def follow_and_answer(
    obj: Context, home: Home, goal: str, after: int = 0, *, quiet: bool = False
) -> GoalStatus:
    """Follow a goal, through the planner's questions where a person can be asked.  Raises Detached."""
    shown = replace(obj, json=False, quiet=True) if quiet else obj
    status = follow.follow(home, goal, shown, after=after)
    while status.awaits_answers and can_ask(obj):
        send_answers(obj, home, goal, ask(status.planning.questions))
        status = follow.follow(home, goal, shown, after=status.last_seq)
    return status


def ask(questions: Sequence[str]) -> list[str]:
    """The planner's questions, one after another on the terminal; empty: the planner decides."""
    click.echo(f"The planner has {count(len(questions), 'question')} (an empty answer lets it decide):")
    answers = []
    for number, question in enumerate(questions, 1):
        click.echo(f"\n{number}. {printable(question)}")
        answers.append(str(click.prompt(">", default="", show_default=False, prompt_suffix=" ")))
    return answers


def send_answers(obj: Context, home: Home, goal: str, answers: Sequence[str]) -> dict[str, object] | None:
    """Hand the answers to the daemon and wait for what it says; a refusal raises."""
    payload = {"goal": goal, "answers": list(answers)}
    return request(obj, home, "answer", payload, start_daemon=True, wait=None)


def agreed(obj: Context, goal: GoalStatus) -> bool:
    """Show the plan that an agent made, and ask whether to run it."""
    for said in goal.planning.assumptions:
        click.echo(f"assumed: {printable(said)}")
    if goal.planning.unconfined:
        click.echo(views.needs(goal)[0]["why"])
    return confirm(obj, goal.plan, starting_from(goal.spec), goal.estimate)


def confirm(obj: Context, plan: Plan, where: str, estimate: Mapping[str, Any] | None) -> bool:
    """Show a plan with what it takes, and ask whether to run it."""
    say(obj, views.graph_text(plan, use_color(obj)))
    takes = f"\n{views.estimate_text(estimate, full=True)}" if estimate else ""
    click.echo(f"{count(len(plan.tasks), 'task')}, {where}{takes}")
    return click.confirm("Run it?", default=True)


def starting_from(goal: GoalSpec) -> str:
    return "starting from " + (f"{goal.target} at {goal.base[:10]}" if goal.target else goal.base[:10])


def exit_code(status: GoalStatus) -> Exit:
    """0 only for a goal that is done; 5 where a person has to act, 8 where that is because of the gate.

    4 where no agent can plan the goal, or do a task of it.  A goal that nothing but conflicts holds up waits
    for a person.
    """
    if status.state is GoalState.HALTED and status.reason.startswith(_OF_THE_GATE):
        return Exit.GATE
    if status.state is GoalState.HALTED and status.reason.startswith(_NO_AGENT):
        return Exit.AGENT
    if status.state is GoalState.FAILED and _waits(status):
        return Exit.PERSON
    if status.state is GoalState.FAILED and any(
        task.state is TaskState.FAILED and task.unusable for task in status.tasks.values()
    ):
        return Exit.AGENT
    stuck = {task.state for task in status.tasks.values() if not task.satisfied}
    if status.state is GoalState.FAILED and TaskState.CONFLICT in stuck <= _OF_A_CONFLICT:
        return Exit.PERSON
    if status.state is GoalState.DONE and status.spec.deliver == "merge" and undelivered(status):
        return Exit.PERSON
    return Exit.PERSON if status.rests() else _EXIT.get(status.state, Exit.FAILED)


def _waits(status: GoalStatus) -> bool:
    """Whether all that keeps the goal from being done is what a person may accept, and what depends on it."""
    missing = [task for task in status.tasks.values() if not task.satisfied]
    return any(task.doubt for task in missing) and all(
        task.doubt or task.state is TaskState.SKIPPED for task in missing
    )
