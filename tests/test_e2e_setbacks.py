"""What follows when a candidate cannot land: conflicts up their ladder, rework after a red gate."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mo_git.errors import Exit
from tests import need
from tests.agents import endings, run
from tests.driver import Mo, plan
from tests.schemas import problems
from tests.support import RepoBuilder
from tests.test_e2e_goal import UNITTEST, after

pytestmark = pytest.mark.slow

# An agent that runs lines of sh that a test laid out: those for the n-th run of this kind, else for any.
AGENT = """p=$(cat)
case "$p" in "Two pieces"*) what=resolve ;; *) what=do ;; esac
mine=DIR/$MO_TASK.$what
n=$(($(cat $mine.runs 2>/dev/null || echo 0) + 1))
echo $n > $mine.runs
printf '%s' "$p" > $mine.prompt
if [ -e $mine.$n ]; then . $mine.$n; else . $mine; fi
echo done
"""
BASE = "import os\n\n\ndef price(item):\n    return item\n"
TAX = "\n\ndef tax(item):\n    return item // 5\n"
REBATE = "\n\ndef rebate(item):\n    return 7\n"


class World:
    """`mo` with an agent `mine` that does what the scripts say."""

    def __init__(self, repo: RepoBuilder, tmp_path: Path) -> None:
        self.mo = Mo(repo)
        self.repo = repo
        self.scripts = tmp_path / "scripts"
        self.scripts.mkdir()
        self.mo.home.create()  # so that no commit holds anything of it
        self.configure()

    def configure(self, gate: Mapping[str, Any] | None = None, **tables: Mapping[str, Any]) -> None:
        argv = ["sh", "-c", AGENT.replace("DIR", str(self.scripts))]
        mine = {"kind": "generic", "argv": argv, "execution_security_mode": "trusted_local"}
        own = {
            "gate": gate or {"command": "none"},
            "retry": {"base_seconds": 0.01},
            "routing": {"default_provider": "mine"},
            "agents.mine": mine,
        }
        self.mo.configure(**{**own, **tables})

    def script(self, name: str, *lines: str) -> None:
        """What the agent does: TASK.do or TASK.resolve, with .N for its n-th run of that kind only."""
        (self.scripts / name).write_text("\n".join(lines) + "\n")

    def prompt(self, name: str) -> str:
        """What it was told last."""
        return (self.scripts / f"{name}.prompt").read_text()

    def meet(self, first: str, second: str) -> None:
        """Tasks a and b start from one base, and b ends when a has landed."""
        begun = self.scripts / "begun"
        self.script("a.do", f"until [ -e {begun} ]; do sleep 0.02; done", first)
        self.script("b.do.1", f"touch {begun}; {after('a')}", second)

    def run(self, *tasks: Mapping[str, Any], code: int = 0, **top: Any) -> dict[str, Any]:
        goal = run(self.mo, plan(tasks, **top), code=code)
        assert problems("show", {"v": 1, "goal": goal}) == []
        return goal


def shop(text: str) -> str:
    """A line of sh that writes the shop."""
    return f"cat > shop.py <<'EOF'\n{text}EOF"


@pytest.fixture
def world(repo: RepoBuilder, tmp_path: Path) -> Iterator[World]:
    made = World(repo, tmp_path)
    repo.commit({"shop.py": BASE})
    yield made
    made.mo.stop()
    assert made.mo.programs() == []


def ask(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "prompt": f"Add the {name} to the shop.", **more}


def resolutions(goal: Mapping[str, Any]) -> list[str]:
    return [one["resolution"] for one in goal["conflicts"]]


# -- conflicts ----------------------------------------------------------------------------------------


def test_an_agent_resolves_a_conflict(world: World) -> None:
    world.meet(shop(BASE + TAX), shop(BASE + REBATE))
    world.script("b.resolve", shop(BASE + TAX + REBATE))
    goal = world.run(ask("a"), ask("b"))
    assert endings(goal) == {"a": ("landed", [None]), "b": ("landed", [None, None])}
    (conflict,) = goal["conflicts"]
    assert (conflict["task"], conflict["with"], conflict["paths"]) == ("b", ["a"], ["shop.py"])
    assert conflict["resolution"] == "agent"
    repo, (a, b) = world.repo, goal["tasks"]
    assert repo.tree(goal["integration"])["shop.py"] + "\n" == BASE + TAX + REBATE
    assert [one["phase"] for one in b["attempts"]] == ["execute", "resolve"]
    assert conflict["commit"] == b["commit"]
    assert repo.git("rev-parse", f"{b['commit']}^@") == a["landed_commit"]  # one commit on the head
    assert repo.git("rev-parse", f"{b['landed_commit']}^@").split() == [a["landed_commit"], b["commit"]]
    prompt = world.prompt("b.resolve")
    for said in (
        "Add the a to the shop.",
        "Add the b to the shop.",
        "<<<<<<<",
        "|||||||",
        "shop.py, as git left it",
    ):
        assert said in prompt
    assert repo.git("merge-base", a["landed_commit"], b["attempts"][0]["base"]) in prompt


def test_a_resolution_that_drops_lines_of_the_other_side_goes_to_a_person(world: World) -> None:
    world.meet(shop(BASE + TAX), shop(BASE + REBATE))
    world.script("b.resolve", shop(BASE + REBATE))
    goal = world.run(ask("a"), ask("b"), code=Exit.PERSON)
    assert endings(goal)["b"] == ("conflict", [None, "conflict", "conflict"])
    assert resolutions(goal) == ["agent", "person"]
    reason = goal["tasks"][1]["reason"]
    assert reason.startswith("conflict in shop.py: shop.py loses lines of what has landed: 'def tax(item):'")
    assert world.repo.tree(goal["integration"])["shop.py"] + "\n" == BASE + TAX
    assert "loses lines of what has landed" in world.prompt("b.resolve")  # told once
    done = world.mo("review", goal["id"], code=Exit.PERSON)
    assert f"{goal['id']}/b: conflict in shop.py" in done.out
    assert f"mo retry {goal['id']}/b" in done.out
    kept = goal["tasks"][1]["attempts"][2]["kept"]
    assert world.repo.tree(kept)["shop.py"] + "\n" == BASE + REBATE


@pytest.mark.parametrize(
    ("what", "script", "failure"),
    [
        ("markers are left", "true", "invalid_output"),
        ("another file", f"{shop(BASE + TAX + REBATE)}\nprintf x > other.txt", "scope"),
    ],
)
def test_a_resolution_that_is_none_is_told_once_then_the_task_is_done_again(
    world: World, what: str, script: str, failure: str
) -> None:
    world.meet(shop(BASE + TAX), shop(BASE + REBATE))
    world.script("b.do", shop(BASE + TAX + REBATE))
    world.script("b.resolve", script)
    goal = world.run(ask("a"), ask("b"))
    assert endings(goal)["b"] == ("landed", [None, failure, failure, None])
    assert resolutions(goal) == ["agent", "redo"]
    assert "was not accepted" in world.prompt("b.resolve")
    assert "was not accepted" not in world.prompt("b.do")


def test_a_red_resolution_is_reworked(world: World) -> None:
    """What the agent made of it is gated like anything else."""
    world.configure({"command": f"{sys.executable} -c 'import shop'", "proof": "off"})
    world.meet(shop(BASE + TAX), shop(BASE + REBATE))
    world.script("b.resolve", shop(BASE + TAX + REBATE + "raise SystemExit(1)\n"))
    world.script("b.do", "sed -i /SystemExit/d shop.py")
    goal = world.run(ask("a"), ask("b"))
    assert endings(goal)["b"] == ("landed", [None, "gate_red", None])
    assert resolutions(goal) == ["agent"]
    assert world.repo.tree(goal["integration"])["shop.py"] + "\n" == BASE + TAX + REBATE


def test_without_an_agent_to_resolve_it_the_task_is_done_again(world: World) -> None:
    world.configure(converge={"resolve": "off"})
    world.meet(shop(BASE + TAX), shop(BASE + REBATE))
    world.script("b.do", shop(BASE + TAX + REBATE))
    goal = world.run(ask("a"), ask("b"))
    assert endings(goal)["b"] == ("landed", [None, None])
    assert resolutions(goal) == ["redo"]


def test_a_daemon_that_is_killed_goes_on_with_the_resolution(world: World) -> None:
    world.meet(shop(BASE + TAX), shop(BASE + REBATE))
    begun, both = world.scripts / "resolving", shop(BASE + TAX + REBATE)
    world.script("b.resolve.1", f"touch {begun}; sleep 60")
    world.script("b.resolve", both)
    file = world.repo.path.parent / "plan.json"
    file.write_text(plan([ask("a"), ask("b")]))
    world.mo("do", f"@{file}", "--detach")
    world.mo.wait_for(begun.exists)
    assert world.mo.json("show", "@last")["goal"]["tasks"][1]["state"] == "resolving"
    world.mo.kill()
    world.mo("daemon", "start")
    world.mo.wait_for(lambda: world.mo.goal().ended is not None)
    goal = world.mo.json("show", "@last")["goal"]
    assert endings(goal)["b"] == ("landed", [None, "lost", None])
    assert resolutions(goal) == ["agent"]
    assert world.repo.tree(goal["integration"])["shop.py"] + "\n" == BASE + TAX + REBATE


# -- files that a command rebuilds --------------------------------------------------------------------

LOCKED = {"deps/a.dep": "", "all.lock": "a\n", "lock.sh": "ls deps | sed 's/.dep//' > ${1:-all.lock}\n"}


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_a_lock_file_in_conflict_is_rebuilt_by_its_command(world: World, mode: str) -> None:
    if mode == "auto":
        need.require("bwrap")
    world.repo.commit(LOCKED)
    world.configure(
        sandbox={"mode": mode},
        **{
            "converge.regenerate": {'"*.lock"': ["sh", "-c", 'test -n "$MO_WORKTREE"; sh lock.sh "$MO_FILE"']}
        },
    )
    begun = world.scripts / "begun"
    world.script("a.do", f"until [ -e {begun} ]; do sleep 0.02; done", "touch deps/b.dep; sh lock.sh")
    second = f"touch {begun}; {after('a')} touch deps/c.dep; sh lock.sh"
    goal = world.run(ask("a"), {"id": "b", "run": ["sh", "-c", second]})
    assert endings(goal)["b"] == ("landed", [None, None])
    assert resolutions(goal) == ["regenerate"]
    assert world.repo.tree(goal["integration"])["all.lock"] == "a\nb\nc"
    assert [one["phase"] for one in goal["tasks"][1]["attempts"]] == ["execute", "resolve"]


def test_a_command_that_cannot_rebuild_leads_to_the_next_rung(world: World) -> None:
    world.repo.commit(LOCKED)
    world.configure(
        **{"converge.regenerate": {'"all.lock"': "[ -e solved ] && sh lock.sh || { echo bad; false; }"}}
    )
    world.meet("touch deps/b.dep; sh lock.sh", "touch deps/c.dep; sh lock.sh")
    world.script("b.resolve", "sh lock.sh")
    goal = world.run(ask("a"), ask("b"))
    assert endings(goal)["b"] == ("landed", [None, "check_failed", None])
    assert resolutions(goal) == ["regenerate", "agent"]
    assert "cannot rebuild all.lock, exit code 1: bad" in goal["tasks"][1]["attempts"][1]["reason"]


def test_a_command_that_came_with_the_clone_needs_trust(world: World) -> None:
    """Until then it does not exist, and the task is done again."""
    shared = '[converge.regenerate]\n"all.lock" = "sh lock.sh"\n'
    world.repo.write({".mo/config.toml": shared})
    world.repo.git("add", "-f", ".mo/config.toml")
    world.repo.commit(LOCKED)
    world.meet("touch deps/b.dep; sh lock.sh", "touch deps/c.dep; sh lock.sh")
    world.script("b.do", "touch deps/c.dep; sh lock.sh")
    world.script("b.resolve", "sh lock.sh")
    assert "converge.regenerate" in world.mo("config", "check", code=None).err
    assert resolutions(world.run(ask("a"), ask("b"))) == ["agent"]
    world.mo("trust", "--yes")
    assert "sh lock.sh" in world.mo("config", "get", "converge.regenerate").out
    for name in ("begun", "a.do.runs", "b.do.runs"):
        (world.scripts / name).unlink()
    world.meet("touch deps/d.dep; sh lock.sh", "touch deps/e.dep; sh lock.sh")
    assert resolutions(world.run(ask("a"), ask("b"))) == ["regenerate"]


# -- a red gate ---------------------------------------------------------------------------------------

TESTS = {
    "shop.py": BASE,
    "test_shop.py": "import unittest\nimport shop\n\n\nclass T(unittest.TestCase):\n"
    "    def test_price(self):\n        self.assertEqual(shop.price(3), 3)\n",
}


def test_a_red_gate_sends_the_task_back_with_the_evidence(world: World) -> None:
    world.repo.commit(TESTS)
    world.configure(**UNITTEST)
    world.script("a.do.1", "echo mine > note", shop(BASE.replace("return item", "return 0")))
    world.script("a.do.2", shop(BASE.replace("return item", "return 0 + item")))
    goal = world.run(ask("a"))
    assert endings(goal) == {"a": ("landed", ["gate_red", None])}
    assert goal["ejections"] == []
    assert [one["result"] for one in goal["gates"] if one["kind"] == "full"] == ["red", "green"]
    assert world.repo.tree(goal["integration"])["note"] == "mine"  # it went on from its own work
    prompt = world.prompt("a.do")
    assert "test_price" in prompt
    assert "AssertionError" in prompt
    assert "Its files are in the worktree" in prompt


def test_a_task_that_stays_red_is_ejected_in_the_end(world: World) -> None:
    world.repo.commit(TESTS)
    world.configure(**UNITTEST)
    world.script("a.do", shop(BASE.replace("return item", "return 0")), "echo more >> note")
    goal = world.run(ask("a"), code=Exit.FAILED)
    state, classes = endings(goal)["a"]
    assert (state, classes) == ("ejected", ["gate_red"] * 3 + [None])
    (ejection,) = goal["ejections"]
    assert ejection["why"].startswith("gate red: ")
    assert ejection["why"].endswith("(4 times)")
    assert any("test_price" in one for one in ejection["evidence"]["failed_ids"])
    assert goal["integration"] == goal["base"]


def test_a_command_is_ejected_at_once(world: World) -> None:
    world.repo.commit(TESTS)
    world.configure(**UNITTEST)
    goal = world.run({"id": "a", "run": ["sh", "-c", "echo 'raise SystemExit' > shop.py"]}, code=Exit.FAILED)
    assert endings(goal) == {"a": ("ejected", [None])}
