"""A person watches an agent, tells it something, changes what has not begun: with a real daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_git.errors import Exit
from tests.support import RepoBuilder
from tests.test_e2e_setbacks import World
from tests.test_e2e_take import ask, begin, busy, hangs, lands

pytestmark = pytest.mark.slow

WAITS = "until [ -e {go} ]; do sleep 0.02; done"


@pytest.fixture
def world(repo: RepoBuilder, tmp_path: Path) -> Iterator[World]:
    made = World(repo, tmp_path)
    yield made
    made.mo.stop()
    assert made.mo.programs() == []


def goes_on(world: World, task: str) -> str:
    """A line of sh: the agent of a task is busy until it is let go."""
    return f"touch {world.scripts}/{task}.busy; {WAITS.format(go=world.scripts / 'go')}"


def test_words_are_told_when_the_turn_ends(world: World) -> None:
    mo, repo = world.mo, world.repo
    world.script("a.do.1", "echo one > a.txt", goes_on(world, "a"))
    world.script("a.do.2", "echo two >> a.txt")
    goal = begin(world, ask("a"))
    busy(world, "a")
    assert "is told when its agent's turn ends" in mo("attach", f"{goal}/a", "--send", "Add the two.").out
    assert mo.states(goal)["a"] == "running"
    (world.scripts / "go").touch()
    lands(mo, goal)
    assert repo.tree(mo.goal(goal).integration)["a.txt"] == "one\ntwo"
    assert "A person has read what you did, and says:\n\nAdd the two." in world.prompt("a.do")
    assert len(mo.goal(goal).tasks["a"].attempts) == 1


def test_an_urgent_word_interrupts_and_the_work_is_still_there(world: World) -> None:
    mo, repo = world.mo, world.repo
    hangs(world, "a", "echo one > a.txt")
    world.script("a.do.2", "grep -q one a.txt && echo two >> a.txt")
    goal = begin(world, ask("a"))
    busy(world, "a")
    assert "is told at once" in mo("attach", f"{goal}/a", "--now", "--send", "Stop waiting.").out
    lands(mo, goal)
    assert repo.tree(mo.goal(goal).integration)["a.txt"] == "one\ntwo"
    prompt = world.prompt("a.do")
    assert "A person has interrupted you, and says:\n\nStop waiting." in prompt
    assert len(mo.goal(goal).tasks["a"].attempts) == 1


def test_words_before_the_start_and_after_a_restart_are_in_the_prompt(world: World) -> None:
    mo = world.mo
    hangs(world, "a")
    world.script("a.do.2", "echo a > a.txt")
    world.script("b.do", "echo b > b.txt")
    goal = begin(world, ask("a"), ask("b", depends_on=["a"]))
    busy(world, "a")
    assert "is told when it starts" in mo("attach", f"{goal}/b", "--send", "Be brief.").out
    mo("attach", f"{goal}/a", "--send", "Be quick.")
    mo.kill()
    mo("daemon", "start")
    lands(mo, goal, "b")
    assert "Be quick." in world.prompt("a.do")
    assert "Be brief." in world.prompt("b.do")
    refused = mo("attach", f"{goal}/a", "--send", "More.", code=1).err
    assert f"{goal} has ended: done" in refused


def test_who_cannot_hear_is_named(world: World) -> None:
    mo = world.mo
    world.script("b.do", "echo b > b.txt")
    hangs(world, "c")
    command = {"id": "a", "run": ["sh", "-c", "exec sleep 600"]}
    goal = begin(world, command, ask("b"), ask("c"))
    busy(world, "c")
    lands(mo, goal, "b")
    assert "nobody would hear it" in mo("attach", f"{goal}/a", "--send", "x", code=1).err
    assert "has no turn to come" in mo("attach", f"{goal}/b", "--send", "x", code=1).err
    mo("take", f"{goal}/c")
    assert "you have it" in mo("attach", f"{goal}/c", "--send", "x", code=1).err
    assert "say what" in mo("attach", f"{goal}/c", "--now", code=Exit.USAGE).err
    assert "there is nothing to say" in mo("attach", f"{goal}/c", "--send", " ", code=Exit.USAGE).err


def test_watching_and_talking_on_a_terminal(world: World) -> None:
    mo, repo = world.mo, world.repo
    hangs(world, "a", "echo hello from a", "echo one > a.txt")
    world.script("a.do.2", "echo and again", "echo two >> a.txt")
    goal = begin(world, ask("a"))
    busy(world, "a")
    talk = mo.talk("attach", f"{goal}/a")
    talk.wait_for("hello from a")
    talk.say("!Go on.")
    talk.wait_for("its agent is told what you said")
    talk.wait_for("and again")
    assert talk.end() == 0
    assert f"{goal}/a is " in talk.text
    lands(mo, goal)
    assert repo.tree(mo.goal(goal).integration)["a.txt"] == "one\ntwo"
    assert "candidate" in mo("attach", f"{goal}/a").out or "landed" in mo("attach", f"{goal}/a").out


def test_what_has_not_begun_is_changed(world: World) -> None:
    mo, repo = world.mo, world.repo
    hangs(world, "a")
    world.script("b.do", "echo b > b.txt")
    goal = begin(world, ask("a"), ask("b", depends_on=["a"]), ask("c", depends_on=["a"], check="false"))
    busy(world, "a")
    assert mo("edit", f"{goal}/b", "--prompt", "Make it red.", "--set", "timeout=77").out == (
        f"{goal}: changed b\n"
    )
    mo("edit", f"{goal}/c", "--set", 'run=["sh", "-c", "echo c > c.txt"]', "--check", "true")
    task = mo.goal(goal).tasks["b"].spec
    assert (task.prompt, task.timeout, task.depends_on) == ("Make it red.", 77.0, ("a",))
    for arguments, why in (
        ((f"{goal}/a", "--prompt", "x"), "cannot be changed: it is running"),
        ((f"{goal}/b", "--set", "nonsense=1"), "unknown key"),
        ((f"{goal}/b", "--set", 'depends_on=["b"]'), "names the task itself"),
        ((f"{goal}/b", "--set", "id=x"), "keeps its id"),
        ((f"{goal}/b", "--provider", "nobody"), 'no provider "nobody"'),
        ((goal, "--prompt", "x"), "about one task"),
        ((goal,), "without a terminal say what is to change"),
        ((f"{goal}/b", "--set", "x"), "not KEY=VALUE"),
    ):
        assert why in mo("edit", *arguments, code=None).err
    mo.kill()
    mo("daemon", "start")
    world.script("a.do.2", "echo a > a.txt")
    mo.wait_for(lambda: mo.goal(goal).ended is not None)
    assert mo.states(goal) == dict.fromkeys("abc", "landed")
    assert "Make it red." in world.prompt("b.do")
    assert repo.tree(mo.goal(goal).integration)["c.txt"] == "c"
    assert "it is landed" in mo("edit", f"{goal}/b", "--prompt", "x", code=1).err


def test_a_failed_task_is_changed_and_tried_again_with_a_hint(world: World) -> None:
    mo = world.mo
    world.script("a.do", "echo a > a.txt")
    goal = begin(world, ask("a", check="false", max_attempts=1))
    mo.wait_for(lambda: mo.goal(goal).ended is not None)
    mo("edit", f"{goal}/a", "--check", "true")
    mo("retry", f"{goal}/a", "--with", "The check is mended.")
    lands(mo, goal)
    assert "A person says about this attempt: The check is mended." in world.prompt("a.do")


def test_a_plan_that_waits_is_changed_as_a_whole(world: World) -> None:
    mo, repo = world.mo, world.repo
    file = repo.path.parent / "plan.toml"
    file.write_text('goal = "g"\n[[task]]\nid = "a"\nrun = ["touch", "a.txt"]\n')
    goal = mo.json("do", f"@{file}", "--approve", "--detach")["goal"]
    mo.wait_for(lambda: mo.goal(goal).awaits_approval)
    file.write_text(file.read_text() + '[[task]]\nid = "b"\nrun = ["touch", "b.txt"]\ndepends_on = ["a"]\n')
    assert mo("edit", goal, "--file", str(file)).out == f"{goal}: changed b\n"
    mo("resume", goal)
    mo.wait_for(lambda: mo.goal(goal).ended is not None)
    assert mo.states(goal) == dict.fromkeys("ab", "landed")
    assert "no tasks come or go" not in mo("edit", goal, "--file", str(file)).out
    file.write_text(file.read_text().replace('"b"', '"c"'))
    assert "no tasks come or go (b, c)" in mo("edit", goal, "--file", str(file), code=Exit.USAGE).err
