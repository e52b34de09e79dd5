"""What runs of agents tell of their providers: every ending, whatever the phase, is a fact."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from mo_daemon.agents.protocol import Event, EventKind, Outcome
from mo_daemon.services import Services
from mo_git.breakers import LIMITED, Breaker, Pace, answer
from mo_git.model import FailureClass, Kind, NewFact

LOOK_SECONDS = 1.0  # between two looks whether a provider may be asked again
STATED_SECONDS = 20.0  # programs wait so long before their first tries only where the provider said so


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

    async def turn(self) -> None:
        """Wait until the provider may be asked: whatever starts runs, none starts while it says no."""
        services = self.services
        while self._has_to_wait():
            breaker = services.breakers[self.agent]
            services.doing[self.run] = f"waits for {self.agent}: {breaker.words}"
            await asyncio.sleep(min(LOOK_SECONDS, max(breaker.until - services.now(), 0.05)))
        services.doing.pop(self.run, None)
        self.started_at = services.now()
        if services.breakers.get(self.agent, Breaker()).is_tried(self.started_at):
            services.trying[self.agent] = self.run

    def _has_to_wait(self) -> bool:
        breaker, now = self.services.breakers.get(self.agent, Breaker()), self.services.now()
        return breaker.is_open(now) or (breaker.is_tried(now) and self.agent in self.services.trying)

    def done(self) -> None:
        """The run is over, however it ended: another one may try."""
        if self.services.trying.get(self.agent) == self.run:
            del self.services.trying[self.agent]

    def hear(self, event: Event) -> None:
        """Runs are long: a limit is known once a program waits for it, its end with the first answer."""
        services, now = self.services, self.services.now()
        services.say(self.run, event)
        breaker = services.breakers.get(self.agent, Breaker())
        if event.kind is EventKind.TOOL and breaker.is_tried(now):
            self._record(None, now, first=True)
        elif event.kind is EventKind.RETRY and event.data.get("class") in LIMITED:
            seconds = float(event.data.get("seconds") or 0)
            stated = now + seconds if seconds >= STATED_SECONDS else None
            if not breaker.is_open(now) or (stated or 0) > breaker.until + 1:
                self._record(FailureClass(event.data["class"]), self.started_at, stated)

    def tell(self, outcome: Outcome, **more: Any) -> None:
        """How the run ended; `proof`: a person asked whether it works, whatever its breaker says."""
        self._record(outcome.failure, self.started_at, outcome.retry_at, **more)

    def _record(
        self, failure: FailureClass | None, asked_at: float, stated: float | None = None, **more: Any
    ) -> None:
        services, retry = self.services, self.services.settings.retry
        said = answer(
            services.breakers.get(self.agent, Breaker()),
            failure,
            started_at=asked_at,
            now=services.now(),
            pace=Pace(services.most(self.agent), retry.base_seconds, retry.max_seconds),
            jitter=services.jitter(),
            stated=stated,
        )
        who = {"provider": self.agent, "phase": self.phase, "run": self.run}
        services.record([NewFact(self.goal, Kind.PROVIDER_ANSWERED, {**who, **said, **more})])
