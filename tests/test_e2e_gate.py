"""The gate against everything that could make it lie: the real command line and daemon, real projects."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from mo_git.errors import Exit
from tests.driver import Mo, plan, python, writes
from tests.need import require
from tests.schemas import problems

pytestmark = pytest.mark.slow

UNITTEST = "python -m unittest discover -s tests"
ADD = "def add(a, b):\n    return a + b\n"
BAD_ADD = "def add(a, b):\n    return a - b\n"
ADD_TEST = """\
import unittest
from pkg import add

class T(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(1, 2), 3)
"""
FLAT = {".gitignore": ".venv\nout\n", "pkg.py": ADD, "tests/test_pkg.py": ADD_TEST}
SRC_LAYOUT = {
    ".gitignore": ".venv/\n__pycache__/\n",
    "pyproject.toml": '[project]\nname = "pkg"\nversion = "1"\n',
    "src/pkg/__init__.py": ADD,
    "tests/test_pkg.py": ADD_TEST,
}


@pytest.fixture(autouse=True)
def tests_own_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python` and `python3` are those that run the tests."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.fixture(params=["sandbox", "guard"])
def tier(request: pytest.FixtureRequest, mo: Mo) -> str:
    """What is around gates and set-up."""
    if request.param == "sandbox":
        require("bwrap")
    else:
        mo.environ["MO_SANDBOX__MODE"] = "off"
    return str(request.param)


@pytest.fixture
def shared(sealed: Path) -> Path:
    """A directory for `gate.writable` or `sandbox.read`."""
    (sealed / "shared").mkdir()
    return sealed / "shared"


@dataclass(frozen=True)
class Ran:
    """A goal that ended: what `mo do` printed, and its document."""

    out: str
    goal: Any

    @property
    def states(self) -> dict[str, str]:
        return {one["id"]: one["state"] for one in self.goal["tasks"]}

    @property
    def failed_ids(self) -> list[list[str]]:
        return [one["evidence"]["failed_ids"] for one in self.goal["ejections"]]


def plan_file(mo: Mo, *tasks: Mapping[str, Any]) -> str:
    """A plan as an argument of `mo do`."""
    file = mo.repo.path.parent / "plan.json"
    file.write_text(plan(tasks))
    return f"@{file}"


def do(mo: Mo, *tasks: Mapping[str, Any], args: Sequence[str] = (), code: int = 0) -> Ran:
    """Queue a plan and follow it to its end."""
    done = mo("do", plan_file(mo, *tasks), *args, code=code)
    return Ran(done.out, show(mo))


def task(name: str, path: str, text: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "run": writes(path, text), **more}


def show(mo: Mo, goal: str = "@last") -> Any:
    """The goal of `mo show --json`, held to its schema."""
    document = mo.json("show", goal)
    assert problems("show", document) == []
    return document["goal"]


def activate(mo: Mo, home: Path) -> None:
    """As a shell does after `. bin/activate` of this virtual environment."""
    mo.environ |= {"VIRTUAL_ENV": str(home), "PATH": f"{home}/bin:{os.environ['PATH']}"}


def make_venv(home: Path) -> Path:
    """A virtual environment without pip; its site-packages directory."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    return next(home.glob("lib/python*/site-packages"))


NO_RESULT = "gate not proved: the gate gives no result on the base: "
BREAKER = task("breaker", "src/pkg/__init__.py", BAD_ADD)


def refused(mo: Mo, *args: str) -> tuple[str, str]:
    """(message, hint) of an `mo init` that refuses the gate."""
    error = json.loads(mo("--json", "init", *args, code=Exit.GATE).err)["error"]
    assert error["code"] == "gate"
    return error["message"], error["hint"]


def halted(mo: Mo, *args: str) -> str:
    """Why `mo do` refuses the gate: no task was started, nothing moved."""
    before = mo.repo.head()
    goal = do(mo, BREAKER, args=args, code=Exit.GATE).goal
    assert (goal["state"], goal["landings"], goal["tasks"][0]["attempts"]) == ("halted", [], [])
    own = (f"refs/heads/mo/{goal['id']}", f"refs/mo/{goal['id']}")
    assert mo.repo.git("for-each-ref", "--format=%(objectname)", *own).split() == [before, before]
    assert mo.repo.head() == before
    status = mo.json("status")
    assert problems("status", status) == []
    assert status["goals"][0]["needs"][0]["do"] == f"mo resume {goal['id']}"
    return str(goal["reason"]).replace(goal["id"], "GOAL")


