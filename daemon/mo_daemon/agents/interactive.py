"""How a person goes on talking to an agent whose run was stopped: the CLI's own command, with its session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mo_daemon.agents.claude import ClaudeAgent
from mo_daemon.agents.codex import CodexAgent
from mo_daemon.agents.protocol import Agent
from mo_git import locate


@dataclass(frozen=True, slots=True)
class Interactive:
    """A command for a person's terminal; `env` is added to the person's own environment."""

    cwd: str
    argv: tuple[str, ...]
    env: Mapping[str, str]


def interactive(
    agent: Agent,
    session: str,
    model: str,
    worktree: str,
    state_dir: Path | None,
    environ: Mapping[str, str],
) -> Interactive | None:
    """None for programs that know no such thing.  `state_dir`: where the run kept its sessions.

    `model` is that of the run (empty: the agent's): with another one codex would have the session summed up
    first.  MoError where the program cannot be found.
    """
    if not isinstance(agent, ClaudeAgent | CodexAgent):
        return None
    path, _ = locate.program(agent.kind, agent.settings.command, environ)
    env = {agent.login.variable: str(state_dir)} if state_dir is not None else {}
    model = model or agent.settings.model
    if isinstance(agent, ClaudeAgent):
        argv = [str(path), "--resume", session, *(["--model", model] if model else [])]
    else:
        settings = [*agent.settings.config, 'sandbox_mode="workspace-write"']
        argv = [str(path), "resume", *(part for setting in settings for part in ("-c", setting))]
        argv += [*(["-m", model] if model else []), session]
    return Interactive(worktree, tuple(argv), env)
