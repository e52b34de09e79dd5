"""`mo demo`: the example project, a plan of commands, a real gate, all in a scratch directory."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from mo_git import logins, resources, views
from mo_git.cli import Context, follow
from mo_git.cli.client import find_daemon, stop_daemon
from mo_git.cli.context import emit_json, json_option, say, use_color
from mo_git.cli.goals import Options, find_repository, make_goal, queue, read_source
from mo_git.errors import Exit, MoError
from mo_git.git.binary import IDENTITY, Git
from mo_git.goal_status import GoalStatus
from mo_git.home import Home, read_json
from mo_git.model import TaskState
from mo_git.text import printable

_BRANCH = "main"
_TAIL_LINES = 6
_XDG = {"XDG_STATE_HOME": "state", "XDG_CONFIG_HOME": "config", "XDG_CACHE_HOME": "cache"}


@dataclass(frozen=True, slots=True)
class Result:
    """What the demo showed."""

    landed: tuple[str, ...]
    ejected: tuple[str, ...]
    redone: tuple[str, ...]
    as_expected: bool


@click.command(name="demo")
@click.option("--keep", "directory", type=click.Path(path_type=Path), metavar="DIR", help="Make it in DIR.")
@click.option("--quiet", is_flag=True, help="Show only how it ended.")
@click.option(
    "--agent", type=click.Choice(["claude", "codex"]), help="Three tasks for this real agent instead."
)
@json_option
@click.pass_obj
def command(obj: Context, directory: Path | None, quiet: bool, agent: str | None) -> None:
    """See it work: a scratch repository, a plan of tasks, a real gate.

    Nine small scripts stand in for coding agents.  Two of them want the same line, one fails twice, and two
    are fine alone and red together.  Nothing outside the scratch directory is touched; no network is used.

    With --agent the real program does three small tasks in words, with your login and at your cost.
    """
    obj = replace(obj, quiet=obj.quiet or quiet, no_input=True)
    scratch = _scratch(obj.cwd, directory)
    with _private_state(scratch, agent or ""):
        repository, start = _make_repository(scratch / "shop")
        home = Home(repository, repository / ".git")
        try:
            status = _run(replace(obj, cwd=repository), home, agent or "")
        finally:
            if info := find_daemon(home):
                stop_daemon(info)
        result = judge(status, expected_of(status, agent or ""))
        _show(obj, repository, start, status, result)
    raise click.exceptions.Exit(Exit.OK if result.as_expected else Exit.FAILED)


@contextmanager
def _private_state(scratch: Path, agent: str) -> Iterator[None]:
    """While it lasts, mo's state, caches and user settings are those of the scratch directory.

    An agent keeps the user's settings and logins.
    """
    before = {name: os.environ.get(name) for name in _XDG}
    known = logins.root(os.environ)
    os.environ.update({name: str(scratch / folder) for name, folder in _XDG.items()})
    if agent:
        _restore({"XDG_CONFIG_HOME": before["XDG_CONFIG_HOME"]})
        here = logins.root(os.environ)
        here.parent.mkdir(parents=True, exist_ok=True)
        here.symlink_to(known)
    try:
        yield
    finally:
        _restore(before)


def _restore(environ: Mapping[str, str | None]) -> None:
    for name, value in environ.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _scratch(cwd: Path, directory: Path | None) -> Path:
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="mo-demo-"))
    chosen = cwd / directory
    if chosen.exists() and not (chosen.is_dir() and not any(chosen.iterdir())):
        raise MoError(f"{directory} is in the way", "name a new or an empty directory", Exit.USAGE)
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen


def _make_repository(top: Path) -> tuple[Path, str]:
    """The example project as a repository of one commit; (its root, the commit)."""
    shutil.copytree(
        resources.path("example") / "project", top, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
    )
    name, email = IDENTITY
    git = Git(top, config=(f"user.name={name}", f"user.email={email}", "commit.gpgSign=false"))
    git("init", "-q", "-b", _BRANCH, "--template=")
    git("add", "-A")
    git("commit", "-q", "-m", "The shop before the sale")
    return Path(os.path.realpath(top)), git.text("rev-parse", "HEAD")


def _run(obj: Context, home: Home, agent: str) -> GoalStatus:
    """Queue one of the example's plans as `mo do` would and follow it to its end."""
    example = resources.path("example")
    home.create()
    shutil.copyfile(example / "config.toml", home.path / "local.toml")
    layout, _ = find_repository(obj.cwd)
    plan = example / "plans" / ("agent.toml" if agent else "demo.toml")
    source = read_source(f"@{plan}", obj.cwd)
    spec = make_goal(source, Options(provider=agent), layout)
    if not (obj.json or obj.quiet):
        click.echo(f"a shop in {home.top}, and {len(spec.plan.tasks)} tasks for it:\n")
        say(obj, views.graph_text(spec.plan, use_color(obj)))
    queue(home, spec, source.text)
    try:
        return follow.follow(home, spec.id, obj)
    except follow.Detached:
        click.echo(f"stopped; what there is lies in {home.top}", err=True)
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None


