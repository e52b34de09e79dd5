"""What a row is, how samples become one, and how rows are printed."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a value beside a baseline of the same run.

    `goal` is what `judged` ("value" or "ratio") should stay below ("<=") or above (">="); None: none is set.
    """

    name: str
    value: float
    unit: str
    baseline: float
    against: str
    goal: tuple[str, str, float] | None = None  # (value | ratio, <= | >=, limit)
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times the baseline the value is; with a ">=" goal, the other way round."""
        one, other = self.value, self.baseline
        if self.goal and self.goal[1] == ">=":
            one, other = other, one
        return one / other if other else float("inf")

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        judged, sign, limit = self.goal
        measured = self.ratio if judged == "ratio" else self.value
        return measured <= limit if sign == "<=" else measured >= limit

    def document(self) -> dict[str, object]:
        return {**asdict(self), "ratio": round(self.ratio, 3) if self.baseline else None, "met": self.met}


@dataclass(frozen=True, slots=True)
class Context:
    """How much to measure."""

    quick: bool
    rounds: int


def alternate(rounds: int, ways: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Each way once per round, in turn, so that a slow minute hits all of them; the medians."""
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            samples[name].append(way())
    return {name: statistics.median(values) for name, values in samples.items()}


def timed(action: Callable[[], object]) -> float:
    """Seconds on the wall that the action took."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def process_times(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[float, float]:
    """(wall, CPU) seconds of one process, its children that it waited for included."""
    start = time.perf_counter()
    child = subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    return wall, usage.ru_utime + usage.ru_stime


def table(rows: Iterable[Row]) -> str:
    """The rows as aligned text."""
    lines = [("row", "value", "baseline", "ratio", "goal", "", "note")]
    for row in rows:
        lines.append(
            (
                row.name,
                _number(row.value, row.unit),
                f"{_number(row.baseline, row.unit)} {row.against}",
                f"{row.ratio:.2f}x" if row.baseline else "-",
                _goal(row),
                {None: "", True: "ok", False: "MISSED"}[row.met],
                row.note,
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    )


def _number(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f} {unit}"


def _goal(row: Row) -> str:
    if row.goal is None:
        return "-"
    judged, sign, limit = row.goal
    return f"{sign} {limit:g}x" if judged == "ratio" else f"{sign} {limit:g} {row.unit}"
