"""Adapters of the programs that do a task: one small file each, behind a Protocol and a dictionary."""

from __future__ import annotations

from collections.abc import Mapping

from mo_daemon.agents.command import CommandAgent
from mo_daemon.agents.protocol import Agent
from mo_git.model import TaskSpec

AGENTS: Mapping[str, Agent] = {"command": CommandAgent()}


def agent_for(task: TaskSpec) -> Agent | None:
    """The adapter that does this task: `run` needs `command`; a prompt needs an agent of that name."""
    name = "command" if task.run is not None else task.provider
    return AGENTS.get(name)
