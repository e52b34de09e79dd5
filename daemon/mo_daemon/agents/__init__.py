"""Adapters of the programs that do a task: one small file each, behind a Protocol and a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mo_daemon.agents.claude import ClaudeAgent
from mo_daemon.agents.codex import CodexAgent
from mo_daemon.agents.command import CommandAgent
from mo_daemon.agents.generic import GenericAgent
from mo_daemon.agents.protocol import Agent
from mo_daemon.agents.settings import AgentSettings
from mo_git.errors import Exit, MoError

KINDS: Mapping[str, Callable[[AgentSettings, str], Agent]] = {
    "claude": ClaudeAgent,
    "codex": CodexAgent,
    "generic": GenericAgent,
}
AGENTS: Mapping[str, Agent] = {"command": CommandAgent()}


def build(settings: Mapping[str, AgentSettings]) -> dict[str, Agent]:
    """An adapter for each entry, by its name, besides the one for plain commands.

    An entry without a kind is of the kind that its name says.  MoError (exit 7) for an unknown kind.
    """
    agents = dict(AGENTS)
    for name, entry in settings.items():
        kind = entry.kind or name
        if name in AGENTS or kind not in KINDS:
            what = "cannot be redefined" if name in AGENTS else f"has no kind {kind!r}"
            known = ", ".join(KINDS)
            raise MoError(f"agents.{name} {what}", f"a kind is one of: {known}", Exit.CONFIG)
        agents[name] = KINDS[kind](entry, name)
    return agents
