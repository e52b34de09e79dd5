"""What metrics say about a gate run.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mo_daemon.gate import GREEN, RED, GateRun
from mo_daemon.metrics import Metric
from mo_daemon.testids import Regression


def compared(run: GateRun, before: Mapping[str, float], metrics: Sequence[Metric]) -> GateRun:
    """A green run, red where a metric fell too far; `before` are the values of the integration head.

    A metric without a former value (it is new) is not compared.
    """
    if run.result != GREEN:
        return run
    fallen = [
        metric
        for metric in metrics
        if metric.name in run.metrics
        and metric.name in before
        and metric.fell(before[metric.name], run.metrics[metric.name])
    ]
    if not fallen:
        return run
    reason = "; ".join(metric.said(before[metric.name], run.metrics[metric.name]) for metric in fallen)
    worse = Regression(failed=tuple(sorted(metric.id for metric in fallen)))
    return replace(run, result=RED, regression=worse, reason=reason)


def measured(run: GateRun, metrics: Sequence[Metric]) -> bool:
    """Whether a remembered run has all the values that a run with its verdict needs."""
    return run.result != GREEN or all(metric.name in run.metrics for metric in metrics)
