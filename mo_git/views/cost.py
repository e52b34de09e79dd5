"""What agents cost, added up: by goal, task, phase, provider, model or day.  Pure.

Money is US dollars.  Programs that report tokens and no money are priced by a table; such money is marked
with ~, since it is an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mo_git.model import OWN_PRICES, Fact
from mo_git.text import money, table


@dataclass(slots=True)
class Cost:
    """Runs of agents added up; `estimated_usd` is the part of `cost_usd` that is an estimate.

    `input_tokens` is all that was sent; `cached_input_tokens` the part of it that came from a cache.
    """

    runs: int = 0
    cost_usd: float = 0.0
    estimated_usd: float = 0.0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    prices: dict[str, None] = field(default_factory=dict)  # what estimates were made by: dates, OWN_PRICES

    def add(self, data: Mapping[str, Any]) -> None:
        money = float(data.get("cost_usd") or 0.0)
        self.runs += 1
        self.cost_usd += money
        if data.get("estimated"):
            self.estimated_usd += money
            self.prices.update(dict.fromkeys([data["prices"]] if data.get("prices") else []))
        self.input_tokens += int(data.get("input_tokens") or 0)
        self.cached_input_tokens += int(data.get("cached_input_tokens") or 0)
        self.output_tokens += int(data.get("output_tokens") or 0)


_NO_GOAL = "no goal"  # a proof of a login


def _task(fact: Fact) -> str:
    return f"{fact.goal}/{fact.task}" if fact.task else fact.goal or _NO_GOAL


def _day(fact: Fact) -> str:
    """The day in UTC, as budget.daily_usd counts it."""
    return datetime.fromtimestamp(fact.at, UTC).date().isoformat()


KEYS: Mapping[str, Callable[[Fact], str]] = {
    "goal": lambda fact: fact.goal or _NO_GOAL,
    "task": _task,
    "phase": lambda fact: str(fact.data.get("phase") or "unknown"),
    "provider": lambda fact: str(fact.data.get("provider") or "unknown"),
    "model": lambda fact: str(fact.data.get("model") or f"{fact.data.get('provider', '')} default".strip()),
    "day": _day,
}


def costs(facts: Iterable[Fact], by: str) -> dict[str, Cost]:
    """The sums of usage facts by one of KEYS, in the order in which each key came first."""
    found: dict[str, Cost] = {}
    for fact in facts:
        found.setdefault(KEYS[by](fact), Cost()).add(fact.data)
    return found


def total(facts: Iterable[Fact]) -> Cost:
    whole = Cost()
    for fact in facts:
        whole.add(fact.data)
    return whole


def cost_document(facts: Iterable[Fact], by: str, goal: str = "") -> dict[str, Any]:
    """The document of `mo cost --json`; `goal` is null where all goals are meant."""
    listed = list(facts)
    rows = [{"key": key, **_numbers(cost)} for key, cost in costs(listed, by).items()]
    whole = total(listed)
    document = {"v": 1, "goal": goal or None, "by": by, "rows": rows, "total": _numbers(whole)}
    return {**document, "prices": sorted(whole.prices)}


def _numbers(cost: Cost) -> dict[str, Any]:
    return {
        "runs": cost.runs,
        "cost_usd": round(cost.cost_usd, 6),
        "estimated_usd": round(cost.estimated_usd, 6),
        "tokens": {
            "input": cost.input_tokens,
            "cached_input": cost.cached_input_tokens,
            "output": cost.output_tokens,
        },
    }


def cost_lines(facts: Iterable[Fact], by: str) -> list[str]:
    """A table with a line for each key, the dearest first, and the total."""
    listed = list(facts)
    if not listed:
        return ["no agent has cost anything yet"]
    found = sorted(costs(listed, by).items(), key=lambda pair: -pair[1].cost_usd)
    whole = total(listed)
    head = [by, "cost", "runs", "input", "cached", "output"]
    rows = [head, *(_row(key, cost) for key, cost in found), _row("total", whole)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = table([[row[0], *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))] for row in rows])
    return lines + ([f"~: at least in part an estimate, by {_sources(whole)}"] if whole.estimated_usd else [])


def _sources(cost: Cost) -> str:
    """Whose prices an estimate was made by."""
    dates = " and ".join(sorted(cost.prices.keys() - {OWN_PRICES}))
    listed = f"list prices of {dates}" if dates else "list prices"
    if OWN_PRICES not in cost.prices:
        return listed
    return f"{listed} and your own" if dates else "your own prices"


def _row(key: str, cost: Cost) -> list[str]:
    numbers = (cost.runs, cost.input_tokens, cost.cached_input_tokens, cost.output_tokens)
    return [key, money(cost.cost_usd, estimated=cost.estimated_usd > 0), *(f"{one:,}" for one in numbers)]
