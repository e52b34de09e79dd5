"""What a person says to an agent at work: told at its next turn, in its own session where its CLI can go on.

A message that may wait is told when the agent has ended its turn; for an urgent one its turn is interrupted.
Either way it is the same attempt, in the same worktree.
"""

from __future__ import annotations

from mo_daemon import execution
from mo_daemon.agents.protocol import Outcome
from mo_daemon.attempt_context import Attempt
from mo_git.model import Kind


async def run(attempt: Attempt, *, corrects: bool = False) -> Outcome:
    """Run the agent until it has heard all that a person said; after its first turn only what is new.

    With `corrects` its next turn is about what is asked of it already.
    """
    outcome = await execution.run(attempt) if corrects else None
    while outcome is None or attempt.task.unheard:
        attempt.asked = _told(attempt)
        outcome = await execution.run(attempt)
    return outcome


def _told(attempt: Attempt) -> str:
    """What the agent is told in its next turn; empty for the first one, which has the task as its prompt."""
    words, interrupted = list(attempt.task.unheard), attempt.task.urgent
    attempt.turns += 1
    if words:
        attempt.services.record([attempt.fact(Kind.HEARD, count=len(words))])
    if attempt.turns == 1:
        return ""
    begin = "A person has interrupted you" if interrupted else "A person has read what you did"
    said = "\n\n".join(words)
    return f"\n{begin}, and says:\n\n{said}\n"
