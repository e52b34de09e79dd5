"""A gate run as the ledger remembers it: what happened, not what it meant.

The meaning depends on the question, so a remembered run is judged anew for the one that is asked now.
Unknown runs are never remembered.  Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mo_daemon.gate_run import NONE, GateRun
from mo_daemon.judging import Question
from mo_daemon.testids import Tests
from mo_daemon.verdicts import GREEN


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


def load(document: Mapping[str, Any], commit: str, question: Question) -> GateRun:
    """The remembered run of this commit's tree, judged for a question.

    A run of all tests answers for some of them.  One that knows no tests can't: it answers as a whole.
    """
    tests = tests_of(document)
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
    return run.judged(question if tests is not None else Question(question.baseline))


def tests_of(document: Mapping[str, Any]) -> Tests | None:
    """The outcomes that are remembered; None where only the exit code is known."""
    return Tests.load(document["tests"]) if document["tests"] is not None else None


def key_of(full: str, select: str, ids: frozenset[str] | None) -> str:
    """The key of a run of these tests alone, made of that of a full run of the same tree."""
    if ids is None:
        return full
    return hashlib.sha256(json.dumps([full, select, sorted(ids)]).encode()).hexdigest()


def better(before: Mapping[str, Any] | None, run: GateRun) -> bool:
    """Whether a repeated run is to be remembered instead of the one before.

    The run with fewer failing tests is: a test that fails now and then passes in it, so that, once it
    fails for good, that counts as worse.
    """
    known = tests_of(before) if before else None
    if known is None or run.tests is None:
        return True
    return len(run.tests.failing()) <= len(known.failing())


def no_gate(commit: str, tree: str) -> GateRun:
    """The run of a gate that is said to be none."""
    reason = f"no gate ({NONE})"
    return GateRun(commit, tree, GREEN, True, None, None, None, 0.0, Path(), reason)
