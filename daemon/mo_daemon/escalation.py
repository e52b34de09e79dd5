"""A stronger model after work that did not do, one with more room after a full context.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mo_git.model import FailureClass as F

LEVELS = ("simple", "moderate", "complex")
LARGE = "large"  # among the models of an agent: the one with the largest context
PATIENCE = 2  # failures on one level, then the next one
_NOT_GOOD_ENOUGH = frozenset(
    {F.CHECK_FAILED, F.GATE_RED, F.REVIEW_REJECTED, F.NO_CHANGE, F.SCOPE, F.INVALID_OUTPUT, F.CONFLICT}
)


def level(complexity: str, failures: Sequence[str]) -> str:
    """The level whose model makes the next attempt; `failures` are those since a person last said retry."""
    poor = sum(failure in _NOT_GOOD_ENOUGH for failure in failures)
    return LEVELS[min(LEVELS.index(complexity) + poor // PATIENCE, len(LEVELS) - 1)]


def needs_room(failures: Sequence[str]) -> bool:
    """Whether a new session, with less in it, was full again."""
    return list(failures[-2:]) == [F.CONTEXT_OVERFLOW] * 2
