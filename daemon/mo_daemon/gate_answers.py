"""What is known of gate runs already: answers from memory, one question at a time, and what a run teaches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mo_daemon import flaky, gate_memory
from mo_daemon.gate_run import GateRun
from mo_daemon.judging import Question
from mo_daemon.services import Services
from mo_daemon.verdicts import UNKNOWN


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about: a commit, the key of a full run of its tree, gate.select in force.

    `good`: the commit is the last good one of its goal.
    """

    commit: str
    key: str
    select: str
    good: bool

    def key_of(self, ids: frozenset[str] | None) -> str:
        return gate_memory.key_of(self.key, self.select, ids)


@dataclass(frozen=True, slots=True)
class Answers:
    """One per daemon, used from the event loop."""

    services: Services
    _asked: dict[str, tuple[asyncio.Lock, int]] = field(default_factory=dict)  # key -> lock, how many ask

    @asynccontextmanager
    async def asking(self, subject: Subject, question: Question) -> AsyncIterator[None]:
        """One at a time for one answer: who asks the same meanwhile gets it from memory."""
        if question.fresh:
            yield
            return
        key = subject.key_of(question.ids)
        lock, count = self._asked.get(key, (asyncio.Lock(), 0))
        self._asked[key] = (lock, count + 1)
        try:
            async with lock:
                yield
        finally:
            _, count = self._asked.pop(key)
            if count > 1:
                self._asked[key] = (lock, count - 1)

    def known(self, subject: Subject, question: Question) -> GateRun | None:
        """The answer of a full run or of one of the same tests; a fresh question has none."""
        ledger = self.services.ledger
        if question.fresh:
            return None
        found = ledger.gate_run(subject.key)
        if found is None and question.ids is not None:
            found = ledger.gate_run(subject.key_of(question.ids))
        return gate_memory.load(found, subject.commit, question) if found else None

    def learn(self, subject: Subject, run: GateRun) -> None:
        """Remember a run that has a verdict, and what it says about flakes."""
        if run.result == UNKNOWN:
            return
        services, key = self.services, subject.key_of(run.asked)
        before = services.ledger.gate_run(key)
        full = services.ledger.gate_run(subject.key) if subject.good and run.asked else None
        same = gate_memory.tests_of(before) if before else None
        flaky.note(services, run, same, gate_memory.tests_of(full) if full else None)
        if gate_memory.better(before, run):
            services.ledger.remember_gate(key, gate_memory.dump(run), services.now())
