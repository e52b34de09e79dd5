"""What follows an iteration: another one, an alarm, or the end of the goal."""

from __future__ import annotations

from collections.abc import Sequence

from mo_daemon import convergence, progress
from mo_daemon.convergence import DONE, STOP, Move, Rules, Standing
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.metrics import of_settings
from mo_daemon.routing import Choice, Wish, route
from mo_daemon.services import Services
from mo_daemon.testids import ERROR, FAILED, PASSED
from mo_daemon.verdicts import listed
from mo_git.goal_status import GoalStatus
from mo_git.iteration_state import ESCALATE
from mo_git.model import GoalState, Kind, NewFact, Phase


async def regression(gatekeeper: Gatekeeper, goal: GoalStatus) -> list[str]:
    """Tests that passed on the base and fail on the goal's best commit, without those told already.

    No landing lets that happen by itself; quarantine, a changed gate, or a sync may.  What fails is run once
    more, alone: a flaky test is no regression.
    """
    base = await gatekeeper.judge(goal, goal.base, None)
    head = await gatekeeper.judge(goal, goal.integration, None)
    if base.tests is None or head.tests is None:
        return []
    told = {one for score in goal.scores for one in score.get("regressed", ())}
    before, now = base.tests.outcomes, head.tests.outcomes
    worse = {one for one, was in before.items() if was == PASSED and _fails(now.get(one))} - told
    if not worse:
        return []
    again = await gatekeeper.judge(goal, goal.integration, None, ids=frozenset(worse), fresh=True)
    return sorted(one for one in worse if again.tests is None or _fails(again.tests.outcomes.get(one)))


def alarm(goal: GoalStatus, tests: Sequence[str]) -> list[NewFact]:
    """A regression halts the goal; who says resume has seen it."""
    fail = "fails" if len(tests) == 1 else "fail"
    where = f"passed on the base and {fail} on {goal.integration[:10]}, the best commit"
    reason = f"regression: {listed(tests)} {where}"
    score = {**goal.scores[-1], "verdict": "regressed", "reason": reason, "regressed": list(tests)}
    halt = NewFact(goal.id, Kind.SETUP_FAILED, {"reason": reason})
    return [NewFact(goal.id, Kind.GOAL_SCORED, score), halt]


def _fails(outcome: str | None) -> bool:
    return outcome in (FAILED, ERROR)


def next_move(services: Services, goal: GoalStatus) -> Move:
    """By the rules, what comes after the present iteration."""
    rules = services.settings.iterations
    remedies = [one for one in rules.plateau if one != ESCALATE or _stronger(services, goal)]
    limits = Rules(
        goal.most_iterations, rules.window, rules.gain, remedies, of_settings(services.settings.metrics)
    )
    history = _history(goal)
    fresh = [one for one in history if one.iteration > goal.iterations.since]
    last = history[-1]
    if not fresh and not last.done and last.iteration < limits.iterations:
        return Move(convergence.ON, last.taken_back)  # a person has said so
    return convergence.next_move(fresh or history, limits)


def _history(goal: GoalStatus) -> list[Standing]:
    """One standing for each iteration: a later score of the same one replaces it."""
    last = {one["iteration"]: one for one in goal.scores if "score" in one}
    return [
        Standing(
            number,
            one["score"],
            one["done"],
            one["course"],
            one["reason"] if one["verdict"] == "rolled_back" else "",
            one["metrics"],
        )
        for number, one in sorted(last.items())
    ]


def _stronger(services: Services, goal: GoalStatus) -> bool:
    """Whether escalating would change anything: once it did, it has been used anyway."""
    if goal.iterations.escalated:
        return True
    flag = goal.spec.phase_providers.get(Phase.EXECUTE, "")
    levels = [
        route(Phase.EXECUTE, Wish(goal.spec.provider, "", flag, complexity=level), services.routes)
        for level in ("moderate", "complex")
    ]
    models = {choice.model for choice in levels if isinstance(choice, Choice)}
    return len(models) == 2


def ended_without(goal: GoalStatus, move: Move, state: GoalState, reason: str) -> tuple[GoalState, str]:
    """How a goal ends that stops before it is done: what its tasks say (`state`, `reason`), and the rules."""
    if move.course != STOP or reason == move.why:
        return state, reason
    missing = missing_of(goal)
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    said = reason or (f"missing: {missing[0]}{more}" if missing else "")
    return GoalState.FAILED, "; ".join(filter(None, (move.why, said)))


def missing_of(goal: GoalStatus) -> list[str]:
    """What the next plan is about: the verifier's list, and what speaks against calling it done."""
    verdict, last = goal.iterations.verdict, goal.scores[-1]
    if last["verdict"] == "rolled_back":  # what was said of the commit that it is back at
        earlier = [one for one in goal.iterations.verdicts if one["commit"] == last["best"]]
        verdict = earlier[-1] if earlier else verdict
    return [*(verdict["missing"] if verdict else ()), *progress.unmet(goal)]


def another(goal: GoalStatus, move: Move) -> NewFact:
    """A further iteration begins."""
    assert move.course not in (DONE, STOP)
    data = {
        "iteration": goal.iterations.current + 1,
        "course": move.course,
        "why": move.why,
        "missing": missing_of(goal),
        "commit": goal.integration,
    }
    return NewFact(goal.id, Kind.ITERATED, data)
