"""Who does a task, how the agent is run for it, and what it cost."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

from mo_daemon import environment, harvest, names, templates
from mo_daemon.agent_run import Deadlines, run_agent
from mo_daemon.agents.protocol import Job, Outcome, Usage
from mo_daemon.attempt_context import Attempt
from mo_daemon.briefing import TEAM_FILES, brief
from mo_daemon.budget import exhausted, room
from mo_daemon.classify import PASSING, UNUSABLE, GiveUp, RetrySettings, next_step
from mo_daemon.harvest import AttemptFailed
from mo_daemon.routing import Choice, NoAgent, Wish, route
from mo_daemon.services import Services, out_of_space, tail
from mo_git.lifecycle import GoalStatus, TaskStatus
from mo_git.model import FailureClass, GoalSpec, Kind, NewFact, Phase, TaskSpec

COMMAND = "command"
# With one of these in the environment an agent gets a private state directory per task; without, it shares
# the user's own, where the login is.
KEYS = {
    "claude": ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
    "codex": ("CODEX_API_KEY", "OPENAI_API_KEY"),
}


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
    """Providers to leave alone: those that cannot work here, and one that failed three times in a row."""
    failed = [attempt for attempt in task.attempts if attempt.failure]
    recent = failed[len(failed) - len(task.failures) :] if task.failures else []
    avoided = {attempt.provider for attempt in recent if attempt.failure in UNUSABLE}
    last = recent[-3:]
    if len(last) == 3 and all(attempt.failure in PASSING for attempt in last):
        avoided |= {attempt.provider for attempt in last}
    return frozenset(avoided)


async def run(attempt: Attempt) -> Outcome:
    """Run the agent; its usage is recorded whatever came of it."""
    services, task = attempt.services, attempt.task.spec
    await _enter_cell(attempt)
    try:
        finished = await run_agent(
            services,
            attempt.agent,
            await _job(attempt),
            environment.with_local_tools(attempt.env, attempt.slot.path),
            _deadlines(attempt),
            purpose=attempt.name,
            listen=lambda event: services.say(attempt.name, event),
            must_stop=lambda usage: _over_budget(attempt, usage),
            cell=attempt.cell,
        )
    except OSError as error:
        if out_of_space(error):
            raise
        program = task.run[0] if task.run else attempt.agent.name
        raise AttemptFailed(
            FailureClass.BAD_CONFIG, f"cannot start {program}: {error.strerror or error}"
        ) from None
    finally:
        services.live.pop(attempt.name, None)
        services.say(attempt.name, None)
    outcome, ending = finished.outcome, finished.ending
    ended = attempt.fact(
        Kind.AGENT_ENDED,
        exit_code=ending.code,
        seconds=round(ending.seconds, 3),
        timed_out=ending.timed_out,
        session=outcome.session,
    )
    services.record([ended, *_usage(attempt, outcome.usage)])
    if outcome.failure is not None:
        raise AttemptFailed(outcome.failure, outcome.reason, exit_code=ending.code, retry_at=outcome.retry_at)
    return outcome


async def _enter_cell(attempt: Attempt) -> None:
    """The sandbox of a restricted agent, where the platform has one; the guard tier elsewhere."""
    services, goal = attempt.services, attempt.goal
    if attempt.agent.name == COMMAND:
        return
    attempt.state_dir = _state_dir(attempt)
    settings = services.settings
    modes = {
        "claude": settings.claude.execution_security_mode,
        "codex": settings.codex.execution_security_mode,
    }
    if modes[attempt.agent.name] != "restricted" or not services.containment.tier.contained:
        return
    seen = {names.base_ref(goal.id): goal.base, names.head(attempt.branch): attempt.base}
    for name in attempt.task.spec.depends_on:
        if commit := goal.tasks[name].commit:
            seen[names.head(names.task_branch(settings.git.branch_prefix, goal.id, name))] = commit
    attempt.cell = await services.git(
        services.containment.cell,
        services.repo,
        f"{goal.id}/{attempt.task.spec.id}",
        attempt.slot.path,
        seen,
        attempt.state_dir,
    )


async def _job(attempt: Attempt) -> Job:
    services, task = attempt.services, attempt.task
    if task.spec.run is not None:
        return Job(Phase.EXECUTE, "", attempt.slot.path, attempt.run_dir, argv=task.spec.run)
    wanted = [name for name in TEAM_FILES if name not in attempt.agent.reads]
    team = await services.git(harvest.team_files, attempt.slot.path, wanted)
    log = tail(services.home.run_dir(attempt.goal.id, task.spec.id, attempt.n - 1) / "check.log")
    template = await services.git(templates.load, "execute", services.home, services.environ)
    left = room(*services.money(attempt.goal), attempt.agent.name)
    return Job(
        Phase.EXECUTE,
        brief(template, attempt.goal, task, team, log),
        attempt.slot.path,
        attempt.run_dir,
        environ=services.environ,
        model=attempt.model,
        budget_usd=None if math.isinf(left) else left,
        state_dir=attempt.state_dir,
        contained=attempt.cell is not None,
    )


def _state_dir(attempt: Attempt) -> Path | None:
    """A private place for the CLI's sessions and settings; None: the user's own, where the login is."""
    services, name = attempt.services, attempt.agent.name
    if not any(services.environ.get(key) for key in KEYS.get(name, ())):
        return _own_state(attempt)
    path = services.state / "agents" / attempt.goal.id / attempt.task.spec.id / name
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _own_state(attempt: Attempt) -> Path | None:
    """The user's own directory of the CLI, named only where a sandbox would hide it."""
    services = attempt.services
    place = {"claude": ".claude", "codex": ".codex"}.get(attempt.agent.name)
    home = services.environ.get("HOME")
    if not (place and home and services.containment.tier.contained):
        return None
    own = Path(home) / place
    return own if own.is_dir() else None


def _deadlines(attempt: Attempt) -> Deadlines:
    settings = attempt.services.settings
    defaults = {"claude": settings.claude.default_timeout, "codex": settings.codex.default_timeout}
    total = attempt.task.spec.timeout or defaults.get(attempt.agent.name, settings.command.default_timeout)
    if attempt.task.spec.run is not None:  # a command may be silent as long as it likes
        return Deadlines(total, total, total)
    return Deadlines(settings.agents.first_event_seconds, settings.agents.idle_seconds, total)


def _over_budget(attempt: Attempt, usage: Usage) -> str:
    """Asked at every usage event of a running agent."""
    services = attempt.services
    services.live[attempt.name] = (attempt.goal.id, attempt.agent.name, usage.cost_usd)
    return exhausted(*services.money(attempt.goal), attempt.agent.name)


def _usage(attempt: Attempt, usage: Usage) -> list[NewFact]:
    if attempt.agent.name == COMMAND:
        return []
    who = {"provider": attempt.agent.name, "model": attempt.model, "phase": Phase.EXECUTE}
    return [attempt.fact(Kind.USAGE, **who, **asdict(usage))]


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
    if failure is FailureClass.BUDGET:
        return [again, NewFact(goal.id, Kind.BUDGET_SPENT, {"reason": reason})]
    provider = task.attempts[-1].provider
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


def retry_settings(services: Services) -> RetrySettings:
    retry = services.settings.retry
    return RetrySettings(retry.max_attempts, retry.base_seconds, retry.max_seconds, retry.same_way)
