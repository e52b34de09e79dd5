"""The gate: the rule, real runs in gate worktrees, and the proof that a gate tests what it should."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import sys
import tracemalloc
import venv
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mo_daemon.gate import NONE, GateCommand, GateRun, GateSlot, cache_key
from mo_daemon.gate_proof import UNREADABLE, Proof, prove, targets
from mo_daemon.judging import Question
from mo_daemon.provision import Prepared
from mo_daemon.testids import Regression, Tests
from mo_daemon.verdicts import verdict
from mo_git import process
from mo_git.git.repo import Repo
from mo_git.model import Command
from tests import need
from tests.support import RepoBuilder

TOKEN = f"a-gate-{os.getpid()}"  # workers of one machine must not end each other's gates
PROOF_TOKEN = f"a-proof-{os.getpid()}"

PY = shlex.quote(sys.executable)
UNITTEST = f"{PY} -m unittest discover -s tests"
PYTEST = f"{PY} -m pytest -q -p no:cacheprovider"


# -- the rule -----------------------------------------------------------------------------------------

BASE = Tests({"a": "passed", "b": "passed", "known": "failed"})
SAME = BASE
WORSE = Tests({"a": "failed", "b": "passed", "known": "failed"})
GOOD = Tests({"a": "passed", "b": "passed", "known": "passed"})


@pytest.mark.parametrize(
    ("code", "tests", "baseline", "result", "reason"),
    [
        # with a baseline
        (0, GOOD, BASE, "green", ""),
        (1, SAME, BASE, "green", "1 test failed on the base already: known"),
        (1, WORSE, BASE, "red", "1 test newly failing: a"),
        (0, WORSE, BASE, "red", "1 test newly failing: a"),
        (1, GOOD, BASE, "red", "exit code 1, no test newly fails"),
        (0, Tests({"a": "passed"}), BASE, "red", "1 test missing: b"),
        (0, Tests({"a": "passed", "b": "xfail"}), BASE, "red", "1 test newly skipped: b"),
        # the baseline itself
        (0, GOOD, None, "green", ""),
        (1, SAME, None, "red", "1 test failing: known"),
        (0, SAME, None, "red", "1 test failing: known"),
        (3, GOOD, None, "red", "exit code 3, no test failed"),
        # never green
        (0, Tests({}), None, "unknown", "no tests were found"),
        (0, Tests({}), BASE, "unknown", "no tests were found"),
        (0, None, BASE, "unknown", "the test run left no results"),
        (1, None, None, "unknown", "the test run left no results"),
        (-11, GOOD, BASE, "unknown", "the gate died of signal 11"),
        (139, GOOD, BASE, "unknown", "the gate died of signal 11"),
        (None, None, BASE, "unknown", "the gate command could not be started"),
    ],
)
def test_verdict_by_test_ids(
    code: int | None, tests: Tests | None, baseline: Tests | None, result: str, reason: str
) -> None:
    found, _, why = verdict(code, False, tests, baseline, False)
    assert (found, why) == (result, reason)


@pytest.mark.parametrize(
    ("code", "tests", "result", "reason"),
    [
        (0, GOOD, "green", ""),
        (1, SAME, "green", "1 test failed on the base already: known"),
        (2, GOOD, "unknown", "pytest was interrupted"),
        (2, WORSE, "red", "1 test newly failing: a"),
        (3, SAME, "unknown", "pytest had an internal error"),
        (4, SAME, "unknown", "pytest could not start: wrong options, or a conftest.py that does not load"),
        (5, Tests({}), "unknown", "pytest found no tests"),
    ],
)
def test_verdict_of_pytest(code: int, tests: Tests, result: str, reason: str) -> None:
    found, _, why = verdict(code, False, tests, BASE, False, runner="pytest")
    assert (found, why) == (result, reason)


@pytest.mark.parametrize(
    ("code", "tests", "result", "reason"),
    [
        (0, GOOD, "green", ""),
        (0, SAME, "green", ""),
        (1, SAME, "red", "exit code 1, no test newly fails"),
        (1, None, "red", "exit code 1 before any test result"),
        (0, None, "unknown", "the test run left no results"),
    ],
)
def test_a_command_that_does_more_than_test_is_held_to_its_exit_code(
    code: int, tests: Tests | None, result: str, reason: str
) -> None:
    found, _, why = verdict(code, False, tests, BASE, False, strict=True)
    assert (found, why) == (result, reason)


@pytest.mark.parametrize(
    ("code", "baseline", "result", "reason"),
    [
        (0, None, "green", ""),
        (1, None, "red", "exit code 1"),
        (0, BASE, "unknown", "no test results were found, although the baseline has some"),
        (1, BASE, "red", "exit code 1"),
        (137, None, "unknown", "the gate died of signal 9"),
    ],
)
def test_weak_verdict(code: int, baseline: Tests | None, result: str, reason: str) -> None:
    assert verdict(code, False, None, baseline, True) == (result, None, reason)


@pytest.mark.parametrize("code", [126, 127])
@pytest.mark.parametrize("weak", [True, False])
def test_what_could_not_run_is_unknown_and_says_what_to_do(code: int, weak: bool) -> None:
    result, worse, reason = verdict(code, False, None, BASE, weak)
    assert (result, worse) == ("unknown", None)
    assert {126: "git update-index --chmod=+x", 127: "workspace.setup"}[code] in reason


@pytest.mark.parametrize("code", [0, 1, -15])
@pytest.mark.parametrize("tests", [None, GOOD])
def test_a_timeout_is_never_green(code: int, tests: Tests | None) -> None:
    for weak in (True, False):
        assert verdict(code, True, tests, None, weak)[0] == "unknown"


def test_verdict_names_what_got_worse() -> None:
    baseline = Tests(dict.fromkeys("abcdefg", "passed"))
    run = Tests({**dict.fromkeys("abcde", "failed"), "f": "skipped"})
    assert verdict(1, False, run, baseline, False) == (
        "red",
        Regression(failed=tuple("abcde"), missing=("g",), newly_skipped=("f",)),
        "5 tests newly failing: a, b, c and 2 more; 1 test missing: g; 1 test newly skipped: f",
    )


def test_cache_key_depends_on_everything_that_a_verdict_does() -> None:
    command = GateCommand("pytest", 10.0, setup=("make",), junit="a.xml")
    env = {"PATH": "/bin", "VIRTUAL_ENV": "/v", "HOME": "/h"}
    key = cache_key("t1", command, env, "f1")
    assert key == cache_key("t1", replace(command, timeout=99.0), {**env, "HOME": "/other"}, "f1")
    others = [
        cache_key("t2", command, env, "f1"),
        cache_key("t1", command, env, "f2"),
        cache_key("t1", command, {**env, "PATH": "/usr/bin"}, "f1"),
        cache_key("t1", command, {**env, "VIRTUAL_ENV": ""}, "f1"),
        cache_key("t1", replace(command, command=("pytest",)), env, "f1"),
        cache_key("t1", replace(command, setup=()), env, "f1"),
        cache_key("t1", replace(command, junit=""), env, "f1"),
    ]
    assert len({key, *others}) == 8


def test_document(tmp_path: Path) -> None:
    worse = Regression(failed=("a",), missing=("m",))
    run = GateRun("c", "t", "red", False, 1, WORSE, worse, 1.23456, tmp_path, "why")
    assert replace(run, flaky=("f", "g"), asked=frozenset("am")).document(["x"]) == {
        "commit": "c",
        "tree": "t",
        "tasks": ["x"],
        "kind": "ids",
        "result": "red",
        "weak": False,
        "reason": "why",
        "cached": False,
        "tests": {"passed": 1, "failed": 2, "missing": 1, "flaky": 2},
        "failed_ids": ["a", "m"],
        "flaky_ids": ["f", "g"],
        "metrics": {},
        "seconds": 1.235,
    }
    assert replace(run, regression=None).failed_ids == ("a", "known")


# -- real runs ----------------------------------------------------------------------------------------

CALC = "def add(a, b): return a + b\n"
CALC_TEST = """\
import unittest
from calc import add
class T(unittest.TestCase):
    def test_add(self): self.assertEqual(add(1, 2), 3)
    def test_zero(self): self.assertEqual(add(0, 0), 0)
