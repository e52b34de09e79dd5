"""`from` tasks: somebody's finished branch is the candidate, looked at like any other work.

The commit is pinned when the goal starts, and read again after `mo retry`.  What it changes since the merge
base goes through the same look as an agent's work, then the task's check runs on it, in a gate's worktree.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mo_daemon import harvest, names, setbacks
from mo_daemon.attempt import run_attempt
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.harvest import AttemptFailed
from mo_daemon.paid_run import COMMAND
from mo_daemon.runners import argv_of
from mo_daemon.services import Services, last_line
from mo_git.errors import Exit, MoError
from mo_git.git import binary, refs
from mo_git.git.snapshot import Snapshot
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.model import FailureClass, Kind, NewFact


def pin(services: Services, goal: GoalStatus) -> dict[str, str]:
    """Task -> the commit that its `from` names now, held by a ref.  MoError for a name that is none."""
    pinned = {}
    for task in goal.plan.tasks:
        if task.from_ref:
            pinned[task.id] = _resolve(services, goal, task.id, task.from_ref)
    return pinned


def _resolve(services: Services, goal: GoalStatus, task: str, name: str) -> str:
    repo, held = services.repo, names.from_ref(goal.id, task)
    try:
        commit = binary.resolve(repo.git, name)
    except MoError:
        again = f"make it again, then mo resume {goal.id} or mo retry {goal.id}/{task}"
        raise MoError(f"task {task}: there is no branch or commit {name}", again, Exit.NOT_FOUND) from None
    refs.swap(repo, held, commit, refs.read(repo, held), f"mo: {name} as {goal.id}/{task} takes it")
    return commit


@dataclass(frozen=True, slots=True)
class _Adoption:
    """One look at a commit."""

    services: Services
    gatekeeper: Gatekeeper
    goal: GoalStatus
    task: TaskStatus
    n: int
    commit: str
    base: str  # the merge base with integration; empty: none

    @property
    def branch(self) -> str:
        prefix = self.services.settings.git.branch_prefix
        return names.task_branch(prefix, self.goal.id, self.task.spec.id)

    @property
    def log(self) -> Path:
        return self.services.home.run_dir(self.goal.id, self.task.spec.id, self.n) / "check.log"

    def fact(self, kind: Kind, **data: Any) -> NewFact:
        return NewFact(self.goal.id, kind, data, self.task.spec.id, self.n)


async def start_attempt(
    services: Services, gatekeeper: Gatekeeper, goal: GoalStatus, task: TaskStatus
) -> None:
    """The next attempt of any task: a finished branch is only looked at, unless it conflicts."""
    if task.spec.from_ref and task.resolve is None:
        await adopt(services, gatekeeper, goal, task)
    else:
        await run_attempt(services, goal, task)


async def adopt(services: Services, gatekeeper: Gatekeeper, goal: GoalStatus, task: TaskStatus) -> None:
    """Start and finish the attempt of a `from` task; every ending is recorded as facts."""
    one = await services.git(_begin, services, gatekeeper, goal, task)
    place = {"base": one.base or goal.integration, "branch": one.branch, "worktree": ""}
    who = {"provider": COMMAND, "model": "", "why": "from"}
    started = one.fact(Kind.ATTEMPT_STARTED, token=services.token(), pinned=one.commit, **who, **place)
    services.record([started], durable=True)
    try:
        facts = await services.git(_look, one)
        if facts[0].kind is Kind.CANDIDATE:
            await _check(one)
    except AttemptFailed as failed:
        data = {"class": failed.failure, "reason": failed.reason, "kept": ""}
        services.record([one.fact(Kind.ATTEMPT_FAILED, **data)])
        services.record(setbacks.follow_up(services, goal, task, one.n, failed.failure, failed.reason))
    except asyncio.CancelledError:
        reason = goal.cancelling or "the daemon was stopped while this attempt ran"
        services.record(setbacks.interrupted(services, goal, task, reason, kept=""))
        raise
    else:
        services.record(facts)


def _begin(services: Services, gatekeeper: Gatekeeper, goal: GoalStatus, task: TaskStatus) -> _Adoption:
    spec = task.spec
    commit = goal.pinned.get(spec.id) or _resolve(services, goal, spec.id, spec.from_ref)
    base = services.repo.merge_base(commit, goal.integration) or ""
    return _Adoption(services, gatekeeper, goal, task, task.attempt + 1, commit, base)


def _look(one: _Adoption) -> list[NewFact]:
    """The facts of the candidate; raises for what never becomes one."""
    services, repo, spec = one.services, one.services.repo, one.task.spec
    if not one.base:
        reason = f"{spec.from_ref} has no common history with the goal's base"
        raise AttemptFailed(FailureClass.INVALID_OUTPUT, reason)
    if repo.is_ancestor(one.commit, one.goal.integration):
        reason = f"{spec.from_ref} is contained already"
        return [one.fact(Kind.UNCHANGED, commit=one.goal.integration, reason=reason)]
    tree = repo.tree_of(one.commit)
    changes = {change.path: change.status for change in repo.changes(one.base, tree)}
    found = Snapshot(tree, tuple(changes), changes)
    limit = int(services.settings.limits.max_file_mb * 1024 * 1024)
    outside = harvest.refuse(repo, one.base, found, spec, limit)
    ref = names.head(one.branch)
    tip = refs.read(repo, ref)
    if tip not in (None, one.commit):
        refs.keep(repo, one.goal.id, spec.id, one.n - 1, tip)
    if tip != one.commit and not refs.swap(repo, ref, one.commit, tip, f"mo: candidate from {spec.from_ref}"):
        raise AttemptFailed(FailureClass.ISOLATION_BREACH, f"branch {one.branch} was moved by someone else")
    more = {"outside_scope": outside} if outside else {}
    return [one.fact(Kind.CANDIDATE, commit=one.commit, tree=tree, paths=list(changes), **more)]


async def _check(one: _Adoption) -> None:
    if one.task.spec.check is None:
        return
    ending = await one.gatekeeper.run_on(one.goal, one.commit, argv_of(one.task.spec.check), one.log)
    if ending.code != 0:
        how = "timed out" if ending.timed_out else f"exit code {ending.code}"
        raise AttemptFailed(FailureClass.CHECK_FAILED, f"check failed, {how}: {last_line(one.log)}")
