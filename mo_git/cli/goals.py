"""From what a person typed to a goal that the daemon can take: read the plan, pin the base, queue it."""

from __future__ import annotations

import os
import re
import time
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from mo_git import trust
from mo_git.cli.client import ensure_daemon, raise_if_refused, send, settle
from mo_git.cli.context import load_settings
from mo_git.config_layers import from_environment
from mo_git.errors import Exit, MoError
from mo_git.git import binary
from mo_git.home import DIRECTORY, Home, write_atomically
from mo_git.ledger.records import goal_to_data
from mo_git.model import ALL_RED, PROVIDERS, GoalSpec, Phase, Plan, TaskSpec
from mo_git.plan import parse_goal_file, parse_plan, plan_from_data, plan_to_toml
from mo_git.plan_read import PLAN_READERS
from mo_git.tomltext import toml_line
from mo_git.values import nearest, printable

SLUG_LENGTH = 32
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_TITLE_LENGTH = 72
_OUTCOME_SECONDS = 30.0
_FENCE = "+++"
COMMAND = "command"  # the provider of tasks with a run; never asked for by name
_HINT_FILE = "the path after @ is that of a plan (.toml, .json) or of a goal file (.md)"


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be done, as read: a plan, and what a goal file says about the goal itself.

    A goal in words is not planned yet: its plan has no tasks.
    """

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
    provider: str = ""
    phase_providers: Mapping[str, str] = field(default_factory=dict)
    budget_usd: float | None = None
    documents: Mapping[str, str] = field(default_factory=dict)
    approve: bool = False
    ask: bool = False  # questions by the planner


class Providers(Collection[str]):
    """What may do a task: the settings are read only where a name is not one that every repository has."""

    def __init__(self, cwd: Path) -> None:
        self._cwd = cwd

    @cached_property
    def _all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*PROVIDERS, *load_settings(self._cwd).config.roster)))

    def __contains__(self, name: object) -> bool:
        return name in PROVIDERS or name in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def check(self, name: str) -> str:
        """A provider of --provider and --phase-provider; MoError (usage) for what is none."""
        if name == COMMAND or name not in self:
            agents = [known for known in self if known != COMMAND]
            known = f"providers: {', '.join(agents)}"
            raise MoError(f'no provider "{printable(name)}"{nearest(name, agents)}', known, Exit.USAGE)
        return name


# -- reading ------------------------------------------------------------------------------------------


def read_source(goal: str, cwd: Path) -> Source:
    """The goal of the command line: its text, or @FILE (.toml, .json: a plan; .md: a goal file).

    MoError for a file that cannot be read or is no plan.
    """
    if not goal.startswith("@"):
        if not goal.strip():
            raise MoError("the goal is empty", 'say what to do: mo do "..."', Exit.USAGE)
        title = _title(goal)
        return Source(title, goal, Plan(title, ()), {}, Path())
    if not goal[1:]:
        raise MoError("there is no file name after @", _HINT_FILE, Exit.USAGE)
    path = cwd / os.path.expanduser(goal[1:])  # noqa: PTH111 - Path's raises for an unknown ~NAME
    text = _read(path, goal[1:])
    if path.suffix == ".md":
        found = parse_goal_file(text, goal[1:], providers=Providers(cwd))
        meta, body, plan = found.meta, found.text, found.plan
    else:
        plan, meta = parse_plan(text, goal[1:], providers=Providers(cwd)), {}
        body = plan.goal
    title = str(meta.get("title") or _title(body) or path.stem)
    return Source(title, body, plan or _unplanned(title, body, meta), meta, path)


def _title(text: str) -> str:
    line = next((line.strip("# ") for line in text.splitlines() if line.strip("# ")), "")
    return (
        line
        if len(line) <= _TITLE_LENGTH
        else line[: _TITLE_LENGTH - 1].rsplit(" ", 1)[0] + "\N{HORIZONTAL ELLIPSIS}"
    )


def _unplanned(title: str, text: str, meta: Mapping[str, Any]) -> Plan:
    """What a goal file without tasks says about its plan."""
    if not text.strip():
        raise MoError("the goal file says nothing", "write below the front matter what to do", Exit.USAGE)
    known = {key: meta[key] for key in PLAN_READERS if key in meta and key != "goal"}
    return plan_from_data({"goal": title, **known}, "the goal file", may_be_empty=True)


def as_one_task(source: Source) -> Source:
    """--single: a goal in words is done by one agent, without planning."""
    if source.plan.tasks:
        return source
    task = TaskSpec("task", source.title, source.text.strip())
    return replace(source, plan=replace(source.plan, tasks=(task,)))


def with_limits(
    source: Source, iterations: int | None, max_hours: float | None, fixes: Sequence[str]
) -> Source:
    """--iterations, --max-hours and --fixes beat what the plan says."""
    if ALL_RED in fixes and len(fixes) > 1:
        raise MoError(f"--fixes {ALL_RED} stands alone", "name tests, or say all-red", Exit.USAGE)
    given: dict[str, Any] = {"iterations": iterations, "max_hours": max_hours}
    given["fixes"] = (ALL_RED if ALL_RED in fixes else tuple(fixes)) or None
    known = {name: value for name, value in given.items() if value is not None}
    return replace(source, plan=replace(source.plan, **known))


def read_documents(paths: Sequence[str], cwd: Path) -> dict[str, str]:
    """The texts of --doc, by the names they were given under."""
    return {name: _read(cwd / name, name) for name in paths}


def phase_providers(pairs: Sequence[str], providers: Providers) -> dict[str, str]:
    """--phase-provider PHASE=PROVIDER."""
    found = {}
    for pair in pairs:
        phase, equals, provider = pair.partition("=")
        if not equals or phase not in list(Phase) or not provider:
            known = ", ".join(Phase)
            raise MoError(f"--phase-provider {pair}: not PHASE=PROVIDER", f"phases: {known}", Exit.USAGE)
        found[phase] = providers.check(provider)
    return found


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
    check_branches(git, source.plan, base)
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
        provider="" if options.provider == "auto" else options.provider,
        phase_providers=options.phase_providers,
        budget_usd=options.budget_usd,
        documents=options.documents,
        environment={
            "PATH": os.environ.get("PATH", ""),
            "VIRTUAL_ENV": os.environ.get("VIRTUAL_ENV", ""),
        },
        text=source.text.strip(),
        wants_plan=not source.plan.tasks,
        approve=options.approve,
        ask=options.ask,
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


def check_branches(git: binary.Git, plan: Plan, base: str) -> None:
    """MoError (usage) where a `from` names nothing, or something without a common history with the base."""
    for task in plan.tasks:
        if task.from_ref:
            commit = binary.resolve(git, task.from_ref)
            if git("merge-base", base, commit, check=False).code:
                raise MoError(
                    f"{printable(task.from_ref)} has no common history with {base[:10]}",
                    "name a branch that was made from this project",
                    Exit.USAGE,
                )


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
        load_settings(home.top)  # a daemon that runs does not see the variables of who asks it
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
