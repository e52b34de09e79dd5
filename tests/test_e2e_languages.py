"""Projects of several languages: `mo init` finds and proves the gate, the good lands, breakers are named."""

from __future__ import annotations

import json
import os
import pwd
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mo_git.errors import Exit
from tests.driver import Mo, plan, writes
from tests.need import require, require_npm
from tests.schemas import problems


@pytest.fixture(autouse=True)
def tests_own_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python` and `python3` are those that run the tests."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def init(mo: Mo, *args: str) -> list[str]:
    """What `mo init` says about the gate, without the place of the settings and the line on what is next."""
    said = mo("init", *args).out.replace(f"; set in {mo.repo.path}/.mo/local.toml", "")
    return said.splitlines()[:-1]


def run(
    mo: Mo, tasks: Mapping[str, tuple[str, str]], *, weak: bool = False
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Tasks (id -> file and content) through the gate: (their states, the ids that each red one failed)."""
    file = mo.repo.path.parent / "plan.json"
    file.write_text(plan([{"id": name, "run": writes(*change)} for name, change in tasks.items()]))
    mo("do", f"@{file}", code=Exit.FAILED)
    document = mo.json("show", "@last")
    assert problems("show", document) == []
    goal = document["goal"]
    assert {gate["weak"] for gate in goal["gates"]} == {weak}
    return {one["id"]: one["state"] for one in goal["tasks"]}, failed(goal)


def failed(goal: Any) -> dict[str, list[str]]:
    return {one["task"]: one["evidence"]["failed_ids"] for one in goal["ejections"]}


STATES = {"good": "landed", "bad": "ejected", "broken": "ejected"}

# -- Python -------------------------------------------------------------------------------------------

CALC = "def add(a, b):\n    return a + b\n"
BAD_CALC = "def add(a, b):\n    return a - b\n"
UNITTEST = """\
import unittest
from calc import add

class T(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(1, 2), 3)
    def test_zero(self):
        self.assertEqual(add(0, 0), 0)
"""
PYTEST = """\
import pytest
from calc import add

def test_add():
    assert add(1, 2) == 3

@pytest.mark.parametrize("n", [0, 1])
def test_zero(n):
    assert add(n, 0) == n
"""
PYTHON_TASKS = {
    "good": ("more.py", "MORE = 1\n"),
    "bad": ("calc.py", BAD_CALC),
    "broken": ("calc.py", "def add(\n"),
}


@pytest.mark.slow
def test_unittest(mo: Mo) -> None:
    mo.repo.commit({"calc.py": CALC, "test_calc.py": UNITTEST})
    assert init(mo) == ["gate: python3 -m unittest discover (proved)", "  2 tests on HEAD"]
    one, two = "test_calc.T.test_add", "test_calc.T.test_zero"
    broken = [one, two, "unittest.loader._FailedTest.test_calc"]
    assert run(mo, PYTHON_TASKS) == (STATES, {"bad": [one], "broken": broken})


@pytest.mark.slow
def test_pytest(mo: Mo) -> None:
    mo.repo.commit({"calc.py": CALC, "tests/test_calc.py": PYTEST, ".gitignore": ".pytest_cache\n"})
    assert init(mo) == ["gate: python3 -m pytest (proved)", "  3 tests on HEAD"]
    skips = PYTEST.replace("def test_add", "@pytest.mark.skip\ndef test_add")
    deletes = PYTEST.split("@pytest")[0]
    more = {"skips": ("tests/test_calc.py", skips), "deletes": ("tests/test_calc.py", deletes)}
    file = "tests/test_calc.py::tests.test_calc"
    add, zero = f"{file}::test_add", [f"{file}::test_zero[0]", f"{file}::test_zero[1]"]
    assert run(mo, PYTHON_TASKS | more) == (
        {**STATES, "skips": "awaiting_person", "deletes": "awaiting_person"},
        {"bad": [add], "broken": [file, add, *zero]},
    )


def test_make_is_weak(mo: Mo) -> None:
    require("make")
    add = "add() { echo $(($1 + $2)); }\n"
    check = '. ./calc.sh\ntest "$(add 1 2)" = 3\n'
    mo.repo.commit({"calc.sh": add, "check.sh": check, "Makefile": "test:\n\tsh check.sh\n"})
    weak = "  weak: judged by its exit code alone, not test by test"
    assert init(mo) == ["gate: make test (proved)", weak]
    tasks = {"good": ("more.sh", "true\n"), "bad": ("calc.sh", add.replace("+", "-"))}
    assert run(mo, tasks, weak=True) == ({"good": "landed", "bad": "ejected"}, {"bad": []})


@pytest.mark.slow
def test_make_that_runs_pytest_is_not_weak(mo: Mo) -> None:
    require("make")
    mo.repo.commit({"calc.py": CALC, "test_calc.py": PYTEST, "Makefile": "test:\n\tpython -m pytest -q\n"})
    assert init(mo, "--gate", "make test") == ["gate: make test (proved)", "  3 tests on HEAD"]
    tasks = {name: PYTHON_TASKS[name] for name in ("good", "bad")}
    bad = ["test_calc.py::test_calc::test_add"]
    assert run(mo, tasks) == ({"good": "landed", "bad": "ejected"}, {"bad": bad})


# -- JavaScript ---------------------------------------------------------------------------------------

ADD = "export const add = (a, b) => a + b;\n"
JS_TASKS = {
    "good": ("more.mjs", "export const more = 1;\n"),
    "bad": ("calc.mjs", "export const add = (a, b) => a - b;\n"),
    "broken": ("calc.mjs", "export const add = (\n"),
}
JS_IDS = {
    "bad": ["test/calc.test.mjs::adds"],
    "broken": [f"test/calc.test.mjs::{name}" for name in ("adds", "test/calc.test.mjs", "zero")],
}
NODE_TEST = """\
import test from 'node:test';
import assert from 'node:assert';
import {add} from '../calc.mjs';
test('adds', () => { assert.equal(add(1, 2), 3); });
test('zero', () => { assert.equal(add(0, 0), 0); });
"""
VITEST = """\
import {expect, test} from 'vitest';
import {add} from '../calc.mjs';
test('adds', () => { expect(add(1, 2)).toBe(3); });
test('zero', () => { expect(add(0, 0)).toBe(0); });
"""


@pytest.mark.slow
def test_node_test(mo: Mo) -> None:
    require("node")
    mo.repo.commit({"calc.mjs": ADD, "test/calc.test.mjs": NODE_TEST})
    assert init(mo) == ["gate: node --test (proved)", "  2 tests on HEAD"]
    assert run(mo, JS_TASKS) == (STATES, JS_IDS)


@pytest.mark.slow
def test_npm_test(mo: Mo) -> None:
    require("npm")
    mo.repo.commit(
        {
            "package.json": '{"name": "calc", "scripts": {"test": "node --test test/"}}\n',
            "calc.mjs": ADD,
            "test/calc.test.mjs": NODE_TEST,
        }
    )
    assert init(mo) == ["gate: npm test (proved)", "  2 tests on HEAD"]
    assert run(mo, JS_TASKS) == (STATES, JS_IDS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scripts", "command"),
    [({}, "npx --no vitest run"), ({"scripts": {"test": "vitest run"}}, "npm test")],
)
def test_vitest(mo: Mo, scripts: Mapping[str, object], command: str) -> None:
    """Without its packages the remedy is named, nothing is fetched; with them it works."""
    modules = require_npm("vitest")
    mo.environ |= {"npm_config_offline": "true"}
    package = {"name": "calc", "devDependencies": {"vitest": "^3"}, **scripts}
    mo.repo.commit(
        {
            ".gitignore": "node_modules\n",
            "package.json": json.dumps(package),
            "calc.mjs": ADD,
            "test/calc.test.mjs": VITEST,
        }
    )
    hint = "if something has to be installed first: mo config set workspace.setup "
    assert f"""{hint}'["npm install --no-package-lock"]'""" in mo("init", code=Exit.GATE).err
    mo("config", "set", "workspace.setup", f'["ln -s {modules} node_modules"]')
    assert init(mo) == [f"gate: {command} (proved)", "  2 tests on HEAD"]
    assert run(mo, JS_TASKS) == (STATES, JS_IDS)


# -- compiled -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_go(mo: Mo) -> None:
    require("go")
    mo.environ |= {"GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    mo.repo.commit(
        {
            "go.mod": "module example.org/calc\n\ngo 1.19\n",
            "calc.go": "package calc\n\nfunc Add(a, b int) int { return a + b }\n",
            "calc_test.go": """\
package calc

import "testing"

func TestAdd(t *testing.T) {
	if Add(1, 2) != 3 {
		t.Fail()
	}
}

func TestZero(t *testing.T) {
	if Add(0, 0) != 0 {
		t.Fail()
	}
}
""",
            "deep/deep.go": "package deep\n\nconst Deep = 1\n",
        }
    )
    assert init(mo) == ["gate: go test ./... (proved)", "  2 tests on HEAD"]
    tasks = {
        "good": ("more/more.go", "package more\n\nconst More = 1\n"),
        "bad": ("calc.go", "package calc\n\nfunc Add(a, b int) int { return a - b }\n"),
        "broken": ("calc.go", "package calc\n\nfunc Add(\n"),
    }
    package = "example.org/calc"
    ids = {"bad": [f"{package}::TestAdd"], "broken": [package, f"{package}::TestAdd", f"{package}::TestZero"]}
    assert run(mo, tasks) == (STATES, ids)


@pytest.mark.slow
def test_cargo(mo: Mo) -> None:
    require("cargo")
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # rustup's, since tests have a home of their own
    mo.environ |= {
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", f"{home}/.rustup"),
        "CARGO_HOME": os.environ.get("CARGO_HOME", f"{home}/.cargo"),
        "CARGO_NET_OFFLINE": "true",
    }
    add = "pub fn add(a: i32, b: i32) -> i32 {\n    a + b\n}\n"
    mo.repo.commit(
        {
            ".gitignore": "/target\n/Cargo.lock\n",
            "Cargo.toml": '[package]\nname = "calc"\nversion = "0.1.0"\nedition = "2021"\n',
            "src/lib.rs": add,
            "tests/it.rs": """\
#[test]
fn adds() {
    assert_eq!(calc::add(1, 2), 3);
}
#[test]
fn zero() {
    assert_eq!(calc::add(0, 0), 0);
}
""",
        }
    )
    assert init(mo) == ["gate: cargo test (proved)", "  2 tests on HEAD"]
    tasks = {
        "good": ("src/more.rs", "pub const MORE: i32 = 1;\n"),
        "bad": ("src/lib.rs", add.replace("+", "-")),
        "broken": ("src/lib.rs", "pub fn add(\n"),
    }
    one, two = "tests/it.rs::it::adds", "tests/it.rs::it::zero"
    assert run(mo, tasks) == (STATES, {"bad": [one], "broken": ["build::calc", one, two]})
