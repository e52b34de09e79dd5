"""When the next attempt gets another model."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mo_daemon.escalation import level, needs_room
from mo_daemon.routing import Choice, Routes, Wish, route
from mo_git.model import Phase

MODELS = {"claude": {"simple": "haiku", "moderate": "sonnet", "complex": "opus", "large": "sonnet[1m]"}}
ROUTES = Routes({"claude": ""}, "claude", models=MODELS)


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ((), "simple"),
        (("check_failed",), "simple"),
        (("check_failed", "gate_red"), "moderate"),
        (("check_failed", "network", "review_rejected", "rate_limit"), "moderate"),
        (("check_failed",) * 4, "complex"),
        (("check_failed",) * 9, "complex"),
        (("crash", "timeout", "lost", "usage_limit"), "simple"),
    ],
)
def test_work_that_is_not_good_enough_twice_gets_a_stronger_model(
    failures: Sequence[str], expected: str
) -> None:
    assert level("simple", failures) == expected


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        (["context_overflow"], False),
        (["context_overflow"] * 2, True),
        (["context_overflow", "check_failed", "context_overflow"], False),
        (["context_overflow", "context_overflow", "check_failed"], False),
    ],
)
def test_a_context_that_is_full_twice_needs_more_room(failures: Sequence[str], expected: bool) -> None:
    assert needs_room(failures) is expected


@pytest.mark.parametrize(
    ("wish", "model"),
    [
        (Wish(complexity="moderate"), "sonnet"),
        (Wish(model="mine", complexity="complex"), "mine"),
        (Wish(model="mine", room=True), "sonnet[1m]"),
    ],
)
def test_a_named_model_stays_unless_its_context_is_too_small(wish: Wish, model: str) -> None:
    choice = route(Phase.EXECUTE, wish, ROUTES)
    assert isinstance(choice, Choice)
    assert choice.model == model
