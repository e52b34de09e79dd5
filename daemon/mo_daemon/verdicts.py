"""Is a gate run green, red or unknown?  The pure rule."""

from __future__ import annotations

from collections.abc import Sequence

from mo_daemon.testids import Regression, Tests, regression

GREEN, RED, UNKNOWN = "green", "red", "unknown"
NO_RESULTS = "the test run left no results"
_SHOWN_IDS = 3
_SIGNAL_CODES = range(129, 160)  # how shells report a signal

Verdict = tuple[str, Regression | None, str]

_NOT_RUN = {
    126: (
        "the gate command could not be run (exit code 126); make its file executable with "
        "`git update-index --chmod=+x FILE` and commit that"
    ),
    127: (
        "the gate command, or a program that it calls, was not found (exit code 127); correct gate.command, "
        "or install what it needs with workspace.setup"
    ),
}
_PYTEST_ENDS = {
    2: "pytest was interrupted",
    3: "pytest had an internal error",
    4: "pytest could not start: wrong options, or a conftest.py that does not load",
    5: "pytest found no tests",
}


def verdict(
    exit_code: int | None,
    timed_out: bool,
    tests: Tests | None,
    baseline: Tests | None,
    weak: bool,
    *,
    runner: str = "",
    strict: bool = False,
) -> Verdict:
    """Judge a finished run: (green | red | unknown, regression or None, reason).

    `strict`: the command does more than run tests, so its exit code counts whatever the tests say.
    """
    if unknown := _not_finished(exit_code, timed_out, tests):
        return UNKNOWN, None, unknown
    if weak:
        if exit_code == 0 and baseline is not None:
            return UNKNOWN, None, "no test results were found, although the baseline has some"
        return (GREEN, None, "") if exit_code == 0 else (RED, None, f"exit code {exit_code}")
    if tests is None:
        if strict and exit_code:
            return RED, None, f"exit code {exit_code} before any test result"
        return UNKNOWN, None, NO_RESULTS
    # A file that can't be collected ends pytest with code 2, and is an error with an id of its own.
    if runner == "pytest" and exit_code in _PYTEST_ENDS and not (exit_code == 2 and tests.failing()):
        return UNKNOWN, None, _PYTEST_ENDS[exit_code]
    if not tests.outcomes:
        return UNKNOWN, None, "no tests were found"
    if baseline is None:
        return _first_verdict(exit_code, tests)
    return _compared(exit_code, tests, baseline, strict)


def _not_finished(exit_code: int | None, timed_out: bool, tests: Tests | None) -> str:
    if timed_out:
        return "the gate did not end in time (gate.timeout)"
    if exit_code is None:
        return "the gate command could not be started"
    if exit_code in _NOT_RUN and tests is None:
        return _NOT_RUN[exit_code]
    if exit_code < 0 or exit_code in _SIGNAL_CODES:
        return f"the gate died of signal {-exit_code if exit_code < 0 else exit_code - 128}"
    return ""


def _first_verdict(exit_code: int | None, tests: Tests) -> Verdict:
    failing = tests.failing()
    if failing:
        return RED, None, f"{in_words(len(failing))} failing: {listed(failing)}"
    return (GREEN, None, "") if exit_code == 0 else (RED, None, f"exit code {exit_code}, no test failed")


def _compared(exit_code: int | None, tests: Tests, baseline: Tests, strict: bool) -> Verdict:
    worse = regression(baseline, tests)
    if worse:
        parts = [
            f"{in_words(len(ids))} {what}: {listed(ids)}"
            for ids, what in (
                (worse.failed, "newly failing"),
                (worse.missing, "missing"),
                (worse.newly_skipped, "newly skipped"),
            )
            if ids
        ]
        return RED, worse, "; ".join(parts)
    failing = tests.failing()
    if exit_code == 0:
        return GREEN, worse, ""
    if failing and not strict:
        return GREEN, worse, f"{in_words(len(failing))} failed on the base already: {listed(failing)}"
    return RED, worse, f"exit code {exit_code}, no test newly fails"


def in_words(count: int) -> str:
    """`1 test`, `3 tests`."""
    return "1 test" if count == 1 else f"{count} tests"


def listed(ids: Sequence[str]) -> str:
    more = len(ids) - _SHOWN_IDS
    return ", ".join(ids[:_SHOWN_IDS]) + (f" and {more} more" if more > 0 else "")
