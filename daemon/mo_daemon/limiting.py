"""How much may run at once now: of everything, and of each agent."""

from __future__ import annotations

from mo_daemon import execution
from mo_daemon.limits import Limits
from mo_daemon.paid_run import COMMAND
from mo_daemon.planning import assign_planner, tried
from mo_daemon.resources import memory_room, reason_to_hold
from mo_daemon.routing import Choice
from mo_daemon.services import Services
from mo_daemon.verifying import assign_verifier
from mo_git.goal_status import GoalStatus, TaskStatus


class Limiting:
    """Asks the settings and the machine, at each look anew."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def limits(self, hold: str, *, is_idle: bool) -> Limits:
        """`hold`: why nothing may start at all; empty: the machine is asked."""
        services = self._services
        settings, agents = services.settings.orchestrator, services.settings.agents
        hold = hold or reason_to_hold(
            [services.home.top, services.state],
            min_free_gb=settings.min_free_disk_gb,
            max_load_per_cpu=settings.max_load_per_cpu,
        )
        roster, queued = services.settings.roster, list(services.queued.values())
        return Limits(
            settings.max_parallel,
            hold,
            {name: services.most(name) - queued.count(name) for name in roster},
            memory_room(agents.memory_mb) if agents.memory_mb and not is_idle else None,
            self._agent_of,
            services.settings.converge.speculate,
            frozenset(services.apart),
            services.refusal,
            dict(services.breakers),
            {name: entry.max_starts_per_minute for name, entry in roster.items()},
        )

    def _agent_of(self, goal: GoalStatus, task: TaskStatus | None) -> str:
        """Who would do it now; empty for nobody, which the attempt itself has to say."""
        services = self._services
        if task is None and goal.wants_verdict:
            choice = assign_verifier(services, goal.spec, tried(goal.iterations.failures))
        elif task is None:
            choice = assign_planner(services, goal.spec, tried(goal.planning.failures))
        else:
            choice = execution.chosen(services, goal, task, execution.avoided(task))
        return choice.agent if isinstance(choice, Choice) and choice.agent != COMMAND else ""
