"""What follows an iteration that is not done: plan on, escalate, pivot, or stop.  Pure.

An iteration is compared with the best that there was before, never with a fixed mark, and only with
iterations of its own goal.  Small gains count where they add up within the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mo_daemon.metrics import UP, Metric
from mo_git.iteration_state import ESCALATE, PIVOT

ON, DONE, STOP = "", "done", "stop"  # further courses: plan what is missing; nothing is; give up


@dataclass(frozen=True, slots=True)
class Standing:
    """How a goal stood at the end of an iteration, after what it took back.

    `score` is from 0 to 1; `course` is how the iteration began; `taken_back`: why it was, or empty.
    """

    iteration: int
    score: float
    done: bool = False
    course: str = ON
    taken_back: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rules:
    """When iterations are no progress, and what then.

    `window` iterations are a plateau where the score gained no more than `gain`, and no metric more than its
    tolerance.  `remedies` are tried in this order, each once.
    """

    iterations: int
    window: int = 2
    gain: float = 0.02
    remedies: Sequence[str] = (ESCALATE, PIVOT)
    metrics: Sequence[Metric] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """The course of what comes next, and why."""

    course: str
    why: str = ""


def score(progress: float, checked: bool | None, fixed: float | None) -> float:
    """From 0 to 1: the mean of what is known.

    `progress`: by the verifier; `checked`: whether the goal's check passed; `fixed`: the share of the tests
    to fix that pass.  None: there is none.
    """
    parts = [progress, *([] if checked is None else [float(checked)]), *([] if fixed is None else [fixed])]
    return round(sum(parts) / len(parts), 4)


def score_metric(tolerance: float) -> Metric:
    """The score as a metric that may not fall by more than this."""
    return Metric("score", "", UP, tolerance)


def next_move(history: Sequence[Standing], rules: Rules) -> Move:
    """What to do after the last of these iterations, one standing each, oldest first."""
    head = history[-1]
    if head.done:
        return Move(DONE)
    if head.iteration >= rules.iterations:
        plural = "" if rules.iterations == 1 else "s"
        return Move(STOP, f"not done after {rules.iterations} iteration{plural}")
    used = {one.course for one in history}
    if head.taken_back:
        pivot = PIVOT in rules.remedies and PIVOT not in used
        return Move(PIVOT if pivot else STOP, head.taken_back)
    why = plateau(history, rules)
    if not why:
        return Move(ON)
    remedy = next((one for one in rules.remedies if one not in used), STOP)
    tried = [one for one in rules.remedies if one in used]
    after = f", after {' and '.join(tried)}" if tried else ""
    return Move(remedy, why + after)


def plateau(history: Sequence[Standing], rules: Rules) -> str:
    """Why the last iterations count as no progress; empty where they do not, or are too few to say.

    After a remedy the count begins anew.
    """
    remedies = [index for index, one in enumerate(history) if one.course != ON]
    since = len(history) - (remedies[-1] if remedies else 0)
    if len(history) <= rules.window or since < rules.window:
        return ""
    before, recent = history[: -rules.window], history[-rules.window :]
    best = max(one.score for one in before)
    if any(one.score > best + rules.gain or _better(one, before, rules.metrics) for one in recent):
        return ""
    plural, now = "" if rules.window == 1 else "s", history[-1].score
    return f"no progress over {rules.window} iteration{plural} (score {best:.2f} before, {now:.2f} now)"


def _better(one: Standing, before: Sequence[Standing], metrics: Sequence[Metric]) -> bool:
    """Whether a metric gained more than its tolerance over its best value before."""
    for metric in metrics:
        known = [earlier.metrics[metric.name] for earlier in before if metric.name in earlier.metrics]
        if known and metric.name in one.metrics:
            top = max(known, key=lambda value: metric.gain(0.0, value))
            if metric.gain(top, one.metrics[metric.name]) > metric.room(top) + 1e-9:
                return True
    return False
