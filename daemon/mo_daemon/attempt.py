"""One attempt of a task: a worktree on a green base, the agent, the daemon's own look, a candidate.

Order of the look after the agent ended (nothing of it lives any more): nested repositories, snapshot,
conflict markers, size, secrets, protected paths, scope, then the task's own check.  The daemon commits;
what the agent says about itself decides nothing.  Work that does not become a candidate is kept by a ref.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mo_daemon import (
    attempt_place,
    environment,
    execution,
    guarding,
    harvest,
    names,
    outputs,
    resolving,
    reviewing,
    riders,
    setbacks,
    words,
)
from mo_daemon.agents.protocol import Outcome
from mo_daemon.attempt_context import Attempt
from mo_daemon.budget import exhausted
from mo_daemon.chain import Chain
from mo_daemon.containment import Cell
from mo_daemon.decide import may_start
from mo_daemon.harvest import AttemptFailed
from mo_daemon.ladder import Rung
from mo_daemon.paid_run import COMMAND
from mo_daemon.resolving import Conflict
from mo_daemon.routing import Choice, NoAgent
from mo_daemon.runners import argv_of
from mo_daemon.services import Services, last_line, out_of_space, tail
from mo_daemon.unpaid import usage_of_lost
from mo_daemon.worktrees import Slot
from mo_git.git import provenance, refs
from mo_git.git.settle import settle
from mo_git.git.snapshot import Snapshot
from mo_git.goal_status import AT_WORK, GoalStatus, TaskStatus
from mo_git.ledger.writer import LedgerFull
from mo_git.model import FailureClass, Kind, NewFact, TaskState

REBUILD_LOG = "rebuild.log"


class NotApplicable(Exception):
    """The task's `when` said no."""


async def run_attempt(services: Services, goal: GoalStatus, task: TaskStatus) -> None:
    """Start and finish one attempt; every ending is recorded as facts."""
    if over := setbacks.worn_out(services, goal, task):
        services.record(over)
        return
    base = goal.integration
    conflict = await _conflict(services, task, base)
    choice = execution.chosen(services, goal, task, execution.avoided(task))
    if conflict is not None and not conflict.paths:
        choice = Choice(COMMAND, "", "needs no agent")
    if isinstance(choice, NoAgent) or (conflict and conflict.paths and choice.agent == COMMAND):
        services.record(_nobody(services, goal, task, choice))
        return
    if choice.agent != COMMAND and (spent := exhausted(*services.money(goal), choice.agent)):
        services.record([NewFact(goal.id, Kind.BUDGET_SPENT, {"reason": spent})])
        return
    async with services.starting() as ready:
        # Any more: meanwhile it may have been paused, or its provider may have said no to somebody else.
        if not may_start(goal) or services.is_closed_to(choice.agent):
            return
        upon: Sequence[TaskStatus] | None = ()
        if conflict is None:
            upon = riders.ungated(goal, task)
            base = "" if upon is None else await services.git(_base, services, goal, upon)
        if upon is None or not base:  # what it was to start from has left the queue, or does not merge
            return
        contained = {one.spec.id: one.commit for one in upon}
        attempt = await _open(services, goal, task, choice, base, contained, conflict)
        if attempt is None:
            return
        hold = False
        try:
            hold = await _work(attempt, ready)
        finally:
            # An ending that could not be recorded is recovered later, from what the worktree holds.
            await close(attempt, hold or task.state in AT_WORK)


def _base(services: Services, goal: GoalStatus, upon: Sequence[TaskStatus]) -> str:
    """Integration, and the ungated work that the task depends on; empty where that does not merge."""
    made = Chain(services, goal).commit(tuple(one.spec.id for one in upon))
    if isinstance(made, str):
        settle(services.repo, made, goal.integration)
        return made
    services.apart.add((goal.integration, *(one.commit for one in upon)))
    return ""


async def _conflict(services: Services, task: TaskStatus, base: str) -> Conflict | None:
    """What the attempt resolves; None: it does the task."""
    if task.resolve is None:
        return None
    by_agent = task.resolve["resolution"] == Rung.AGENT
    commands = services.settings.converge.regenerate
    return await services.git(
        resolving.look, services.repo, services.merger, base, task.commit, commands, by_agent=by_agent
    )


def _nobody(
    services: Services, goal: GoalStatus, task: TaskStatus, choice: Choice | NoAgent
) -> list[NewFact]:
    """What follows where no agent can work: the task has failed, or its conflict takes the next rung."""
    if isinstance(choice, Choice):
        return setbacks.nobody_resolves(services, goal, task, "by now other files conflict, too")
    reason = "; ".join(f"{name}: {why}" for name, why in choice.reasons.items())
    if task.resolve is not None:
        return setbacks.nobody_resolves(services, goal, task, f"no agent can resolve it: {reason}")
    data = {"class": FailureClass.AUTH, "reason": f"no agent can do it: {reason}"}
    return [NewFact(goal.id, Kind.FAILED, data, task.spec.id)]


