"""Who does a phase: what people say beats plans, plans beat settings, and only `auto` looks further."""

from __future__ import annotations

import pytest

from mo_daemon.paid_run import avoided
from mo_daemon.routing import Choice, NoAgent, Routes, Wish, route
from mo_git.model import Phase

BOTH = {"claude": "", "codex": ""}
DEFAULTS = {"decompose": "claude", "execute": "codex"}
ROUTES = Routes(BOTH, phase_defaults=DEFAULTS, models={"codex": {"simple": "small", "complex": "large"}})


def routes(**options: object) -> Routes:
    return Routes(**{"usable": BOTH, "phase_defaults": DEFAULTS, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("phase", "wish", "agent", "why"),
    [
        (Phase.DECOMPOSE, Wish(), "claude", "default of decompose"),
        (Phase.EXECUTE, Wish(), "codex", "default of execute"),
        (Phase.EXECUTE, Wish(flag="auto", task="auto"), "codex", "default of execute"),
        (Phase.EXECUTE, Wish(flag="claude", task="codex", phase_flag="codex"), "claude", "--provider"),
        (Phase.EXECUTE, Wish(task="claude", phase_flag="codex"), "claude", "the task"),
        (Phase.DECOMPOSE, Wish(phase_flag="codex"), "codex", "--phase-provider"),
    ],
)
def test_who_says_it_counts_in_this_order(phase: Phase, wish: Wish, agent: str, why: str) -> None:
    assert route(phase, wish, routes()) == Choice(agent, "", why)


@pytest.mark.parametrize(
    ("options", "avoid", "expected"),
    [
        ({"usable": {"claude": "gone", "codex": ""}}, set(), Choice("codex", "", "instead of claude")),
        ({}, {"claude"}, Choice("codex", "", "instead of claude")),
        ({}, {"claude", "codex"}, Choice("claude", "", "default of decompose")),
        ({"auto_fallback": False}, {"claude"}, Choice("claude", "", "default of decompose")),
        ({"default_provider": "codex"}, set(), Choice("codex", "", "routing.default_provider")),
        (
            {"default_provider": "codex", "chosen_defaults": frozenset({"decompose"})},
            set(),
            Choice("claude", "", "default of decompose"),
        ),
        (
            {"chosen_defaults": frozenset({"decompose"}), "auto_fallback": False},
            set(),
            Choice("claude", "", "routing.phase_defaults"),
        ),
        (
            {"usable": {"claude": "gone", "codex": "no key"}},
            set(),
            NoAgent({"claude": "gone", "codex": "no key"}),
        ),
        (
            {"usable": {"claude": "gone", "codex": "", "other": ""}, "fallbacks": ("other", "codex")},
            set(),
            Choice("other", "", "instead of claude"),
        ),
    ],
)
def test_auto_takes_the_default_or_who_is_left(
    options: dict[str, object], avoid: set[str], expected: Choice | NoAgent
) -> None:
    assert route(Phase.DECOMPOSE, Wish(), routes(**options), frozenset(avoid)) == expected


def test_a_named_agent_is_never_replaced() -> None:
    gone = routes(usable={"claude": "gone", "codex": ""})
    assert route(Phase.EXECUTE, Wish("claude"), gone) == NoAgent({"claude": "gone"})
    assert route(Phase.EXECUTE, Wish("nope"), gone) == NoAgent(
        {"nope": "no such agent; known: claude, codex"}
    )
    assert route(Phase.EXECUTE, Wish("codex"), gone, frozenset({"codex"})) == Choice(
        "codex", "", "--provider"
    )


@pytest.mark.parametrize(
    ("wish", "model"),
    [
        (Wish("codex", complexity="simple"), "small"),
        (Wish("codex"), ""),
        (Wish("codex", complexity="complex"), "large"),
        (Wish("codex", model="own", complexity="simple"), "own"),
        (Wish("claude", complexity="simple"), ""),
    ],
)
def test_the_model_goes_by_complexity(wish: Wish, model: str) -> None:
    choice = route(Phase.EXECUTE, wish, ROUTES)
    assert isinstance(choice, Choice)
    assert choice.model == model


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([], set()),
        ([("claude", "auth")], {"claude"}),
        ([("claude", "overloaded")] * 2, set()),
        ([("claude", "overloaded")] * 3, {"claude"}),
        ([("claude", "overloaded"), ("claude", "crash"), ("claude", "network")], set()),
        ([("claude", "no_credit"), ("codex", "crash")], {"claude"}),
    ],
)
def test_who_is_left_alone(failures: list[tuple[str, str]], expected: set[str]) -> None:
    assert avoided(failures) == expected


@pytest.mark.parametrize(
    ("avoid", "resting", "agent"),
    [
        ("", "codex", "claude"),
        ("codex", "", "claude"),
        ("codex", "claude", "claude"),  # wait for it rather than fail again
        ("", "codex claude", "codex"),
        ("codex claude", "claude", "codex"),
    ],
)
def test_who_rests_is_passed_over_and_waited_for(avoid: str, resting: str, agent: str) -> None:
    choice = route(Phase.EXECUTE, Wish(), ROUTES, frozenset(avoid.split()), frozenset(resting.split()))
    assert isinstance(choice, Choice)
    assert choice.agent == agent


@pytest.mark.parametrize(
    ("wish", "model"),
    [
        (Wish(complexity="simple"), "small"),
        (Wish(complexity="simple", level="complex"), "large"),
        (Wish(complexity="simple", level="moderate"), "small"),  # none is set
        (Wish(model="own", complexity="simple", level="complex"), "own"),
    ],
)
def test_the_model_of_a_level(wish: Wish, model: str) -> None:
    choice = route(Phase.EXECUTE, wish, ROUTES)
    assert isinstance(choice, Choice)
    assert choice.model == model
