"""What an agent had cost by the time the daemon was killed, read off its stream: money is not forgotten."""

from __future__ import annotations

from pathlib import Path

from mo_daemon import quarters
from mo_daemon.agents.protocol import Agent, Job, Outcome, Usage
from mo_daemon.agents.stream import LineSplitter
from mo_daemon.paid_run import COMMAND, PaidRun
from mo_daemon.services import Services
from mo_git.goal_status import Attempt, GoalStatus, TaskStatus
from mo_git.model import NewFact, Phase

_CHUNK = 1 << 20


async def usage_of_lost(
    services: Services, goal: GoalStatus, task: TaskStatus, last: Attempt
) -> list[NewFact]:
    """Usage facts of an attempt that nobody runs any more and whose usage nobody recorded."""
    agent = services.agents.get(last.provider)
    if agent is None or agent.name == COMMAND or last.state != "running" or last.spent.cost_usd:
        return []
    name = f"{goal.id}/{task.spec.id}"
    run_dir = services.home.run_dir(goal.id, task.spec.id, last.n)
    job = Job(
        Phase(last.phase),
        "",
        Path(last.worktree),
        run_dir,
        environ=services.environ,
        model=last.model,
        state_dir=quarters.state_dir(services, agent.name, name),
    )
    usage = await services.git(_read, agent, job)
    paid = PaidRun(services, goal, agent, last.model, job.phase, f"{name}#{last.n}", task.spec.id, last.n)
    return paid.usage(Outcome(None, usage=usage, session=last.session)) if usage != Usage() else []


def _read(agent: Agent, job: Job) -> Usage:
    reader, lines = agent.reader(job), LineSplitter()
    try:
        with (job.run_dir / "stream.jsonl").open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                for line in lines.feed(chunk):
                    reader.feed(line)
    except OSError:  # it had not begun
        return Usage()
    return reader.usage()
