"""The end of a goal, or of an iteration: its own check, its score, provenance notes, the recorded end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mo_daemon import fixes, iterating
from mo_daemon.convergence import DONE, STOP, Move
from mo_daemon.gate import GREEN
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.operations import Operator
from mo_daemon.runners import argv_of
from mo_daemon.scoring import score_goal
from mo_daemon.services import Services, last_line
from mo_git.git import provenance
from mo_git.goal_status import GoalStatus
from mo_git.lifecycle import outcome
from mo_git.model import GoalState, Kind, NewFact
from mo_git.text import count


async def check_goal(services: Services, gatekeeper: Gatekeeper, goal: GoalStatus) -> None:
    """Run the plan's `check` and look at its `fixes` on the integration head; red: the goal failed."""
    said: dict[str, Any] = {"passed": True, "commit": goal.integration, "exit_code": None, "reason": ""}
    if goal.plan.check is not None:
        log = services.home.gate_dir(goal.id) / "goal-check.log"
        ending = await gatekeeper.run_on(goal, goal.integration, argv_of(goal.plan.check), log)
        passed = ending.code == 0 and not ending.timed_out
        how = "timed out" if ending.timed_out else f"exit code {ending.code}"
        reason = "" if passed else f"{how}: {last_line(log)}"
        said |= {"passed": passed, "exit_code": ending.code, "reason": reason, "log": str(log)}
    if goal.plan.fixes:
        unfixed, reason = await _unfixed(gatekeeper, goal)
        said["unfixed"] = unfixed
        if reason:
            said |= {"passed": False, "reason": "; ".join(filter(None, (said["reason"], reason)))}
    services.record([NewFact(goal.id, Kind.GOAL_CHECKED, said)])


async def _unfixed(gatekeeper: Gatekeeper, goal: GoalStatus) -> tuple[list[str], str]:
    """(tests that the goal had to fix and that do not pass, why that fails it; empty: all pass)."""
    wanted = fixes.required(goal.plan, goal.proof)
    run = await gatekeeper.judge(goal, goal.integration, None)
    if run.tests is None or not wanted:  # a weak gate tells only whether all is green
        return [], "" if run.result == GREEN else f"the gate is still red: {run.reason}"
    missing = fixes.unfixed(wanted, run.tests)
    return missing, fixes.told(missing, len(wanted)) if missing else ""


async def finish_goal(services: Services, operator: Operator, goal: GoalStatus) -> None:
    """Notes before the end, so that a kill in between writes them once more rather than never."""
    if await score_goal(services, operator, goal):
        return  # the branch is at another commit: what the goal ends with is looked at again
    move = Move(DONE)
    if goal.iterates and goal.scored:
        worse = await iterating.regression(operator.lander.gatekeeper, goal)
        if not (goal.scored and goal.all_ended):
            return  # meanwhile a person has said retry, or moved the branch
        if worse:
            services.record(iterating.alarm(goal, worse))
            return
        move = iterating.next_move(services, goal)
        if move.course not in (DONE, STOP):
            services.record([iterating.another(goal, move)])
            return
    notes = {
        commit: _note(goal, landing, tasks)
        for landing in goal.landings
        for commit, tasks in _merges(landing).items()
    }
    if notes and goal.spec.bulk is None:  # an item has its trailers; a hundred thousand notes help nobody
        await services.git(provenance.add_notes, services.repo, notes)
    if not goal.all_ended:
        return  # a person has said retry meanwhile
    state, reason = iterating.ended_without(goal, move, *outcome(goal))
    facts = [NewFact(goal.id, Kind.GOAL_ENDED, {"state": state, "reason": reason})]
    if state is GoalState.DONE and goal.spec.deliver == "merge" and goal.landings:
        data = {"request": f"deliver {goal.id} {goal.last_seq}", "operation": "land", "arguments": {}}
        facts.append(NewFact(goal.id, Kind.OPERATION_REQUESTED, data))
    services.record(facts)


def _merges(landing: Mapping[str, Any]) -> dict[str, list[str]]:
    """Commits of a landing -> the tasks that they merge: one each where several landed together."""
    merges = {commit: [task] for task, commit in landing.get("commits", {}).items()}
    return merges or {landing["commit"]: landing["tasks"]}


def _note(goal: GoalStatus, landing: Mapping[str, Any], tasks: Sequence[str]) -> str:
    """What `git log --notes=mo` shows below a landing."""
    commit = landing["commit"]
    gate: Mapping[str, Any] = next((one for one in reversed(goal.gates) if one["commit"] == commit), {})
    passed = gate.get("tests", {}).get("passed", 0)
    said = f"{count(passed, 'test')} passed" if passed else gate.get("reason") or "judged by its exit code"
    lines = [
        f"goal: {goal.id} ({goal.spec.title})",
        f"tasks: {', '.join(tasks)}" if tasks else f"{landing['purpose']}",
        f"gate: {gate.get('result', 'green')}, {said}",
        f"tree: {landing['tree']}",
        *(_reviewed(goal, name) for name in tasks if goal.tasks[name].review),
    ]
    return "\n".join(lines) + "\n"


def _reviewed(goal: GoalStatus, name: str) -> str:
    """Who looked at a task's change, and what came of it."""
    review = goal.tasks[name].review or {}
    return f"review of {name}: {str(review['verdict']).replace('_', ' ')} by {review['by'] or 'a person'}"
