"""From what a person typed to a job of simple mode: items are read and checked, and queued as a goal."""

from __future__ import annotations

import os
import posixpath
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from mo_git.cli.context import load_settings
from mo_git.cli.goals import COMMAND, Options, Providers, Source, make_goal, queue, refuse_untrusted
from mo_git.errors import Exit, MoError
from mo_git.git.binary import Git, Layout
from mo_git.home import Home
from mo_git.model import Bulk, GoalSpec, Plan
from mo_git.simple.item import Item
from mo_git.simple.item_fields import FROM_CELL, READERS
from mo_git.simple.items_file import Placed, write_items_file
from mo_git.simple.manifest import Common, Numbered, Problems, parse_manifest
from mo_git.simple.placing import place
from mo_git.simple.scan import items_for, matching, split_names
from mo_git.simple.targets import Tree, check_targets, list_tree
from mo_git.values import Wrong

STDIN = "-"
_TITLE_LENGTH = 72


@dataclass(frozen=True, slots=True)
class Asked:
    """Where items come from, as typed: a manifest, or files and what to do with each."""

    manifest: str = ""
    globs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    prompt: str = ""  # TEXT or @FILE
    run: str = ""
    model: str = ""
    allow_missing: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A job that is ready to be queued, and what of the files was left out (path, why)."""

    spec: GoalSpec
    placed: Sequence[Placed]
    skipped: Sequence[tuple[str, str]]


# -- making one ---------------------------------------------------------------------------------------


def make_job(
    asked: Asked, options: Options, validate: Sequence[str], no_change: str, layout: Layout, cwd: Path
) -> Job:
    """Read all items, check them against the base, and give the job its id; nothing is queued or written.

    MoError: usage with every mistake of a manifest.
    """
    common = read_common(asked, cwd)
    title = _title(asked, common)
    source = Source(
        title, common.instruction, Plan(title, ()), {}, cwd / asked.manifest if asked.manifest else Path()
    )
    if asked.manifest and asked.manifest != STDIN:
        refuse_untrusted(source, layout)
    _refuse_mixed(asked)
    wanted = _read_manifest(asked.manifest, common, cwd) if asked.manifest else None
    spec = replace(make_goal(source, options, layout), wants_plan=False)
    tree = list_tree(Git(layout.here), spec.base)
    skipped: list[tuple[str, str]] = []
    if wanted is None:
        paths, skipped = choose_files(asked, tree, layout, cwd)
        wanted = items_for(paths, common, "--files" if asked.files else "--glob")
    problems = Problems(asked.manifest if asked.manifest else "--files" if asked.files else "--glob")
    check_targets(wanted, tree, layout.here, problems, allow_missing=asked.allow_missing)
    problems.finish()
    strategy = load_settings(cwd).config.simple.bucket_strategy
    placed = list(place((one.item for one in wanted), strategy))
    agents = agents_of((item for item, *_ in placed), spec.provider)
    bulk = Bulk(len(placed), no_change, tuple(validate), agents)
    return Job(replace(spec, bulk=bulk), placed, skipped)


def agents_of(items: Iterable[Item], provider: str) -> tuple[str, ...]:
    """The providers that do the items; auto stands for whoever is chosen."""
    named = {provider or item.provider or "auto" for item in items if item.by_agent}
    return tuple(sorted(named))


def queue_job(home: Home, job: Job) -> None:
    """Write the items where the daemon reads them, and hand it the job; a refusal raises."""
    home.create()
    file = home.items_file(job.spec.id)
    write_items_file(file, job.placed)
    try:
        queue(home, job.spec, job.spec.text)
    except MoError as error:
        if error.code is not Exit.DAEMON:  # else it may be taken later
            file.unlink(missing_ok=True)
        raise


def read_common(asked: Asked, cwd: Path) -> Common:
    """What is said for all items: --prompt, --run and --model."""
    if asked.prompt and asked.run:
        raise MoError("both words and --run say what to do", "leave out one of them", Exit.USAGE)
    run, instruction = None, ""
    try:
        if asked.run:
            run = READERS["run"](FROM_CELL["run"](asked.run))
        if asked.prompt:
            text = asked.prompt
            text = _bytes(text[1:], cwd).decode("utf-8") if text.startswith("@") else text
            instruction = READERS["instruction"](text)
    except Wrong as wrong:
        option = "--run" if asked.run else "--prompt"
        raise MoError(f"{option} {'; '.join(wrong.args)}", "", Exit.USAGE) from None
    except UnicodeDecodeError:
        raise MoError(f"{asked.prompt[1:]} is not text in UTF-8", "save it as UTF-8", Exit.USAGE) from None
    return Common(instruction, run, asked.model)


def _title(asked: Asked, common: Common) -> str:
    said = common.instruction.strip() or shlex.join(common.run or ())
    if asked.manifest and asked.manifest != STDIN:
        said = Path(asked.manifest).name
    line = next(iter(said.splitlines()), "") or "items"
    return line if len(line) <= _TITLE_LENGTH else line[: _TITLE_LENGTH - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _refuse_mixed(asked: Asked) -> None:
    chosen = bool(asked.globs or asked.files)
    if asked.manifest and chosen:
        raise MoError("--manifest names the items already", "leave out --glob and --files", Exit.USAGE)
    if not asked.manifest and not chosen:
        hint = "--manifest FILE, --glob PATTERN or --files FILE says so"
        raise MoError("there is nothing to do it with: no items", hint, Exit.USAGE)


def _read_manifest(name: str, common: Common, cwd: Path) -> list[Numbered]:
    agents = [one for one in Providers(cwd) if one != COMMAND]
    data = _bytes(name, cwd)
    shown = "standard input" if name == STDIN else name
    return parse_manifest(data, shown, common, as_csv=name.lower().endswith(".csv"), providers=agents)


def _bytes(name: str, cwd: Path) -> bytes:
    if name == STDIN:
        return sys.stdin.buffer.read()
    try:
        return (cwd / Path(os.path.expanduser(name))).read_bytes()  # noqa: PTH111 - Path's raises for ~NAME
    except FileNotFoundError:
        raise MoError(f"no such file: {name}", "check its name", Exit.NOT_FOUND) from None
    except OSError as error:
        raise MoError(f"cannot read {name}: {error.strerror}", "check its permissions", Exit.USAGE) from None


def choose_files(
    asked: Asked, tree: Tree, layout: Layout, cwd: Path
) -> tuple[list[str], list[tuple[str, str]]]:
    """The files of --glob and --files, and what is left out of them with the reason."""
    changeable = set(tree.files())
    skipped: list[tuple[str, str]] = []
    found: list[str] = []
    if asked.globs:
        for path in matching(asked.globs, tree.entries()):
            if path in changeable:
                found.append(path)
            else:
                skipped.append((path, "is a symbolic link or a submodule"))
    seen = set(found)
    for path in _named(asked.files, layout, cwd):
        if path in seen:
            skipped.append((path, "is named twice"))
        else:
            seen.add(path)
            found.append(path)
    return found, skipped


def _named(files: Sequence[str], layout: Layout, cwd: Path) -> list[str]:
    """Names as typed in `cwd`, relative to the root."""
    names: list[str] = []
    for name in files:
        given = map(os.fsdecode, split_names(sys.stdin.buffer.read())) if name == STDIN else [name]
        names += given
    prefix = os.path.relpath(os.path.realpath(cwd), os.path.realpath(layout.here))
    return [
        name if name.startswith("/") else posixpath.normpath(posixpath.join(prefix, name)) for name in names
    ]


def warn_skipped(skipped: Sequence[tuple[str, str]], shown: int = 5) -> None:
    """Say on standard error what was left out."""
    for path, why in skipped[:shown]:
        click.echo(f"left out: {path} {why}", err=True)
    if len(skipped) > shown:
        click.echo(f"left out: {len(skipped) - shown} more", err=True)
