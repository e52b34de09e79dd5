"""A person takes a task over, edits by hand and gives it back: real git, real daemons that come and go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mo_git.errors import Exit
from tests.driver import Mo, plan
from tests.schemas import problems
from tests.support import RepoBuilder
from tests.test_e2e_goal import UNITTEST
from tests.test_e2e_setbacks import BASE, REBATE, TAX, World, shop

pytestmark = pytest.mark.slow

SLOW = """import pathlib, time, unittest


class SlowTest(unittest.TestCase):
    def test_slow(self):
        found = pathlib.Path("a.txt")
        if found.exists() and found.read_text() == "slow\\n":
            time.sleep(600)
"""


@pytest.fixture
def world(repo: RepoBuilder, tmp_path: Path) -> Iterator[World]:
    made = World(repo, tmp_path)
    repo.commit({"start.txt": "start\n"})
    yield made
    made.mo.stop()
    assert made.mo.programs() == []


def begin(world: World, *tasks: Mapping[str, Any], **top: Any) -> str:
    """Queue a plan; the goal's id."""
    file = world.repo.path.parent / "plan.json"
    file.write_text(plan(tasks, **top))
    goal: str = world.mo.json("do", f"@{file}", "--detach")["goal"]
    return goal


def ask(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "prompt": f"Make {name}.", **more}


def hangs(world: World, task: str, *lines: str) -> None:
    """The agent of a task writes something, says so, and then works for ever."""
    world.script(f"{task}.do.1", *lines, f"touch {world.scripts}/{task}.busy", "exec sleep 600")


def busy(world: World, task: str) -> None:
    world.mo.wait_for((world.scripts / f"{task}.busy").exists)


def take(mo: Mo, name: str) -> Path:
    """Take a task over; its worktree."""
    return Path(mo.json("take", name)["worktree"])


def lands(mo: Mo, goal: str, task: str = "a") -> None:
    mo.wait_for(lambda: mo.states(goal)[task] in ("landed", "ejected", "failed", "conflict"))
    assert mo.states(goal)[task] == "landed", mo.goal(goal).tasks[task].reason


def test_take_edit_give_lands_across_restarts_of_the_daemon(world: World) -> None:
    mo, repo = world.mo, world.repo
    hangs(world, "a", "echo half > a.txt")
    world.script("b.do", "echo b > b.txt")
    goal = begin(world, ask("a"), ask("b"), ask("c", depends_on=["a"]))
    world.script("c.do", "cat a.txt > c.txt")
    busy(world, "a")
    done = mo("take", f"{goal}/a")
    document = mo.json("show", goal)
    assert problems("show", document) == []
    (a, _, c) = document["goal"]["tasks"]
    place = Path(a["worktree"])
    assert done.out.splitlines()[0] == f"{goal}/a is yours: {place}"
    assert f"when you are done: mo give {goal}/a" in done.out
    assert (a["state"], a["attempts"][0]["state"], c["state"]) == ("taken", "taken", "pending")
    assert (place / "a.txt").read_text() == "half\n"
    assert repo.git("-C", str(place), "branch", "--show-current") == f"mo/{goal}/a"
    lands(mo, goal, "b")

    mo.kill()  # whatever happens to the daemon, it stays the person's
    (place / "a.txt").write_text("whole\n")
    repo.git("-C", str(place), "switch", "-q", "--detach")
    mo("daemon", "start")
    assert mo("do", f"@{other_plan(world)}").out  # another goal takes no slot that is lent
    mo("gc", "--older-than", "0")
    mo("recover")
    mo.stop()
    mo("daemon", "start")
    assert (place / "a.txt").read_text() == "whole\n"
    (need,) = mo.json("show", goal)["goal"]["needs"]
    assert (need["why"], need["do"]) == (f"you have it: {place}", f"mo give {goal}/a")
    assert mo("status").out.count(f"mo give {goal}/a") == 1

    given = mo("give", f"{goal}/a")
    assert given.out == f"{goal}/a is a candidate (1 file), and lands when the gate is green\n"
    mo.wait_for(lambda: mo.goal(goal).ended is not None)
    assert mo.states(goal) == dict.fromkeys("abc", "landed")
    tree = repo.tree(mo.goal(goal).integration)
    assert (tree["a.txt"], tree["c.txt"]) == ("whole", "whole")
    task = mo.json("show", goal)["goal"]["tasks"][0]
    assert [(one["provider"], one["state"]) for one in task["attempts"]] == [
        ("mine", "taken"),
        ("person", "candidate"),
    ]
    assert "Mo-Agent: person" in repo.git("show", "-s", "--format=%B", task["commit"])
    assert repo.git("show", f"refs/mo/keep/{goal}/a/1:a.txt") == "half"  # as it was taken