def follow(mo: Mo, hint: str) -> None:
    """Type every command that a refusal prints, as it stands there."""
    lines = re.findall(r"mo config set \S+ (?:'[^']*'|\S+)", hint)
    assert lines, hint
    for line in lines:
        mo(*shlex.split(line)[1:])


# -- the proof ----------------------------------------------------------------------------------------


GOOD = task("good", "src/pkg/more.py", "MORE = 1\n")
ADDS = "test_pkg.T.test_add"  # the id of the one test
PYTHON_REMEDY = (
    "give each worktree an environment of its own: mo config set workspace.setup "
    """'["python3 -m venv --clear .venv", ".venv/bin/python -m pip install -e ."]'"""
)
# What setuptools writes for an editable install with a mapping instead of a path.
FINDER = """\
import sys
from importlib.util import spec_from_file_location
class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "pkg":
            place = MAPPING
            return spec_from_file_location(name, place + "/__init__.py", submodule_search_locations=[place])
sys.meta_path.append(Finder)
"""


def not_proved(mo: Mo, tier: str, path: str) -> str:
    """The refusal of a gate that depends on a file of the main checkout."""
    file = mo.repo.path / path
    if tier == "guard":
        return f"gate not proved: the gate passes although the code is unreadable; it really used {file}"
    return (
        "gate not proved: the gate's tests do the same although the code is unreadable; "
        f"it needs {file}, which the sandbox hides"
    )


def lands_only_the_good_one(mo: Mo) -> None:
    ran = do(mo, GOOD, BREAKER, code=Exit.FAILED)
    assert ran.states == {"good": "landed", "breaker": "ejected"}
    assert ran.failed_ids == [[ADDS]]


def editable_path(site: Path, top: Path) -> None:
    (site / "__editable__.pkg-1.pth").write_text(f"{top}/src\n")


def editable_finder(site: Path, top: Path) -> None:
    (site / "__editable___pkg_finder.py").write_text(FINDER.replace("MAPPING", repr(f"{top}/src/pkg")))
    (site / "__editable__.pkg-1.pth").write_text("import __editable___pkg_finder\n")


@pytest.mark.parametrize(
    ("place", "install"), [("repo/.venv", editable_path), ("elsewhere/env", editable_finder)]
)
def test_an_editable_install_of_the_main_checkout(
    mo: Mo, tmp_path: Path, place: str, install: Callable[[Path, Path], None], tier: str
) -> None:
    mo.repo.commit(SRC_LAYOUT)
    install(make_venv(tmp_path / place), mo.repo.path)
    activate(mo, tmp_path / place)
    reason = not_proved(mo, tier, "src/pkg/__init__.py")
    assert refused(mo) == (reason, PYTHON_REMEDY)
    assert halted(mo) == f"{reason}; {PYTHON_REMEDY}"


def test_a_copied_virtual_environment(mo: Mo, tier: str) -> None:
    mo.repo.commit({**SRC_LAYOUT, ".worktreeinclude": ".venv\n"})
    editable_path(make_venv(mo.repo.path / ".venv"), mo.repo.path)
    message, hint = refused(mo, "--gate", UNITTEST)
    assert message == not_proved(mo, tier, "src/pkg/__init__.py")
    assert hint == PYTHON_REMEDY
    assert halted(mo, "--gate", UNITTEST) == f"{message}; {hint}"


def test_a_gate_that_names_its_interpreter(mo: Mo, tmp_path: Path, tier: str) -> None:
    """The remedy takes the path out of the command; one for a project without .gitignore mentions that."""
    mo.repo.commit({name: text for name, text in SRC_LAYOUT.items() if name != ".gitignore"})
    home = tmp_path / "env"
    editable_path(make_venv(home), mo.repo.path)
    _, hint = refused(mo, "--gate", f"{home}/bin/{UNITTEST}")
    assert hint == (
        f"{PYTHON_REMEDY}; and let the gate use it: mo config set gate.command '{UNITTEST}'"
        "; and let git ignore it: echo .venv/ >> .git/info/exclude"
    )


