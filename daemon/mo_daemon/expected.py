"""What a plan is expected to take here: routing, limits and this repository's own history put together."""

from __future__ import annotations

from typing import Any

from mo_daemon.execution import assign
from mo_daemon.routing import Choice
from mo_daemon.services import Services
from mo_git.model import GoalSpec, Plan, TaskSpec
from mo_git.views import estimate, estimate_data

HISTORY = 1000  # usage facts that are looked at


def expected_of(services: Services, goal: GoalSpec, plan: Plan) -> dict[str, Any]:
    """The data of a `views.estimate.Estimate` for a plan of this goal."""
    prompts = any(task.by_agent for task in plan.tasks)

    def who(task: TaskSpec) -> tuple[str, str]:
        choice = assign(services, goal, task)
        return (choice.agent, choice.model) if isinstance(choice, Choice) else ("", "")

    most = services.settings.orchestrator.max_parallel
    limit = services.settings.budget.goal_usd if goal.budget_usd is None else goal.budget_usd
    history = services.ledger.usage(HISTORY) if prompts else ()
    found = estimate(plan, who, history, limit=min(most, goal.parallel or most), budget_usd=limit)
    return estimate_data(found)
