"""Runners: how a gate command is changed, what real runners then report, and what a project is taken for."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mo_daemon.commandline import recognise, words_of
from mo_daemon.runners import Detected, detect, instrument, merge_environment
from mo_daemon.testids import Reading
from mo_git.errors import MoError
from mo_git.model import Command

REPORTS = Path("/r")
PYTEST = (
    *("-o", "junit_family=xunit1", "--junitxml=/r/junit.xml", "--maxfail=0"),
    "--continue-on-collection-errors",
)
PYTEST_TEXT = " ".join(PYTEST)
VITEST = ("--reporter=default", "--reporter=junit", "--outputFile.junit=/r/junit.xml")
JEST = ("--json", "--outputFile=/r/jest.json")


def write(top: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(content)
    return top


def observe(
    command: Command, top: Path, reports: Path, junit: str = "", env: Mapping[str, str] | None = None
) -> tuple[int, Reading]:
    """Run a command as instrumented; its exit code and what its report says."""
    reports.mkdir(exist_ok=True)
    how = instrument(command, reports, junit=junit, top=top)
    base = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **(env or {})}
    done = subprocess.run(
        how.argv,
        cwd=top,
        env=merge_environment(base, how.env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if how.keep and how.keep.match(line)]
    return done.returncode, how.report(top, b"\n".join(lines).decode())


def outcomes(reading: Reading) -> dict[str, str]:
    assert reading.tests is not None, reading.reason
    return dict(reading.tests.outcomes)


# -- reading command lines ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "runner"),
    [
        ("pytest", "pytest"),
        ("pytest -q tests/unit -k 'a or b'", "pytest"),
        (".venv/bin/pytest", "pytest"),
        ("FOO=1 BAR='x y' pytest", "pytest"),
        ("python -m pytest -q", "pytest"),
        ("python3.12 -W error -X dev -m pytest", "pytest"),
        ("uv run pytest", "pytest"),
        ("uv run --group test --with pytest-cov pytest -q", "pytest"),
        ("uv --quiet run python -m pytest", "pytest"),
        ("poetry run pytest", "pytest"),
        ("hatch run pytest", "pytest"),
        ("timeout 600 pytest", "pytest"),
        ("env A=b pytest", "pytest"),
        ("coverage run --branch -m pytest", "pytest"),
        ("python3 -m coverage run -m pytest", "pytest"),
        ("python -m unittest", "unittest"),
        ("python3 -m unittest discover -s tests", "unittest"),
        ("go test ./...", "go"),
        ("cargo test", "cargo"),
        ("cargo +nightly t --workspace", "cargo"),
        ("npx vitest run", "vitest"),
        ("node_modules/.bin/jest", "jest"),
        ("node --test", "node"),
        ("node --import tsx --test 'test/*.ts'", "node"),
        ("npm test", "package"),
        (("pytest", "-k", "a;b"), "pytest"),
        ("true", None),
        ("", None),
        ("make test", None),
        ("echo pytest", None),
        ("pip install pytest", None),
        ("uv run --with pytest mytool", None),
        ("python tests.py", None),
        ("python -c 'import pytest'", None),
        ("coverage run -m unittest", None),
        ("cargo build", None),
        ("cargo nextest run", None),
        ("go vet ./...", None),
        ("node index.js", None),
        ("uv pip install pytest", None),
        ("pytest && ruff check", None),
        ("pytest | tee log", None),
        ("pytest > log", None),
        ("(pytest)", None),
        ("cd x; pytest", None),
        ("pytest # all of them", None),
        ("pytest $(cat names)", None),
        ("pytest `cat names`", None),
        ("pytest\nruff check", None),
        ("pytest 'unclosed", None),
    ],
)
def test_which_runner_a_command_starts(command: Command, runner: str | None) -> None:
    words = words_of(command)
    found = recognise(words, 0) if words else None
    assert (found[0] if found else None) == runner


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("pytest -q $X", ("sh", "-c", f"pytest -q $X {PYTEST_TEXT}")),
        (("pytest", "a b"), ("pytest", "a b", *PYTEST)),
        ("uv run pytest", ("sh", "-c", f"uv run pytest {PYTEST_TEXT}")),
        ("go test ./...", ("sh", "-c", "go test -json ./...")),
        (("go", "test", "-json", "./..."), ("go", "test", "-json", "./...")),
        (("/opt/go/bin/go", "test", "-v"), ("/opt/go/bin/go", "test", "-json", "-v")),
        ("cargo test -- --nocapture", ("sh", "-c", "cargo test --no-fail-fast -- --nocapture")),
        (("cargo", "+beta", "t"), ("cargo", "+beta", "t", "--no-fail-fast")),
        ("npx vitest run", ("sh", "-c", "npx vitest run " + " ".join(VITEST))),
        (("npx", "vitest", "--reporter=dot"), ("npx", "vitest", "--reporter=dot", *VITEST[1:])),
        (("jest", "src"), ("jest", "src", *JEST)),
    ],
)
def test_commands_are_changed_where_they_are_known(command: Command, argv: tuple[str, ...]) -> None:
    how = instrument(command, REPORTS)
    assert (how.argv, how.strict, how.optional) == (argv, False, False)


@pytest.mark.parametrize(
    "command",
    ["true", "make test", "cd sub && pytest", "pytest | tail", "cargo test -q", "cargo test --no-run"],
)
def test_other_commands_keep_their_words(command: str) -> None:
    how = instrument(command, REPORTS)
    assert how.argv == ("sh", "-c", command)
    assert (how.runner, how.strict, how.optional) == ("", True, True)
    assert dict(how.env) == {"PYTEST_ADDOPTS": PYTEST_TEXT}


def test_options_go_around_a_double_dash_of_pytest() -> None:
    how = instrument("pytest -- tests", REPORTS)
    assert (how.argv, dict(how.env)) == (("sh", "-c", "pytest -- tests"), {"PYTEST_ADDOPTS": PYTEST_TEXT})
    assert (how.runner, how.strict, how.optional) == ("pytest", False, False)


@pytest.mark.parametrize(
    ("command", "scripts", "argv", "strict"),
    [
        ("npm test", {"test": "vitest run"}, ("npm", "test", "--", *VITEST), False),
        ("npm t", {"test": "vitest run"}, ("npm", "t", "--", *VITEST), False),
        ("npm run -s u", {"u": "jest"}, ("npm", "run", "-s", "u", "--", *JEST), False),
        ("npm run u", {"u": "jest"}, ("npm", "run", "u", "--", *JEST), False),
        ("npm test -- src", {"test": "jest"}, ("npm", "test", "--", "src", *JEST), False),
        ("pnpm test", {"test": "vitest run"}, ("pnpm", "test", *VITEST), False),
        ("yarn test", {"test": "tsc && jest --ci"}, ("yarn", "test", *JEST), True),
        ("npm test", {"test": "jest", "pretest": "eslint ."}, ("npm", "test", "--", *JEST), True),
        ("npm test", {"test": "pytest"}, ("npm", "test", "--", *PYTEST), False),
        ("yarn jest src", {}, ("yarn", "jest", "src", *JEST), False),
        ("npm test", {"test": "jest | tee log"}, None, True),
        ("npm test", {"test": "jest && tsc"}, None, True),
        ("npm test", {"test": "mocha"}, None, True),
        ("npm test", {}, None, True),
        ("npm -w lib test", {"test": "jest"}, None, True),
        ("npm", {"test": "jest"}, None, True),
    ],
)
def test_package_scripts(
    tmp_path: Path, command: str, scripts: Mapping[str, str], argv: tuple[str, ...] | None, strict: bool
) -> None:
    write(tmp_path, {"package.json": json.dumps({"scripts": scripts})})
    expected = argv if argv else tuple(command.split())
    assert instrument(tuple(command.split()), REPORTS, top=tmp_path).argv == expected
    how = instrument(command, REPORTS, top=tmp_path)
    assert how.argv == ("sh", "-c", shlex.join(expected))
    assert (how.strict, how.optional) == (strict, argv is None)


def test_a_script_that_runs_node_test_gets_its_options_by_environment(tmp_path: Path) -> None:
    write(tmp_path, {"package.json": '{"scripts": {"test": "node --test test/"}}'})
    how = instrument("npm test", REPORTS, top=tmp_path)
    assert how.argv == ("sh", "-c", "npm test")
    assert "--test-reporter-destination=/r/node.jsonl" in how.env["NODE_OPTIONS"].split(" ")
    merged = merge_environment({"NODE_OPTIONS": "--no-warnings", "A": "b"}, how.env)
    assert merged == {"A": "b", "NODE_OPTIONS": f"--no-warnings {how.env['NODE_OPTIONS']}"}


def test_own_reporters_of_node_are_left_alone() -> None:
    how = instrument("node --test --test-reporter=tap", REPORTS)
    assert (how.argv, how.optional) == (("sh", "-c", "node --test --test-reporter=tap"), True)


@pytest.mark.parametrize("pattern", ["/etc/*.xml", "../*.xml", "a/../../*.xml"])
def test_reports_outside_the_worktree_are_refused(pattern: str) -> None:
    with pytest.raises(MoError, match="not a pattern inside the worktree"):
        instrument("make test", REPORTS, junit=pattern)


def test_own_report_files(tmp_path: Path) -> None:
    top = write(
        tmp_path / "top", {"out/one.xml": '<testsuite><testcase classname="a" name="b"/></testsuite>'}
    )
    how = instrument("pytest", REPORTS, junit="out/*.xml", top=top)
    assert (how.argv, how.clear) == (("sh", "-c", "pytest"), "out/*.xml")
    assert outcomes(how.report(top, "")) == {"a::b": "passed"}
    (top / "out/one.xml").unlink()
    assert how.report(top, "") == Reading(None, "no test report was written")


# -- real runners -------------------------------------------------------------------------------------

PY = shlex.quote(sys.executable)

PYTEST_FILES = {
    "tests/test_a.py": """\
