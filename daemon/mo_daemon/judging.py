"""What a finished gate run means for the question that it was asked.  Pure.

`verdicts` has the rule for all tests; here are what changes it: a run of some tests is judged on those
alone, and a failing test that is in quarantine (`flakes`) does not speak against a commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mo_daemon.testids import FAILED, Regression, Tests, regression
from mo_daemon.verdicts import GREEN, RED, UNKNOWN, listed, verdict


@dataclass(frozen=True, slots=True)
class Question:
    """What a run is asked.

    `baseline` holds what the tests did on the last good commit.  With `ids` only these tests count.
    `quarantined` ones may fail.  `fresh`: no answer from memory, not from the runner's own either.
    """

    baseline: Tests | None = None
    ids: frozenset[str] | None = None
    quarantined: frozenset[str] = frozenset()
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """green | red | unknown; what got worse, where tests are known; why; and what quarantine excused."""

    result: str
    regression: Regression | None
    reason: str
    flaky: tuple[str, ...] = ()


def judge_run(
    exit_code: int | None,
    timed_out: bool,
    tests: Tests | None,
    question: Question,
    weak: bool,
    *,
    runner: str = "",
    strict: bool = False,
) -> Judgement:
    """Judge a run of all tests, or with `question.ids` of those."""
    excused, baseline = _excused(tests, question), question.baseline
    if excused and baseline is not None:
        baseline = Tests({**baseline.outcomes, **dict.fromkeys(excused, FAILED)})
    if question.ids is not None:
        found = _on_ids(exit_code, timed_out, tests, baseline, question.ids, runner)
    else:
        found = verdict(exit_code, timed_out, tests, baseline, weak, runner=runner, strict=strict)
    result, worse, reason = found
    if not excused or tests is None:
        return Judgement(result, worse, reason)
    if result == GREEN:
        known = [key for key in restricted(tests, question.ids).failing() if key not in excused]
        reason = f"{_tests(len(known))} failed on the base already: {listed(known)}" if known else ""
    flaky = f"{_tests(len(excused))} in quarantine failed: {listed(excused)}"
    return Judgement(result, worse, "; ".join(filter(None, (reason, flaky))), excused)


def restricted(tests: Tests, ids: frozenset[str] | None) -> Tests:
    """The outcomes of these tests alone; None: of all."""
    if ids is None:
        return tests
    return Tests({key: outcome for key, outcome in tests.outcomes.items() if key in ids})


def _excused(tests: Tests | None, question: Question) -> tuple[str, ...]:
    """Tests in quarantine that failed and would count as worse."""
    if tests is None or question.baseline is None or not question.quarantined:
        return ()
    asked = restricted(tests, question.ids)
    failed = regression(question.baseline, asked).failed
    return tuple(key for key in failed if key in question.quarantined)


def _on_ids(
    exit_code: int | None,
    timed_out: bool,
    tests: Tests | None,
    baseline: Tests | None,
    ids: frozenset[str],
    runner: str,
) -> tuple[str, Regression | None, str]:
    """By these tests alone: other tests and the exit code do not count, and none of them has to exist.

    Without a baseline only what fails counts.
    """
    nothing = tests is not None and not tests.outcomes
    shown = (None, None, True) if nothing else (tests, None, False)
    result, _, reason = verdict(exit_code, timed_out, *shown, runner="" if nothing else runner)
    if result == UNKNOWN or tests is None:
        return UNKNOWN, None, reason
    before = restricted(baseline or Tests({}), ids)
    worse = regression(before, restricted(tests, ids))
    return (RED if worse else GREEN), worse, _what(worse)


def _what(worse: Regression) -> str:
    kinds: Mapping[str, tuple[str, ...]] = {
        "failing": worse.failed,
        "missing": worse.missing,
        "newly skipped": worse.newly_skipped,
    }
    return "; ".join(f"{_tests(len(ids))} {what}: {listed(ids)}" for what, ids in kinds.items() if ids)


def _tests(count: int) -> str:
    return "1 test" if count == 1 else f"{count} tests"