def other_plan(world: World) -> Path:
    file = world.repo.path.parent / "other.json"
    world.script("other.do", "echo other > other.txt")
    file.write_text(plan([ask("other")]))
    return file


def test_what_does_not_pass_stays_the_persons(world: World) -> None:
    mo, repo = world.mo, world.repo
    hangs(world, "a")
    goal = begin(
        world,
        ask("a", check="grep -q good a.txt", writes=["a.txt", "key.txt"], scope="enforce", no_change="fail"),
    )
    busy(world, "a")
    place = take(mo, f"{goal}/a")
    assert "nothing was changed" in mo("give", f"{goal}/a", code=1).err
    secret = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEowIBAAKCAQEA7\n" * 3
    for name, text, why in (
        ("a.txt", "poor\n", "check failed, exit code 1"),
        ("a.txt", "<<<<<<< ours\ngood\n=======\nx\n>>>>>>> theirs\n", "conflict markers"),
        ("b.txt", "good\n", "wrote outside its scope: b.txt"),
        ("key.txt", secret, "key.txt"),
        (".gitmodules", "[submodule]\n", ".gitmodules"),
        ("inner/.git/HEAD", "ref: refs/heads/main\n", "inner"),
    ):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
        refused = mo("give", f"{goal}/a", code=1).err
        assert "stays yours" in refused
        assert why in refused
        assert f"correct it in {place}" in refused
        assert (place / name).read_text() == text
        (place / name).unlink()
    (place / "inner/.git").rmdir()
    (place / "a.txt").write_text("good\n")
    mo("give", f"{goal}/a")
    lands(mo, goal)
    classes = [attempt["class"] for attempt in mo.json("show", goal)["goal"]["tasks"][0]["attempts"]]
    assert classes[2:6] == ["check_failed", "invalid_output", "scope", "secrets"]
    assert repo.tree(mo.goal(goal).integration)["a.txt"] == "good"


def test_own_commits_and_a_merge_of_integration_are_given(world: World) -> None:
    """What the person committed is in the candidate and kept; what landed meanwhile is its base."""
    mo, repo = world.mo, world.repo
    hangs(world, "a")
    world.script("b.do", "echo ours > shared.txt")
    goal = begin(world, ask("a"), ask("b"))
    busy(world, "a")
    place = take(mo, f"{goal}/a")
    own = RepoBuilder(place)
    own.git("switch", "-q", "-c", "mine")
    own.commit({"shared.txt": "mine\n"}, "my own try")
    lands(mo, goal, "b")
    own.git("merge", "-q", f"mo/{goal}/integration", check=False)
    own.commit({"shared.txt": "ours and mine\n"}, "merged")
    mine = own.head()
    mo("give", f"{goal}/a")
    lands(mo, goal)
    assert repo.tree(mo.goal(goal).integration)["shared.txt"] == "ours and mine"
    assert mine in repo.git("for-each-ref", "--format=%(objectname)", "refs/mo/keep")
    assert repo.git("rev-parse", "mine") == mine  # nor is the person's branch touched


def test_a_removed_worktree_is_made_again_from_what_git_has(world: World) -> None:
    mo, repo = world.mo, world.repo
    hangs(world, "a", "echo half > a.txt")
    goal = begin(world, ask("a"))
    busy(world, "a")
    place = take(mo, f"{goal}/a")
    repo.git("worktree", "remove", "-f", "-f", str(place))
    refused = mo("give", f"{goal}/a", code=1).err
    assert f"its worktree {place} is gone" in refused
    assert f"mo take {goal}/a makes it again" in refused
    again = take(mo, f"{goal}/a")
    assert (again / "a.txt").read_text() == "half\n"
    RepoBuilder(again).commit({"a.txt": "committed\n"})
    repo.git("worktree", "remove", "-f", "-f", str(again))
    assert (take(mo, f"{goal}/a") / "a.txt").read_text() == "committed\n"
    mo("give", f"{goal}/a")
    lands(mo, goal)
    assert repo.tree(mo.goal(goal).integration)["a.txt"] == "committed"


