"""Rounds of review with programs of one's own as agents: what is corrected, what waits for a person."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mo_git.errors import Exit
from mo_git.model import Kind
from tests.driver import Mo, plan, writes
from tests.schemas import problems
from tests.support import RepoBuilder

pytestmark = pytest.mark.slow

# Writes how often it ran into the file of its task, and its prompts beside its own program.
WORKER = """\
import json, os, pathlib, sys, time
here = pathlib.Path(sys.argv[0]).parent
prompt = pathlib.Path(sys.argv[1]).read_text()
if "You review the work" in prompt:
    print(json.dumps({"text": "I only work."}))
    sys.exit()
task = os.environ["MO_TASK"]
if task == "lost" and sys.argv[2:]:
    print(json.dumps({"usd": 0.125}))
    sys.exit("no such session")
if sys.argv[2:]:
    print(json.dumps({"id": "s-" + task, "usd": 0.125}), flush=True)
while (here / f"hold-{task}").exists():
    time.sleep(0.02)
runs = len(list(here.glob(f"{task}-*.prompt"))) + 1
(here / f"{task}-{runs}.prompt").write_text(" ".join(sys.argv[2:]) + "\\n" + prompt)
pathlib.Path(f"{task}.py").write_text(f"RUNS = {runs}\\n")
print(json.dumps({"text": f"run {runs}", "id": "s-" + task, "usd": 0.5, "in": 100}))
"""
# Gives the next of the verdicts that lie beside it, as soon as it may.
CRITIC = """\
import json, os, pathlib, sys, time
here = pathlib.Path(sys.argv[0]).parent
name = os.environ["MO_TASK"]
print(json.dumps({"usd": 0.0625}), flush=True)
while (here / "wait").exists():
    time.sleep(0.02)
verdicts = sorted(here.glob(f"{name}-*.verdict")) or sorted(here.glob("all-*.verdict"))
said = verdicts[0].read_text()
verdicts[0].unlink()
(here / f"{verdicts[0].stem}.asked").write_text(pathlib.Path(sys.argv[1]).read_text())
if said.startswith("exit"):
    print(said, file=sys.stderr)
    sys.exit(3)
