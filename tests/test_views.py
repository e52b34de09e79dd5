"""What people see of a goal: whole documents, drawings and lines from told stories."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mo_git import text, views
from mo_git.breakers import Breaker
from mo_git.model import Kind, Plan, TaskSpec
from tests import schemas
from tests.story import BASE, START, Story, chain, commit


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def task(name: str, *needed: str, title: str = "") -> TaskSpec:
    return TaskSpec(name, title, run=("true",), depends_on=needed)


DIAMOND = (
    task("top", title="Start"),
    task("left", "top"),
    task("right", "top"),
    task("join", "left", "right"),
)


def in_the_middle() -> Story:
    """A diamond of which the top landed, one side failed and the other is at its second attempt."""
    story = Story(DIAMOND)
    story.start()
    story.do("top", merge=commit("d"))
    story.run("left")
    story.run("right")
    story.fail("left", "exit code 1\x1b[31m\nboom", "crash")
    story.tell(Kind.SKIPPED, "join", reason="left failed")
    failed = {"class": "lost", "reason": "the daemon ended"}
    story.tell(Kind.ATTEMPT_FAILED, "right", 1, failed, exit_code=None, kept="")
    story.tell(Kind.RETRY_SCHEDULED, "right", 1, not_before=START + 60, why="the daemon ended")
    story.run("right", 2)
    return story


def ended() -> Story:
    story = in_the_middle()
    story.finish("right", 2)
    story.tell(Kind.GATE_STARTED, "right", 2, commit=commit("e"), head=commit("d"))
    red = {"passed": 11, "failed": 1, "missing": 0, "flaky": 0}
    story.gate("red", "right", commit=commit("e"), tests=red, failed_ids=["tests/test_a.py::test_a"])
    story.tell(
        Kind.EJECTED,
        "right",
        2,
        why="gate red: tests/test_a.py::test_a",
        evidence={"commit": commit("e"), "failed_ids": ["tests/test_a.py::test_a"]},
    )
    story.end("failed", "3 of 4 tasks did not land: left, right, join")
    return story


# -- documents ----------------------------------------------------------------------------------------


def test_status_document() -> None:
    older, newer = in_the_middle(), Story(chain("a"), id="later-0000", created_at=START + 500)
    daemon = {"pid": 7, "version": "0.1.0", "started_at": START, "isolation": "guard"}
    daemon |= {"gates": "guard", "executor": "local"}
    document = views.status_document(
        [older.goal, newer.goal], seq=30, daemon=daemon, limits={"parallel": 4, "hold": ""}
    )
    assert json.loads(json.dumps(document)) == {
        "v": 1,
        "seq": 30,
        "daemon": {**daemon, "web": None},
        "limits": {"parallel": 4, "hold": ""},
        "goals": [
            {
                "id": "later-0000",
                "title": "Tidy the house",
                "state": "queued",
                "reason": "",
                "target": "main",
                "created_at": START + 500,
                "tasks": {"pending": 1},
                "active": [],
                "doing": "",
                "iteration": 1,
                "iterations": 1,
                "waits": [],
                "gate": "",
                "needs": [],
                "questions": [],
                "estimate": None,
                "cost_usd": 0,
            },
            {
                "id": "tidy-k3f9",
                "title": "Tidy the house",
                "state": "running",
                "reason": "",
                "target": "main",
                "created_at": START,
                "tasks": {"running": 1, "landed": 1, "failed": 1, "skipped": 1},
                "active": [
                    {
                        "task": "right",
                        "state": "running",
                        "attempt": 2,
                        "since": START + 16,
                        "until": None,
                        "reason": "",
                    }
                ],
                "doing": "",
                "iteration": 1,
                "iterations": 1,
                "waits": [],
                "gate": "",
                "needs": [
                    {
                        "task": "left",
                        "why": "failed: exit code 1 [31m boom",
                        "do": "mo retry tidy-k3f9/left",
                    }
                ],
                "questions": [],
                "estimate": None,
                "cost_usd": 0,
            },
        ],
        "forecast": [],
    }
    assert schemas.problems("status", document) == []


def test_no_daemon_is_null() -> None:
    document = views.status_document([], seq=0, daemon={}, limits={})
    assert document["daemon"] is None
    assert schemas.problems("status", document) == []


def test_goal_document() -> None:
    document = json.loads(json.dumps(views.goal_document(ended().goal)))
    assert schemas.problems("show", document) == []
    goal = document.pop("goal")
    assert document == {"v": 1}
    tasks = {task["id"]: task for task in goal.pop("tasks")}
    assert goal == {
        "id": "tidy-k3f9",
        "title": "Tidy the house",
        "state": "failed",
        "reason": "3 of 4 tasks did not land: left, right, join",
        "base": BASE,
        "integration": commit("d"),
        "target": "main",
        "deliver": "branch",
        "iteration": 1,
        "iterations": 1,
        "created_at": START,
        "started_at": START + 1,
        "ended_at": START + 22,
        "cost_usd": 0,
        "tokens": {"input": 0, "output": 0},
        "landings": [
            {
                "seq": 1,
                "commit": commit("d"),
                "tree": commit("7"),
                "tasks": ["top"],
                "at": START + 7,
                "purpose": "task",
            }
        ],
        "gates": [
            {
                "commit": commit(letter),
                "tree": commit("7"),
                "tasks": [name],
                "kind": "full",
                "result": result,
                "cached": False,
                "tests": {"passed": 12 - failed, "failed": failed, "missing": 0, "flaky": 0},
                "failed_ids": ["tests/test_a.py::test_a"] * failed,
                "metrics": {},
                "flaky_ids": [],
                "seconds": 0.4,
            }
            for letter, name, result, failed in (("d", "top", "green", 0), ("e", "right", "red", 1))
        ],
        "conflicts": [],
        "ejections": [
            {
                "task": "right",
                "why": "gate red: tests/test_a.py::test_a",
                "evidence": {"commit": commit("e"), "failed_ids": ["tests/test_a.py::test_a"]},
            }
        ],
        "changes": [],
        "score": [],
        "verdicts": [],
        "assumptions": [],
        "questions": [],
        "answers": [],
        "estimate": None,
        "needs": views.needs(ended().goal),
    }
    assert {name: task["state"] for name, task in tasks.items()} == {
        "top": "landed",
        "left": "failed",
        "right": "ejected",
        "join": "skipped",
    }
    assert tasks["left"] == {
        "id": "left",
        "title": "",
        "state": "failed",
        "reason": "exit code 1\x1b[31m\nboom",
        "iteration": 1,
        "waits": None,
        "depends_on": ["top"],
        "from": None,
        "branch": "mo/tidy-k3f9/left",
        "base": commit("d"),
        "commit": None,
        "landed_commit": None,
        "writes": [],
        "paths": [],
        "summary": "",
        "output": None,
        "attempts": [
            {
                "n": 1,
                "provider": "auto",
                "model": None,
                "phase": "execute",
                "state": "failed",
                "class": "crash",
                "reason": "exit code 1\x1b[31m\nboom",
                "base": commit("d"),
                "started_at": START + 9,
                "ended_at": START + 11,
                "exit_code": 1,
                "kept": "refs/mo/keep/left",
                "cost_usd": 0,
                "tokens": {"input": 0, "output": 0},
                "log": ".mo/runs/tidy-k3f9/left/1/stream.log",
            }
        ],
        "review": None,
        "doubt": None,
        "accepted": [],
        "worktree": None,
    }


def test_a_worktree_is_named_only_while_an_attempt_has_it() -> None:
    story = in_the_middle()
    places = {one["id"]: one["worktree"] for one in views.goal_document(story.goal)["goal"]["tasks"]}
    assert places == {"top": None, "left": None, "right": "/trees/right", "join": None}


def test_a_conflict_that_was_done_again_is_in_the_document() -> None:
    story = Story(chain("a"))
    story.start()
    story.run("a")
    story.finish("a")
    conflict = {"with": ["b"], "paths": ["x.py"], "resolution": "redo"}
    story.tell(Kind.RETRY_SCHEDULED, "a", 1, not_before=START, why="conflict", redo=True, conflict=conflict)
    document = views.goal_document(story.goal)
    assert document["goal"]["conflicts"] == [{"task": "a", **conflict}]
    assert schemas.problems("show", document) == []


# -- needs --------------------------------------------------------------------------------------------


def candidate() -> Story:
    story = Story(chain("a"))
    story.start()
    story.run("a")
    story.finish("a")
    return story


def done(target: str = "main") -> Story:
    story = Story(chain("a"), target=target)
    story.start()
    story.do("a", merge=commit("d"))
    story.end("done")
    return story


def failed() -> Story:
    story = candidate()
    story.tell(Kind.FAILED, "a", data={"class": "crash", "reason": "exit code 3"})
    return story


def held() -> Story:
    story = candidate()
    story.tell(Kind.HELD, "a", reason="the gate gives no verdict: no tests ran")
    return story


def in_conflict() -> Story:
    story = candidate()
    story.tell(Kind.CONFLICT, "a", data={"with": ["b"], "paths": ["x.py"]})
    return story


def halted(state: str, reason: str) -> Story:
    story = Story(chain("a"))
    story.start()
    story.end(state, reason)
    return story


def check_failed() -> Story:
    story = done()
    story.end("failed", "the goal's check failed: exit code 2")
    return story


def landed(**result: object) -> Story:
    story = done()
    story.operation("land", "1-1-a", **result)
    return story


def landed_and_went_on() -> Story:
    story = Story(chain("a", "b"))
    story.start()
    story.do("a", merge=commit("d"))
    story.operation("land", "1-1-a", ok=True, message="main moved", commit=commit("d"))
    story.do("b", merge=commit("e"))
    story.end("done")
    return story


def unchanged() -> Story:
    story = Story(chain("a"))
    story.start()
    story.run("a")
    story.tell(Kind.UNCHANGED, "a", 1, commit=BASE)
    story.end("done")
    return story


def cancelled() -> Story:
    story = failed()
    story.end("cancelled", "by a person")
    return story


def over(reason: str, do: str) -> tuple[Callable[[], Story], list[tuple[str | None, str, str]]]:
    """A spent budget, and how to raise the one that the reason names."""
    why = f"over_budget: {reason}" if reason else "over_budget"
    return lambda: halted("over_budget", reason), [(None, why, do)]


NEEDS: list[tuple[Callable[[], Story], list[tuple[str | None, str, str]]]] = [
    (candidate, []),
    (failed, [("a", "failed: exit code 3", "mo retry tidy-k3f9/a")]),
    (held, [("a", "waits for you: the gate gives no verdict: no tests ran", "mo retry tidy-k3f9/a")]),
    (in_conflict, [("a", "conflict in x.py", "mo retry tidy-k3f9/a")]),
    (lambda: halted("halted", "no gate"), [(None, "halted: no gate", "mo resume tidy-k3f9")]),
    over("", "mo resume tidy-k3f9 --budget USD"),
    over("the goal's budget of $2.00 is spent ($2.10)", "mo resume tidy-k3f9 --budget USD"),
    over(
        "the goal's budget of $2.00 for codex is spent ($2.10)",
        "mo config set codex.max_budget_usd USD; mo resume tidy-k3f9",
    ),
    over(
        "today's budget of $9.00 is spent ($9.10)",
        "mo config set budget.daily_usd USD; mo resume tidy-k3f9",
    ),
    (check_failed, [(None, "the goal's check failed: exit code 2", "mo show tidy-k3f9")]),
    (done, [(None, "done, not on main yet", "mo land tidy-k3f9")]),
    (lambda: done(target=""), []),
    (lambda: landed(ok=True, message="main moved", commit=commit("d")), []),
    (lambda: landed(ok=True, message="main contains it already", commit=commit("9")), []),
    (
        lambda: landed(ok=False, message="main has uncommitted changes"),
        [(None, "done, not on main yet: main has uncommitted changes", "mo land tidy-k3f9")],
    ),
    (landed_and_went_on, [(None, "done, not on main yet", "mo land tidy-k3f9")]),
    (unchanged, []),
    (cancelled, []),
]


@pytest.mark.parametrize(("story", "expected"), NEEDS)
def test_needs(story: Callable[[], Story], expected: list[tuple[str | None, str, str]]) -> None:
    assert views.needs(story().goal) == [{"task": a, "why": b, "do": c} for a, b, c in expected]


# -- drawings -----------------------------------------------------------------------------------------

THIRTEEN = (
    *(task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c", "a"), task("e", "d"), task("f", "e")),
    *(
        task("g", "e"),
        task("h", "f", "g"),
        task("end"),
        task("k", "end"),
        task("l", "k", "a"),
        task("m", "l"),
    ),
    task("n"),
)
DRAWINGS = [
    (
        chain("one", "two", "three"),
        """\
