"""The house around the code: files that have to be there, examples that work, pages that are true."""

from __future__ import annotations

import configparser
import os
import plistlib
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mo_git import cli, config, plan
from mo_git.model import Plan, TaskSpec
from tests.support import RepoBuilder

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / ".mo-example"

FILES = (
    *("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml", "config.toml"),
    *(".editorconfig", ".gitignore", ".github/workflows/ci.yml", ".ci/run", "docs/README.md"),
    *("mo_git/py.typed", "daemon/mo_daemon/py.typed"),
)
EXECUTABLES = (".ci/run",)
TARGETS = ("demo", "check", "test", "soak", "bench", "docs", "clean")

# Places and names that mean nothing on another machine.  In pieces, so that this file does not name them.
FOREIGN = tuple(
    re.compile(pattern)
    for pattern in (
        *(r"(?<!\w)/wo" + r"rk/", "/tmp/ve" + "nv", r"/root/\.py" + "env", "DESIGN" + r"\.md"),
        *(r"py" + r"pi\.org", "python" + r"hosted\.org", r"npm" + r"js\.org", "npm" + r"js\.com"),
        *(r"deb\.deb" + r"ian\.org", "crates" + r"\.io", "proxy" + r"\.golang\.org"),
    )
)


@cache
def project_files() -> tuple[str, ...]:
    """Tracked files, and new ones that git does not ignore."""
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(name for name in done.stdout.split("\0") if name and (ROOT / name).is_file())


def foreign(text: str) -> list[str]:
    return [found[0] for pattern in FOREIGN for found in pattern.finditer(text)]


@pytest.mark.parametrize("name", FILES)
def test_is_there(name: str) -> None:
    assert (ROOT / name).is_file()


@pytest.mark.parametrize("name", EXECUTABLES)
def test_is_executable(name: str) -> None:
    assert (ROOT / name).stat().st_mode & stat.S_IXUSR


def test_names_no_foreign_place() -> None:
    texts = {name: (ROOT / name).read_bytes().decode("utf-8", "replace") for name in project_files()}
    assert {name: found for name, text in texts.items() if (found := foreign(text))} == {}
    assert len(foreign("see /wo" + "rk/main and py" + "pi.org, but not home/wo" + "rk/ or pypi")) == 2


def test_links_lead_somewhere() -> None:
    lost = []
    for name in (name for name in project_files() if name.endswith(".md")):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / name).read_text()):
            if "://" not in target and not (ROOT / name).parent.joinpath(target).exists():
                lost.append(f"{name}: {target}")
    assert lost == []


# -- make and CI --------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_make_knows(target: str) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    done = subprocess.run([make, "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_make_refuses_an_old_python(tmp_path: Path) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}  # of `make test`
    done = subprocess.run(
        [make, "demo", "PYTHON=false"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout == "mo needs Python 3.11 or newer: make PYTHON=/path/to/python3.11\n"
    assert done.returncode == 2


def test_ci_script_is_sound_bash() -> None:
    assert subprocess.run(["bash", "-n", ".ci/run"], cwd=ROOT, check=False).returncode == 0
    assert (ROOT / ".ci/run").read_text().startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in (ROOT / ".ci/run").read_text()


def test_what_a_missing_program_means(repo: RepoBuilder) -> None:
    repo.write(
        {"test_it.py": "from tests.need import require\ndef test_it():\n    require('no-such-program')\n"}
    )
    said = {}
    for ci in ("", "1"):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
            cwd=repo.path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "CI": ci},
            capture_output=True,
            text=True,
            check=False,
        )
        said[ci] = done.stdout.splitlines()[-1].split(" in ")[0]
    assert said == {"": "1 skipped", "1": "1 failed"}


# -- the example --------------------------------------------------------------------------------------


