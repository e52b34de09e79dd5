"""`mo plan`: check a plan and show its DAG."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from mo_git import dag, views
from mo_git.cli import Context
from mo_git.cli.context import json_option, say, use_color
from mo_git.cli.goals import read_source
from mo_git.errors import Exit, MoError
from mo_git.model import Plan, TaskSpec
from mo_git.plan import overlaps, plan_to_data
from mo_git.text import count, one_line

FORMATS = ("tree", "mermaid", "dot", "json")


@click.command(name="plan")
@click.argument("goal", metavar="@FILE")
@click.option("--format", "form", type=click.Choice(FORMATS), default="tree", show_default=True, help="How.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write it to FILE.",
)
@json_option
@click.pass_obj
def command(obj: Context, goal: str, form: str, output: Path | None) -> None:
    """Check a plan and show its DAG; runs nothing.

    FILE is a plan (.toml, .json) or a goal file (.md).  Tasks on one level may run side by side.
    """
    show_plan(obj, read_source(goal, obj.cwd).plan, form, output)


def show_plan(obj: Context, plan: Plan, form: str, output: Path | None) -> None:
    """Print the plan, or write it to a file; warnings go to stderr."""
    if not plan.tasks:
        raise MoError(
            "a goal in words has no plan yet: an agent makes it when the goal starts",
            "mo do --approve GOAL shows the plan and waits before it runs; or write a plan (docs/plans.md)",
            Exit.USAGE,
        )
    if obj.json:
        form = "json"
    writers: Mapping[str, Callable[[Plan], str]] = {
        "tree": lambda plan: plan_text(plan, output is None and use_color(obj)),
        "mermaid": views.graph_mermaid,
        "dot": views.graph_dot,
        "json": lambda plan: json.dumps(plan_document(plan)),
    }
    text = writers[form](plan)
    if output is None:
        say(obj, text)
    else:
        try:
            (obj.cwd / output).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise MoError(f"cannot write {output}: {error.strerror}") from None
    if form != "json":
        for line in overlap_lines(plan):
            click.echo(line, err=True)


def critical_path(plan: Plan) -> list[str]:
    """The chain with the longest time allowed; a task without a time limit counts like the longest one."""
    longest = max((task.timeout for task in plan.tasks if task.timeout), default=1.0)

    def weight(task: TaskSpec) -> float:
        return task.timeout or longest

    return dag.critical_path(plan.tasks, weight)


def plan_text(plan: Plan, color: bool = False) -> str:
    """The drawing, then what runs side by side and what decides how long it takes."""
    levels = dag.levels(plan.tasks)
    path = critical_path(plan)
    lines = [one_line(plan.goal)] if plan.goal else []
    lines += [views.graph_text(plan, color), ""]
    lines += [f"level {number}: {', '.join(ids)}" for number, ids in enumerate(levels, 1)]
    lines.append(f"critical path ({count(len(path), 'task')}): {' -> '.join(path)}")
    return "\n".join(lines)


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan with what follows from it, as `--format json` prints it."""
    return {
        "v": 1,
        "plan": plan_to_data(plan),
        "levels": dag.levels(plan.tasks),
        "critical_path": critical_path(plan),
        "overlaps": [{"tasks": [one, other], "paths": paths} for one, other, paths in overlaps(plan)],
    }


def overlap_lines(plan: Plan) -> list[str]:
    """Warnings about tasks that may edit the same files at the same time."""
    return [
        f"warning: {one} and {other} may both write {one_line(paths)}, and neither waits for the other"
        for one, other, paths in overlaps(plan)
    ]
