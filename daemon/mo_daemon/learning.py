"""What this repository's own tasks teach about agents: landed tasks per dollar, by complexity.  Pure.

An agent's record are the tasks whose last attempt it made and that have ended: those that landed, over all
dollars that its attempts at them cost.  Another one than the phase's default is preferred only when both have
a record of ENOUGH tasks and it lands clearly more per dollar.  Old outcomes are forgotten (`newest` facts are
looked at), so what was found wanting once gets another chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mo_git.model import Fact, Kind, Phase

NEWEST = 5000  # facts that are looked at
KINDS = (Kind.USAGE, Kind.LANDED, Kind.FAILED, Kind.EJECTED)
ENOUGH = 8  # tasks
CLEARLY = 1.25  # times as much per dollar
LEAST_USD = 0.001  # a task: what costs nothing is still no infinitely good offer
LEAST_SHARE = 0.5  # of the other's share of landed tasks: cheap failures cost people time


@dataclass(frozen=True, slots=True)
class Record:
    """What became of an agent's tasks."""

    tasks: int = 0
    landed: int = 0
    cost_usd: float = 0.0

    @property
    def share(self) -> float:
        return self.landed / self.tasks if self.tasks else 0.0

    @property
    def per_dollar(self) -> float:
        return self.landed / max(self.cost_usd, LEAST_USD * self.tasks) if self.tasks else 0.0

    def __str__(self) -> str:
        each = f" at ${self.cost_usd / self.landed:.2f} each" if self.landed else ""
        return f"{self.landed} of {self.tasks} tasks landed{each}"


Records = Mapping[str, Mapping[str, Record]]  # complexity -> agent -> its record


def records(facts: Iterable[Fact]) -> dict[str, dict[str, Record]]:
    """From facts of KINDS, oldest first; a task counts once, as it ended last."""
    costs: dict[tuple[str, str], list[Fact]] = {}
    ends: dict[tuple[str, str], bool] = {}
    for fact in facts:
        key = (fact.goal, fact.task)
        if fact.kind == Kind.USAGE:
            if fact.task and fact.data.get("phase") == Phase.EXECUTE and fact.data.get("complexity"):
                costs.setdefault(key, []).append(fact)
        else:
            ends[key] = fact.kind == Kind.LANDED
    found: dict[str, dict[str, Record]] = {}
    for key, landed in ends.items():
        if runs := costs.get(key):
            last = str(runs[-1].data["provider"])
            usd = sum(float(one.data.get("cost_usd") or 0) for one in runs if one.data["provider"] == last)
            of = found.setdefault(str(runs[-1].data["complexity"]), {})
            so_far = of.get(last, Record())
            of[last] = Record(so_far.tasks + 1, so_far.landed + landed, so_far.cost_usd + usd)
    return found


def better(known: Mapping[str, Record], default: str, others: Iterable[str]) -> tuple[str, str]:
    """(the agent to prefer to the default one, why); empty where there is none."""
    own = known.get(default, Record())
    if own.tasks < ENOUGH:
        return "", ""
    fit = [
        (record.per_dollar, name)
        for name in others
        if (record := known.get(name, Record())).tasks >= ENOUGH
        and record.per_dollar > CLEARLY * own.per_dollar
        and record.share >= LEAST_SHARE * own.share
    ]
    if not fit:
        return "", ""
    name = max(fit)[1]
    return name, f"learnt here: {known[name]}; {default}: {own}"
