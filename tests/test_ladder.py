"""Which rung of the conflict ladder a task takes."""

from __future__ import annotations

import pytest

from mo_daemon.ladder import LIMITS, Rung, Situation, next_rung

ALL = Situation(rebuilt=True, agent=True, again=True)
R, A, D, P = Rung.REGENERATE, Rung.AGENT, Rung.REDO, Rung.PERSON


@pytest.mark.parametrize(
    ("situation", "above", "rung"),
    [
        (ALL, None, R),
        (ALL, R, A),
        (ALL, A, D),
        (ALL, D, P),
        (Situation(False, True, True), None, A),
        (Situation(False, False, True), None, D),  # a command, or no agent
        (Situation(False, False, False), None, P),  # a person's branch
        (Situation(True, False, False), None, R),  # but its lock file can be rebuilt
        (Situation(False, True, True, (A,)), None, A),
        (Situation(False, True, True, (A, A)), None, D),
        (Situation(False, True, True, (A, A, D)), None, P),
        (Situation(False, True, True, (A, D)), None, A),
        (Situation(True, True, True, (R,) * LIMITS[R]), None, A),
    ],
)
def test_the_next_rung(situation: Situation, above: Rung | None, rung: Rung) -> None:
    assert next_rung(situation, above) is rung


def test_a_task_that_always_conflicts_ends_at_a_person() -> None:
    climbed: list[str] = []
    while (rung := next_rung(Situation(True, True, True, climbed))) is not P:
        climbed.append(rung)
    assert climbed == [R] * LIMITS[R] + [A] * LIMITS[A] + [D] * LIMITS[D]
