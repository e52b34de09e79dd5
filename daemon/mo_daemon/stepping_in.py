"""A person steps in: takes a task over in a worktree of the person's own, and gives back what was made there.

Taking is two facts: the task is taken at once, whatever ran for it is stopped, and when that has ended the
worktree is handed over.  Giving back is an attempt like any other, made by a person: the same look, the same
check, a candidate.  What does not pass goes back to the person, in the same worktree.  A file beside the
worktree says whose it is, so neither recovery nor `mo gc` nor another task touches it meanwhile.
"""

from __future__ import annotations

import logging
import shlex
from dataclasses import dataclass
from typing import Any

from mo_daemon import attempt_place, harvest, names, setbacks
from mo_daemon.agents.interactive import Interactive, interactive
from mo_daemon.agents.protocol import Outcome
from mo_daemon.attempt import accepted, candidate, close
from mo_daemon.attempt_context import Attempt
from mo_daemon.harvest import AttemptFailed
from mo_daemon.ladder import Rung
from mo_daemon.paid_run import COMMAND
from mo_daemon.quarters import state_dir
from mo_daemon.routing import Choice
from mo_daemon.services import Services
from mo_daemon.worktrees import Slot
from mo_git.errors import MoError
from mo_git.git import refs
from mo_git.goal_status import GoalStatus, Operation, TaskStatus
from mo_git.model import FailureClass, Kind, NewFact, TaskState
from mo_git.text import count

log = logging.getLogger("mo")

_BY_HAND = Choice(COMMAND, "", "a person has it")


@dataclass(frozen=True, slots=True)
class _Work:
    """What a task has so far: a commit, and what that was made on."""

    commit: str
    base: str


async def step_in(services: Services, goal: GoalStatus, operation: Operation) -> dict[str, Any]:
    """Carry out a requested take or give; its end is recorded with what it led to.  The answer."""
    task = goal.tasks[operation.arguments["task"]]
    try:
        if operation.name == "take":
            facts, result = await _hand_over(services, goal, task)
        elif operation.arguments.get("back"):
            facts, result = await _let_go(services, goal, task, operation.arguments.get("hint", ""))
        else:
            facts, result = await _take_in(services, goal, task)
    except MoError as error:
        code = error.code.name.lower()
        facts, result = [], {"ok": False, "code": code, "message": error.message, "hint": error.hint}
    ended = NewFact(goal.id, Kind.OPERATION_ENDED, {"request": operation.request, **result})
    services.record([*facts, ended])
    found = services.pool.lent_to(_named(goal, task))
    if found is not None and not _is_a_persons(task):
        slot, base = found
        services.pool.take_back(slot)
        await close(_by_hand(services, goal, task, slot, base or goal.integration, task.attempt), False)
    return result


def reclaim(services: Services) -> None:
    """Slots that no person has any more, after a crash or a retry: what is in there is kept.  Blocks."""
    for name in services.pool.lent():
        goal_id, _, task_id = name.partition("/")
        goal = services.goals.get(goal_id)
        task = goal.tasks.get(task_id) if goal else None
        found = services.pool.lent_to(name)
        if task is not None and found is not None and not _is_a_persons(task):
            slot, base = found
            n, when = max(1, task.attempt), int(services.now())
            try:
                if base:
                    harvest.keep(services.repo, slot.path, base, goal_id, task_id, n, when)
            except MoError as error:  # it stays lent until there is room
                log.warning("what a person left of %s is not kept yet: %s", name, error.message)
                continue
            services.pool.take_back(slot)
            services.pool.give_back(slot, hold=services.pool.is_kept(slot))


def _is_a_persons(task: TaskStatus) -> bool:
    """Whether a person has the task's worktree, or is about to get it; also one that was cancelled then."""
    return task.lent is not None or task.state is TaskState.TAKEN


def _named(goal: GoalStatus, task: TaskStatus) -> str:
    return f"{goal.id}/{task.spec.id}"


async def _keep(
    services: Services, goal: GoalStatus, task: TaskStatus, slot: Slot, base: str, *, mend: bool
) -> str:
    """A ref on what a slot holds now; its name, or empty."""
    n, when = max(1, task.attempt), int(services.now())
    keep = harvest.keep
    return await services.git(keep, services.repo, slot.path, base, goal.id, task.spec.id, n, when, mend=mend)


def _by_hand(
    services: Services, goal: GoalStatus, task: TaskStatus, slot: Slot, base: str, n: int
) -> Attempt:
    attempt = attempt_place.attempt_in(services, goal, task, _BY_HAND, base, slot, n)
    attempt.by_hand = True
    return attempt


# -- take ---------------------------------------------------------------------------------------------


