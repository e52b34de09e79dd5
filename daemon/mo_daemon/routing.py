"""Which provider and model does a phase.  Pure.

What a person says beats what the plan says, and that beats settings: `--provider`, the task, then
`--phase-provider`, `routing.phase_defaults`, `routing.default_provider`.  Only `auto` ever chooses another
provider than the one named: the phase's default among those that are usable, then the fallbacks.  Tasks go
to another than the default where the repository's own outcomes speak clearly for it (see `learning`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mo_daemon import learning
from mo_git.model import Phase

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Routes:
    """The settings that routing needs.

    `usable` maps every known agent to why it cannot be used (empty: it can).  `chosen_defaults` are the
    phases whose default a person set; the built-in ones yield to `default_provider`.  `models` maps an
    agent to its models by complexity, and to the one with the largest context.  `records` are how agents did
    here; empty: nothing is learnt from them.
    """

    usable: Mapping[str, str]
    default_provider: str = AUTO
    phase_defaults: Mapping[str, str] = field(default_factory=dict)
    chosen_defaults: frozenset[str] = frozenset()
    fallbacks: Sequence[str] = ()
    auto_fallback: bool = True
    models: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    records: learning.Records = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wish:
    """What goal and task say: names of agents, `auto` or empty; `model` of the task; `complexity`.

    `level` is that of the model, where failures raised it above the task's complexity (`escalation`).
    """

    flag: str = ""
    task: str = ""
    phase_flag: str = ""
    model: str = ""
    complexity: str = "moderate"
    level: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """`agent` does it with `model` (empty: the agent's own default); `why` is for people."""

    agent: str
    model: str
    why: str


@dataclass(frozen=True, slots=True)
class NoAgent:
    """Nobody can do it; one reason per agent that was asked."""

    reasons: Mapping[str, str]


def route(
    phase: Phase,
    wish: Wish,
    routes: Routes,
    avoid: frozenset[str] = frozenset(),
    resting: frozenset[str] = frozenset(),
) -> Choice | NoAgent:
    """Choose for one start.  `avoid` are agents that failed just now; a named agent is used all the same.

    `resting` are those that nobody may ask for a while: better than one that failed, if there is no other.
    """
    named, source = _named(phase, wish, routes)
    if named != AUTO:
        reason = routes.usable.get(named, f"no such agent; known: {', '.join(routes.usable)}")
        if reason:
            return NoAgent({named: reason})
        return Choice(named, _model(named, wish, routes), source)
    order = _order(phase, routes)
    fit = [agent for agent in order if routes.usable.get(agent) == ""]
    patient = [agent for agent in fit if agent not in avoid]
    calm = [agent for agent in patient if agent not in resting]
    preferred, why = _learnt(phase, wish, routes, calm or patient or fit)
    if preferred:
        return Choice(preferred, _model(preferred, wish, routes), why)
    for agent in calm or patient or fit:
        first = agent == order[0]
        why = f"default of {phase}" if first else f"instead of {order[0]}"
        return Choice(agent, _model(agent, wish, routes), why)
    return NoAgent({agent: routes.usable.get(agent, "not configured") for agent in order})


def _named(phase: Phase, wish: Wish, routes: Routes) -> tuple[str, str]:
    for value, source in (
        (wish.flag, "--provider"),
        (wish.task, "the task"),
        (wish.phase_flag, "--phase-provider"),
    ):
        if value and value != AUTO:
            return value, source
    if phase in routes.chosen_defaults and not routes.auto_fallback:
        return routes.phase_defaults[phase], "routing.phase_defaults"
    if routes.default_provider != AUTO and phase not in routes.chosen_defaults:
        return routes.default_provider, "routing.default_provider"
    return AUTO, ""


def _learnt(phase: Phase, wish: Wish, routes: Routes, fit: Sequence[str]) -> tuple[str, str]:
    """Who did clearly better here than the default, which may do it, too; not against a person's choice."""
    default = routes.phase_defaults.get(phase, "")
    if phase is not Phase.EXECUTE or phase in routes.chosen_defaults or wish.model or default not in fit:
        return "", ""
    return learning.better(routes.records.get(wish.complexity, {}), default, fit)


def _order(phase: Phase, routes: Routes) -> list[str]:
    first = routes.phase_defaults.get(phase, "")
    rest = list(routes.fallbacks) if routes.fallbacks else sorted(routes.usable)
    names = [name for name in [first, *(rest if routes.auto_fallback else [])] if name]
    return list(dict.fromkeys(names))


def _model(agent: str, wish: Wish, routes: Routes) -> str:
    models = routes.models.get(agent, {})
    return wish.model or models.get(wish.level) or models.get(wish.complexity, "")
