"""Flakes as gates see them: what a run says about them, and which tests are in quarantine now.

A repeated run of a few tests alone only narrows: that a test passes alone and failed among others proves
nothing about the tree.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from mo_daemon.gate_run import GateRun
from mo_daemon.services import Services
from mo_daemon.testfiles import touched as is_touched
from mo_daemon.testids import ERROR, FAILED, PASSED, Tests
from mo_git.flakes import GOOD, SAME_SET, Seen, flakes

_BAD = (FAILED, ERROR)
_FEW, _SHARE = 5, 0.1  # where more tests than both differ, something around them broke, not each of them


def mixed(first: Tests | None, second: Tests | None) -> frozenset[str]:
    """Tests that passed in one and failed in the other."""
    if first is None or second is None:
        return frozenset()
    both = first.outcomes.keys() & second.outcomes.keys()
    pairs = {key: (first.outcomes[key], second.outcomes[key]) for key in both}
    return frozenset(
        key for key, pair in pairs.items() if PASSED in pair and any(outcome in _BAD for outcome in pair)
    )


def note(services: Services, run: GateRun, same: Tests | None, good: Tests | None) -> None:
    """Record what a run that was not taken from memory says about flakes.

    `same`: the outcomes of an earlier run of the same set on the same tree; `good`: where the tree is that
    of the last good commit, those of its full run.
    """
    if run.tests is None:
        return
    differs, broken = (_believable(mixed(before, run.tests), run.tests) for before in (same, good))
    known = services.ledger.flakes_seen()
    watched, trees = {one.test for one in known}, {(one.test, one.tree) for one in known}
    rows = []
    for key, outcome in run.tests.outcomes.items():
        why = SAME_SET if key in differs else GOOD if key in broken else ""
        first = (same if key in differs else good) if why else None
        now = partial(Seen, key, run.tree, why=why, at=services.now())
        if first and (key, run.tree) not in trees and (key not in watched or first.outcomes[key] in _BAD):
            rows.append(now(*_counted(first.outcomes[key])))  # a pass of a watched test is counted already
        if why:
            rows.append(now(*_counted(outcome)))
        elif key in watched and outcome == PASSED:
            rows.append(Seen(key, "", 1, 0, "", services.now()))
    if rows:
        services.ledger.note_flakes(rows)


def _believable(differing: frozenset[str], tests: Tests) -> frozenset[str]:
    """No flakes where so many tests differ at once: a full disk, a service that was away."""
    return frozenset() if len(differing) > max(_FEW, _SHARE * len(tests.outcomes)) else differing


def _counted(outcome: str) -> tuple[int, int]:
    """(passed, failed) of one run."""
    return int(outcome == PASSED), int(outcome in _BAD)


def quarantined(services: Services, touched: Iterable[str]) -> frozenset[str]:
    """The tests that may fail now: in quarantine, and not in a file that what is gated touches."""
    days, paths = services.settings.gate.quarantine_days, frozenset(touched)
    return frozenset(
        flake.test
        for flake in flakes(services.ledger.flakes_seen())
        if flake.quarantined_until(days, services.now()) is not None and not is_touched(flake.test, paths)
    )
