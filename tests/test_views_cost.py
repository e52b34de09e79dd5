"""What agents cost, added up: tables of usage facts."""

from __future__ import annotations

from typing import Any

import pytest

from mo_git.model import Fact, Kind
from mo_git.text import money
from mo_git.views.cost import KEYS, cost_document, cost_lines, costs

DAY = 86400.0


def usage(seq: int, goal: str, task: str, usd: float, **data: Any) -> Fact:
    shape = {"provider": "codex", "model": "", "phase": "execute", "estimated": True}
    tokens = {"input_tokens": 1000, "cached_input_tokens": 400, "output_tokens": 50}
    return Fact(seq, seq * DAY, goal, task, 1, Kind.USAGE, {**shape, **tokens, "cost_usd": usd, **data})


FACTS = [
    usage(1, "tidy", "sweep", 0.5),
    usage(2, "tidy", "mop", 2.25, provider="claude", model="sonnet", estimated=False),
    usage(3, "paint", "", 0.001, phase="decompose"),
]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("goal", {"tidy": 2.75, "paint": 0.001}),
        ("task", {"tidy/sweep": 0.5, "tidy/mop": 2.25, "paint": 0.001}),
        ("phase", {"execute": 2.75, "decompose": 0.001}),
        ("provider", {"codex": 0.501, "claude": 2.25}),
        ("model", {"codex default": 0.501, "sonnet": 2.25}),
        ("day", {"1970-01-02": 0.5, "1970-01-03": 2.25, "1970-01-04": 0.001}),
    ],
)
def test_added_up(by: str, expected: dict[str, float]) -> None:
    found = costs(FACTS, by)
    assert {key: cost.cost_usd for key, cost in found.items()} == pytest.approx(expected)
    assert sum(cost.runs for cost in found.values()) == len(FACTS)


def test_every_key_takes_a_fact_without_data() -> None:
    bare = Fact(1, 0.0, "tidy", "", 0, Kind.USAGE, {})
    assert {by: key(bare) for by, key in KEYS.items()} == {
        "goal": "tidy",
        "task": "tidy",
        "phase": "unknown",
        "provider": "unknown",
        "model": "default",
        "day": "1970-01-01",
    }


def test_the_table() -> None:
    assert cost_lines(FACTS, "provider") == [
        "provider    cost  runs  input  cached  output",
        "claude     $2.25     1  1,000     400      50",
        "codex     ~$0.50     2  2,000     800     100",
        "total     ~$2.75     3  3,000   1,200     150",
        "~: at least in part an estimate, by list prices",
    ]
    assert cost_lines(FACTS[1:2], "model")[-1].startswith("total   $2.25 ")
    assert cost_lines([], "goal") == ["no agent has cost anything yet"]


def test_the_document() -> None:
    tokens = {"input": 1000, "cached_input": 400, "output": 50}
    row = {"runs": 1, "cost_usd": 0.001, "estimated_usd": 0.001, "tokens": tokens}
    assert cost_document(FACTS[2:], "phase", "paint") == {
        "v": 1,
        "goal": "paint",
        "by": "phase",
        "rows": [{"key": "decompose", **row}],
        "total": row,
        "prices": [],
    }


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        ((), "list prices"),  # facts of before the date was noted
        (("2026-09-05",), "list prices of 2026-09-05"),
        (("2026-09-05", "2026-11-01", "2026-09-05"), "list prices of 2026-09-05 and 2026-11-01"),
        (("settings",), "your own prices"),
        (("2026-09-05", "settings"), "list prices of 2026-09-05 and your own"),
    ],
)
def test_whose_prices_an_estimate_is_by(prices: tuple[str, ...], said: str) -> None:
    facts = [usage(n, "tidy", "mop", 0.5, prices=one) for n, one in enumerate(prices or ("",))]
    assert cost_lines(facts, "goal")[-1] == f"~: at least in part an estimate, by {said}"
    assert cost_document(facts, "goal")["prices"] == sorted(set(prices))


@pytest.mark.parametrize(
    ("usd", "shown"), [(0, "$0.00"), (0.0042, "$0.0042"), (0.01, "$0.01"), (1234.5, "$1,234.50")]
)
def test_money(usd: float, shown: str) -> None:
    assert (money(usd), money(usd, estimated=True)) == (shown, f"~{shown}")
