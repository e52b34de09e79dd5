"""`mo doctor`: what mo needs, checked one by one, each with its remedy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mo_git import __version__, trust
from mo_git.cli import Context
from mo_git.cli.client import find_daemon
from mo_git.cli.context import emit_json, json_option, open_home, say, use_color
from mo_git.cli.doctor_agents import Finding, agents, isolation
from mo_git.errors import Exit, MoError
from mo_git.git.binary import OLDEST, check_supported, discover, git_version
from mo_git.home import DIRECTORY, Home, state_dir
from mo_git.ledger import looking
from mo_git.text import count, one_line, paint, table

if TYPE_CHECKING:
    from mo_git.config import Config

_WATCHES_WANTED = 8192
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_watches")
_GIB = 2**30
_COLORS = {"ok": "32", "warn": "33", "fail": "31"}


@click.command(name="doctor")
@click.option("--offline", is_flag=True, help="Ask no agent for a proof of its login.")
@json_option
@click.pass_obj
def command(obj: Context, offline: bool) -> None:
    """Check git, the repository, the gate, the agents and the daemon.

    Each agent that has a key or a login is asked for one word, inside what tasks get, where mo is in use;
    this costs a few hundred tokens each, takes at most half a minute, and starts the daemon.

    Exit code 1 where something fails; warnings do not count.
    """
    findings = list(examine(obj, offline=offline))
    failed = any(finding.level == "fail" for finding in findings)
    if obj.json:
        emit_json({"v": 1, "ok": not failed, "checks": [asdict(finding) for finding in findings]})
    else:
        say(obj, "\n".join(_lines(findings, use_color(obj))))
    raise click.exceptions.Exit(Exit.FAILED if failed else Exit.OK)


def _lines(findings: list[Finding], color: bool) -> Iterator[str]:
    rows = table([[f"{found.level:<4}", found.name, one_line(found.message)] for found in findings])
    for found, row in zip(findings, rows):
        yield paint(row[:4], _COLORS[found.level], color) + row[4:]
        for line in found.remedy.splitlines():
            yield f"        {line}"


def examine(obj: Context, *, offline: bool) -> Iterator[Finding]:
    """All findings, in the order in which to mend them."""
    yield _attempt("git", _git)
    try:
        home = open_home(obj)
    except MoError as error:
        yield Finding("repository", "fail", error.message, error.hint)
        return
    yield _attempt("repository", lambda: _repository(obj))
    yield _attempt("home", lambda: _home(home))
    settings: list[Config] = []
    yield _attempt("config", lambda: _config(home, settings))
    yield _attempt("ledger", lambda: _ledger(home))
    yield _daemon(home)
    if settings:
        yield _attempt("gate", lambda: _gate(home, settings[0]))
        yield _attempt("isolation", lambda: isolation(home))
        yield from agents(home, dict(settings[0].roster), prove=not offline)
        yield _setup(settings[0])
        yield _disk(home, settings[0])
    if _INOTIFY.exists():
        yield _watches(int(_INOTIFY.read_text()))


def _attempt(name: str, check: Callable[[], Finding]) -> Finding:
    """A check that says by MoError what is wrong."""
    try:
        return check()
    except MoError as error:
        return Finding(name, "fail", error.message, error.hint)


def _git() -> Finding:
    version = git_version()
    text = ".".join(map(str, version))
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST[:2]))
        return Finding("git", "fail", f"git {text} is too old", f"install git {oldest} or newer")
    return Finding("git", "ok", f"git {text}, {shutil.which('git')}")


def _repository(obj: Context) -> Finding:
    layout = discover(obj.cwd)
    check_supported(layout)
    linked = f", seen from the worktree {layout.here}" if layout.is_linked else ""
    return Finding("repository", "ok", f"{layout.top}{linked}")


def _home(home: Home) -> Finding:
    if os.path.lexists(home.path) and not home.path.is_dir():
        return Finding("home", "fail", f"{home.path} is in the way", "rename it: mo needs the directory")
    if not home.exists():
        return Finding("home", "warn", f"no {DIRECTORY}/ yet", "mo init makes it, the first mo do too")
    exclude = home.common_dir / "info" / "exclude"
    lines = exclude.read_text(errors="surrogateescape").splitlines() if exclude.exists() else []
    if not {f"/{DIRECTORY}/", f"/{DIRECTORY}/*"} & set(lines):
        return Finding("home", "warn", f"{DIRECTORY}/ is not hidden from git", "mo init hides it again")
    return Finding("home", "ok", str(home.path))


def _config(home: Home, settings: list[Config]) -> Finding:
    from mo_git.config import load

    judge = trust.judge(home.common_dir, trust.tracked(home.top), environ=os.environ)
    loaded = load(home.path, environ=os.environ, trusted=judge)
    settings.append(loaded.config)
    if loaded.untrusted:
        left_out = (
            f"left out, since .mo/config.toml is tracked and not trusted: {', '.join(loaded.untrusted)}"
        )
        return Finding("config", "warn", left_out, "mo trust shows them and asks")
    files = ", ".join(str(file) for file in loaded.files)
    return Finding("config", "ok", files or "all defaults")


def _ledger(home: Home) -> Finding:
    reader = looking.open_reader(home.database)
    if reader is None:
        return Finding("ledger", "ok", "none yet, the first goal makes it")
    try:
        looking.refuse_newer(home.database)
        return Finding("ledger", "ok", f"{count(len(reader.goal_ids()), 'goal')}, {home.database}")
    finally:
        reader.close()


def _daemon(home: Home) -> Finding:
    info = find_daemon(home)
    if info is None:
        return Finding("daemon", "ok", "not running; mo do starts it when it is needed")
    said = f"pid {info.identity.pid}, mo {info.version}"
    if info.version != __version__:
        return Finding(
            "daemon", "warn", f"{said}; this is mo {__version__}", "mo daemon stop; mo daemon start"
        )
    return Finding("daemon", "ok", said)


def _gate(home: Home, settings: Config) -> Finding:
    command = settings.gate.command
    if command == "none":
        return Finding(
            "gate", "warn", "none: nothing tests what lands", "mo config set gate.command 'YOUR TESTS'"
        )
    where = _where(settings, settings.gate.sandbox, "gate.sandbox")
    if command:
        return Finding("gate", "ok", command + where)
    proof = _last_proof(home)
    if proof:
        said = f"{proof['command']} (found, and proved on {str(proof['commit'])[:7]})"
        return Finding("gate", "ok", said + where)
    return Finding("gate", "warn", "not set and not proved yet", "mo init finds and proves it")


def _where(settings: Config, inside: bool, key: str) -> str:
    """Said only of what runs without the sandbox because of a setting."""
    if settings.sandbox.mode == "off":
        return "; runs as you (sandbox.mode = off)"
    return "" if inside else f"; runs as you ({key} = false)"


def _last_proof(home: Home) -> dict[str, Any] | None:
    """What the newest goal with a proved gate found."""
    reader = looking.open_reader(home.database)
    if reader is None:
        return None
    try:
        for goal_id in reversed(reader.goal_ids()):
            if (proof := reader.goal(goal_id).proof) and proof.get("command"):
                return dict(proof)
    finally:
        reader.close()
    return None


def _setup(settings: Config) -> Finding:
    commands = settings.workspace.setup
    if not commands:
        return Finding("set-up", "ok", "none: fresh worktrees are used as git makes them")
    where = _where(settings, settings.workspace.setup_sandbox, "workspace.setup_sandbox")
    return Finding("set-up", "ok", "; ".join(str(command) for command in commands) + where)


def _disk(home: Home, settings: Config) -> Finding:
    where = state_dir(home.common_dir, os.environ, settings.workspace.root_dir)
    there = next(path for path in (where, *where.parents) if path.exists())
    free = shutil.disk_usage(there).free / _GIB
    least = settings.orchestrator.min_free_disk_gb
    said = f"{free:.1f} GB free for worktrees in {where}"
    if free < least:
        return Finding("disk", "fail", said, f"free some: below {least:g} GB nothing is started; see mo gc")
    return Finding("disk", "warn" if free < 2 * least else "ok", said)


def _watches(limit: int) -> Finding:
    if limit >= _WATCHES_WANTED:
        return Finding("watches", "ok", f"inotify: {limit} a user")
    remedy = f"sudo sysctl fs.inotify.max_user_watches={_WATCHES_WANTED * 8}"
    return Finding("watches", "warn", f"inotify: only {limit} a user; changes may be seen late", remedy)
