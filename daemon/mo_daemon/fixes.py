"""The tests that a goal has to turn green, and which of them are not.  Pure.

`fixes` of a plan names tests, or says "all-red": those that failed when the gate was proved on the base.
Only a test that passes is fixed: one that is skipped, or gone, is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mo_daemon.testids import FAILED, PASSED, SKIPPED, Tests
from mo_daemon.verdicts import listed
from mo_git.model import ALL_RED, Plan

NO_GATE = "none"
_IS = {FAILED: "fails", SKIPPED: "is skipped", "xfail": "is expected to fail"}


def trouble(plan: Plan, proof: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why a goal cannot even begin to fix what it should: (reason, remedy); None: it can.

    `proof` is the data of GATE_PROVED.
    """
    if not plan.fixes:
        return None
    if proof["command"] == NO_GATE:
        return "fixes needs a gate, and gate.command is none", "name the command that runs your tests"
    if plan.fixes == ALL_RED:
        if proof.get("red"):
            return None
        return "nothing to fix: no test fails on the base", 'leave out fixes = "all-red"'
    if proof.get("weak"):
        hint = 'set gate.junit to the report that it writes, or say fixes = "all-red"'
        return "fixes names tests, and this gate does not tell one from another", hint
    return None


def required(plan: Plan, proof: Mapping[str, Any] | None) -> tuple[str, ...]:
    """What has to pass in the end: ids as the gate reports them, or as a person wrote them."""
    if plan.fixes == ALL_RED:
        return tuple(proof["failing"]) if proof else ()
    return tuple(plan.fixes)


def unfixed(wanted: Sequence[str], tests: Tests) -> list[str]:
    """`ID fails`, one for each test of `wanted` that does not pass in these outcomes."""
    found = []
    for name in wanted:
        ids = [name] if name in tests.outcomes else [one for one in tests.outcomes if _means(name, one)]
        ids = ids or _loaded_again(name, tests)
        bad = [one for one in ids if tests.outcomes[one] != PASSED]
        if not ids:
            found.append(f"{name} is not there")
        elif bad:
            how = _IS.get(tests.outcomes[bad[0]], _IS[FAILED])
            found.append(f"{bad[0]} {how}")
    return found


def told(missing: Sequence[str], total: int) -> str:
    """The reason of a goal that did not fix all that it had to."""
    tests = "1 test" if total == 1 else f"{total} tests"
    return f"{len(missing)} of {tests} that it had to fix did not turn green: {listed(missing)}"


def _means(name: str, full: str) -> bool:
    """Whether a test may be called so: the parts of its name in order, the last one last."""
    parts, have = name.split("::"), full.split("::")
    if not _same(parts[-1], have[-1]):
        return False
    rest = iter(have[:-1])
    return all(any(_same(part, one) for one in rest) for part in parts[:-1])


def _same(part: str, of: str) -> bool:
    return of == part or of.endswith(f".{part}")


def _loaded_again(name: str, tests: Tests) -> list[str]:
    """A file that did not load stands as one test of its own; mended, its tests stand in its place."""
    module = name.rpartition("::")[2]
    return [
        one
        for one in tests.outcomes
        if any(part == module or part.startswith(f"{module}.") for part in one.split("::")[:-1])
    ]