def test_code_that_is_on_a_path_and_not_installed(mo: Mo, tmp_path: Path, tier: str) -> None:
    """Nothing can be installed, so the search path is the remedy; it works."""
    mo.repo.commit({name: text for name, text in SRC_LAYOUT.items() if name != "pyproject.toml"})
    editable_path(make_venv(tmp_path / "env"), mo.repo.path)
    activate(mo, tmp_path / "env")
    _, hint = refused(mo, "--gate", UNITTEST)
    assert hint == (
        f"let the tests import the worktree's code: mo config set gate.command 'PYTHONPATH=src {UNITTEST}'"
    )
    follow(mo, hint)
    mo("init")
    lands_only_the_good_one(mo)


def test_a_gate_of_true(mo: Mo) -> None:
    mo.repo.commit(FLAT)
    reason = "gate not proved: the gate passes although the code is unreadable"
    hint = (
        "set gate.command to what runs your tests: "
        "mo config set gate.command 'python3 -m unittest discover -s tests'"
    )
    assert refused(mo, "--gate", "true") == (reason, hint)
    assert halted(mo, "--gate", "true") == f"{reason}; {hint}"
    follow(mo, hint)
    assert mo("init").out.startswith("gate: python3 -m unittest discover -s tests (proved; ")


def test_stale_bytecode(mo: Mo) -> None:
    """Breakers of the same size and age, in a worktree that keeps the bytecode of the good version."""
    mo.repo.commit({**FLAT, ".gitignore": "__pycache__\n"})
    age = "find . -name '*.py' -exec touch -d @1000000000 {} +"
    mo.configure(gate={"command": f"{age} && {UNITTEST}", "keep": ["__pycache__"]})
    bad = [ADD.replace("+", operator) for operator in "-*/"]
    assert {len(text) for text in bad} == {len(ADD)}
    ran = do(mo, *(task(f"bad{i}", "pkg.py", text) for i, text in enumerate(bad)), code=Exit.FAILED)
    assert set(ran.states.values()) == {"ejected"}


# A build backend (PEP 660) in the project itself: a real `pip install -e .` that needs no index.
BACKEND = """\
import pathlib, zipfile
def build_editable(directory, config_settings=None, metadata_directory=None):
    files = {
        "__editable__.pkg-1.pth": str(pathlib.Path("src").absolute()),
        "pkg-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: pkg\\nVersion: 1",
        "pkg-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any",
    }
    files["pkg-1.dist-info/RECORD"] = "\\n".join(name + ",," for name in files)
    with zipfile.ZipFile(pathlib.Path(directory) / "pkg-1-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text + "\\n")
    return "pkg-1-py3-none-any.whl"
"""
INSTALLABLE = {
    **SRC_LAYOUT,
    "backend.py": BACKEND,
    "pyproject.toml": SRC_LAYOUT["pyproject.toml"]
    + '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
}
NO_INDEX = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def pip_install_editable(mo: Mo, home: Path) -> str:
    """A virtual environment with the main checkout really installed in it; the file that says so."""
    mo.environ |= NO_INDEX
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    install = ["install", "-q", "-e", ".", "--no-deps", "--no-build-isolation"]
    subprocess.run([home / "bin/python", "-m", "pip", *install], check=True, cwd=mo.repo.path, env=mo.environ)
    return next(home.glob("lib/python*/site-packages/__editable__.pkg-1.pth")).read_text()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", ["repo/.venv", "elsewhere/env"])
def test_the_remedy_for_a_real_editable_install(mo: Mo, tmp_path: Path, place: str, tier: str) -> None:
    mo.repo.commit(INSTALLABLE)
    before = pip_install_editable(mo, tmp_path / place)
    activate(mo, tmp_path / place)
    assert refused(mo) == (not_proved(mo, tier, "src/pkg/__init__.py"), PYTHON_REMEDY)
    follow(mo, PYTHON_REMEDY)
    assert mo("init", timeout=200).out.startswith("gate: python3 -m unittest discover -s tests (proved; ")
    lands_only_the_good_one(mo)
    (file,) = (tmp_path / place).glob("lib/python*/site-packages/__editable__.pkg-1.pth")
    assert file.read_text() == before