○ one
↓ ○ two
↓ ○ three""",
    ),
    (
        DIAMOND,
        """\
○ top        Start
├─ ○ left
└─ ○ right
   ↓ ○ join  also after left""",
    ),
    (
        THIRTEEN,
        """\
○ a
├─ ○ b
└─ ○ c
   ↓ ○ d     also after b
   ↓ ○ e
   ├─ ○ f
   └─ ○ g
      ↓ ○ h  also after f
○ end
↓ ○ k
↓ ○ l        also after a
↓ ○ m
○ n""",
    ),
    ((), ""),
]


@pytest.mark.parametrize(("tasks", "drawing"), DRAWINGS)
def test_drawing_a_plan(tasks: tuple[TaskSpec, ...], drawing: str) -> None:
    assert views.graph_text(Plan("g", tasks)) == drawing


def test_a_long_chain_stays_narrow() -> None:
    lines = views.graph_text(Plan("g", chain(*(f"t{n}" for n in range(500))))).splitlines()
    assert len(lines) == 500
    assert max(map(len, lines)) == len("↓ ○ t499")


def test_drawing_a_goal() -> None:
    assert views.graph_text(ended().goal) == (
        """\
✔ top        landed   ddddddd
├─ ✘ left    failed   exit code 1 [31m boom
└─ ✘ right   ejected  gate red: tests/test_a.py::test_a
   ↓ – join  skipped  left failed  also after left"""
    )
    assert views.graph_text(in_the_middle().goal).splitlines()[2] == "└─ ▶ right   running  attempt 2"


def test_drawing_in_colour_says_the_same() -> None:
    plain, colored = views.graph_text(ended().goal), views.graph_text(ended().goal, color=True)
    assert colored.startswith("\033[32m✔\033[0m top        \033[32mlanded \033[0m  ddddddd\n")
    for code in ("\033[32m", "\033[31m", "\033[2m", "\033[0m"):
        colored = colored.replace(code, "")
    assert colored == plain


def test_mermaid() -> None:
    tasks = (task("end", title='Say "hi" & <go> #1'), task("b", "end"))
    assert views.graph_mermaid(Plan("g", tasks)) == (
        """\
flowchart TD
  t1["end<br/>Say #quot;hi#quot; #amp; #lt;go#gt; #35;1"]
  t2["b"]
  t1 --> t2"""
    )
    assert views.graph_mermaid(done().goal).splitlines() == [
        "flowchart TD",
        '  t1["a<br/>landed"]',
        "  classDef good fill:#d9f2d9,stroke:#2e8b57,color:#111111",
        "  class t1 good",
    ]


def test_dot() -> None:
    tasks = (task("a", title='Say "hi" \\o/'), task("b", "a"))
    assert views.graph_dot(Plan("g", tasks)) == (
        """\
digraph plan {
  node [shape=box, style="rounded,filled", fillcolor="#ffffff"];
  "a" [label="a\\nSay \\"hi\\" \\\\o/", fillcolor="#ffffff", color="#555555"];
  "b" [label="b", fillcolor="#ffffff", color="#555555"];
  "a" -> "b";
}"""
    )
    assert 'label="a\\nlanded", fillcolor="#d9f2d9"' in views.graph_dot(done().goal)


def test_graph_document() -> None:
    document = views.graph_document(in_the_middle().goal)
    states = ["landed", "failed", "running", "skipped"]
    assert json.loads(json.dumps(document)) == {
        "v": 1,
        "goal": "tidy-k3f9",
        "tasks": [
            {"id": one.id, "title": one.title, "depends_on": list(one.depends_on), "state": state}
            for one, state in zip(DIAMOND, states, strict=True)
        ],
        "edges": [["top", "left"], ["top", "right"], ["left", "join"], ["right", "join"]],
        "levels": [["top"], ["left", "right"], ["join"]],
    }
    assert views.graph_document(Plan("g", chain("a")))["goal"] is None


# -- lines --------------------------------------------------------------------------------------------


def lines(story: Story) -> list[str]:
    """The event lines of a story, each made when its fact was the newest."""
    told = Story(story.tasks, id=story.id, created_at=story.created_at)
    said = [views.event_line(told.facts[0], told.goal)]
    for fact in story.facts[1:]:
        counted = told.tell(Kind(fact.kind), fact.task, fact.attempt, fact.data)
        said.append(views.event_line(fact, told.goal) if counted else None)
    return [line for line in said if line is not None]


def test_the_lines_of_a_goal() -> None:
    story = ended()
    story.tell(Kind.GOAL_REOPENED, why="retry")
    story.tell(Kind.RETRIED, "right", hint="mind the gap")
    assert lines(story) == [
        "08:00:00  goal   queued with 4 tasks: Tidy the house",
        "08:00:01  goal   started on ba5e000",
        "08:00:02  top    started on ba5e000",
        "08:00:04  top    candidate ccccccc (1 file, 1.2 s)",
        "08:00:05  top    in the gate",
        "08:00:08  top    landed as ddddddd (gate green, 12 tests, 0.4 s)",
        "08:00:09  left   started on ddddddd",
        "08:00:10  right  started on ddddddd",
        "08:00:11  left   attempt 1 failed: exit code 1 [31m boom (crash)",
        "08:00:12  left   failed: exit code 1 [31m boom (crash)",
        "08:00:13  join   skipped: left failed",
        "08:00:14  right  attempt 1 failed: the daemon ended (lost)",
        "08:00:15  right  again at 08:01:00: the daemon ended",
        "08:00:16  right  started on ddddddd (attempt 2)",
        "08:00:18  right  candidate ccccccc (1 file, 1.2 s)",
        "08:00:19  right  in the gate",
        "08:00:20  goal   gate red with right: tests/test_a.py::test_a",
        "08:00:21  right  ejected: gate red: tests/test_a.py::test_a",
        "08:00:22  goal   failed: 3 of 4 tasks did not land: left, right, join",
        "08:00:23  goal   open again: retry",
        "08:00:24  right  to be tried again: mind the gap",
    ]


def test_changes_of_the_repository() -> None:
    """What may be the user's comes with the command that puts it back; the newest names who ran."""
    story = Story(chain("a"))
    story.start()
    ran = [f"g/t{number}#1" for number in range(5)]
    changes = [
        {"what": "refs/heads/x was removed", "ran": ran[:1], "do": "git update-ref refs/heads/x abc"},
        {"what": "hooks/pre-push was made (put back)", "ran": ran, "do": ""},
        {"what": "refs/mo/g/base was changed", "ran": [], "do": ""},
    ]
    for change in changes:
        story.tell(Kind.REPOSITORY_CHANGED, data=change)
    assert [views.event_line(fact, story.goal) for fact in story.facts[-3:]] == [
        "08:00:02  goal  refs/heads/x was removed, while g/t0#1 ran: git update-ref refs/heads/x abc",
        "08:00:03  goal  hooks/pre-push was made (put back), while g/t0#1, g/t1#1, g/t2#1 and 2 more ran",
        "08:00:04  goal  refs/mo/g/base was changed, not by mo",
    ]
    assert views.goal_document(story.goal)["goal"]["changes"] == changes


def test_lines_of_the_rest() -> None:
    story = Story(chain("a", "b"))
    story.start()
    proof = {"command": "pytest", "commit": BASE, "failing": [], "weak": False, "reason": ""}
    story.tell(Kind.GATE_PROVED, data=proof)
    story.tell(Kind.GATE_PROVED, data=proof | {"failing": ["t1", "t2"]})
    story.tell(Kind.GATE_PROVED, data=proof | {"weak": True, "reason": "only an exit code"})
    story.tell(Kind.SETUP_FAILED, reason="set-up failed: pip")
    story.tell(Kind.GOAL_PAUSED)
    story.tell(Kind.GOAL_RESUMED)
    story.run("a")
    story.finish("a")
    story.tell(Kind.GATE_STARTED, "a", 1, commit=commit("d"), head=BASE)
    story.tell(Kind.GATE_DROPPED, "a", 1, why="stopped")
    many = [f"t{n}" for n in range(5)]
    story.gate("red", "a", failed_ids=many)
    story.gate("unknown", reason="no tests ran")
    story.tell(Kind.LANDING, seq=1, commit=commit("e"), tree=commit("7"), tasks=[], purpose="sync")
    story.tell(Kind.LANDING_INTENT, commit=commit("d"), tree="", head="", tasks=["a"], purpose="task")
    story.tell(Kind.LANDING_DROPPED, commit=commit("d"))
    story.gate("green", "a", cached=True, commit=commit("f"))
    story.tell(Kind.LANDED, "a", 1, commit=commit("d"), tree=commit("7"))
    story.tell(Kind.TASK_CANCELLED, "b")
    story.tell(Kind.TASK_CANCELLED, "b", reason="late")
    story.tell(Kind.GOAL_CHECKED, passed=True, commit=BASE, exit_code=0, reason="")
    story.tell(Kind.GOAL_CHECKED, passed=False, commit=BASE, exit_code=1, reason="exit code 1")
    story.tell(Kind.CANCEL_REQUESTED)
    story.operation("land", "r1", ok=True, message="main: a..b (1 of 2 tasks)")
    story.operation("sync", "r2", ok=False, message="main is gone", hint="")
    story.end("done")
    assert [line.partition("  ")[2] for line in lines(story)] == [
        "goal  queued with 2 tasks: Tidy the house",
        "goal  started on ba5e000",
        "goal  gate proved on ba5e000",
        "goal  gate proved on ba5e000 (2 tests failing there already)",
        "goal  weak gate on ba5e000: only an exit code",
        "goal  set-up failed: pip",
        "goal  paused: nothing new starts",
        "goal  resumed",
        "a     started on ba5e000",
        "a     candidate ccccccc (1 file, 1.2 s)",
        "a     in the gate",
        "a     back in the queue: stopped",
        "goal  gate red with a: t0, t1, t2 and 2 more",
        "goal  gate unknown: no tests ran",
        "goal  integration is at eeeeeee: sync",
        "a     landed as ddddddd (gate green, 12 tests, cached)",
        "b     cancelled",
        "goal  goal check passed",
        "goal  goal check failed: exit code 1",
        "goal  to be cancelled",
        "goal  land requested",
        "goal  land: main: a..b (1 of 2 tasks)",
        "goal  sync requested",
        "goal  sync refused: main is gone",
        "goal  done",
    ]


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        (held, "a     waits for you: the gate gives no verdict: no tests ran"),
        (in_conflict, "a     conflict with b in x.py"),
        (unchanged, "a     unchanged: nothing to do"),
    ],
)
def test_lines_of_endings(story: Callable[[], Story], expected: str) -> None:
    assert expected in [line.partition("  ")[2] for line in lines(story())]


