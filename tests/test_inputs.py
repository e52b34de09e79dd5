"""Inputs of the gate: which changes count, and the candidate with the head's version of them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping

import pytest

from mo_daemon import inputs
from mo_daemon.input_parts import counting, put_back
from mo_daemon.testids import Regression, Tests
from mo_git.config_gate import GATE_INPUTS
from mo_git.git.repo import Repo
from tests.support import RepoBuilder


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("pytest -q tests", ("/pytest",)),
        ("sh ./gate.sh --all", ("/sh", "/gate.sh")),
        ("python -u tools/check.py src/a.py", ("/python", "/tools/check.py")),
        ("python tests/test_a.py", ("/python",)),
        (("timeout", "60", "./gate.sh"), ("/timeout", "/gate.sh")),
        ("A=1 tools/run 'a b' && wc -c dist/app.js | cat", ("/tools/run", "/wc", "/cat")),
        ("/usr/bin/env bash gate", ("/gate",)),
    ],
)
def test_the_files_of_a_command_are_inputs(command: str | tuple[str, ...], named: tuple[str, ...]) -> None:
    assert inputs.patterns(("conftest.py",), command) == ("conftest.py", *named)


@pytest.mark.parametrize(
    ("path", "is_input"),
    [
        ("conftest.py", True),
        ("tests/deep/conftest.py", True),
        ("pyproject.toml", True),
        ("web/package.json", True),
        ("web/vitest.config.mts", True),
        (".github/workflows/deep/ci.yml", True),
        ("sub/.github/workflows/ci.yml", False),
        ("Makefile", True),
        ("gate.sh", True),
        ("tools/gate.sh", False),
        ("src/conftest_helpers.py", False),
        ("package-lock.json", False),
        ("tests/test_a.py", False),
    ],
)
def test_which_paths_are_inputs(path: str, is_input: bool) -> None:
    wanted = inputs.patterns(GATE_INPUTS, "sh gate.sh")
    assert inputs.touches(["README.md", path], wanted) == ((path,) if is_input else ())


PYPROJECT = """\
[project]
name = "shop"
dependencies = ["rich"]  # [not a table]

[tool.pytest.ini_options]
addopts = "-ra"
markers = ["slow: takes long"]

[tool.ruff]
line-length = 100

[tool.coverage.report]
fail_under = 90
"""
PACKAGE = {"name": "shop", "scripts": {"test": "vitest run"}, "dependencies": {"a": "1"}}
CFG = "[metadata]\nname = shop\n\n[tool:pytest]\naddopts = -ra\n"


@pytest.mark.parametrize(
    ("path", "now", "before", "same"),
    [
        ("pyproject.toml", PYPROJECT.replace('"rich"', '"rich", "httpx"'), PYPROJECT, True),
        ("pyproject.toml", PYPROJECT.replace("100", "90"), PYPROJECT, True),
        ("pyproject.toml", PYPROJECT.replace("slow:", "new: new\", \"slow:"), PYPROJECT, True),
        ("pyproject.toml", PYPROJECT.replace("-ra", "-k nothing"), PYPROJECT, False),
        ("pyproject.toml", PYPROJECT.replace("90", "9"), PYPROJECT, False),
        ("pyproject.toml", PYPROJECT + "[tool.pytest.more]\na = 1\n", PYPROJECT, False),
        ("sub/pyproject.toml", '[project]\nname = "x"\n', '[project]\nname = "y"\n', True),
        ("pyproject.toml", "[tool", PYPROJECT, False),  # no TOML: all of it counts
        ("package.json", json.dumps({**PACKAGE, "dependencies": {"a": "2"}}), json.dumps(PACKAGE), True),
        ("package.json", json.dumps({**PACKAGE, "scripts": {"test": "true"}}), json.dumps(PACKAGE), False),
        ("package.json", json.dumps({**PACKAGE, "jest": {"bail": 1}}), json.dumps(PACKAGE), False),
        ("package.json", "[]", json.dumps(PACKAGE), False),
        ("setup.cfg", CFG.replace("shop", "store"), CFG, True),
        ("setup.cfg", CFG.replace("-ra", "-x"), CFG, False),
        ("pytest.ini", "[pytest]\nmarkers =\n  new\n", "[pytest]\nmarkers =\n  old\n", True),
        ("pytest.ini", "[pytest]\naddopts = -k a\n", "[pytest]\n", False),
        ("conftest.py", "a = 1\n", "a = 2\n", False),
    ],
)  # fmt: skip
def test_what_counts_in_a_file(path: str, now: str, before: str, same: bool) -> None:
    assert (counting(path, now.encode()) == counting(path, before.encode())) == same


@pytest.mark.parametrize(
    ("path", "now", "before", "result"),
    [
        ("conftest.py", "new", "old", "old"),
        (
            "setup.cfg",
            "[metadata]\nname = store\n[tool:pytest]\naddopts = -x\n",
            CFG,
            "[metadata]\nname = store\n\n[tool:pytest]\naddopts = -ra\n",
        ),
        (
            "package.json",
            json.dumps({**PACKAGE, "scripts": {}, "jest": {}, "version": "2"}),
            json.dumps(PACKAGE),
            json.dumps(
                {
                    "name": "shop",
                    "dependencies": {"a": "1"},
                    "version": "2",
                    "scripts": {"test": "vitest run"},
                },
                indent=2,
            )
            + "\n",
        ),
        ("package.json", "{", json.dumps(PACKAGE), json.dumps(PACKAGE)),
        ("pyproject.toml", "[project]\nname = 1\n", "[tool", "[tool"),
    ],
)
def test_a_file_with_the_older_part(path: str, now: str, before: str, result: str) -> None:
    assert put_back(path, now.encode(), before.encode()).decode() == result


def test_a_pyproject_keeps_what_is_new_and_loses_what_weakens() -> None:
    now = PYPROJECT.replace('"rich"', '"rich", "httpx"').replace("-ra", "-k nothing").replace("90", "1")
    made = put_back("pyproject.toml", now.encode(), PYPROJECT.encode()).decode()
    assert '"rich", "httpx"' in made
    assert "nothing" not in made
    assert counting("pyproject.toml", made.encode()) == counting("pyproject.toml", PYPROJECT.encode())


def test_tables_that_cannot_be_taken_apart_go_back_as_a_whole() -> None:
    inline = '[tool]\npytest = { ini_options = { addopts = "-k nothing" } }\n[project]\nname = "new"\n'
    assert put_back("pyproject.toml", inline.encode(), PYPROJECT.encode()).decode() == PYPROJECT


# -- on real objects ----------------------------------------------------------------------------------

FILES = {"conftest.py": "old\n", "pyproject.toml": PYPROJECT, "src/a.py": "A = 1\n", "gate.sh": "pytest\n"}


def older(
    repo: RepoBuilder, files: Mapping[str, str], *gone: str, fine: tuple[str, ...] = ()
) -> dict[str, str] | None:
    """The tree with the head's inputs of a commit that writes these files and removes others."""
    head = repo.commit(FILES, "head")
    for path in gone:
        (repo.path / path).unlink()
    commit = repo.commit(files, "candidate")
    wanted = inputs.patterns(GATE_INPUTS, "sh gate.sh")
    found = inputs.with_inputs_of(Repo(repo.path / ".git"), head, commit, wanted, fine)
    assert found == inputs.with_inputs_of(Repo(repo.path / ".git"), head, commit, wanted, fine)
    assert repo.git("status", "--porcelain") == ""
    if found is None:
        return None
    assert repo.git("log", "-1", "--format=%P", found) == commit
    return repo.tree(found)