"""
KNOWN = "import unittest\nclass K(unittest.TestCase):\n    def test_known(self): self.fail()\n"
PROJECT = {"calc.py": CALC, "tests/test_calc.py": CALC_TEST}
PIP_LINES = '["python3 -m venv --clear .venv", ".venv/bin/python -m pip install -e ."]'
PIP_SET = f"mo config set workspace.setup '{PIP_LINES}'"


@dataclass
class Bench:
    """A repository, one gate slot on it, and the plain environment that gates get."""

    repo: RepoBuilder
    slot: GateSlot
    env: dict[str, str]
    logs: Path

    def run(
        self,
        commit: str,
        command: Command | GateCommand,
        *,
        baseline: Tests | None = None,
        question: Question | None = None,
        env: Mapping[str, str] | None = None,
        provision: Callable[[Path], Awaitable[Prepared | None]] | None = None,
    ) -> GateRun:
        gate = command if isinstance(command, GateCommand) else GateCommand(command, 60.0)
        return asyncio.run(
            self.slot.run(
                commit,
                gate,
                env=self.env if env is None else env,
                token=TOKEN,
                log=self.logs / "gate.log",
                question=question or Question(baseline),
                provision=provision,
            )
        )

    def prove(self, command: Command | GateCommand, env: Mapping[str, str] | None = None) -> Proof:
        gate = command if isinstance(command, GateCommand) else GateCommand(command, 60.0)
        return asyncio.run(
            prove(
                self.slot,
                self.repo.head(),
                gate,
                env=self.env if env is None else env,
                token=PROOF_TOKEN,
                log_dir=self.logs,
                main_top=self.repo.path,
            )
        )

    def log(self) -> str:
        return (self.logs / "gate.log").read_text()


@pytest.fixture
def bench(repo: RepoBuilder, tmp_path: Path) -> Bench:
    env = {key: os.environ[key] for key in ("PATH", "HOME", "LANG")}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    slot = GateSlot(Repo(repo.path / ".git"), tmp_path / "gates" / "1", "gate-1")
    return Bench(repo, slot, env, tmp_path / "logs")


def test_green_then_red_then_green_in_one_recycled_worktree(bench: Bench) -> None:
    good = bench.repo.commit(PROJECT)
    bad = bench.repo.commit({"calc.py": "def add(a, b): return a or b\n"})
    first = bench.run(good, UNITTEST)
    assert first == GateRun(
        good,
        bench.repo.head(f"{good}^{{tree}}"),
        "green",
        False,
        0,
        Tests({"test_calc.T.test_add": "passed", "test_calc.T.test_zero": "passed"}),
        None,
        first.seconds,
        bench.logs / "gate.log",
        "",
    )
    second = bench.run(bad, UNITTEST, baseline=first.tests)
    assert (second.result, second.regression) == ("red", Regression(failed=("test_calc.T.test_add",)))
    assert bench.log().startswith(f"$ {UNITTEST}\n")
    third = bench.run(good, UNITTEST, baseline=first.tests)
    assert (third.result, third.reason) == ("green", "")
    assert sorted(path.name for path in bench.slot.path.parent.iterdir()) == ["1"]


def test_failures_of_the_base_do_not_block(bench: Bench) -> None:
    base = bench.run(bench.repo.commit({**PROJECT, "tests/test_known.py": KNOWN}), UNITTEST)
    assert (base.result, base.reason) == ("red", "1 test failing: test_known.K.test_known")
    work = bench.repo.commit({"calc.py": CALC + "# more\n"})
    run = bench.run(work, UNITTEST, baseline=base.tests)
    assert (run.result, run.exit_code) == ("green", 1)
    assert run.reason == "1 test failed on the base already: test_known.K.test_known"
    gone = bench.repo.commit({"tests/test_calc.py": CALC_TEST.replace("test_zero", "zero")})
    run = bench.run(gone, UNITTEST, baseline=base.tests)
    assert (run.result, run.regression) == ("red", Regression(missing=("test_calc.T.test_zero",)))


def test_a_file_that_cannot_be_collected_is_red_not_unknown(bench: Bench) -> None:
    base = bench.run(bench.repo.commit(PROJECT), PYTEST, env={**bench.env, "PYTHONPATH": "."})
    assert (base.result, base.weak) == ("green", False)
    broken = bench.repo.commit({"calc.py": "def add(:\n"})
    run = bench.run(broken, PYTEST, baseline=base.tests)
    assert (run.result, run.exit_code) == ("red", 1)
    ids = (
        "tests/test_calc.py::tests.test_calc.T::test_add",
        "tests/test_calc.py::tests.test_calc.T::test_zero",
    )
    assert run.regression == Regression(failed=("tests/test_calc.py::tests.test_calc",), missing=ids)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (PYTEST, "pytest found no tests"),
        (UNITTEST, "no tests were found"),
        (f"true && {PYTEST}", "no tests were found"),
    ],
)
def test_zero_tests_are_unknown(bench: Bench, command: str, reason: str) -> None:
    commit = bench.repo.commit({"calc.py": CALC, "tests/notes.txt": "none yet\n"})
    run = bench.run(commit, command)
    assert (run.result, run.reason) == ("unknown", reason)


def test_a_conftest_that_does_not_load_is_unknown(bench: Bench) -> None:
    run = bench.run(bench.repo.commit({**PROJECT, "conftest.py": "import nowhere\n"}), PYTEST)
    assert (run.result, run.exit_code) == ("unknown", 4)


def test_a_runner_that_dies_is_unknown(bench: Bench) -> None:
    test = "import os, signal\ndef test_a(): os.kill(os.getpid(), signal.SIGSEGV)\n"
    run = bench.run(bench.repo.commit({"test_a.py": test}), PYTEST)
    assert (run.result, run.reason) == ("unknown", "the gate died of signal 11")


def test_a_runner_that_ends_early_with_success_is_unknown(bench: Bench) -> None:
    run = bench.run(bench.repo.commit({"test_a.py": "import os\ndef test_a(): os._exit(0)\n"}), PYTEST)
    assert run.result == "unknown"
    assert run.reason == "the test run left no results: no test report was written"


def test_a_gate_that_does_not_end_is_unknown_and_dies(bench: Bench) -> None:
    commit = bench.repo.commit({"wait.py": "import time\nprint('waiting', flush=True)\ntime.sleep(600)\n"})
    run = bench.run(commit, GateCommand(f"{PY} wait.py & {PY} wait.py", 1.0))
    assert (run.result, run.reason) == ("unknown", "the gate did not end in time (gate.timeout)")
    assert run.seconds < 20
    assert process.survivors([TOKEN]) == []


@pytest.mark.parametrize(
    ("command", "code", "remedy"),
    [
        ("no-such-program", 127, "workspace.setup"),
        (("no-such-program",), 127, "workspace.setup"),
        ("./check", 126, "git update-index --chmod=+x"),
        (("./check",), 126, "git update-index --chmod=+x"),
    ],
)
def test_what_cannot_start_is_unknown(bench: Bench, command: Command, code: int, remedy: str) -> None:
    run = bench.run(bench.repo.commit({"check": "#!/bin/sh\ntrue\n"}), command)
    assert (run.result, run.exit_code) == ("unknown", code)
    assert remedy in run.reason


def test_a_weak_gate_says_so(bench: Bench) -> None:
    commit = bench.repo.commit({"check.sh": "test -f good\n", "good": ""})
    run = bench.run(commit, "sh check.sh")
    assert (run.result, run.weak, run.tests) == ("green", True, None)
    (bench.repo.path / "good").unlink()
    run = bench.run(bench.repo.commit({}), "sh check.sh")
    assert (run.result, run.weak, run.reason) == ("red", True, "exit code 1")


def test_pytest_inside_another_command_gives_ids(bench: Bench) -> None:
    commit = bench.repo.commit({"test_a.py": "def test_a(): pass\n", "run.sh": f"{PYTEST}\n"})
    run = bench.run(commit, "sh run.sh")
    assert (run.result, run.weak, run.tests) == (
        "green",
        False,
        Tests({"test_a.py::test_a::test_a": "passed"}),
    )


def test_no_gate_is_green_and_says_so(bench: Bench) -> None:
    run = bench.run(bench.repo.head(), NONE)
    assert (run.result, run.weak, run.reason) == ("green", True, "no gate: nothing was tested")
    assert not bench.slot.path.exists()


def test_output_without_end_is_cut_in_the_log_not_in_the_result(bench: Bench) -> None:
    test = (
        "import unittest\nclass T(unittest.TestCase):\n  def test_loud(self):\n"
        "    for _ in range(100): print('x' * 1024 * 1024)\n"
    )
    run = bench.run(bench.repo.commit({"tests/test_loud.py": test}), UNITTEST)
    assert (run.result, run.tests) == ("green", Tests({"test_loud.T.test_loud": "passed"}))
    assert run.log.stat().st_size < process.LOG_LIMIT + process.TAIL_LIMIT + 70_000
    assert b"\nOK\n" in run.log.read_bytes()[-200:]


LOUD = "import os\nfor _ in range(1600): os.write(1, b'x' * 65535 + {end!r})\n"
FAKE_GO = '#!/bin/sh\n{py} loud.py\necho \'{{"Action":"pass","Package":"p","Test":"TestA"}}\'\n'


@pytest.mark.parametrize("end", [b"\n", b"x"])
@pytest.mark.parametrize("command", [f"{PY} loud.py", "go test ./..."])
def test_output_without_end_is_not_held_in_memory(bench: Bench, end: bytes, command: str) -> None:
    """100 MiB, in lines and in one line; also where mo looks for a runner's own lines in it."""
    fake = FAKE_GO.format(py=PY)
    commit = bench.repo.commit({"loud.py": LOUD.format(end=end), "bin/go": fake})
    path = f"{bench.slot.path / 'bin'}:{bench.env['PATH']}"
    setup = ("chmod +x bin/go",)
    tracemalloc.start()
    try:
        gate = GateCommand(command, 60.0, setup=setup, log_bytes=2**20)
        run = bench.run(commit, gate, env={**bench.env, "PATH": path})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert run.result == ("green" if end == b"\n" or command.startswith(PY) else "unknown")
    assert peak < 16 * 2**20
    assert run.log.stat().st_size < 2 * 2**20