async def _hand_over(
    services: Services, goal: GoalStatus, task: TaskStatus
) -> tuple[list[NewFact], dict[str, Any]]:
    """The facts and the answer of a worktree that is now a person's; the same again where it is already."""
    named = _named(goal, task)
    if task.state is not TaskState.TAKEN:
        raise MoError(f"{named} is {task.state} by now", f"mo status {goal.id}")
    facts: list[NewFact] = []
    lent = task.lent
    found = services.pool.lent_to(named)
    if lent is None or found is None or not found[0].path.is_dir():
        lent = await _lend(services, goal, task)
        facts.append(NewFact(goal.id, Kind.HANDED_OVER, lent, task.spec.id, task.attempt))
    said = [f"branch {lent['branch']}, from {lent['base'][:10]}"]
    if lent.get("conflicts"):
        said.append(f"conflict markers in {', '.join(lent['conflicts'])}")
    if lent.get("setup"):
        said.append(f"its set-up failed: {lent['setup']}")
    resume = await services.git(_resume, services, goal, task, str(lent["worktree"]))
    if resume is not None:
        said.append(f"go on with its agent: {_shell(resume)}")
    said.append(f"when you are done: mo give {named}")
    result = {"ok": True, "message": f"{named} is yours: {lent['worktree']}", "details": said}
    result |= {"worktree": lent["worktree"], "branch": lent["branch"], "base": lent["base"]}
    result["resume"] = None if resume is None else _document(resume)
    return facts, result


async def _lend(services: Services, goal: GoalStatus, task: TaskStatus) -> dict[str, Any]:
    """Find or make the worktree; the data of its handing over."""
    pool, named = services.pool, _named(goal, task)
    branch = names.task_branch(services.settings.git.branch_prefix, goal.id, task.spec.id)
    last = task.attempts[-1] if task.attempts else None
    found = pool.lent_to(named)
    if found is not None and found[1] and found[0].path.is_dir():
        return _handed(found[0], branch, found[1], task)
    if found is not None and not found[0].path.is_dir():
        await services.git(pool.remove, found[0])
        found = None
    slot = None if _conflicts(task) else pool.kept_on(branch)
    if last and last.state == "taken":
        slot = pool.held_at(last.worktree)
    if found is None and slot is not None and last is not None and slot.path.is_dir():
        kept = await _keep(services, goal, task, slot, last.base, mend=False)
        pool.lend(slot, named, last.base)
        return _handed(slot, branch, last.base, task, kept=kept)
    slot = found[0] if found is not None else pool.take(branch)
    pool.lend(slot, named)
    attempt = _by_hand(services, goal, task, slot, goal.integration, task.attempt + 1)
    work, conflicts = await services.git(_lay_out, attempt)
    setup = ""
    try:
        await attempt_place.provision(attempt)
    except AttemptFailed as failed:
        setup = failed.reason
    pool.lend(slot, named, attempt.base)
    return _handed(slot, branch, attempt.base, task, kept=work, conflicts=conflicts, setup=setup)


def _handed(slot: Slot, branch: str, base: str, task: TaskStatus, **more: Any) -> dict[str, Any]:
    upon = dict(task.upon) if task.attempts and task.attempts[-1].base == base else {}
    return {"worktree": str(slot.path), "branch": branch, "base": base, "upon": upon, **more}


def _lay_out(attempt: Attempt) -> tuple[str, list[str]]:
    """The worktree at the integration head, with what the task has so far as changes that are not committed.

    Returns the commit of that work, and the paths in which it conflicts: those have markers.
    """
    work = _so_far(attempt.services, attempt.goal, attempt.task)
    attempt_place.put_on_branch(attempt)
    if work is None:
        return "", []
    merged = attempt.services.merger.replay(attempt.base, work.commit, work.base)
    if tree := merged.tree or merged.marked:
        attempt_place.lay_out(attempt, tree)
    return work.commit, list(merged.conflicts)


def _conflicts(task: TaskStatus) -> bool:
    """Whether it was a conflict that nobody but a person may resolve: both sides, not the tries so far."""
    return bool(task.rungs) and task.rungs[-1] == Rung.PERSON


def _so_far(services: Services, goal: GoalStatus, task: TaskStatus) -> _Work | None:
    """The newest work on the task that git holds: a person's commits, a candidate, what a failed try left."""
    repo = services.repo
    branch = names.task_branch(services.settings.git.branch_prefix, goal.id, task.spec.id)
    if task.lent is not None:  # its worktree was removed
        tip, base = refs.read(repo, names.head(branch)), task.lent["base"]
        if tip and tip != base and not repo.is_ancestor(tip, goal.integration):
            return _Work(tip, base)
        kept = task.lent.get("kept", "")
        oid = refs.read(repo, kept) if kept.startswith("refs/") else kept
        if oid and repo.exists(oid):
            return _Work(oid, base)
    for attempt in reversed(task.attempts):
        if _conflicts(task) and attempt.state != "candidate":
            continue
        if attempt.state == "candidate" or attempt.failure == FailureClass.GATE_RED:
            return _Work(task.commit, attempt.base)
        if attempt.kept.startswith("refs/") and (oid := refs.read(repo, attempt.kept)):
            return _Work(oid, attempt.base)
    return None


