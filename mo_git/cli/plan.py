"""`mo plan`: check a plan and show its DAG, or have an agent make one; runs no task."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mo_git import dag, views
from mo_git.cli import Context
from mo_git.cli.amounts import Amount
from mo_git.cli.client import request
from mo_git.cli.context import json_option, say, use_color
from mo_git.cli.expected import expected_of
from mo_git.cli.follow import Detached
from mo_git.cli.goals import (
    Options,
    Providers,
    Source,
    find_repository,
    make_goal,
    phase_providers,
    queue,
    read_documents,
    read_source,
    refuse_untrusted,
)
from mo_git.cli.guided import exit_code, follow_and_answer
from mo_git.errors import Exit, MoError
from mo_git.goal_status import GoalStatus
from mo_git.home import Home, write_atomically
from mo_git.model import Plan, TaskSpec
from mo_git.plan import overlaps, plan_to_data, plan_to_toml
from mo_git.text import count, one_line

FORMATS = ("tree", "mermaid", "dot", "json", "toml")


@click.command(name="plan")
@click.argument("goal")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="How: tree, or toml with -o, where not given."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write it to FILE; as TOML, mo do @FILE runs it.",
)
@click.option("--base", default="", metavar="REV", help="Plan for this commit instead of HEAD.")
@click.option("--provider", default="auto", metavar="P", help="Who makes the plan: auto, claude, codex.")
@click.option(
    "--phase-provider",
    "phases",
    multiple=True,
    metavar="PHASE=P",
    help="Who does one phase, such as decompose=codex.",
)
@click.option("--budget", type=Amount(min=0), metavar="USD", help="What planning may spend; 0: no limit.")
@click.option("--doc", "documents", multiple=True, metavar="FILE", help="A text that the planner is given.")
@click.option("--ask", is_flag=True, help="The planner may ask questions before it plans.")
@json_option
@click.pass_obj
def command(
    obj: Context,
    goal: str,
    form: str | None,
    output: Path | None,
    base: str,
    provider: str,
    phases: tuple[str, ...],
    budget: float | None,
    documents: tuple[str, ...],
    ask: bool,
) -> None:
    """Check a plan, or let an agent make one, and show it; runs no task.

    GOAL is @FILE, a plan (.toml, .json) or a goal file (.md), or the goal in words, which an agent plans;
    its plan is written to .mo/plans, where you may edit it, and mo do @.mo/plans/ID.toml runs it.  Tasks on
    one level may run side by side.
    """
    providers = Providers(obj.cwd)
    options = Options(
        base=base,
        provider=providers.check(provider),
        phase_providers=phase_providers(phases, providers),
        budget_usd=budget,
        documents=read_documents(documents, obj.cwd),
        ask=ask,
    )
    show_or_make(obj, read_source(goal, obj.cwd), options, form, output)


def show_or_make(
    obj: Context, source: Source, options: Options, form: str | None, output: Path | None
) -> None:
    """Show the plan of a source; an agent makes it first where there is none."""
    if source.plan.tasks:
        show_plan(obj, source.plan, expected_of(source.plan, options, obj.cwd), form, output)
        return
    layout, home = find_repository(obj.cwd)
    refuse_untrusted(source, layout)
    spec = make_goal(source, replace(options, approve=True), layout)
    queue(home, spec, source.text)
    if not (obj.json or obj.quiet):
        click.echo(f"{spec.id}: an agent makes a plan, no task runs", err=True)
    try:
        status = follow_and_answer(obj, home, spec.id, quiet=True)
    except (Detached, click.Abort):
        click.echo(f"no longer following; the plan of {spec.id} will wait for you (mo status)", err=True)
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None
    if not status.awaits_approval:
        raise _no_plan(status)
    runnable = output is not None and form in (None, "toml")
    if runnable and output is not None:
        file = _write(obj, output, plan_to_toml(status.plan))
    else:
        file = os.path.relpath(_keep(home, status), obj.cwd)
    if not runnable or obj.json:
        show_plan(obj, status.plan, status.estimate, form, None if runnable else output)
    payload = {"goal": spec.id, "reason": "only planned"}
    request(obj, home, "cancel", payload, start_daemon=True, wait=None)
    if not (obj.json or obj.quiet):
        for said in status.planning.assumptions:
            click.echo(f"assumed: {one_line(said, 200)}", err=True)
        click.echo(f"the plan is in {file}; mo do @{file} runs it", err=True)


def _no_plan(status: GoalStatus) -> MoError:
    (need, *_) = [*views.needs(status), {"why": status.reason, "do": f"mo show {status.id}"}]
    return MoError(f"{status.id} has no plan: {need['why']}", need["do"], exit_code(status))


def _keep(home: Home, status: GoalStatus) -> Path:
    """The plan as a file to edit, below `.mo/`."""
    file = home.path / "plans" / f"{status.id}.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, plan_to_toml(status.plan), 0o644)
    return file


def show_plan(
    obj: Context, plan: Plan, estimate: Mapping[str, Any] | None, form: str | None, output: Path | None
) -> None:
    """Print the plan, or write it to a file; warnings go to stderr."""
    form = "json" if obj.json else form or ("toml" if output else "tree")
    writers: Mapping[str, Callable[[Plan], str]] = {
        "tree": lambda plan: plan_text(plan, estimate, output is None and use_color(obj)),
        "mermaid": views.graph_mermaid,
        "dot": views.graph_dot,
        "json": lambda plan: json.dumps(plan_document(plan, estimate)),
        "toml": lambda plan: plan_to_toml(plan).rstrip("\n"),
    }
    text = writers[form](plan)
    if output is None:
        say(obj, text)
    else:
        _write(obj, output, text + "\n")
    if form != "json":
        for line in overlap_lines(plan):
            click.echo(line, err=True)


def _write(obj: Context, output: Path, text: str) -> str:
    try:
        (obj.cwd / output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise MoError(f"cannot write {output}: {error.strerror}") from None
    return str(output)


def critical_path(plan: Plan) -> list[str]:
    """The chain with the longest time allowed; a task without a time limit counts like the longest one."""
    longest = max((task.timeout for task in plan.tasks if task.timeout), default=1.0)

    def weight(task: TaskSpec) -> float:
        return task.timeout or longest

    return dag.critical_path(plan.tasks, weight)


def plan_text(plan: Plan, estimate: Mapping[str, Any] | None = None, color: bool = False) -> str:
    """The drawing, then what runs side by side, what decides how long it takes, and what it takes."""
    levels = dag.levels(plan.tasks)
    path = critical_path(plan)
    lines = [one_line(plan.goal)] if plan.goal else []
    lines += [views.graph_text(plan, color), ""]
    lines += [f"level {number}: {', '.join(ids)}" for number, ids in enumerate(levels, 1)]
    lines.append(f"critical path ({count(len(path), 'task')}): {' -> '.join(path)}")
    lines += [f"takes {views.estimate_text(estimate, full=True)}"] if estimate and estimate["agents"] else []
    return "\n".join(lines)


def plan_document(plan: Plan, estimate: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The plan with what follows from it, as `--format json` prints it."""
    return {
        "v": 1,
        "plan": plan_to_data(plan),
        "levels": dag.levels(plan.tasks),
        "critical_path": critical_path(plan),
        "overlaps": [{"tasks": [one, other], "paths": paths} for one, other, paths in overlaps(plan)],
        "estimate": dict(estimate) if estimate else None,
    }


def overlap_lines(plan: Plan) -> list[str]:
    """Warnings about tasks that may edit the same files at the same time."""
    return [
        f"warning: {one} and {other} may both write {one_line(paths)}, and neither waits for the other"
        for one, other, paths in overlaps(plan)
    ]