@pytest.mark.slow
def test_a_gate_that_ignores_the_request_to_end_is_killed(bench: Bench) -> None:
    """It prints all the time, and so do its children, in sessions of their own."""
    stubborn = (
        "import os, signal, subprocess, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if sys.argv[1:]: subprocess.Popen([sys.executable, __file__], start_new_session=True)\n"
        "while True: print('again'); time.sleep(0.001)\n"
    )
    commit = bench.repo.commit({"stubborn.py": stubborn})
    run = bench.run(commit, GateCommand(f"{PY} stubborn.py x", 2.0))
    assert (run.result, run.reason) == ("unknown", "the gate did not end in time (gate.timeout)")
    assert process.survivors([TOKEN]) == []


BOMB = '<!DOCTYPE b [<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        ("printf ''", "is not readable: "),
        ("printf '<testsuite><testcase name=\"a\"'", "is not readable: "),
        ("head -c 1000 /dev/urandom", "is not readable: "),
        (f"printf '%s' '{BOMB}]><testsuite name=\"&a11;\"/>'", "is not readable: "),
        ("truncate -s 10G r.xml; true", "the test report r.xml is too large: 10240 MiB"),
        ("printf '<html></html>'", ""),
        ("printf '<testsuites/>'", "no tests were found"),
    ],
)
def test_reports_that_say_nothing_are_no_verdict(bench: Bench, write: str, reason: str) -> None:
    commit = bench.repo.commit({"README.md": "x\n"})
    run = bench.run(commit, GateCommand(f"{write} >> r.xml", 60.0, junit="*.xml"))
    assert run.result == "unknown"
    assert reason in run.reason


