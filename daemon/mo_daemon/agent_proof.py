"""Which agents there are, and whether one of them works: the answers for `mo agents`.

The proof is a run: the program is asked for one word, in a worktree of the pool and in the cell, with the
environment, the credentials and the model that a task would get.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mo_daemon import environment, listening, quarters, roster
from mo_daemon.agent_run import Deadlines, Finished, run_agent
from mo_daemon.agents.protocol import Job
from mo_daemon.services import Services
from mo_daemon.worktrees import Slot
from mo_git import locate, resources
from mo_git.errors import Exit, MoError
from mo_git.git import refs
from mo_git.model import Kind, NewFact, Phase

_PROMPT = "Answer with the single word: ready\nDo not use any tool.\n"
_PROVING = ".proof"  # stands for a goal in names of files and programs
_NO_REF = "refs/mo/none"  # what it may move


async def listing(services: Services) -> dict[str, Any]:
    """{"ok", "message", "agents": [...]}; see `_describe`."""
    agents = [await services.git(_describe, services, name) for name in services.settings.roster]
    usable = [agent["name"] for agent in agents if agent["usable"]]
    return {"ok": True, "message": f"usable: {', '.join(usable) or 'none'}", "agents": agents}


def _describe(services: Services, name: str) -> dict[str, Any]:
    entry = services.settings.roster[name]
    path = version = source = why = ""
    try:
        kind, command = roster.program(name, entry)
        if entry.kind == "generic":  # what its --version would do is not known
            where, source = locate.program(kind, command, services.environ)
            path = str(where)
        else:
            found = locate.find(kind, command, services.environ)
            path, version, source = str(found.path), found.version, found.source
    except MoError as error:
        why = f"{error.message}; {error.hint}" if error.hint else error.message
    return {
        "name": name,
        "kind": entry.kind,
        "usable": not why,
        "why_not": why,
        "path": path,
        "version": version,
        "source": source,
        "model": entry.default_model,
        "mode": entry.execution_security_mode,
        "credentials": str(quarters.credentials(services, name).source),
    }


async def prove(services: Services, name: str, seconds: float) -> dict[str, Any]:
    """Ask the agent for one word: {"ok", "message", "proof": {...}}; a failure's class and reason are in it.

    MoError (usage) for an unknown name, (agent) where its program cannot be found or started.
    """
    known = services.settings.roster
    if name not in known:
        raise MoError(f"no agent {name!r}", f"agents: {', '.join(known)}", Exit.USAGE)
    ear = listening.Ear(services, "", name, "proof", name)
    with _room(services) as (slot, owner):
        try:
            finished = await _run(services, name, slot, owner, seconds)
        except OSError as error:
            message = f"cannot start {name}: {error.strerror or error}"
            raise MoError(message, "install it again", Exit.AGENT) from None
        finally:
            for place in ("agents", "cells"):
                await services.git(shutil.rmtree, services.state / place / owner, ignore_errors=True)
    outcome = finished.outcome
    usage = asdict(outcome.usage)
    paid = {"provider": name, "model": known[name].default_model, "phase": "proof", **usage}
    services.record([NewFact("", Kind.USAGE, paid)])
    ear.tell(outcome, proof=True)
    works = outcome.failure is None
    proof = {
        "agent": name,
        "works": works,
        "class": outcome.failure,
        "reason": outcome.reason,
        "said": outcome.summary[:200],
        "seconds": round(finished.ending.seconds, 1),
        "usage": usage,
        "files": str(_run_dir(services, name)),
    }
    said = f"{name} works" if works else f"{name} does not work: {outcome.reason} ({outcome.failure})"
    return {"ok": True, "message": said, "proof": proof}


@contextmanager
def _room(services: Services) -> Iterator[tuple[Slot, str]]:
    """A worktree, and a name for the other things of this proof."""
    slot = services.pool.take_detached()
    try:
        yield slot, f"{_PROVING}/{services.token()}"
    finally:
        services.pool.give_back(slot)


def _run_dir(services: Services, name: str) -> Path:
    return services.home.run_dir(_PROVING, name, 1)


async def _run(services: Services, name: str, slot: Slot, owner: str, seconds: float) -> Finished:
    head = await services.git(refs.read, services.repo, "HEAD")
    if head is None:
        raise MoError("there is no commit yet: no worktree can be made", "commit something", Exit.USAGE)
    async with services.starting():
        await services.git(services.pool.point, slot, branch=None, commit=head)
    run_dir = _run_dir(services, name)
    await services.git(shutil.rmtree, run_dir, ignore_errors=True)
    place = quarters.state_dir(services, name, owner)
    cell = await quarters.cell(services, name, owner, slot.path, {}, place)
    env = environment.task_environment(
        services.environ,
        goal=_PROVING,
        task=name,
        attempt=1,
        worktree=slot.path,
        common_dir=services.home.common_dir,
        port_base=slot.port_base,
        passed=services.settings.workspace.env_pass,
        guard=(resources.path("hooks"), _NO_REF),
    )
    job = Job(
        Phase.EXECUTE,
        _PROMPT,
        slot.path,
        run_dir,
        environ=quarters.credentials(services, name).environ,
        writes=False,
        contained=cell is not None,
        state_dir=place,
    )
    env = environment.with_local_tools(env, slot.path)
    deadlines = Deadlines(seconds, seconds, seconds)
    agent = services.agents[name]
    return await run_agent(services, agent, job, env, deadlines, purpose=owner, cell=cell)
