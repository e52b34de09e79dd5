"""Who does a task, how the agent is run for it, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mo_daemon import (
    compacting,
    environment,
    harvest,
    names,
    paid_run,
    quarters,
    resolving,
    sessions,
    templates,
)
from mo_daemon.agent_run import Deadlines, Finished
from mo_daemon.agents.protocol import Job, Outcome, Usage
from mo_daemon.attempt_context import Attempt
from mo_daemon.briefing import brief, checked_by, unread
from mo_daemon.containment import Cell
from mo_daemon.escalation import LARGE, level
from mo_daemon.harvest import AttemptFailed
from mo_daemon.ladder import Rung
from mo_daemon.paid_run import COMMAND, PaidRun
from mo_daemon.prompts import data_block, fill
from mo_daemon.routing import Choice, NoAgent, Wish, route
from mo_daemon.services import Services, tail
from mo_git.git import refs
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.model import FailureClass, GoalSpec, Kind, Phase, TaskSpec
from mo_git.text import count


def assign(
    services: Services,
    goal: GoalSpec,
    task: TaskSpec,
    avoid: frozenset[str] = frozenset(),
    failures: Sequence[str] = (),
) -> Choice | NoAgent:
    """Who does the task: a command by itself, a prompt by the agent that routing names.

    `failures` (classes) of earlier attempts may ask for a stronger model.
    """
    if not task.by_agent:
        return Choice(COMMAND, "", "run" if task.run is not None else "from")
    phase_flag = goal.phase_providers.get(Phase.EXECUTE, "")
    wish = Wish(goal.provider, task.provider, phase_flag, task.model, task.complexity)
    first = route(Phase.EXECUTE, wish, services.routes, avoid, services.resting())
    raised = replace(wish, level=level(task.complexity, failures))
    choice = route(Phase.EXECUTE, raised, services.routes, avoid, services.resting())
    if isinstance(first, Choice) and isinstance(choice, Choice) and choice.model != first.model:
        failed = count(len(failures), "failed attempt")
        return replace(choice, why=f"{choice.why}; the model for {raised.level} after {failed}")
    return choice


def resolver(services: Services, goal: GoalSpec, avoid: frozenset[str] = frozenset()) -> Choice | NoAgent:
    """Who resolves a conflict of the goal's tasks."""
    wish = Wish(goal.provider, "", goal.phase_providers.get(Phase.RESOLVE, ""))
    return route(Phase.RESOLVE, wish, services.routes, avoid, services.resting())


def chosen(
    services: Services, goal: GoalStatus, task: TaskStatus, avoid: frozenset[str] = frozenset()
) -> Choice | NoAgent:
    """Who makes the next attempt of a task: it may come back only to have a conflict resolved."""
    if task.resolve is None:
        return assign(services, goal.spec, task.spec, avoid, task.failures)
    if task.resolve["resolution"] == Rung.AGENT:
        return resolver(services, goal.spec, avoid)
    return Choice(COMMAND, "", "rebuilds what conflicts")


def avoided(task: TaskStatus) -> frozenset[str]:
    """Providers that the task's recent failures speak against."""
    # what a person sent back is no entry of `failures`
    failed = [attempt for attempt in task.attempts if attempt.failure and not attempt.sent_back]
    recent = failed[len(failed) - len(task.failures) :] if task.failures else []
    return paid_run.avoided([(attempt.provider, attempt.failure) for attempt in recent])


async def run(attempt: Attempt) -> Outcome:
    """Run the agent; its usage is recorded whatever came of it."""
    services, spec = attempt.services, attempt.task.spec
    paid = PaidRun(
        services,
        attempt.goal,
        attempt.agent,
        attempt.model,
        attempt.phase,
        attempt.name,
        spec.id,
        attempt.n,
        limit_usd=limit_left(attempt),
    )
    await _enter_cell(attempt, paid)
    deadlines = paid.deadlines(spec.timeout)
    if spec.run is not None:  # a command may be silent as long as it likes
        deadlines = Deadlines(deadlines.total, deadlines.total, deadlines.total)
    env = environment.with_local_tools(attempt.env, attempt.slot.path)

    def started(session: str) -> None:
        services.record([attempt.fact(Kind.SESSION_STARTED, session=session)])

    async def perform(session: str) -> Finished:
        job = await _job(attempt, paid, session)
        return await paid.perform(job, env, deadlines, attempt.cell, started)

    session = _going_on(attempt)
    finished = await perform(session)
    if session and finished.outcome.failure is FailureClass.CRASH and not finished.outcome.session:
        if finished.outcome.usage != Usage():  # what it cost until then was paid for all the same
            services.record(paid.usage(finished.outcome))
            paid = replace(paid, limit_usd=limit_left(attempt))
        finished = await perform("")  # its CLI has lost the session
    outcome, ending = finished.outcome, finished.ending
    ended = attempt.fact(
        Kind.AGENT_ENDED,
        exit_code=ending.code,
        seconds=round(ending.seconds, 3),
        timed_out=ending.timed_out,
        session=outcome.session,
    )
    services.record([ended, *paid.usage(outcome)])
    if outcome.failure is not None:
        raise AttemptFailed(outcome.failure, outcome.reason, exit_code=ending.code, retry_at=outcome.retry_at)
    return outcome


async def _enter_cell(attempt: Attempt, paid: PaidRun) -> None:
    attempt.state_dir, attempt.cell = await paid.enclosure(
        attempt.task.spec.id, attempt.slot.path, refs_seen(attempt)
    )