@pytest.mark.parametrize(
    "make", ["mkdir r.xml", "mkfifo r.xml", "ln -s /dev/zero r.xml", "ln -s r.xml r.xml"]
)
def test_reports_that_are_no_files_are_not_waited_for(bench: Bench, make: str) -> None:
    commit = bench.repo.commit({"README.md": "x\n"})
    run = bench.run(commit, GateCommand(make, 60.0, junit="*.xml"))
    assert (run.result, run.reason) == (
        "unknown",
        "the test run left no results: no test report was written",
    )


def test_processes_left_behind_are_ended(bench: Bench) -> None:
    test = (
        "import subprocess, sys, unittest\nclass T(unittest.TestCase):\n  def test_a(self):\n"
        "    subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    )
    run = bench.run(bench.repo.commit({"tests/test_a.py": test}), ("sh", "-c", f"sleep 600 & {UNITTEST}"))
    assert run.result == "green"
    assert process.survivors([TOKEN]) == []


def test_changed_tracked_files_are_told_and_cleaned(bench: Bench) -> None:
    commit = bench.repo.commit({**PROJECT, "data.txt": "1\n"})
    command = f"echo 2 > data.txt; rm README.md; touch new; {UNITTEST}"
    run = bench.run(commit, command)
    assert (run.result, run.reason) == ("green", "the gate changed tracked files: README.md, data.txt")
    run = bench.run(commit, "test $(cat data.txt) = 1 && test -f README.md && test ! -e new")
    assert (run.result, run.reason) == ("green", "")


def test_a_gate_that_replaces_the_pointer_to_the_repository_is_not_judged(bench: Bench) -> None:
    commit = bench.repo.commit(PROJECT)
    run = bench.run(commit, "rm .git && git init -q .")
    assert (run.result, run.reason) == ("unknown", "the gate replaced the worktree's .git")


def test_what_a_gate_puts_into_a_submodule_steers_no_git_of_mine(bench: Bench, tmp_path: Path) -> None:
    """mo does not look into one: git reads its configuration, which may name programs."""
    inner = RepoBuilder.create(tmp_path / "inner", {"a": "1\n"})
    bench.repo.git("submodule", "add", "-q", str(inner.path), "sub")
    bench.repo.commit({"more": "1\n"})
    mark = tmp_path / "mark"
    known = f"git init -q && git fetch -q {inner.path} && git reset -q FETCH_HEAD"
    run = bench.run(bench.repo.head(), f"cd sub && {known} && git config core.fsmonitor 'touch {mark}'")
    assert not mark.exists()
    assert (run.result, run.reason) == ("green", "")


def test_stale_bytecode_hides_nothing(bench: Bench) -> None:
    """Same size, same time stamp, and a bytecode file of the good version that even survives the clean."""
    good = bench.repo.commit({**PROJECT, "calc.py": "def add(a, b): return a + b\n", ".gitignore": "*.pyc\n"})
    bad = bench.repo.commit({"calc.py": "def add(a, b): return a - b\n"})
    stamp = f"{PY} -c \"import os; os.utime('calc.py', (1_000_000_000, 1_000_000_000))\""
    stale = f"{stamp} && env -u PYTHONPYCACHEPREFIX {PY} -c 'import calc' && test -e __pycache__"
    gate = GateCommand(UNITTEST, 60.0, setup=(stamp,), keep=("__pycache__",))
    base = bench.run(good, replace(gate, setup=(stale,)))
    assert base.result == "green"
    assert (bench.slot.path / "__pycache__").is_dir()
    # The trap is real: without the fresh prefix the kept bytecode would be used.
    trap = f"env -u PYTHONPYCACHEPREFIX {PY} -c 'import calc; assert calc.add(1, 2) == 3'"
    assert bench.run(bad, replace(gate, command=trap)).result == "green"
    assert bench.run(bad, gate, baseline=base.tests).result == "red"
    assert bench.run(bad, replace(gate, keep=()), baseline=base.tests).result == "red"


def test_environment_of_a_gate(bench: Bench) -> None:
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    commit = bench.repo.commit({"README.md": "x\n"})
    setup = ("mkdir -p .venv/bin node_modules/.bin",)
    env = {**bench.env, "VIRTUAL_ENV": "/elsewhere", "PATH": f"/elsewhere/bin:{bench.env['PATH']}"}
    bench.run(commit, GateCommand((sys.executable, "-c", show), 60.0, setup=setup), env=env)
    seen = json.loads(bench.log().splitlines()[-1])
    top = bench.slot.path
    assert seen["PATH"] == f"{top}/.venv/bin:{top}/node_modules/.bin:{bench.env['PATH']}"
    assert seen["VIRTUAL_ENV"] == f"{top}/.venv"
    assert (seen["MO_WORKTREE"], seen["MO_ATTEMPT"]) == (str(top), TOKEN)
    prefix = Path(seen["PYTHONPYCACHEPREFIX"])
    assert not prefix.is_relative_to(top)
    assert not prefix.exists()
    assert "CI" not in seen


def test_set_up_runs_first_and_its_failure_is_unknown(bench: Bench) -> None:
    commit = bench.repo.commit(PROJECT)
    gate = GateCommand("test -f made", 60.0, setup=("touch made",))
    assert bench.run(commit, gate).result == "green"
    run = bench.run(commit, replace(gate, setup=("echo no luck; exit 3",)))
    assert (run.result, run.reason) == (
        "unknown",
        "the gate's set-up `echo no luck; exit 3` ended with exit code 3",
    )
    assert bench.log() == "$ echo no luck; exit 3\nno luck\n"


def test_provision_comes_before_the_command_and_may_fail(bench: Bench) -> None:
    commit = bench.repo.commit(PROJECT)

    async def good(top: Path) -> Prepared | None:
        (top / "provided").write_text((top / "calc.py").read_text())
        return None

    async def bad(top: Path) -> Prepared | None:
        return Prepared(False, "no network", top, (), 0.0, False)

    assert bench.run(commit, "cmp provided calc.py", provision=good).result == "green"
    run = bench.run(commit, "true", provision=bad)
    assert (run.result, run.reason) == ("unknown", "set-up failed: no network")


def test_old_report_files_do_not_count(bench: Bench) -> None:
    commit = bench.repo.commit({"README.md": "x\n"})
    xml = "<testsuite><testcase classname='a' name='b'/></testsuite>"
    gate = GateCommand(f'mkdir -p out && echo "{xml}" > out/r.xml', 60.0, junit="out/*.xml", keep=("out",))
    assert bench.run(commit, gate).tests == Tests({"a::b": "passed"})
    run = bench.run(commit, replace(gate, command="true"))
    assert (run.result, run.reason) == ("unknown", "the test run left no results: no test report was written")


# -- which files are made unreadable ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "command", "expected"),
    [
        (["src/a.py", "tests/test_a.py", "setup.py", "README.md"], "pytest", ["src/a.py"]),
        (["a.py", "a_test.py", "test_a.py", "conftest.py", "noxfile.py"], "pytest", ["a.py"]),
        (["a.ts", "a.test.ts", "b.spec.tsx", "vite.config.ts", "__tests__/c.js"], "npm test", ["a.ts"]),
        (["main.go", "main_test.go", "build.rs", "src/lib.rs"], "go test", ["main.go", "src/lib.rs"]),
        (
            ["run.sh", "lib.sh", "latest.py", "contest.py"],
            "sh ./run.sh",
            ["contest.py", "latest.py", "lib.sh"],
        ),
        (["check.py", "a.py"], ("python", "check.py"), ["a.py"]),
        (["CalcTest.java", "Calc.java", "Latest.java"], "mvn test", ["Calc.java", "Latest.java"]),
        (["test.js", "index.js", ".eslintrc.js"], "node --test", ["index.js"]),
        (["runner.js", "index.js", "package.json"], "npm test", ["index.js"]),
        (["tests/test_a.py", "tests/test_b.py"], "pytest tests/test_b.py", ["tests/test_a.py"]),
        (["README.md", "check.sh"], "sh check.sh", ["README.md", "check.sh"]),
        ([], "true", []),
    ],
)
def test_targets(paths: list[str], command: Command, expected: list[str]) -> None:
    scripts = {"test": "node runner.js"}
    assert targets(dict.fromkeys(paths, "100644"), command, scripts) == expected


