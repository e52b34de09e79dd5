"""Who can work here: the agents of the settings, and what routing needs to know of them."""

from __future__ import annotations

from collections.abc import Mapping

from mo_daemon import learning
from mo_daemon.agents import build
from mo_daemon.agents.protocol import Agent
from mo_daemon.agents.settings import AgentSettings
from mo_daemon.routing import Routes
from mo_git import locate
from mo_git.config import Config, Loaded
from mo_git.config_agents import AgentEntry
from mo_git.errors import Exit, MoError
from mo_git.ledger.writer import Ledger
from mo_git.model import agent_section

PHASE_KEY = "routing.phase_defaults."


def make_agents(config: Config) -> dict[str, Agent]:
    """An adapter for each agent, and the one for plain commands."""
    return build({name: _settings(entry) for name, entry in config.roster.items()})


def _settings(entry: AgentEntry) -> AgentSettings:
    return AgentSettings(
        kind=entry.kind,
        command=entry.command,
        model=entry.default_model,
        extra_args=entry.extra_args,
        env_pass=entry.env_pass,
        execution_security_mode=entry.execution_security_mode,
        config=entry.config,
        argv=entry.argv,
        resume_argv=entry.resume_argv,
        prompt=entry.prompt,
        output=entry.output,
        fields={name: path for name, path in entry.fields.model_dump().items() if path},
    )


def make_routes(loaded: Loaded, environ: Mapping[str, str], ledger: Ledger | None = None) -> Routes:
    """Whether each program can be found is looked up now: installing one needs no restart.

    The ledger tells how agents did so far.
    """
    config = loaded.config
    chosen = {key for key, origin in loaded.origins.items() if origin != "default"}
    learns = config.routing.learn and len(config.roster) > 1
    return Routes(
        usable={name: _trouble(name, entry, environ) for name, entry in config.roster.items()},
        default_provider=config.routing.default_provider,
        phase_defaults=config.routing.phase_defaults.model_dump(),
        chosen_defaults=frozenset(key.removeprefix(PHASE_KEY) for key in chosen if key.startswith(PHASE_KEY)),
        fallbacks=config.routing.fallbacks,
        auto_fallback=config.routing.auto_fallback,
        models={name: entry.models.model_dump() for name, entry in config.roster.items()},
        records=learning.records(ledger.newest(learning.KINDS, learning.NEWEST)) if learns and ledger else {},
    )


def program(name: str, entry: AgentEntry) -> tuple[str, str]:
    """What `locate` has to look for: (kind, or the name where there is no more to it; command).

    MoError (config) where the entry does not say which program it is.
    """
    if entry.kind != "generic":
        return entry.kind, entry.command
    if not entry.argv:
        key = f"{agent_section(name)}.argv"
        raise MoError(f"{name} has no command line", f"set {key}; if it is set, mo trust", Exit.CONFIG)
    return name, entry.command or entry.argv[0]


def _trouble(name: str, entry: AgentEntry, environ: Mapping[str, str]) -> str:
    try:
        locate.program(*program(name, entry), environ)
    except MoError as error:
        return f"{error.message}; {error.hint}" if error.hint else error.message
    return ""
