"""What one run of an agent has of its own: credentials, a place for its sessions, a cell around it.

Attempts and the proof of a login take all of it from here, so that what is proved is what is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mo_daemon.containment import Cell
from mo_daemon.services import Services
from mo_git import logins, trust
from mo_git.logins import Credentials, Source

_FILE_LIMIT = 64 * 1024  # bytes: they become part of a command line


def credentials(services: Services, name: str) -> Credentials:
    """What the agent logs in with, as things are now; without a cell a CLI finds its own login by itself."""
    entry = services.settings.roster.get(name)
    kind, config_dir = (entry.kind, entry.config_dir) if entry else ("", "")
    return logins.credentials(name, kind, config_dir, services.environ)


def state_dir(services: Services, name: str, owner: str) -> Path | None:
    """Where the CLI keeps sessions; None: where it would by itself.

    With a key that is a private place of its owner (a path: GOAL/TASK), else the place of the login.
    """
    entry = services.settings.roster.get(name)
    if entry is None:
        return None
    given = credentials(services, name)
    if given.source in (Source.KEY, Source.TOKEN) or entry.kind not in logins.LOGINS:
        path = services.state / "agents" / owner / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path
    if given.source is Source.DIRECTORY and given.directory is not None:
        logins.make_directory(given.directory)
        return given.directory
    return given.directory if is_contained(services, name) else None


def is_contained(services: Services, name: str) -> bool:
    """Whether the agent works in mo's sandbox: a restricted one, where the platform has one."""
    entry = services.settings.roster.get(name)
    restricted = entry is not None and entry.execution_security_mode == "restricted"
    return restricted and services.containment.tier.contained


def trusted_files(services: Services, worktree: Path) -> dict[str, str]:
    """Settings of agent programs in a worktree that are exactly what the user trusts: path -> text."""
    found = {}
    for name in trust.AGENT_FILES:
        path = worktree / name
        try:
            content = path.read_bytes() if path.resolve() == worktree.resolve() / name else b""
        except OSError:
            continue
        known = trust.is_trusted(services.home.common_dir, name, content, environ=services.environ)
        if known and len(content) <= _FILE_LIMIT:
            found[name] = content.decode("utf-8", "replace")
    return found


async def cell(
    services: Services,
    name: str,
    label: str,
    worktree: Path,
    refs: Mapping[str, str],
    place: Path | None,
    *,
    writes: bool = True,
) -> Cell | None:
    """The sandbox of one run, where the agent has one; None: the guard tier.

    `label` keeps its private home, `refs` are the branches that it sees, `place` is its state directory.
    """
    if not is_contained(services, name):
        return None
    contain = services.containment.cell
    return await services.git(contain, services.repo, label, worktree, refs, place, writes=writes)
