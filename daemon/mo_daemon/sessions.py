"""Going on with a session of an agent's CLI: a further run that knows what the runs before it did.  Pure.

A CLI that resumes a session counts on from where it stood, so each run is told what the earlier ones used.
"""

from __future__ import annotations

from dataclasses import replace

from mo_daemon.agents.protocol import Job, Usage
from mo_git.goal_status import Attempt, Session, TaskStatus


def resumable(before: Attempt, provider: str, worktree: str) -> str:
    """The session of an attempt that a run of `provider` in this worktree can go on with; empty: none.

    In another worktree the paths that the agent remembers would be wrong.
    """
    return before.session if (before.provider, before.worktree) == (provider, worktree) else ""


def resumed(job: Job, task: TaskStatus, session: str) -> Job:
    """The job as a further run of one of the task's sessions; with an empty one it is left as it is."""
    if not session:
        return job
    before = task.sessions.get(session, Session())
    usage = Usage(before.input_tokens, before.cached_input_tokens, before.output_tokens)
    return replace(job, session=session, session_cost_usd=before.cost_usd, session_usage=usage)
