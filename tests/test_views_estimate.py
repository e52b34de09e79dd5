"""What a plan is expected to take: agents, how many at once, money from history or from figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mo_git import views
from mo_git.model import Fact, Kind, Plan, TaskSpec
from mo_git.views import estimate, estimate_data, estimate_text
from mo_git.views.estimate import FIGURES, SAMPLES, Estimate
from tests import schemas
from tests.story import Story

COMMAND = TaskSpec("run", run=("true",))


def prompt(name: str, *needed: str, **more: Any) -> TaskSpec:
    return TaskSpec(name, prompt="x", depends_on=needed, **more)


def usage(task: str, cost: float, *, goal: str = "g", phase: str = "execute", model: str = "m") -> Fact:
    data = {"provider": "claude", "model": model, "phase": phase, "cost_usd": cost}
    return Fact(1, 0.0, goal, task, 1, Kind.USAGE, data)


def of(*tasks: TaskSpec, history: Sequence[Fact] = (), limit: int = 10, budget: float = 25) -> Estimate:
    plan = Plan("g", tasks)
    return estimate(plan, lambda task: ("claude", "m"), history, limit=limit, budget_usd=budget)


THREE = [usage("a", 0.2), usage("b", 0.5), usage("c", 0.3)]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (of(), Estimate(0, 0, 0, 0, 0, 0, 25)),
        (of(COMMAND), Estimate(0, 0, 1, 0, 0, 0, 25)),
        (of(prompt("a")), Estimate(1, 1, 0, 0.3, 1.5, 0, 25)),
        (of(prompt("a", complexity="simple"), COMMAND), Estimate(1, 1, 1, 0.1, 0.5, 0, 25)),
        (of(prompt("a"), prompt("b", "a"), prompt("c")), Estimate(3, 2, 0, 0.9, 4.5, 0, 25)),
        (of(prompt("a"), prompt("b"), prompt("c"), limit=2), Estimate(3, 2, 0, 0.9, 4.5, 0, 25)),
        (of(prompt("a"), prompt("b"), history=THREE), Estimate(2, 2, 0, 0.4, 1.0, 3, 25)),
    ],
)
def test_estimates(found: Estimate, expected: Estimate) -> None:
    assert found == expected


def test_tasks_of_the_same_complexity_count_where_there_are_enough() -> None:
    hard = [
        replace(fact, task=f"h{n}", data={**fact.data, "cost_usd": 4.0, "complexity": "complex"})
        for n, fact in enumerate(THREE)
    ]
    found = of(prompt("a", complexity="complex"), history=[*THREE, *hard])
    assert (found.low_usd, found.high_usd, found.samples) == (4.0, 4.0, 3)
    found = of(prompt("a", complexity="simple"), history=[*THREE, *hard])  # none of those: all count
    assert (found.low_usd, found.high_usd, found.samples) == (0.3, 4.0, 6)


def test_two_samples_are_too_few() -> None:
    assert SAMPLES == 3
    assert of(prompt("a"), history=THREE[:2]) == of(prompt("a"))


def test_other_models_phases_and_the_goals_own_runs_do_not_count() -> None:
    other = [usage("x", 9, model="n"), usage("y", 9, phase="decompose"), usage("", 9)]
    assert of(prompt("a"), history=[*THREE, *other]) == of(prompt("a"), history=THREE)


def test_what_a_task_cost_contains_its_retries() -> None:
    """Four tasks: 0.1 (in two runs), 0.2, 0.3, and the same id in another goal for 0.4."""
    runs = [usage("a", 0.06), usage("a", 0.04), usage("b", 0.2), usage("c", 0.3), usage("a", 0.4, goal="h")]
    found = of(prompt("a"), history=runs)
    assert (found.low_usd, found.high_usd, found.samples) == (0.1, 0.4, 4)


def test_the_middle_half_counts() -> None:
    found = of(prompt("a"), history=[usage(f"t{n}", n / 10) for n in range(1, 10)])
    assert (found.low_usd, found.high_usd) == (0.3, 0.7)


def test_what_is_guessed_in_part_is_a_guess() -> None:
    plan = Plan("g", (prompt("a"), prompt("b", provider="codex")))
    found = estimate(plan, lambda task: (task.provider, "m"), THREE, limit=9, budget_usd=0)
    known = estimate(plan, lambda task: ("claude", "m"), THREE, limit=9, budget_usd=0)
    assert (found.samples, known.samples) == (0, 3)


def test_harder_work_is_dearer() -> None:
    lows, highs = zip(*(FIGURES[name] for name in ("simple", "moderate", "complex")))
    assert list(lows) == sorted(set(lows))
    assert list(highs) == sorted(set(highs))


@pytest.mark.parametrize(
    ("found", "short", "full"),
    [
        (of(COMMAND), "costs nothing", "1 command, costs nothing"),
        (
            of(prompt("a"), COMMAND),
            "1 agent, about $0.30 to $1.50",
            "1 agent, 1 command, about $0.30 to $1.50 (a rough guess; budget $25.00)",
        ),
        (
            of(prompt("a"), prompt("b"), history=THREE, budget=0),
            "2 agents (at most 2 at once), about $0.40 to $1.00",
            "2 agents (at most 2 at once), about $0.40 to $1.00 (as 3 tasks here did; no budget)",
        ),
        (
            of(prompt("a"), history=[usage(name, 0.5) for name in "abc"]),
            "1 agent, about $0.50",
            "1 agent, about $0.50 (as 3 tasks here did; budget $25.00)",
        ),
    ],
)
def test_words(found: Estimate, short: str, full: str) -> None:
    assert (estimate_text(estimate_data(found)), estimate_text(estimate_data(found), full=True)) == (
        short,
        full,
    )


def test_a_goal_that_waits_shows_it() -> None:
    data = estimate_data(of(prompt("a"), prompt("b")))
    plan = {"goal": "t", "task": [{"id": "a", "prompt": "x"}, {"id": "b", "prompt": "x"}]}
    story = Story((), wants_plan=True, approve=True, ask=True)
    story.start()
    story.tell(Kind.PLAN_ASKED, n=1, questions=["Which \x1b[31mshop?"])
    (need,) = views.needs(story.goal)
    assert need == {
        "task": None,
        "why": "the planner has 1 question: Which [31mshop?",
        "do": "mo review tidy-k3f9",
    }
    document = views.goal_document(story.goal)
    assert (document["goal"]["questions"], schemas.problems("show", document)) == (
        ["Which \x1b[31mshop?"],
        [],
    )
    story.tell(Kind.PLAN_ANSWERED, answers=["That."])
    story.tell(Kind.PLANNED, n=2, plan=plan, estimate=data)
    (need,) = views.needs(story.goal)
    about = "2 agents (at most 2 at once), about $0.60 to $3.00"
    assert need["why"] == f"the plan waits for you: 2 tasks: {about}"
    document = views.goal_document(story.goal)
    assert document["goal"]["estimate"] == data
    assert document["goal"]["answers"] == [{"question": "Which \x1b[31mshop?", "answer": "That."}]
    assert schemas.problems("show", document) == []
    status = views.status_document([story.goal], seq=1, daemon={}, limits={})
    assert (status["goals"][0]["estimate"], schemas.problems("status", status)) == (data, [])
