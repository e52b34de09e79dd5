"""Numbers on the command line that limit something: money, hours, days."""

from __future__ import annotations

import math
from typing import Any

import click


class Amount(click.FloatRange):
    """A range of finite numbers: every comparison with nan is false, so as a limit it would never be met."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return float(found)