def test_event_document_cannot_be_overwritten_by_its_data() -> None:
    story = Story(chain("a"))
    story.tell(Kind.GATE_RUN, data={"goal": "other", "kind": "full", "at": 0, "result": "green"})
    assert views.event_document(story.facts[-1]) == {
        "event": "gate_run",
        "goal": "tidy-k3f9",
        "task": "",
        "attempt": 0,
        "at": START + 1,
        "kind": "full",
        "result": "green",
    }


def test_the_summary_of_a_failed_goal() -> None:
    assert views.summary_lines(ended().goal) == [
        "tidy-k3f9  failed, 1 of 4 tasks landed, 21 s: 3 of 4 tasks did not land: left, right, join",
        "  landed   top",
        "  failed   left: exit code 1 [31m boom",
        "  ejected  right: gate red: tests/test_a.py::test_a",
        "  skipped  join: left failed",
        "  next     mo retry tidy-k3f9/left",
        "           mo retry tidy-k3f9/right",
        "           mo land tidy-k3f9 (takes what landed to main)",
    ]


def test_the_summary_of_a_goal_that_is_done() -> None:
    assert views.summary_lines(done().goal) == [
        "tidy-k3f9  done, 1 of 1 task landed, 8.0 s",
        "  landed  a",
        "  next    mo land tidy-k3f9",
    ]
    assert views.summary_lines(unchanged().goal) == [
        "tidy-k3f9  done, 1 of 1 task landed, 3.0 s",
        "  unchanged  a",
    ]


