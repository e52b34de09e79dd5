"""Going on with a session of an agent's CLI: which one, and what its earlier runs used."""

from __future__ import annotations

from pathlib import Path

from mo_daemon.agents.protocol import Job, Usage
from mo_daemon.sessions import resumable, resumed
from mo_git.model import Kind, Phase
from tests.story import Story, chain

JOB = Job(Phase.EXECUTE, "Go on.", Path("/w"), Path("/r"))


def used(cost: float, sent: int, cached: int, written: int) -> dict[str, object]:
    tokens = {"input_tokens": sent, "cached_input_tokens": cached, "output_tokens": written}
    return {"provider": "codex", "model": "", "phase": "execute", "cost_usd": cost, **tokens}


def test_a_session_is_known_from_its_start_on_and_what_it_used_adds_up() -> None:
    story = Story(chain("x1"))
    story.start()
    story.run("x1")
    story.tell(Kind.SESSION_STARTED, "x1", 1, session="s-1")
    task = story.goal.tasks["x1"]
    assert task.attempts[-1].session == "s-1"
    assert resumed(JOB, task, "s-1").session_usage == Usage()
    story.tell(Kind.USAGE, "x1", 1, session="s-1", **used(0.5, 1000, 100, 50))
    story.tell(Kind.USAGE, "x1", 1, session="other", **used(9.0, 9, 9, 9))
    story.tell(Kind.USAGE, "x1", 1, session="s-1", **used(0.25, 500, 0, 5))
    going_on = resumed(JOB, task, "s-1")
    assert (going_on.session, going_on.session_cost_usd) == ("s-1", 0.75)
    assert going_on.session_usage == Usage(1500, 100, 55)
    assert resumed(JOB, task, "") == JOB
    assert task.attempts[-1].spent.cost_usd == 9.75


def test_only_the_same_program_in_the_same_worktree_goes_on() -> None:
    story = Story(chain("x1"))
    story.start()
    story.run("x1")
    before = story.goal.tasks["x1"].attempts[-1]
    before.provider, before.worktree, before.session = "codex", "/w/1", "s-1"
    assert resumable(before, "codex", "/w/1") == "s-1"
    assert resumable(before, "claude", "/w/1") == ""
    assert resumable(before, "codex", "/w/2") == ""