async def _open(
    services: Services,
    goal: GoalStatus,
    task: TaskStatus,
    choice: Choice,
    base: str,
    upon: Mapping[str, str],
    conflict: Conflict | None,
) -> Attempt | None:
    """Verify the base, take a slot and record the start before anything runs.

    None: meanwhile the task was skipped, or a person took it.
    """
    await services.git(attempt_place.verify_base, services, goal, task, base, upon)
    if task.state not in (TaskState.PENDING, TaskState.WAITING):
        return None
    branch = names.task_branch(services.settings.git.branch_prefix, goal.id, task.spec.id)
    slot = services.pool.take(branch)
    attempt = attempt_place.attempt_in(services, goal, task, choice, base, slot, task.attempt + 1)
    attempt.conflict = conflict
    place = {"base": base, "branch": branch, "worktree": str(slot.path), "phase": attempt.phase}
    who = {"provider": choice.agent, "model": choice.model, "why": choice.why}
    started = attempt.fact(Kind.ATTEMPT_STARTED, token=services.token(), upon=dict(upon), **who, **place)
    try:
        services.record([started], durable=True)  # else a power loss would leave work that nobody knows of
    except LedgerFull:
        services.pool.give_back(slot, hold=services.pool.is_kept(slot))
        raise
    return attempt


async def _work(attempt: Attempt, ready: Callable[[], None]) -> bool:
    """Run the attempt; returns whether its worktree is kept for a look.  Calls `ready` once it is made."""
    services, task = attempt.services, attempt.task
    keep = services.settings.workspace.keep
    try:
        await services.git(attempt_place.prepare_worktree, attempt)
        ready()
        await attempt_place.provision(attempt)
        async with guarding.watched(attempt):
            await _applicable(attempt)
            (found, said), doubt = await _made(attempt)
        facts = await candidate(attempt, found, said)
        facts += _held(attempt, found, doubt) if doubt else []
    except NotApplicable as no:
        reason = f"not applicable: {no}"
        services.record([attempt.fact(Kind.SKIPPED, reason=reason, satisfies=True)])
        return False
    except AttemptFailed as failed:
        await _failed(attempt, failed)
        return keep == "always" or (keep == "failed" and task.ended)
    except asyncio.CancelledError:
        await _interrupted(attempt)
        raise
    services.record(facts)
    return keep == "always"


async def _made(attempt: Attempt) -> tuple[reviewing.Work, str]:
    """Run the agent, look at what it made and have it reviewed; again where a person had something to say.

    With the work, why a person has to look at it.
    """
    while True:
        outcome = Outcome(None) if attempt.needs_nobody else await words.run(attempt)
        await _rebuild(attempt)
        work = await accepted(attempt, outcome)
        reviewed = await reviewing.review(attempt, work, lambda: _again(attempt))
        if attempt.needs_nobody or not attempt.task.unheard:
            return reviewed


async def _applicable(attempt: Attempt) -> None:
    if attempt.task.spec.when is None or attempt.conflict is not None:
        return
    ending = await _run(attempt, attempt.task.spec.when, "when.log", 60)
    if ending.code != 0:
        raise NotApplicable(" ".join(attempt.task.spec.when))


async def _run(
    attempt: Attempt, argv: tuple[str, ...], log: str, timeout: float, cell: Cell | None = None
) -> Any:
    """Run one of the attempt's programs in its worktree, with its local tools first on PATH."""
    try:
        return await attempt.services.run(
            argv,
            cwd=attempt.slot.path,
            env=environment.with_local_tools(attempt.env, attempt.slot.path),
            log=attempt.run_dir / log,
            timeout=timeout,
            purpose=attempt.name,
            cell=cell,
        )
    except OSError as error:
        if out_of_space(error):
            raise
        raise AttemptFailed(
            FailureClass.BAD_CONFIG, f"cannot start {argv[0]}: {error.strerror or error}"
        ) from None


