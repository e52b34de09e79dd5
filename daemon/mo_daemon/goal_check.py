"""The goal's own acceptance, on the integration head, in a gate worktree."""

from __future__ import annotations

from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.runners import argv_of
from mo_daemon.services import Services, last_line
from mo_git.lifecycle import GoalStatus
from mo_git.model import Kind, NewFact


async def check_goal(services: Services, gatekeeper: Gatekeeper, goal: GoalStatus) -> None:
    """Run the plan's `check`; a red one is a failed goal, whatever landed."""
    assert goal.spec.plan.check is not None
    log = services.home.gate_dir(goal.id) / "goal-check.log"
    ending = await gatekeeper.run_on(goal, goal.integration, argv_of(goal.spec.plan.check), log)
    passed = ending.code == 0 and not ending.timed_out
    how = "timed out" if ending.timed_out else f"exit code {ending.code}"
    data = {
        "passed": passed,
        "commit": goal.integration,
        "exit_code": ending.code,
        "reason": "" if passed else f"{how}: {last_line(log)}",
        "log": str(log),
    }
    services.record([NewFact(goal.id, Kind.GOAL_CHECKED, data)])
