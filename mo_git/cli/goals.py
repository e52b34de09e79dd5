"""From what a person typed to a goal that the daemon can take: read the plan, pin the base, queue it."""

from __future__ import annotations

import os
import re
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from mo_git import trust
from mo_git.cli.client import ensure_daemon, raise_if_refused, send, settle
from mo_git.config_layers import from_environment
from mo_git.errors import Exit, MoError
from mo_git.git import binary
from mo_git.home import DIRECTORY, Home, write_atomically
from mo_git.ledger.records import goal_to_data
from mo_git.model import GoalSpec, Plan
from mo_git.plan import parse_goal_file, parse_plan, plan_to_toml
from mo_git.tomltext import toml_line

SLUG_LENGTH = 32
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_PROVIDERS = ("auto", "command")  # those that this version can start
_AGENTS = ("claude", "codex")
_OUTCOME_SECONDS = 30.0
_FENCE = "+++"
_HINT_FILE = "the path after @ is that of a plan (.toml, .json) or of a goal file (.md)"
_HINT_NO_AGENT = (
    "give it a plan of commands: mo do @plan.toml (docs/plans.md tells how); mo demo shows one at work"
)


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be done, as read: a plan, and what a goal file says about the goal itself."""

    title: str
    text: str
    plan: Plan
    meta: Mapping[str, Any]
    path: Path


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `mo do`; None or empty: not given."""

    base: str = ""
    parallel: int | None = None
    deliver: str = ""
    gate: str | None = None
    depends_on: str = ""  # a full goal id
    include_dirty: bool = False


# -- reading ------------------------------------------------------------------------------------------


def read_source(goal: str, cwd: Path, provider: str = "auto") -> Source:
    """The goal of the command line: @FILE (.toml, .json: a plan; .md: a goal file).

    MoError: usage for a bad plan, not_found for a missing file, agent for work that needs a coding agent.
    """
    if provider not in _PROVIDERS:
        raise _no_provider(provider)
    if not goal.startswith("@"):
        raise MoError(
            "a goal in words needs a coding agent, and this version of mo can start none",
            _HINT_NO_AGENT,
            Exit.AGENT,
        )
    if not goal[1:]:
        raise MoError("there is no file name after @", _HINT_FILE, Exit.USAGE)
    path = cwd / os.path.expanduser(goal[1:])  # noqa: PTH111 - Path's raises for an unknown ~NAME
    text = _read(path, goal[1:])
    if path.suffix == ".md":
        found = parse_goal_file(text, goal[1:])
        if found.plan is None:
            raise MoError(
                f"{goal[1:]} has no tasks; to plan them needs a coding agent, and this version of mo can "
                "start none",
                _HINT_NO_AGENT,
                Exit.AGENT,
            )
        plan, meta, body = found.plan, found.meta, found.text
    else:
        plan, meta = parse_plan(text, goal[1:]), {}
        body = plan.goal
    first_line = next((line.strip("# ") for line in body.splitlines() if line.strip("# ")), "")
    title = str(meta.get("title") or first_line or path.stem)
    return Source(title, body, _assigned(plan, provider), meta, path)


def refuse_untrusted(source: Source, layout: binary.Layout) -> None:
    """A plan that came with the clone, in a `.mo/`, runs only when it is trusted; MoError (config).

    A tracked `.mo/` is in every worktree; the trust is that of the file by its name and content.
    """
    names = {os.path.normpath(source.path), os.path.realpath(source.path)}
    folders = {layout.top / DIRECTORY, layout.here / DIRECTORY}
    inside = [Path(n).relative_to(f).as_posix() for n in names for f in folders if Path(n).is_relative_to(f)]
    if not inside:
        return
    judge = trust.judge(layout.common_dir, trust.tracked(layout.top), environ=os.environ)
    for relative in inside:
        if not judge(relative, source.path.read_bytes()):
            raise MoError(
                f"{DIRECTORY}/{relative} came with the repository and is not trusted",
                f"read it, then: mo trust {relative}",
                Exit.CONFIG,
            )


