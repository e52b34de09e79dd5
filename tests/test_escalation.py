"""A stronger model after failures, a new session after an overflow, and attempts that come to an end."""

from __future__ import annotations

import json

import pytest

from mo_daemon import setbacks
from mo_daemon.compacting import MESSAGES, carried_over
from mo_daemon.engine import Engine
from mo_daemon.escalation import level
from mo_git.model import FailureClass as F
from mo_git.model import Kind
from tests.story import Story, chain
from tests.support import RepoBuilder
from tests.test_engine import World

CHECK, RED, OVER = F.CHECK_FAILED, F.GATE_RED, F.CONTEXT_OVERFLOW


@pytest.mark.parametrize(
    ("complexity", "failures", "expected"),
    [
        ("simple", [], "simple"),
        ("simple", [CHECK], "simple"),
        ("simple", [CHECK, F.LOST, RED], "moderate"),
        ("simple", [CHECK] * 4, "complex"),
        ("complex", [F.REVIEW_REJECTED] * 9, "complex"),
        ("moderate", [F.CRASH, F.TIMEOUT, F.RATE_LIMIT], "moderate"),
        ("moderate", [OVER], "moderate"),
        ("moderate", [OVER, OVER], "large"),
    ],
)
def test_the_level_of_the_model(complexity: str, failures: list[str], expected: str) -> None:
    assert level(complexity, failures) == expected


def said(text: str) -> str:
    return json.dumps({"type": "assistant", "message": {"content": [{"type": "text", "text": text}]}})


def test_a_new_session_is_told_what_is_there_and_the_newest_messages() -> None:
    stream = "\n".join(['cut": 1}', *(said(f"message {n} " + "x" * 100) for n in range(200))])
    told = carried_over({"a.py": "M", "b.py": "A"}, stream, goes_on=True)
    assert "ran out of context" in told
    assert "M a.py\nA b.py" in told
    assert "message 199 " in told
    assert "message 0 " not in told
    assert len(told) < MESSAGES + 1000


def test_of_a_session_that_left_nothing_nothing_is_told() -> None:
    told = carried_over({}, "", goes_on=False)
    assert "ran out of context" in told
    assert "====" not in told


@pytest.fixture
def world(repo: RepoBuilder) -> World:
    return World(repo)


def test_no_path_gets_around_the_limit_of_attempts(world: World) -> None:
    """Whatever schedules another attempt: with all of them failed there is none."""
    world.configure(retry={"max_attempts": 3})

    def follows(failures: list[str]) -> list[Kind]:
        story = Story(chain("a"))
        story.start()
        for n, name in enumerate(failures, 1):
            story.run("a", n)
            story.tell(Kind.ATTEMPT_FAILED, "a", n, {"class": name, "reason": "r"})
            story.tell(Kind.RETRY_SCHEDULED, "a", n, not_before=0.0, why="again")

        async def ask(engine: Engine) -> list[Kind]:
            return [
                fact.kind for fact in setbacks.worn_out(engine.services, story.goal, story.goal.tasks["a"])
            ]

        return world.run(ask)

    assert follows(["auth", "budget"]) == []
    assert follows(["auth", "budget", "no_change"]) == [Kind.FAILED]
    assert follows(["lost"] * 14) == []
    assert follows(["lost"] * 15) == [Kind.FAILED]