def test_targets_by_mode() -> None:
    files = {"bin/tool": "100755", "link.py": "120000", "module.py": "160000", "notes": "100644"}
    assert targets(files, "true", {}) == ["bin/tool"]


@pytest.mark.parametrize(
    "argv",
    [
        *([sys.executable], ["sh"], ["bash"], ["node"], ["perl"]),
        *(pytest.param([name], marks=pytest.mark.slow) for name in ("ruby", "php", "lua")),
    ],
    ids=lambda argv: Path(argv[0]).name,
)
@pytest.mark.parametrize("suffix", ["", "x"])
def test_nothing_can_run_an_unreadable_file(tmp_path: Path, argv: list[str], suffix: str) -> None:
    need.require(argv[0])
    (tmp_path / "file.js").write_bytes(UNREADABLE + suffix.encode())
    assert process.run([*argv, "file.js"], cwd=tmp_path).code != 0


# -- the proof ----------------------------------------------------------------------------------------


def test_an_honest_gate_is_proven(bench: Bench) -> None:
    bench.repo.commit(PROJECT)
    proof = bench.prove(UNITTEST)
    assert (proof.ok, proof.reason, proof.hint, proof.leaked) == (True, "", "", ())
    assert proof.baseline.result == "green"
    assert bench.repo.git("status", "--porcelain") == ""
    # the next run has the code back
    assert bench.run(bench.repo.head(), UNITTEST).result == "green"


