"""What to do next: a table of snapshots, and goals played to their end with whatever may happen."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mo_daemon import requests
from mo_daemon.actions import (
    Action,
    CheckGoal,
    FinishGoal,
    Job,
    Land,
    Operate,
    PlanGoal,
    PrepareGoal,
    Record,
    RecoverAttempt,
    RecoverLanding,
    StartAttempt,
    Stop,
    attempt_key,
    keys_of,
    landing_key,
)
from mo_daemon.decide import Limits, decide, waits
from mo_daemon.riders import is_stale, riders, ungated
from mo_daemon.wake import next_wake
from mo_git.breakers import Breaker, Wait
from mo_git.config import Config
from mo_git.errors import MoError
from mo_git.goal_status import AT_WORK, OPEN_TASK, GoalStatus
from mo_git.lifecycle import apply, has_ended, new_goal, outcome
from mo_git.model import Fact, GoalSpec, GoalState, Kind, NewFact, Plan, TaskSpec, TaskState
from tests.story import Story, chain, commit

FREE = Limits(8)
NOBODY: frozenset[str] = frozenset()
RUN = ("true",)


def actions(story: Story, *busy: str, limits: Limits = FREE, now: float | None = None) -> list[Action]:
    at = story.created_at + 1000 if now is None else now
    return decide({story.id: story.goal}, frozenset(busy), limits, at)


def begun(*tasks: TaskSpec, **options: Any) -> Story:
    story = Story(tasks or chain("a", "b"), **options)
    story.start()
    return story


def recorded(action: Action) -> list[tuple[str, str]]:
    assert isinstance(action, Record)
    return [(fact.kind, fact.task) for fact in action.facts]


# -- the table ----------------------------------------------------------------------------------------

GOAL = "tidy-k3f9"


def test_a_new_goal_is_prepared_once() -> None:
    story = Story(chain("a"))
    assert actions(story) == [PrepareGoal(GOAL)]
    assert actions(story, f"prepare {GOAL}") == []


def test_a_paused_goal_is_not_even_prepared() -> None:
    story = Story(chain("a"))
    story.tell(Kind.GOAL_PAUSED)
    assert actions(story) == []


def test_only_tasks_start_whose_dependencies_are_satisfied() -> None:
    story = begun()
    assert actions(story) == [StartAttempt(GOAL, "a")]
    story.do("a")
    assert actions(story) == [StartAttempt(GOAL, "b")]


@pytest.mark.parametrize(
    "satisfied",
    [
        lambda story: story.do("a"),
        lambda story: (story.run("a"), story.tell(Kind.UNCHANGED, "a", 1, commit=story.base)),
        lambda story: story.tell(Kind.SKIPPED, "a", reason="not applicable", satisfies=True),
    ],
    ids=["landed", "unchanged", "skipped by a person"],
)
def test_what_counts_as_satisfied(satisfied: Callable[[Story], object]) -> None:
    story = begun()
    satisfied(story)
    assert actions(story) == [StartAttempt(GOAL, "b")]


def test_a_hold_stops_starts_and_nothing_else() -> None:
    story = begun(TaskSpec("a", run=RUN), TaskSpec("b", run=RUN))
    story.run("a")
    story.finish("a")
    assert actions(story, limits=Limits(8, "disk")) == [Land(GOAL)]


def test_limits_of_the_machine_the_goal_and_the_group() -> None:
    tasks = [TaskSpec(name, run=RUN, group="db" if name in "ab" else "") for name in "abcd"]
    story = Story(tuple(tasks))
    story.start()
    starts = [StartAttempt(GOAL, name) for name in "abcd"]
    assert actions(story) == starts
    assert actions(story, limits=Limits(2)) == starts[:2]
    assert actions(story, attempt_key(GOAL, "a"), limits=Limits(2)) == [starts[1]]
    assert actions(story, attempt_key("other", "x"), limits=Limits(1)) == []
    spec = GoalSpec(GOAL, "t", Plan("t", tuple(tasks), groups={"db": 1}), 1.0, story.base, parallel=3)
    goal = new_goal(spec)
    for fact in story.facts:
        apply(goal, fact)
    assert decide({GOAL: goal}, NOBODY, FREE, 0) == [starts[0], starts[2], starts[3]]


def asks(*names: str, **more: Any) -> tuple[TaskSpec, ...]:
    """Tasks in words, each for the agent that its id begins with."""
    return tuple(TaskSpec(name, prompt="p", **more) for name in names)


def crew(caps: dict[str, int] | None = None, memory: int | None = None, parallel: int = 99) -> Limits:
    return Limits(
        parallel, "", caps or {}, memory, lambda _goal, task: task.spec.id[:-1] if task else "planner"
    )


@pytest.mark.parametrize(
    ("limits", "started", "waiting"),
    [
        (crew(), "x1 x2 x3 y1 run", {}),
        (crew({"x": 2}), "x1 x2 y1 run", {Wait("2 x agents run already"): 1}),
        (crew({"x": 1, "y": 1}), "x1 y1 run", {Wait("1 x agent runs already"): 2}),
        (crew(memory=2), "x1 x2 run", {Wait("memory: room for 2 agents"): 2}),
        (crew(memory=0), "x1 run", {Wait("memory: room for 1 agent"): 3}),  # one always gets its chance
        (crew({"x": 1}, memory=9, parallel=2), "x1 y1", {Wait("1 x agent runs already"): 2}),
    ],
)
def test_agents_start_within_their_cap_and_free_memory(
    limits: Limits, started: str, waiting: dict[Wait, int]
) -> None:
    story = begun(*asks("x1", "x2", "x3", "y1"), TaskSpec("run", run=RUN))
    assert actions(story, limits=limits) == [StartAttempt(GOAL, name) for name in started.split()]
    assert waits({GOAL: story.goal}, NOBODY, limits, 3e9) == ({GOAL: waiting} if waiting else {})


def test_what_runs_counts_against_caps_and_what_just_started_against_memory() -> None:
    story = begun(*asks("x1", "x2", "x3"))
    story.tell(
        Kind.ATTEMPT_STARTED, "x1", 1, provider="x", base=story.base, branch="b", worktree="w", token="t"
    )
    busy = frozenset({attempt_key(GOAL, "x1")})

    def held(limits: Limits, seconds: float, *more: str) -> dict[str, dict[Wait, int]]:
        return waits({GOAL: story.goal}, busy | set(more), limits, story.goal.tasks["x1"].since + seconds)

    assert held(crew({"x": 1}), 0) == {GOAL: {Wait("1 x agent runs already"): 2}}
    assert held(crew({"x": 2}), 0, attempt_key(GOAL, "x2")) == {GOAL: {Wait("2 x agents run already"): 1}}
    promised = {Wait("memory: room for 1 agent"): 2}
    assert held(crew(memory=1), 0) == {GOAL: promised}
    assert held(crew(memory=1), 60) == {GOAL: {Wait("memory: room for 2 agents"): 1}}
    story.tell(Kind.AGENT_ENDED, "x1", 1, exit_code=0, seconds=1.0, timed_out=False)
    assert held(crew({"x": 1}), 0) == {GOAL: {Wait("1 x agent runs already"): 1}}  # a check is no agent


def test_a_planner_is_an_agent_and_a_hold_is_no_wait() -> None:
    story = Story((), wants_plan=True)
    story.start()
    assert actions(story, "plan other", limits=crew({"planner": 1})) == [PlanGoal(GOAL)]
    other = Story((), id="other-0001", wants_plan=True)
    other.start()
    both = {GOAL: story.goal, other.id: other.goal}
    limits = crew({"planner": 1})
    assert len(decide(both, NOBODY, limits, 3e9)) == 1
    assert decide(both, frozenset({f"plan {GOAL}"}), limits, 3e9) == []
    assert waits({GOAL: begun(*asks("x1")).goal}, NOBODY, Limits(8, "disk", {"x": 0}), 3e9) == {}


def test_a_full_group_and_a_full_agent_do_not_hold_each_other_back() -> None:
    tasks = (*asks("x1", group="db"), TaskSpec("run", run=RUN, group="db"))
    spec = GoalSpec(GOAL, "t", Plan("t", tasks, groups={"db": 1}), 1.0, "b" * 40)
    story, goal = begun(*tasks), new_goal(spec)
    for fact in story.facts:
        apply(goal, fact)
    assert decide({GOAL: goal}, NOBODY, crew({"x": 0}), 3e9) == [StartAttempt(GOAL, "run")]


def test_older_goals_first_then_priority_then_what_holds_up_most() -> None:
    younger = begun(TaskSpec("a", run=RUN), id="young-0001", created_at=2_000_000_000.0)
    older = begun(
        TaskSpec("leaf", run=RUN),
        TaskSpec("root", run=RUN),
        TaskSpec("after", run=RUN, depends_on=("root",)),
        TaskSpec("first", run=RUN, priority=5),
        id="old-0001",
    )
    goals = {story.id: story.goal for story in (younger, older)}
    wanted = [("old-0001", "first"), ("old-0001", "root"), ("old-0001", "leaf"), ("young-0001", "a")]
    assert decide(goals, NOBODY, FREE, 3e9) == [StartAttempt(*one) for one in wanted]


def test_a_retry_waits_for_its_time() -> None:
    story = begun(TaskSpec("a", run=RUN))
    story.run("a")
    story.tell(Kind.ATTEMPT_FAILED, "a", 1, {"class": "crash", "reason": "x"})
    story.tell(Kind.RETRY_SCHEDULED, "a", 1, not_before=story.created_at + 100, why="x")
    assert actions(story, now=story.created_at + 99) == []
    assert next_wake({GOAL: story.goal}, story.created_at + 99) == story.created_at + 100
    assert actions(story, now=story.created_at + 100) == [StartAttempt(GOAL, "a")]
    assert next_wake({GOAL: story.goal}, story.created_at + 100) is None


def test_what_nobody_runs_is_recovered() -> None:
    story = begun(TaskSpec("a", run=RUN), TaskSpec("b", run=RUN))
    story.run("a")
    story.run("b")
    story.finish("b")
    story.tell(Kind.GATE_STARTED, "b", 1, commit=commit("d"), head=story.base)
    assert actions(story) == [RecoverLanding(GOAL), RecoverAttempt(GOAL, "a")]
    assert actions(story, attempt_key(GOAL, "a"), landing_key(GOAL)) == []


def test_an_intent_is_recovered_before_anything_else_lands() -> None:
    story = begun(TaskSpec("a", run=RUN))
    story.run("a")
    story.finish("a")
    story.tell(Kind.LANDING_INTENT, commit=commit("d"), tree=commit("7"), head=story.base, tasks=["a"])
    assert actions(story) == [RecoverLanding(GOAL)]


def test_a_recovery_is_not_stopped() -> None:
    """It records what became of the attempt, else it would begin again and again."""
    story = begun(TaskSpec("a", run=RUN), TaskSpec("b", run=RUN, depends_on=("a",)))
    story.run("a")
    story.finish("a")
    place = {"token": "t", "base": story.base, "upon": {"a": commit("c")}}
    story.tell(Kind.ATTEMPT_STARTED, "b", 1, place)
    story.tell(Kind.GATE_STARTED, "a", 1, commit=commit("d"), head=story.base)
    story.tell(Kind.EJECTED, "a", 1, why="gate red", evidence={})
    (recovery,) = actions(story)
    assert recovery == RecoverAttempt(GOAL, "b")
    assert actions(story, *recovery.keys) == []
    assert actions(story, attempt_key(GOAL, "b")) == [Stop(attempt_key(GOAL, "b"))]


def test_dependents_of_a_failure_are_skipped_with_the_reason() -> None:
    story = begun(*chain("a", "b", "c"), TaskSpec("d", run=RUN))
    story.run("a")
    story.fail("a", "no")
    first, *rest = actions(story)
    assert isinstance(first, Record)
    assert [(fact.task, fact.data["reason"]) for fact in first.facts] == [
        ("b", "a failed"),
        ("c", "b skipped"),
    ]
    assert rest == [StartAttempt(GOAL, "d")]


def test_cancel_stops_what_runs_then_ends() -> None:
    story = begun()
    story.run("a")
    story.tell(Kind.CANCEL_REQUESTED, reason="enough")
    assert actions(story, attempt_key(GOAL, "a")) == [Stop(attempt_key(GOAL, "a"))]
    story.tell(Kind.ATTEMPT_FAILED, "a", 1, {"class": "cancelled", "reason": "enough"})
    story.tell(Kind.TASK_CANCELLED, "a", 1, reason="enough")
    (end,) = actions(story)
    assert recorded(end) == [(Kind.TASK_CANCELLED, "b"), (Kind.GOAL_ENDED, "")]


def test_a_failed_set_up_halts_when_nothing_runs_any_more() -> None:
    story = begun(TaskSpec("a", run=RUN), TaskSpec("b", run=RUN))
    story.run("a")
    story.tell(Kind.SETUP_FAILED, reason="npm: not found")
    assert actions(story, attempt_key(GOAL, "a")) == []
    story.tell(Kind.ATTEMPT_FAILED, "a", 1, {"class": "setup_failed", "reason": "x"})
    story.tell(Kind.RETRY_SCHEDULED, "a", 1, not_before=0.0, why="x")
    (end,) = actions(story)
    assert isinstance(end, Record)
    assert [dict(fact.data) for fact in end.facts] == [{"state": "halted", "reason": "npm: not found"}]


def test_the_goals_check_comes_before_its_end() -> None:
    tasks = chain("a")
    spec = GoalSpec(GOAL, "t", Plan("t", tasks, check="make check"), 1.0, commit("b"))
    told = begun(*tasks)
    told.do("a")
    goal = new_goal(spec)
    for fact in told.facts:
        apply(goal, fact)
    assert decide({GOAL: goal}, NOBODY, FREE, 0) == [CheckGoal(GOAL)]
    apply(goal, Fact(99, 0, GOAL, "", 0, Kind.GOAL_CHECKED, {"passed": True, "commit": goal.integration}))
    assert decide({GOAL: goal}, NOBODY, FREE, 0) == [FinishGoal(GOAL)]


def test_operations_also_of_an_ended_goal_and_one_per_lane() -> None:
    stories = [begun(*chain("a"), id=f"goal-000{n}") for n in (1, 2)]
    for story in stories:
        story.do("a")
        story.end("done")
        story.operation("land", f"request-{story.id}")
    goals = {story.id: story.goal for story in stories}
    first = Operate("goal-0001", "request-goal-0001", "main")
    assert decide(goals, NOBODY, FREE, 0) == [first]
    second = Operate("goal-0002", "request-goal-0002", "main")
    assert decide({"goal-0002": goals["goal-0002"]}, NOBODY, FREE, 0) == [second]


@pytest.mark.parametrize(
    ("ends", "wanted"),
    [
        ("", []),
        ("done", [PrepareGoal("next-0001")]),
        ("failed", "the goal it depends on, tidy-k3f9, ended failed"),
        ("halted", "the goal it depends on, tidy-k3f9, ended halted"),
    ],
)
def test_a_goal_waits_for_the_one_it_depends_on(ends: str, wanted: object) -> None:
    earlier = begun(*chain("a"))
    earlier.run("a")
    if ends:
        earlier.fail("a", "x") if ends == "failed" else None
        earlier.end(ends)
    spec = GoalSpec(
        "next-0001", "next", Plan("next", chain("x")), earlier.created_at + 1, earlier.base, depends_on=GOAL
    )
    goals = {GOAL: earlier.goal, "next-0001": new_goal(spec)}
    done = decide(goals, frozenset({attempt_key(GOAL, "a")}), FREE, 0)
    if isinstance(wanted, list):
        assert done == wanted
    else:
        (end,) = done
        assert isinstance(end, Record)
        assert [dict(fact.data) for fact in end.facts] == [{"state": "failed", "reason": wanted}]


def test_keys_tell_goals_with_a_common_beginning_apart() -> None:
    story = Story(chain("a"), id="tidy")
    assert keys_of(story.goal, ["attempt tidy-k3f9/a", "landing tidy", "lane main", "attempt tidy/a"]) == [
        "landing tidy",
        "attempt tidy/a",
    ]


# -- goals played to their end ------------------------------------------------------------------------


@dataclass
class Play:
    """A world in which jobs end as a die says, daemons are killed, and people ask for things."""

    die: random.Random
    goals: dict[str, GoalStatus]
    limits: Limits
    kills: int = 3
    wishes: int = 4
    now: float = 10.0
    seq: int = 0
    first: dict[str, str] = field(default_factory=dict)  # goal -> the candidate that its train begins with
    running: dict[frozenset[str], Job] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)

    # what requests may ask (requests.Desk)

    def goal(self, goal_id: str) -> GoalStatus:
        return self.goals[goal_id]

    def has_goal(self, goal_id: str) -> bool:
        return goal_id in self.goals

    def adopt(self, spec: GoalSpec) -> None:
        raise AssertionError("nobody asks for a new goal here")

    def record(self, facts: Iterable[NewFact]) -> None:
        for new in facts:
            self.seq += 1
            fact = Fact(self.seq, self.now, new.goal, new.task, new.attempt, new.kind, new.data)
            effect = apply(self.goals[new.goal], fact)
            self.log.append(f"{new.goal} {new.kind} {new.task}#{new.attempt} {dict(new.data)} {effect}")

    def stop_job(self, key: str) -> None:
        self.stopped.add(key)

    def start_chore(self, request: str, verb: str, payload: Mapping[str, Any]) -> None:
        raise AssertionError("chores belong to no goal")

    def check_settings(self) -> Config:
        return Config()

    # the world

    @property
    def busy(self) -> frozenset[str]:
        return frozenset(key for keys in self.running for key in keys)

    def tick(self) -> bool:
        """As the engine does it; whether there was anything to do."""
        wanted = decide(self.goals, self.busy, self.limits, self.now)
        new_keys = [key for action in wanted if not isinstance(action, Record | Stop) for key in action.keys]
        assert len(new_keys) == len(set(new_keys)), "two jobs with one key"
        assert not self.busy.intersection(new_keys), "a job that runs already"
        for action in wanted:
            if isinstance(action, Record):
                self.record(action.facts)
            elif isinstance(action, Stop):
                self.stop_job(action.key)
            else:
                self.start(action)
        return bool(wanted)

    def start(self, job: Job) -> None:
        self.log.append(f"start {job}")
        goal = self.goals[job.goal]
        if isinstance(job, StartAttempt):
            task = goal.tasks[job.task]
            upon = ungated(goal, task)
            assert upon is not None, "dependencies"
            assert not upon or self.limits.speculate == "always"
            assert not self.limits.hold
            assert not goal.paused
            assert not has_ended(goal)
            attempts = sum(
                isinstance(other, StartAttempt | RecoverAttempt) for other in self.running.values()
            )
            assert attempts < self.limits.parallel
            group, sizes = task.spec.group, goal.spec.plan.groups
            at_work = [one for one in goal.tasks.values() if one.state in AT_WORK and one.spec.group == group]
            assert group not in sizes or len(at_work) < sizes[group], "group"
            branch = f"mo/{goal.id}/{job.task}"
            place = {"token": "t", "branch": branch, "worktree": f"/w/{job.task}"}
            contained = {one.spec.id: one.commit for one in upon}
            data = {**place, "base": goal.integration, "upon": contained}
            self.tell(job, Kind.ATTEMPT_STARTED, task.attempt + 1, data)
        if isinstance(job, Land):
            self.first[job.goal] = min(riders(goal, {}), key=lambda one: (len(one.needs), one.task)).task
            assert goal.tasks[self.first[job.goal]].state is TaskState.CANDIDATE
            assert not [
                name for name in goal.tasks[self.first[job.goal]].upon if goal.tasks[name].state in OPEN_TASK
            ]
            self.tell(job, Kind.GATE_STARTED, data={"commit": "c", "head": goal.integration})
        self.running[job.keys] = job

    def tell(self, job: Any, kind: Kind, n: int = 0, data: Mapping[str, Any] | None = None) -> None:
        name = self.first[job.goal] if isinstance(job, Land) else getattr(job, "task", "")
        number = n or (self.goals[job.goal].tasks[name].attempt if name else 0)
        self.record([NewFact(job.goal, kind, data or {}, name, number)])

    def end_one(self) -> None:
        """A job that runs ends, well or badly; one that was told to stop does so."""
        keys = self.die.choice(sorted(self.running, key=sorted))
        job = self.running.pop(keys)
        stopped = bool(self.stopped & keys)
        self.stopped -= keys
        getattr(self, "end_" + type(job).__name__)(job, stopped)

    def end_PrepareGoal(self, job: PrepareGoal, stopped: bool) -> None:
        if stopped:
            return
        if self.die.random() < 0.1:
            self.tell(job, Kind.SETUP_FAILED, data={"reason": "gate not proved"})
        else:
            self.tell(job, Kind.GOAL_STARTED, data={"base": "0" * 40})

    def end_StartAttempt(self, job: StartAttempt, stopped: bool) -> None:
        goal = self.goals[job.goal]
        task = goal.tasks[job.task]
        if stopped:
            self.tell(job, Kind.ATTEMPT_FAILED, data={"class": "cancelled", "reason": "x"})
            follow = Kind.TASK_CANCELLED if goal.cancelling else Kind.RETRY_SCHEDULED
            self.tell(job, follow, data={"reason": "x", "not_before": self.now, "why": "x"})
            return
        if self.die.random() < 0.8:
            self.tell(job, Kind.AGENT_ENDED, data={"exit_code": 0})
        match self.die.choice(["candidate"] * 4 + ["unchanged", "skipped", "failed", "failed", "set-up"]):
            case "candidate":
                self.tell(
                    job,
                    Kind.CANDIDATE,
                    data={"commit": f"{task.spec.id}{task.attempt}", "tree": "t", "paths": ["p"]},
                )
            case "unchanged":
                self.tell(job, Kind.UNCHANGED, data={"commit": "c"})
            case "skipped":
                self.tell(job, Kind.SKIPPED, data={"reason": "when", "satisfies": True})
            case "failed":
                self.tell(job, Kind.ATTEMPT_FAILED, data={"class": "crash", "reason": "x"})
                if len(task.failures) < 3:
                    later = self.now + self.die.choice([0, 5])
                    self.tell(job, Kind.RETRY_SCHEDULED, data={"not_before": later, "why": "x"})
                else:
                    self.tell(job, Kind.FAILED, data={"class": "crash", "reason": "x"})
            case _:
                self.tell(job, Kind.ATTEMPT_FAILED, data={"class": "setup_failed", "reason": "x"})
                self.tell(job, Kind.RETRY_SCHEDULED, data={"not_before": self.now, "why": "x"})
                self.record([NewFact(job.goal, Kind.SETUP_FAILED, {"reason": "x"})])

    def end_RecoverAttempt(self, job: RecoverAttempt, stopped: bool) -> None:
        if not stopped:
            self.tell(job, Kind.ATTEMPT_FAILED, data={"class": "lost", "reason": "x"})
            self.tell(job, Kind.RETRY_SCHEDULED, data={"not_before": self.now, "why": "x"})

    def end_Land(self, job: Land, stopped: bool) -> None:
        task = self.goals[job.goal].tasks[self.first[job.goal]]
        result = (
            "drop" if stopped else self.die.choice(["land"] * 5 + ["eject", "conflict", "hold", "intent"])
        )
        if is_stale(self.goals[job.goal], task):
            moved = f"{task.commit}'"
            self.tell(job, Kind.REBASED, data={"commit": moved, "tree": "t", "base": "b"})
        redo = {"conflict": {"paths": [], "with": [], "resolution": "redo"}}
        data: dict[str, Any] = {"commit": "d", "tree": "t", "tasks": [task.spec.id], "why": "x", "paths": []}
        match result:
            case "drop":
                self.tell(job, Kind.GATE_DROPPED, data=data)
            case "land":
                self.record([NewFact(job.goal, Kind.LANDING_INTENT, data)])
                self.landed(job.goal, task.spec.id)
            case "intent":  # the ledger was full after the ref had moved, say
                self.record([NewFact(job.goal, Kind.LANDING_INTENT, data)])
            case "eject":
                self.tell(job, Kind.EJECTED, data=data)
            case "conflict" if task.redone:
                self.tell(job, Kind.CONFLICT, data=data)
            case "conflict":
                self.tell(job, Kind.RETRY_SCHEDULED, data={"not_before": self.now, "why": "x", **redo})
            case _:
                self.tell(job, Kind.HELD, data={"reason": "unknown"})

    def landed(self, goal: str, task: str) -> None:
        data = {"commit": "d", "tree": "t", "tasks": [task], "purpose": "task"}
        attempt = self.goals[goal].tasks[task].attempt
        self.record([NewFact(goal, Kind.LANDING, data), NewFact(goal, Kind.LANDED, data, task, attempt)])

    def end_RecoverLanding(self, job: RecoverLanding, stopped: bool) -> None:
        goal = self.goals[job.goal]
        if goal.intent is not None and self.die.random() < 0.5:
            self.landed(goal.id, goal.intent["tasks"][0])
            return
        if goal.intent is not None:
            self.record([NewFact(goal.id, Kind.LANDING_DROPPED, {"commit": "d"})])
        for task in goal.tasks.values():
            if task.state is TaskState.GATING:
                self.record([NewFact(goal.id, Kind.GATE_DROPPED, {}, task.spec.id, task.attempt)])

    def end_CheckGoal(self, job: CheckGoal, stopped: bool) -> None:
        if not stopped:
            passed, head = self.die.random() < 0.7, self.goals[job.goal].integration
            self.tell(job, Kind.GOAL_CHECKED, data={"passed": passed, "commit": head, "reason": "x"})

    def end_FinishGoal(self, job: FinishGoal, stopped: bool) -> None:
        goal = self.goals[job.goal]
        if not stopped and all(task.ended for task in goal.tasks.values()):
            state, reason = outcome(goal)
            self.tell(job, Kind.GOAL_ENDED, data={"state": state, "reason": reason})

    def end_Operate(self, job: Operate, stopped: bool) -> None:
        goal = self.goals[job.goal]
        landed = [task.spec.id for task in goal.tasks.values() if task.state is TaskState.LANDED]
        if goal.operations[job.request].name == "rollback" and landed and not stopped:
            names = [self.die.choice(landed)]
            data = {"commit": "r", "tree": "t", "tasks": [], "purpose": "rollback"}
            out = [NewFact(goal.id, Kind.EJECTED, {"why": "taken back"}, name) for name in names]
            self.record([NewFact(goal.id, Kind.LANDING, data), *out])
        self.tell(job, Kind.OPERATION_ENDED, data={"request": job.request, "ok": True})

    # a daemon that is killed; people

    def kill(self) -> None:
        self.log.append("-- killed --")
        self.running.clear()
        self.stopped.clear()
        self.limits = replace(self.limits, hold="")

    def wish(self) -> None:
        goal = self.die.choice(sorted(self.goals))
        verb = self.die.choice(
            ["pause", "resume", "resume", "cancel", "retry", "retry", "skip", "rollback", "land"]
        )
        task = self.die.choice(sorted(self.goals[goal].tasks))
        payload = {"goal": goal} | ({"task": task} if verb in ("skip", "rollback") else {})
        answer = requests.handle(self, f"wish-{self.wishes}", verb, payload)
        self.log.append(f"-- {verb} {payload}: {answer}")

    def play(self) -> None:
        for _ in range(4000):
            moved = self.tick()
            chance = self.die.random()
            if self.kills and chance < 0.03:
                self.kills -= 1
                self.kill()
            elif self.wishes and chance > 0.95:
                self.wishes -= 1
                self.wish()
            elif self.running:
                self.end_one()
            elif not moved and not self.pass_time():
                return
        raise AssertionError("it never ends")

    def pass_time(self) -> bool:
        """Nothing to do now: wait for a retry, take a hold away, resume what is paused; else it is over."""
        wake = next_wake(self.goals, self.now)
        if self.limits.hold:
            self.limits = replace(self.limits, hold="")
        elif wake is not None:
            self.now = wake
        elif paused := [goal for goal in self.goals.values() if goal.paused and not has_ended(goal)]:
            requests.handle(self, "wake", "resume", {"goal": paused[0].id})
        else:
            return False
        return True


NAMES = "abcdefg"
PATHS = ("src/**", "docs/*.md", "src/api.py")


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """DAGs whose tasks are listed in any order."""
    names = list(NAMES[: draw(st.integers(1, 6))])
    tasks = [
        TaskSpec(
            name,
            run=RUN,
            depends_on=tuple(dep for dep in names[:i] if draw(st.integers(0, 3)) == 0),
            writes=draw(st.sampled_from([None, *((path,) for path in PATHS)])),
            group=draw(st.sampled_from(["", "", "db"])),
            priority=draw(st.integers(0, 1)),
        )
        for i, name in enumerate(names)
    ]
    return Plan(
        "play",
        tuple(draw(st.permutations(tasks))),
        check=draw(st.sampled_from([None, "true"])),
        groups={"db": 1} if draw(st.booleans()) else {},
        error_policy=draw(st.sampled_from(["skip_dependents", "fail_fast"])),
    )


@given(
    goals=st.lists(plans(), min_size=1, max_size=3),
    seed=st.integers(0, 2**32),
    parallel=st.integers(1, 4),
    serialize=st.booleans(),
    hold=st.sampled_from(["", "disk"]),
    speculate=st.sampled_from(["off", "always"]),
)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_goal_ends_whatever_happens(
    goals: list[Plan], seed: int, parallel: int, serialize: bool, hold: str, speculate: str
) -> None:
    """No deadlock, no endless loop, no second job with one key, no start before its dependencies."""
    statuses = {}
    for number, made in enumerate(goals):
        before = f"goal-{number - 1}" if number and seed % 2 else ""
        spec = GoalSpec(
            f"goal-{number}",
            "play",
            made,
            float(number),
            "0" * 40,
            parallel=parallel if seed % 3 else None,
            depends_on=before,
            serialize_overlaps=serialize,
        )
        statuses[spec.id] = new_goal(spec)
    play = Play(random.Random(seed), statuses, Limits(parallel, hold, speculate=speculate))
    try:
        play.play()
        for goal in play.goals.values():
            assert has_ended(goal), f"{goal.id} is {goal.state} and nothing is left to do"
            assert goal.pending_operations() == []
            if goal.state in (GoalState.DONE, GoalState.FAILED) and goal.started_at is not None:
                assert all(task.ended for task in goal.tasks.values())
                taken_back = any(one.name == "rollback" for one in goal.operations.values())
                assert taken_back or goal.state is outcome(goal)[0]
    except (AssertionError, MoError, KeyError, IndexError) as error:
        raise AssertionError("\n".join([str(error), *play.log[-40:]])) from error


# -- planning -----------------------------------------------------------------------------------------


def in_words(**options: Any) -> Story:
    """A started goal that an agent has to plan."""
    story = Story((), wants_plan=True, **options)
    story.start()
    return story


def tell_plan(story: Story, *ids: str) -> None:
    tasks = [{"id": name, "prompt": "do it"} for name in ids]
    story.tell(Kind.PLANNED, n=1, plan={"goal": "t", "task": tasks}, assumptions=["none"])


def test_a_goal_in_words_is_prepared_then_planned_then_done() -> None:
    story = Story((), wants_plan=True)
    assert (story.goal.state, actions(story)) == ("queued", [PrepareGoal(GOAL)])
    story.start()
    assert (story.goal.state, actions(story)) == ("planning", [PlanGoal(GOAL)])
    assert actions(story, f"plan {GOAL}") == []
    assert actions(story, limits=Limits(8, "disk")) == []
    assert actions(story, attempt_key("other", "x"), limits=Limits(1)) == []
    tell_plan(story, "a")
    assert (story.goal.state, actions(story)) == ("running", [StartAttempt(GOAL, "a")])


def test_planning_counts_as_one_agent() -> None:
    story = begun(TaskSpec("a", run=RUN))
    assert actions(story, "plan other", limits=Limits(1)) == []


def test_a_failed_look_waits_for_its_time() -> None:
    story = in_words()
    failed = {"n": 1, "provider": "claude", "class": "rate_limit", "reason": "429", "not_before": 3e9}
    story.tell(Kind.PLAN_FAILED, data=failed)
    assert actions(story, now=2.9e9) == []
    assert next_wake({GOAL: story.goal}, 2.9e9) == 3e9
    assert actions(story, now=3e9) == [PlanGoal(GOAL)]


def test_planning_waits_for_its_provider() -> None:
    story = in_words()
    shut = Limits(8, agent_of=lambda _goal, _task: "x", breakers={"x": Breaker(1, "usage_limit", 3e9)})
    assert actions(story, limits=shut, now=2.9e9) == []
    assert waits({GOAL: story.goal}, NOBODY, shut, 2.9e9) == {GOAL: {Wait("x: usage limit", 3e9): 0}}
    assert next_wake({GOAL: story.goal}, 2.9e9, shut.breakers) == 3e9
    assert actions(story, limits=shut, now=3e9) == [PlanGoal(GOAL)]


@pytest.mark.parametrize(
    ("kind", "state"), [(Kind.SETUP_FAILED, "halted"), (Kind.BUDGET_SPENT, "over_budget")]
)
def test_what_stops_planning_ends_the_goal_until_it_is_resumed(kind: Kind, state: str) -> None:
    story = in_words()
    story.tell(Kind.PLAN_REFUSED, n=1, provider="claude", errors=["no"])
    story.tell(kind, reason="enough")
    assert actions(story, f"plan {GOAL}") == []
    (end,) = actions(story)
    assert recorded(end) == [(Kind.GOAL_ENDED, "")]
    story.end(state, "enough")
    story.tell(Kind.GOAL_REOPENED, why="resumed")
    assert (story.goal.state, story.goal.planning.refusals) == ("planning", [])
    assert actions(story) == [PlanGoal(GOAL)]


def test_a_pause_and_a_cancel_while_planning() -> None:
    story = in_words()
    story.tell(Kind.GOAL_PAUSED)
    assert actions(story) == []
    story.tell(Kind.CANCEL_REQUESTED, reason="no longer wanted")
    assert actions(story, f"plan {GOAL}") == [Stop(f"plan {GOAL}")]
    (end,) = actions(story)
    assert recorded(end) == [(Kind.GOAL_ENDED, "")]


def test_nothing_runs_until_a_person_approves() -> None:
    story = in_words(approve=True)
    tell_plan(story, "a")
    assert (story.goal.state, actions(story)) == ("awaiting_approval", [])
    story.tell(Kind.PLAN_APPROVED)
    assert (story.goal.state, actions(story)) == ("running", [StartAttempt(GOAL, "a")])


def test_questions_wait_for_their_answers() -> None:
    story = in_words(ask=True)
    story.tell(Kind.PLAN_STARTED, n=1, provider="claude")
    assert story.tell(Kind.PLAN_ASKED, n=1, provider="claude", questions=["Which?", "Why?"])
    assert (story.goal.state, actions(story)) == ("awaiting_approval", [])
    assert not story.tell(Kind.PLAN_ANSWERED, answers=["one"])  # too few: which is which?
    assert story.goal.planning.questions == ("Which?", "Why?")
    assert story.tell(Kind.PLAN_ANSWERED, answers=["This.", ""])
    assert story.goal.planning.answered == (("Which?", "This."), ("Why?", ""))
    assert (story.goal.state, actions(story)) == ("planning", [PlanGoal(GOAL)])
    assert not story.tell(Kind.PLAN_ANSWERED, answers=["This.", ""])  # the same again
    tell_plan(story, "a")
    assert actions(story) == [StartAttempt(GOAL, "a")]


def test_a_goal_with_open_questions_can_be_paused_and_cancelled() -> None:
    story = in_words(ask=True)
    story.tell(Kind.PLAN_ASKED, n=1, questions=["Which?"])
    story.tell(Kind.GOAL_PAUSED)
    story.tell(Kind.PLAN_ANSWERED, answers=[""])
    assert (story.goal.state, actions(story)) == ("paused", [])
    story.tell(Kind.GOAL_RESUMED)
    story.tell(Kind.PLAN_ASKED, n=2, questions=["Which?"])
    story.tell(Kind.CANCEL_REQUESTED, reason="no longer wanted")
    (end,) = actions(story)
    assert recorded(end) == [(Kind.GOAL_ENDED, "")]


def test_a_second_plan_comes_too_late() -> None:
    story = in_words()
    tell_plan(story, "a")
    assert not story.tell(Kind.PLANNED, n=2, plan={"goal": "t", "task": [{"id": "b", "prompt": "x"}]})
    assert list(story.goal.tasks) == ["a"]