@pytest.mark.parametrize(
    ("files", "gone"),
    [
        ({"src/a.py": "A = 2\n"}, ()),
        ({"pyproject.toml": PYPROJECT.replace('"rich"', '"rich", "httpx"')}, ()),
        ({"src/b.py": ""}, ("src/a.py",)),
    ],
)
def test_other_changes_need_no_second_gate(
    repo: RepoBuilder, files: dict[str, str], gone: tuple[str, ...]
) -> None:
    assert older(repo, files, *gone) is None


def test_the_head_s_inputs_with_the_candidate_s_work(repo: RepoBuilder) -> None:
    files = {"conftest.py": "new\n", "src/a.py": "A = 2\n", "tests/conftest.py": "x\n", "gate.sh": "true\n"}
    made = older(repo, {**files, "pyproject.toml": PYPROJECT.replace("-ra", "-x").replace("shop", "store")})
    assert made is not None
    assert tomllib.loads(made.pop("pyproject.toml")) == tomllib.loads(PYPROJECT.replace("shop", "store"))
    assert made == {"README.md": "hello", "conftest.py": "old", "src/a.py": "A = 2", "gate.sh": "pytest"}


def test_a_removed_input_comes_back_and_an_accepted_one_stays(repo: RepoBuilder) -> None:
    made = older(repo, {"gate.sh": "true\n"}, "conftest.py", fine=("gate.sh",))
    assert made is not None
    assert (made["conftest.py"], made["gate.sh"]) == ("old", "true")
    assert older(repo, {"gate.sh": "false\n"}, fine=("gate.sh",)) is None


BASE = Tests({"a": "passed", "b": "passed"})


@pytest.mark.parametrize(
    ("result", "regression", "baseline", "against", "ids"),
    [
        ("green", Regression(), BASE, False, ()),
        ("red", Regression(failed=("a",), missing=("b",)), BASE, True, ("a", "b")),
        ("red", Regression(failed=("new",)), BASE, False, ()),  # needs the configuration that it brings
        ("red", Regression(failed=("a", "new")), BASE, True, ("a",)),
        ("red", None, None, True, ()),  # a weak gate
        ("red", Regression(failed=("metric::size",)), None, True, ("metric::size",)),
        ("red", Regression(failed=("metric::size",)), BASE, True, ("metric::size",)),
        ("red", Regression(), BASE, True, ()),  # the exit code alone
        ("unknown", None, BASE, True, ()),
    ],
)
def test_only_the_head_s_tests_speak_against_a_candidate(
    result: str, regression: Regression | None, baseline: Tests | None, against: bool, ids: tuple[str, ...]
) -> None:
    assert inputs.speaks_against(result, regression, baseline) == (against, ids)


def test_what_a_person_is_told() -> None:
    assert inputs.held(["conftest.py"], ["a", "b"], "x")["reason"] == (
        "changes conftest.py, and with the former version the gate is not green: 2 tests not as before: a, b"
    )
    assert inputs.held(["Makefile"], [], "exit code 2") == {
        "reason": "changes Makefile, and with the former version the gate is not green: exit code 2",
        "doubt": {"about": "inputs", "ids": [], "paths": ["Makefile"]},
    }
