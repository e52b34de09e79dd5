"""`status.json`, written when something changed, and not too often."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from mo_daemon.decide import waits
from mo_daemon.limits import Limits
from mo_daemon.services import Services
from mo_git import views

INTERVAL = 0.1  # seconds between two versions


class Publisher:
    """Writes the status of all goals; `about` is what it says about the daemon."""

    def __init__(self, services: Services, about: Mapping[str, Any]) -> None:
        self._services = services
        self._about = about
        self._last: tuple[Any, ...] = ()
        self._at = -INTERVAL
        self._is_old = False

    def seconds_left(self) -> float | None:
        """After which time there is something to write; None: nothing is."""
        return self._at + INTERVAL - time.monotonic() if self._is_old else None

    def publish(self, seq: int, jobs: Iterable[str], limits: Limits, *, at_once: bool) -> None:
        """Replace the file where something changed; soon after another time only if `at_once`."""
        services, busy = self._services, frozenset(jobs)
        goals = services.goals
        state = (seq, busy, limits, len(goals), tuple(services.doing.items()), services.coming)
        if state == self._last and services.home.status_file.exists():
            self._is_old = False
            return
        self._is_old = time.monotonic() - self._at < INTERVAL and not at_once
        if self._is_old:
            return
        document = views.status_document(
            list(goals.values()),
            seq=seq,
            daemon=self._about,
            limits={"parallel": limits.parallel, "hold": limits.hold},
            doing=services.doing,
            waits=waits(goals, busy, limits, services.now()),
            forecast=[(conflict.tasks, conflict.paths) for conflict in services.coming],
        )
        services.home.write_status(document)
        self._last = state
        self._at = time.monotonic()
