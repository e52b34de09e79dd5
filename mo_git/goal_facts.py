"""What facts about a goal as a whole do to its status: one part of the fold in `lifecycle`.  Pure."""

from __future__ import annotations

from mo_git.goal_status import GoalStatus, Operation
from mo_git.model import Fact, GoalState, Kind


def apply_to_goal(goal: GoalStatus, fact: Fact) -> None:
    """Let a fact about the goal as a whole take effect; other kinds have none."""
    data = fact.data
    match fact.kind:
        case Kind.GOAL_CREATED:
            goal.created_at, goal.estimate = fact.at, data.get("estimate")
        case Kind.GOAL_STARTED:
            goal.started_at, goal.opened_at, goal.base = fact.at, fact.at, data["base"]
            goal.integration = goal.integration or data["base"]
            goal.pinned |= data.get("pinned", {})
        case Kind.GATE_PROVED:
            goal.proof = data
        case Kind.GATE_RUN:
            goal.gates.append(data)
        case Kind.LANDING_INTENT:
            goal.intent = data
        case Kind.LANDING_DROPPED:
            goal.intent = None
        case Kind.LANDING:
            goal.intent, goal.integration = None, data["commit"]
            goal.landings.append({**data, "at": fact.at})
        case Kind.SETUP_FAILED:
            goal.blocked = GoalState.HALTED, data["reason"]
        case Kind.BUDGET_SPENT:
            goal.blocked = GoalState.OVER_BUDGET, data["reason"]
        case Kind.REPOSITORY_CHANGED | Kind.GOAL_SCORED:
            (goal.changes if fact.kind == Kind.REPOSITORY_CHANGED else goal.scores).append(data)
        case Kind.GOAL_CHECKED:
            goal.checked = data
        case Kind.GOAL_PAUSED | Kind.GOAL_RESUMED:
            goal.paused = fact.kind == Kind.GOAL_PAUSED
        case Kind.CANCEL_REQUESTED:
            goal.cancelling = data.get("reason") or "cancelled"
        case Kind.GOAL_ENDED:
            goal.ended, goal.ended_at = (GoalState(data["state"]), data.get("reason", "")), fact.at
        case Kind.GOAL_REOPENED:
            goal.ended, goal.ended_at, goal.cancelling = None, None, ""
            goal.blocked, goal.checked, goal.paused = None, None, False
            goal.budget_usd = data.get("budget_usd", goal.budget_usd)
            goal.opened_at = fact.at
            goal.planning.reset()
            goal.iterations.reopen(data.get("iterations"))
        case Kind.OPERATION_REQUESTED:
            goal.operations[data["request"]] = Operation(
                data["request"], data["operation"], data.get("arguments", {})
            )
        case Kind.OPERATION_ENDED:
            before = goal.operations[data["request"]]
            goal.operations[data["request"]] = Operation(before.request, before.name, before.arguments, data)