print(json.dumps({"text": said, "usd": 0.25, "in": 10}))
"""
FIELDS = {"text": "text", "session": "id", "cost": "usd", "tokens_in": "in"}


class Shop:
    """A repository whose tasks are done by `worker` and reviewed by `critic`."""

    def __init__(self, mo: Mo, place: Path, at_once: int = 8, **review: Any) -> None:
        self.mo, self.place = mo, place
        place.mkdir(exist_ok=True)
        (place / "worker.py").write_text(WORKER)
        (place / "critic.py").write_text(CRITIC)

        def agent(name: str, **more: Any) -> dict[str, Any]:
            argv = [sys.executable, str(place / f"{name}.py"), "{prompt_file}"]
            shape = {"kind": "generic", "prompt": "file", "output": "jsonl", "argv": argv}
            return {**shape, "execution_security_mode": "trusted_local", **more}

        again = [sys.executable, str(place / "worker.py"), "{prompt_file}", "{session}"]
        mo.configure(
            gate={"command": "none"},
            review={"require": "agent", **review},
            retry={"base_seconds": 0.01, "same_way": 1},
            routing={"fallbacks": ["critic", "worker"]},
            **{
                "routing.phase_defaults": {"execute": "worker", "review": "critic"},
                "agents.worker": agent("worker", resume_argv=again, max_parallel=at_once),
                "agents.critic": agent("critic", max_parallel=1),
                "agents.worker.fields": FIELDS,
                "agents.critic.fields": FIELDS,
            },
        )

    def verdicts(self, *said: str | Mapping[str, Any], task: str = "all") -> None:
        before = len(list(self.place.glob(f"{task}-*")))
        for number, one in enumerate(said, before + 1):
            text = one if isinstance(one, str) else json.dumps(one)
            (self.place / f"{task}-{number:03}.verdict").write_text(text)

    def do(self, *tasks: Mapping[str, Any], code: int = 0) -> dict[str, Any]:
        file = self.place / "plan.json"
        file.write_text(plan(list(tasks)))
        self.mo("do", f"@{file}", code=code)
        document = self.mo.json("show", "@last")
        assert problems("show", document) == []
        goal: dict[str, Any] = document["goal"]
        return goal

    def prompts(self, task: str) -> list[str]:
        return [path.read_text() for path in sorted(self.place.glob(f"{task}-*.prompt"))]

    def asked(self) -> list[str]:
        return [path.read_text() for path in sorted(self.place.glob("*.asked"))]

    def landed(self, name: str) -> str:
        return self.mo.repo.git("show", f"{self.mo.goal().integration}:{name}")

    def facts(self, *kinds: Kind) -> list[Mapping[str, Any]]:
        out = self.mo("--json", "logs", "@last").out
        return [one for one in map(json.loads, out.splitlines()) if one["event"] in kinds]


@pytest.fixture
def shop(mo: Mo, tmp_path: Path) -> Shop:
    return Shop(mo, tmp_path / "programs")


@pytest.fixture
def mo(repo: RepoBuilder) -> Iterator[Mo]:
    driver = Mo(repo)
    yield driver
    driver.stop()
    assert driver.programs() == []


APPROVE = {"verdict": "approve", "summary": "Good.", "findings": []}
FINDING = {"path": "a.py", "line": 1, "severity": "major", "comment": "Count further."}
CHANGES = {"verdict": "request_changes", "summary": "Not yet.", "findings": [FINDING]}
REJECT = {"verdict": "reject", "summary": "Wrong way.", "findings": []}
TASK = {"id": "a", "title": "Make a", "prompt": "Make a."}


def test_what_is_asked_for_is_corrected_in_the_same_session(shop: Shop) -> None:
    shop.verdicts(CHANGES, APPROVE)
    goal = shop.do({**TASK, "check": "test -e a.py && touch droppings"})
    (task,) = goal["tasks"]
    assert (task["state"], task["review"]) == ("landed", {**APPROVE, "by": "critic"})
    (attempt,) = task["attempts"]
    assert (attempt["cost_usd"], goal["cost_usd"]) == (1.5, 1.5)
    assert shop.landed("a.py") == "RUNS = 2"
    assert set(shop.mo.repo.tree(goal["integration"])) == {"README.md", "a.py"}
    first, second = shop.prompts("a")
    assert "Make a." in first
    assert second.startswith("s-a\nYour work on")  # resumed, so it knows the task
    assert "- a.py:1: [major] Count further." in second
    one, two = shop.asked()
    assert "+RUNS = 1" in one
    assert "The task's own check passed on exactly these files." in one
    assert "Before this, corrections were asked for" in two
    assert "+RUNS = 2" in two
    log = shop.mo("logs", goal["id"]).out
    assert "in review by critic (round 2)" in log
    assert "approved by critic: Good." in log
    assert "approve by critic" in shop.mo("show", f"{goal['id']}/a").out


def test_a_run_that_lost_its_session_is_paid_for(shop: Shop) -> None:
    shop.verdicts(CHANGES, APPROVE)
    goal = shop.do({**TASK, "id": "lost"})
    assert [one["state"] for one in goal["tasks"]] == ["landed"]
    costs = [fact["cost_usd"] for fact in shop.facts(Kind.USAGE)]
    assert costs == [0.5, 0.25, 0.125, 0.5, 0.25]
    files = {path.name for path in shop.mo.home.run_dir(goal["id"], "lost", 1).iterdir()}
    assert {"prompt-1.md", "prompt-2.md", "prompt.md", "review-1", "review-2"} <= files


def test_without_an_approval_a_person_decides(shop: Shop) -> None:
    shop.verdicts(CHANGES, CHANGES, CHANGES)
    goal = shop.do(TASK, code=Exit.PERSON)
    name = f"{goal['id']}/a"
    assert len(shop.prompts("a")) == 3  # review.max_rounds is 2
    (task,) = goal["tasks"]
    assert (task["state"], task["review"]["verdict"]) == ("awaiting_person", "request_changes")
    why = "waits for you: critic asks for changes after 2 corrections: Not yet."
    assert goal["needs"] == [{"task": "a", "why": why, "do": f"mo review {name}"}]
    assert shop.mo("review", code=Exit.PERSON).out == f"{name}: {why}\n  mo review {name}\n"
    assert shop.mo.json("review", code=Exit.PERSON) == {
        "v": 1,
        "needs": [{"goal": goal["id"], **goal["needs"][0]}],
    }
    shown = shop.mo("review", name, "--diff", code=Exit.PERSON).out
    assert shown.splitlines()[:7] == [
        f"{name}: {why}",
        "  A a.py  +1 -0",
        "  a.py:1 [major] Count further.",
        f"  look:   mo diff {name}",
        f"  fine:   mo review {name} --approve",
        f'  change: mo review {name} --comment "..."',
        f"  not so: mo review {name} --reject",
    ]
    assert "+RUNS = 3" in shown
    shop.verdicts(APPROVE)
    assert shop.mo("review", name, "--comment", "Four, please.").out == f"{name} goes back to its agent\n"
    shop.mo.wait_for(lambda: shop.mo.states() == {"a": "landed"}, 30)
    assert shop.landed("a.py") == "RUNS = 4"
    last = shop.prompts("a")[-1]
    assert last.startswith("s-a\n")  # it goes on in its session
    assert "Four, please." in last
    first, second = shop.mo.json("show", goal["id"])["goal"]["tasks"][0]["attempts"]
    assert (first["state"], first["class"], first["reason"]) == ("failed", "review_rejected", "Four, please.")
    assert second["n"] == 2


def test_a_person_approves_what_a_reviewer_would_not(shop: Shop) -> None:
    shop = Shop(shop.mo, shop.place, max_rounds=0)
    shop.verdicts(CHANGES)
    goal = shop.do(TASK, code=Exit.PERSON)
    assert len(shop.prompts("a")) == 1
    said = shop.mo("review", f"{goal['id']}/a", "--approve").out
    assert said == f"{goal['id']}/a is a candidate again, and lands when the gate is green\n"
    shop.mo.wait_for(lambda: shop.mo.states() == {"a": "landed"}, 30)
    (task,) = shop.mo.json("show", "@last")["goal"]["tasks"]
    assert task["review"] == {**CHANGES, "verdict": "approve", "by": getpass.getuser()}


def test_on_a_terminal_it_is_asked_what_to_say(shop: Shop) -> None:
    shop = Shop(shop.mo, shop.place, require="human")
    goal = shop.do(TASK, code=Exit.PERSON)
    name = f"{goal['id']}/a"
    for words in (("diff", "later"), ("comment", "Two, please."), ("approve",)):
        talk = shop.mo.talk("review", name)
        talk.wait_for("What do you say? (approve, reject, comment, diff, later)")
        for word in words:
            talk.say(word)
        assert talk.end() == (Exit.PERSON if "later" in words else 0)
        assert ("+RUNS = 1" in talk.text) == ("diff" in words)
        shop.mo.wait_for(lambda: shop.mo.states()["a"] in ("awaiting_person", "landed"), 30)
    shop.mo.wait_for(lambda: shop.mo.states() == {"a": "landed"}, 30)
    assert shop.landed("a.py") == "RUNS = 2"


def test_a_rejected_approach_is_tried_once_more(shop: Shop) -> None:
    shop.verdicts(REJECT, REJECT)
    goal = shop.do(TASK, code=Exit.FAILED)
    (task,) = goal["tasks"]
    assert [attempt["class"] for attempt in task["attempts"]] == ["review_rejected"] * 2
    assert (task["state"], task["reason"]) == ("failed", "critic rejects it: Wrong way. (2 times)")
    assert task["review"]["verdict"] == "reject"
    assert "critic rejects it: Wrong way." in shop.prompts("a")[1]


def test_a_critical_finding_is_not_approved(shop: Shop) -> None:
    shop.verdicts({**APPROVE, "findings": [{**FINDING, "severity": "critical"}]}, APPROVE)
    shop.do(TASK)
    assert shop.landed("a.py") == "RUNS = 2"
    (first, _) = shop.facts(Kind.REVIEWED)
    assert (first["verdict"], first["lowered"]) == ("request_changes", "a critical finding is not approved")


def test_a_check_that_a_correction_broke_is_corrected_before_anybody_is_asked(shop: Shop) -> None:
    shop.verdicts(CHANGES, APPROVE)
    shop.do({**TASK, "check": "! grep 2 a.py"})
    assert shop.landed("a.py") == "RUNS = 3"
    assert [fact["by"] for fact in shop.facts(Kind.REVIEWED)] == ["critic", "check", "critic"]
    assert "what its check says" in shop.prompts("a")[2]
    assert len(shop.asked()) == 2


def test_where_nobody_gives_a_verdict_the_work_waits_for_a_person(shop: Shop) -> None:
    """One crashes until that is enough; the author's own provider, asked last, gives no verdict."""
    shop.verdicts("exit", "exit")
    goal = shop.do(TASK, code=Exit.PERSON)
    (task,) = goal["tasks"]
    assert task["state"] == "awaiting_person"
    assert task["reason"].startswith("nobody could review it: critic: ")
    assert "worker: the answer is not the JSON that was asked for" in task["reason"]
    assert len(shop.prompts("a")) == 1
    failed = [(fact["provider"], fact["class"]) for fact in shop.facts(Kind.REVIEW_FAILED)]
    assert failed == [("critic", "crash")] * 2 + [("worker", "invalid_output")] * 2
    assert (shop.mo.home.run_dir(goal["id"], "a", 1) / "review-4").is_dir()  # one for each run


