"""Verdicts asked for: about all tests or a few, from memory or not, several at once, and what is flaky."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from mo_daemon.flaky import mixed
from mo_daemon.gate import GateRun
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.main import load_settings, make_services
from mo_daemon.testids import Tests
from mo_git import process
from mo_git.flakes import DAY, GOOD, SAME_SET, Flake, Seen, flakes
from mo_git.goal_status import GoalStatus
from mo_git.ledger.writer import Ledger
from mo_git.lifecycle import new_goal
from mo_git.model import GoalSpec, Plan
from tests.driver import Mo
from tests.support import RepoBuilder

T = TypeVar("T")
PY = shlex.quote(sys.executable)
UNITTEST = f"{PY} -m unittest discover -s tests"
HEAD = "import os, pathlib, time, unittest\nSHARED = pathlib.Path({shared!r})\n"


class Keeper:
    """A gatekeeper as a daemon would have it; `shared` is a directory that its tests can reach."""

    def __init__(self, repo: RepoBuilder, shared: Path) -> None:
        self.mo = Mo(repo)
        self.repo = repo
        self.shared = shared
        self.good = ""  # the last good commit
        self.later = 0.0  # seconds by which the clock is ahead
        self.mo.home.create()
        shared.mkdir()
        self.ledger = Ledger(self.mo.home.database)
        self.threads = ThreadPoolExecutor(2)
        self.loop = asyncio.new_event_loop()
        process.become_subreaper()
        self.configure()

    def configure(self, command: str = UNITTEST, **gate: object) -> None:
        home = self.mo.home
        self.mo.configure(gate={"command": command, "proof": "off", "sandbox": False, **gate})
        settings = load_settings(home, os.environ)
        services = make_services(home, os.environ, settings, self.ledger, self.threads)
        services.now = lambda: time.time() + self.later
        self.keeper = Gatekeeper(services)

    def close(self) -> None:
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.threads.shutdown()
        self.ledger.close()

    def commit(self, **tests: str) -> str:
        """Commit test modules; their tests may use SHARED."""
        head = HEAD.format(shared=str(self.shared))
        return self.repo.commit({f"tests/test_{name}.py": f"{head}{body}" for name, body in tests.items()})

    def use(self, script: Callable[[Gatekeeper, GoalStatus], Awaitable[T]]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(script(self.keeper, self.goal()), 60))

    def goal(self) -> GoalStatus:
        head = self.good or self.repo.head()
        environment = {"PATH": os.environ["PATH"]}
        goal = new_goal(GoalSpec("goal-0001", "g", Plan("g", ()), 1.0, head, environment=environment))
        goal.base = goal.integration = head
        return goal

    def judge(
        self,
        commit: str,
        baseline: Tests | None = None,
        ids: set[str] | None = None,
        fresh: bool = False,
        touched: frozenset[str] = frozenset(),
    ) -> GateRun:
        asked = frozenset(ids) if ids else None
        return self.use(lambda keeper, goal: keeper.judge(goal, commit, baseline, asked, fresh, touched))

    def runs(self) -> list[str]:
        """What the tests wrote down since the last look."""
        file = self.shared / "runs"
        found = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return found

    def flakes(self) -> list[Flake]:
        return flakes(self.ledger.flakes_seen())


@pytest.fixture
def keeper(repo: RepoBuilder, tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper(repo, tmp_path / "shared")
    yield made
    made.close()


def noted(*tests: str, **more: str) -> str:
    """A class whose tests write down that they ran; `more`: what a test does then."""
    body = "class T(unittest.TestCase):\n"
    for name in (*tests, *more):
        does = more.get(name, "pass")
        body += f"    def test_{name}(self):\n"
        body += f"        (SHARED / 'runs').open('a').write('{name}\\n')\n        {does}\n"
    return body


A, B, C = "test_t.T.test_a", "test_t.T.test_b", "test_t.T.test_c"


# -- a few tests --------------------------------------------------------------------------------------


def test_a_few_tests_are_run_and_judged_alone(keeper: Keeper) -> None:
    good = keeper.commit(t=noted("a", "b", "c"))
    base = keeper.judge(good).tests
    assert keeper.runs() == ["a", "b", "c"]
    bad = keeper.commit(t=noted("a", b="self.fail()", new="self.fail()"))
    run = keeper.judge(bad, base, {A, "test_t.T.test_gone"})
    assert (run.kind, run.result, run.failed_ids, run.exit_code) == ("ids", "green", (), 0)
    assert run.tests == Tests({A: "passed"})
    assert keeper.runs() == ["a"]
    run = keeper.judge(bad, base, {A, B, C, "test_t.T.test_new"})
    assert (run.result, run.failed_ids) == ("red", (B, C, "test_t.T.test_new"))
    assert run.reason == f"2 tests failing: {B}, test_t.T.test_new; 1 test missing: {C}"
    assert (run.document()["kind"], run.document()["tests"]["missing"]) == ("ids", 1)
    run = keeper.judge(bad, base, {"test_t.T.test_gone"})
    assert (run.kind, run.result, run.tests) == ("ids", "green", Tests({}))
    run = keeper.judge(bad, base, {C})  # it ran on the base, so all tests have to say whether it is gone
    assert (run.kind, run.result, run.failed_ids) == ("full", "red", (B, C, "test_t.T.test_new"))


def test_what_is_remembered_answers_what_it_can(keeper: Keeper) -> None:
    """Some tests never answer for all or for others; all answer for some; fresh is never from memory."""
    commit = keeper.commit(t=noted("a", b="self.fail()"))
    assert not keeper.judge(commit, None, {A}).cached
    again = keeper.judge(commit, None, {A})
    assert (again.cached, again.kind, again.result) == (True, "ids", "green")
    assert keeper.runs() == ["a"]
    assert not keeper.judge(commit, None, {B}).cached
    full = keeper.judge(commit)
    assert (full.cached, full.kind, full.result) == (False, "full", "red")
    assert keeper.runs() == ["b", "a", "b"]
    both = keeper.judge(commit, None, {A, B})
    assert (both.cached, both.kind, both.result, both.failed_ids) == (True, "ids", "red", (B,))
    assert keeper.judge(commit).cached
    assert keeper.runs() == []
    assert not keeper.judge(commit, None, {A}, fresh=True).cached
    assert not keeper.judge(commit, None, fresh=True).cached
    assert keeper.runs() == ["a", "a", "b"]


def test_no_verdict_is_never_remembered(keeper: Keeper) -> None:
    commit = keeper.commit(t=noted("b", a="os._exit(0)"))
    asked = (None, None, {B}, {B}, {A}, {A})
    runs = [keeper.judge(commit, None, ids) for ids in asked]
    assert [run.result for run in runs] == ["unknown"] * 2 + ["green"] * 2 + ["unknown"] * 2
    assert [run.cached for run in runs] == [False, False, False, True, False, False]
    assert keeper.runs() == ["a", "a", "b", "a", "a", "a", "a"]


def test_where_some_tests_cannot_be_selected_all_run(keeper: Keeper) -> None:
    keeper.configure(f"true && {UNITTEST}")
    commit = keeper.commit(t=noted("a", "b"))
    run = keeper.judge(commit, None, {A})
    assert (run.kind, run.weak, run.result) == ("full", True, "green")
    cached = keeper.judge(commit, None, {B})
    assert (cached.cached, cached.kind, cached.result) == (True, "full", "green")


def test_the_user_s_own_way_to_select(keeper: Keeper) -> None:
    commit = keeper.commit(t=noted("a", "b"))
    keeper.configure(select=f"cd tests; {PY} -m unittest {{ids}}")
    assert keeper.judge(commit, None, {A}).kind == "full"  # the report is not mo's: no results, so all run
    assert keeper.runs() == ["a", "a", "b"]
    keeper.configure(select=f"PYTHONPATH=tests {PY} -m unittest {{ids}}")
    run = keeper.judge(commit, None, {A}, fresh=True)
    assert (run.kind, run.tests) == ("ids", Tests({A: "passed"}))
    assert keeper.runs() == ["a"]


# -- several at once ----------------------------------------------------------------------------------


def test_gates_run_beside_each_other(keeper: Keeper) -> None:
    """Each waits for the other, in a worktree, with ports and logs of its own."""
    keeper.configure(parallel=2)
    body = noted(
        a="(SHARED / '{me}').write_text(os.environ['MO_PORT_BASE'] + ' ' + os.getcwd())\n"
        "        while not (SHARED / '{other}').exists(): time.sleep(0.01)"
    )
    commits = [
        keeper.commit(t=body.format(me=me, other=other)) for me, other in (("one", "two"), ("two", "one"))
    ]

    async def both(gate: Gatekeeper, goal: GoalStatus) -> list[GateRun]:
        return list(await asyncio.gather(*(gate.judge(goal, commit, None) for commit in commits)))

    runs = keeper.use(both)
    assert [run.result for run in runs] == ["green", "green"]
    assert len({run.log for run in runs}) == 2
    told = sorted((keeper.shared / name).read_text().split() for name in ("one", "two"))
    assert [ports for ports, _ in told] == ["19000", "19020"]
    assert [Path(place).name for _, place in told] == ["1", "2"]


def test_who_asks_the_same_at_once_gets_one_run(keeper: Keeper) -> None:
    keeper.configure(parallel=3)
    commit = keeper.commit(t=noted("a", "b"))

    async def three(gate: Gatekeeper, goal: GoalStatus) -> list[bool]:
        asked = (gate.judge(goal, commit, None, ids) for ids in (None, None, frozenset([A])))
        return [run.cached for run in await asyncio.gather(*asked)]

    assert sorted(keeper.use(three)) == [False, False, True]
    assert sorted(keeper.runs()) == ["a", "a", "b"]


@pytest.mark.parametrize("sandbox", [True, False])
def test_a_cancelled_run_ends_as_a_whole_and_leaves_its_worktree_usable(
    keeper: Keeper, sandbox: bool
) -> None:
    keeper.configure(sandbox=sandbox, writable=[str(keeper.shared)])
    hang = noted(
        a="import subprocess\n"
        "        subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "        pathlib.Path('tests/test_t.py').write_text('spoilt')\n"
        "        (SHARED / 'there').touch()\n"
        "        time.sleep(600)"
    )
    bad, good = keeper.commit(t=hang), keeper.commit(t=noted("a"))

    async def cancel(gate: Gatekeeper, goal: GoalStatus) -> GateRun:
        job = asyncio.create_task(gate.judge(goal, bad, None))
        while not (keeper.shared / "there").exists():
            await asyncio.sleep(0.01)
        tokens = gate._services.ledger.programs()
        assert process.survivors(tokens)
        job.cancel()
        await asyncio.wait([job])
        assert job.cancelled()
        assert process.survivors(tokens) == []
        assert gate._services.ledger.programs() == []
        return await gate.judge(goal, good, None)

    run = keeper.use(cancel)
    assert (run.result, run.reason) == ("green", "")


# -- flakes -------------------------------------------------------------------------------------------

FLIP = "self.assertTrue((SHARED / 'well').exists())"


def well(keeper: Keeper, is_well: bool) -> None:
    if is_well:
        (keeper.shared / "well").touch()
    else:
        (keeper.shared / "well").unlink(missing_ok=True)


def flip(keeper: Keeper, commit: str, base: Tests | None) -> tuple[GateRun, GateRun]:
    """A full run that fails and one that does not."""
    well(keeper, False)
    first = keeper.judge(commit, base, fresh=True)
    well(keeper, True)
    return first, keeper.judge(commit, base, fresh=True)


def test_a_flake_needs_two_runs_of_one_set_on_one_tree(keeper: Keeper) -> None:
    """That it fails among others and passes alone narrows only, but on the last good commit it counts."""
    keeper.good = keeper.commit(t=noted("a", b=FLIP))
    commit = keeper.commit(t=noted("a", "c", b=FLIP))
    well(keeper, True)
    base = keeper.judge(keeper.good).tests
    well(keeper, False)
    first = keeper.judge(commit, base)
    well(keeper, True)
    alone = keeper.judge(commit, base, {B}, fresh=True)
    assert [run.result for run in (first, alone)] == ["red", "green"]
    assert keeper.flakes() == []
    again = keeper.judge(commit, base, fresh=True)
    assert (again.result, mixed(first.tests, again.tests)) == ("green", {B})
    (flake,) = keeper.flakes()
    assert (flake.test, flake.passed, flake.failed) == (B, 1, 1)
    assert [(one.tree, one.why) for one in flake.evidence] == [(again.tree, SAME_SET)]
    well(keeper, False)
    on_good = keeper.judge(keeper.good, base, {B}, fresh=True)
    (flake,) = keeper.flakes()
    assert [(one.tree, one.why) for one in flake.evidence] == [(again.tree, SAME_SET), (on_good.tree, GOOD)]
    assert (flake.passed, flake.failed) == (1, 2)
    assert keeper.judge(commit, base).result == "green"  # the better of both runs is remembered


def test_that_many_differ_at_once_is_no_evidence_against_each(keeper: Keeper) -> None:
    commit = keeper.commit(t=noted("a", **{f"b{number}": FLIP for number in range(6)}))
    first, second = flip(keeper, commit, None)
    assert len(mixed(first.tests, second.tests)) == 6
    assert keeper.flakes() == []


def test_quarantine(keeper: Keeper) -> None:
    """On evidence from two trees, told each time, not for files that are touched, and not for ever."""
    keeper.good = keeper.commit(t=noted("a", b=FLIP))
    well(keeper, True)
    base = keeper.judge(keeper.good).tests
    commits = [keeper.commit(more=f"NUMBER = {number}\n") for number in range(3)]
    assert [run.result for run in flip(keeper, commits[0], base)] == ["red", "green"]
    assert [run.result for run in flip(keeper, commits[1], base)] == ["red", "green"]
    well(keeper, False)
    run = keeper.judge(commits[2], base)
    assert (run.result, run.failed_ids, run.flaky) == ("green", (), (B,))
    assert run.reason == f"1 test in quarantine failed: {B}"
    assert run.document()["tests"] == {"passed": 1, "failed": 1, "missing": 0, "flaky": 1}
    assert run.document()["flaky_ids"] == [B]
    touched = keeper.judge(commits[2], base, touched=frozenset(["tests/test_t.py"]))
    assert (touched.cached, touched.result, touched.failed_ids, touched.flaky) == (True, "red", (B,), ())
    assert keeper.judge(commits[2], base, {B}).result == "green"
    keeper.later = 15 * DAY
    run = keeper.judge(commits[2], base)
    assert (run.cached, run.result, run.flaky) == (True, "red", ())


def test_quarantine_covers_nothing_else(keeper: Keeper) -> None:
    """A test that is gone or skipped, another one that fails, a command that does more than test."""
    keeper.good = keeper.commit(t=noted("a", b=FLIP))
    well(keeper, True)
    base = keeper.judge(keeper.good).tests
    keeper.ledger.note_flakes(Seen(B, tree, 1, 1, SAME_SET, time.time()) for tree in ("t1", "t2"))
    well(keeper, False)
    gone = keeper.judge(keeper.commit(t=noted("a")), base)
    assert (gone.result, gone.failed_ids) == ("red", (B,))
    both = keeper.judge(keeper.commit(t=noted(a="self.fail()", b=FLIP)), base)
    assert (both.result, both.failed_ids, both.flaky) == ("red", (A,), (B,))
    assert both.reason == f"1 test newly failing: {A}; 1 test in quarantine failed: {B}"
    skips = keeper.judge(keeper.commit(t=noted("a", b="self.skipTest('')")), base)
    assert (skips.result, skips.failed_ids) == ("red", (B,))