def _read(path: Path, shown: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MoError(f"no such file: {shown}", _HINT_FILE, Exit.NOT_FOUND) from None
    except PermissionError as error:
        raise MoError(f"cannot read {shown}: {error.strerror}", f"chmod u+r {shown}", Exit.USAGE) from None
    except OSError as error:
        raise MoError(f"cannot read {shown}: {error.strerror}", _HINT_FILE, Exit.USAGE) from None
    except UnicodeDecodeError:
        raise MoError(f"{shown} is not text in UTF-8", "save it as UTF-8", Exit.USAGE) from None


def _no_provider(name: str) -> MoError:
    if name in _AGENTS:
        return MoError(
            f"this version of mo cannot start {name} yet, only commands", _HINT_NO_AGENT, Exit.AGENT
        )
    return MoError(f'no provider "{name}"', f"known here: {', '.join(_PROVIDERS)}", Exit.USAGE)


def _assigned(plan: Plan, provider: str) -> Plan:
    """The plan with `provider` for tasks that name none; all tasks must be commands."""
    needy = [task.id for task in plan.tasks if task.run is None or task.provider not in _PROVIDERS]
    if needy:
        shown = ", ".join(needy[:5]) + (", ..." if len(needy) > 5 else "")
        raise MoError(
            f"{len(needy)} of {len(plan.tasks)} tasks need a coding agent, and this version of mo can start "
            f"none: {shown}",
            _HINT_NO_AGENT,
            Exit.AGENT,
        )
    tasks = (replace(task, provider=provider) if task.provider == "auto" else task for task in plan.tasks)
    return replace(plan, tasks=tuple(tasks))


# -- the repository -----------------------------------------------------------------------------------


def find_repository(cwd: Path) -> tuple[binary.Layout, Home]:
    """The repository that `cwd` is in; one that mo cannot work with is refused."""
    layout = binary.discover(cwd)
    binary.check_supported(layout)
    return layout, Home(layout.top, layout.common_dir)


def make_goal(source: Source, options: Options, layout: binary.Layout) -> GoalSpec:
    """Pin base and target and give the goal its id; says on stderr what is left out of the base."""
    git = binary.Git(layout.here)
    base, target = _pin(git, source, options)
    if operation := binary.operation_in_progress(layout):
        click.echo(f"warning: a {operation} is in progress here; the goal starts from {base[:10]}", err=True)
    meta = source.meta
    return GoalSpec(
        id=goal_id(str(meta.get("id") or source.title)),
        title=source.title,
        plan=source.plan,
        created_at=time.time(),
        base=base,
        target=target,
        deliver=options.deliver or str(meta.get("deliver", "branch")),
        gate=options.gate if options.gate is not None else meta.get("gate"),
        parallel=options.parallel or meta.get("parallel"),
        depends_on=options.depends_on or str(meta.get("depends_on", "")),
        environment={
            "PATH": os.environ.get("PATH", ""),
            "VIRTUAL_ENV": os.environ.get("VIRTUAL_ENV", ""),
        },
    )


def _pin(git: binary.Git, source: Source, options: Options) -> tuple[str, str]:
    """(base commit, target branch) of a new goal."""
    branch = binary.head_branch(git) or ""
    wanted = options.base or str(source.meta.get("base", ""))
    target = str(source.meta.get("target", "")) or branch
    if not (branch or wanted):
        raise MoError(
            "HEAD is detached: there is no branch to land on",
            "git switch -c NAME makes one; or say where to start: --base REV",
            Exit.USAGE,
        )
    if target != branch:
        binary.resolve(git, f"refs/heads/{target}")
    if options.include_dirty:
        if wanted:
            message = "--include-dirty builds on HEAD, it cannot be used with another base"
            raise MoError(message, "leave out one of them", Exit.USAGE)
        return binary.dirty_commit(git, "Uncommitted changes, as the base of a goal"), target
    if binary.is_dirty(git):
        click.echo(
            "note: uncommitted changes are not in the goal's base (--include-dirty puts them in)", err=True
        )
    return binary.resolve(git, wanted or "HEAD"), target


def goal_id(title: str) -> str:
    """A new id: words of the title, at most 32 characters of [a-z0-9-], and four random ones."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain.replace("'", ""))
    slug = ""
    for word in words:
        longer = f"{slug}-{word}" if slug else word[:SLUG_LENGTH]
        if len(longer) > SLUG_LENGTH:
            break
        slug = longer
    suffix = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in os.urandom(4))
    return f"{slug or 'goal'}-{suffix}"


# -- queueing -----------------------------------------------------------------------------------------


def check_settings(home: Home) -> None:
    """Refuse settings that cannot be used, before anything is made; MoError (config).

    A daemon checks what it reads itself; it does not see the variables of who asks it.
    """
    from mo_git.config import load

    judge = trust.judge(home.common_dir, trust.tracked(home.top), environ=os.environ)
    load(home.path, environ=os.environ, trusted=judge)


def goal_file_text(spec: GoalSpec, text: str) -> str:
    """The goal as a file that `mo do @FILE` reads again, under a new id then."""
    meta = {
        "title": spec.title,
        "base": spec.base,
        "target": spec.target,
        "deliver": spec.deliver,
        "gate": spec.gate,
        "parallel": spec.parallel,
        "depends_on": spec.depends_on,
    }
    front = "\n".join(toml_line(key, value) for key, value in meta.items() if value not in (None, ""))
    return f"{_FENCE}\n{front}\n{plan_to_toml(spec.plan)}{_FENCE}\n\n{text.strip() or spec.title}\n"


def queue(home: Home, spec: GoalSpec, text: str) -> None:
    """Hand a goal to the daemon (started if need be) and wait until it took it; a refusal raises."""
    if not home.exists() or from_environment(os.environ).variables:
        check_settings(home)
    home.create()
    ensure_daemon(home)
    file = home.path / "goals" / f"{spec.id}.md"
    write_atomically(file, goal_file_text(spec, text), 0o644)
    name = send(home, "do", {"goal": goal_to_data(spec)})
    try:
        outcome = settle(home, name, _OUTCOME_SECONDS)
    except KeyboardInterrupt:
        click.echo(f"goal {spec.id} is queued (mo cancel {spec.id})", err=True)
        raise
    if outcome is None:
        raise MoError(
            f"the daemon did not take goal {spec.id} within {_OUTCOME_SECONDS:g} s; it stays queued",
            f"look at {home.log_file}; mo daemon stop and mo daemon start help a daemon that hangs",
            Exit.DAEMON,
        )
    if not outcome["ok"]:
        file.unlink(missing_ok=True)
    raise_if_refused(outcome)
