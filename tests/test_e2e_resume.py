"""The command that `mo take` prints, run with the real claude and codex against a loopback stub."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents import API, KINDS, do, keys, settings
from tests.driver import Mo, plan
from tests.stub_api import StubApi
from tests.support import RepoBuilder

pytestmark = pytest.mark.slow


@pytest.fixture
def agents(repo: RepoBuilder, api: StubApi, mode: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mo]:
    """`mo` whose claude and codex talk to the stub."""
    for key, value in keys(api).items():
        monkeypatch.setenv(key, value)
    driver = Mo(repo)
    driver.configure(gate={"command": "none"}, **settings(api, mode))
    yield driver
    driver.stop()
    assert driver.programs() == []


@pytest.mark.parametrize("kind", KINDS)
def test_take_go_on_in_the_agents_own_program_and_give(kind: str, agents: Mo, api: StubApi) -> None:
    steps = {"write": ["half.txt", "half\n"]}, {"hang": "before"}
    file = agents.repo.path.parent / "plan.json"
    file.write_text(plan([{"id": "a", "prompt": do(*steps), "provider": kind}]))
    goal = agents.json("do", f"@{file}", "--detach")["goal"]
    agents.wait_for(lambda: len(api.prompts(API[kind])) >= 2)
    taken = agents.json("take", f"{goal}/a")
    place = Path(taken["worktree"])
    assert (place / "half.txt").read_text() == "half\n"
    agents.stop()
    resume, more = taken["resume"], do({"write": ["whole.txt", "whole\n"]}, {"say": "whole"})
    headless = {"claude": [*resume["argv"], "-p", "--permission-mode", "acceptEdits", "--", more]}
    argv = resume["argv"]
    headless["codex"] = [argv[0], "exec", *argv[1:], more]
    done = subprocess.run(
        headless[kind],
        cwd=resume["cwd"],
        env={**agents.environ, **resume["env"], "TMPDIR": "/var/tmp"},  # codex: not above CODEX_HOME
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 0, done
    assert "half.txt" in json.dumps(api.requests[-1].body)  # the session was gone on with
    agents("daemon", "start")
    assert (place / "whole.txt").read_text() == "whole\n"
    agents("give", f"{goal}/a")
    agents.wait_for(lambda: agents.goal(goal).ended is not None)
    tree = agents.repo.tree(agents.goal(goal).integration)
    assert (tree["half.txt"], tree["whole.txt"]) == ("half", "whole")


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_agent_goes_on_with_its_session(kind: str, agents: Mo, api: StubApi) -> None:
    steps = {"write": ["half.txt", "half\n"]}, {"hang": "before"}
    file = agents.repo.path.parent / "plan.json"
    file.write_text(plan([{"id": "a", "prompt": do(*steps), "provider": kind}]))
    goal = agents.json("do", f"@{file}", "--detach")["goal"]
    agents.wait_for(lambda: len(api.prompts(API[kind])) >= 2)
    more = do({"write": ["whole.txt", "whole\n"]}, {"say": "whole"})
    agents("attach", f"{goal}/a", "--now", "--send", more)
    agents.wait_for(lambda: agents.goal(goal).ended is not None, 60)
    (attempt,) = agents.json("show", goal)["goal"]["tasks"][0]["attempts"]
    assert attempt["state"] == "candidate"
    tree = agents.repo.tree(agents.goal(goal).integration)
    assert (tree["half.txt"], tree["whole.txt"]) == ("half", "whole")
    told = json.dumps(api.requests[-1].body)
    assert "A person has interrupted you" in told
    assert "half.txt" in told
    assert len(agents.goal(goal).tasks["a"].sessions) == 1
