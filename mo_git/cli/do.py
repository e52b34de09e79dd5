"""`mo do`: queue a goal and follow it."""

from __future__ import annotations

import sys

import click

from mo_git import views
from mo_git.cli import Context, follow
from mo_git.cli.context import emit_json, json_option, say, use_color
from mo_git.cli.goals import (
    Options,
    Providers,
    as_one_task,
    find_repository,
    make_goal,
    phase_providers,
    queue,
    read_documents,
    read_source,
    refuse_untrusted,
)
from mo_git.cli.ids import resolve_goal
from mo_git.cli.plan import show_plan
from mo_git.errors import Exit
from mo_git.home import Home
from mo_git.lifecycle import GoalStatus
from mo_git.model import GoalSpec, GoalState
from mo_git.text import count, one_line
from mo_git.views.needs import undelivered

_EXIT = {
    GoalState.DONE: Exit.OK,
    GoalState.HALTED: Exit.PERSON,
    GoalState.AWAITING_APPROVAL: Exit.PERSON,
    GoalState.OVER_BUDGET: Exit.BUDGET,
}
_NO_AGENT = "no agent can "  # how a reason begins where nobody can work
_OF_THE_GATE = ("gate ", "the gate ", "no gate")  # how reasons begin that are about the gate


@click.command(name="do")
@click.argument("goal")
@click.option("--base", default="", metavar="REV", help="Start from this commit instead of HEAD.")
@click.option("-j", "--parallel", type=click.IntRange(min=1), metavar="N", help="At most N tasks at once.")
@click.option("--plan-only", is_flag=True, help="Check the plan and show it; run nothing.")
@click.option("--detach", is_flag=True, help="Do not follow; print the goal's id.")
@click.option("--deliver", type=click.Choice(["branch", "merge"]), help="What happens when all is green.")
@click.option("--gate", metavar="CMD", help="The gate command of this goal.")
@click.option(
    "--depends-on", default="", metavar="GOAL", help="Start when this goal is done, from its result."
)
@click.option("--include-dirty", is_flag=True, help="Put uncommitted changes into the base.")
@click.option(
    "--provider",
    default="auto",
    metavar="P",
    help="Who does all tasks: auto, claude, codex or another agent.",
)
@click.option(
    "--phase-provider",
    "phases",
    multiple=True,
    metavar="PHASE=P",
    help="Who does one phase, such as execute=codex.",
)
@click.option(
    "--budget", type=click.FloatRange(min=0), metavar="USD", help="What the goal may spend; 0: no limit."
)
@click.option("--doc", "documents", multiple=True, metavar="FILE", help="A text that all agents are given.")
@click.option("--single", is_flag=True, help="Do not plan a goal in words: one task for one agent.")
@click.option("--approve", is_flag=True, help="Show the plan and wait for mo resume before it runs.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def command(
    obj: Context,
    goal: str,
    base: str,
    parallel: int | None,
    plan_only: bool,
    detach: bool,
    deliver: str | None,
    gate: str | None,
    depends_on: str,
    include_dirty: bool,
    provider: str,
    phases: tuple[str, ...],
    budget: float | None,
    documents: tuple[str, ...],
    single: bool,
    approve: bool,
    yes: bool,
) -> None:
    """Queue a goal and follow it.

    GOAL is @FILE, a plan (.toml, .json) or a goal file (.md), or the goal in words, which an agent plans.
    Ctrl-C only stops following: the goal goes on.
    """
    source = read_source(goal, obj.cwd)
    if plan_only:
        show_plan(obj, (as_one_task(source) if single else source).plan, "tree", None)
        return
    layout, home = find_repository(obj.cwd)
    refuse_untrusted(source, layout)
    after = resolve_goal(home, depends_on) if depends_on else ""
    providers = Providers(obj.cwd)
    options = Options(
        base,
        parallel,
        deliver or "",
        gate,
        after,
        include_dirty,
        providers.check(provider),
        phase_providers(phases, providers),
        budget,
        read_documents(documents, obj.cwd),
        single,
        approve,
    )
    spec = make_goal(source, options, layout)
    if not (yes or _agreed(obj, spec)):
        click.echo("nothing was queued", err=True)
        raise click.exceptions.Exit(Exit.INTERRUPTED)
    queue(home, spec, source.text)
    if detach:
        _say_detached(obj, spec)
        return
    raise click.exceptions.Exit(follow_to_end(obj, home, spec.id))


def _agreed(obj: Context, spec: GoalSpec) -> bool:
    """Ask on a terminal; where nobody can answer, go on."""
    if obj.no_input or obj.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    if spec.wants_plan:
        say(obj, f"an agent plans it first: {one_line(spec.title)}")
    else:
        say(obj, views.graph_text(spec.plan, use_color(obj)))
    where = f"{spec.target} at {spec.base[:10]}" if spec.target else spec.base[:10]
    what = "not planned yet" if spec.wants_plan else count(len(spec.plan.tasks), "task")
    click.echo(f"{what}, starting from {where}")
    return click.confirm("Run it?", default=True)


def _say_detached(obj: Context, spec: GoalSpec) -> None:
    if obj.json:
        emit_json({"v": 1, "goal": spec.id})
        return
    click.echo(spec.id)
    if not obj.quiet:
        click.echo(f"watch: mo status {spec.id} --watch   land: mo land {spec.id}", err=True)


def follow_to_end(obj: Context, home: Home, goal: str, after: int = 0) -> Exit:
    """Follow a goal until it ends, print the summary, return the exit code; Ctrl-C only stops following.

    Facts up to the number `after` are not shown.
    """
    try:
        status = follow.follow(home, goal, obj, after=after)
    except follow.Detached:
        click.echo(f"no longer following; {goal} goes on (mo status {goal}, mo cancel {goal})", err=True)
        return Exit.INTERRUPTED
    if not obj.json:
        click.echo("\n".join(views.summary_lines(status)))
    return exit_code(status)


def exit_code(status: GoalStatus) -> Exit:
    """0 only for a goal that is done; 5 where a person has to act, 8 where that is because of the gate.

    4 where no agent can plan the goal.
    """
    if status.state is GoalState.HALTED and status.reason.startswith(_OF_THE_GATE):
        return Exit.GATE
    if status.state is GoalState.HALTED and status.reason.startswith(_NO_AGENT):
        return Exit.AGENT
    if status.state is GoalState.DONE and status.spec.deliver == "merge" and undelivered(status):
        return Exit.PERSON
    return _EXIT.get(status.state, Exit.FAILED)