async def accepted(attempt: Attempt, outcome: Outcome) -> tuple[Snapshot, dict[str, Any]]:
    """Look at what the worktree holds, and check it; with it, what else is told of the attempt."""
    services, spec = attempt.services, attempt.task.spec
    limit = int(services.settings.limits.max_file_mb * 1024 * 1024)
    if attempt.conflict is not None:
        found = await services.git(harvest.look, services.repo, attempt.slot.path, attempt.base)
        await services.git(resolving.accept, services.repo, attempt.conflict, found, spec, limit)
        await _check(attempt)
        return found, {"summary": attempt.task.summary, "output": attempt.task.output}
    said = await _said(attempt, outcome)
    found = await services.git(harvest.look, services.repo, attempt.slot.path, attempt.base)
    attempt.tree = found.tree
    if found.tree == await services.git(services.repo.tree_of, attempt.base):
        if not spec.unchanged_is_fine:
            denied = f"; it was denied {', '.join(outcome.denials[:5])}" if outcome.denials else ""
            raise AttemptFailed(FailureClass.NO_CHANGE, "nothing was changed" + denied)
        await _check(attempt)
        return found, said
    outside = await services.git(harvest.refuse, services.repo, attempt.base, found, spec, limit)
    await _check(attempt)
    return found, {**said, "outside_scope": outside} if outside else said


async def _again(attempt: Attempt) -> tuple[Snapshot, dict[str, Any]]:
    """The agent works on in the same worktree, and it is looked at anew."""
    return await accepted(attempt, await words.run(attempt, corrects=True))


def _held(attempt: Attempt, found: Snapshot, doubt: str) -> list[NewFact]:
    """A person has to look at the candidate before it may land."""
    about = {"about": reviewing.REVIEW, "ids": [], "paths": list(found.changed)}
    return [attempt.fact(Kind.HELD, reason=doubt, doubt=about)]


async def candidate(attempt: Attempt, found: Snapshot, said: Mapping[str, Any]) -> list[NewFact]:
    """The facts of a candidate, or of nothing to change.

    Nothing to change on work that has not landed is no end yet: it lands, empty, behind that work, or not.
    """
    services, tasks = attempt.services, attempt.goal.tasks
    landed = all(tasks[name].state is TaskState.LANDED for name in attempt.task.upon)
    if landed and found.tree == await services.git(services.repo.tree_of, attempt.base):
        return [attempt.fact(Kind.UNCHANGED, commit=attempt.base, **said)]
    commit = await services.git(_commit, attempt, found.tree)
    made = {"commit": commit, "tree": found.tree, "paths": list(found.changed)}
    return [attempt.fact(Kind.CANDIDATE, **made, **said)]


async def _said(attempt: Attempt, outcome: Outcome) -> dict[str, Any]:
    """What the task tells those that depend on it: its last message, and the output that it declares."""
    spec = attempt.task.spec
    said: dict[str, Any] = {"summary": outcome.summary[:4000]} if outcome.summary else {}
    if spec.output is not None:
        message = outcome.summary if spec.run is None else tail(attempt.run_dir / "stream.log", outputs.LIMIT)
        said["output"] = await attempt.services.git(outputs.take, attempt.slot.path, spec.output, message)
    return said


async def _rebuild(attempt: Attempt) -> None:
    """Run the commands of `[converge.regenerate]` for their files, in the sandbox that set-up has."""
    conflict = attempt.conflict
    if conflict is None or not conflict.rebuilt:
        return
    confinement = attempt_place.setup_confinement(attempt)
    cell = await attempt.services.git(confinement.cell) if confinement else None
    env = attempt.env
    for path, command in conflict.rebuilt.items():
        attempt.env = {**env, "MO_FILE": path}
        timeout = attempt.services.settings.workspace.setup_timeout
        ending = await _run(attempt, argv_of(command), REBUILD_LOG, timeout, cell)
        if ending.code != 0:
            line = last_line(attempt.run_dir / REBUILD_LOG)
            how = "timed out" if ending.timed_out else f"exit code {ending.code}"
            raise AttemptFailed(FailureClass.CHECK_FAILED, f"cannot rebuild {path}, {how}: {line}")
    attempt.env = env


async def _check(attempt: Attempt) -> None:
    check = attempt.task.spec.check
    if check is None:
        return
    cell = await execution.check_cell(attempt)
    timeout = attempt.services.settings.gate.timeout
    ending = await _run(attempt, argv_of(check), "check.log", timeout, cell)
    if ending.code != 0:
        line = last_line(attempt.run_dir / "check.log")
        how = "timed out" if ending.timed_out else f"exit code {ending.code}"
        raise AttemptFailed(FailureClass.CHECK_FAILED, f"check failed, {how}: {line}")


def _commit(attempt: Attempt, tree: str) -> str:
    """One commit per accepted attempt: parent = base, tree = worktree; the agent's own commits are kept."""
    repo, spec = attempt.services.repo, attempt.task.spec
    ref = names.head(attempt.branch)
    tip = refs.read(repo, ref)
    head = harvest.own_head(repo, attempt.slot.path, attempt.base)
    for own in dict.fromkeys((tip, head)):
        if own and own != attempt.base:
            refs.keep(repo, attempt.goal.id, spec.id, attempt.n, own)
    trailers = {
        "Mo-Goal": attempt.goal.id,
        "Mo-Task": spec.id,
        "Mo-Attempt": str(attempt.n),
        "Mo-Agent": attempt.made_by,
    }
    message = provenance.message(spec.title or spec.id, spec.prompt, trailers)
    commit = repo.commit_tree(
        tree,
        [attempt.base, *_merged(attempt)],
        message,
        when=int(attempt.services.now()),
        author=attempt.services.author,
    )
    if not refs.swap(repo, ref, commit, tip, f"mo: candidate of {attempt.name}"):
        raise AttemptFailed(
            FailureClass.ISOLATION_BREACH, f"branch {attempt.branch} was moved by someone else"
        )
    return commit


