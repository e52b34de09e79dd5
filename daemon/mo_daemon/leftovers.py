"""What an earlier daemon of this repository left when it was killed: programs, and locks of refs.

Adopting its programs is impossible (their output, exit codes and usage are gone), so they are ended.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from mo_git import locks, process
from mo_git.git import worktrees
from mo_git.git.repo import Repo
from mo_git.ledger.writer import Ledger

log = logging.getLogger("mo")

OWN = "git-"  # how the token of a daemon's own git commands starts
PATIENCE = 8.0  # seconds for a git command of the earlier daemon that works in a person's checkout


def end_programs(ledger: Ledger, state: Path) -> None:
    """End what still runs: found by token, never by a bare pid.

    A git command in a person's checkout (the fast-forward of a landing) is left to finish: ended half-way,
    it would leave that checkout half-way, too.
    """
    tokens = ledger.programs()
    if not tokens:
        return
    own = [token for token in tokens if token.startswith(OWN)]
    killed = process.kill_marked([token for token in tokens if token not in own])
    killed += process.kill_marked(own, below=state)
    limit = time.monotonic() + PATIENCE
    while process.survivors(own) and time.monotonic() < limit:
        time.sleep(0.02)
    if killed:
        log.info("ended %d processes of an earlier daemon", killed)
    ledger.program_ended(tokens)


def drop_locks(repo: Repo, branch_prefix: str) -> None:
    """Remove locks of mo's refs whose holder was killed: nobody could ever move those refs again."""
    places = [repo.common_dir, *([repo.top] if repo.top else []), *worktrees.listing(repo).values()]
    prefixes = (f"refs/heads/{branch_prefix}", "refs/mo/", "refs/notes/mo")
    for name in locks.drop_abandoned(repo.common_dir, prefixes, places):
        log.info("removed the lock %s, which no process holds", name)