def test_reviews_keep_to_the_limit_of_their_agent(shop: Shop) -> None:
    shop.verdicts(APPROVE, task="a")
    shop.verdicts(APPROVE, task="b")
    (shop.place / "wait").touch()
    file = shop.place / "plan.json"
    file.write_text(plan([TASK, {"id": "b", "prompt": "Make b."}]))
    shop.mo("do", "--detach", f"@{file}")
    shop.mo.wait_for(lambda: sorted(shop.mo.states().values()) == ["checking", "reviewing"], 30)

    def active() -> list[str]:
        status = shop.mo.json("status")  # written a moment later
        assert problems("status", status) == []
        return sorted(one["state"] for one in status["goals"][0]["active"])

    shop.mo.wait_for(lambda: active() == ["checking", "reviewing"], 30)
    (shop.place / "wait").unlink()
    shop.mo.wait_for(lambda: set(shop.mo.states().values()) == {"landed"}, 30)


def test_a_correction_goes_before_tasks_that_would_start(mo: Mo, tmp_path: Path) -> None:
    shop = Shop(mo, tmp_path / "programs", at_once=1)
    shop.verdicts(CHANGES, APPROVE, task="a")
    for name in "bc":
        shop.verdicts(APPROVE, task=name)
    (shop.place / "hold-b").touch()
    file = shop.place / "plan.json"
    file.write_text(plan([TASK, {"id": "b", "prompt": "Make b."}, {"id": "c", "prompt": "Make c."}]))
    mo("do", "--detach", f"@{file}")
    mo.wait_for(lambda: len(shop.facts(Kind.REVIEWED)) == 1 and mo.states()["b"] == "running", 30)
    (shop.place / "hold-b").unlink()
    mo.wait_for(lambda: set(mo.states().values()) == {"landed"}, 60)
    began = [fact["task"] for fact in shop.facts(Kind.ATTEMPT_STARTED, Kind.REWORK_STARTED)]
    assert began == ["a", "b", "a", "c"]