def _merged(attempt: Attempt) -> list[str]:
    """A person's commit that was resolved stays in the history; an agent's is done anew."""
    conflict = attempt.conflict
    return [conflict.commit] if conflict is not None and attempt.task.spec.from_ref else []


async def _keep(services: Services, goal: str, task: str, n: int, slot: Slot, base: str) -> str:
    when = int(services.now())
    return await services.git(harvest.keep, services.repo, slot.path, base, goal, task, n, when)


async def _failed(attempt: Attempt, failed: AttemptFailed) -> None:
    """Keep the work, record the failure and what follows from it."""
    services, task = attempt.services, attempt.task
    kept = await _keep(services, attempt.goal.id, task.spec.id, attempt.n, attempt.slot, attempt.base)
    data = {"class": failed.failure, "reason": failed.reason, "kept": kept, **failed.evidence}
    log = tail(attempt.run_dir / "check.log") or tail(attempt.run_dir / "stream.log")
    facts = [attempt.fact(Kind.ATTEMPT_FAILED, log=log[-1500:], **data)]
    stated = failed.evidence.get("retry_at")
    facts += setbacks.follow_up(
        services, attempt.goal, task, attempt.n, failed.failure, failed.reason, stated
    )
    services.record(facts)
    _write_result(attempt.run_dir, data)


async def _interrupted(attempt: Attempt) -> None:
    """Cancelled by a person, or the daemon stops: the work is kept.  One who takes it over finds it there."""
    services, goal = attempt.services, attempt.goal
    if attempt.task.state is TaskState.TAKEN:
        return
    kept = await _keep(services, goal.id, attempt.task.spec.id, attempt.n, attempt.slot, attempt.base)
    given_up = next((name for name in attempt.task.upon if goal.tasks[name].ended), "")
    other = f"{given_up}, which it was built on, did not land" if given_up else "the daemon was stopped"
    reason = goal.cancelling or f"{other} while this attempt ran"
    services.record(setbacks.interrupted(services, goal, attempt.task, reason, kept))


async def close(attempt: Attempt, hold: bool) -> None:
    """Tear down and give the slot back; a kept worktree stays on its branch, a person's as it is."""
    services = attempt.services
    if attempt.task.state is TaskState.TAKEN:
        services.pool.give_back(attempt.slot, hold=True)
        return
    try:
        if services.settings.workspace.teardown:
            contained = services.containment.setup
            with services.program(f"teardown of {attempt.name}", contained=contained) as token:
                await services.provisioner.teardown(
                    attempt.slot.path,
                    env=attempt.env,
                    token=token,
                    log=attempt.run_dir / "teardown.log",
                    confinement=attempt_place.setup_confinement(attempt),
                )
        if not hold:
            await services.git(services.pool.detach, attempt.slot, attempt.base)
    finally:
        services.pool.give_back(attempt.slot, hold=hold or services.pool.is_kept(attempt.slot))


def _write_result(run_dir: Path, data: Mapping[str, Any]) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "result.json").write_text(json.dumps(data, indent=1))


async def recover_attempt(services: Services, goal: GoalStatus, task: TaskStatus) -> None:
    """An attempt that nobody runs (its daemon was killed): keep what it left, then schedule another."""
    last = task.attempts[-1]
    kept = ""
    slot = services.pool.held_at(last.worktree)  # whatever the agent did to its HEAD
    begun = services.home.run_dir(goal.id, task.spec.id, last.n).exists()  # else it is a half-made checkout
    if slot is not None and begun:
        kept = await _keep(services, goal.id, task.spec.id, last.n, slot, last.base)
    reason = "the daemon ended while this attempt ran"
    data = {"class": FailureClass.LOST, "reason": reason, "kept": kept}
    used = await usage_of_lost(services, goal, task, last)
    services.record(
        [
            *used,
            NewFact(goal.id, Kind.ATTEMPT_FAILED, data, task.spec.id, last.n),
            *setbacks.follow_up(services, goal, task, last.n, FailureClass.LOST, reason),
        ]
    )
    if slot is not None and task.state is TaskState.WAITING:
        await services.git(services.pool.detach, slot, last.base)
        services.pool.give_back(slot)