import pytest
def test_ok(): pass
def test_bad(): assert 0
def test_later(): pass
@pytest.mark.skip
def test_skip(): pass
@pytest.mark.xfail
def test_x(): assert 0
class TestC:
    @pytest.mark.parametrize("n", [1, 2])
    def test_p(self, n): pass
""",
}
PYTEST_OUTCOMES = {
    "tests/test_a.py::tests.test_a::test_ok": "passed",
    "tests/test_a.py::tests.test_a::test_bad": "failed",
    "tests/test_a.py::tests.test_a::test_later": "passed",
    "tests/test_a.py::tests.test_a::test_skip": "skipped",
    "tests/test_a.py::tests.test_a::test_x": "xfail",
    "tests/test_a.py::tests.test_a.TestC::test_p[1]": "passed",
    "tests/test_a.py::tests.test_a.TestC::test_p[2]": "passed",
}


@pytest.mark.parametrize(
    "command",
    [
        f"{PY} -m pytest -x -q -p no:cacheprovider",
        (sys.executable, "-m", "pytest", "--junitxml=mine.xml"),
        f"{PY} -m pytest -q -- tests",
        f"true && {PY} -m pytest -q",
    ],
)
def test_real_pytest(tmp_path: Path, command: Command) -> None:
    top = write(tmp_path / "top", PYTEST_FILES)
    code, read = observe(command, top, tmp_path / "with space")
    assert (code, outcomes(read)) == (1, PYTEST_OUTCOMES)


def test_real_pytest_that_cannot_collect_a_file(tmp_path: Path) -> None:
    top = write(tmp_path / "top", {**PYTEST_FILES, "tests/test_b.py": "import nowhere\n"})
    code, read = observe((sys.executable, "-m", "pytest", "-q"), top, tmp_path / "r")
    assert (code, outcomes(read)) == (1, {**PYTEST_OUTCOMES, "tests/test_b.py::tests.test_b": "error"})


UNITTEST_FILES = {
    "tests/test_u.py": """\