def judge(status: GoalStatus, expected: Mapping[str, list[str]] | None) -> Result:
    """What landed, what did not, and whether that is what the example is made to show."""
    landed, ejected = (
        tuple(name for name, task in status.tasks.items() if task.state is state)
        for state in (TaskState.LANDED, TaskState.EJECTED)
    )
    redone = tuple(name for name in landed if len(status.tasks[name].attempts) > 1)
    return Result(landed, ejected, redone, _as_expected(landed, ejected, expected))


def expected_of(status: GoalStatus, agent: str) -> Mapping[str, list[str]] | None:
    """From an agent: that all lands."""
    if agent:
        return {"landed": list(status.tasks), "ejected": []}
    return read_json(resources.path("example") / "plans" / "expected.json")


def _as_expected(
    landed: tuple[str, ...], ejected: tuple[str, ...], expected: Mapping[str, list[str]] | None
) -> bool:
    if expected is None:
        return bool(landed and ejected)
    return set(landed) == set(expected["landed"]) and set(ejected) == set(expected["ejected"])


def _show(obj: Context, repository: Path, start: str, status: GoalStatus, result: Result) -> None:
    git = Git(repository)
    tip = git.text("rev-parse", _BRANCH)
    if obj.json:
        document = {"v": 1, "event": "demo_ended", "directory": str(repository), "goal": status.id}
        document |= {"landed": result.landed, "ejected": result.ejected, "redone": result.redone}
        emit_json({**document, "branch_moved": tip != start, "as_expected": result.as_expected})
        return
    if not obj.quiet:
        say(obj, "\n" + views.graph_text(status, use_color(obj)))
        for line in _story(status, result):
            click.echo(line)
        click.echo("\nThe integration branch; each landing on it passed the tests:\n")
        click.echo(git.text("log", "--graph", "--oneline", f"mo/{status.id}/integration"))
    moved = "MOVED" if tip != start else "did not move"
    click.echo(f"\n{_BRANCH} {moved}: {git.text('log', '-1', '--oneline', _BRANCH)}")
    if not result.as_expected and any(task.spec.prompt for task in status.tasks.values()):
        click.echo(f"not all landed: mo -C {shlex.quote(str(repository))} show {status.id}", err=True)
    elif not result.as_expected:
        click.echo("this is not how the demo should end; please report it with the log: mo logs", err=True)
    click.echo(f"It is all in {repository}. Try next:")
    for verb in (f"show {status.id}", f"land {status.id}", "status"):
        click.echo(f"  mo -C {shlex.quote(str(repository))} {verb}")


def _story(status: GoalStatus, result: Result) -> list[str]:
    """What happened to the tasks that did not simply land."""
    lines = [f"\n{len(result.landed)} of {len(status.tasks)} tasks landed."]
    for name in result.redone:
        reasons = [attempt.reason for attempt in status.tasks[name].attempts[:-1] if attempt.reason]
        reasons += ["conflict in " + ", ".join(c["paths"]) for c in status.conflicts if c["task"] == name]
        lines.append(f"{name} was done again: {'; '.join(dict.fromkeys(reasons))}")
    for ejection in status.ejections:
        lines.append(f"{ejection['task']} was ejected: {ejection['why']}")
        lines += [f"  {line}" for line in evidence_lines(ejection.get("evidence") or {})]
    return lines


def evidence_lines(evidence: Mapping[str, Any]) -> list[str]:
    """What the gate said about an ejected task: failing tests, the end of its output, its log."""
    lines = [f"failing: {name}" for name in evidence.get("failed_ids", ())]
    said = [line for line in printable(str(evidence.get("log_tail", ""))).splitlines() if line.strip()]
    lines += [f"| {line}" for line in said[-_TAIL_LINES:]]
    return lines + ([f"log: {evidence['log']}"] if evidence.get("log") else [])