# -- the agent's own program --------------------------------------------------------------------------


def _resume(services: Services, goal: GoalStatus, task: TaskStatus, worktree: str) -> Interactive | None:
    """How a person goes on talking to the agent that had the task; None where that cannot be."""
    for attempt in reversed(task.attempts):
        if attempt.session and attempt.provider in services.agents:
            place = state_dir(services, attempt.provider, _named(goal, task))
            agent = services.agents[attempt.provider]
            return interactive(agent, attempt.session, attempt.model, worktree, place, services.environ)
    return None


def _shell(resume: Interactive) -> str:
    env = " ".join(f"{key}={shlex.quote(value)}" for key, value in resume.env.items())
    return f"cd {shlex.quote(resume.cwd)} && {env + ' ' if env else ''}{shlex.join(resume.argv)}"


def _document(resume: Interactive) -> dict[str, Any]:
    return {
        "cwd": resume.cwd,
        "env": dict(resume.env),
        "argv": list(resume.argv),
        "shell": _shell(resume),
    }


# -- give ---------------------------------------------------------------------------------------------


async def _take_in(
    services: Services, goal: GoalStatus, task: TaskStatus
) -> tuple[list[NewFact], dict[str, Any]]:
    """Look at what the person made and check it; the facts of a candidate, or of a task still taken."""
    named = _named(goal, task)
    if task.state is not TaskState.CHECKING or not task.by_hand:
        raise MoError(f"{named} is {task.state} by now", f"mo status {goal.id}")
    found = services.pool.lent_to(named)
    slot = found[0] if found else None
    if slot is None or not slot.path.is_dir():
        reason = f"its worktree {task.worktree} is gone"
        hint = f"mo take {named} makes it again, from what git has of it"
        return _refused(goal, task, FailureClass.LOST, reason, hint)
    base = await services.git(_base, services, goal, task, slot)
    attempt = _by_hand(services, goal, task, slot, base, task.attempt)
    try:
        found_tree, said = await accepted(attempt, Outcome(None))
        facts = await candidate(attempt, found_tree, said)
    except AttemptFailed as failed:
        hint = f"correct it in {slot.path}, then mo give {named}"
        if failed.failure is FailureClass.NO_CHANGE:
            hint = f"change something in {slot.path}, or leave the task to its agent: mo give --back {named}"
        return _refused(goal, task, failed.failure, failed.reason, hint)
    (fact,) = facts
    if fact.kind is Kind.UNCHANGED:
        return facts, {"ok": True, "message": f"{named} is unchanged: there is nothing to land"}
    files = count(len(fact.data["paths"]), "file")
    data = {**fact.data, "base": base}
    message = f"{named} is a candidate ({files}), and lands when the gate is green"
    return [attempt.fact(Kind.CANDIDATE, **data)], {"ok": True, "message": message, "commit": data["commit"]}


def _base(services: Services, goal: GoalStatus, task: TaskStatus, slot: Slot) -> str:
    """What the person's work starts from: a later integration commit where that was merged into it."""
    assert task.lent is not None
    base, repo = str(task.lent["base"]), services.repo
    try:
        head = harvest.own_head(repo, slot.path, base)
    except (MoError, OSError):  # the look says what is wrong with it
        return base
    met = repo.merge_base(head, goal.integration) if head else None
    return met if met and repo.is_ancestor(base, met) else base


def _refused(
    goal: GoalStatus, task: TaskStatus, failure: FailureClass, reason: str, hint: str
) -> tuple[list[NewFact], dict[str, Any]]:
    """It stays with the person, with the reason."""
    data = {"class": failure, "reason": reason, "kept": ""}
    facts = [
        setbacks.about(goal, task, Kind.ATTEMPT_FAILED, **data),
        setbacks.about(goal, task, Kind.TAKEN, reason=reason),
    ]
    message = f"{_named(goal, task)} stays yours: {reason}"
    return facts, {"ok": False, "code": "failed", "message": message, "hint": hint, "class": failure}


async def _let_go(
    services: Services, goal: GoalStatus, task: TaskStatus, hint: str
) -> tuple[list[NewFact], dict[str, Any]]:
    """The task is its agent's again; what the person made is kept by a ref."""
    named = _named(goal, task)
    if task.state is not TaskState.TAKEN:
        raise MoError(f"{named} is {task.state} by now", f"mo status {goal.id}")
    kept = ""
    found = services.pool.lent_to(named)
    if found is not None and task.lent is not None:
        kept = await _keep(services, goal, task, found[0], task.lent["base"], mend=True)
    message = f"{named} is left to its agent" + (f"; what you made is kept as {kept}" if kept else "")
    facts = [NewFact(goal.id, Kind.RETRIED, {"hint": hint}, task.spec.id)]
    return facts, {"ok": True, "message": message, "kept": kept}
