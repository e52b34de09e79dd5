"""How a goal stands once its tasks have ended; what deteriorated in sum is taken back.

One goal, one history: metrics are compared over its landings, and the score over its iterations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mo_daemon import convergence, fixes, progress
from mo_daemon.deterioration import Fall, Measured, fall, stretch
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.metrics import of_settings
from mo_daemon.operations import Operator
from mo_daemon.services import Services
from mo_git.goal_status import GoalStatus
from mo_git.model import Kind, NewFact


async def score_goal(services: Services, operator: Operator, goal: GoalStatus) -> bool:
    """Record how the integration head compares with the best of the goal; go back to that if needed.

    True: the branch was moved, so that whoever asked has to look again.
    """
    metrics, mode = of_settings(services.settings.metrics), services.settings.converge.deterioration
    verdict = goal.iterations.verdict if goal.iterates else None
    measures = bool(metrics and goal.landings)
    if goal.scored or not (measures or verdict):
        return False
    gatekeeper = operator.lander.gatekeeper
    commits = stretch(goal.base, goal.landings)
    history = [Measured(commit, await _values(gatekeeper, goal, commit)) for commit in commits if measures]
    standing = _standing(goal, verdict) if verdict else {}
    ends = _ends(goal, commits, standing)
    found = why = None
    if mode != "off":
        metric = convergence.score_metric(services.settings.iterations.tolerance)
        found, why = _fell(goal, fall(history, metrics), fall(ends, (metric,)))
    values = {one.commit: one.metrics for one in history}
    if found and why and mode == "rollback":
        earlier = [one.metrics["score"] for one in ends if one.commit == found.best]
        restored = {**standing, "done": False} if standing else {}
        restored |= {"score": earlier[-1]} if earlier else {}
        data = _score(goal, values.get(found.best, {}), "rolled_back", why, found.best)
        await operator.restore(goal, found.best, why, {**data, **restored})
        return True
    kind = "not_compared" if mode == "off" else "deteriorated" if found else "kept"
    data = _score(
        goal,
        values.get(goal.integration, {}),
        kind,
        found.reason if found else "",
        found.best if found else goal.integration,
    )
    services.record([NewFact(goal.id, Kind.GOAL_SCORED, {**data, **standing})])
    return False


def _standing(goal: GoalStatus, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What an iteration came to, as data of the score."""
    checked, wanted = goal.checked, fixes.required(goal.plan, goal.proof)
    passed = None if goal.plan.check is None else bool(checked and checked["exit_code"] == 0)
    share = None
    if wanted:
        share = 1 - len(checked.get("unfixed", wanted)) / len(wanted) if checked else 0.0
    done = bool(verdict["done"]) and not progress.unmet(goal)
    score = 1.0 if done else convergence.score(verdict["progress"], passed, share)
    return {"score": score, "done": done, "course": goal.iterations.course}


def _ends(goal: GoalStatus, commits: list[str], standing: Mapping[str, Any]) -> list[Measured]:
    """The ends of iterations with their scores, as far as they can be compared with the head."""
    if not standing:
        return []
    earlier = [one for one in goal.scores if "score" in one and one["commit"] in commits]
    ends = [Measured(one["commit"], {"score": one["score"]}) for one in earlier]
    # the same commit judged again is no loss, and nowhere to go back to
    ends = [one for one in ends if one.commit != goal.integration]
    return [*ends, Measured(goal.integration, {"score": standing["score"]})]


def _fell(goal: GoalStatus, metrics: Fall | None, score: Fall | None) -> tuple[Fall | None, str | None]:
    """What got worse, metrics first, and how that is said."""
    if metrics:
        said = f"metrics deteriorated over the goal: {metrics.reason}"
        return metrics, f"{said}; back at {metrics.best[:10]}, the best commit"
    if score:
        said = f"iteration {goal.iterations.current} made it worse: {score.reason}"
        return score, f"{said}; back at {score.best[:10]}, the best commit"
    return None, None


async def _values(gatekeeper: Gatekeeper, goal: GoalStatus, commit: str) -> Mapping[str, float]:
    """The metrics of a good commit: as its landing recorded them, else from the gate's memory."""
    for gate in reversed(goal.gates):
        if gate["commit"] == commit and gate["result"] == "green" and gate.get("metrics"):
            values: Mapping[str, float] = gate["metrics"]
            return values
    return await gatekeeper.figures(goal, commit)


def _score(
    goal: GoalStatus, values: Mapping[str, float], verdict: str, reason: str, best: str
) -> dict[str, Any]:
    return {
        "iteration": goal.iterations.current,
        "commit": goal.integration,
        "gate": "green",
        "metrics": dict(values),
        "verdict": verdict,
        "reason": reason,
        "best": best,
    }