@pytest.mark.timeout(300)
def test_the_remedy_for_a_copied_environment_leaves_the_original_alone(mo: Mo, tier: str) -> None:
    """Its scripts name the original's interpreter: `.venv/bin/pip` would install into the main checkout's."""
    mo.repo.commit({**INSTALLABLE, ".worktreeinclude": ".venv\n"})
    home = mo.repo.path / ".venv"
    before = pip_install_editable(mo, home)
    _, hint = refused(mo, "--gate", UNITTEST)
    follow(mo, hint)
    mo("init", "--gate", UNITTEST, timeout=200)
    lands_only_the_good_one(mo)
    (file,) = home.glob("lib/python*/site-packages/__editable__.pkg-1.pth")
    assert file.read_text() == before


def make_wheel(directory: Path, name: str) -> None:
    """An installed package as a file that pip installs, so that no index is needed."""
    package = distribution(name)
    files = [
        file
        for file in package.files or ()
        if ".." not in file.parts and file.suffix != ".pyc" and file.name not in ("RECORD", "INSTALLER")
    ]
    (info,) = {file.parts[0] for file in files if file.parts[0].endswith(".dist-info")}
    with zipfile.ZipFile(directory / f"{name}-{package.version}-py3-none-any.whl", "w") as wheel:
        for file in files:
            wheel.write(str(file.locate()), str(file))
        wheel.writestr(f"{info}/RECORD", "\n".join(f"{file},," for file in files))


@pytest.mark.timeout(300)
def test_the_remedy_for_a_runner_that_is_not_installed(mo: Mo, tmp_path: Path) -> None:
    mo.repo.commit({**INSTALLABLE, "tests/test_pkg.py": "import pytest\n" + ADD_TEST})
    make_venv(tmp_path / "env")
    activate(mo, tmp_path / "env")
    message, hint = refused(mo)
    assert message == (
        f"{NO_RESULT}the test run left no results: no test report was written; "
        f"its output ends: {tmp_path}/env/bin/python3: No module named pytest"
    )
    assert (
        """mo config set workspace.setup '["python3 -m venv --clear .venv", """
        """".venv/bin/python -m pip install -e . pytest"]'"""
    ) in hint
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    mo("config", "set", "sandbox.read", json.dumps([str(wheels)]))
    for name in ("pytest", "iniconfig", "packaging", "pluggy", "pygments"):
        make_wheel(wheels, name)
    mo.environ |= NO_INDEX | {"PIP_FIND_LINKS": str(wheels)}
    mo("daemon", "stop")
    follow(mo, hint)
    assert mo("init", timeout=200).out.startswith("gate: python3 -m pytest (proved; ")
    ran = do(mo, GOOD, BREAKER, code=Exit.FAILED)
    assert ran.states == {"good": "landed", "breaker": "ejected"}
    assert ran.failed_ids == [["tests/test_pkg.py::tests.test_pkg.T::test_add"]]


# -- the proof, for npm -------------------------------------------------------------------------------

WORKSPACE = {
    ".gitignore": "node_modules\n",
    ".worktreeinclude": "node_modules\n",
    "package.json": '{"name": "all", "private": true, "workspaces": ["packages/*"]}\n',
    "packages/lib/package.json": '{"name": "lib", "version": "1.0.0", "main": "index.js"}\n',
    "packages/lib/index.js": "exports.add = (a, b) => a + b;\n",
    "test/a.test.js": """\
const test = require('node:test');
const {add} = require('lib');
test('adds', () => { if (add(1, 2) !== 3) throw new Error('no'); });
""",
}
JS_BREAKER = task("breaker", "packages/lib/index.js", "exports.add = (a, b) => a - b;\n")
JS_GOOD = task("good", "packages/lib/more.js", "exports.more = 1;\n")


def test_absolute_links_of_an_npm_workspace_are_turned_to_the_worktree(mo: Mo) -> None:
    require("node")
    mo.repo.commit(WORKSPACE)
    (mo.repo.path / "node_modules").mkdir()
    (mo.repo.path / "node_modules/lib").symlink_to(mo.repo.path / "packages/lib")
    assert mo("init").out.startswith("gate: node --test (proved; ")
    ran = do(mo, JS_GOOD, JS_BREAKER, code=Exit.FAILED)
    assert ran.states == {"good": "landed", "breaker": "ejected"}
    assert ran.failed_ids == [["test/a.test.js::adds"]]
    assert (mo.repo.path / "node_modules/lib").readlink() == mo.repo.path / "packages/lib"


