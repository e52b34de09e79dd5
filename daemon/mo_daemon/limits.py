"""How much may run at once, as `decide` is told.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from mo_daemon.allowance import AgentOf
from mo_git.breakers import Breaker
from mo_git.goal_status import GoalStatus


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may run at once; `hold` (a reason, e.g. a full disk) stops new starts.

    `agent_of` names who does a task (None: who plans the goal); empty: nobody that counts.  `caps` are runs
    of each agent at once.  `memory` is how many further agents have room in free memory; None: any number.
    Plain commands count against `parallel` alone.  `speculate` is `converge.speculate`; `apart` are heads
    with candidates that do not merge onto them, so nothing can start from there.  `refusal` says why no run
    of an agent may start for a goal now (money, quota); empty: one may.  `breakers` is how it stands with
    each agent, `starts` how many of its attempts may start in a minute (0 or missing: any number).
    """

    parallel: int
    hold: str = ""
    caps: Mapping[str, int] = field(default_factory=dict)
    memory: int | None = None
    agent_of: AgentOf = lambda _goal, _task: ""
    speculate: str = "off"
    apart: Collection[tuple[str, ...]] = ()
    refusal: Callable[[GoalStatus, str], str] = lambda _goal, _agent: ""
    breakers: Mapping[str, Breaker] = field(default_factory=dict)
    starts: Mapping[str, int] = field(default_factory=dict)
