"""`mo queue`: anybody's branches go through the gate and land like the work of a goal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mo_git.cli import Context
from mo_git.cli.context import emit_json, json_option, load_settings, open_home, open_reader, say
from mo_git.cli.goals import SLUG_LENGTH, Options, Source, find_repository, make_goal, queue
from mo_git.cli.guided import follow_to_end
from mo_git.errors import Exit, MoError
from mo_git.git import binary
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.lifecycle import has_ended
from mo_git.model import RESERVED_TASK_IDS, Plan, TaskSpec, TaskState
from mo_git.text import table
from mo_git.values import printable

_IN_LANE = (TaskState.CANDIDATE, TaskState.GATING, TaskState.RESOLVING)


@click.group(name="queue")
def command() -> None:
    """Put branches through the gate onto a target branch, or look at what waits.

    A branch of yours, or of another tool, is merged, gated and landed like the work of a goal.
    """


@command.command()
@click.argument("refs", nargs=-1, required=True, metavar="REF...")
@click.option("--onto", default="", metavar="BRANCH", help="The target branch; default: the current one.")
@click.option("--deliver", type=click.Choice(["branch", "merge"]), help="What happens when all is green.")
@click.option("--gate", metavar="CMD", help="The gate command.")
@click.option("--detach", is_flag=True, help="Do not follow; print the goal's id.")
@json_option
@click.pass_obj
def add(
    obj: Context, refs: tuple[str, ...], onto: str, deliver: str | None, gate: str | None, detach: bool
) -> None:
    """Queue branches or commits: a goal with one task for each, in the lane of the target branch.

    Each is merged and gated by itself, in the order that fits; a red one does not keep the others back.
    """
    layout, home = find_repository(obj.cwd)
    git = binary.Git(layout.here)
    target = onto or binary.head_branch(git) or ""
    if not target:
        raise MoError(
            "HEAD is detached: there is no branch to land on", "name one: --onto BRANCH", Exit.USAGE
        )
    binary.resolve(git, f"refs/heads/{target}")
    names = list(dict.fromkeys(refs))
    prefix = load_settings(obj.cwd).config.git.branch_prefix
    found = [_found(git, name, target, prefix) for name in names]
    ids = _task_ids(names)
    title = f"Land {', '.join(names)}"
    entries = zip(ids, names, found, strict=True)
    tasks = tuple(
        TaskSpec(task, title=name, from_ref=ref, priority=-place)  # first come, first looked at
        for place, (task, name, ref) in enumerate(entries)
    )
    source = Source(title, title, Plan(title, tasks), {"target": target}, Path())
    spec = make_goal(source, Options(base=f"refs/heads/{target}", deliver=deliver or "", gate=gate), layout)
    queue(home, spec, title)
    if not detach:
        raise click.exceptions.Exit(follow_to_end(obj, home, spec.id))
    if obj.json:
        emit_json({"v": 1, "goal": spec.id})
    else:
        click.echo(spec.id)


def _found(git: binary.Git, name: str, target: str, prefix: str) -> str:
    """What the goal takes it by: a branch by its name, anything else (HEAD~1) by the commit that it is now.

    MoError (usage, not_found) for what cannot be queued.
    """
    shown = printable(name)
    commit = binary.resolve(git, name)
    full = git("rev-parse", "--symbolic-full-name", "--verify", "-q", "--end-of-options", name, check=False)
    branch = full.text.strip()
    if branch == f"refs/heads/{target}":
        raise MoError(f"{shown} is the target branch itself", "name another: --onto BRANCH", Exit.USAGE)
    if branch.startswith((f"refs/heads/{prefix}", "refs/mo/")):
        goal = branch.removeprefix(f"refs/heads/{prefix}").split("/")[0]
        hint = f"mo land {goal} takes a goal's work to its target branch"
        raise MoError(f"{shown} is mo's own branch, and goes its own way", hint, Exit.USAGE)
    if git("merge-base", "--is-ancestor", commit, f"refs/heads/{target}", check=False).code == 0:
        raise MoError(f"{target} contains {shown} already", f"git log {target}..{shown}", Exit.USAGE)
    return name if branch.startswith("refs/") and branch.endswith(f"/{name}") else commit


def _task_ids(names: Sequence[str]) -> list[str]:
    """A task id for each branch: its name in letters that an id may have, numbered where two are alike."""
    ids: list[str] = []
    for name in names:
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower().removeprefix("refs/heads/")).strip("-")
        first = slug[:SLUG_LENGTH].strip("-") or "branch"
        found, number = first, 1
        while found in ids or found in RESERVED_TASK_IDS:
            number += 1
            found = f"{first}-{number}"
        ids.append(found)
    return ids


@command.command(name="list")
@json_option
@click.pass_obj
def list_(obj: Context) -> None:
    """Show what waits for the gate, or is on its way there, by target branch."""
    reader = open_reader(open_home(obj))
    try:
        goals = [reader.goal(goal) for goal in reader.goal_ids()]
    finally:
        reader.close()
    rows = [
        _row(goal, task)
        for goal in goals
        if not has_ended(goal)
        for task in goal.tasks.values()
        if _waits(goal, task)
    ]
    rows.sort(key=lambda row: (row["target"], row["state"] != TaskState.GATING, row["since"]))
    if obj.json:
        emit_json({"v": 1, "queue": rows})
    elif not rows:
        click.echo("nothing is in the queue")
    else:
        lines = [[row["target"], f"{row['goal']}/{row['task']}", row["state"], row["from"]] for row in rows]
        say(obj, "\n".join(table(lines)))


def _waits(goal: GoalStatus, task: TaskStatus) -> bool:
    """Candidates, and branches that were queued and are not looked at yet."""
    return goal.task_state(task) in _IN_LANE or (bool(task.spec.from_ref) and not task.ended)


def _row(goal: GoalStatus, task: TaskStatus) -> dict[str, Any]:
    return {
        "target": goal.spec.target,
        "goal": goal.id,
        "task": task.spec.id,
        "state": goal.task_state(task),
        "since": task.since or goal.created_at,
        "from": task.spec.from_ref,
    }
