"""Metrics: numbers that commands of the settings print about a commit, and what counts as worse.  Pure.

A number that got worse by more than its tolerance is a regression under the id `metric::NAME`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UP, DOWN = "up", "down"
_PREFIX = "metric::"
_NUMBER = re.compile(r"(?<![\w.])[+-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")


@dataclass(frozen=True, slots=True)
class Metric:
    """One `[metrics.NAME]`.  `tolerance` is absolute, or with `relative` a share of the former value."""

    name: str
    command: str
    direction: str = UP  # up: more is better; down: less is better
    tolerance: float = 0.0
    relative: bool = False

    @property
    def id(self) -> str:
        return _PREFIX + self.name

    def gain(self, before: float, now: float) -> float:
        """By how much it got better; negative: worse."""
        return now - before if self.direction == UP else before - now

    def room(self, before: float) -> float:
        """How much worse than `before` is still fine."""
        return abs(before) * self.tolerance if self.relative else self.tolerance

    def fell(self, before: float, now: float) -> bool:
        """Whether it got worse by more than its tolerance; a rounding error is no loss."""
        slack = 1e-9 * max(1.0, abs(before), abs(now))
        return self.gain(before, now) < -(self.room(before) + slack)

    def said(self, before: float, now: float) -> str:
        """`coverage went down from 81.2 to 79 (tolerance 0.5)`."""
        way = "down" if now < before else "up"
        allowed = f"{shown(100 * self.tolerance)} %" if self.relative else shown(self.tolerance)
        return f"{self.name} went {way} from {shown(before)} to {shown(now)} (tolerance {allowed})"


def of_settings(tables: Mapping[str, Mapping[str, Any]]) -> tuple[Metric, ...]:
    """The metrics of `[metrics]`, by name."""
    return tuple(_of_table(name, tables[name]) for name in sorted(tables))


def _of_table(name: str, table: Mapping[str, Any]) -> Metric:
    given = table.get("tolerance", 0)
    relative = isinstance(given, str)
    tolerance = float(given.removesuffix("%")) / 100 if isinstance(given, str) else float(given)
    return Metric(name, table["command"], table.get("direction", UP), tolerance, relative)


def is_metric(test: str) -> bool:
    """Whether an id of a regression is a metric's: no runner can select it, only a full gate measures."""
    return test.startswith(_PREFIX)


def read_number(output: str) -> float | None:
    """The last number on the last line that is not empty; None where there is none."""
    lines = [line for line in output.splitlines() if line.strip()]
    found = _NUMBER.findall(lines[-1]) if lines else []
    if not found:
        return None
    text = found[-1].rstrip(",")
    number = float(text.replace(",", "") if _GROUPED.fullmatch(text) else text.rpartition(",")[2])
    return number if math.isfinite(number) else None


def shown(value: float) -> str:
    """Up to six digits, without noise of binary fractions."""
    return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0f}"
