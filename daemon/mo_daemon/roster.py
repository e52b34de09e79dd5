"""Who can work here: the agents of the configuration, and what routing needs to know of them."""

from __future__ import annotations

from collections.abc import Mapping

from mo_daemon.agents import build, locate
from mo_daemon.agents.protocol import Agent
from mo_daemon.agents.settings import AgentSettings
from mo_daemon.routing import Routes
from mo_git.config import Loaded
from mo_git.errors import MoError

KINDS = ("claude", "codex")
PHASE_KEY = "routing.phase_defaults."


def make_agents(loaded: Loaded) -> dict[str, Agent]:
    """An adapter per provider, and the one for plain commands."""
    claude, codex = loaded.config.claude, loaded.config.codex
    return build(
        {
            "claude": AgentSettings(
                command=claude.command,
                model=claude.default_model,
                extra_args=claude.extra_args,
                env_pass=claude.env_pass,
                execution_security_mode=claude.execution_security_mode,
            ),
            "codex": AgentSettings(
                command=codex.command,
                model=codex.default_model,
                extra_args=codex.extra_args,
                env_pass=codex.env_pass,
                execution_security_mode=codex.execution_security_mode,
                config=codex.config,
            ),
        }
    )


def make_routes(loaded: Loaded, environ: Mapping[str, str]) -> Routes:
    """Whether each program can be found is looked up now: installing one needs no restart."""
    config = loaded.config
    commands = {"claude": config.claude.command, "codex": config.codex.command}
    chosen = {key for key, origin in loaded.origins.items() if origin != "default"}
    return Routes(
        usable={kind: _trouble(kind, commands[kind], environ) for kind in KINDS},
        default_provider=config.routing.default_provider,
        phase_defaults=config.routing.phase_defaults.model_dump(),
        chosen_defaults=frozenset(key.removeprefix(PHASE_KEY) for key in chosen if key.startswith(PHASE_KEY)),
        fallbacks=config.routing.fallbacks,
        auto_fallback=config.routing.auto_fallback,
        models={"claude": config.claude.models.model_dump(), "codex": config.codex.models.model_dump()},
    )


def _trouble(kind: str, command: str, environ: Mapping[str, str]) -> str:
    try:
        locate.program(kind, command, environ)
    except MoError as error:
        return f"{error.message}; {error.hint}" if error.hint else error.message
    return ""