# -- words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_duration(seconds: float, said: str) -> None:
    assert text.duration(seconds) == said


def test_clock() -> None:
    assert text.clock(START) == "08:00:00"
    assert text.clock(START, START + 60) == "08:00"
    assert text.clock(START, START + 86400) == "2027-01-15 08:00"


@pytest.mark.parametrize(
    ("given", "limit", "expected"),
    [
        ("a\n\tb  c", 9, "a b c"),
        ("\x1b]0;owned\x07x", 99, "]0;owned x"),
        ("\u202eevil\u200b", 99, "evil"),
        ("abcdef", 5, "abcd…"),
        ("abcde", 5, "abcde"),
    ],
)
def test_one_line(given: str, limit: int, expected: str) -> None:
    assert text.one_line(given, limit) == expected


def test_printable_keeps_lines_and_tabs() -> None:
    assert text.printable("a\tb\nc\r\x1b[31md") == "a\tb\nc[31md"


def test_table() -> None:
    assert text.table([["a", "bb", "c"], ["aaa", "b"], []]) == ["a    bb  c", "aaa  b", ""]


def test_what_each_task_waits_for_and_until_when() -> None:
    tasks = (
        TaskSpec("a", prompt="p", provider="x"),
        TaskSpec("b", prompt="p", provider="x"),
        TaskSpec("c", prompt="p", depends_on=("a", "b")),
        TaskSpec("d", run=("true",)),
    )
    story = Story(tasks)
    story.start()
    story.run("a")
    story.tell(Kind.ATTEMPT_FAILED, "a", 1, {"class": "rate_limit", "reason": "429"}, exit_code=1)
    story.tell(Kind.RETRY_SCHEDULED, "a", 1, not_before=START + 60, why="429")

    def waits(breakers: dict[str, Breaker], now: float) -> dict[str, Any]:
        document = views.goal_document(story.goal, breakers, now)
        return {one["id"]: one["waits"] for one in document["goal"]["tasks"] if one["waits"]}

    after = {"why": "after a, b", "until": None}
    assert waits({}, START) == {"a": {"why": "429", "until": START + 60}, "c": after}
    shut = {"why": "x: usage limit", "until": START + 600}
    breaker = {"x": Breaker(4, "usage_limit", START + 600)}
    assert waits(breaker, START) == {"a": shut, "b": shut, "c": after}
    assert waits(breaker, START + 600) == {"a": {"why": "429", "until": START + 60}, "c": after}