def test_a_copy_of_the_project_s_own_package_in_node_modules(mo: Mo, tier: str) -> None:
    require("npm")
    mo.environ |= {"npm_config_offline": "true", "npm_config_audit": "false"}
    mo.repo.commit(WORKSPACE)
    copy = mo.repo.path / "node_modules/lib"
    shutil.copytree(mo.repo.path / "packages/lib", copy)
    message, hint = refused(mo)
    assert re.search(r"it really used \S+/gates/1/node_modules/lib$", message)
    assert (
        hint
        == """install in each worktree: mo config set workspace.setup '["npm install --no-package-lock"]'"""
    )
    assert halted(mo) == f"{message}; {hint}"
    follow(mo, hint)
    mo("init")
    ran = do(mo, JS_GOOD, JS_BREAKER, code=Exit.FAILED)
    assert ran.states == {"good": "landed", "breaker": "ejected"}
    assert not copy.is_symlink()


# -- gates that are no good ---------------------------------------------------------------------------

MORE = task("good", "more.py", "MORE = 1\n")
BAD = task("bad", "pkg.py", BAD_ADD)


def test_gates_that_give_no_result(mo: Mo) -> None:
    mo.repo.commit({**FLAT, "gate.sh": "exec true\n", "requirements.txt": "\n", "empty/README": "x\n"})
    mo("init", "--no-prove")
    log = mo.repo.path / ".mo/runs/init/integration/base-again.log"
    other = f"correct gate.command, gate.timeout or workspace.setup; the log is {log}"
    install = (
        """if something has to be installed first: mo config set workspace.setup '["python3 -m venv """
        f"""--clear .venv", ".venv/bin/python -m pip install -r requirements.txt"]'; the log is {log}"""
    )
    missing = (
        "the gate command, or a program that it calls, was not found (exit code 127); correct gate.command, "
        "or install what it needs with workspace.setup"
    )
    locked = (
        "the gate command could not be run (exit code 126); make its file executable with "
        "`git update-index --chmod=+x FILE` and commit that"
    )
    assert refused(mo, "--gate", "no-such-program -q") == (NO_RESULT + missing, install)
    assert refused(mo, "--gate", "./gate.sh") == (NO_RESULT + locked, other)
    assert refused(mo, "--gate", "kill -9 $$") == (NO_RESULT + "the gate died of signal 9", other)
    assert refused(mo, "--gate", "python -m unittest discover -s empty") == (
        NO_RESULT + "no tests were found",
        other,
    )
    mo("config", "set", "gate.timeout", "0.5")
    assert refused(mo, "--gate", "sleep 300") == (
        NO_RESULT + "the gate did not end in time (gate.timeout)",
        other,
    )
    mo("config", "unset", "gate.timeout")
    mo("config", "set", "gate.junit", "out/*.xml")
    message, _ = refused(mo, "--gate", "mkdir out; echo '<testsuite><testcase' > out/a.xml")
    assert message.startswith(
        NO_RESULT + "the test run left no results: the test report out/a.xml is not readable: "
    )
    assert refused(mo, "--gate", UNITTEST)[0] == (
        NO_RESULT + "the test run left no results: no test report was written; its output ends: OK"
    )
    assert halted(mo, "--gate", "no-such-program -q") == NO_RESULT + missing + "; " + install.replace(
        "/init/", "/GOAL/"
    )
    assert mo.programs() == []


def test_a_noisy_gate(mo: Mo) -> None:
    """100 MB of output that is no text, a changed tracked file, and a process that flees."""
    noise = (
        "head -c 100000000 /dev/zero | tr '\\0' '\\377'\n"
        "echo spoilt >> README.md\n"
        "setsid sleep 300 >/dev/null 2>&1 &\n"
        f"{UNITTEST} 2>&1\n"
    )
    mo.repo.commit({**FLAT, "gate.sh": noise})
    mo.configure(gate={"command": "sh gate.sh"}, limits={"log_mb": 1})
    ran = do(mo, MORE, BAD, code=Exit.FAILED)
    assert mo.programs() == []
    goal = ran.goal
    assert ran.states == {"good": "landed", "bad": "ejected"}
    changed = "the gate changed tracked files: README.md"
    gates = {run["tasks"][0]: (run["result"], run["weak"], run["reason"]) for run in goal["gates"]}
    assert gates == {
        "good": ("green", True, changed),
        "bad": ("red", True, f"exit code 1; {changed}"),
    }
    assert "spoilt" not in mo.repo.tree(goal["integration"])["README.md"]
    evidence = goal["ejections"][0]["evidence"]
    assert evidence["log_tail"].endswith("FAILED (failures=1)\n")
    assert 1.0 < Path(evidence["log"]).stat().st_size / 2**20 < 1.5


