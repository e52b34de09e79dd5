"""The iterations of a goal: what a verifier said at the end of each, and how the next one began.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mo_git.model import Fact, Kind

VERIFIER = ".verify"  # stands for a task in names of runs and their files; no task can have this name
ABOUT_ITERATIONS = frozenset({Kind.VERIFY_STARTED, Kind.VERIFY_FAILED, Kind.VERIFIED, Kind.ITERATED})
ESCALATE, PIVOT = "escalate", "pivot"  # courses of an iteration that is not like the one before


@dataclass(slots=True)
class Iterations:
    """Lists hold the data of facts, oldest first; failures those since a person last said resume."""

    current: int = 1
    runs: int = 0  # of the verifier; numbers only grow
    failures: list[Mapping[str, Any]] = field(default_factory=list)
    not_before: float = 0.0
    verdicts: list[Mapping[str, Any]] = field(default_factory=list)
    turns: list[Mapping[str, Any]] = field(default_factory=list)  # how each further iteration began
    most: int | None = None  # a limit that replaces the plan's own
    since: int = 0  # the iteration in which a person last said that it goes on

    @property
    def verdict(self) -> Mapping[str, Any] | None:
        """The newest of this iteration."""
        last = self.verdicts[-1] if self.verdicts else None
        return last if last and last["iteration"] == self.current else None

    @property
    def course(self) -> str:
        """How this iteration was begun: empty, ESCALATE or PIVOT."""
        return str(self.turns[-1]["course"]) if self.turns else ""

    @property
    def escalated(self) -> bool:
        """Whether stronger models do the work from now on."""
        return any(turn["course"] == ESCALATE for turn in self.turns)

    def reset(self) -> None:
        """A person says that it is worth another try."""
        self.failures, self.not_before = [], 0.0

    def reopen(self, most: int | None) -> None:
        """A person says that it goes on: what is progress is judged anew from here."""
        self.reset()
        self.since, self.most = self.current, most or self.most

    def take(self, fact: Fact) -> bool:
        """Whether the fact had an effect: an iteration begins once."""
        data = fact.data
        if fact.kind == Kind.ITERATED:
            if data["iteration"] != self.current + 1:
                return False
            self.current = data["iteration"]
            self.turns.append(data)
            self.reset()
            return True
        self.runs = max(self.runs, data["n"])
        if fact.kind == Kind.VERIFY_FAILED:
            self.failures.append(data)
            self.not_before = data["not_before"]
        elif fact.kind == Kind.VERIFIED:
            self.verdicts.append(data)
            self.reset()
        return True
