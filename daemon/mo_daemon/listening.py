"""What runs of agents tell of their providers: every ending, whatever the phase, is a fact."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mo_daemon.agents.protocol import Event, EventKind, Outcome
from mo_daemon.services import Services
from mo_git.breakers import Breaker, Pace, answer
from mo_git.model import FailureClass, Kind, NewFact


@dataclass
class Ear:
    """Listens to one run of an agent, from its start on; `run` is its name for people, as GOAL/TASK#N."""

    services: Services
    goal: str
    agent: str
    phase: str
    run: str
    started_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.started_at = self.services.now()

    def hear(self, event: Event) -> None:
        """Runs are long: that a tried provider works again is known with its first answer, not at the end."""
        services = self.services
        services.say(self.run, event)
        breaker = services.breakers.get(self.agent, Breaker())
        tries = breaker.is_tried(services.now()) and self.started_at >= breaker.until
        if tries and event.kind is EventKind.TOOL:
            self._record(None, first=True)

    def tell(self, outcome: Outcome, **more: Any) -> None:
        """How the run ended; `proof`: a person asked whether it works, whatever its breaker says."""
        self._record(outcome.failure, outcome.retry_at, **more)

    def _record(self, failure: FailureClass | None, stated: float | None = None, **more: Any) -> None:
        services, retry = self.services, self.services.settings.retry
        said = answer(
            services.breakers.get(self.agent, Breaker()),
            failure,
            started_at=self.started_at,
            now=services.now(),
            pace=Pace(services.cap(self.agent), retry.base_seconds, retry.max_seconds),
            jitter=services.jitter(),
            stated=stated,
        )
        who = {"provider": self.agent, "phase": self.phase, "run": self.run}
        services.record([NewFact(self.goal, Kind.PROVIDER_ANSWERED, {**who, **said, **more})])
