"""The tripwire around attempts that run without a sandbox, and once in a while around everything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mo_daemon import names
from mo_daemon.attempt_context import Attempt
from mo_daemon.harvest import AttemptFailed
from mo_daemon.sandbox.blame import Claims
from mo_daemon.services import Services, tail
from mo_git.goal_status import AT_WORK
from mo_git.lifecycle import has_ended
from mo_git.model import FailureClass, Kind, NewFact, TaskState

log = logging.getLogger("mo")

# Between attempts nobody but the daemon has business with a task's branch.  Of one that has ended it may be
# a person's try, or a person has tidied up.
_OWN = frozenset({TaskState.WAITING, TaskState.CANDIDATE, TaskState.GATING})


@asynccontextmanager
async def watched(attempt: Attempt) -> AsyncIterator[None]:
    """Around the programs of an attempt; AttemptFailed (isolation_breach) for what they alone did."""
    services, lookout = attempt.services, attempt.services.lookout
    await look(services)
    lookout.watch(attempt.name)
    failed: AttemptFailed | None = None
    try:
        yield
    except AttemptFailed as error:
        failed = error
    except asyncio.CancelledError:
        for what in lookout.unwatch(attempt.name):  # it cannot fail any more
            data = {"what": what, "ran": [attempt.name], "do": ""}
            services.record([NewFact(attempt.goal.id, Kind.REPOSITORY_CHANGED, data)])
        raise
    finally:
        if attempt.cell is None:
            await look(services)
        breach = lookout.unwatch(attempt.name)
    breach += _strayed(attempt)
    if breach:
        also = f" (and it failed: {failed.reason})" if failed else ""
        reason = f"changed the repository: {'; '.join(breach)}{also}"
        raise AttemptFailed(FailureClass.ISOLATION_BREACH, reason)
    if failed:
        raise failed


def stray_file(run_dir: Path) -> Path:
    """Where a hook of the ref guard notes what git did outside of the task's worktree."""
    return run_dir / "stray"


def _strayed(attempt: Attempt) -> list[str]:
    """What git did for this attempt to files of the user's checkout, or of another task's worktree.

    A hook in its own environment says so, which nobody else has.
    """
    top, slots = attempt.services.repo.top, attempt.services.state / "tasks"
    found = []
    for line in tail(stray_file(attempt.run_dir)).splitlines():
        switched, _, place = line.partition(" ")
        if Path(place) == top or (Path(place).parent == slots and Path(place) != attempt.slot.path):
            back = f"git -C {place} switch -" if switched == "1" else "nothing brings overwritten files back"
            found.append(f"git changed files in {place} (not put back: {back})")
    return list(dict.fromkeys(found))


async def look(services: Services) -> None:
    """Compare the repository with the last look; what nobody is blamed for is recorded for people."""
    await services.git(services.lookout.look, claims(services))
    for seen in services.lookout.seen():
        log.warning("the repository was changed: %s %s %s", seen.what, seen.ran, seen.remedy)
        told = [goal for goal in seen.goals if goal in services.goals]
        services.record([NewFact(goal, Kind.REPOSITORY_CHANGED, seen.data) for goal in told])


def claims(services: Services) -> Claims:
    """What of the repository is in mo's hands just now; on the loop's thread."""
    prefix = services.settings.git.branch_prefix
    refs, at_work = {}, {}
    for goal in services.goals.values():
        if has_ended(goal) or goal.started_at is None:
            continue
        refs[names.head(names.integration_branch(prefix, goal.id))] = goal.id
        for task in goal.tasks.values():
            branch = names.head(names.task_branch(prefix, goal.id, task.spec.id))
            if task.state in AT_WORK:
                at_work[branch] = f"{goal.id}/{task.spec.id}#{task.attempt}"
            elif task.state in _OWN:
                refs[branch] = goal.id
    return Claims(refs, at_work)
