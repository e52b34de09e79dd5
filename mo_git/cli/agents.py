"""`mo agents`: who could do the work here, and whether it really can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from mo_git.cli import Context
from mo_git.cli.client import ensure_daemon, raise_if_refused, send, settle
from mo_git.cli.context import emit_json, json_option, say, use_color
from mo_git.cli.goals import find_repository
from mo_git.errors import Exit, MoError
from mo_git.text import one_line, paint, printable, table
from mo_git.views.cost import money

REMEDY = (
    'put claude or codex on PATH, or: pip install "mo-git[agents]"\n'
    "plans of commands (mo do @plan.toml) and mo demo work without one"
)
# class of a failed proof -> what a person does about it
_REMEDIES = {
    "auth": "log in: set {key} in the environment, or run {name} by hand once and log in there",
    "no_credit": "the account has no credit left: add some at the provider",
    "bad_model": "mo config set {name}.default_model MODEL names another model",
    "bad_config": "see the settings of {name}: mo config list {name}",
}
_KEYS = {"claude": "ANTHROPIC_API_KEY", "codex": "CODEX_API_KEY"}


@click.group(name="agents")
def command() -> None:
    """Show the agents found here, and prove that one works.

    An agent is a program that does a task which is written in words: claude or codex.
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
    proof = _ask(obj, {"test": name})["proof"]
    if proof["works"]:
        if obj.json:
            emit_json({"v": 1, **proof})
            return
        usage = proof["usage"]
        paid = money(usage["cost_usd"], estimated=usage["estimated"])
        say(obj, f"{name} works: {one_line(proof['said']) or 'it answered'} ({proof['seconds']} s, {paid})")
        return
    hint = _REMEDIES.get(proof["class"], "what it said is in {files}").format(
        name=name, key=_KEYS.get(name, "its key"), files=proof["files"]
    )
    raise MoError(f"{name} does not work: {one_line(proof['reason'])} ({proof['class']})", hint, Exit.AGENT)


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
        else:
            about = [one_line(agent["why_not"], 200)]
        rows.append([agent["name"], "usable" if agent["usable"] else "no", ", ".join(filter(None, about))])
    lines = table(rows)
    return [
        line.replace("usable", paint("usable", "32", color), 1) if agent["usable"] else printable(line)
        for line, agent in zip(lines, agents)
    ]
