"""Metrics: which number an output means, what is worse, and where many small losses lead back to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mo_daemon.deterioration import Fall, Measured, fall, stretch
from mo_daemon.gate import GateRun
from mo_daemon.gate_metrics import compared, measured
from mo_daemon.metrics import Metric, is_metric, of_settings, read_number, shown
from mo_daemon.testids import Regression, Tests
from mo_git.config import load
from mo_git.errors import MoError


@pytest.mark.parametrize(
    ("output", "number"),
    [
        ("81.25\n", 81.25),
        ("1\n2\n\n  \n", 2),
        ("TOTAL      120     12    90%\n", 90),
        ("line-rate=0.875\n", 0.875),
        ("found 3 problems in 12 files\n", 12),
        ("size: 1,234,567 bytes\n", 1234567),
        ("1,5\n", 5),
        ("-3.5e-2s\n", -0.035),
        ("+.5\n", 0.5),
        ("took 12ms\n", 12),
        ("1.2.3\n", 1.2),
        ("v2 py3\n", None),
        ("10-20\n", 20),
        ("12\nno number\n", None),
        ("nan inf\n", None),
        ("1e999\n", None),
        ("", None),
        ("\n", None),
    ],
)
def test_the_last_number_of_the_last_line(output: str, number: float | None) -> None:
    assert read_number(output) == number


UP = Metric("coverage", "c", "up", 0.5)
DOWN = Metric("lint", "c", "down", 0.1, relative=True)
EXACT = Metric("size", "c", "down")


@pytest.mark.parametrize(
    ("metric", "before", "now", "fell"),
    [
        (UP, 80, 79.5, False),
        (UP, 80, 79.4, True),
        (UP, 80, 99, False),
        (UP, 0.3, 0.1 + 0.2, False),
        (DOWN, 100, 110, False),
        (DOWN, 100, 111, True),
        (DOWN, 100, 1, False),
        (DOWN, 0, 1, True),
        (DOWN, -100, -91, False),
        (DOWN, -100, -89, True),
        (EXACT, 5, 5, False),
        (EXACT, 5, 6, True),
        (EXACT, 0.1 + 0.2, 0.3, False),
    ],
)
def test_worse_than_the_tolerance(metric: Metric, before: float, now: float, fell: bool) -> None:
    assert metric.fell(before, now) is fell


def test_settings() -> None:
    tables: dict[str, Any] = {
        "lint": {"command": "c", "direction": "down", "tolerance": "10%"},
        "coverage": {"command": "c", "tolerance": 0.5},
    }
    assert of_settings(tables) == (UP, DOWN)
    assert [metric.id for metric in of_settings(tables)] == ["metric::coverage", "metric::lint"]
    assert (is_metric("metric::lint"), is_metric("tests/test_a.py::test_metric")) == (True, False)
    assert [shown(value) for value in (80, 0.1 + 0.2, 1234567.5, 81.25)] == ["80", "0.3", "1234568", "81.25"]


@pytest.mark.parametrize(
    "table",
    [
        "",
        'command = ""',
        "command = 3",
        'command = "c"\ndirection = "left"',
        'command = "c"\ntolerance = -1',
        'command = "c"\ntolerance = "lots"',
        'command = "c"\ntolerance = true',
        'command = "c"\nmore = 1',
    ],
)
def test_metrics_that_are_none(tmp_path: Path, table: str) -> None:
    (tmp_path / "config.toml").write_text(f"[metrics.x]\n{table}\n")
    with pytest.raises(MoError, match=r"config.toml: metrics = .*expected a table such as \{ coverage = "):
        load(tmp_path, environ={})


def test_a_tracked_file_names_metrics_only_when_it_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[metrics.x]\ncommand = "c"\n')
    assert load(tmp_path, environ={}).config.metrics == {"x": {"command": "c"}}
    loaded = load(tmp_path, environ={}, trusted=lambda _path, _content: False)
    assert (loaded.config.metrics, loaded.untrusted) == ({}, ("metrics",))


# -- a run --------------------------------------------------------------------------------------------


def a_run(result: str, **metrics: float) -> GateRun:
    tests = Tests({"a": "passed"})
    return GateRun(
        "c", "t", result, False, 0, tests, Regression(), 1.0, Path("log"), "", metrics=metrics
    )  # fmt: skip


def test_a_metric_that_fell_is_red_like_a_failing_test() -> None:
    run = compared(a_run("green", coverage=79, lint=200), {"coverage": 80, "lint": 100}, [UP, DOWN])
    assert (run.result, run.failed_ids) == ("red", ("metric::coverage", "metric::lint"))
    assert run.reason == (
        "coverage went down from 80 to 79 (tolerance 0.5); lint went up from 100 to 200 (tolerance 10 %)"
    )
    assert run.document()["metrics"] == {"coverage": 79, "lint": 200}


@pytest.mark.parametrize(
    ("run", "before"),
    [
        (a_run("green", coverage=79.6), {"coverage": 80.0}),
        (a_run("green", coverage=1), {}),  # a new metric
        (a_run("green"), {"coverage": 80.0}),  # no longer a metric
        (a_run("red", coverage=1), {"coverage": 80.0}),
        (a_run("unknown"), {"coverage": 80.0}),
    ],
)
def test_other_runs_stay_what_they_are(run: GateRun, before: dict[str, float]) -> None:
    assert compared(run, before, [UP]) is run


def test_a_remembered_green_run_without_a_value_is_not_enough() -> None:
    assert measured(a_run("green", coverage=1), [UP])
    assert not measured(a_run("green"), [UP])
    assert measured(a_run("red"), [UP])
    assert measured(a_run("green"), [])


# -- a goal -------------------------------------------------------------------------------------------


def history(*values: float | tuple[float, ...]) -> list[Measured]:
    """Commits c0, c1, ... with values of `coverage`, or of `coverage` and `lint`."""
    names = ("coverage", "lint")
    rows = [value if isinstance(value, tuple) else (value,) for value in values]
    return [Measured(f"c{i}", dict(zip(names, row, strict=False))) for i, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([80], ""),
        ([80, 79.6], ""),
        ([80, 79.6, 79.2], "c0"),  # each step is within the tolerance, both are not
        ([80, 79.6, 79.2, 79.7], ""),
        ([80, 81, 80.6, 80.2], "c1"),
        ([80, 81, 81, 80.6, 80.2], "c2"),  # of equals the newest
        ([80, 79.6, 80, 79.6, 79.2], "c2"),
        ([80, 90, 100], ""),
    ],
)
def test_losses_that_add_up(values: list[float], best: str) -> None:
    found = fall(history(*values), [UP])
    assert (found.best if found else "") == best


def test_what_is_said_about_a_fall() -> None:
    assert fall(history(80, 81, 80.6, 80.2), [UP]) == Fall(
        "c1", "coverage went down from 81 to 80.2 (tolerance 0.5)", ("coverage",)
    )


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([(80, 10), (79.6, 9), (79.2, 8)], "c0"),  # a gain elsewhere does not pay for it
        ([(80, 100), (79.6, 105), (79.2, 112)], "c0"),
        ([(80, 100), (85, 112), (84, 100)], "c1"),
        ([(80, 100), (90, 200), (80, 100)], "c1"),
        ([(80, 100), (90, 160), (88.9, 112)], ""),  # nothing was better in sum
    ],
)
def test_two_metrics(values: list[tuple[float, ...]], best: str) -> None:
    found = fall(history(*values), [UP, DOWN])
    assert (found.best if found else "") == best


def test_commits_without_a_value_are_left_out() -> None:
    gaps = [Measured("c0", {}), Measured("c1", {"coverage": 80}), Measured("c2", {"coverage": 70})]
    found = fall(gaps, [UP])
    assert found is not None
    assert found.best == "c1"
    assert fall([*gaps, Measured("c3", {})], [UP]) is None


def test_what_others_brought_is_no_loss_of_the_goal() -> None:
    landings = [
        {"commit": commit, "purpose": purpose}
        for commit, purpose in (("c1", "task"), ("c2", "sync"), ("c3", "task"), ("c4", "task"))
    ]
    assert stretch("c0", landings[:1]) == ["c0", "c1"]
    assert stretch("c0", landings) == ["c2", "c3", "c4"]
    assert stretch("c0", [*landings, {"commit": "c5", "purpose": "rollback"}]) == ["c5"]
