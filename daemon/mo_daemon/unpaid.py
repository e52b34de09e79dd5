"""What an agent had cost by the time the daemon was killed, read off its stream: money is not forgotten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mo_daemon import quarters, sessions
from mo_daemon.agent_run import STREAM
from mo_daemon.agents.protocol import Agent, Job, Outcome, Usage
from mo_daemon.agents.stream import LineSplitter
from mo_daemon.paid_run import COMMAND, PaidRun
from mo_daemon.services import Services
from mo_git.goal_status import Attempt, GoalStatus, TaskStatus
from mo_git.ledger.items import ItemRow
from mo_git.model import NewFact, Phase

_CHUNK = 1 << 20


async def usage_of_lost(
    services: Services, goal: GoalStatus, task: TaskStatus, last: Attempt
) -> list[NewFact]:
    """Usage facts of what nobody runs any more and nobody recorded: the last run of an attempt's agent, or
    of its reviewer.

    The streams of the agent's runs follow each other in one file, those of a reviewer's are apart.
    """
    run_dir = services.home.run_dir(goal.id, task.spec.id, last.n)
    own = Job(Phase(last.phase), "", Path(last.worktree), run_dir, environ=services.environ, model=last.model)
    own = sessions.resumed(own, task, last.session)
    name, begin = task.spec.id, last.paid_bytes
    facts = await _usage(services, goal, task, last.provider, own, name, begin, last.session)
    if last.reviews > last.paid_reviews:
        run_dir, model = run_dir / f"review-{last.reviews}", last.review_model
        review = Job(Phase.REVIEW, "", own.worktree, run_dir, environ=services.environ, model=model)
        facts += await _usage(services, goal, task, last.reviewer, review, f"{name}.review", 0, "")
    return facts


async def usage_of_lost_item(services: Services, goal: GoalStatus, row: ItemRow) -> list[NewFact]:
    """The same of an item of simple mode."""
    agent = services.agents.get(row.provider)
    if agent is None or agent.name == COMMAND:
        return []
    run_dir = services.home.run_dir(goal.id, row.item.id, row.attempt)
    model = row.item.model
    job = Job(Phase.SIMPLE, "", Path(row.worktree), run_dir, environ=services.environ, model=model)
    usage = await services.git(_read, agent, job, 0)
    name = f"{goal.id}/{row.item.id}#{row.attempt}"
    paid = PaidRun(services, goal, agent, model, Phase.SIMPLE, name)
    return paid.usage(Outcome(None, usage=usage)) if usage != Usage() else []


async def _usage(
    services: Services,
    goal: GoalStatus,
    task: TaskStatus,
    provider: str,
    job: Job,
    owner: str,
    begin: int,
    session: str,
) -> list[NewFact]:
    """That of one run, whose stream begins at the byte `begin`; `owner` is as for `PaidRun.enclosure`."""
    agent = services.agents.get(provider)
    if agent is None or agent.name == COMMAND:
        return []
    job = replace(job, state_dir=quarters.state_dir(services, agent.name, f"{goal.id}/{owner}"))
    usage = await services.git(_read, agent, job, begin)
    name = f"{goal.id}/{task.spec.id}#{task.attempt}"
    paid = PaidRun(services, goal, agent, job.model, job.phase, name, task.spec.id, task.attempt)
    return paid.usage(Outcome(None, usage=usage, session=session)) if usage != Usage() else []


def _read(agent: Agent, job: Job, begin: int) -> Usage:
    reader, lines = agent.reader(job), LineSplitter()
    try:
        with (job.run_dir / STREAM).open("rb") as stream:
            stream.seek(begin)
            while chunk := stream.read(_CHUNK):
                for line in lines.feed(chunk):
                    reader.feed(line)
    except OSError:  # it had not begun
        return Usage()
    return reader.usage()