def test_a_gate_with_known_failures_is_proven(bench: Bench) -> None:
    bench.repo.commit({**PROJECT, "tests/test_known.py": KNOWN})
    proof = bench.prove(UNITTEST)
    assert (proof.ok, proof.reason) == (True, "the gate fails on the base already: 1 test")
    assert proof.baseline.failed_ids == ("test_known.K.test_known",)


def test_known_failures_that_ignore_the_code_prove_nothing(bench: Bench) -> None:
    bench.repo.commit({"calc.py": CALC, "tests/test_known.py": KNOWN})
    proof = bench.prove(UNITTEST)
    assert (proof.ok, proof.reason) == (
        False,
        "the gate's tests do the same although the code is unreadable",
    )


def test_a_weak_gate_that_fails_on_the_base_is_noted(bench: Bench) -> None:
    bench.repo.commit({"a.sh": "exit 7\n"})
    proof = bench.prove("sh a.sh")
    assert (proof.ok, proof.reason) == (True, "the gate fails on the base already: exit code 7")


def test_a_gate_of_true_is_refused(bench: Bench) -> None:
    bench.repo.commit(PROJECT)
    proof = bench.prove("true")
    assert (proof.ok, proof.reason, proof.leaked) == (
        False,
        "the gate passes although the code is unreadable",
        (),
    )
    assert proof.hint == (
        "set gate.command to what runs your tests: "
        "mo config set gate.command 'python3 -m unittest discover -s tests'"
    )


