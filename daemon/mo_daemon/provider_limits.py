"""What may start of each agent now, by the settings and by what its provider said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mo_daemon.breakers import MINUTE, Breaker, Rules, Run, breakers, starts_left
from mo_git.config import Config
from mo_git.goal_status import GoalStatus
from mo_git.model import TaskState
from mo_git.text import clock


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """By agent: runs at once, why none may start, starts left of this minute; and when that changes."""

    caps: Mapping[str, int]
    closed: Mapping[str, str] = field(default_factory=dict)
    starts: Mapping[str, int] = field(default_factory=dict)
    resets: tuple[float, ...] = ()


class Providers:
    """Looks at the facts of all goals; remembers what it saw until there are more."""

    def __init__(self) -> None:
        self._seen: tuple[object, ...] = ()
        self._breakers: Mapping[str, Breaker] = {}

    def limits(self, goals: Mapping[str, GoalStatus], settings: Config, now: float) -> ProviderLimits:
        """What may start now."""
        retry, agents = settings.retry, settings.agents
        rules = {
            name: Rules(retry.base_seconds, retry.max_seconds, entry.max_parallel or agents.max_parallel)
            for name, entry in settings.roster.items()
        }
        seen = (sum(len(goal.runs) for goal in goals.values()), tuple(rules.items()))
        if seen != self._seen:
            self._seen, self._breakers = seen, breakers(_runs(goals.values()), rules)
        standing = self._breakers
        most = {name: entry.max_starts_per_minute for name, entry in settings.roster.items()}
        recent = list(_starts(goals.values(), now)) if any(most.values()) else []
        left = starts_left(recent, most, now)
        closed = {
            name: f"{name} is at its {why} until {clock(one.until, now)}"
            for name, one in standing.items()
            if (why := one.reason(now))
        }
        full = [at + MINUTE for name, at in recent if left.get(name, 1) <= 0]
        return ProviderLimits(
            {name: one.at_once for name, one in standing.items()},
            closed,
            left,
            tuple([standing[name].until for name in closed] + full),
        )


def _runs(goals: Iterable[GoalStatus]) -> Iterator[Run]:
    for goal in goals:
        for run in goal.runs:
            yield Run(run["provider"], run["started"], run["ended"], run["class"], run["until"])


def _starts(goals: Iterable[GoalStatus], now: float) -> Iterator[tuple[str, float]]:
    """(agent, when) of all runs that started within the last minute."""
    for goal in goals:
        for run in reversed(goal.runs):
            if run["ended"] < now - MINUTE:
                break
            yield run["provider"], run["started"]
        for task in goal.tasks.values():
            if task.state is TaskState.RUNNING:
                yield task.provider, task.attempts[-1].started_at