def test_a_person_looks_at_every_change(shop: Shop) -> None:
    shop = Shop(shop.mo, shop.place, require="human")
    shop.mo.repo.git("branch", "own")
    tasks = [TASK, {"id": "c", "run": writes("c.txt", "c\n")}, {"id": "same", "run": ["true"]}]
    goal = shop.do(*tasks, code=Exit.PERSON)
    states = {task["id"]: task["state"] for task in goal["tasks"]}
    assert states == {"a": "awaiting_person", "c": "awaiting_person", "same": "unchanged"}
    assert shop.asked() == []
    (why, _) = (need["why"] for need in goal["needs"])
    assert why == "waits for you: 1 changed file to review (review.require is human)"
    named = f"{goal['id']}/c"
    refused = shop.mo("review", named, "--comment", "x", code=Exit.USAGE).err
    assert f"no agent did {named}" in refused
    shop.mo("review", named, "--reject", "--comment", "Not wanted.")
    shop.mo("review", f"{goal['id']}/a", "--accept")
    shop.mo.wait_for(lambda: shop.mo.states()["a"] == "landed", 30)
    rejected = next(one for one in shop.mo.json("show", "@last")["goal"]["tasks"] if one["id"] == "c")
    assert (rejected["state"], rejected["review"]["verdict"]) == ("ejected", "reject")
    assert rejected["reason"].endswith(": Not wanted.")


