"""What earlier tasks teach about agents."""

from __future__ import annotations

from typing import Any

import pytest

from mo_daemon.learning import ENOUGH, Record, better, records
from mo_daemon.routing import Choice, Routes, Wish, route
from mo_git.model import Fact, Kind, Phase


def fact(kind: Kind, task: str, n: int = 1, **data: Any) -> Fact:
    return Fact(0, 0.0, "goal", task, n, kind, data)


def used(task: str, provider: str, usd: float, **more: Any) -> Fact:
    data = {"provider": provider, "phase": "execute", "complexity": "simple", "cost_usd": usd, **more}
    return fact(Kind.USAGE, task, **data)


def test_records_are_of_ended_tasks_by_who_made_the_last_attempt() -> None:
    found = records(
        [
            used("a", "claude", 1.0),
            used("a", "codex", 0.2),
            used("a", "codex", 0.3),
            fact(Kind.LANDED, "a"),
            used("b", "codex", 0.5),
            fact(Kind.LANDED, "b"),
            fact(Kind.EJECTED, "b"),  # a person took it back
            used("c", "claude", 2.0, complexity="complex"),
            fact(Kind.FAILED, "c"),
            used("runs", "codex", 9.0),
            used("d", "claude", 9.0, phase="review"),
            fact(Kind.LANDED, "d"),
            fact(Kind.LANDED, "command"),
        ]
    )
    assert found == {"simple": {"codex": Record(2, 1, 1.0)}, "complex": {"claude": Record(1, 0, 2.0)}}


GOOD = Record(10, 9, 3.0)  # 3 a dollar
DEAR = Record(10, 9, 9.0)  # 1 a dollar


@pytest.mark.parametrize(
    ("claude", "codex", "chosen"),
    [
        (GOOD, DEAR, "claude"),
        (DEAR, GOOD, ""),
        (GOOD, Record(ENOUGH - 1, 1, 9.0), ""),  # too little is known of the default
        (Record(ENOUGH - 1, 7, 1.0), DEAR, ""),  # or of the other
        (Record(10, 9, 8.0), DEAR, ""),  # no clear difference
        (Record(10, 3, 0.1), DEAR, ""),  # cheap, but mostly in vain
        (Record(10, 10, 0.0), Record(10, 10, 0.0), ""),  # both cost nothing
        (Record(10, 1, 1.0), Record(10, 0, 1.0), "claude"),
    ],
)
def test_who_landed_more_per_dollar(claude: Record, codex: Record, chosen: str) -> None:
    name, why = better({"claude": claude, "codex": codex}, "codex", ["codex", "claude"])
    assert name == chosen
    assert why == (f"learnt here: {claude}; codex: {codex}" if chosen else "")


def test_words() -> None:
    assert str(GOOD) == "9 of 10 tasks landed at $0.33 each"
    assert str(Record(8, 0, 1.0)) == "0 of 8 tasks landed"


@pytest.mark.parametrize(
    ("phase", "wish", "options", "agent"),
    [
        (Phase.EXECUTE, Wish(complexity="simple"), {}, "claude"),
        (Phase.EXECUTE, Wish(complexity="complex"), {}, "codex"),  # nothing is known of those
        (Phase.RESOLVE, Wish(complexity="simple"), {}, "codex"),
        (Phase.EXECUTE, Wish(task="codex", complexity="simple"), {}, "codex"),
        (Phase.EXECUTE, Wish(model="large", complexity="simple"), {}, "codex"),
        (Phase.EXECUTE, Wish(complexity="simple"), {"chosen_defaults": {"execute"}}, "codex"),
        (Phase.EXECUTE, Wish(complexity="simple"), {"usable": {"codex": "", "claude": "gone"}}, "codex"),
        (Phase.EXECUTE, Wish(complexity="simple"), {"default_provider": "codex"}, "codex"),
    ],
)
def test_a_person_s_choice_stays(phase: Phase, wish: Wish, options: dict[str, Any], agent: str) -> None:
    routes = {
        "usable": {"codex": "", "claude": ""},
        "phase_defaults": {"execute": "codex", "resolve": "codex"},
        "records": {"simple": {"claude": GOOD, "codex": DEAR}},
        **options,
    }
    choice = route(phase, wish, Routes(**routes))
    assert isinstance(choice, Choice)
    assert (choice.agent, choice.why.startswith("learnt here")) == (agent, agent == "claude")
