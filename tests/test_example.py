"""The example project and the demo's plan do what their comments say, seen with plain git and python."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support import RepoBuilder

EXAMPLE = Path(__file__).parents[1] / ".mo-example"
PLAN = tomllib.loads((EXAMPLE / "plans/demo.toml").read_text())
TASKS = {task["id"]: task for task in PLAN["task"]}
WORK = "import sys; sys.path.insert(0, 'tools'); import work; work.TASKS[sys.argv[1]]()"


def python(repo: RepoBuilder, *args: str, attempt: int = 3) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in the checkout, leaving no bytecode there."""
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "MO_ATTEMPT_NUMBER": str(attempt)}
    argv = [sys.executable, *args]
    return subprocess.run(argv, cwd=repo.path, env=env, capture_output=True, text=True, check=False)


def gate(repo: RepoBuilder) -> tuple[bool, str]:
    """Whether the tests of what is checked out are green, and what they printed."""
    done = python(repo, "-m", "unittest", "discover", "-s", "tests", "-t", ".")
    return done.returncode == 0, done.stderr


def work(repo: RepoBuilder, task: str, base: str) -> None:
    """Do one task on a branch of its name."""
    repo.git("checkout", "-q", "-b", task, base)
    done = python(repo, "-c", WORK, task)
    assert done.returncode == 0, done.stderr
    repo.git("add", "-A")
    repo.git("commit", "-q", "-m", TASKS[task]["title"])


def merge(repo: RepoBuilder, branch: str, tasks: Sequence[str]) -> None:
    """A branch from main with the tasks merged in."""
    repo.git("checkout", "-q", "-b", branch, "main")
    for task in tasks:
        repo.git("merge", "-q", "--no-ff", "-m", f"merge {task}", task)


@pytest.fixture
def shop(tmp_path: Path) -> RepoBuilder:
    """The example project as a repository of its own."""
    repo = RepoBuilder.create(tmp_path / "shop")
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z", "."],
        cwd=EXAMPLE / "project",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    repo.commit({name: (EXAMPLE / "project" / name).read_bytes() for name in names.split("\0") if name})
    return repo


def test_green_at_the_start_and_without_tests_when_emptied(shop: RepoBuilder) -> None:
    command = tomllib.loads((EXAMPLE / "config.toml").read_text())["gate"]["command"]
    assert command == PLAN["check"] == "python3 -m unittest discover -s tests -t ."
    green, output = gate(shop)
    assert (green, "Ran 16 tests" in output) == (True, True)
    for path in shop.path.rglob("*.py"):
        path.write_text("")
    assert "Ran 0 tests" in gate(shop)[1]


def test_every_task_alone_is_green_and_stays_in_its_scope(shop: RepoBuilder) -> None:
    for task, spec in TASKS.items():
        dependencies = spec.get("depends_on", [])
        merge(shop, f"base-{task}", dependencies)
        work(shop, task, f"base-{task}")
        assert gate(shop)[0], task
        changed = shop.git("diff", "--name-only", f"base-{task}", task).split("\n")
        assert sorted(changed) == sorted(spec["writes"]), task
        assert spec["run"] == ["python3", "tools/work.py", task]
        if task == "receipt-discount":  # its second parent brings all of the diamond
            assert set(shop.tree()) >= {"tests/test_cart_discount.py", "tests/test_discount_codes.py"}


def test_the_two_currencies_conflict_and_either_can_be_redone(shop: RepoBuilder) -> None:
    for first, second in [("currency-gbp", "currency-jpy"), ("currency-jpy", "currency-gbp")]:
        work(shop, first, "main")
        work(shop, second, "main")
        shop.git("checkout", "-q", first)
        assert "CONFLICT (content): Merge conflict in shop/prices.py" in shop.git(
            "merge", second, check=False
        )
        shop.git("merge", "--abort")
        shop.git("branch", "-q", "-D", second)
        work(shop, second, first)
        assert gate(shop)[0]
        shop.git("checkout", "-q", "main")
        shop.git("branch", "-q", "-D", first, second)


def test_reorder_and_strict_stock_merge_cleanly_and_are_red_together(shop: RepoBuilder) -> None:
    work(shop, "reorder", "main")
    work(shop, "strict-stock", "main")
    merge(shop, "both", ["reorder", "strict-stock"])
    green, output = gate(shop)
    assert not green
    assert "ERROR: test_missing (tests.test_reorder.ReorderTest" in output
    assert "FAILED (errors=1)" in output


def test_everything_else_lands_together(shop: RepoBuilder) -> None:
    done: list[str] = []
    for task in (task for task in TASKS if task not in {"currency-jpy", "strict-stock"}):
        merge(shop, f"base-{task}", done)
        work(shop, task, f"base-{task}")
        done.append(task)
    work(shop, "currency-jpy", "supplier-feed")
    assert gate(shop)[0]


def test_the_supplier_is_busy_twice(shop: RepoBuilder) -> None:
    work(shop, "currency-gbp", "main")
    endings = [python(shop, "-c", WORK, "supplier-feed", attempt=n) for n in (1, 2, 3)]
    assert [done.returncode for done in endings] == [1, 1, 0]
    assert endings[1].stderr == "the supplier's server is busy (attempt 2)\n"
