"""The engine in this process, on real repositories: no daemon process, no lock, no signals."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mo_daemon import requests
from mo_daemon.engine import Engine
from mo_daemon.main import load_settings, make_services
from mo_git import process
from mo_git.goal_status import GoalStatus
from mo_git.ledger.records import goal_to_data
from mo_git.ledger.writer import Ledger, LedgerBroken, LedgerFull
from mo_git.lifecycle import has_ended
from mo_git.model import GoalSpec, Kind, NewFact, Plan, TaskSpec
from tests.driver import Mo
from tests.support import RepoBuilder

T = TypeVar("T")
Script = Callable[[Engine], Awaitable[T]]
GATE = {"command": "test ! -e red", "proof": "off"}


class World:
    """Engines for one repository, one after another."""

    def __init__(self, repo: RepoBuilder) -> None:
        self.mo = Mo(repo)
        self.repo = repo
        self.home = self.mo.home
        self.home.create()
        self.configure()

    def configure(self, **tables: Mapping[str, Any]) -> None:
        quick = {"tick_seconds": 0.05, "max_parallel": 4}
        orchestrator = {**quick, **tables.pop("orchestrator", {})}
        self.mo.configure(**{"gate": GATE, "orchestrator": orchestrator, **tables})

    def queue(self, *tasks: TaskSpec, goal: str = "goal-0001", base: str = "", **options: Any) -> str:
        """Put a goal into the inbox; its id."""
        plan = Plan(goal, tasks, **options.pop("plan", {}))
        environment = {"PATH": os.environ["PATH"]}
        spec = GoalSpec(
            goal, goal, plan, time.time(), base or self.repo.head(), environment=environment, **options
        )
        self.home.drop("do", {"goal": goal_to_data(spec)})
        return goal

    def ask(self, verb: str, goal: str = "goal-0001", **payload: Any) -> str:
        return self.home.drop(verb, {"goal": goal, **payload})

    def run(self, script: Script[T]) -> T:
        """Let a script use an engine; afterwards the engine ends as the daemon does."""
        return asyncio.run(self._run(script))

    async def _run(self, script: Script[T]) -> T:
        process.become_subreaper()
        with ThreadPoolExecutor(2) as threads:
            ledger = Ledger(self.home.database)
            settings = load_settings(self.home, os.environ)
            services = make_services(self.home, os.environ, settings, ledger, threads)

            def reload() -> None:
                services.settings = load_settings(self.home, os.environ).config

            engine = Engine(services, {"pid": os.getpid(), "version": "0", "started_at": 0.0}, reload)
            try:
                return await asyncio.wait_for(script(engine), 60)
            finally:
                engine.stop()
                await engine.end_jobs(10)
                ledger.close()

    def to_the_end(self) -> dict[str, GoalStatus]:
        """Run until nothing is left to do."""
        return self.run(until_idle)

    def outcome(self, request: str) -> dict[str, Any]:
        ledger = Ledger(self.home.database)
        rows = ledger._rows("SELECT outcome FROM requests WHERE name = ?", (request,))
        ledger.close()
        found: dict[str, Any] = json.loads(rows[0][0])
        return found

    def hold(self) -> Any:
        status = self.home.read_status()
        assert status is not None
        return status["limits"]["hold"]


async def until_idle(engine: Engine) -> dict[str, GoalStatus]:
    await engine.run(lambda: -1.0)
    return engine.goals


@contextmanager
def running(engine: Engine) -> Iterator[Callable[[Callable[[], bool]], Awaitable[None]]]:
    """The engine runs meanwhile; yields a way to wait for something."""
    job = asyncio.get_running_loop().create_task(engine.run(lambda: 1e9))

    async def until(condition: Callable[[], bool]) -> None:
        while not condition():
            assert not job.done(), job.exception()
            await asyncio.sleep(0.01)

    try:
        yield until
    finally:
        engine.stop()


@pytest.fixture
def world(repo: RepoBuilder) -> World:
    return World(repo)


def sh(name: str, script: str, *needs: str, **more: Any) -> TaskSpec:
    return TaskSpec(name, run=("sh", "-c", script), depends_on=needs, **more)


def write(name: str, *needs: str) -> TaskSpec:
    return sh(name, f"echo {name} > {name}.txt", *needs)


def wait_for_file(path: Path) -> str:
    return f"while [ ! -e {path} ]; do sleep 0.01; done"


def states(goal: GoalStatus) -> dict[str, str]:
    return {name: str(task.state) for name, task in goal.tasks.items()}


# -- a full disk --------------------------------------------------------------------------------------


def fill(ledger: Ledger) -> None:
    """No page more, and no room in those that there are."""
    pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
    ledger._db.execute(f"PRAGMA max_page_count = {pages}")
    for size in (2000, 200, 1):
        while True:
            try:
                ledger.append([NewFact("filler", Kind.GATE_RUN, {"x": "y" * size})], 0.0)
            except LedgerFull:
                break


def test_facts_of_finished_work_wait_for_room(world: World, tmp_path: Path) -> None:
    """Nothing new starts, status says why, and it goes on by itself; the work is not done twice."""
    go = tmp_path / "go"
    world.configure(orchestrator={"max_parallel": 1})
    goal = world.queue(sh("a", f"{wait_for_file(go)}; echo a > a.txt"), write("b"))

    async def script(engine: Engine) -> GoalStatus:
        with running(engine) as until:
            await until(lambda: goal in engine.goals and states(engine.goals[goal])["a"] == "running")
            await until(lambda: (engine.services.state / "tasks/1/.git").exists())
            fill(engine.services.ledger)
            go.touch()
            await until(lambda: "facts wait for it" in engine.book.why_not())
            for _ in range(5):
                engine.look()
                await asyncio.sleep(0.02)
            assert states(engine.goals[goal]) == {"a": "running", "b": "pending"}
            hold = world.hold()
            assert hold.startswith(f"cannot write {world.home.database}: no space left")
            assert "facts wait for it" in hold
            request = world.ask("pause")  # waits in the inbox
            engine.look()
            await asyncio.sleep(0.05)
            assert [one.name for one in world.home.requests()[0]] == [request]
            world.home.forget(request)
            engine.services.ledger._db.execute("PRAGMA max_page_count = 1000000")
            await until(lambda: has_ended(engine.goals[goal]))
            await until(lambda: world.hold() == "")
        return engine.goals[goal]

    ended = world.run(script)
    assert states(ended) == {"a": "landed", "b": "landed"}
    assert [task.attempt for task in ended.tasks.values()] == [1, 1]


def test_a_landing_that_cannot_be_noted_does_not_happen(world: World, tmp_path: Path) -> None:
    go = tmp_path / "signals/go"
    go.parent.mkdir()
    world.configure(
        gate={"command": f"test ! -e a.txt || {{ {wait_for_file(go)}; }}", "proof": "off"},
        sandbox={"read": [str(go.parent)]},
    )
    goal = world.queue(write("a"))

    async def script(engine: Engine) -> GoalStatus:
        with running(engine) as until:
            await until(lambda: goal in engine.goals and states(engine.goals[goal])["a"] == "gating")
            fill(engine.services.ledger)
            go.touch()
            await until(lambda: bool(engine.book.why_not()))
            assert world.repo.head(f"mo/{goal}/integration") == engine.goals[goal].base
            engine.services.ledger._db.execute("PRAGMA max_page_count = 1000000")
            await until(lambda: has_ended(engine.goals[goal]))
        return engine.goals[goal]

    ended = world.run(script)
    assert states(ended) == {"a": "landed"}
    assert world.repo.head(f"mo/{goal}/integration") == ended.integration


def test_a_ledger_that_breaks_ends_the_engine(world: World, tmp_path: Path) -> None:
    """And what runs is ended, its work kept in git."""
    goal = world.queue(sh("a", f"echo half > a.txt; {wait_for_file(tmp_path / 'never')}"))

    async def script(engine: Engine) -> None:
        job = asyncio.get_running_loop().create_task(engine.run(lambda: 1e9))
        while not list(engine.services.state.glob("tasks/*/a.txt")):
            await asyncio.sleep(0.01)
        ledger = engine.services.ledger
        ledger._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ledger._db.execute("PRAGMA cache_size = 0")
        with world.home.database.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (world.home.database.stat().st_size - 4096))
        world.ask("pause")
        engine.look()
        with pytest.raises(LedgerBroken, match="malformed"):
            await job

    world.run(script)
    assert world.mo.programs() == []
    kept = f"refs/mo/keep/{goal}/a/1"
    assert world.repo.tree(kept)["a.txt"] == "half"


# -- limits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("min_free_disk_gb", 1e6, "(orchestrator.min_free_disk_gb = 1e+06)"),
        ("max_load_per_cpu", 1e-9, "(orchestrator.max_load_per_cpu = 1e-09)"),
    ],
)
def test_a_limit_holds_starts_and_says_why(world: World, key: str, value: float, said: str) -> None:
    world.configure(orchestrator={key: value})
    goal = world.queue(write("a"))

    async def script(engine: Engine) -> dict[str, str]:
        with running(engine) as until:
            await until(lambda: goal in engine.goals and engine.goals[goal].started_at is not None)
            await until(lambda: bool(world.hold()))
            assert world.hold().endswith(said)
            assert states(engine.goals[goal]) == {"a": "pending"}
            world.configure(orchestrator={key: 0})
            engine.check_settings()
            await until(lambda: has_ended(engine.goals[goal]))
            await until(lambda: world.hold() == "")
        return states(engine.goals[goal])

    if key == "max_load_per_cpu" and os.getloadavg()[0] == 0:
        pytest.skip("no load at all")
    assert world.run(script) == {"a": "landed"}


# -- requests -----------------------------------------------------------------------------------------


def test_a_request_is_carried_out_once(world: World) -> None:
    goal = world.queue(write("a"))
    name = world.ask("pause")
    again = (world.home.inbox / name).read_text()
    world.run(lambda engine: ticks(engine, 1))
    (world.home.inbox / name).write_text(again)
    resumed = world.ask("resume")

    async def script(engine: Engine) -> list[str]:
        await engine.run(lambda: -1.0)
        return [fact.kind for fact in engine.services.ledger.facts(goal)]

    kinds = world.run(script)
    assert (kinds.count("goal_paused"), kinds.count("goal_resumed"), kinds[-1]) == (1, 1, "goal_ended")
    assert world.outcome(name)["message"].startswith(f"{goal} is paused; ")
    assert world.outcome(resumed) == {"ok": True, "message": f"{goal} goes on"}
    assert world.home.requests() == ([], [])


async def ticks(engine: Engine, count: int) -> None:
    for _ in range(count):
        engine.tick()
        await asyncio.sleep(0)


def test_facts_and_answer_of_a_request_go_together(world: World) -> None:
    """A kill between the two would let `retry` be carried out and then refused."""
    goal = world.queue(sh("a", "exit 3", max_attempts=1))
    world.to_the_end()
    name = world.ask("retry")

    async def script(engine: Engine) -> None:
        taken: list[int] = []

        def look(statement: str) -> None:
            if statement == "COMMIT":
                done = engine.services.ledger.facts(goal)[-1].kind == "goal_reopened"
                taken.append(done == (name not in [one for one, _, _ in engine.services.ledger.unsettled()]))

        engine.services.ledger._db.set_trace_callback(look)
        engine.tick()
        engine.services.ledger._db.set_trace_callback(None)
        assert taken
        assert all(taken)

    world.run(script)
    assert world.outcome(name) == {"ok": True, "message": f"{goal}: again a"}


def test_unknown_and_malformed_requests_are_refused_and_nothing_else(world: World) -> None:
    goal = world.queue(write("a"))
    asked = {
        verb: world.home.drop(verb, payload)
        for verb, payload in {
            "dance": {},
            "do": {"goal": {"id": "x", "plan": []}},
            "land": {"goal": ["x"]},
            "skip": {"goal": goal, "task": {"a": 1}},
            "cancel": {},
            "rollback": {"goal": "no-such-goal"},
        }.items()
    }
    (world.home.inbox / "garbage").write_bytes(b"\0" * 100)
    os.utime(world.home.inbox / "garbage", (1, 1))
    goals = world.to_the_end()
    assert str(goals[goal].state) == "done"
    answers = {verb: world.outcome(name) for verb, name in asked.items()}
    assert [answer["ok"] for answer in answers.values()] == [False] * len(asked)
    assert answers["dance"]["message"] == "unknown request dance"
    assert answers["rollback"]["code"] == "not_found"
    assert (world.home.inbox / ".bad" / "garbage").exists()


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just("goal-0001")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["goal", "task", "id", "plan", "to", "x"]), inner, max_size=4),
    ),
    max_leaves=8,
)


@given(
    st.sampled_from(sorted(requests.HANDLERS)), st.dictionaries(st.sampled_from(["goal", "task", "to"]), JSON)
)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_request_brings_the_engine_down(engine: Engine, verb: str, payload: dict[str, Any]) -> None:
    """Whatever JSON it is: there is an answer or a job, and the goals are still there."""
    if verb in ("prove", "recover", "gc", "agents", "flakes"):
        return  # chores start jobs
    answer = requests.handle(engine, "name", verb, payload)
    assert answer is None or isinstance(answer["ok"], bool)
    engine._asked.goals.clear()
    engine._asked.facts.clear()
    assert list(engine.goals) == ["goal-0001"]


@pytest.fixture
def engine(world: World) -> Iterator[Engine]:
    """An engine that runs nothing, with one goal that has ended."""
    world.queue(write("a"))
    world.to_the_end()
    ledger = Ledger(world.home.database)
    with ThreadPoolExecutor(1) as threads:
        settings = load_settings(world.home, os.environ)
        services = make_services(world.home, os.environ, settings, ledger, threads)
        yield Engine(services, {}, lambda: None)
    ledger.close()


# -- trouble in jobs ----------------------------------------------------------------------------------


def test_a_lost_object_halts_only_its_goal(world: World) -> None:
    """The base of one goal lacks a file's content; the other goal goes on."""
    world.repo.commit({"lost.txt": "only in the base of the first goal\n"})
    broken = world.queue(write("a"), goal="broken-0001")
    blob = world.repo.head("HEAD:lost.txt")
    world.repo.git("checkout", "-q", "-b", "other", "HEAD~1")
    fine = world.queue(write("a"), goal="fine-0001")
    (world.repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    goals = world.to_the_end()
    assert (str(goals[fine].state), goals[fine].reason) == ("done", "")
    assert str(goals[broken].state) == "halted"
    assert blob in goals[broken].reason or "lost.txt" in goals[broken].reason


def test_an_error_nobody_foresaw_halts_only_its_goal(world: World) -> None:
    """A tree is gone, which libgit2 reports in its own way."""
    world.repo.commit({"deep/er/file": "x"})
    broken = world.queue(write("a"), goal="broken-0001")
    tree = world.repo.head("HEAD^{tree}")
    world.repo.git("checkout", "-q", "-b", "other", "HEAD~1")
    fine = world.queue(write("a"), write("b"), goal="fine-0001")
    (world.repo.path / ".git/objects" / tree[:2] / tree[2:]).unlink()
    goals = world.to_the_end()
    assert (str(goals[fine].state), goals[fine].reason) == ("done", "")
    assert str(goals[broken].state) == "halted"
    assert goals[broken].reason


def test_after_a_bug_whoever_waits_gets_an_answer(world: World) -> None:
    """The target's commit is gone, so that `sync` fails in a way nobody foresaw; it is not tried for ever."""
    goal = world.queue(write("a"), target="main")
    world.to_the_end()
    lost = world.repo.commit({"new.txt": "x"})
    (world.repo.path / ".git/objects" / lost[:2] / lost[2:]).unlink()
    name = world.ask("sync", goal)
    goals = world.to_the_end()
    assert world.outcome(name)["ok"] is False
    assert goals[goal].pending_operations() == []
    assert sum(fact.kind == Kind.OPERATION_ENDED for fact in facts(world, goal)) == 1


def facts(world: World, goal: str) -> Sequence[Any]:
    ledger = Ledger(world.home.database)
    try:
        return ledger.facts(goal)
    finally:
        ledger.close()


@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_somebody_elses_hand_on_the_integration_branch(world: World, tmp_path: Path, how: str) -> None:
    """Halted with the remedy; `recover` puts it back and keeps what was there; `resume` goes on."""
    stranger = world.repo.branch("stranger", {"strange.txt": "x"})
    goal = world.queue(write("a"), sh("b", f"{wait_for_file(tmp_path / 'go')}; echo b > b.txt", "a"))

    async def a_lands(engine: Engine) -> None:
        with running(engine) as until:
            await until(lambda: goal in engine.goals and states(engine.goals[goal])["b"] == "running")

    world.run(a_lands)
    (tmp_path / "go").touch()
    branch = f"refs/heads/mo/{goal}/integration"
    world.repo.git("update-ref", *((branch, stranger) if how == "moved" else ("-d", branch)))
    halted = world.to_the_end()[goal]
    assert str(halted.state) == "halted"
    where = stranger[:12] if how == "moved" else "gone"
    assert halted.reason == (
        f"the integration branch of {goal} is at {where}, mo left it at {halted.integration[:12]}; "
        f"mo recover {goal} puts it back (what is there now is kept), then mo resume {goal}"
    )
    recovered = world.ask("recover")
    world.run(chores_done)
    assert world.repo.head(f"mo/{goal}/integration") == halted.integration
    details = world.outcome(recovered)["details"]
    assert details[0].startswith(f"mo/{goal}/integration: back at {halted.integration[:12]}")
    kept = world.repo.git(
        "for-each-ref", "--format=%(objectname)", f"refs/mo/keep/{goal}/integration"
    ).split()
    assert kept == ([stranger] if how == "moved" else [])
    world.ask("resume")
    ended = world.to_the_end()[goal]
    assert (str(ended.state), states(ended)) == ("done", {"a": "landed", "b": "landed"})


async def chores_done(engine: Engine) -> None:
    engine.tick()
    while engine._jobs:
        await asyncio.sleep(0.01)


def test_work_is_kept_when_its_ending_could_not_be_recorded(world: World, tmp_path: Path) -> None:
    """The job of a running attempt dies of an error; the next attempt must not wipe out what it left."""
    goal = world.queue(sh("a", f"echo half > a.txt; {wait_for_file(tmp_path / 'go')}"))

    async def script(engine: Engine) -> GoalStatus:
        with running(engine) as until:
            await until(lambda: bool(list(engine.services.state.glob("tasks/*/a.txt"))))
            shutil.rmtree(world.home.path / "runs")  # the log of its output goes, too
            (world.home.path / "runs").write_text("in the way")
            (tmp_path / "go").touch()
            await until(lambda: bool(engine.goals[goal].tasks["a"].failures) or has_ended(engine.goals[goal]))
            (world.home.path / "runs").unlink()
        return engine.goals[goal]

    world.run(script)
    kept = world.repo.git("for-each-ref", "--format=%(refname)", "refs/mo/keep").split()
    works = [world.repo.tree(name).get("a.txt") for name in [*kept, f"mo/{goal}/a"]]
    assert "half" in works


@pytest.mark.parametrize("length", [0, 5, 8, 30, -1, None])
def test_a_worktree_whose_making_was_cut_short(world: World, length: int | None) -> None:
    """The daemon was killed while it wrote the worktree's `.git`, or right after that."""
    goal = world.queue(write("a"))

    async def script(engine: Engine) -> dict[str, GoalStatus]:
        started = engine.services.state / "tasks" / "1"
        started.mkdir(parents=True)
        name = f"mo-{engine.services.state.name}-1"
        pointer = f"gitdir: {world.repo.path}/.git/worktrees/{name}\n"
        (started / ".git").write_text(pointer[:length])
        return await until_idle(engine)

    ended = world.run(script)[goal]
    assert (states(ended), ended.reason) == ({"a": "landed"}, "")
    assert ended.tasks["a"].worktree.endswith("/tasks/1")


def test_a_persons_try_in_a_kept_worktree_survives_a_retry(world: World) -> None:
    goal = world.queue(sh("a", "echo agent > a.txt; exit 3", max_attempts=1))
    failed = world.to_the_end()[goal].tasks["a"]
    assert world.repo.tree(failed.attempts[0].kept)["a.txt"] == "agent"
    worktree = Path(failed.worktree)
    world.ask("retry")
    world.to_the_end()
    assert kept_files(world, goal) == [("1", "agent"), ("2", "agent")]  # nothing new: no second copy
    (worktree / "a.txt").write_text("a person was here\n")
    world.ask("retry")
    world.to_the_end()
    assert kept_files(world, goal) == [
        *(("1", "agent"), ("2", "agent"), ("2-2", "a person was here"), ("3", "agent")),
    ]


def kept_files(world: World, goal: str) -> list[tuple[str, str]]:
    """(number of the attempt, a.txt) of all that is kept of task `a`."""
    prefix = f"refs/mo/keep/{goal}/a/"
    names = world.repo.git("for-each-ref", "--format=%(refname)", prefix).split()
    return [(name.removeprefix(prefix), world.repo.tree(name)["a.txt"]) for name in names]


@pytest.mark.parametrize("entry", [".git", "sub/.git", "deep/er/.GIT"])
def test_work_with_a_repository_inside_is_kept_whole(world: World, entry: str) -> None:
    directory = entry.rpartition("/")[0] or "."
    made = f"mkdir -p {directory}; echo in > {directory}/a.txt; rm -rf {entry}; mkdir {entry}"
    made += f"; echo x > {entry}/config"
    goal = world.queue(sh("a", f"{made}; exit 3", max_attempts=1))
    failed = world.to_the_end()[goal].tasks["a"]
    kept = world.repo.tree(failed.attempts[0].kept)
    assert kept[f"{directory}/a.txt".removeprefix("./")] == "in"
    assert "x" in kept.values()


# -- status -------------------------------------------------------------------------------------------


def test_a_deleted_status_comes_back(world: World) -> None:
    world.run(lambda engine: ticks(engine, 1))
    first = world.home.read_status()

    async def script(engine: Engine) -> None:
        with running(engine) as until:
            await until(world.home.status_file.exists)
            world.home.status_file.unlink()
            await until(world.home.status_file.exists)

    world.run(script)
    assert first is not None
    assert world.home.read_status() == first


def test_an_inbox_made_again_is_seen_by_the_scan_alone(world: World) -> None:
    async def script(engine: Engine) -> str:
        with running(engine) as until:
            await until(world.home.status_file.exists)
            shutil.rmtree(world.home.inbox)
            await until(world.home.inbox.exists)
            goal = world.queue(write("a"))
            await until(lambda: goal in engine.goals and has_ended(engine.goals[goal]))
        return str(engine.goals[goal].state)

    assert world.run(script) == "done"


def test_late_facts_are_recorded_without_effect(world: World) -> None:
    goal = world.queue(write("a"))

    async def script(engine: Engine) -> None:
        await engine.run(lambda: -1.0)
        before = states(engine.goals[goal])
        data = {"class": "crash", "reason": "late"}
        (late,) = engine.book.record([NewFact(goal, Kind.ATTEMPT_FAILED, data, "a", 1)])
        assert engine.services.ledger.facts(goal)[-1] == late
        assert states(engine.goals[goal]) == before == {"a": "landed"}

    world.run(script)


def test_a_goal_that_ended_long_ago_can_still_be_waited_for(world: World) -> None:
    first = world.queue(write("a"), goal="first-0001")
    world.to_the_end()
    ledger = Ledger(world.home.database)
    for n in range(25):
        spec = GoalSpec(
            f"later-{n:04}", "later", Plan("later", (write("a"),)), time.time(), world.repo.head()
        )
        ledger.add_goal(spec, time.time())
        ledger.append([NewFact(spec.id, Kind.GOAL_ENDED, {"state": "cancelled"})], time.time())
    assert first not in [spec.id for spec in ledger.current_goals()]
    ledger.close()
    second = world.queue(write("b"), goal="second-0001", depends_on=first)
    goals = world.to_the_end()
    assert (str(goals[second].state), goals[second].reason) == ("done", "")
    assert goals[second].base == goals[first].integration
