"""`mo simple scan` and `mo simple run`: items from a manifest or from files, shown or queued."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mo_git.cli import Context
from mo_git.cli.context import emit_json, json_option
from mo_git.cli.follow_job import follow_job
from mo_git.cli.goals import Options, Providers, find_repository
from mo_git.cli.guided import can_ask, starting_from
from mo_git.cli.jobs import Asked, Job, make_job, queue_job, warn_skipped
from mo_git.errors import Exit, MoError
from mo_git.home import write_atomically
from mo_git.simple.item import Item, item_to_data
from mo_git.simple.view import bucket_counts, bucket_lines, target_of
from mo_git.text import count, printable

F = TypeVar("F", bound=Callable[..., Any])
_FIRST = 10  # items of a preview
_BUCKETS = 10


def _source_options(function: F) -> F:
    """Where the items come from."""
    for option in reversed(
        (
            click.argument("instruction", default=""),
            click.option(
                "--manifest",
                default="",
                metavar="FILE",
                help="Items as JSON lines, or .csv; -: standard input.",
            ),
            click.option(
                "--glob",
                "globs",
                multiple=True,
                metavar="PATTERN",
                help="An item for each committed file that matches.",
            ),
            click.option(
                "--files",
                multiple=True,
                metavar="FILE",
                help="An item for this file; -: names from standard input.",
            ),
            click.option(
                "--prompt",
                default="",
                metavar="TEXT|@FILE",
                help="What an agent does with each; an item's own wins.",
            ),
            click.option(
                "--run",
                default="",
                metavar="ARGV",
                help="The command for each, with {target}; an item's own wins.",
            ),
            click.option("--base", default="", metavar="REV", help="Start from this commit instead of HEAD."),
            click.option(
                "--allow-missing", is_flag=True, help="Targets need not exist: the items make them."
            ),
        )
    ):
        function = option(function)
    return function


def _asked(instruction: str, prompt: str, **values: Any) -> Asked:
    if instruction and prompt:
        raise MoError("there are two instructions", "leave out --prompt, or the words", Exit.USAGE)
    return Asked(prompt=prompt or instruction, **values)


@click.command()
@_source_options
@click.option("--out", default="", metavar="FILE", help="Write the items as a manifest.")
@json_option
@click.pass_obj
def scan(
    obj: Context,
    instruction: str,
    manifest: str,
    globs: tuple[str, ...],
    files: tuple[str, ...],
    prompt: str,
    run: str,
    base: str,
    allow_missing: bool,
    out: str,
) -> None:
    """Show which items there would be, or write them as a manifest; queues nothing."""
    asked = _asked(
        instruction, prompt, manifest=manifest, globs=globs, files=files, run=run, allow_missing=allow_missing
    )
    layout, _ = find_repository(obj.cwd)
    job = make_job(asked, Options(base=base), (), "", layout, obj.cwd)
    if out:
        _write_manifest(obj.cwd / out, out, job)
    _preview(obj, job, out)


def _write_manifest(path: Path, shown: str, job: Job) -> None:
    if os.path.lexists(path):
        raise MoError(f"{shown} exists already", "name another file", Exit.USAGE)
    text = "".join(json.dumps(_manifest_line(item), ensure_ascii=False) + "\n" for item, *_ in job.placed)
    write_atomically(path, text, 0o644)


def _manifest_line(item: Item) -> dict[str, Any]:
    data = item_to_data(item)
    data.pop("targets", None)
    return {"id": data.pop("id"), "target": target_of(item), **data}


def _preview(obj: Context, job: Job, out: str = "") -> None:
    buckets = [bucket for _, bucket, *_ in job.placed]
    sharing = sum(bool(after) for *_, after in job.placed)
    if obj.json:
        emit_json(
            {
                "v": 1,
                "items": len(job.placed),
                "buckets": dict(bucket_counts(buckets)),
                "sharing": sharing,
                "base": job.spec.base,
                "first": [
                    {"id": item.id, "target": target_of(item), "bucket": bucket}
                    for item, bucket, *_ in job.placed[:_FIRST]
                ],
                "skipped": [{"target": path, "reason": why} for path, why in job.skipped],
                "out": out or None,
            }
        )
        return
    warn_skipped(job.skipped)
    click.echo(f"{count(len(job.placed), 'item')}, {starting_from(job.spec)}")
    for line in bucket_lines(buckets, _BUCKETS):
        click.echo(f"  {printable(line)}")
    if sharing:
        click.echo(f"{count(sharing, 'item')} after others on the same target")
    if not obj.quiet:
        for item, *_ in job.placed[:_FIRST]:
            click.echo(printable(f"  {item.id}: {', '.join(item.targets)}"))
        if len(job.placed) > _FIRST:
            click.echo(f"  and {len(job.placed) - _FIRST} more")
    if out:
        click.echo(f"written to {out}: mo simple run --manifest {out}")


@click.command()
@_source_options
@click.option(
    "--provider",
    default="auto",
    metavar="P",
    help="Who does all items: auto, claude, codex or another agent.",
)
@click.option("--model", default="", metavar="M", help="The model for items that name none.")
@click.option(
    "-j",
    "--parallel",
    type=click.IntRange(min=1),
    metavar="N",
    help="N items at once, each in a worktree of its own.",
)
@click.option(
    "--validate",
    multiple=True,
    metavar="CMD",
    help="A command that has to pass in the worktree of each item.",
)
@click.option("--gate", metavar="CMD", help="The gate command of this job; none: no gate.")
@click.option(
    "--no-change", type=click.Choice(["ok", "fail"]), help="What an item means that changes nothing."
)
@click.option(
    "--budget", type=click.FloatRange(min=0), metavar="USD", help="What the job may spend; 0: no limit."
)
@click.option("--deliver", type=click.Choice(["branch", "merge"]), help="What happens when all is green.")
@click.option("--include-dirty", is_flag=True, help="Put uncommitted changes into the base.")
@click.option("--dry-run", is_flag=True, help="Only show what would run.")
@click.option("--detach", is_flag=True, help="Do not follow; print the job's id.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def run(
    obj: Context,
    instruction: str,
    manifest: str,
    globs: tuple[str, ...],
    files: tuple[str, ...],
    prompt: str,
    run: str,
    base: str,
    allow_missing: bool,
    provider: str,
    model: str,
    parallel: int | None,
    validate: tuple[str, ...],
    gate: str | None,
    no_change: str | None,
    budget: float | None,
    deliver: str | None,
    include_dirty: bool,
    dry_run: bool,
    detach: bool,
    yes: bool,
) -> None:
    """Queue items and follow them.

    INSTRUCTION is what an agent does with each item that says nothing itself, as --prompt.  Nothing runs
    before all items are read and checked.  Ctrl-C only stops following: the job goes on.
    """
    asked = _asked(
        instruction,
        prompt,
        manifest=manifest,
        globs=globs,
        files=files,
        run=run,
        model=model,
        allow_missing=allow_missing,
    )
    options = Options(
        base=base,
        parallel=parallel,
        deliver=deliver or "",
        gate=gate,
        include_dirty=include_dirty,
        provider=Providers(obj.cwd).check(provider),
        budget_usd=budget,
    )
    layout, home = find_repository(obj.cwd)
    job = make_job(asked, options, validate, no_change or "", layout, obj.cwd)
    if dry_run:
        _preview(obj, job)
        return
    if can_ask(obj) and not yes:
        _preview(obj, job)
        if not click.confirm(f"Run it{_by(job)}?", default=True):
            click.echo("nothing was queued", err=True)
            raise click.exceptions.Exit(Exit.INTERRUPTED)
    else:
        warn_skipped(job.skipped)
    queue_job(home, job)
    if detach:
        _say_detached(obj, job.spec.id)
        return
    raise click.exceptions.Exit(follow_job(obj, home, job.spec.id))


def _by(job: Job) -> str:
    agents = job.spec.bulk.agents if job.spec.bulk else ()
    return f" with {', '.join(agents)}" if agents else ""


def _say_detached(obj: Context, job: str) -> None:
    if obj.json:
        emit_json({"v": 1, "goal": job})
        return
    click.echo(job)
    if not obj.quiet:
        click.echo(f"watch: mo simple status {job}   land: mo land {job}", err=True)
