"""The runs that cost money now: what each has cost so far, and how each is told to stop at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mo_daemon.budget import FIRST_STEP_USD, Run
from mo_git.model import FailureClass

Halted = tuple[FailureClass, str]  # how a run that is ended has failed, and why


@dataclass(slots=True)
class Spending:
    """One run; `halt` is given the reason to end now."""

    goal: str
    provider: str
    halt: asyncio.Future[Halted]
    step_usd: float
    cost_usd: float = 0.0

    @property
    def next_usd(self) -> float:
        """What its next usage event may add; one that leaves has nothing under way."""
        return 0.0 if self.halt.done() and self.halt.result()[0] is FailureClass.CROWDED else self.step_usd

    def stop(self, failure: FailureClass, why: str) -> None:
        if not self.halt.done():
            self.halt.set_result((failure, why))


@dataclass(slots=True)
class Purse:
    """All of them, by the run's name (GOAL/TASK#N).  Used from the event loop's thread only."""

    spending: dict[str, Spending] = field(default_factory=dict)
    _steps: dict[str, float] = field(default_factory=dict)  # provider -> largest usage event of its last run

    def step_of(self, provider: str) -> float:
        """US dollars that the first usage event of this provider's next run may cost."""
        return self._steps.get(provider, FIRST_STEP_USD)

    def runs(self) -> tuple[Run, ...]:
        return tuple(
            Run(one.goal, one.provider, one.cost_usd, one.next_usd) for one in self.spending.values()
        )

    @contextmanager
    def open(self, name: str, goal: str, provider: str) -> Iterator[Spending]:
        """A run from before it starts until nothing of it lives."""
        halt: asyncio.Future[Halted] = asyncio.get_running_loop().create_future()
        self.spending[name] = one = Spending(goal, provider, halt, self.step_of(provider))
        try:
            yield one
        finally:
            del self.spending[name]
            if one.cost_usd > 0:
                self._steps[provider] = one.step_usd

    def note(self, name: str, cost_usd: float) -> None:
        """A usage event: what the run has cost by now."""
        one = self.spending[name]
        step = cost_usd - one.cost_usd
        one.step_usd = max(one.step_usd, step) if one.cost_usd > 0 else step
        one.cost_usd = max(cost_usd, one.cost_usd)