def test_the_demo_plan_parses_and_warns_of_the_pair_that_conflicts() -> None:
    demo = plan.parse_plan((EXAMPLE / "plans/demo.toml").read_text(), "demo.toml")
    assert [task.id for task in demo.tasks] == [
        *("discount", "cart-discount", "discount-codes", "receipt-discount"),
        *("currency-gbp", "currency-jpy", "supplier-feed", "reorder", "strict-stock"),
    ]
    assert plan.overlaps(demo) == [("currency-gbp", "currency-jpy", "shop/prices.py")]


@pytest.mark.parametrize("path", sorted((EXAMPLE / "goals").iterdir()), ids=lambda path: path.name)
def test_the_example_goals_parse(path: Path) -> None:
    goal = plan.parse_goal_file(path.read_text(), path.name)
    assert goal.text.startswith("# ")
    assert goal.plan is not None


def keys(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_the_example_config_has_known_keys_only() -> None:
    example = tomllib.loads((EXAMPLE / "config.toml").read_text())
    assert config.Config.model_validate(example).gate.command == example["gate"]["command"]
    known = set(keys(tomllib.loads((ROOT / "config.toml").read_text())))
    assert set(keys(example)) - known == set()


# -- services -----------------------------------------------------------------------------------------


def test_the_systemd_unit() -> None:
    unit = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "daemon/service/mo@.service")
    assert dict(unit["Service"]) == {
        "Type": "notify",
        "NotifyAccess": "main",
        "ExecStart": ":%h/.local/bin/mo -C %f daemon run",
        "EnvironmentFile": "-%E/mo/environment",
        "WatchdogSec": "30",
        "Restart": "on-failure",
        "RestartSec": "5",
        "RestartPreventExitStatus": "2 6 7",
        "KillMode": "mixed",
        "TimeoutStopSec": "60",
    }
    assert unit["Install"]["WantedBy"] == "default.target"


def test_the_launchd_agent() -> None:
    agent = plistlib.loads((ROOT / "daemon/service/dev.mo-git.daemon.plist").read_bytes())
    assert agent["ProgramArguments"] == ["MO", "-C", "REPOSITORY", "daemon", "run"]
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert agent["RunAtLoad"] is True


# -- pages --------------------------------------------------------------------------------------------


def listed(page: str, heading: str) -> list[str]:
    """The keys in the first column of the table below a heading."""
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [key.strip("[]") for key in re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)]


def test_the_plan_page_lists_every_key() -> None:
    page = (ROOT / "docs/plans.md").read_text()
    names = {"from_ref": "from"}  # a word of Python
    assert listed(page, "A task") == [names.get(field.name, field.name) for field in fields(TaskSpec)]
    assert set(listed(page, "The plan")) == {
        *({field.name for field in fields(Plan)} - {"tasks"}),
        *("defaults", "task"),
    }


def test_the_plans_of_the_pages_parse() -> None:
    page = (ROOT / "docs/plans.md").read_text()
    [first, branch, outputs, goal] = re.findall(r"^```(?:toml)?\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(plan.parse_plan(first, "plans.md").tasks) == 3
    assert plan.parse_plan(branch, "plans.md").tasks[0].from_ref == "feature/index"
    assert plan.parse_plan(outputs, "plans.md").tasks[0].output is not None
    assert plan.parse_goal_file(goal, "goal.md").text == "The shop takes discount codes."
    readme = (ROOT / "README.md").read_text()
    block = "\n".join(
        re.findall(r"^    ((?:goal|\[\[task|id|run|depends_on|check).*)$", readme, re.MULTILINE)
    )
    assert [task.id for task in plan.parse_plan(block, "README.md").tasks] == ["imports", "upgrade"]


def test_the_command_page_is_up_to_date() -> None:
    modules = {ROOT / "mo_git/cli" / f"{module}.py" for module, _ in cli.VERBS.values()}
    if missing := sorted(path.name for path in modules if not path.exists()):
        pytest.skip(f"not written yet: {' '.join(missing)}")
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'daemon'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
