"""What the workers of a job share: its items, who of them is at work, and how many stand where."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mo_daemon.allowance import runs_of
from mo_daemon.decide import may_start
from mo_daemon.paid_run import COMMAND
from mo_daemon.resources import reason_to_hold
from mo_daemon.routing import Choice, NoAgent, Wish, route
from mo_daemon.services import Services
from mo_daemon.simple.examiner import Examiner
from mo_git.goal_status import GoalStatus
from mo_git.ledger.items import ItemRow
from mo_git.model import FailureClass, Phase
from mo_git.simple.item import Item, ItemState

AHEAD = 64  # items that are read at once
LOOK_SECONDS = 0.5  # how often a worker without work looks again


@dataclass
class Bench:
    """One for each run of a job's workers; used on the event loop's thread."""

    services: Services
    goal: GoalStatus
    plain: bool  # whether worktrees hold files as git has them
    ahead: list[ItemRow] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    keeping: asyncio.Lock = field(default_factory=asyncio.Lock)
    examiner: Examiner = field(default_factory=Examiner)
    unusable: set[str] = field(default_factory=set)  # agents that turned out to work for nobody here

    # -- who does what ----------------------------------------------------------------------------------

    async def next(self) -> tuple[ItemRow, Choice] | None:
        """Claim the next item, when there is one and somebody who may do it; None: there will be none."""
        while may_start(self.goal) and self.left():
            if not self._no_room() and (claimed := self._claim()):
                return claimed
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), LOOK_SECONDS)
            except TimeoutError:
                self.ahead.clear()
        return None

    def _no_room(self) -> str:
        """Why nothing may start on this machine now."""
        services, limits = self.services, self.services.settings.orchestrator
        return reason_to_hold(
            [services.home.top, services.state],
            min_free_gb=limits.min_free_disk_gb,
            max_load_per_cpu=limits.max_load_per_cpu,
        )

    def left(self) -> int:
        return (self.goal.items or {}).get(ItemState.QUEUED, 0)

    def _claim(self) -> tuple[ItemRow, Choice] | None:
        services, job = self.services, self.goal.id
        if not self.ahead:
            self.ahead = services.ledger.items.claimable(job, services.now(), AHEAD)
        refused: set[str] = set()
        for row in list(self.ahead):
            choice = self._choice(row)
            if isinstance(choice, NoAgent):
                self.ahead.remove(row)
                reason = "; ".join(f"{name}: {why}" for name, why in choice.reasons.items())
                self._give_up(row, f"no agent can do it: {reason}")
            elif choice.agent not in refused and not self._is_held(choice.agent):
                self.ahead.remove(row)
                now = services.now()
                if claimed := services.ledger.items.claim(job, row, services.token(), choice.agent, now):
                    self.count(ItemState.QUEUED, ItemState.RUNNING)
                    return claimed, choice
            else:
                refused.add(choice.agent)
        return None

    def _choice(self, row: ItemRow) -> Choice | NoAgent:
        if not row.item.by_agent:
            return Choice(COMMAND, "", "run")
        spec = self.goal.spec
        wish = Wish(
            spec.provider,
            row.item.provider,
            spec.phase_providers.get(Phase.SIMPLE, ""),
            row.item.model,
            "simple",
        )
        avoid = frozenset(self.unusable)
        return route(Phase.SIMPLE, wish, self.services.routes, avoid, self.services.resting())

    def gives_up(self, row: ItemRow, agent: str) -> bool:
        """An agent cannot work here: whether no other one would do the item."""
        self.unusable.add(agent)
        choice = self._choice(row)
        return isinstance(choice, NoAgent) or choice.agent in self.unusable

    def _is_held(self, agent: str) -> bool:
        """Whether no run of this agent may start now; those that wait would hold up others."""
        if agent == COMMAND:
            return False
        services = self.services
        most, breaker = services.most(agent), services.breakers.get(agent)
        if breaker is not None and breaker.limit is not None:
            most = min(most, breaker.limit)
        full = runs_of(services.goals.values(), agent) >= most
        return full or services.is_closed_to(agent) or bool(services.refusal(self.goal, agent))

    def _give_up(self, row: ItemRow, reason: str) -> None:
        ended = {"failure": FailureClass.AUTH, "reason": reason, "ended_at": self.services.now()}
        if self.services.ledger.items.put(self.goal.id, row.n, ItemState.QUEUED, ItemState.FAILED, **ended):
            self.count(ItemState.QUEUED, ItemState.FAILED)

    @contextmanager
    def at_work(self, agent: str) -> Iterator[None]:
        """Counts the run for whoever else wants one of this agent."""
        if agent == COMMAND:
            yield
            return
        self.goal.hands[agent] += 1
        try:
            yield
        finally:
            self.goal.hands[agent] -= 1
            self.changed.set()

    # -- what became of it ------------------------------------------------------------------------------

    def end(self, row: ItemRow, state: ItemState, **values: Any) -> bool:
        """Record what came of a claimed item; False where it was somebody else's by then."""
        services = self.services
        done = services.ledger.items.end(self.goal.id, row.n, row.token, state, services.now(), **values)
        if done:
            self.count(ItemState.RUNNING, state)
        self.changed.set()
        return done

    def count(self, before: ItemState, after: ItemState) -> None:
        count(self.goal, before, after)


def count(goal: GoalStatus, before: ItemState, after: ItemState, number: int = 1) -> None:
    """Some items of a job went from one state to another."""
    items = Counter(goal.items or {})
    items[before] -= number
    items[after] += number
    goal.items = {state: n for state, n in items.items() if n > 0}


def title(item: Item) -> str:
    """What an item is about, for a commit's first line."""
    words = [word for word in item.run or () if "{target" not in word]
    what = " ".join(words) if words else item.instruction.strip().partition("\n")[0]
    where = item.targets[0] if item.targets else item.id
    more = f" and {len(item.targets) - 1} more" if len(item.targets) > 1 else ""
    said = f"{where}{more}: {what}"
    return said if len(said) <= 100 else said[:99] + "\N{HORIZONTAL ELLIPSIS}"