import sys, unittest
class A(unittest.TestCase):
    def test_ok(self):
        "A first line that unittest prints instead of the name."
        sys.stderr.write("noise ... ok\\nok\\n")
    def test_bad(self): self.fail()
    def test_err(self): raise ValueError
    def test_later(self): pass
    @unittest.skip("no")
    def test_skip(self): pass
    @unittest.expectedFailure
    def test_x(self): self.fail()
    @unittest.expectedFailure
    def test_xx(self): pass
    def test_sub(self):
        for i in range(2):
            with self.subTest(i=i): self.assertEqual(i, 0)
class B(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise OSError
    def test_never(self): pass
""",
    "tests/test_broken.py": "import nowhere\n",
}
UNITTEST_OUTCOMES = {
    "test_u.A.test_ok": "passed",
    "test_u.A.test_bad": "failed",
    "test_u.A.test_err": "error",
    "test_u.A.test_later": "passed",
    "test_u.A.test_skip": "skipped",
    "test_u.A.test_x": "xfail",
    "test_u.A.test_xx": "failed",
    "test_u.A.test_sub": "failed",
    "test_u.A.test_sub (i=1)": "failed",
    "setUpClass (test_u.B)": "error",
    "unittest.loader._FailedTest.test_broken": "error",
}


@pytest.mark.parametrize(
    "command",
    [
        f"X=1 {PY} -m unittest discover -s tests -f",
        (sys.executable, "-m", "unittest", "discover", "-s", "tests"),
    ],
)
def test_real_unittest(tmp_path: Path, command: Command) -> None:
    top = write(tmp_path / "top", UNITTEST_FILES)
    code, read = observe(command, top, tmp_path / "with space")
    assert (code, outcomes(read)) == (1, UNITTEST_OUTCOMES)


def test_real_unittest_finds_modules_of_the_working_directory(tmp_path: Path) -> None:
    files = {
        "code.py": "X = 1\n",
        "test_c.py": (
            "import unittest, code\n"
            "class T(unittest.TestCase):\n"
            "  def test_x(self): self.assertEqual(code.X, 1)\n"
        ),
    }
    code, read = observe((sys.executable, "-m", "unittest"), write(tmp_path / "top", files), tmp_path / "r")
    assert (code, outcomes(read)) == (0, {"test_c.T.test_x": "passed"})


def test_real_unittest_that_dies(tmp_path: Path) -> None:
    files = {
        "test_c.py": "import os, unittest\nclass T(unittest.TestCase):\n  def test_x(self): os._exit(0)\n"
    }
    code, read = observe((sys.executable, "-m", "unittest"), write(tmp_path / "top", files), tmp_path / "r")
    assert (code, read) == (0, Reading(None, "the test run ended before its report was complete"))


NODE_FILES = {
    "test/a.test.js": """\
const {test, describe, it} = require('node:test'); const assert = require('assert');
test('adds', () => {});
test('bad', () => { assert.equal(1, 2) });
test('left out', {skip: 'why'}, () => {});
test('some day', {todo: true}, () => { assert.fail() });
describe('outer', () => { it('inner', () => {}); });
test('parent', async t => { await t.test('child', () => {}); });
""",
    "test/b.test.js": "const {test} = require('node:test'); test('adds', () => {});\n",
    "test/c.test.js": "not javascript(\n",
    "package.json": '{"scripts": {"test": "node --test test/"}}',
}
NODE_OUTCOMES = {
    "test/a.test.js::adds": "passed",
    "test/a.test.js::bad": "failed",
    "test/a.test.js::left out": "skipped",
    "test/a.test.js::some day": "xfail",
    "test/a.test.js::outer > inner": "passed",
    "test/a.test.js::parent": "passed",
    "test/a.test.js::parent > child": "passed",
    "test/b.test.js::adds": "passed",
    "test/c.test.js::test/c.test.js": "failed",
}


@pytest.mark.skipif(
    not shutil.which("node") or not shutil.which("npm"), reason="node and npm are not installed"
)
@pytest.mark.parametrize("command", ["node --test test/", ("node", "--test"), "npm test"])
def test_real_node(tmp_path: Path, command: Command) -> None:
    top = write(tmp_path / "top", NODE_FILES)
    code, read = observe(command, top, tmp_path / "r")
    assert (code, outcomes(read)) == (1, NODE_OUTCOMES)


def rust_environment() -> dict[str, str]:
    """Where rustup and cargo keep their things, since tests have a home of their own."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    return {
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(home / ".rustup")),
        "CARGO_HOME": os.environ.get("CARGO_HOME", str(home / ".cargo")),
    }


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cargo"), reason="cargo is not installed")
def test_real_cargo(tmp_path: Path) -> None:
    files = {
        "Cargo.toml": '[package]\nname = "mycrate"\nversion = "0.1.0"\nedition = "2021"\n',
        "src/lib.rs": "#[test] fn ok() {}\n#[test] fn bad() { panic!() }\n#[test] #[ignore] fn ign() {}\n",
        "tests/it.rs": "#[test] fn it() {}\n",
    }
    top = write(tmp_path / "top", files)
    code, read = observe("cargo test --offline", top, tmp_path / "r", env=rust_environment())
    assert (code, outcomes(read)) == (
        101,
        {
            "src/lib.rs::mycrate::ok": "passed",
            "src/lib.rs::mycrate::bad": "failed",
            "src/lib.rs::mycrate::ign": "skipped",
            "tests/it.rs::it::it": "passed",
        },
    )
    write(top, {"src/lib.rs": "pub fn broken( {\n"})
    code, read = observe("cargo test --offline", top, tmp_path / "r", env=rust_environment())
    assert (code, outcomes(read)) == (101, {"build::mycrate": "error"})


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("go"), reason="go is not installed")
def test_real_go(tmp_path: Path) -> None:
    files = {
        "go.mod": "module x\n\ngo 1.20\n",
        "a/a_test.go": (
            'package a\nimport "testing"\n'
            "func TestOk(t *testing.T) {}\nfunc TestBad(t *testing.T) { t.Fail() }\n"
        ),
        "b/b_test.go": "package b\nfunc broken( {\n",
    }
    top = write(tmp_path / "top", files)
    env = {"GOCACHE": str(tmp_path / "cache"), "GOFLAGS": "-mod=mod"}
    code, read = observe("go test ./...", top, tmp_path / "r", env=env)
    assert (code, outcomes(read)) == (1, {"x/a::TestOk": "passed", "x/a::TestBad": "failed", "x/b": "error"})


