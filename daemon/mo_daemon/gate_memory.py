"""A gate run as the ledger remembers it: what happened, not what it meant.

The meaning depends on the baseline, so a remembered run is judged anew against the one that counts now.
Unknown runs are never remembered.  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mo_daemon.gate import GREEN, NONE, GateRun, verdict
from mo_daemon.testids import Tests


def dump(run: GateRun) -> dict[str, Any]:
    """The JSON that `load` reads back."""
    return {
        "tree": run.tree,
        "exit_code": run.exit_code,
        "tests": run.tests.document() if run.tests else None,
        "weak": run.weak,
        "strict": run.strict,
        "seconds": run.seconds,
        "log": str(run.log),
        "metrics": dict(run.metrics),
    }


def load(document: Mapping[str, Any], commit: str, baseline: Tests | None) -> GateRun:
    """The remembered run of this commit's tree, judged against `baseline`."""
    tests = Tests.load(document["tests"]) if document["tests"] is not None else None
    run = GateRun(
        commit,
        document["tree"],
        "",
        document["weak"],
        document["exit_code"],
        tests,
        None,
        document["seconds"],
        Path(document["log"]),
        "",
        cached=True,
        strict=document["strict"],
        metrics=document.get("metrics", {}),
    )
    result, regression, reason = verdict(run.exit_code, False, tests, baseline, run.weak, strict=run.strict)
    return replace(run, result=result, regression=regression, reason=reason)


def no_gate(commit: str, tree: str) -> GateRun:
    """The run of a gate that is said to be none."""
    reason = f"no gate ({NONE})"
    return GateRun(commit, tree, GREEN, True, None, None, None, 0.0, Path(), reason)
