"""What agents wrote, run by gates, set-up and checks: the sandbox holds it, and verdicts stay right."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_git.errors import Exit
from tests.driver import Mo, plan, writes
from tests.need import require

pytestmark = pytest.mark.slow

ADD = "def add(a, b):\n    return a + b\n"
PROJECT = {
    ".gitignore": "__pycache__/\n",
    "pkg.py": ADD,
    "tests/test_pkg.py": (
        "import unittest\nfrom pkg import add\n\n"
        "class T(unittest.TestCase):\n    def test_add(self):\n        self.assertEqual(add(1, 2), 3)\n"
    ),
}
UNITTEST = "python -m unittest discover -s tests"
CANARY = "canary-51c2"
PLACES = ("setup", "check", "gate", "goal")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox, and `python` that runs the tests."""
    require("bwrap")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def do(mo: Mo, *tasks: dict[str, object], code: int = 0, **top: object) -> dict[str, str]:
    file = mo.repo.path.parent / "plan.json"
    file.write_text(plan(tasks, **top))
    mo("do", f"@{file}", code=code)
    return mo.states()


GOOD = {"id": "good", "run": writes("more.py", "MORE = 1\n")}
BAD = {"id": "bad", "run": writes("pkg.py", ADD.replace("+", "-"))}


@pytest.fixture
def victims() -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """A process for each place from which one is attacked."""
    started = {place: subprocess.Popen(["sleep", "600"]) for place in PLACES}
    yield started
    for one in started.values():
        one.kill()
        one.wait()


@pytest.mark.parametrize("contained", [True, False], ids=["sandbox", "as you"])
def test_attacks_from_what_runs_agents_code(
    mo: Mo, sealed: Path, victims: dict[str, subprocess.Popen[bytes]], contained: bool
) -> None:
    """The same commands hit everything where the settings do without a sandbox.

    But for hooks: there the tripwire puts them back, and who planted one fails.
    """
    main = mo.repo.path
    hook = f'mkdir -p {main}/.git/hooks; echo "#!/bin/sh" > {main}/.git/hooks/evil-$1\n' if contained else ""
    attack = (
        f'echo "$1" > {main}/evil-$1; echo "$1" >> {main}/pkg.py\n'
        f"{hook}"
        f"git -c core.hooksPath= update-ref refs/heads/evil-$1 HEAD; git config evil.$1 1\n"
        f"cat {main}/.mo/token {sealed}/.ssh/key\n"
        "case $1 in\n"
        + "".join(f"{place}) kill -9 {one.pid};;\n" for place, one in victims.items())
        + "esac\ntrue\n"
    )
    mo.repo.commit({**PROJECT, "attack.sh": attack})
    for secret in (main / ".mo/token", sealed / ".ssh/key"):
        secret.parent.mkdir(exist_ok=True)
        secret.write_text(CANARY)
    mo.configure(
        gate={"command": f"sh attack.sh gate; {UNITTEST}", "sandbox": contained},
        workspace={"setup": ["sh attack.sh setup"], "setup_sandbox": contained},
    )
    check = "sh attack.sh check"
    states = do(mo, {**GOOD, "check": check}, {**BAD, "check": check}, check="sh attack.sh goal", code=1)
    assert states == {"good": "landed", "bad": "ejected"}
    goal = mo.goal()
    mo.wait_for(lambda: (mo.home.gate_dir(goal.id) / "goal-check.log").exists() or not goal.landings)
    hit = set() if contained else set(PLACES)
    assert {path.name.removeprefix("evil-") for path in main.glob("evil-*")} == hit
    assert not list(main.glob(".git/hooks/evil-*"))
    refs = mo.repo.git("for-each-ref", "--format=%(refname:short)", "refs/heads/evil-*").split()
    assert {name.removeprefix("evil-") for name in refs} == hit
    assert set(re.findall(r"^evil\.(\w+)=", mo.repo.git("config", "--list"), re.M)) == hit
    assert ((main / "pkg.py").read_text() == ADD) == contained
    assert {place for place, one in victims.items() if one.poll() is not None} == hit
    logs = {log.name: log.read_text() for log in (mo.home.path / "runs").rglob("*.log")}
    told = {name for name, text in logs.items() if CANARY in text}
    expected = {"setup.log", "check.log", "base.log", "goal-check.log"}
    assert set(logs) >= expected
    assert told & expected == (set() if contained else expected)