def test_a_gate_s_own_junit_reports(mo: Mo) -> None:
    report = "import pathlib, pkg; ok = pkg.add(1, 2) == 3; " + (
        """pathlib.Path('out/r.xml').write_text('<testsuite><testcase classname="c" name="adds">' """
        """+ ('' if ok else '<failure/>') + '</testcase></testsuite>')"""
    )
    mo.repo.commit({**FLAT, "report.py": report})
    mo.configure(gate={"command": "mkdir -p out && python report.py", "junit": "out/*.xml"})
    ran = do(mo, MORE, BAD, code=Exit.FAILED)
    assert ran.states == {"good": "landed", "bad": "ejected"}
    assert ran.failed_ids == [["c::adds"]]


def test_candidates_that_leave_the_gate_without_a_verdict_wait_for_a_person(mo: Mo) -> None:
    mo.repo.commit(FLAT)
    mo.configure(gate={"command": UNITTEST, "timeout": 10})
    tests = {
        "hangs": "import time; time.sleep(300)",
        "dies": "import os; os._exit(0)",
        "killed": "import os; os.kill(os.getpid(), 9)",
    }
    tasks = [task(name, f"tests/test_{name}.py", text) for name, text in tests.items()]
    ran = do(mo, *tasks, MORE, code=Exit.FAILED)
    assert ran.states == dict.fromkeys(tests, "awaiting_person") | {"good": "landed"}
    assert {one["id"]: one["reason"] for one in ran.goal["tasks"] if one["reason"]} == {
        "hangs": "the gate gives no verdict: the gate did not end in time (gate.timeout)",
        "dies": "the gate gives no verdict: the test run left no results: "
        "the test run ended before its report was complete",
        "killed": "the gate gives no verdict: the gate died of signal 9",
    }
    assert mo.programs() == []


def test_no_gate(mo: Mo) -> None:
    mo.repo.commit(FLAT)
    assert mo("init", "--gate", "none").out.startswith("gate: none (not proved; ")
    ran = do(mo, BAD)
    assert (ran.states, len(ran.goal["landings"])) == ({"bad": "landed"}, 1)
    run = ran.goal["gates"][0]
    assert (run["result"], run["weak"], run["reason"]) == ("green", True, "no gate (none)")
    assert "  goal  no gate: what lands is not tested (gate.command = none)\n" in ran.out


def test_a_weak_gate_that_is_red_on_the_base(mo: Mo) -> None:
    mo.repo.commit({"state.txt": "broken\n"})
    mo.configure(gate={"command": "grep -q works state.txt"})
    ran = do(mo, task("noise", "more.txt", "x\n"), code=Exit.FAILED)
    assert re.search(r"  weak gate on \S+: the gate fails on the base already: exit code 1\n", ran.out)
    assert ran.states == {"noise": "ejected"}
    ran = do(mo, task("fix", "state.txt", "works\n"), task("late", "b.txt", "x\n", depends_on=["fix"]))
    assert ran.states == {"fix": "landed", "late": "landed"}
    again = task("again", "state.txt", "broken again\n")
    ran = do(mo, again, args=("--base", ran.goal["integration"]), code=Exit.FAILED)
    assert ran.states == {"again": "ejected"}


# -- set-up and settings ------------------------------------------------------------------------------


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def gate_worktree() -> Path:
    (found,) = Path(os.environ["XDG_STATE_HOME"]).glob("mo/*/gates/1")
    return found


@pytest.mark.parametrize("keep", [["out/"], []])
def test_what_a_gate_keeps(mo: Mo, keep: list[str]) -> None:
    mo.repo.commit({**FLAT, ".gitignore": "out/\n__pycache__/\n"})
    mo.configure(gate={"command": f"mkdir -p out && echo run >> out/runs && {UNITTEST}", "keep": keep})
    do(mo, task("a", "a.py", ""), {**task("b", "b.py", ""), "depends_on": ["a"]})
    runs = lines(gate_worktree() / "out/runs")
    assert len(runs) == (4 if keep else 1)  # base, unreadable, a, b


