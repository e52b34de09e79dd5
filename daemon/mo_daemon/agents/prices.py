"""List prices of models, for programs that report tokens and no money.

Source: the pricing pages of the OpenAI API and of the Anthropic API (Claude), standard tier, without batches
and surcharges for long contexts, as of AS_OF.  `[prices]` of the settings corrects and extends the table.

The lookup is by the longest entry that the model's name begins with, up to a dash or the end.  A model that
is not here is priced like the dearest common one: a budget must rather end too early than too late.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from mo_daemon.agents.protocol import Usage
from mo_daemon.agents.settings import Price
from mo_git.model import OWN_PRICES

AS_OF = "2026-09-05"

PRICES: dict[str, Price] = {
    "gpt-5": Price(1.25, 0.125, 10.0),
    "gpt-5-mini": Price(0.25, 0.025, 2.0),
    "gpt-5-nano": Price(0.05, 0.005, 0.4),
    "gpt-5-pro": Price(15.0, 15.0, 120.0),
    "gpt-5.1": Price(1.25, 0.125, 10.0),
    "gpt-5.1-codex-mini": Price(0.25, 0.025, 2.0),
    "gpt-5.2": Price(1.75, 0.175, 14.0),
    "gpt-5.2-pro": Price(21.0, 21.0, 168.0),
    "gpt-5.3-codex": Price(1.75, 0.175, 14.0),
    "gpt-5.4": Price(2.5, 0.25, 15.0),
    "gpt-5.4-mini": Price(0.75, 0.075, 4.5),
    "gpt-5.4-nano": Price(0.2, 0.02, 1.25),
    "gpt-5.4-pro": Price(30.0, 30.0, 180.0),
    "gpt-5.5": Price(5.0, 0.5, 30.0),
    "gpt-5.5-pro": Price(30.0, 30.0, 180.0),
    "gpt-5.6": Price(5.0, 0.5, 30.0),
    "claude-haiku": Price(1.0, 0.1, 5.0),
    "claude-sonnet": Price(3.0, 0.3, 15.0),
    "claude-sonnet-5-5": Price(2.0, 0.2, 10.0),
    "claude-opus": Price(5.0, 0.5, 25.0),
    "claude-opus-4-0": Price(15.0, 1.5, 75.0),
    "claude-opus-4-20250514": Price(15.0, 1.5, 75.0),
    "claude-opus-4-1": Price(15.0, 1.5, 75.0),
}
ALIASES = {"haiku": "claude-haiku", "sonnet": "claude-sonnet", "opus": "claude-opus"}
UNKNOWN = Price(5.0, 0.5, 30.0)

T = TypeVar("T")
_PROVIDER = re.compile(r"^.*/|\[.*\]$")  # openai/gpt-5.5, sonnet[1m]


def lookup(model: str, table: Mapping[str, T]) -> T | None:
    """The entry of a model in a table by names; None: not known."""
    name = _PROVIDER.sub("", model.strip().lower())
    name = ALIASES.get(name, name) if name not in table else name
    while name:
        if name in table:
            return table[name]
        name = name.rpartition("-")[0]
    return None


def price_of(model: str) -> Price | None:
    """The list price of a model; None: not known."""
    return lookup(model, PRICES)


def cost(model: str, usage: Usage, price: Price | None = None) -> float:
    """US dollars for these tokens, by `price` or the table; an estimate in either case."""
    rate = price or price_of(model) or UNKNOWN
    cached = min(usage.cached_input_tokens, usage.input_tokens)
    fresh = usage.input_tokens - cached
    total = fresh * rate.input + cached * rate.cached_input + usage.output_tokens * rate.output
    return round(total / 1_000_000, 6)


def corrected(model: str, usage: Usage, own: Mapping[str, Mapping[str, float]]) -> tuple[Usage, str]:
    """An estimate by a person's `own` prices (`[prices]`) where they name the model, and by whose it is.

    The second is AS_OF or OWN_PRICES; empty where the program reported the money itself.
    """
    if not usage.estimated:
        return usage, ""
    found = lookup(model, own)
    if found is None:
        return usage, AS_OF
    return replace(usage, cost_usd=cost(model, usage, Price(**found))), OWN_PRICES
