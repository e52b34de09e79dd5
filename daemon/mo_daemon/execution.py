"""Who does a task, how the agent is run for it, and what it cost."""

from __future__ import annotations

from mo_daemon import environment, harvest, names, paid_run, quarters, templates
from mo_daemon.agent_run import Deadlines
from mo_daemon.agents.protocol import Job, Outcome
from mo_daemon.attempt_context import Attempt
from mo_daemon.briefing import TEAM_FILES, brief
from mo_daemon.budget import exhausted
from mo_daemon.classify import GiveUp, next_step
from mo_daemon.containment import Cell
from mo_daemon.harvest import AttemptFailed
from mo_daemon.paid_run import COMMAND, PaidRun, retry_settings
from mo_daemon.routing import Choice, NoAgent, Wish, route
from mo_daemon.services import Services, tail
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.model import UNUSABLE, FailureClass, GoalSpec, Kind, NewFact, Phase, TaskSpec


def assign(
    services: Services, goal: GoalSpec, task: TaskSpec, avoid: frozenset[str] = frozenset()
) -> Choice | NoAgent:
    """Who does the task: a command by itself, a prompt by the agent that routing names."""
    if task.run is not None:
        return Choice(COMMAND, "", "run")
    phase_flag = goal.phase_providers.get(Phase.EXECUTE, "")
    wish = Wish(goal.provider, task.provider, phase_flag, task.model, task.complexity)
    return route(Phase.EXECUTE, wish, services.routes, avoid)


def avoided(task: TaskStatus) -> frozenset[str]:
    """Providers that the task's recent failures speak against."""
    failed = [attempt for attempt in task.attempts if attempt.failure]
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
        Phase.EXECUTE,
        attempt.name,
        spec.id,
        attempt.n,
        limit_usd=attempt_limit(services, spec),
    )
    await _enter_cell(attempt, paid)
    deadlines = paid.deadlines(spec.timeout)
    if spec.run is not None:  # a command may be silent as long as it likes
        deadlines = Deadlines(deadlines.total, deadlines.total, deadlines.total)
    env = environment.with_local_tools(attempt.env, attempt.slot.path)
    finished = await paid.perform(await _job(attempt, paid), env, deadlines, attempt.cell)
    outcome, ending = finished.outcome, finished.ending
    ended = attempt.fact(
        Kind.AGENT_ENDED,
        exit_code=ending.code,
        seconds=round(ending.seconds, 3),
        timed_out=ending.timed_out,
        session=outcome.session,
    )
    services.record([ended, *paid.usage(outcome.usage)])
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


async def _job(attempt: Attempt, paid: PaidRun) -> Job:
    services, task = attempt.services, attempt.task
    if task.spec.run is not None:
        return Job(Phase.EXECUTE, "", attempt.slot.path, attempt.run_dir, argv=task.spec.run)
    wanted = [name for name in TEAM_FILES if name not in attempt.agent.reads]
    team = await services.git(harvest.team_files, attempt.slot.path, wanted)
    log = tail(services.home.run_dir(attempt.goal.id, task.spec.id, attempt.n - 1) / "check.log")
    template = await services.git(templates.load, "execute", services.home, services.environ)
    lessons = await services.git(templates.lessons, services.home, services.environ)
    declared = {}
    if attempt.cell is not None:  # nowhere else is a hook contained
        declared = await services.git(quarters.trusted_files, services, attempt.slot.path)
    return Job(
        Phase.EXECUTE,
        brief(template, attempt.goal, task, team, log, lessons, goes_on=attempt.goes_on),
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


def attempt_limit(services: Services, task: TaskSpec) -> float:
    """US dollars that one attempt of the task may cost; 0: no limit."""
    own = task.agent.max_budget_usd
    return services.settings.budget.attempt_usd if own is None else own


def follow_up(
    services: Services,
    goal: GoalStatus,
    task: TaskStatus,
    n: int,
    failure: FailureClass,
    reason: str,
    stated: float | None = None,
) -> list[NewFact]:
    """What a failed attempt leads to: another try later, failed for good, or a goal that stops."""
    task_id, now = task.spec.id, services.now()
    again = NewFact(goal.id, Kind.RETRY_SCHEDULED, {"not_before": now, "why": reason}, task_id, n)
    if failure is FailureClass.SETUP_FAILED:
        return [again, NewFact(goal.id, Kind.SETUP_FAILED, {"reason": f"set-up failed: {reason}"})]
    provider = task.attempts[-1].provider
    if failure is FailureClass.BUDGET:
        spent = exhausted(*services.money(goal), provider)
        if spent or not attempt_limit(services, task.spec):
            return [again, NewFact(goal.id, Kind.BUDGET_SPENT, {"reason": spent or reason})]
    if failure in UNUSABLE and task.spec.run is None and _somebody_else(services, goal, task, provider):
        return [again]
    agent = services.agents.get(provider)
    step = next_step(
        failure,
        reason,
        task.failures,
        retry_settings(services),
        attempts=sum(name not in _UNCOUNTED for name in task.failures) + 1,
        max_attempts=task.spec.max_attempts,
        can_rework=agent is not None and agent.can_rework,
        now=now,
        jitter=services.jitter(),
        stated=stated,
    )
    if isinstance(step, GiveUp):
        return [NewFact(goal.id, Kind.FAILED, {"class": failure, "reason": step.why}, task_id, n)]
    data = {"not_before": step.not_before, "why": step.why}
    return [NewFact(goal.id, Kind.RETRY_SCHEDULED, data, task_id, n)]


def _somebody_else(services: Services, goal: GoalStatus, task: TaskStatus, provider: str) -> bool:
    """Whether routing would give the task to a provider that did not prove unusable yet."""
    avoid = avoided(task) | {provider}
    choice = assign(services, goal.spec, task.spec, avoid)
    return isinstance(choice, Choice) and choice.agent not in avoid


# Neither the agent's fault nor the task's: they count against no limit.
_UNCOUNTED = frozenset({FailureClass.LOST, FailureClass.SETUP_FAILED})
