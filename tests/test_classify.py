"""What follows from a failure: every class, and the limits that hold whatever happens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_daemon.classify import POLICIES, GiveUp, RetrySettings, TryAgain, next_step, salvages
from mo_git.model import FailureClass as F

SETTINGS = RetrySettings(max_attempts=10, base_seconds=30, max_seconds=600, same_way=2)
NOW = 1000.0


def step(failure: F, *earlier: F, **options: Any) -> TryAgain | GiveUp:
    given = {"attempts": len([one for one in earlier if one is not F.LOST]) + 1, "max_attempts": None}
    given |= {"can_rework": False, "now": NOW, "jitter": 0.5} | options
    return next_step(failure, "why", earlier, SETTINGS, **given)


def test_every_class_has_a_policy() -> None:
    assert set(POLICIES) == set(F)


@pytest.mark.parametrize(
    ("failure", "earlier", "can_rework", "expected"),
    [
        # waits, doubling, at most max_seconds; jitter 0.5 is half of the full wait
        (F.RATE_LIMIT, (), False, NOW + 15),
        (F.RATE_LIMIT, (F.RATE_LIMIT,), False, NOW + 30),
        (F.NETWORK, (F.NETWORK,) * 8, False, NOW + 300),
        (
            F.OVERLOADED,
            (F.OVERLOADED, F.CRASH),
            False,
            NOW + 15,
        ),  # another failure in between: from the start
        # twice the same way
        (F.TIMEOUT, (), False, NOW + 15),
        (F.TIMEOUT, (F.TIMEOUT,), False, NOW + 30),
        (F.TIMEOUT, (F.TIMEOUT,) * 2, False, "why (3 times)"),
        (F.CRASH, (F.TIMEOUT,) * 2, False, NOW + 15),
        (F.CRASH, (F.CRASH, F.LOST, F.CRASH), False, "why (3 times)"),
        # a plain command would only do the same again
        (F.CHECK_FAILED, (), False, "why"),
        (F.CHECK_FAILED, (), True, NOW),
        (F.CHECK_FAILED, (F.CHECK_FAILED,) * 3, True, "why (4 times)"),
        (F.NO_CHANGE, (F.NO_CHANGE,), True, "why (2 times)"),
        # the environment's fault, or nothing that another try would change
        (F.AUTH, (), True, "why"),
        (F.BAD_CONFIG, (), True, "why"),
        (F.SETUP_FAILED, (), True, "why"),
        (F.CANCELLED, (), True, "why"),
        # the attempt's own budget: once more, from what is there
        (F.BUDGET, (), True, NOW),
        (F.BUDGET, (F.BUDGET,), True, "why (2 times)"),
        # the daemon ended: again at once, however often
        (F.LOST, (), False, NOW),
        (F.LOST, (F.LOST,) * 50, False, NOW),
        (F.LOST, (F.NETWORK,) * 9, False, NOW),
        # the limit of attempts
        (F.NETWORK, (F.NETWORK,) * 9, False, "why (attempt 10 of 10)"),
        (F.NETWORK, (*(F.LOST,) * 20, F.NETWORK), False, NOW + 30),
    ],
)
def test_what_follows(failure: F, earlier: tuple[F, ...], can_rework: bool, expected: float | str) -> None:
    followed = step(failure, *earlier, can_rework=can_rework)
    assert (followed.not_before if isinstance(followed, TryAgain) else followed.why) == expected


@pytest.mark.parametrize(
    ("failure", "kept", "taken_over"),
    [
        (F.CHECK_FAILED, "refs/mo/keep/g/a/1", True),
        (F.INVALID_OUTPUT, "refs/mo/keep/g/a/1", True),
        (F.CHECK_FAILED, "", False),
        (F.CHECK_FAILED, "/state/kept/g-a-1", False),  # what git could not read was set aside
        (F.SCOPE, "refs/mo/keep/g/a/1", False),
    ],
)
def test_what_the_next_attempt_starts_from(failure: F, kept: str, taken_over: bool) -> None:
    assert salvages(failure, kept) is taken_over


@pytest.mark.parametrize(
    ("failure", "taken_over"),
    [(F.LOST, True), (F.RATE_LIMIT, True), (F.AUTH, True), (F.SECRETS, False), (F.SCOPE, False)],
)
def test_what_had_been_finished_is_not_done_again(failure: F, taken_over: bool) -> None:
    assert salvages(failure, "refs/mo/keep/g/t/1", whole=True) is taken_over
    assert not salvages(failure, "refs/mo/keep/g/t/1")
    assert not salvages(failure, "", whole=True)


def test_the_tasks_own_limit_wins() -> None:
    assert step(F.NETWORK, max_attempts=1) == GiveUp("why (attempt 1 of 1)")


@given(
    st.lists(st.sampled_from(sorted(F)), max_size=30),
    st.booleans(),
    st.one_of(st.none(), st.integers(1, 20)),
    st.floats(0, 1, exclude_max=True),
)
def test_no_task_fails_for_ever(
    failures: list[F], can_rework: bool, max_attempts: int | None, jitter: float
) -> None:
    """Attempts end at the limit, and no wait is longer than the longest."""
    uncounted = {F.LOST, F.CROWDED}  # nobody's fault: `worn_out` has a limit for these
    earlier: list[F] = []
    for failure in failures:
        count = len([one for one in earlier if one not in uncounted]) + 1
        followed = next_step(
            failure,
            "why",
            earlier,
            SETTINGS,
            attempts=count,
            max_attempts=max_attempts,
            can_rework=can_rework,
            now=NOW,
            jitter=jitter,
        )
        if isinstance(followed, GiveUp):
            assert failure not in uncounted
            return
        assert NOW <= followed.not_before < NOW + SETTINGS.max_seconds
        assert failure in uncounted or count < (max_attempts or SETTINGS.max_attempts)
        earlier.append(failure)
