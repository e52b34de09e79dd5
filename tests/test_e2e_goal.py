"""A plan becomes a green branch: the whole way, with a real daemon, on real repositories."""

from __future__ import annotations

import sys

from tests.driver import Mo, plan, python, writes

GATE = {"gate": {"command": f"{sys.executable} -m pytest -q -p no:cacheprovider"}}
CALC = "def add(a, b):\n    return a + b\n"
TEST = "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"


def queue(mo: Mo, text: str, *args: str, code: int | None = 0) -> str:
    """Write a plan, follow it to its end, return what was printed."""
    file = mo.repo.path.parent / "plan.json"
    file.write_text(text)
    return mo("do", f"@{file}", *args, code=code).out


def test_one_task_lands_and_the_checkout_stays(mo: Mo) -> None:
    mo.repo.commit({"calc.py": CALC, "test_calc.py": TEST})
    mo.configure(**GATE)
    before = mo.repo.head()
    mo.repo.write({"README.md": "uncommitted\n"})
    queue(mo, plan([{"id": "mul", "run": writes("mul.py", "def mul(a, b):\n    return a * b\n")}]))
    goal = mo.goal()
    assert str(goal.state) == "done"
    assert mo.repo.head() == before
    assert (mo.repo.path / "README.md").read_text() == "uncommitted\n"
    assert mo.repo.git("status", "--porcelain") == " M README.md"
    assert "mul.py" in mo.repo.tree(f"mo/{goal.id}/integration")
    assert mo.repo.head(f"refs/mo/{goal.id}/good/1") == goal.integration
    assert python("pass")[0] == sys.executable
