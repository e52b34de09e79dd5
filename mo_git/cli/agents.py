"""`mo agents`: who could do the work here, and whether it really can."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mo_git import locate, logins, process
from mo_git.cli import Context
from mo_git.cli.client import ensure_daemon, raise_if_refused, send, settle
from mo_git.cli.context import emit_json, json_option, load_settings, say, use_color
from mo_git.cli.goals import find_repository
from mo_git.errors import Exit, MoError
from mo_git.logins import Login
from mo_git.model import agent_section
from mo_git.text import money, one_line, paint, printable, table

if TYPE_CHECKING:
    from mo_git.config_agents import AgentEntry

REMEDY = (
    'put claude or codex on PATH, or: pip install "mo-git[agents]"\n'
    "plans of commands (mo do @plan.toml) and mo demo work without one"
)
# class of a failed proof -> what a person does about it
_REMEDIES = {
    "auth": "log in: mo agents login {name}, or set {key} in the environment",
    "no_credit": "the account has no credit left: add some at the provider",
    "bad_model": "mo config set {section}.default_model MODEL names another model",
    "bad_config": "see the settings of {name}: mo config list",
}
PROOF_SECONDS = 120.0


@click.group(name="agents")
def command() -> None:
    """Show the agents found here, log in, and prove that one works.

    An agent is a program that does a task which is written in words: claude, codex, or what the settings
    declare as [agents.NAME].
    """


@command.command(name="list")
@json_option
@click.pass_obj
def list_agents(obj: Context) -> None:
    """Show each agent: where its program is, its version, model and mode.

    Exit code 4 where none is usable.  Nothing is sent to a provider; mo agents test does that.
    """
    agents = _ask(obj, {})["agents"]
    usable = any(agent["usable"] for agent in agents)
    if obj.json and usable:
        emit_json({"v": 1, "agents": agents})
    elif usable:
        say(obj, "\n".join(_lines(agents, use_color(obj))))
    else:
        reasons = "; ".join(agent["why_not"].partition(";")[0] for agent in agents)
        raise MoError(f"no agent is usable: {reasons}", REMEDY, Exit.AGENT)


@command.command(name="test")
@click.argument("name")
@json_option
@click.pass_obj
def prove_agent(obj: Context, name: str) -> None:
    """Ask agent NAME for one word, with the login that tasks would use.

    This costs a few hundred tokens.  Exit code 4 where it does not answer, with the class of the failure.
    """
    proof = _ask(obj, {"test": name, "seconds": PROOF_SECONDS})["proof"]
    if not proof["works"]:
        message = f"{name} does not work: {one_line(proof['reason'])} ({proof['class']})"
        raise MoError(message, remedy_of(proof, load_settings(obj.cwd).config.roster[name].kind), Exit.AGENT)
    if obj.json:
        emit_json({"v": 1, **proof})
    else:
        said = one_line(proof["said"]) or "it answered"
        say(obj, f"{name} works: {said} ({proof['seconds']} s, {paid(proof)})")


def paid(proof: Mapping[str, Any]) -> str:
    """What a proof cost."""
    return money(proof["usage"]["cost_usd"], estimated=proof["usage"]["estimated"])


def remedy_of(proof: Mapping[str, Any], kind: str) -> str:
    """What a person does about a failed proof."""
    name = proof["agent"]
    login = logins.LOGINS.get(kind)
    return _REMEDIES.get(proof["class"], "what it said is in {files}").format(
        name=name,
        section=agent_section(name),
        key=login.keys[0] if login else "its key",
        files=proof["files"],
    )


@command.command()
@click.argument("name")
@click.option("--token", is_flag=True, help="Keep a token that is read from standard input.")
@click.pass_obj
def login(obj: Context, name: str, token: bool) -> None:
    """Log agent NAME in, for mo alone.

    Runs the program's own login, with a directory that mo keeps for this agent; tasks then use that one.
    With --token, a token that the program made for such uses (claude setup-token) is kept instead, and only
    this agent gets it.  A key in the environment goes first, except for an [agents.NAME].
    """
    entry, found = _login_of(obj, name)
    if found is None:
        say(obj, f"{name} has nothing to log in: name its key in {agent_section(name)}.env_pass")
        return
    if token:
        if not found.token:
            raise MoError(f"{name} takes no token", f"mo agents login {name}", Exit.USAGE)
        kept = logins.store_token(name, _read_token(obj), os.environ)
    else:
        kept = _log_in(name, entry, found, obj.cwd)
    say(obj, f"the login of {name} is in {kept}; mo agents test {name} proves it")
    if entry.kind == name and (key := next((key for key in found.keys if os.environ.get(key)), "")):
        click.echo(f"note: {key} is set here; a daemon that sees it uses that first", err=True)


@command.command()
@click.argument("name")
@click.pass_obj
def logout(obj: Context, name: str) -> None:
    """Remove the login that mo keeps for agent NAME.

    Logins that the program keeps itself, and a configured config_dir, stay as they are.
    """
    _login_of(obj, name)
    gone = logins.forget(name, os.environ)
    say(obj, f"the login of {name} is removed" if gone else f"mo keeps no login of {name}")


def _login_of(obj: Context, name: str) -> tuple[AgentEntry, Login | None]:
    """The settings of an agent, and how its kind logs in."""
    roster = load_settings(obj.cwd).config.roster
    if name not in roster:
        raise MoError(f"no agent {name!r}", f"agents: {', '.join(roster)}", Exit.USAGE)
    return roster[name], logins.LOGINS.get(roster[name].kind)


def _read_token(obj: Context) -> str:
    if sys.stdin.isatty() and not obj.no_input:
        return str(click.prompt("token", hide_input=True, err=True)).strip()
    return sys.stdin.readline().strip()


def _log_in(name: str, entry: AgentEntry, how: Login, cwd: Path) -> Path:
    """Run the CLI's own login; the directory that holds it then."""
    program, _ = locate.program(entry.kind, entry.command, os.environ)
    directory = logins.login_directory(name, entry.config_dir, os.environ)
    logins.make_directory(directory)
    env = {key: value for key, value in os.environ.items() if key not in how.keys}
    try:
        code = process.call([str(program), *how.words], cwd=cwd, env={**env, how.variable: str(directory)})
    except OSError as error:
        raise MoError(f"cannot run {program}: {error.strerror}", "install it again", Exit.AGENT) from None
    if code or not (directory / how.file).is_file():
        why = f"it ended with exit code {code}" if code else f"there is no {directory / how.file}"
        raise MoError(f"{name} is not logged in: {why}", f"mo agents login {name} again", Exit.AGENT)
    return directory


def _ask(obj: Context, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The daemon's answer: it is the one that starts agents, so its view counts."""
    _, home = find_repository(obj.cwd)
    home.create()
    ensure_daemon(home)
    outcome = settle(home, send(home, "agents", payload), None)
    assert outcome is not None, "without a limit there is an outcome"
    raise_if_refused(outcome)
    return outcome


def _lines(agents: list[Mapping[str, Any]], color: bool) -> list[str]:
    rows = []
    for agent in agents:
        if agent["usable"]:
            about = [agent["version"], f"{agent['path']} ({agent['source']})"]
            about += [f"model {agent['model'] or 'its own default'}", agent["mode"]]
            about += [f"credentials: {agent['credentials']}"] if agent["kind"] in logins.LOGINS else []
        else:
            about = [one_line(agent["why_not"], 200)]
        rows.append([agent["name"], "usable" if agent["usable"] else "no", ", ".join(filter(None, about))])
    lines = table(rows)
    return [
        line.replace("usable", paint("usable", "32", color), 1) if agent["usable"] else printable(line)
        for line, agent in zip(lines, agents)
    ]