# `install` is what pip or npm would be: it makes an ignored directory from a manifest.
INSTALL = """\
echo "$PWD" >> {shared}/installs
mkdir -p vendor
cp deps.txt vendor/deps.py
{more}
"""
NEEDS_VENDOR = {
    ".gitignore": "vendor/\n__pycache__/\n",
    "deps.txt": "VALUE = 1\n",
    "requirements.txt": "-r deps.txt\n",
    "pkg.py": "from vendor.deps import VALUE\n\n\n" + ADD,
    "tests/test_pkg.py": ADD_TEST,
}


@pytest.mark.parametrize("more", ["", "pwd > vendor/where"])
def test_set_up_runs_once_per_slot_or_once_for_all(mo: Mo, shared: Path, more: str, tier: str) -> None:
    """What names no place is cloned into other slots; what does is made again in each.

    Nothing that was made with the cache of tasks gets into a gate.
    """
    mo.repo.commit({**NEEDS_VENDOR, "install.sh": INSTALL.format(more=more, shared=shared)})
    mo.configure(
        gate={"command": UNITTEST, "writable": [str(shared)]}, workspace={"setup": ["sh install.sh"]}
    )
    do(mo, *(task(name, f"{name}.py", "") for name in ("a", "b", "c")), args=("-j", "1"))
    slots = lines(shared / "installs")
    assert len(slots) == len(set(slots)) == (2 if more or tier == "sandbox" else 1)
    changed = task("changed", "requirements.txt", "-r deps.txt\n# and more\n")
    bad = task("bad", "pkg.py", NEEDS_VENDOR["pkg.py"].replace("+", "-"))
    ran = do(mo, changed, bad, args=("-j", "1"), code=Exit.FAILED)
    assert ran.states == {"changed": "landed", "bad": "ejected"}
    assert len(lines(shared / "installs")) > len(slots)


def test_a_failing_set_up_halts_the_goal(mo: Mo, shared: Path) -> None:
    """Before the start, in an attempt, in the gate: never blamed on a task, and resumed where it was."""
    mo.repo.commit(FLAT)
    setup = f"test ! -e {shared}/broken-$MO_TASK || {{ echo no network; exit 3; }}"
    mo.configure(gate={"command": UNITTEST}, workspace={"setup": [setup]}, sandbox={"read": [str(shared)]})
    broken = {name: shared / f"broken-{name}" for name in ("integration", "second")}
    breaks = python(f"import pathlib; pathlib.Path({str(shared)!r}, 'broken-integration').touch()")
    for file in broken.values():
        file.touch()
    tasks = [
        task("first", "first.py", ""),
        task("second", "second.py", "", depends_on=["first"], max_attempts=1),
        {"id": "third", "run": breaks, "depends_on": ["second"]},
        task("fourth", "fourth.py", "", depends_on=["third"]),
    ]
    reason = f"set-up failed: set-up command `{setup}` ended with exit code 3\nno network"

    def resumed(state: str) -> Any:
        """The goal after the next `mo resume`, when nothing of it is under way any more."""
        mo("resume", goal, code=None)
        mo.wait_for(lambda: mo.goal().state == state and "gating" not in mo.states().values(), 60)
        return show(mo)

    ran = do(mo, *tasks, code=Exit.PERSON)
    goal = ran.goal["id"]
    assert (ran.goal["state"], set(ran.states.values())) == ("halted", {"pending"})
    assert ran.goal["reason"].startswith(f"{reason}; correct what it says")
    broken["integration"].unlink()
    found = resumed("halted")
    assert [one["state"] for one in found["tasks"]] == ["landed", "waiting", "pending", "pending"]
    assert (found["reason"], found["tasks"][1]["attempts"][0]["class"]) == (reason, "setup_failed")
    broken["second"].unlink()
    found = resumed("halted")
    assert [one["state"] for one in found["tasks"]] == ["landed", "landed", "unchanged", "candidate"]
    assert found["reason"].startswith(f"{reason}; correct what it says")
    broken["integration"].unlink()
    found = resumed("done")
    assert [one["state"] for one in found["tasks"]] == ["landed", "landed", "unchanged", "landed"]
    assert [len(one["attempts"]) for one in found["tasks"]] == [1, 2, 1, 1]


