"""`mo do`: queue a goal and follow it."""

from __future__ import annotations

from dataclasses import replace

import click

from mo_git.cli import Context
from mo_git.cli.amounts import Amount
from mo_git.cli.context import emit_json, json_option
from mo_git.cli.expected import expected_of
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
    with_limits,
)
from mo_git.cli.guided import can_ask, confirm, follow_to_end, starting_from
from mo_git.cli.ids import resolve_goal
from mo_git.cli.plan import show_or_make
from mo_git.errors import Exit, MoError
from mo_git.model import GoalSpec
from mo_git.text import one_line


@click.command(name="do")
@click.argument("goal")
@click.option("--base", default="", metavar="REV", help="Start from this commit instead of HEAD.")
@click.option("-j", "--parallel", type=click.IntRange(min=1), metavar="N", help="At most N tasks at once.")
@click.option("--plan-only", is_flag=True, help="Only show the plan, as mo plan does; run no task.")
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
@click.option("--budget", type=Amount(min=0), metavar="USD", help="What the goal may spend; 0: no limit.")
@click.option(
    "--iterations",
    type=click.IntRange(1, 50),
    metavar="N",
    help="Verify and plan again what is missing, at most N plans in all.",
)
@click.option(
    "--max-hours",
    type=Amount(min=0, min_open=True),
    metavar="H",
    help="Start nothing more of it after H hours.",
)
@click.option(
    "--fixes",
    multiple=True,
    metavar="TEST",
    help="A test that has to turn green, or all-red: those that fail now.",
)
@click.option("--doc", "documents", multiple=True, metavar="FILE", help="A text that all agents are given.")
@click.option("--single", is_flag=True, help="Do not plan a goal in words: one task for one agent.")
@click.option("--approve", is_flag=True, help="Show the plan and wait for mo resume before it runs.")
@click.option("--ask", is_flag=True, help="The planner may ask you questions before it plans.")
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
    iterations: int | None,
    max_hours: float | None,
    fixes: tuple[str, ...],
    documents: tuple[str, ...],
    single: bool,
    approve: bool,
    ask: bool,
    yes: bool,
) -> None:
    """Queue a goal and follow it.

    GOAL is @FILE, a plan (.toml, .json) or a goal file (.md), or the goal in words, which an agent plans.
    Ctrl-C only stops following: the goal goes on.
    """
    source = read_source(goal, obj.cwd)
    source = as_one_task(source) if single else source
    source = with_limits(source, iterations, max_hours, fixes)
    if ask and source.plan.tasks:
        message = "--ask is about a goal in words that an agent plans, and this one is planned"
        raise MoError(message, "leave out --ask", Exit.USAGE)
    providers = Providers(obj.cwd)
    options = Options(
        base,
        parallel,
        deliver or "",
        gate,
        "",
        include_dirty,
        providers.check(provider),
        phase_providers(phases, providers),
        budget,
        read_documents(documents, obj.cwd),
        approve,
        ask,
    )
    if plan_only:
        show_or_make(obj, source, options, None, None)
        return
    layout, home = find_repository(obj.cwd)
    refuse_untrusted(source, layout)
    if depends_on:
        options = replace(options, depends_on=resolve_goal(home, depends_on))
    spec = make_goal(source, options, layout)
    person = can_ask(obj) and not yes
    if person and spec.wants_plan and not detach:
        spec = replace(spec, approve=True)  # asked when the plan is there
    elif person:
        if not _agreed(obj, spec, options):
            click.echo("nothing was queued", err=True)
            raise click.exceptions.Exit(Exit.INTERRUPTED)
        spec = replace(spec, approve=spec.approve and spec.wants_plan)
    queue(home, spec, source.text)
    if detach:
        _say_detached(obj, spec)
        return
    raise click.exceptions.Exit(follow_to_end(obj, home, spec.id, agree=person))


def _agreed(obj: Context, spec: GoalSpec, options: Options) -> bool:
    if not spec.wants_plan:
        expected = expected_of(spec.plan, options, obj.cwd)
        return confirm(obj, spec.plan, starting_from(spec), expected)
    click.echo(f"an agent plans it first, {starting_from(spec)}: {one_line(spec.title)}")
    return click.confirm("Run it?", default=True)


def _say_detached(obj: Context, spec: GoalSpec) -> None:
    if obj.json:
        emit_json({"v": 1, "goal": spec.id})
        return
    click.echo(spec.id)
    if not obj.quiet:
        click.echo(f"watch: mo status {spec.id} --watch   land: mo land {spec.id}", err=True)
