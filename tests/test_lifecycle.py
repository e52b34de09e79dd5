"""The one table of transitions and the fold over facts."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_git.goal_status import ENDED_TASK, GoalStatus
from mo_git.lifecycle import ARROWS, apply, has_ended, new_goal, outcome, replay
from mo_git.model import ENDED_GOAL, Fact, GoalState, Kind, TaskSpec, TaskState
from tests.story import BASE, Story, chain, commit

S = TaskState
QUEUED, AT_WORK = {S.CANDIDATE, S.GATING}, {S.RUNNING, S.CHECKING, S.REVIEWING}
OPEN = {S.PENDING, S.WAITING, S.TAKEN} | QUEUED | AT_WORK
STUCK = {S.CONFLICT, S.FAILED, S.EJECTED, S.SKIPPED, S.CANCELLED, S.AWAITING_PERSON}

# kind -> (where it counts, what the task becomes; None: it stays)
EXPECTED: dict[Kind, tuple[set[TaskState], TaskState | None]] = {
    Kind.ATTEMPT_STARTED: ({S.PENDING, S.WAITING}, S.RUNNING),
    Kind.SESSION_STARTED: (AT_WORK, None),
    Kind.AGENT_ENDED: ({S.RUNNING}, S.CHECKING),
    Kind.REVIEW_STARTED: ({S.CHECKING, S.REVIEWING}, S.REVIEWING),
    Kind.REVIEW_FAILED: ({S.REVIEWING}, None),
    Kind.REVIEWED: ({S.CHECKING, S.REVIEWING}, S.CHECKING),
    Kind.REWORK_STARTED: ({S.CHECKING}, S.RUNNING),
    Kind.ATTEMPT_FAILED: (AT_WORK, None),
    Kind.CANDIDATE: (AT_WORK, S.CANDIDATE),
    Kind.UNCHANGED: (AT_WORK, S.UNCHANGED),
    Kind.RETRY_SCHEDULED: (AT_WORK | QUEUED | {S.WAITING}, S.WAITING),
    Kind.GATE_STARTED: ({S.CANDIDATE}, S.GATING),
    Kind.GATE_DROPPED: ({S.GATING}, S.CANDIDATE),
    Kind.LANDED: (QUEUED, S.LANDED),
    Kind.CONFLICT: (AT_WORK | QUEUED | {S.WAITING}, S.CONFLICT),
    Kind.EJECTED: (QUEUED | {S.LANDED, S.AWAITING_PERSON}, S.EJECTED),
    Kind.FAILED: (OPEN, S.FAILED),
    Kind.SKIPPED: (OPEN | STUCK, S.SKIPPED),
    Kind.TASK_CANCELLED: (OPEN, S.CANCELLED),
    Kind.HELD: (QUEUED, S.AWAITING_PERSON),
    Kind.REBASED: (QUEUED, S.CANDIDATE),
    Kind.ACCEPTED: ({S.AWAITING_PERSON}, S.CANDIDATE),
    Kind.COMMENTED: ({S.AWAITING_PERSON}, S.WAITING),
    Kind.RETRIED: (STUCK | {S.TAKEN}, S.PENDING),
    Kind.TAKEN: ((OPEN | STUCK | {S.READY, S.RESOLVING}) - {S.TAKEN}, S.TAKEN),
    Kind.HANDED_OVER: ({S.TAKEN}, None),
    Kind.GIVEN: ({S.TAKEN}, S.CHECKING),
    Kind.SAID: (AT_WORK | {S.PENDING, S.WAITING}, None),
    Kind.HEARD: (AT_WORK, S.RUNNING),
}
DATA: dict[Kind, dict[str, Any]] = {
    Kind.ATTEMPT_STARTED: {"base": BASE, "branch": "b", "worktree": "w", "token": "t"},
    Kind.SESSION_STARTED: {"session": "s-1"},
    Kind.AGENT_ENDED: {"exit_code": 0, "seconds": 1.0, "timed_out": False},
    Kind.REVIEW_STARTED: {"round": 1, "provider": "claude", "model": "", "why": "default of review"},
    Kind.REVIEW_FAILED: {
        "round": 1,
        "provider": "claude",
        "class": "overloaded",
        "reason": "busy",
        "not_before": 7.0,
    },
    Kind.REVIEWED: {"round": 1, "verdict": "approve", "by": "claude", "summary": "good", "findings": []},
    Kind.REWORK_STARTED: {"round": 1, "by": "claude"},
    Kind.COMMENTED: {"comment": "say more", "by": "ada"},
    Kind.ATTEMPT_FAILED: {
        "class": "crash",
        "reason": "exit code 1",
        "exit_code": 1,
        "kept": "refs/mo/keep/x",
    },
    Kind.CANDIDATE: {"commit": commit("c"), "tree": commit("7"), "paths": ["a"]},
    Kind.UNCHANGED: {"commit": BASE},
    Kind.RETRY_SCHEDULED: {"not_before": 5.0, "why": "again"},
    Kind.GATE_DROPPED: {"why": "stopped"},
    Kind.LANDED: {"commit": commit("d"), "tree": commit("7")},
    Kind.CONFLICT: {"with": ["b"], "paths": ["x.py"]},
    Kind.EJECTED: {"why": "gate red", "evidence": {}},
    Kind.FAILED: {"class": "crash", "reason": "exit code 1"},
    Kind.SKIPPED: {"reason": "a failed"},
    Kind.TASK_CANCELLED: {"reason": "by a person"},
    Kind.HELD: {"reason": "no verdict"},
    Kind.REBASED: {"commit": commit("e"), "tree": commit("7"), "base": BASE},
    Kind.ACCEPTED: {"about": "tests", "ids": ["t::x"], "paths": ["t"], "by": "ada"},
    Kind.HANDED_OVER: {"worktree": "/w/1", "branch": "b", "base": BASE, "upon": {}},
    Kind.SAID: {"text": "Mind the gap.", "now": True, "by": "ada"},
    Kind.HEARD: {"count": 1},
    Kind.PLAN_EDITED: {"plan": {"goal": "t", "task": [{"id": "a", "prompt": "y"}]}, "by": "ada"},
    Kind.GIVEN: {"base": BASE, "branch": "b", "worktree": "w", "token": "t", "provider": "person"},
    Kind.GOAL_SCORED: {"iteration": 1, "commit": BASE, "metrics": {}, "verdict": "kept", "reason": ""},
    Kind.VERIFY_STARTED: {"n": 1, "provider": "claude", "model": "", "why": "default of verify"},
    Kind.VERIFY_FAILED: {"n": 1, "provider": "claude", "class": "crash", "reason": "x", "not_before": 7.0},
    Kind.VERIFIED: {"n": 1, "iteration": 1, "commit": BASE, "done": False, "progress": 0.5, "missing": ["x"]},
    Kind.ITERATED: {"iteration": 2, "course": "", "why": "", "missing": ["x"], "commit": BASE},
    Kind.GOAL_STARTED: {"base": BASE},
    Kind.GATE_PROVED: {"commit": BASE, "failing": [], "weak": False, "reason": ""},
    Kind.GATE_RUN: {"commit": commit("d"), "result": "green"},
    Kind.LANDING_INTENT: {"commit": commit("d"), "tree": commit("7"), "head": BASE, "tasks": ["a"]},
    Kind.LANDING_DROPPED: {"commit": commit("d")},
    Kind.LANDING: {"seq": 1, "commit": commit("d"), "tree": commit("7"), "tasks": ["a"], "purpose": "task"},
    Kind.SETUP_FAILED: {"reason": "pip failed"},
    Kind.BUDGET_SPENT: {"reason": "the goal's budget is spent"},
    Kind.USAGE: {"provider": "codex", "cost_usd": 0.5, "input_tokens": 10, "output_tokens": 2},
    Kind.GOAL_CHECKED: {"passed": True, "commit": BASE, "exit_code": 0, "reason": ""},
    Kind.BUDGET_SPENT: {"reason": "the goal's budget of $1.00 is spent ($1.20)"},
    Kind.USAGE: {"provider": "claude", "cost_usd": 0.1, "input_tokens": 10, "output_tokens": 1},
    Kind.PLAN_STARTED: {"n": 1, "provider": "claude", "model": "", "why": "default of decompose"},
    Kind.PLAN_REFUSED: {"n": 1, "provider": "claude", "errors": ["cycle: a -> a"]},
    Kind.PLAN_FAILED: {"n": 1, "provider": "claude", "class": "crash", "reason": "x", "not_before": 7.0},
    Kind.PLAN_ASKED: {"n": 1, "provider": "claude", "questions": ["Which?"]},
    Kind.PLAN_ANSWERED: {"answers": ["This one."]},
    Kind.PLANNED: {"n": 1, "plan": {"goal": "t", "task": [{"id": "a", "prompt": "x"}]}, "assumptions": []},
    Kind.CANCEL_REQUESTED: {"reason": ""},
    Kind.GOAL_ENDED: {"state": "failed", "reason": "1 of 2 tasks did not land: b"},
}
ABOUT_TASKS = list(EXPECTED)


def in_state(state: TaskState) -> GoalStatus:
    """A started goal whose task `a` is in a state, with an open second attempt."""
    story = Story(chain("a", "b"))
    story.start()
    story.run("a")
    story.fail("a", "first")
    story.tell(Kind.RETRIED, "a")
    story.run("a", 2)
    story.goal.tasks["a"].state = state
    return story.goal


def the_fact(kind: Kind, attempt: int, **data: Any) -> Fact:
    return Fact(99, 1e9, "tidy-k3f9", "a", attempt, kind, {**DATA.get(kind, {}), **data})


def test_the_tables_name_the_same_kinds() -> None:
    assert set(EXPECTED) == set(ARROWS)
    assert OPEN | STUCK | {S.LANDED, S.UNCHANGED, S.READY, S.REVIEWING, S.RESOLVING} == set(TaskState)


@pytest.mark.parametrize("kind", ABOUT_TASKS)
@pytest.mark.parametrize("state", TaskState)
def test_every_arrow_and_no_other(kind: Kind, state: TaskState) -> None:
    goal = in_state(state)
    before = copy.deepcopy(goal)
    number = 3 if kind in (Kind.ATTEMPT_STARTED, Kind.GIVEN) else 2
    counted = apply(goal, the_fact(kind, number))
    sources, target = EXPECTED[kind]
    assert counted == (state in sources)
    assert goal.tasks["a"].state is (target or state if counted else state)
    assert goal.last_seq == 99
    if not counted:
        goal.last_seq = before.last_seq
        assert goal == before


@pytest.mark.parametrize("kind", ABOUT_TASKS)
def test_a_late_fact_of_an_old_attempt_has_no_effect(kind: Kind) -> None:
    for state in EXPECTED[kind][0]:
        goal = in_state(state)
        before = copy.deepcopy(goal)
        assert not apply(goal, the_fact(kind, 1))
        goal.last_seq = before.last_seq
        assert goal == before


def test_an_attempt_number_is_never_used_twice() -> None:
    goal = in_state(S.WAITING)
    assert not apply(goal, the_fact(Kind.ATTEMPT_STARTED, 2))
    assert apply(goal, the_fact(Kind.ATTEMPT_STARTED, 7))
    assert [attempt.n for attempt in goal.tasks["a"].attempts] == [1, 2, 7]


def test_facts_about_unknown_tasks_and_of_unknown_kinds_have_no_effect() -> None:
    goal = in_state(S.RUNNING)
    before = copy.deepcopy(goal)
    assert not apply(goal, Fact(99, 1.0, goal.id, "nobody", 0, Kind.FAILED, {"reason": "x"}))
    assert not apply(goal, Fact(100, 1.0, goal.id, "a", 0, "from_the_future", {}))
    assert goal.last_seq == 100
    goal.last_seq = before.last_seq
    assert goal == before


def test_a_task_from_start_to_landing() -> None:
    story = Story(chain("a", "b"))
    assert (story.goal.state, story.goal.task_state(story.goal.tasks["a"])) == (GoalState.QUEUED, S.PENDING)
    story.start()
    assert story.goal.state is GoalState.RUNNING
    assert [story.goal.task_state(task) for task in story.goal.tasks.values()] == [S.READY, S.PENDING]
    story.do("a", merge=commit("d"))
    task = story.goal.tasks["a"]
    assert (task.state, task.commit, task.landed_commit) == (S.LANDED, commit("c"), commit("d"))
    assert (task.attempts[0].state, task.attempts[0].exit_code) == ("candidate", 0)
    assert task.attempts[0].ended_at == story.created_at + 4
    assert story.goal.integration == commit("d")
    assert story.goal.task_state(story.goal.tasks["b"]) is S.READY


def test_a_failed_attempt_keeps_its_class_reason_and_ref() -> None:
    story = Story(chain("a"))
    story.start()
    story.run("a")
    story.fail("a", "the check exited with 1")
    task = story.goal.tasks["a"]
    attempt = task.attempts[0]
    assert (attempt.state, attempt.failure, attempt.reason) == (
        "failed",
        "check_failed",
        "the check exited with 1",
    )
    assert (attempt.exit_code, attempt.kept) == (1, "refs/mo/keep/a")
    assert (task.state, task.reason, task.failures) == (S.FAILED, "the check exited with 1", ["check_failed"])


def test_a_failure_without_an_end_of_the_attempt_closes_it() -> None:
    story = Story(chain("a"))
    story.start()
    story.run("a")
    story.tell(Kind.TASK_CANCELLED, "a", reason="by a person")
    attempt = story.goal.tasks["a"].attempts[0]
    assert (attempt.state, attempt.reason, attempt.ended_at) == ("failed", "by a person", story.facts[-1].at)


def test_a_conflict_that_is_done_again_is_counted_and_remembered() -> None:
    story = Story(chain("a"))
    story.start()
    story.run("a")
    story.finish("a")
    conflict = {"with": ["b"], "paths": ["x.py"], "resolution": "redo"}
    story.tell(Kind.RETRY_SCHEDULED, "a", 1, not_before=0.0, why="conflict", conflict=conflict)
    assert (story.goal.tasks["a"].state, story.goal.tasks["a"].redone) == (S.WAITING, 1)
    assert story.goal.conflicts == [{"task": "a", **conflict}]


def test_a_retry_reopens_the_goal_and_forgets_old_failures() -> None:
    story = Story(chain("a", "b"))
    story.start()
    story.run("a")
    story.fail("a", "exit code 1", "crash")
    story.tell(Kind.SKIPPED, "b", reason="a failed")
    story.end("failed", "2 of 2 tasks did not land: a, b")
    assert (story.goal.state, has_ended(story.goal)) == (GoalState.FAILED, True)
    story.tell(Kind.GOAL_REOPENED, why="retry")
    story.tell(Kind.RETRIED, "a", hint="mind the gap")
    story.tell(Kind.RETRIED, "b")
    assert (story.goal.state, has_ended(story.goal), story.goal.ended_at) == (GoalState.RUNNING, False, None)
    assert (story.goal.tasks["a"].failures, story.goal.tasks["a"].reason) == ([], "mind the gap")
    assert [story.goal.task_state(task) for task in story.goal.tasks.values()] == [S.READY, S.PENDING]
    story.run("a", 2)
    assert [attempt.n for attempt in story.goal.tasks["a"].attempts] == [1, 2]


@pytest.mark.parametrize(("satisfies", "dependent"), [(True, S.READY), (False, S.PENDING)])
def test_a_skipped_task_counts_for_its_dependents_only_if_said_so(
    satisfies: bool, dependent: TaskState
) -> None:
    story = Story(chain("a", "b"))
    story.start()
    story.tell(Kind.SKIPPED, "a", reason="not needed", satisfies=satisfies)
    assert story.goal.task_state(story.goal.tasks["b"]) is dependent


def test_an_unchanged_task_counts_as_landed() -> None:
    story = Story(chain("a"))
    story.start()
    story.run("a")
    story.tell(Kind.UNCHANGED, "a", 1, commit=BASE)
    assert (story.goal.tasks["a"].commit, outcome(story.goal)) == (BASE, (GoalState.DONE, ""))


def test_the_state_of_a_goal() -> None:
    story = Story(chain("a"))
    seen = [story.goal.state]
    story.start()
    seen.append(story.goal.state)
    story.tell(Kind.GOAL_PAUSED)
    seen.append(story.goal.state)
    story.tell(Kind.GOAL_RESUMED)
    story.do("a")
    seen.append(story.goal.state)
    story.end("done")
    seen.append(story.goal.state)
    G = GoalState
    assert seen == [G.QUEUED, G.RUNNING, G.PAUSED, G.LANDING, G.DONE]


def test_the_reason_of_a_goal() -> None:
    story = Story(chain("a"))
    assert story.goal.reason == ""
    story.tell(Kind.CANCEL_REQUESTED, reason="")
    assert story.goal.reason == "cancelled"
    story.tell(Kind.SETUP_FAILED, reason="set-up failed: pip")
    assert story.goal.reason == "set-up failed: pip"
    story.end("halted", "stopped")
    assert story.goal.reason == "stopped"


def test_outcome() -> None:
    story = Story((TaskSpec("a"), TaskSpec("b"), TaskSpec("c")))
    story.start()
    story.do("a")
    story.run("b")
    story.fail("b", "x")
    story.tell(Kind.SKIPPED, "c", reason="b failed")
    assert outcome(story.goal) == (GoalState.FAILED, "2 of 3 tasks did not land: b, c")
    story = Story(chain("a"))
    story.start()
    story.do("a")
    story.tell(Kind.GOAL_CHECKED, passed=False, commit=BASE, exit_code=2, reason="exit code 2")
    assert outcome(story.goal) == (GoalState.FAILED, "the goal's check failed: exit code 2")


def test_a_new_budget_replaces_the_goals_own() -> None:
    story = Story(chain("a"))
    story.start()
    story.tell(Kind.BUDGET_SPENT, reason="spent")
    story.end("over_budget", "spent")
    story.tell(Kind.GOAL_REOPENED, why="resumed", budget_usd=50.0)
    assert (story.goal.state, story.goal.budget_usd) == (GoalState.RUNNING, 50.0)
    story.tell(Kind.GOAL_REOPENED, why="retried")
    assert story.goal.budget_usd == 50.0


def test_an_intent_lasts_until_it_lands_or_is_dropped() -> None:
    story = Story(chain("a"))
    story.start()
    for ending in (Kind.LANDING_DROPPED, Kind.LANDING):
        story.tell(Kind.LANDING_INTENT, data=DATA[Kind.LANDING_INTENT])
        assert story.goal.intent is not None
        story.tell(ending, data=DATA[ending])
        assert story.goal.intent is None
    assert [landing["commit"] for landing in story.goal.landings] == [commit("d")]
    assert story.goal.landings[0]["at"] == story.facts[-1].at


def test_operations_are_pending_until_they_end() -> None:
    story = Story(chain("a"))
    story.operation("land", "1-1-a")
    story.operation("sync", "2-1-b", ok=True, message="done")
    assert [operation.request for operation in story.goal.pending_operations()] == ["1-1-a"]


# -- any facts at all ---------------------------------------------------------------------------------

KINDS = [kind for kind in Kind if kind not in (Kind.OPERATION_REQUESTED, Kind.OPERATION_ENDED)]


@st.composite
def any_facts(draw: st.DrawFn) -> list[Fact]:
    pairs = st.tuples(st.sampled_from(KINDS), st.sampled_from(["a", "b", "nobody"]), st.integers(0, 3))
    facts = []
    for number, (kind, task, attempt) in enumerate(draw(st.lists(pairs, max_size=40)), 1):
        about = task if kind in ARROWS else ""
        # without an attempt there is nothing that could end: the daemon never says so
        least = 1 if kind in (Kind.ATTEMPT_STARTED, Kind.AGENT_ENDED, Kind.ATTEMPT_FAILED) else 0
        facts.append(Fact(number, float(number), "g", about, max(attempt, least), kind, DATA.get(kind, {})))
    return facts


@given(any_facts())
def test_folding_one_by_one_is_replaying(facts: list[Fact]) -> None:
    spec = Story(chain("a", "b")).spec
    goal = new_goal(spec)
    newest = {"a": 0, "b": 0}
    for count, fact in enumerate(facts, 1):
        before = copy.deepcopy(goal)
        counted = apply(goal, fact)
        if not counted:
            before.last_seq = goal.last_seq
            assert goal == before
        assert goal == replay(spec, facts[:count])
        for name, task in goal.tasks.items():
            assert goal.task_state(task) in TaskState
            assert task.attempt >= newest[name]
            newest[name] = task.attempt
            numbers = [attempt.n for attempt in task.attempts]
            assert numbers == sorted(set(numbers))
            assert task.ended == (task.state in ENDED_TASK)
        assert goal.state in GoalState
        assert has_ended(goal) == (goal.ended is not None) == (goal.state in ENDED_GOAL)
