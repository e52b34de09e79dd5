"""The goals as their facts tell them, and the one way to add facts: written first, then in effect.

With a full disk, facts of finished work wait here in memory, in order, and nothing new starts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mo_git.breakers import LONGEST, fold, take
from mo_git.errors import Exit, MoError
from mo_git.goal_status import GoalStatus
from mo_git.ledger.writer import Ledger, LedgerBroken, LedgerFull
from mo_git.lifecycle import apply, new_goal
from mo_git.model import Fact, GoalSpec, Kind, NewFact

log = logging.getLogger("mo")


class Book:
    """Used from the event loop's thread only.

    `breakers` is how it stands with each agent.  `unwritable` says why the ledger takes nothing now (empty:
    it does), `broken` holds the error after which nothing can be recorded any more.
    """

    def __init__(
        self,
        ledger: Ledger,
        goals: Mapping[str, GoalStatus],
        now: Callable[[], float],
        changed: Callable[[], None],
        tell: Callable[[Sequence[Fact]], None] = lambda _facts: None,
    ) -> None:
        self.goals: dict[str, GoalStatus] = dict(goals)
        self.seq = max((goal.last_seq for goal in self.goals.values()), default=0)
        self.breakers = fold(ledger.answers(now() - LONGEST))
        self.unwritable = ""
        self.broken: LedgerBroken | None = None
        self._ledger = ledger
        self._now = now
        self._changed = changed
        self._tell = tell
        self._waiting: list[NewFact] = []

    # -- reading --------------------------------------------------------------------------------------

    def has_goal(self, goal_id: str) -> bool:
        return goal_id in self.goals or self._ledger.has_goal(goal_id)

    def goal(self, goal_id: str) -> GoalStatus:
        """A goal, also one that ended long ago and is no longer in memory."""
        if goal_id not in self.goals:
            spec = self._ledger.goal(goal_id)
            if spec is None:
                raise MoError(f"no goal {goal_id}", "mo status lists the goals", Exit.NOT_FOUND)
            self.goals[goal_id] = self._ledger.status(spec)
        return self.goals[goal_id]

    def load_earlier(self, spec: GoalSpec) -> None:
        """A goal that this one waits for has to be in the snapshot, however long ago it ended."""
        if spec.depends_on and self.has_goal(spec.depends_on):
            self.goal(spec.depends_on)

    # -- writing --------------------------------------------------------------------------------------

    def record(self, facts: Iterable[NewFact], *, durable: bool = False) -> Sequence[Fact]:
        """Write facts and let them take effect.

        A durable fact guards an effect: where it can't be written this raises LedgerFull, and the effect
        must not happen.  Others wait, in order, until there is room.
        """
        new = list(facts)
        try:
            self._flush()
            return self.write(new, durable=durable) if new else []
        except LedgerFull:
            if durable:
                raise
            self._waiting += new
            return []

    def write(
        self,
        facts: Sequence[NewFact],
        *,
        durable: bool,
        goals: Sequence[GoalSpec] = (),
        answers: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Sequence[Fact]:
        """New goals, facts and answers to requests, in one transaction; then their effect."""
        ended = {fact.data["request"]: _answer(fact) for fact in facts if fact.kind is Kind.OPERATION_ENDED}
        try:
            recorded = self._ledger.append(
                facts, self._now(), durable=durable, goals=goals, answers={**ended, **(answers or {})}
            )
        except LedgerFull as error:
            self.note_full(error)
            raise
        except LedgerBroken as error:
            self.broken = error
            raise
        self.goals.update((spec.id, new_goal(spec)) for spec in goals)
        for fact in recorded:
            self.seq = fact.seq
            if fact.kind == Kind.PROVIDER_ANSWERED:
                take(self.breakers, fact)
            if not fact.goal:  # what no goal pays for is only counted
                continue
            effect = apply(self.goals[fact.goal], fact)
            where = f"{fact.goal}/{fact.task}#{fact.attempt}" if fact.task else fact.goal
            log.info("%s %s%s", where, fact.kind, "" if effect else " (late, no effect)")
        self._tell(recorded)
        self._changed()
        return recorded

    def _flush(self) -> None:
        if self._waiting:
            self.write(self._waiting, durable=False)
            self._waiting = []

    # -- a full disk ----------------------------------------------------------------------------------

    def note_full(self, error: LedgerFull) -> None:
        """Something could not be written: until `is_writable` says otherwise, nothing should start."""
        if not self.unwritable:
            log.error("%s; %s", error.message, error.hint)
        self.unwritable = error.message

    def is_writable(self) -> bool:
        """Tries it out where something went wrong before, and writes what waited."""
        if not self.unwritable:
            return True
        try:
            self._ledger.probe()
            self._flush()
        except LedgerFull as error:
            self.note_full(error)
            return False
        log.info("the ledger takes facts again")
        self.unwritable = ""
        return True

    def why_not(self) -> str:
        """For a person: why nothing starts; empty where the ledger is fine."""
        waiting = f"; {len(self._waiting)} facts wait for it" if self._waiting else ""
        return f"{self.unwritable}{waiting}" if self.unwritable else ""

    def finish(self) -> None:
        """The daemon ends: a last try for what waits."""
        try:
            self._flush()
        except (LedgerFull, LedgerBroken) as error:
            log.error("%d facts are lost: %s", len(self._waiting), error.message)


def _answer(fact: NewFact) -> dict[str, Any]:
    """What whoever asked for an operation is told."""
    return {key: value for key, value in fact.data.items() if key != "request"}
