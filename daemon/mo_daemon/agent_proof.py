"""Which agents there are, and whether one of them works: the answers for `mo agents`.

The proof is a run: the program is asked for one word in an empty scratch directory, with the environment,
the credentials and the model that a task would get.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mo_daemon import environment, paid_run
from mo_daemon.agent_run import Deadlines, run_agent
from mo_daemon.agents import locate
from mo_daemon.agents.protocol import Job
from mo_daemon.roster import KINDS
from mo_daemon.services import Services
from mo_git.config_schema import Claude, Codex
from mo_git.errors import Exit, MoError
from mo_git.model import Phase

_PROMPT = "Answer with the single word: ready\nDo not use any tool.\n"
_SECONDS = 120.0
_PROVING = "agents"  # stands for a goal in names of files and programs


def _settings(services: Services, name: str) -> Claude | Codex:
    return services.settings.claude if name == "claude" else services.settings.codex


async def listing(services: Services) -> dict[str, Any]:
    """{"ok", "message", "agents": [{name, usable, why_not, path, version, source, model, mode}]}"""
    agents = [await services.git(_describe, services, name) for name in KINDS]
    usable = [agent["name"] for agent in agents if agent["usable"]]
    return {"ok": True, "message": f"usable: {', '.join(usable) or 'none'}", "agents": agents}


def _describe(services: Services, name: str) -> dict[str, Any]:
    settings = _settings(services, name)
    path = version = source = why = ""
    try:
        found = locate.find(name, settings.command, services.environ)
        path, version, source = str(found.path), found.version, found.source
    except MoError as error:
        why = f"{error.message}; {error.hint}" if error.hint else error.message
    return {
        "name": name,
        "usable": not why,
        "why_not": why,
        "path": path,
        "version": version,
        "source": source,
        "model": settings.default_model,
        "mode": settings.execution_security_mode,
    }


async def prove(services: Services, name: str) -> dict[str, Any]:
    """Ask the agent for one word: {"ok", "message", "proof": {...}}; a failure's class and reason are in it.

    MoError (usage) for an unknown name, (agent) where its program cannot be found or started.
    """
    if name not in KINDS:
        raise MoError(f"no agent {name!r}", f"agents: {', '.join(KINDS)}", Exit.USAGE)
    agent, settings = services.agents[name], _settings(services, name)
    scratch = services.state / "proofs" / services.token()
    run_dir = services.home.run_dir(_PROVING, name, 1)
    state_dir = scratch.with_name(f"{scratch.name}.state") if _has_key(services, name) else None
    await services.git(_fresh, run_dir, scratch, state_dir)
    try:
        env = environment.task_environment(
            services.environ,
            goal=_PROVING,
            task=name,
            attempt=1,
            worktree=scratch,
            common_dir=services.home.common_dir,
            port_base=0,
            passed=settings.env_pass,
        )
        job = Job(
            Phase.EXECUTE,
            _PROMPT,
            scratch,
            run_dir,
            environ=services.environ,
            writes=False,
            state_dir=state_dir,
        )
        deadlines = Deadlines(_SECONDS, _SECONDS, _SECONDS)
        finished = await run_agent(services, agent, job, env, deadlines, purpose=f"{_PROVING}/{name}")
    except OSError as error:
        raise MoError(
            f"cannot start {name}: {error.strerror or error}", "install it again", Exit.AGENT
        ) from None
    finally:
        for directory in filter(None, (scratch, state_dir)):
            await services.git(shutil.rmtree, directory, ignore_errors=True)
    outcome = finished.outcome
    proof = {
        "agent": name,
        "works": outcome.failure is None,
        "class": outcome.failure,
        "reason": outcome.reason,
        "said": outcome.summary[:200],
        "seconds": round(finished.ending.seconds, 1),
        "usage": asdict(outcome.usage),
        "files": str(run_dir),
    }
    works = (
        f"{name} works" if proof["works"] else f"{name} does not work: {outcome.reason} ({outcome.failure})"
    )
    return {"ok": True, "message": works, "proof": proof}


def _has_key(services: Services, name: str) -> bool:
    """With a key in the environment the CLI needs no login of its own, and gets a state of its own."""
    return any(services.environ.get(key) for key in paid_run.KEYS[name])


def _fresh(run_dir: Path, *directories: Path | None) -> None:
    """Empty directories, and nothing left of the proof before."""
    shutil.rmtree(run_dir, ignore_errors=True)
    for directory in filter(None, directories):
        directory.mkdir(mode=0o700, parents=True)
