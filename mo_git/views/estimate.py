"""What a plan takes before it runs: how many agents, how many of them at once, what they may cost.  Pure.

Money is US dollars.  The cost of a task is read off from what tasks of the same provider and model cost in
this repository, retries included: from the lower to the upper quartile.  Those of its complexity count where
there are SAMPLES of them, else all.  Where fewer than SAMPLES are known, FIGURES stand in.  Commands cost
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mo_git import dag
from mo_git.model import Fact, Phase, Plan, TaskSpec
from mo_git.text import count, money

SAMPLES = 3
# Low and high, by complexity: sessions of 0.1 to 0.4, 0.3 to 1.5 and 1 to 4 million tokens, mostly from the
# cache, at the list prices of a middle model.
FIGURES: Mapping[str, tuple[float, float]] = {
    "simple": (0.10, 0.50),
    "moderate": (0.30, 1.50),
    "complex": (1.00, 5.00),
}

_Task = tuple[str, str]  # goal and task
Who = Callable[[TaskSpec], tuple[str, str]]  # provider and model (empty: its default) that would do a task


@dataclass(frozen=True, slots=True)
class Estimate:
    """`agents` is how many runs of agents it takes if none has to be repeated, `at_once` the most at a time.

    `samples`: how many tasks done here the money is read off from; 0: from figures alone, at least in part.
    `budget_usd`: the goal's limit, 0: none.
    """

    agents: int
    at_once: int
    commands: int
    low_usd: float
    high_usd: float
    samples: int
    budget_usd: float


def estimate(plan: Plan, who: Who, history: Iterable[Fact], *, limit: int, budget_usd: float) -> Estimate:
    """For a plan; `history` are usage facts of any goals, `limit` is how many tasks may run at once."""
    prompts = [task for task in plan.tasks if task.by_agent]
    known = _costs(history)
    ranges, guessed = [], False
    used: set[_Task] = set()
    for task in prompts:
        alike = known.get((*who(task), task.complexity), {})
        samples = alike if len(alike) >= SAMPLES else known.get((*who(task), ""), {})
        costs = sorted(samples.values())
        if len(costs) >= SAMPLES:
            quarter = (len(costs) - 1) // 4
            ranges.append((costs[quarter], costs[-1 - quarter]))
            used |= samples.keys()
        else:
            ranges.append(FIGURES[task.complexity])
            guessed = True
    return Estimate(
        len(prompts),
        min(limit, dag.width(plan.tasks, [task.id for task in prompts])),
        len(plan.tasks) - len(prompts),
        round(sum(low for low, _ in ranges), 4),
        round(sum(high for _, high in ranges), 4),
        0 if guessed else len(used),
        budget_usd,
    )


def _costs(history: Iterable[Fact]) -> dict[tuple[str, str, str], dict[_Task, float]]:
    """(provider, model, complexity) -> what each task cost that it worked on; complexity "": any."""
    found: dict[tuple[str, str, str], dict[_Task, float]] = {}
    for fact in history:
        data = fact.data
        if fact.task and data.get("phase") == Phase.EXECUTE:
            who, task = (str(data.get("provider", "")), str(data.get("model") or "")), (fact.goal, fact.task)
            for complexity in {"", str(data.get("complexity") or "")}:
                costs = found.setdefault((*who, complexity), {})
                costs[task] = costs.get(task, 0.0) + float(data.get("cost_usd") or 0.0)
    return found


def estimate_data(found: Estimate) -> dict[str, Any]:
    """As it stands in facts and documents."""
    return asdict(found)


def estimate_text(data: Mapping[str, Any], *, full: bool = False) -> str:
    """`3 agents (at most 2 at once), about $0.20 to $1.10`; `full`: with the budget, and where it is from."""
    agents, commands = data["agents"], data["commands"]
    parts = []
    if agents:
        at_once = f" (at most {data['at_once']} at once)" if agents > 1 else ""
        parts.append(count(agents, "agent") + at_once)
    if commands and full:
        parts.append(count(commands, "command"))
    if not agents:
        return ", ".join([*parts, "costs nothing"])
    low, high = money(data["low_usd"]), money(data["high_usd"])
    about = f"about {low}" if low == high else f"about {low} to {high}"
    if full:
        source = f"as {count(data['samples'], 'task')} here did" if data["samples"] else "a rough guess"
        limit = f"budget {money(data['budget_usd'])}" if data["budget_usd"] else "no budget"
        about += f" ({source}; {limit})"
    return ", ".join([*parts, about])