def test_no_gate_needs_no_proof(bench: Bench) -> None:
    proof = bench.prove(NONE)
    assert (proof.ok, proof.reason, proof.baseline.result) == (True, "no gate: nothing was tested", "green")


def test_a_gate_without_a_result_is_refused_after_a_second_try(bench: Bench) -> None:
    bench.repo.commit({**PROJECT, "pyproject.toml": "[project]\nname = 'x'\n"})
    proof = bench.prove("no-such-runner")
    assert not proof.ok
    assert proof.reason.startswith("the gate gives no result on the base: the gate command, or a program")
    assert proof.hint == (
        f"if something has to be installed first: {PIP_SET}; the log is {bench.logs / 'base-again.log'}"
    )
    assert sorted(path.name for path in bench.logs.iterdir()) == ["base-again.log", "base.log"]


PACKAGE = {
    "pyproject.toml": "[project]\nname = 'pkg'\n",
    ".gitignore": ".venv\nnode_modules\n",
    "src/pkg/__init__.py": "from pkg.core import add\n",
    "src/pkg/core.py": CALC,
    "tests/test_pkg.py": CALC_TEST.replace("calc", "pkg"),
}
PIP_HINT = f"give each worktree an environment of its own: {PIP_SET}"


def active_venv(bench: Bench, site_file: str, content: str) -> dict[str, str]:
    """A virtual environment in the main checkout with one more file, and the environment of it active."""
    home = bench.repo.path / ".venv"
    venv.create(home, with_pip=False)
    site = next(home.glob("lib/python*/site-packages"))
    (site / site_file).parent.mkdir(parents=True, exist_ok=True)
    (site / site_file).write_text(content)
    return {**bench.env, "VIRTUAL_ENV": str(home), "PATH": f"{home}/bin:{bench.env['PATH']}"}


