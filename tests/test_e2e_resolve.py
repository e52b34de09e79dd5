"""Conflicts and red gates with the real claude and codex, against a loopback stub of their APIs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mo_git.errors import Exit
from tests.agents import AGAIN, API, KINDS, do, endings, keys, run, settings
from tests.driver import Mo, plan
from tests.stub_api import StubApi
from tests.support import RepoBuilder
from tests.test_e2e_goal import UNITTEST, case, sh
from tests.test_e2e_setbacks import BASE, REBATE, TAX, resolutions, shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

RESOLVE = "Two pieces of[ ]work"  # how the prompt of phase resolve begins; no step's own text matches it
BRANCH = "branch refs/heads/mo/$MO_GOAL/b$"
PLACE = "git worktree list --porcelain"


@pytest.fixture
def agents(repo: RepoBuilder, api: StubApi, mode: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mo]:
    """`mo` whose claude and codex talk to the stub, in a shop with a gate."""
    for key, value in keys(api).items():
        monkeypatch.setenv(key, value)
    driver = Mo(repo)
    driver.home.create()
    tested = case("shop", "import shop; self.assertEqual(shop.price(3), 3)")
    repo.commit({"shop.py": BASE, **tested})
    driver.configure(**UNITTEST, **settings(api, mode))
    yield driver
    driver.stop()
    assert driver.programs() == []


def tasks(kind: str, resolution: str) -> list[dict[str, Any]]:
    """A command adds the tax; an agent, from the same base, adds the rebate once that has landed.

    The third tells the agent so, which sees nothing of the repository in its sandbox.
    """
    wait = f'until {PLACE} | grep -q "{BRANCH}"; do sleep 0.05; done; '
    found = f'{PLACE} | grep -B2 "{BRANCH}" | sed -n "s/^worktree //p"'
    tell = f'{found} | while read -r place; do touch "$place/go"; done'
    steps = (
        {"run": "until [ -e go ]; do sleep 0.05; done; rm go", "until": RESOLVE},
        {"run": shop(BASE + REBATE), "until": RESOLVE},
        {"run": shop(resolution), "when": RESOLVE},
        {"say": "done"},
    )
    return [
        {"id": "a", "title": "Add the tax", "run": sh(wait + shop(BASE + TAX))},
        {"id": "tell", "run": sh(tell), "depends_on": ["a"]},
        {"id": "b", "prompt": f"Add a rebate. {do(*steps)}", "provider": kind},
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_an_agent_resolves_a_conflict(agents: Mo, api: StubApi, kind: str) -> None:
    both = BASE + TAX + REBATE
    goal = run(agents, plan(tasks(kind, both)), "--phase-provider", f"resolve={kind}")
    assert endings(goal)["b"] == ("landed", [None, None])
    assert resolutions(goal) == ["agent"]
    (b,) = (task for task in goal["tasks"] if task["id"] == "b")
    assert [(one["phase"], one["provider"]) for one in b["attempts"]] == [
        ("execute", kind),
        ("resolve", kind),
    ]
    assert agents.repo.tree(goal["integration"])["shop.py"] + "\n" == both
    assert goal["gates"][-1]["result"] == "green"
    asked = [text for text in api.prompts(API[kind]) if "Two pieces of work" in text]
    assert asked
    for said in ("Add the tax", "Add a rebate.", "<<<<<<<", "|||||||", ">>>>>>>"):
        assert said in asked[0]
    rows = agents.json("cost", "--by", "phase")["rows"]
    assert {row["key"] for row in rows} == {"execute", "resolve"}


def test_a_resolution_that_loses_lines_ends_at_a_person(agents: Mo, api: StubApi) -> None:
    goal = run(agents, plan(tasks("claude", BASE + REBATE)), code=Exit.PERSON)
    assert endings(goal)["b"] == ("conflict", [None, "conflict", "conflict"])
    assert resolutions(goal) == ["agent", "person"]
    lost = "shop.py loses lines of what has landed: 'def tax(item):', 'return item // 5'"
    (need,) = goal["needs"]
    assert lost in need["why"]
    assert need["do"] == f"mo retry {goal['id']}/b"
    asked = [text for text in api.prompts("/messages") if "Two pieces of work" in text]
    assert json.dumps(lost)[1:-1] not in asked[0]
    assert json.dumps(lost)[1:-1] in asked[-1]
    assert agents.repo.tree(goal["integration"])["shop.py"] + "\n" == BASE + TAX


@pytest.mark.parametrize("kind", KINDS)
def test_a_red_gate_is_mended_in_the_second_round(agents: Mo, api: StubApi, kind: str) -> None:
    steps = (
        {"run": shop(BASE.replace("return item", "return 0")), "until": AGAIN},
        {"run": "grep -q 'return 0' shop.py && sed -i 's/return 0/return item + 0/' shop.py", "when": AGAIN},
        {"say": "done"},
    )
    goal = run(agents, plan([{"id": "a", "prompt": f"Change the price. {do(*steps)}", "provider": kind}]))
    assert endings(goal) == {"a": ("landed", ["gate_red", None])}
    assert [gate["result"] for gate in goal["gates"]][-2:] == ["red", "green"]
    again = [text for text in api.prompts(API[kind]) if "was not accepted" in text]
    for said in ("test_shop.Case.test_shop", "AssertionError: 0 != 3", "Its files are in the worktree"):
        assert said in again[0]
