"""Finding out how a project runs its tests.  Reads a directory, starts nothing."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

_NO_TEST = "no test specified"  # the script that `npm init` writes
_NPM_INSTALL = "npm install --no-package-lock"  # a new lock file would enter every commit
_MAX_FILES = 300
_SKIPPED_DIRECTORIES = {"node_modules", "venv", "build", "dist", "target", "__pycache__"}


@dataclass(frozen=True, slots=True)
class Detected:
    """A gate command that would suit, why, and `workspace.setup` lines that it probably needs."""

    command: str
    runner: str
    why: str
    setup: tuple[str, ...] = ()


def detect(top: Path) -> list[Detected]:
    """Gate commands for the project at `top`, best first; empty where nothing is recognised."""
    python = _pytest(top) or _tox(top) or _unittest(top)
    found = [python, _script(top) or _node(top), _go(top), _cargo(top)]
    known = [one for one in found if one]
    return known + [one for one in [_make(top)] if one]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError:
        return {}


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(_text(path) or "{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _files(top: Path, *patterns: str) -> Iterator[Path]:
    """Files down to three levels below the top that match one of the globs, without dependencies."""
    for level in ("", "*/", "*/*/", "*/*/*/"):
        for pattern in patterns:
            for path in sorted(top.glob(level + pattern)):
                parts = path.relative_to(top).parts[:-1]
                if not any(part in _SKIPPED_DIRECTORIES or part.startswith(".") for part in parts):
                    yield path


# -- Python -------------------------------------------------------------------------------------------


def _pytest(top: Path) -> Detected | None:
    why = _pytest_sign(top)
    if not why:
        return None
    if (top / "uv.lock").is_file():
        return Detected("uv run pytest", "pytest", f"{why}, uv.lock", ("uv sync",))
    if (top / "poetry.lock").is_file():
        return Detected("poetry run pytest", "pytest", f"{why}, poetry.lock", ("poetry install",))
    return Detected("python3 -m pytest", "pytest", why, python_setup(top, "pytest"))


def _pytest_sign(top: Path) -> str:
    tool = _toml(top / "pyproject.toml").get("tool", {})
    if "pytest" in tool:
        return "pyproject.toml configures pytest"
    for name, section in (
        ("pytest.ini", "[pytest]"),
        ("setup.cfg", "[tool:pytest]"),
        ("tox.ini", "[pytest]"),
    ):
        if section in _text(top / name):
            return f"{name} configures pytest"
    for path in islice(_files(top, "conftest.py", "test_*.py", "*_test.py"), _MAX_FILES):
        shown = path.relative_to(top)
        if path.name == "conftest.py":
            return f"there is {shown}"
        text = _text(path)
        if re.search(r"^\s*(?:import pytest|from pytest\b)", text, re.M):
            return f"{shown} imports pytest"
        if re.search(r"^(?:async )?def test_", text, re.M):
            return f"{shown} has test functions"
    return ""


def python_setup(top: Path, *packages: str) -> tuple[str, ...]:
    """Commands that make a virtual environment in the worktree, so that tests import that worktree's code.

    `--clear` and `python -m pip`, since a copied environment may lie there: its scripts would install into
    the one that it was copied from.  Empty where the project has nothing to install.
    """
    wanted = [f"-r {path.name}" for path in sorted(top.glob("*requirements*.txt"))]
    project = _toml(top / "pyproject.toml")
    if (top / "setup.py").is_file() or "build-system" in project or "project" in project:
        extras = project.get("project", {}).get("optional-dependencies", {})
        chosen = ",".join(name for name in ("test", "tests", "testing", "dev") if name in extras)
        wanted.append(f"-e .[{chosen}]" if chosen else "-e .")
    if not wanted:
        return ()
    return (
        "python3 -m venv --clear .venv",
        " ".join([".venv/bin/python -m pip install", *wanted, *packages]),
    )


def _tox(top: Path) -> Detected | None:
    if (top / "tox.ini").is_file() or "tox" in _toml(top / "pyproject.toml").get("tool", {}):
        return Detected("tox", "tox", "the project is set up for tox")
    return None


def _unittest(top: Path) -> Detected | None:
    for path in islice(_files(top, "test*.py"), _MAX_FILES):
        if not re.search(r"^\s*(?:import unittest|from unittest\b)", _text(path), re.M):
            continue
        inside = path.relative_to(top).parts[:-1]
        command = "python3 -m unittest discover"
        if inside:
            start = inside[0]
            command += f" -s {start}" + (" -t ." if (top / start / "__init__.py").is_file() else "")
        return Detected(command, "unittest", f"{path.relative_to(top)} uses unittest", python_setup(top))
    return None


# -- JavaScript ---------------------------------------------------------------------------------------


def _script(top: Path) -> Detected | None:
    package = _json(top / "package.json")
    scripts = package.get("scripts")
    script = scripts.get("test") if isinstance(scripts, dict) else None
    manager, setup = _manager(top, package)
    if isinstance(script, str) and script.strip() and _NO_TEST not in script:
        return Detected(f"{manager} test", manager, f"package.json has a test script: {script}", setup)
    wanted = {**_table(package, "dependencies"), **_table(package, "devDependencies")}
    for runner, command in (("vitest", "npx --no vitest run"), ("jest", "npx --no -- jest")):  # fetch nothing
        if runner in wanted:
            return Detected(command, runner, f"package.json depends on {runner}", setup)
    return None


def node_setup(top: Path) -> tuple[str, ...]:
    """Commands that install a JavaScript project's packages and link its own ones to each other."""
    return _manager(top, _json(top / "package.json"))[1] or (_NPM_INSTALL,)


def _table(package: dict[str, Any], key: str) -> dict[str, Any]:
    value = package.get(key)
    return value if isinstance(value, dict) else {}


def _manager(top: Path, package: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The package manager that the lock file speaks for, and how it installs what is locked."""
    if (top / "pnpm-lock.yaml").is_file():
        return "pnpm", ("pnpm install --frozen-lockfile",)
    if (top / "yarn.lock").is_file():
        modern = (top / ".yarnrc.yml").is_file()
        return "yarn", ("yarn install --immutable" if modern else "yarn install --frozen-lockfile",)
    if (top / "package-lock.json").is_file():
        return "npm", ("npm ci",)
    needs = "workspaces" in package or any(
        _table(package, key) for key in ("dependencies", "devDependencies")
    )
    return "npm", (_NPM_INSTALL,) if needs else ()


def _node(top: Path) -> Detected | None:
    for path in islice(
        _files(top, "*.test.js", "*.test.mjs", "*.test.cjs", "test/*.js", "test/*.mjs"), _MAX_FILES
    ):
        if "node:test" in _text(path):
            return Detected("node --test", "node", f"{path.relative_to(top)} uses node:test")
    return None


# -- others -------------------------------------------------------------------------------------------


def _go(top: Path) -> Detected | None:
    if (top / "go.mod").is_file():
        return Detected("go test ./...", "go", "there is go.mod")
    return None


def _cargo(top: Path) -> Detected | None:
    if not (top / "Cargo.toml").is_file():
        return None
    wide = "workspace" in _toml(top / "Cargo.toml")
    return Detected("cargo test --workspace" if wide else "cargo test", "cargo", "there is Cargo.toml")


def _make(top: Path) -> Detected | None:
    for name in ("GNUmakefile", "makefile", "Makefile"):
        if re.search(r"^test\s*:(?!=)", _text(top / name), re.M):
            return Detected("make test", "make", f"{name} has a target test")
    return None
