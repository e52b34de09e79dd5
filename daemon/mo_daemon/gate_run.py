"""The words of gates: the command, what a run of it said, and what a verdict belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mo_daemon.judging import Question, judge_run, restricted
from mo_daemon.metrics import Metric
from mo_daemon.testids import ERROR, FAILED, PASSED, Regression, Tests
from mo_git import process
from mo_git.model import Command

NONE = "none"  # a gate command that means: no gate, everything is green, and shown so
FULL, IDS = "full", "ids"


@dataclass(frozen=True, slots=True)
class GateCommand:
    """A configured gate.

    `timeout` is in seconds and holds for each command.  `setup` runs before every gate run (what needs
    to run only once is workspace.setup).  `junit` is a glob of report files that the command writes.
    `keep` are clean patterns that survive between runs.  `log_bytes` of the output are kept, and its end.
    `select` is a command of the user's own that runs only some tests, {ids} in it.  `metrics` are measured
    after a run of all tests that is not red.
    """

    command: Command
    timeout: float
    setup: tuple[Command, ...] = ()
    junit: str = ""
    keep: tuple[str, ...] = ()
    log_bytes: int = process.LOG_LIMIT
    select: str = ""
    metrics: tuple[Metric, ...] = ()


@dataclass(frozen=True, slots=True)
class GateRun:
    """What one gate run said.

    `result` is green | red | unknown; `weak`: by exit code alone.  `asked` are the only tests that were
    asked for: then `tests` holds those alone, and the run says nothing about any other.  `flaky` are tests
    that failed and did not count, since they are in quarantine.
    """

    commit: str
    tree: str
    result: str
    weak: bool
    exit_code: int | None
    tests: Tests | None
    regression: Regression | None
    seconds: float
    log: Path
    reason: str
    cached: bool = False
    strict: bool = False  # the command does more than run tests, so its exit code counts too
    asked: frozenset[str] | None = None
    flaky: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)  # name -> value

    @property
    def kind(self) -> str:
        """full, or ids where the run was about some tests only."""
        return FULL if self.asked is None else IDS

    @property
    def failed_ids(self) -> tuple[str, ...]:
        """The ids that speak against the commit: regressions, or all failures where there is no baseline."""
        if self.regression is not None:
            return self.regression.ids
        return self.tests.failing() if self.tests else ()

    def judged(self, question: Question, timed_out: bool = False, runner: str = "") -> GateRun:
        """The run with its meaning for a question; with `question.ids` it becomes a run of those."""
        said = judge_run(
            self.exit_code, timed_out, self.tests, question, self.weak, runner=runner, strict=self.strict
        )
        return replace(
            self,
            result=said.result,
            regression=said.regression,
            reason=said.reason,
            flaky=said.flaky,
            asked=question.ids,
            tests=restricted(self.tests, question.ids) if self.tests else None,
        )

    def document(self, tasks: Sequence[str] = ()) -> dict[str, Any]:
        """The run as an entry of `gates` in `mo show --json`."""
        tests = self.tests or Tests({})
        return {
            "commit": self.commit,
            "tree": self.tree,
            "tasks": list(tasks),
            "kind": self.kind,
            "result": self.result,
            "weak": self.weak,
            "reason": self.reason,
            "cached": self.cached,
            "tests": {
                "passed": tests.count(PASSED),
                "failed": tests.count(FAILED, ERROR),
                "missing": len(self.regression.missing) if self.regression else 0,
                "flaky": len(self.flaky),
            },
            "failed_ids": list(self.failed_ids),
            "flaky_ids": list(self.flaky),
            "metrics": dict(self.metrics),
            "seconds": round(self.seconds, 3),
        }


def cache_key(
    tree: str, command: GateCommand, environment: Mapping[str, str], fingerprint: str, rules: str = ""
) -> str:
    """The key of a full gate run's verdict: equal keys mean that the run would be the same.

    The tree names submodule commits; `fingerprint` stands for set-up and the versions of the tools
    (`provision.Provisioner.fingerprint`), `rules` for what confines the gate (`Confinement.rules`).  An
    unknown verdict must never be stored.
    """
    parts = {
        "tree": tree,
        "command": command.command,
        "setup": command.setup,
        "junit": command.junit,
        "path": environment.get("PATH", ""),
        "virtual_env": environment.get("VIRTUAL_ENV", ""),
        "fingerprint": fingerprint,
        "rules": rules,
        "tests": "all",
        "metrics": [(metric.name, metric.command) for metric in command.metrics],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
