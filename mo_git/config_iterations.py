"""Settings of goals that are planned more than once."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from mo_git.config_base import Section, Texts, key
from mo_git.iteration_state import ESCALATE, PIVOT


def _remedies(value: tuple[str, ...]) -> tuple[str, ...]:
    if not set(value) <= {ESCALATE, PIVOT} or len(set(value)) < len(value):
        raise ValueError("each of escalate and pivot at most once")
    return value


Remedies = Annotated[Texts, AfterValidator(_remedies)]


class IterationRules(Section):
    """Goals with --iterations: when an iteration was in vain, and what then."""

    window: int = key(2, "iterations without progress that are a plateau", ge=1)
    gain: float = key(0.02, "by how much the score, from 0 to 1, has to rise to be progress", ge=0)
    tolerance: float = key(0.1, "by how much the score may fall before an iteration is taken back", ge=0)
    plateau: Remedies = key(
        (ESCALATE, PIVOT),
        "what is tried on a plateau, once each: escalate (stronger models), pivot (a new plan)",
        allowed='a list of "escalate" and "pivot", each at most once',
    )