def test_a_gate_that_fails_to_answer_every_other_time(mo: Mo, shared: Path) -> None:
    mo.repo.commit(FLAT)
    odd = shared / "odd"
    flaps = f"if test -e {odd}; then rm {odd}; else touch {odd}; kill -9 $$; fi"
    mo.configure(gate={"command": f"{flaps}; {UNITTEST}", "proof": "off", "writable": [str(shared)]})
    ran = do(mo, MORE)
    assert [(run["result"], run["cached"]) for run in ran.goal["gates"]] == [
        ("unknown", False),
        ("green", False),
    ]


def test_gates_of_goals_and_settings_do_not_mix(mo: Mo, shared: Path) -> None:
    mo.repo.commit(FLAT)

    def gate(name: str) -> str:
        return f"echo {name} >> {shared}/runs; {UNITTEST}"

    def runs() -> set[str]:
        found = set(lines(shared / "runs"))
        (shared / "runs").unlink(missing_ok=True)
        return found

    mo("init", "--no-prove", "--gate", gate("set"))
    mo("config", "set", "gate.writable", json.dumps([str(shared)]))
    do(mo, MORE)
    assert runs() == {"set"}
    mo("config", "set", "--local", "gate.command", gate("new"))
    do(mo, MORE)
    assert runs() == {"new"}
    one, two = (
        mo.json("do", plan_file(mo, MORE), "--detach", "--gate", gate(name))["goal"]
        for name in ("one", "two")
    )
    mo.wait_for(lambda: all(mo.goal(goal).state == "done" for goal in (one, two)), 60)
    assert runs() == {"one", "two"}
    for goal, name in ((one, "one"), (two, "two")):
        logs = (mo.repo.path / ".mo/runs" / goal / "integration").glob("*.log")
        assert {log.read_text().splitlines()[0] for log in logs} == {f"$ {gate(name)}"}


def test_a_gate_that_changes_under_a_running_goal_is_proved_first(mo: Mo, sealed: Path) -> None:
    """`true` would let anything land: the goal halts instead, and goes on with a better one."""
    mo.repo.commit(FLAT)
    mo.configure(gate={"command": UNITTEST})
    waits = (
        "import os, pathlib, time\n"
        "while not pathlib.Path(os.environ['HOME'], 'go').exists(): time.sleep(0.02)\n"
        f"pathlib.Path('pkg.py').write_text({BAD_ADD!r})\n"
    )
    goal = mo.json("do", plan_file(mo, {"id": "bad", "run": python(waits)}), "--detach")["goal"]
    mo.wait_for(lambda: mo.states(goal) == {"bad": "running"})
    mo("config", "set", "--local", "gate.command", "true")
    do(mo, MORE, code=Exit.GATE)
    (sealed / "go").touch()
    mo.wait_for(lambda: mo.goal(goal).state == "halted" and mo.states(goal) == {"bad": "candidate"}, 60)
    found = show(mo, goal)
    assert found["reason"].startswith("gate not proved: the gate passes although the code is unreadable; ")
    assert found["landings"] == []
    mo("config", "set", "--local", "gate.command", f"{UNITTEST} -v")
    mo("resume", goal, code=None)
    mo.wait_for(lambda: mo.goal(goal).state == "failed", 60)
    assert mo.states(goal) == {"bad": "ejected"}


def test_a_package_installed_later_is_noticed(mo: Mo, tmp_path: Path, tier: str) -> None:
    """The proof and the remembered verdicts belong to the environment as it was.

    In the sandbox the package is not there, so the right code is tested, after another proof.
    """
    appended = "import sys\nsys.path.append('src')\n" + ADD_TEST
    mo.repo.commit({**SRC_LAYOUT, "tests/test_pkg.py": appended})
    site = make_venv(tmp_path / "env")
    activate(mo, tmp_path / "env")
    mo("init")
    do(mo, GOOD)
    editable_path(site, mo.repo.path)
    if tier == "guard":
        assert halted(mo).startswith("gate not proved: the gate passes although the code is unreadable; ")
    else:
        lands_only_the_good_one(mo)
        assert (mo.home.gate_dir(mo.goal().id) / "unreadable.log").exists()