def test_take_in_every_state(world: World) -> None:
    mo = world.mo
    world.configure(retry={"base_seconds": 1000, "max_attempts": 2})
    world.script("waits.do", "echo some > waits.txt", "exit 1")
    world.script("lands.do", "echo fine > lands.txt")
    hangs(world, "runs")
    goal = begin(
        world,
        *(ask(name) for name in ("waits", "lands", "runs")),
        ask("fails", check="false", max_attempts=1),
        ask("after", depends_on=["fails"]),
        ask("blocked", depends_on=["runs"]),
    )
    world.script("fails.do", "echo some > fails.txt")
    expected = {"waits": "waiting", "lands": "landed", "fails": "failed", "runs": "running"}
    mo.wait_for(lambda: expected.items() <= mo.states(goal).items() and mo.states(goal)["after"] == "skipped")
    refused = mo("take", f"{goal}/lands", code=1).err
    assert "has landed as" in refused
    assert f"mo rollback {goal}/lands" in refused
    assert "builds on what has not landed: runs" in mo("take", f"{goal}/blocked", code=1).err
    assert "builds on what has not landed: fails" in mo("take", f"{goal}/after", code=1).err
    assert "name one of its tasks" in mo("take", goal, code=Exit.USAGE).err
    assert "is not taken: it is landed" in mo("give", f"{goal}/lands", code=1).err
    assert (take(mo, f"{goal}/waits") / "waits.txt").read_text() == "some\n"
    place = take(mo, f"{goal}/fails")
    assert (place / "fails.txt").read_text() == "some\n"
    assert take(mo, f"{goal}/fails") == place  # again: the same answer
    assert mo.states(goal)["after"] == "pending"
    assert "a person has it" in mo("skip", f"{goal}/fails", code=1).err
    left = mo("give", "--back", "--with", "mind the check", f"{goal}/fails")
    assert left.out.startswith(f"{goal}/fails is left to its agent; what you made is kept as refs/mo/keep/")
    mo.wait_for(lambda: mo.states(goal)["fails"] == "failed")
    assert "mind the check" in world.prompt("fails.do")
    mo("cancel", goal)
    mo.wait_for(lambda: mo.goal(goal).ended is not None)
    assert mo.states(goal)["waits"] == "cancelled"


def test_a_candidate_is_taken_out_of_the_queue(world: World) -> None:
    mo, repo = world.mo, world.repo
    world.configure(**UNITTEST)
    repo.commit({"test_slow.py": SLOW})
    world.script("a.do", "echo slow > a.txt")
    goal = begin(world, ask("a"))
    mo.wait_for(lambda: mo.states(goal)["a"] == "gating")
    place = take(mo, f"{goal}/a")
    assert repo.git("-C", str(place), "status", "--short") == "A  a.txt"
    (place / "a.txt").write_text("fast\n")
    mo("give", f"{goal}/a")
    lands(mo, goal)
    assert repo.tree(mo.goal(goal).integration)["a.txt"] == "fast"


def test_a_conflict_is_resolved_by_hand(world: World) -> None:
    mo, repo = world.mo, world.repo
    repo.commit({"shop.py": BASE})
    world.meet(shop(BASE + TAX), shop(BASE + REBATE))
    world.script("b.resolve", shop(BASE + REBATE))  # it loses lines, so a person has to look
    goal = begin(world, ask("a"), ask("b"))
    mo.wait_for(lambda: mo.states(goal)["b"] in ("conflict", "landed"))
    done = mo("take", f"{goal}/b")
    place = Path(mo.goal(goal).tasks["b"].worktree)
    assert "conflict markers in shop.py" in done.out
    assert "<<<<<<<" in (place / "shop.py").read_text()
    (place / "shop.py").write_text(BASE + TAX + REBATE)
    mo("give", f"{goal}/b")
    lands(mo, goal, "b")
    assert repo.tree(mo.goal(goal).integration)["shop.py"] + "\n" == BASE + TAX + REBATE


