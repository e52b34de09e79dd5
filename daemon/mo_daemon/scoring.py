"""How the metrics of a goal moved, once its tasks have ended; what deteriorated in sum is taken back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mo_daemon.deterioration import Fall, Measured, fall, stretch
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.metrics import of_settings
from mo_daemon.operations import Operator
from mo_daemon.services import Services
from mo_git.goal_status import GoalStatus
from mo_git.model import Kind, NewFact


async def score_goal(services: Services, operator: Operator, goal: GoalStatus) -> bool:
    """Record how the integration head compares with the best commit of the goal; go back to that if needed.

    True: the branch was moved, so that whoever asked has to look again.
    """
    metrics, mode = of_settings(services.settings.metrics), services.settings.converge.deterioration
    if not metrics or not goal.landings or is_scored(goal):
        return False
    gatekeeper = operator.lander.gatekeeper
    history = [
        Measured(commit, await _values(gatekeeper, goal, commit))
        for commit in stretch(goal.base, goal.landings)
    ]
    found = None if mode == "off" else fall(history, metrics)
    if found and mode == "rollback":
        values = next(one.metrics for one in history if one.commit == found.best)
        await operator.restore(goal, found.best, _why(found), _score(goal, values, "rolled_back", found))
        return True
    verdict = "not_compared" if mode == "off" else "deteriorated" if found else "kept"
    services.record([NewFact(goal.id, Kind.GOAL_SCORED, _score(goal, history[-1].metrics, verdict, found))])
    return False


def is_scored(goal: GoalStatus) -> bool:
    """Whether the present head has its score."""
    return bool(goal.scores) and goal.scores[-1]["commit"] == goal.integration


async def _values(gatekeeper: Gatekeeper, goal: GoalStatus, commit: str) -> Mapping[str, float]:
    """The metrics of a good commit: as its landing recorded them, else from the gate's memory."""
    for gate in reversed(goal.gates):
        if gate["commit"] == commit and gate["result"] == "green" and gate.get("metrics"):
            values: Mapping[str, float] = gate["metrics"]
            return values
    return await gatekeeper.figures(goal, commit)


def _why(found: Fall) -> str:
    return f"metrics deteriorated over the goal: {found.reason}; back at {found.best[:10]}, the best commit"


def _score(goal: GoalStatus, values: Mapping[str, float], verdict: str, found: Fall | None) -> dict[str, Any]:
    reason = "" if found is None else _why(found) if verdict == "rolled_back" else found.reason
    return {
        "iteration": 1,
        "commit": goal.integration,
        "gate": "green",
        "metrics": dict(values),
        "verdict": verdict,
        "reason": reason,
        "best": found.best if found else goal.integration,
    }