def test_a_review_that_a_kill_cut_short_goes_on_from_the_work(shop: Shop) -> None:
    """The agent is told that its work is there, and what was paid for is not thrown away."""
    shop.verdicts(APPROVE)
    (shop.place / "wait").touch()
    file = shop.place / "plan.json"
    file.write_text(plan([TASK]))
    shop.mo("do", "--detach", f"@{file}")
    shop.mo.wait_for(lambda: shop.mo.states() == {"a": "reviewing"}, 30)
    stream = shop.mo.home.run_dir(shop.mo.goal().id, "a", 1) / "review-1" / "stream.jsonl"
    shop.mo.wait_for(lambda: stream.exists() and b"0.0625" in stream.read_bytes(), 30)
    shop.mo.kill()
    shop.mo("daemon", "start")
    shop.mo.wait_for(lambda: shop.mo.states() == {"a": "reviewing"} and len(shop.prompts("a")) == 2, 30)
    (shop.place / "wait").unlink()
    shop.mo.wait_for(lambda: shop.mo.states() == {"a": "landed"}, 30)
    assert "Its files are in the worktree" in shop.prompts("a")[1]
    assert [fact["cost_usd"] for fact in shop.facts(Kind.USAGE)] == [0.5, 0.0625, 0.5, 0.25]


def test_a_correction_that_a_kill_cut_short_is_paid_for(shop: Shop) -> None:
    shop.verdicts(CHANGES, APPROVE)
    (shop.place / "wait").touch()
    file = shop.place / "plan.json"
    file.write_text(plan([TASK]))
    shop.mo("do", "--detach", f"@{file}")
    shop.mo.wait_for(lambda: shop.mo.states() == {"a": "reviewing"}, 30)
    (shop.place / "hold-a").touch()
    (shop.place / "wait").unlink()
    stream = shop.mo.home.run_dir(shop.mo.goal().id, "a", 1) / "stream.jsonl"
    shop.mo.wait_for(lambda: b"0.125" in stream.read_bytes(), 30)
    shop.mo.kill()
    (shop.place / "hold-a").unlink()
    shop.mo("daemon", "start")
    shop.mo.wait_for(lambda: shop.mo.states() == {"a": "landed"}, 30)
    assert [fact["cost_usd"] for fact in shop.facts(Kind.USAGE)] == [0.5, 0.25, 0.125, 0.5, 0.25]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--approve",), "say what you mean"),
        (("@last", "--approve"), "no task of "),
        (("@last/a", "--approve", "--comment", "x"), "--approve, --reject or --comment for a task"),
        (("@last/a", "--comment", "x"), "does not wait for you: it is landed"),
    ],
)
def test_what_review_refuses(shop: Shop, args: tuple[str, ...], said: str) -> None:
    shop.verdicts(APPROVE)
    shop.do(TASK)
    assert "mo land" in shop.mo("review", code=Exit.PERSON).out
    assert said in shop.mo("review", *args, code=None).err