def test_nothing_of_a_task_or_of_another_run_is_left_for_a_gate(mo: Mo) -> None:
    """Its cache is not that of tasks, its home is empty; tasks share their cache."""
    mo.repo.commit(PROJECT)
    clean = 'test ! -e "$XDG_CACHE_HOME/poison" && test ! -e "$HOME/left" && touch "$HOME/left"'
    kept = 'echo run >> "$XDG_CACHE_HOME/runs"; wc -l < "$XDG_CACHE_HOME/runs"'
    mo.configure(gate={"command": f"{clean} && {{ {kept}; }} && {UNITTEST}"})
    poison = {**GOOD, "check": 'touch "$XDG_CACHE_HOME/poison"; test ! -e "$XDG_CACHE_HOME/runs"'}
    sees = {
        "id": "sees",
        "run": writes("sees.py", ""),
        "depends_on": ["good"],
        "check": 'test -e "$XDG_CACHE_HOME/poison"',
    }
    assert do(mo, poison, sees) == {"good": "landed", "sees": "landed"}
    logs = sorted(mo.home.gate_dir(mo.goal().id).glob("*.log"), key=lambda log: log.stat().st_mtime_ns)
    counts = [line for log in logs for line in log.read_text().splitlines() if line.isdigit()]
    assert counts == ["1", "2", "3", "4"]  # base, unreadable, good, sees


def follow(mo: Mo, hint: str) -> None:
    """Type the command that a refusal prints."""
    (line,) = re.findall(r"mo config set \S+ (?:'[^']*'|\S+)", hint.partition("the log is")[2])
    mo(*shlex.split(line)[1:])


def refused(mo: Mo, gate: str) -> str:
    return str(json.loads(mo("--json", "init", "--gate", gate, code=Exit.GATE).err)["error"]["hint"])


def test_a_gate_that_needs_a_place_to_write_is_told_the_setting(mo: Mo, sealed: Path) -> None:
    mo.repo.commit(PROJECT)
    (sealed / "reports").mkdir()
    mo("init", "--no-prove")
    gate = f"touch {sealed}/reports/last || exit 127; {UNITTEST}"
    hint = refused(mo, gate)
    assert hint.endswith(
        "; it may want to write there: "
        f"""mo config set gate.writable '["{sealed}/reports"]'"""
    )
    follow(mo, hint)
    mo("init", "--gate", gate)
    assert (sealed / "reports/last").exists()


def test_a_gate_that_needs_a_hidden_file_is_told_the_setting(mo: Mo, tmp_path: Path) -> None:
    mo.repo.commit(PROJECT)
    data = tmp_path / "data/table"
    data.parent.mkdir()
    data.write_text("1\n")
    mo("init", "--no-prove")
    gate = f"cat {data} || exit 127; {UNITTEST}"
    hint = refused(mo, gate)
    assert hint.endswith(
        "; it may want to read that, which the sandbox hides: "
        f"""mo config set sandbox.read '["{data}"]'"""
    )
    follow(mo, hint)
    mo("init", "--gate", gate)


def test_a_place_to_write_that_would_open_the_repository_is_refused(mo: Mo, tmp_path: Path) -> None:
    mo.repo.commit(PROJECT)
    mo.configure(gate={"command": UNITTEST, "writable": [str(tmp_path)]})
    error = json.loads(mo("--json", "init", code=Exit.CONFIG).err)["error"]
    assert error["message"] == (
        f"a sandbox in which {tmp_path} is writable would leave {mo.repo.path} unprotected"
    )
    file = tmp_path / "plan.json"
    file.write_text(plan([GOOD]))
    mo("do", f"@{file}", code=None)
    assert mo.goal().state == "halted"
    assert mo.goal().reason == f"{error['message']}; {error['hint']}"