def test_ids_do_not_hold_the_path_of_the_worktree(tmp_path: Path) -> None:
    """Neither as the gate names it nor as its programs see it behind a link."""
    test = (
        "import os, pytest\n"
        "@pytest.mark.parametrize('p', [os.getcwd() + '/a', os.environ['PWD'] + '/b'])\n"
        "def test_a(p): pass\n"
    )
    write(tmp_path / "real", {"test_a.py": test})
    (tmp_path / "link").symlink_to("real")
    code, read = observe(
        (sys.executable, "-m", "pytest"),
        tmp_path / "link",
        tmp_path / "r",
        env={"PWD": str(tmp_path / "link")},
    )
    expected = {"test_a.py::test_a::test_a[a]": "passed", "test_a.py::test_a::test_a[b]": "passed"}
    assert (code, outcomes(read)) == (0, expected)


# -- detection ----------------------------------------------------------------------------------------

PIP = "python3 -m venv --clear .venv"
NPM = "npm install --no-package-lock"
UNITTEST = "import unittest\nclass T(unittest.TestCase): pass\n"
SETUP = "from setuptools import setup\nsetup()\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, []),
        ({"README.md": "x"}, []),
        (
            {"pyproject.toml": '[project]\nname="x"\n[tool.pytest.ini_options]\n'},
            [
                Detected(
                    "python3 -m pytest",
                    "pytest",
                    "pyproject.toml configures pytest",
                    (PIP, ".venv/bin/python -m pip install -e . pytest"),
                )
            ],
        ),
        (
            {
                "pyproject.toml": '[project]\n[project.optional-dependencies]\ndev=["pytest"]\n',
                "conftest.py": "",
            },
            [
                Detected(
                    "python3 -m pytest",
                    "pytest",
                    "there is conftest.py",
                    (PIP, ".venv/bin/python -m pip install -e .[dev] pytest"),
                )
            ],
        ),
        (
            {"pytest.ini": "[pytest]\n", "uv.lock": "", "pyproject.toml": "[project]\n"},
            [Detected("uv run pytest", "pytest", "pytest.ini configures pytest, uv.lock", ("uv sync",))],
        ),
        (
            {"setup.cfg": "[tool:pytest]\n", "poetry.lock": ""},
            [
                Detected(
                    "poetry run pytest",
                    "pytest",
                    "setup.cfg configures pytest, poetry.lock",
                    ("poetry install",),
                )
            ],
        ),
        (
            {"tests/test_a.py": "import pytest\n", "requirements.txt": "x\n"},
            [
                Detected(
                    "python3 -m pytest",
                    "pytest",
                    "tests/test_a.py imports pytest",
                    (PIP, ".venv/bin/python -m pip install -r requirements.txt pytest"),
                )
            ],
        ),
        (
            {"tests/test_a.py": "def test_a(): pass\n"},
            [Detected("python3 -m pytest", "pytest", "tests/test_a.py has test functions")],
        ),
        ({"node_modules/x/test_a.py": "import pytest\n", ".venv/test_b.py": "import pytest\n"}, []),
        (
            {"tox.ini": "[tox]\n", "tests/test_a.py": UNITTEST},
            [Detected("tox", "tox", "the project is set up for tox")],
        ),
        (
            {"tests/test_a.py": UNITTEST},
            [Detected("python3 -m unittest discover -s tests", "unittest", "tests/test_a.py uses unittest")],
        ),
        (
            {"tests/unit/test_a.py": UNITTEST, "tests/__init__.py": "", "setup.py": SETUP},
            [
                Detected(
                    "python3 -m unittest discover -s tests -t .",
                    "unittest",
                    "tests/unit/test_a.py uses unittest",
                    (PIP, ".venv/bin/python -m pip install -e ."),
                )
            ],
        ),
        (
            {"test_a.py": UNITTEST},
            [Detected("python3 -m unittest discover", "unittest", "test_a.py uses unittest")],
        ),
        (
            {
                "package.json": '{"scripts": {"test": "mocha"}, "devDependencies": {"x": "1"}}',
                "package-lock.json": "",
            },
            [Detected("npm test", "npm", "package.json has a test script: mocha", ("npm ci",))],
        ),
        (
            {"package.json": '{"scripts": {"test": "x"}}', "pnpm-lock.yaml": ""},
            [
                Detected(
                    "pnpm test",
                    "pnpm",
                    "package.json has a test script: x",
                    ("pnpm install --frozen-lockfile",),
                )
            ],
        ),
        (
            {"package.json": '{"scripts": {"test": "x"}}', "yarn.lock": "", ".yarnrc.yml": ""},
            [
                Detected(
                    "yarn test", "yarn", "package.json has a test script: x", ("yarn install --immutable",)
                )
            ],
        ),
        (
            {"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'},
            [],
        ),
        (
            {"package.json": '{"devDependencies": {"vitest": "1"}}'},
            [Detected("npx --no vitest run", "vitest", "package.json depends on vitest", (NPM,))],
        ),
        (
            {"package.json": '{"dependencies": {"jest": "1"}}', "package-lock.json": ""},
            [Detected("npx --no -- jest", "jest", "package.json depends on jest", ("npm ci",))],
        ),
        (
            {"test/a.test.mjs": "import test from 'node:test'\n"},
            [Detected("node --test", "node", "test/a.test.mjs uses node:test")],
        ),
        ({"package.json": "[broken", "pyproject.toml": "[broken"}, []),
        ({"go.mod": "module x\n"}, [Detected("go test ./...", "go", "there is go.mod")]),
        ({"Cargo.toml": "[package]\n"}, [Detected("cargo test", "cargo", "there is Cargo.toml")]),
        (
            {"Cargo.toml": "[workspace]\n"},
            [Detected("cargo test --workspace", "cargo", "there is Cargo.toml")],
        ),
        (
            {"Makefile": "all:\n\ntest: all\n\t./run\n"},
            [Detected("make test", "make", "Makefile has a target test")],
        ),
        ({"Makefile": "test := x\n"}, []),
        (
            {"Makefile": "test:\n", "Cargo.toml": "", "go.mod": "", "pytest.ini": "[pytest]\n"},
            [
                Detected("python3 -m pytest", "pytest", "pytest.ini configures pytest"),
                Detected("go test ./...", "go", "there is go.mod"),
                Detected("cargo test", "cargo", "there is Cargo.toml"),
                Detected("make test", "make", "Makefile has a target test"),
            ],
        ),
    ],
)
def test_what_a_project_is_taken_for(
    tmp_path: Path, files: Mapping[str, str], expected: list[Detected]
) -> None:
    assert detect(write(tmp_path, files)) == expected
