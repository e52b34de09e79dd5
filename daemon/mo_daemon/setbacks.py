"""What follows when an attempt fails or a candidate cannot land: one place for all of it, as facts.

A failed attempt is tried again by its class.  A conflict takes the next rung of its ladder, and what cannot
be resolved the one after.  A red gate sends an agent's task back with the evidence, and puts any other out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mo_daemon import execution, queue, resolving
from mo_daemon.budget import exhausted
from mo_daemon.classify import GiveUp, TryAgain, next_step
from mo_daemon.ladder import Rung, Situation, next_rung
from mo_daemon.paid_run import retry_settings
from mo_daemon.routing import Choice
from mo_daemon.services import Services
from mo_git.git.merge import Merge
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.model import UNUSABLE, FailureClass, Kind, NewFact

# Neither the agent's fault nor the task's: they count against no limit.
_UNCOUNTED = frozenset({FailureClass.LOST, FailureClass.SETUP_FAILED, FailureClass.CROWDED})
_LOST_TOO = 5  # times the limit of attempts: more than that, and the task itself is what ends the daemon
_WAYS = {
    Rung.REGENERATE: "rebuilt by its command",
    Rung.AGENT: "an agent resolves it",
    Rung.REDO: "done again on the new base",
}

# -- a failed attempt ---------------------------------------------------------------------------------


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
    now = services.now()
    again = about(goal, task, Kind.RETRY_SCHEDULED, not_before=now, why=reason)
    if failure is FailureClass.SETUP_FAILED:
        return [again, NewFact(goal.id, Kind.SETUP_FAILED, {"reason": f"set-up failed: {reason}"})]
    provider = task.attempts[-1].provider
    if failure is FailureClass.BUDGET:
        spent = exhausted(*services.money(goal), provider)
        if spent or not execution.attempt_limit(services, task.spec):
            return [again, NewFact(goal.id, Kind.BUDGET_SPENT, {"reason": spent or reason})]
    if failure in UNUSABLE and task.spec.by_agent and _somebody_else(services, goal, task, provider):
        return [again]
    step = _next_step(services, task, failure, reason, stated)
    if isinstance(step, TryAgain):
        return [about(goal, task, Kind.RETRY_SCHEDULED, not_before=step.not_before, why=step.why)]
    if task.resolve is not None:
        return _unresolved(services, goal, task, failure, step.why)
    return [about(goal, task, Kind.FAILED, **{"class": failure, "reason": step.why})]


def worn_out(services: Services, goal: GoalStatus, task: TaskStatus) -> list[NewFact]:
    """What follows instead of another attempt where the task had all of its own, by whatever path."""
    limit = task.spec.max_attempts or services.settings.retry.max_attempts
    counted = sum(name not in _UNCOUNTED for name in task.failures)
    if counted < limit and len(task.failures) < limit * _LOST_TOO:
        return []
    failure = FailureClass(task.failures[-1])
    why = f"{task.attempts[-1].reason} ({counted} of {limit} attempts failed, {len(task.failures)} in all)"
    if task.resolve is not None:
        return _unresolved(services, goal, task, failure, why)
    return [about(goal, task, Kind.FAILED, **{"class": failure, "reason": why})]


def _next_step(
    services: Services, task: TaskStatus, failure: FailureClass, reason: str, stated: float | None = None
) -> TryAgain | GiveUp:
    agent = services.agents.get(task.attempts[-1].provider)
    return next_step(
        failure,
        reason,
        task.failures,
        retry_settings(services),
        attempts=sum(name not in _UNCOUNTED for name in task.failures) + 1,
        max_attempts=task.spec.max_attempts,
        can_rework=agent is not None and agent.can_rework,
        now=services.now(),
        jitter=services.jitter(),
        stated=stated,
        more=int(failure is FailureClass.CONTEXT_OVERFLOW and execution.has_larger(services, task)),
    )


def _somebody_else(services: Services, goal: GoalStatus, task: TaskStatus, provider: str) -> bool:
    """Whether routing would give the task to a provider that did not prove unusable yet."""
    avoid = execution.avoided(task) | {provider}
    choice = execution.chosen(services, goal, task, avoid)
    return isinstance(choice, Choice) and choice.agent not in avoid


def interrupted(
    services: Services, goal: GoalStatus, task: TaskStatus, reason: str, kept: str
) -> list[NewFact]:
    """Cancelled by a person, or the daemon stops: nobody counts it as a failure."""
    failure = FailureClass.CANCELLED if goal.cancelling else FailureClass.LOST
    ended = about(goal, task, Kind.ATTEMPT_FAILED, **{"class": failure, "reason": reason, "kept": kept})
    if goal.cancelling:
        return [ended, about(goal, task, Kind.TASK_CANCELLED, reason=reason)]
    return [ended, about(goal, task, Kind.RETRY_SCHEDULED, not_before=services.now(), why=reason)]


# -- a red gate ---------------------------------------------------------------------------------------


def red(services: Services, goal: GoalStatus, task: TaskStatus, evidence: Mapping[str, Any]) -> list[NewFact]:
    """A gate has a confirmed case against a candidate: `evidence` is {why, evidence: {failed_ids, ...}}.

    An agent's task is reworked from the integration head, going on from its own work; what no agent made
    would be the same again.
    """
    out = about(goal, task, Kind.EJECTED, **evidence)
    if not task.spec.by_agent:
        return [out]
    step = _next_step(services, task, FailureClass.GATE_RED, evidence["why"])
    if isinstance(step, GiveUp):
        return [about(goal, task, Kind.EJECTED, **{**evidence, "why": step.why})]
    data = {"not_before": step.not_before, "why": step.why, "class": FailureClass.GATE_RED}
    return [about(goal, task, Kind.RETRY_SCHEDULED, **data, red=dict(evidence["evidence"]))]


# -- a conflict ---------------------------------------------------------------------------------------


async def conflict(
    services: Services, goal: GoalStatus, task: TaskStatus, merge: Merge, head: str
) -> list[NewFact]:
    """A candidate does not merge into `head`: the next rung of its ladder."""
    others = await services.git(_conflicting, services, goal, task, merge.conflicts)
    lines = await services.git(resolving.by_lines, services.repo, merge, head, task.commit)
    found = {"with": others, "paths": list(merge.conflicts)}
    return climb(services, goal, task, found, lines)


def climb(
    services: Services,
    goal: GoalStatus,
    task: TaskStatus,
    found: Mapping[str, Any],
    lines: bool,
    *,
    above: Rung | None = None,
    why: str = "",
) -> list[NewFact]:
    """The facts of the next rung.

    `found`: whom it conflicts with, and in which paths; `lines`: whether all of them can be merged by their
    lines; `above`: the rung that failed, and `why`.
    """
    rung = next_rung(_situation(services, goal, task, found["paths"], lines), above)
    data = {**found, "resolution": rung}
    if rung is Rung.PERSON:
        return [about(goal, task, Kind.CONFLICT, **data, **({"why": why} if why else {}))]
    beside = f" with {', '.join(found['with'])}" if found["with"] else ""
    said = f"conflict in {', '.join(found['paths'])}{beside}: {_WAYS[rung]}" + (f" ({why})" if why else "")
    return [
        about(
            goal, task, Kind.RETRY_SCHEDULED, not_before=services.now(), why=said, conflict=data, lines=lines
        )
    ]


def done_again(services: Services, goal: GoalStatus, task: TaskStatus, merge: Merge) -> list[NewFact]:
    """Work that cannot be moved from a base that did not land: there are no two intents to keep here."""
    found = {"with": list(task.upon), "paths": list(merge.conflicts)}
    return climb(services, goal, task, found, lines=False, above=Rung.AGENT)


def _situation(
    services: Services, goal: GoalStatus, task: TaskStatus, paths: Sequence[str], lines: bool
) -> Situation:
    settings = services.settings.converge
    usable = (
        task.spec.by_agent
        and settings.resolve == "auto"
        and lines
        and isinstance(execution.resolver(services, goal.spec), Choice)
    )
    rebuilt = resolving.rebuilders(paths, settings.regenerate)
    again = not (task.spec.from_ref or task.by_hand)  # nobody but its person does that person's work again
    return Situation(bool(paths) and len(rebuilt) == len(paths), usable, again, task.rungs)


def _unresolved(
    services: Services, goal: GoalStatus, task: TaskStatus, failure: FailureClass, why: str
) -> list[NewFact]:
    """An attempt could not resolve its conflict: the next rung; a person where it would lose lines."""
    assert task.resolve is not None
    found = {key: task.resolve[key] for key in ("with", "paths")}
    lossy = failure is FailureClass.CONFLICT
    above = Rung.REDO if lossy else Rung(task.resolve["resolution"])
    return climb(services, goal, task, found, task.resolve["lines"], above=above, why=why)


def nobody_resolves(services: Services, goal: GoalStatus, task: TaskStatus, why: str) -> list[NewFact]:
    """The agent that was to resolve a conflict is not there any more."""
    return _unresolved(services, goal, task, FailureClass.AUTH, why)


def _conflicting(services: Services, goal: GoalStatus, task: TaskStatus, paths: Sequence[str]) -> list[str]:
    base = task.attempts[-1].base
    landed = [
        (other.spec.id, other.paths)
        for landing in goal.landings
        for other in (goal.tasks[name] for name in landing["tasks"])
    ]
    contained = {name: services.repo.is_ancestor(goal.tasks[name].landed_commit, base) for name, _ in landed}
    return queue.conflicting_with(paths, landed, contained)


def about(goal: GoalStatus, task: TaskStatus, kind: Kind, **data: Any) -> NewFact:
    """A fact about the newest attempt of a task."""
    return NewFact(goal.id, kind, data, task.spec.id, task.attempt)
