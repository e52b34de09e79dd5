"""Review inside an attempt: somebody else looks at the change, and what has to be corrected goes back.

By default that is another provider than the one who did the work.  It looks at exactly the tree that would
become the candidate, may change nothing, and its verdict counts as far as evidence allows.  Corrections are
made in the same worktree and, where the CLI has it, in the same session, `review.max_rounds` times.  Where
that ends without an approval, or nobody can review, a person decides: finished work is neither thrown away
nor done again for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from mo_daemon import attempt_place, environment, execution, harvest, templates
from mo_daemon.agents.protocol import Outcome
from mo_daemon.agents.stream import answer_in
from mo_daemon.allowance import runs_of
from mo_daemon.attempt_context import Attempt
from mo_daemon.briefing import documents, instructions, task_text, taught, unread
from mo_daemon.budget import exhausted
from mo_daemon.classify import TryAgain, next_step
from mo_daemon.harvest import AttemptFailed
from mo_daemon.paid_run import COMMAND, PaidRun, avoided, retry_settings
from mo_daemon.prompts import data_block, fill
from mo_daemon.review_words import asked, gist, known
from mo_daemon.routing import Choice, Wish, route
from mo_daemon.services import Services, tail
from mo_daemon.verdict import (
    SCHEMA,
    Evidence,
    Verdict,
    Word,
    capped,
    of_evidence,
    read_verdict,
)
from mo_git.breakers import LIMITED
from mo_git.errors import MoError
from mo_git.git.patch import patch
from mo_git.git.snapshot import Snapshot
from mo_git.model import FailureClass, GoalSpec, Kind, Phase, TaskSpec
from mo_git.text import count, one_line

REVIEW = "review"  # what a person's doubt is about
LOOK_SECONDS = 1.0  # between two looks whether an agent may start, or time is up
DIFF_LIMIT = 80_000  # characters that a reviewer is shown; the files it can read in full

# What an attempt came to: the tree, and what the task says of itself.
Work = tuple[Snapshot, dict[str, Any]]


@dataclass
class _Review:
    """The reviews of one attempt."""

    attempt: Attempt
    again: Callable[[], Awaitable[Work]]
    failures: list[tuple[str, str]] = field(
        default_factory=list
    )  # (provider, class) of runs without a verdict
    given_up: dict[str, str] = field(default_factory=dict)  # providers that cannot review, and why
    corrections: int = 0  # rounds in which the agent worked again
    last: Verdict | None = None

    @property
    def services(self) -> Services:
        return self.attempt.services

    @property
    def may_correct(self) -> bool:
        rounds = self.services.settings.review.max_rounds
        return self.corrections < rounds and self.attempt.agent.can_rework

    def record(self, kind: Kind, **data: Any) -> None:
        self.services.record([self.attempt.fact(kind, round=self.corrections + 1, **data)])

    def choice(self) -> Choice | None:
        """Who reviews now.  One whose limit is reached, or who fails again and again, after the others."""
        limited = {name for name, failure in self.failures if failure in LIMITED}
        return reviewer(
            self.services,
            self.attempt.goal.spec,
            self.attempt.task.spec,
            self.attempt.agent.name,
            frozenset(self.given_up),
            avoided(self.failures) | limited | self.services.resting(),
        )


def reviewer(
    services: Services,
    goal: GoalSpec,
    task: TaskSpec,
    author: str,
    bad: frozenset[str] = frozenset(),
    tired: frozenset[str] = frozenset(),
) -> Choice | None:
    """Who reviews what `author` did, without the `bad`, and the `tired` only where all are; None: nobody.

    The author's own provider only where there is no other, or where a person named it.
    """
    phase_flag = goal.phase_providers.get(Phase.REVIEW, "")
    wish = Wish(goal.provider, "", phase_flag, complexity=task.complexity)
    for avoid in (bad | tired | {author}, bad | {author}, bad):
        choice = route(Phase.REVIEW, wish, services.routes, avoid)
        if isinstance(choice, Choice) and choice.agent not in bad | {COMMAND}:
            return choice
    return None


def is_wanted(attempt: Attempt) -> bool:
    """A resolved conflict is not looked at again, a person's own branch never; a command's work by people."""
    require, spec = attempt.services.settings.review.require, attempt.task.spec
    if attempt.conflict is not None or spec.from_ref or require == "none":
        return False
    return require == "human" or spec.by_agent


async def review(attempt: Attempt, work: Work, again: Callable[[], Awaitable[Work]]) -> tuple[Work, str]:
    """The work after its reviews, and why it has to wait for a person; empty: it need not.

    `again` runs the attempt's agent once more and looks at what it made.  AttemptFailed (review_rejected)
    where the approach is rejected.
    """
    services = attempt.services
    base = await services.git(services.repo.tree_of, attempt.base)
    if not is_wanted(attempt) or work[0].tree == base:
        return work, ""
    if services.settings.review.require == "human":
        return work, f"{count(len(work[0].changed), 'changed file')} to review (review.require is human)"
    ours = _Review(attempt, again)
    while work[0].tree != base:
        await services.git(attempt_place.tidy, attempt)
        evidence = _evidence(attempt, work)
        verdict = await _verdict(ours, work, evidence)
        if verdict is None:
            why = "; ".join(f"{name}: {reason}" for name, reason in ours.given_up.items())
            return work, f"nobody could review it: {why or 'no agent is usable'}"
        ours.record(Kind.REVIEWED, **verdict.data())
        ours.last = verdict
        if verdict.word is Word.APPROVE:
            break
        if verdict.word is Word.REJECT:
            raise AttemptFailed(FailureClass.REVIEW_REJECTED, f"{verdict.by} rejects it: {gist(verdict)}")
        if not ours.may_correct:
            after = f" after {count(ours.corrections, 'correction')}" if ours.corrections else ""
            return work, f"{verdict.by} asks for changes{after}: {gist(verdict)}"
        work = await _correct(ours, verdict, evidence)
    return work, ""


async def _correct(ours: _Review, verdict: Verdict, evidence: Evidence) -> Work:
    """The agent corrects what was asked for; a check that is red then is one more thing to correct."""
    attempt = ours.attempt
    while True:
        await _turn(attempt, attempt.agent.name)
        attempt.asked = asked(verdict, evidence)
        ours.record(Kind.REWORK_STARTED, by=verdict.by)
        ours.corrections += 1
        try:
            return await ours.again()
        except AttemptFailed as failed:
            if failed.failure is not FailureClass.CHECK_FAILED or not ours.may_correct:
                raise
            evidence = Evidence("failed", tail(attempt.run_dir / "check.log"))
            red = of_evidence(evidence, failed.reason)
            if red is None:
                raise
            verdict = red
            await ours.services.git(attempt_place.tidy, attempt)
        ours.record(Kind.REVIEWED, **verdict.data())


def _evidence(attempt: Attempt, work: Work) -> Evidence:
    """What is known of work that came so far: a red check would have ended the attempt."""
    passed = "passed" if attempt.task.spec.check is not None else ""
    return Evidence(passed, outside=tuple(work[1].get("outside_scope", ())))


# -- one verdict --------------------------------------------------------------------------------------


async def _verdict(ours: _Review, work: Work, evidence: Evidence) -> Verdict | None:
    """Ask until somebody gives one; None: nobody can, `given_up` says why."""
    services, goal = ours.services, ours.attempt.goal
    while (choice := ours.choice()) is not None:
        if spent := exhausted(*services.money(goal), choice.agent):
            raise AttemptFailed(FailureClass.BUDGET, spent)
        await _turn(ours.attempt, choice.agent)
        ours.record(Kind.REVIEW_STARTED, provider=choice.agent, model=choice.model, why=choice.why)
        outcome = await _ask(ours, choice, work, evidence)
        if outcome.failure is None:
            said = answer_in(outcome.summary) if outcome.structured is None else outcome.structured
            try:
                return capped(read_verdict(said, choice.agent), evidence)
            except MoError as error:
                outcome = Outcome(FailureClass.INVALID_OUTPUT, error.message)
        await _failed(ours, choice, outcome)
    return None


async def _failed(ours: _Review, choice: Choice, outcome: Outcome) -> None:
    """A run without a verdict: another one when it is time, or by somebody else."""
    services, failure = ours.services, outcome.failure
    assert failure is not None
    if failure is FailureClass.BUDGET:
        raise AttemptFailed(failure, outcome.reason)
    step = next_step(
        failure,
        outcome.reason,
        [name for _, name in ours.failures],
        retry_settings(services),
        attempts=len(ours.failures) + 1,
        max_attempts=None,
        can_rework=True,
        now=services.now(),
        jitter=services.jitter(),
        stated=outcome.retry_at,
    )
    ours.failures.append((choice.agent, failure))
    until = services.now()
    if isinstance(step, TryAgain):
        other = ours.choice()
        until = step.not_before if other is not None and other.agent == choice.agent else until
    else:
        ours.given_up[choice.agent] = outcome.reason
    stated = {"not_before": until, "retry_at": outcome.retry_at}
    data = {"class": failure, "reason": outcome.reason, **stated}
    ours.record(Kind.REVIEW_FAILED, provider=choice.agent, **data)
    while (left := until - services.now()) > 0:
        await asyncio.sleep(min(LOOK_SECONDS, left))


async def _ask(ours: _Review, choice: Choice, work: Work, evidence: Evidence) -> Outcome:
    """One run of a reviewer, which can read the worktree and change nothing."""
    attempt, services = ours.attempt, ours.services
    agent = services.agents[choice.agent]
    paid = PaidRun(
        services,
        attempt.goal,
        agent,
        choice.model,
        Phase.REVIEW,
        attempt.name,
        attempt.task.spec.id,
        attempt.n,
        limit_usd=execution.limit_left(attempt),
    )
    place = attempt.slot.path
    prompt = await _prompt(ours, agent.reads, work, evidence)
    try:
        finished = await paid.read(
            prompt,
            SCHEMA,
            owner=f"{attempt.task.spec.id}.{REVIEW}",
            worktree=place,
            run_dir=attempt.run_dir / f"{REVIEW}-{attempt.task.attempts[-1].reviews}",
            seen=execution.refs_seen(attempt),
            env=environment.with_local_tools(attempt.env, place),
        )
    except AttemptFailed as failed:  # its program cannot be started
        return Outcome(failed.failure, failed.reason)
    services.record(paid.usage(finished.outcome))
    return finished.outcome


async def _prompt(ours: _Review, reads: frozenset[str], work: Work, evidence: Evidence) -> str:
    attempt, services = ours.attempt, ours.services
    spec, place = attempt.task.spec, attempt.slot.path
    team = await services.git(harvest.team_files, place, unread(reads))
    lessons = await services.git(templates.lessons, services.home, services.environ)
    template = await services.git(templates.load, REVIEW, services.home, services.environ)
    diff = await services.git(patch, services.home.top, attempt.base, work[0].tree)
    last = ours.last
    values = {
        "title": one_line(spec.title or spec.id),
        "task": data_block("the task", task_text(attempt.goal, spec)),
        "evidence": known(evidence),
        "diff": data_block("the change", diff, DIFF_LIMIT),
        "earlier": f"\nBefore this, corrections were asked for:\n{asked(last, evidence)}" if last else "",
        "instructions": instructions(team),
        "lessons": taught(lessons),
        "documents": documents(attempt.goal.spec.documents),
    }
    return fill(template, values)


async def _turn(attempt: Attempt, agent: str) -> None:
    """Wait until one more run of this agent is within its limit; it goes before attempts that would start."""
    services = attempt.services
    services.queued[attempt.name] = agent
    try:
        while runs_of(services.goals.values(), agent) >= services.most(agent):
            services.doing[attempt.name] = f"waits: {services.most(agent)} {agent} runs are at work"
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        del services.queued[attempt.name]
        services.doing.pop(attempt.name, None)