def refs_seen(attempt: Attempt) -> dict[str, str]:
    """What an attempt's view of the repository names: bases, its own branch, its dependencies' work."""
    goal, prefix = attempt.goal, attempt.services.settings.git.branch_prefix
    seen = {names.base_ref(goal.id): goal.base, names.head(attempt.branch): attempt.base}
    for name in attempt.task.spec.depends_on:
        if commit := goal.tasks[name].commit:
            seen[names.head(names.task_branch(prefix, goal.id, name))] = commit
    return seen


async def check_cell(attempt: Attempt) -> Cell | None:
    """Where the task's check runs; None: with the person's own rights."""
    services = attempt.services
    if not services.containment.gates:
        return None
    if attempt.cell is not None:
        return attempt.cell
    label = f"{attempt.goal.id}/{attempt.task.spec.id}"
    make = services.containment.cell
    return await services.git(make, services.repo, label, attempt.slot.path, refs_seen(attempt), None)


def _going_on(attempt: Attempt) -> str:
    """The session in which the agent corrects its own work: for a reviewer, or since a person asked."""
    task, here = attempt.task, (attempt.agent.name, str(attempt.slot.path))
    if attempt.asked:
        return sessions.resumable(task.attempts[-1], *here)
    earlier = task.attempts[-2] if attempt.goes_on and len(task.attempts) > 1 else None
    if earlier is None or not earlier.sent_back:
        return ""
    if session := sessions.resumable(earlier, *here):
        attempt.asked = data_block("what a person asks for", earlier.reason)
    return session


async def _job(attempt: Attempt, paid: PaidRun, session: str) -> Job:
    services, task = attempt.services, attempt.task
    if task.spec.run is not None:
        return Job(Phase.EXECUTE, "", attempt.slot.path, attempt.run_dir, argv=task.spec.run)
    team = await services.git(harvest.team_files, attempt.slot.path, unread(attempt.agent.reads))
    declared = {}
    if attempt.cell is not None:  # nowhere else is a hook contained
        declared = await services.git(quarters.trusted_files, services, attempt.slot.path)
    prompt = await (_rework(attempt) if session else _brief(attempt, team))
    job = Job(
        attempt.phase,
        prompt,
        attempt.slot.path,
        attempt.run_dir,
        environ=services.environ,
        model=attempt.model,
        max_turns=task.spec.agent.max_turns,
        effort=task.spec.agent.effort,
        budget_usd=paid.budget(),
        state_dir=attempt.state_dir,
        contained=attempt.cell is not None,
        trusted_files=declared,
    )
    return sessions.resumed(job, task, session)


async def _rework(attempt: Attempt) -> str:
    """What an agent is told that knows its task already."""
    services, spec = attempt.services, attempt.task.spec
    template = await services.git(templates.load, "rework", services.home, services.environ)
    values = {"title": spec.title or spec.id, "asked": attempt.asked, "check": checked_by(spec)}
    return fill(template, values)


async def _brief(attempt: Attempt, team: Mapping[str, str]) -> str:
    services, goal, task = attempt.services, attempt.goal, attempt.task
    earlier = task.attempts[-2] if len(task.attempts) > 1 else None
    passed = earlier is not None and earlier.failure == FailureClass.GATE_RED  # its check has nothing to say
    log = "" if passed else tail(services.home.run_dir(goal.id, task.spec.id, attempt.n - 1) / "check.log")
    template = await services.git(templates.load, str(attempt.phase), services.home, services.environ)
    lessons = await services.git(templates.lessons, services.home, services.environ)
    if attempt.conflict is None:
        before = await services.git(_overflowed, attempt) if earlier else ""
        return brief(
            template,
            goal,
            task,
            team,
            log,
            lessons,
            goes_on=attempt.goes_on,
            asked=attempt.asked,
            before=before,
        )
    return await services.git(
        resolving.brief, template, services.repo, attempt.conflict, goal, task, team, log, lessons
    )


def _overflowed(attempt: Attempt) -> str:
    """What the session before left, where its context was full; empty: it was not."""
    services, task = attempt.services, attempt.task
    earlier = task.attempts[-2]
    if earlier.failure != FailureClass.CONTEXT_OVERFLOW:
        return ""
    kept = refs.read(services.repo, earlier.kept) if earlier.kept.startswith("refs/") else None
    found = services.repo.changes(earlier.base, services.repo.tree_of(kept)) if kept else []
    changes = {change.path: change.status for change in found}
    stream = tail(services.home.run_dir(attempt.goal.id, task.spec.id, earlier.n) / "stream.jsonl", 64_000)
    return compacting.carried_over(changes, stream, goes_on=attempt.goes_on)


def has_larger(services: Services, task: TaskStatus) -> bool:
    """Whether the agent of the newest attempt has a model for what overflowed its context twice."""
    models = services.routes.models.get(task.provider, {})
    return not task.spec.model and bool(models.get(LARGE))


def limit_left(attempt: Attempt) -> float:
    """What the attempt's next run may cost; 0: no limit.  AttemptFailed (budget) where all is spent."""
    limit = attempt_limit(attempt.services, attempt.task.spec)
    left = limit - attempt.task.attempts[-1].spent.cost_usd
    if limit and left <= 0:
        raise AttemptFailed(FailureClass.BUDGET, f"the attempt's budget of ${limit:.2f} is spent")
    return max(left, 0.0) if limit else 0.0


def attempt_limit(services: Services, task: TaskSpec) -> float:
    """US dollars that one attempt of the task may cost; 0: no limit."""
    own = task.agent.max_budget_usd
    return services.settings.budget.attempt_usd if own is None else own
