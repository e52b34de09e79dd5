"""A stronger model after failures of the work itself, a larger context after two overflows.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mo_git.model import FailureClass as F

LEVELS = ("simple", "moderate", "complex")
LARGE = "large"
REFUSED = frozenset({F.CHECK_FAILED, F.REVIEW_REJECTED, F.GATE_RED})
PATIENCE = 2  # refusals before the next level


def level(complexity: str, failures: Sequence[str]) -> str:
    """The level of model for the next attempt; `failures` are classes since a person last said retry."""
    if failures.count(F.CONTEXT_OVERFLOW) >= 2:  # the first one was compacted
        return LARGE
    steps = sum(name in REFUSED for name in failures) // PATIENCE
    return LEVELS[min(LEVELS.index(complexity) + steps, len(LEVELS) - 1)]