def test_what_a_stopped_agent_used_is_paid_for(world: World) -> None:
    mo = world.mo
    argv = [
        "sh",
        "-c",
        f"cat >/dev/null; echo '{{\"usd\": 0.5}}'; touch {world.scripts}/a.busy; exec sleep 600",
    ]
    mine = {"kind": "generic", "argv": argv, "execution_security_mode": "trusted_local", "output": "jsonl"}
    world.configure(**{"agents.mine": mine, "agents.mine.fields": {"cost": "usd"}})
    goal = begin(world, ask("a"))
    busy(world, "a")
    take(mo, f"{goal}/a")
    document = mo.json("show", goal)["goal"]
    assert (document["cost_usd"], document["tasks"][0]["attempts"][0]["cost_usd"]) == (0.5, 0.5)


def test_a_taken_task_of_a_cancelled_goal_is_not_lost(world: World) -> None:
    mo = world.mo
    hangs(world, "a", "echo half > a.txt")
    world.script("a.do.2", "echo again > a.txt")
    goal = begin(world, ask("a"))
    busy(world, "a")
    place = take(mo, f"{goal}/a")
    mo("cancel", goal)
    mo.wait_for(lambda: mo.goal(goal).ended is not None)
    mo("do", f"@{other_plan(world)}")
    assert (place / "a.txt").read_text() == "half\n"
    assert "is not taken: it is cancelled" in mo("give", f"{goal}/a", code=1).err
    assert take(mo, f"{goal}/a") == place  # it may still be had
    mo("cancel", goal)
    mo.wait_for(lambda: mo.goal(goal).ended is not None)
    world.repo.git("-C", str(place), "switch", "-q", "--detach")
    (place / "a.txt").write_text("mine\n")
    mo("retry", f"{goal}/a")  # it is the agent's again, and nothing is lost
    mo.wait_for(lambda: mo.states(goal)["a"] == "landed")
    kept = world.repo.git("for-each-ref", "--format=%(refname)", f"refs/mo/keep/{goal}").split()
    assert "mine" in [world.repo.git("show", f"{name}:a.txt") for name in kept]


def test_the_worktree_of_a_cancelled_task_goes_with_the_goal(world: World) -> None:
    mo = world.mo
    hangs(world, "a")
    goal = begin(world, ask("a"))
    busy(world, "a")
    place = take(mo, f"{goal}/a")
    mo("cancel", goal)
    mo.wait_for(lambda: mo.goal(goal).ended is not None)
    assert f"worktree {place}" in mo("gc", goal).out
    assert not place.exists()


def test_a_kill_in_the_midst_of_taking_and_giving(world: World) -> None:
    """Whoever asked gets the answer of the next daemon, and nothing is lost."""
    mo, repo = world.mo, world.repo
    hangs(world, "a", "trap '' TERM", "echo half > a.txt")
    goal = begin(world, ask("a", check="until [ -e go ]; do sleep 0.02; done"))
    busy(world, "a")
    taking = mo.start("take", f"{goal}/a")
    mo.wait_for(lambda: mo.states(goal)["a"] == "taken")  # its agent does not want to end
    mo.kill()
    out, _ = taking.communicate(timeout=60)
    assert f"{goal}/a is yours: " in out
    place = Path(mo.goal(goal).tasks["a"].worktree)
    assert (place / "a.txt").read_text() == "half\n"
    (place / "a.txt").write_text("whole\n")
    giving = mo.start("give", f"{goal}/a")
    mo.wait_for(lambda: mo.states(goal)["a"] == "checking")
    mo.kill()
    (place / "go").touch()
    out, _ = giving.communicate(timeout=60)
    assert f"{goal}/a is a candidate" in out
    lands(mo, goal)
    assert repo.tree(mo.goal(goal).integration)["a.txt"] == "whole"
    assert [one.state for one in mo.goal(goal).tasks["a"].attempts] == ["taken", "candidate"]