def test_an_editable_install_of_the_main_checkout_is_found(bench: Bench) -> None:
    bench.repo.commit(PACKAGE)
    source = bench.repo.path / "src"
    env = active_venv(bench, "pkg.pth", f"{source}\n")
    proof = bench.prove("python -m unittest discover -s tests", env)
    leaked = (f"{source}/pkg/__init__.py", f"{source}/pkg/core.py")
    assert (proof.ok, proof.leaked, proof.hint) == (False, leaked, PIP_HINT)
    assert proof.reason == f"the gate passes although the code is unreadable; it really used {leaked[0]}"
    assert sorted(path.name for path in bench.slot.path.parent.iterdir()) == ["1"]


def test_an_existing_sitecustomize_still_works_while_tracing(bench: Bench) -> None:
    bench.repo.commit(PACKAGE)
    source = bench.repo.path / "src"
    own = bench.repo.path.with_name("own")  # before the one that some systems have beside the library
    own.mkdir()
    (own / "sitecustomize.py").write_text(f"import sys\nsys.path.insert(0, {str(source)!r})\n")
    env = {**bench.env, "PYTHONPATH": str(own)}
    proof = bench.prove("python -m unittest discover -s tests", env)
    assert (proof.ok, proof.leaked) == (False, (f"{source}/pkg/__init__.py", f"{source}/pkg/core.py"))


def test_an_installed_copy_is_found(bench: Bench) -> None:
    bench.repo.commit(PACKAGE)
    env = active_venv(bench, "pkg/__init__.py", CALC)
    proof = bench.prove("python -m unittest discover -s tests", env)
    copy = next(bench.repo.path.glob(".venv/lib/python*/site-packages")) / "pkg/__init__.py"
    assert (proof.ok, proof.leaked, proof.hint) == (False, (str(copy),), PIP_HINT)


def test_the_remedy_of_an_editable_install_works(bench: Bench) -> None:
    """The same project and active environment, with an environment of the gate worktree's own."""
    bench.repo.commit(PACKAGE)
    env = active_venv(bench, "pkg.pth", f"{bench.repo.path / 'src'}\n")
    link = "for d in .venv/lib/python*/site-packages; do echo $PWD/src > $d/pkg.pth; done"
    setup = (f"{PY} -m venv --without-pip .venv", link)
    proof = bench.prove(GateCommand("python -m unittest discover -s tests", 60.0, setup=setup), env)
    assert (proof.ok, proof.reason, proof.baseline.result) == (True, "", "green")


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_links_of_node_modules_into_the_main_checkout_are_found(bench: Bench) -> None:
    test = (
        "const test = require('node:test'); const {add} = require('lib');\n"
        "test('adds', () => { if (add(1, 2) !== 3) throw 1 });\n"
    )
    bench.repo.commit(
        {
            ".gitignore": "node_modules\n",
            "package.json": '{"workspaces": ["packages/lib"]}',
            "packages/lib/package.json": '{"name": "lib", "main": "index.js"}',
            "packages/lib/index.js": "exports.add = (a, b) => a + b;\n",
            "test/a.test.js": test,
        }
    )
    library = bench.repo.path / "packages/lib"

    def linked(target: str) -> Proof:
        setup = (f"mkdir -p node_modules && ln -s {shlex.quote(target)} node_modules/lib",)
        return bench.prove(GateCommand("node --test test/", 60.0, setup=setup))

    proof = linked(str(library))
    assert (proof.ok, proof.leaked) == (False, (str(library),))
    install = '["npm install --no-package-lock"]'
    assert proof.hint == f"install in each worktree: mo config set workspace.setup '{install}'"
    assert linked("../packages/lib").ok
