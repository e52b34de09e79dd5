"""Runs of some tests only: how commands are narrowed, and what real runners then run."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from mo_daemon.runners import instrument_for, merge_environment
from mo_daemon.selecting import select, uncached
from mo_git.model import Command
from tests.need import require, require_npm
from tests.test_runners import NODE_FILES, PYTEST_FILES, UNITTEST_FILES, rust_environment, write

PY = shlex.quote(sys.executable)


def ran(
    command: Command,
    top: Path,
    ids: Iterable[str],
    *,
    template: str = "",
    junit: str = "",
    env: Mapping[str, str] | None = None,
) -> tuple[bool, dict[str, str], str]:
    """(selected, outcome per test that ran, output) of a real run; skipped ones were left out."""
    reports = top.parent / "the reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()
    how = instrument_for(command, frozenset(ids), reports, top, junit=junit, template=template)
    for name, text in how.files.items():
        (reports / name).write_text(text)
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
    read = how.report(top, b"\n".join(lines).decode())
    output = done.stdout.decode("utf-8", "replace")
    assert read.tests is not None, f"{read.reason}\n{output}"
    return (
        how.selects,
        {key: value for key, value in read.tests.outcomes.items() if value != "skipped"},
        output,
    )


def selected(
    command: Command, top: Path, ids: Iterable[str], env: Mapping[str, str] | None = None
) -> dict[str, str]:
    chosen, outcomes, output = ran(command, top, ids, env=env)
    assert chosen, output
    return outcomes


# -- commands -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "ids", "expected"),
    [
        ("cargo test", ["src/lib.rs::m::t::adds"], "cargo test -- --exact t::adds"),
        ("cargo test -- --nocapture", ["build::m"], "cargo test -- --nocapture --exact build::m"),
        ("cargo test", ["doc::m::src/lib.rs - add#2"], "cargo test -- 'src/lib.rs - add'"),
        ("go test ./...", ["x.org/m::TestA/b", "x.org/m::TestC"], "go test -run '^(?:TestA|TestC)$' ./..."),
        (("go", "test", "./a"), ["x.org/m"], ("go", "test", "-run", "^(?:-)$", "./a")),
        ("npx jest", ["a.js::does (it)"], "npx jest --passWithNoTests -t '^(?:does\\ \\(it\\))$'"),
        (
            ("npx", "vitest", "run"),
            ["a.ts::x > y"],
            ("npx", "vitest", "run", "--passWithNoTests", "-t", "^(?:x\\ >\\ y|x\\ y)$"),
        ),
        (
            "node --import tsx --test --test-concurrency=1 x",
            ["a.js::x > y"],
            "node --import tsx --test '--test-name-pattern=^(?:x|x\\ >\\ y|x\\ y|y)$' --test-concurrency=1 x",
        ),
        ("pnpm vitest", ["a::b"], "pnpm vitest --passWithNoTests -t '^(?:b)$'"),
    ],
)
def test_commands_are_narrowed(tmp_path: Path, command: Command, ids: list[str], expected: Command) -> None:
    chosen = select(command, frozenset(ids), tmp_path / "r", tmp_path)
    assert chosen is not None
    assert chosen.command == expected


@pytest.mark.parametrize(
    "command",
    [
        "make test",
        "true && pytest",
        "python -I -m pytest",
        ("python", "-sE", "-m", "pytest"),
        "npm test",
        "tox",
    ],
)
def test_where_tests_cannot_be_selected_all_run(tmp_path: Path, command: Command) -> None:
    write(tmp_path, {"package.json": '{"scripts": {"test": "node --test test/"}}'})
    assert select(command, frozenset(["a"]), tmp_path / "r", tmp_path) is None


def test_too_many_ids_for_a_command_line_are_no_selection(tmp_path: Path) -> None:
    many = frozenset(f"src/lib.rs::m::{'x' * 100}{number}" for number in range(2000))
    assert select("cargo test", many, tmp_path, tmp_path) is None
    assert select("x", many, tmp_path, tmp_path, "run {ids}") is None
    assert select("pytest", many, tmp_path, tmp_path) is not None


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("go test ./...", "go test -count=1 ./..."),
        ("go test -count=3 ./...", "go test -count=3 ./..."),
        (("go", "test"), ("go", "test", "-count=1")),
        ("pytest", "pytest"),
        ("a && go test", "a && go test"),
    ],
)
def test_a_run_that_must_be_fresh_does_not_use_the_runner_s_own_cache(
    command: Command, expected: Command
) -> None:
    assert uncached(command) == expected


# -- pytest -------------------------------------------------------------------------------------------

A = "tests/test_a.py::tests.test_a"
MORE = {
    **PYTEST_FILES,
    "tests/test_loud.py": "print('LOADED')\ndef test_l(): pass\n",
    "tests/base.py": "class Base:\n    def test_inherited(self): pass\n",
    "tests/deep/__init__.py": "",
    "tests/deep/test_d.py": (
        "import pathlib, pytest\nfrom base import Base\nclass TestD(Base): pass\n"
        "@pytest.mark.parametrize('p', ['a::b', pathlib.Path(__file__).parent, object()], ids=str)\n"
        "def test_odd(p): pass\n"
    ),
}


@pytest.mark.parametrize(
    "command",
    [
        f"{PY} -m pytest -x -q -p no:cacheprovider",
        (sys.executable, "-m", "pytest", "tests"),
        f"{PY} -m pytest -q -- tests/test_loud.py tests",
        f"PYTHONPATH=tests {PY} -m pytest",
        ("env", "PYTHONPATH=tests", sys.executable, "-m", "pytest"),
    ],
)
def test_pytest(tmp_path: Path, command: Command) -> None:
    """An id that is not there is no error; files that hold none of the ids are not even loaded."""
    top = write(tmp_path / "the top", MORE)
    ids = [f"{A}::test_ok", f"{A}::test_bad", f"{A}.TestC::test_p[2]", f"{A}::test_gone", "gone.py::gone::x"]
    wanted = {ids[0]: "passed", ids[1]: "failed", ids[2]: "passed"}
    assert selected(command, top, ids) == wanted
    assert selected(command, top, ids[3:]) == {}


def test_pytest_selects_by_the_very_names_of_its_report(tmp_path: Path) -> None:
    top = write(tmp_path / "top", MORE)
    command = f"PYTHONPATH=tests {PY} -m pytest -s"
    _, everything, _ = ran(command, top, [], template=command)
    assert any("deep" in key and "test_inherited" in key for key in everything)
    assert any(key.endswith("[a::b]") for key in everything)
    keys = sorted(everything)
    for some in (keys[::2], keys[1::2]):
        chosen, outcomes, output = ran(command, top, some)
        assert (chosen, outcomes) == (True, {key: everything[key] for key in some}), output
        assert ("LOADED" in output) == any("test_loud" in key for key in some)


def test_pytest_with_a_file_that_does_not_load(tmp_path: Path) -> None:
    top = write(tmp_path / "top", {**PYTEST_FILES, "tests/test_b.py": "import nowhere\n"})
    broken = "tests/test_b.py::tests.test_b"
    command = (sys.executable, "-m", "pytest")
    assert selected(command, top, [broken, f"{A}::test_ok"]) == {broken: "error", f"{A}::test_ok": "passed"}
    assert selected(command, top, [f"{broken}::test_x"]) == {broken: "error"}
    assert selected(command, top, [f"{A}::test_ok"]) == {f"{A}::test_ok": "passed"}


def test_pytest_behind_npm(tmp_path: Path) -> None:
    require("npm")
    scripts = f'{{"scripts": {{"test": "{sys.executable} -m pytest -q"}}}}'
    top = write(tmp_path / "top", {**PYTEST_FILES, "package.json": scripts})
    assert selected("npm test", top, [f"{A}::test_bad"]) == {f"{A}::test_bad": "failed"}


# -- unittest, node -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["test_u.A.test_ok", "test_u.A.gone", "other.T.t"], {"test_u.A.test_ok": "passed"}),
        (["test_u.A.test_xx", "test_u.A.test_x"], {"test_u.A.test_xx": "failed", "test_u.A.test_x": "xfail"}),
        (["test_u.A.test_sub (i=1)"], {"test_u.A.test_sub": "failed", "test_u.A.test_sub (i=1)": "failed"}),
        (["setUpClass (test_u.B)"], {"setUpClass (test_u.B)": "error"}),
        (["unittest.loader._FailedTest.test_broken"], {"unittest.loader._FailedTest.test_broken": "error"}),
        (["test_broken.T.test_x"], {"unittest.loader._FailedTest.test_broken": "error"}),
        (["other.T.t"], {}),
    ],
)
def test_unittest(tmp_path: Path, ids: list[str], expected: dict[str, str]) -> None:
    top = write(tmp_path / "top", UNITTEST_FILES)
    assert selected(f"{PY} -m unittest discover -s tests -f", top, ids) == expected


@pytest.mark.parametrize(
    "command", ["node --test test/", ("node", "--test"), "node --test --test-timeout=60000"]
)
def test_node(tmp_path: Path, command: Command) -> None:
    require("node")
    top = write(tmp_path / "top", NODE_FILES)
    a = "test/a.test.js"
    ids = {f"{a}::bad": "failed", f"{a}::outer > inner": "passed", f"{a}::parent > child": "passed"}
    outcomes = selected(command, top, [*ids, f"{a}::gone", "gone.js::gone"])
    assert outcomes.items() >= ids.items()
    assert f"{a}::adds" not in outcomes
    broken = "test/c.test.js::test/c.test.js"
    assert selected(command, top, [broken])[broken] == "failed"


# -- others, where they are installed -----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("command", ["go test ./...", ("go", "test", "-v", "./...")])
def test_go(tmp_path: Path, command: Command) -> None:
    require("go")
    a = 'package a\nimport "testing"\nfunc TestA(t *testing.T) { t.Run("x y", func(t *testing.T) {}) }\n'
    files = {
        "go.mod": "module example.org/m\n\ngo 1.18\n",
        "a/a_test.go": a + "func TestAB(t *testing.T) { t.Fail() }\n",
        "b/b_test.go": 'package b\nimport "testing"\nfunc TestA(t *testing.T) {}\n',
        "c/c_test.go": "package c\nfunc broken( {\n",
    }
    top = write(tmp_path / "top", files)
    first = "example.org/m/a::TestA"
    assert selected(command, top, [f"{first}/x_y", "example.org/m/gone::TestG"]) == {
        first: "passed",
        f"{first}/x_y": "passed",
    }
    assert selected(command, top, ["example.org/m/gone::TestG"]).keys() <= {"example.org/m/c"}
    outcomes = selected(command, top, ["example.org/m/c", "example.org/m/b::TestA"])
    assert outcomes["example.org/m/c"] == "error"
    assert outcomes["example.org/m/b::TestA"] == "passed"


@pytest.mark.slow
def test_cargo(tmp_path: Path) -> None:
    require("cargo")
    files = {
        "Cargo.toml": '[package]\nname = "m"\nversion = "0.1.0"\nedition = "2021"\n',
        "src/lib.rs": (
            "/// ```\n/// assert_eq!(m::add(1, 2), 3);\n/// ```\n"
            "pub fn add(a: i32, b: i32) -> i32 { a + b }\n"
            "#[cfg(test)]\nmod t {\n#[test]\nfn adds() { assert_eq!(super::add(1, 2), 3) }\n"
            "#[test]\nfn adds_more() { panic!() }\n}\n"
        ),
    }
    top = write(tmp_path / "top", files)
    adds, document = "src/lib.rs::m::t::adds", "doc::m::src/lib.rs - add"
    env = rust_environment()
    assert selected("cargo test", top, [adds, "src/lib.rs::m::t::gone"], env) == {adds: "passed"}
    assert selected("cargo test", top, [document], env) == {document: "passed"}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["npx --no vitest run", "npm test"])
def test_vitest(tmp_path: Path, command: Command) -> None:
    modules = require_npm("vitest")
    files = {
        "package.json": '{"name": "calc", "scripts": {"test": "vitest run"}}',
        "a.test.mjs": (
            "import {describe, expect, test} from 'vitest';\n"
            "test('adds', () => {});\ntest('adds more', () => { expect(1).toBe(2); });\n"
            "describe('outer (x)', () => { test('inner', () => {}); });\n"
        ),
        "b.test.mjs": "import {test} from 'vitest';\ntest('adds', () => {});\n",
    }
    top = write(tmp_path / "top", files)
    (top / "node_modules").symlink_to(modules)
    ids = {"a.test.mjs::outer (x) > inner": "passed", "a.test.mjs::adds more": "failed"}
    assert selected(command, top, [*ids, "a.test.mjs::gone", "gone.mjs::x"]) == ids
    assert selected(command, top, ["gone.mjs::x"]) == {}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["npx --no -- jest", "npm test"])
def test_jest(tmp_path: Path, command: Command) -> None:
    modules = require_npm("jest")
    files = {
        "package.json": '{"name": "calc", "scripts": {"test": "jest"}}',
        "a.test.js": (
            "test('adds', () => {});\ntest('adds more', () => { throw new Error('no'); });\n"
            "describe('outer (x)', () => { test('inner', () => {}); });\n"
        ),
        "b.test.js": "test('adds', () => {});\n",
    }
    top = write(tmp_path / "top", files)
    (top / "node_modules").symlink_to(modules)
    ids = {"a.test.js::outer (x) inner": "passed", "a.test.js::adds more": "failed"}
    assert selected(command, top, [*ids, "a.test.js::gone", "gone.js::x"]) == ids
    assert selected(command, top, ["gone.js::x"]) == {}


# -- the user's own way -------------------------------------------------------------------------------


def test_a_template_of_the_user_s_own(tmp_path: Path) -> None:
    """The ids are quoted; the report is read as for the whole command."""
    script = (
        "import sys\nnames = sys.argv[1:]\nassert names\n"
        "rows = ''.join(f'<testcase classname=\"c\" name=\"{n[3:]}\"/>' for n in names)\n"
        "open('r.xml', 'w').write(f'<testsuite>{rows}</testsuite>')\n"
    )
    top = write(tmp_path / "top", {"run.py": script})
    template, command = f"{PY} run.py {{ids}}", f"{PY} run.py c::all"
    ids = {"c::it's": "passed", "c::$(b)": "passed"}
    assert ran(command, top, ids, template=template, junit="*.xml")[:2] == (True, ids)
    assert ran(command, top, ids, junit="*.xml")[:2] == (False, {"c::all": "passed"})
