"""The end of an iteration: an agent reads the goal's head and says what is missing.

It works as the planner does: in a worktree of its own, on no branch, and may change nothing.  What it says
makes no goal done: the goal's check, its fixes and its tasks have to agree (`progress.unmet`).
"""

from __future__ import annotations

from mo_daemon import harvest, progress, templates
from mo_daemon.agents.protocol import Outcome
from mo_daemon.briefing import documents, instructions, unread
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.planning import Look, answered, assign_reader, the_map, tried, unanswered, with_slot
from mo_daemon.prompts import data_block, fill
from mo_daemon.routing import Choice, NoAgent
from mo_daemon.services import Services
from mo_daemon.verify_answer import MAX_MISSING, SCHEMA, read_verdict
from mo_daemon.worktrees import Slot
from mo_git.errors import MoError
from mo_git.goal_status import GoalStatus
from mo_git.iteration_state import VERIFIER
from mo_git.model import FailureClass, GoalSpec, Kind, NewFact, Phase


def assign_verifier(
    services: Services, goal: GoalSpec, avoid: frozenset[str] = frozenset()
) -> Choice | NoAgent:
    """Who says what a goal still lacks."""
    return assign_reader(services, goal, Phase.VERIFY, avoid)


async def verify_goal(services: Services, gatekeeper: Gatekeeper, goal: GoalStatus) -> None:
    """One run of the verifier; every ending is recorded as facts."""
    choice = assign_verifier(services, goal.spec, tried(goal.iterations.failures))
    n = goal.iterations.runs + 1

    async def use(slot: Slot, head: str) -> None:
        assert isinstance(choice, Choice)
        look = Look(services, goal, choice, n, slot, head, VERIFIER, Phase.VERIFY)
        services.record([look.fact(Kind.VERIFY_STARTED, model=choice.model, why=choice.why)])
        prompt = await _prompt(look, gatekeeper, services.agents[choice.agent].reads)
        services.record(await answered(look, prompt, SCHEMA, _ending, _failed))

    await with_slot(services, goal, choice, lambda: goal.wants_verdict, use)


async def _prompt(look: Look, gatekeeper: Gatekeeper, reads: frozenset[str]) -> str:
    services, goal = look.services, look.goal
    gate = await gatekeeper.command(goal)
    team = await services.git(harvest.team_files, look.slot.path, unread(reads))
    template = await services.git(templates.load, "verify", services.home, services.environ)
    failures = goal.iterations.failures
    errors = ""
    if failures and failures[-1]["class"] == FailureClass.INVALID_OUTPUT:
        errors = "\nYour last answer could not be used. Answer again:\n"
        errors += data_block("what is wrong", failures[-1]["reason"])
    values = {
        "goal": goal.spec.text.strip() or goal.spec.title,
        "max_missing": str(MAX_MISSING),
        "map": await the_map(look, gate.command),
        "evidence": progress.evidence(goal),
        "instructions": instructions(team),
        "documents": documents(goal.spec.documents),
        "errors": errors,
    }
    return fill(template, values)


def _ending(look: Look, outcome: Outcome) -> list[NewFact]:
    if outcome.failure is not None:
        return _failed(look, outcome.failure, outcome.reason, outcome.retry_at)
    try:
        verdict = read_verdict(outcome.structured)
    except MoError as error:
        return _failed(look, FailureClass.INVALID_OUTPUT, error.message)
    return [
        look.fact(
            Kind.VERIFIED,
            iteration=look.goal.iterations.current,
            commit=look.head,
            done=verdict.done,
            progress=verdict.progress,
            missing=list(verdict.missing),
            summary=verdict.summary,
        )
    ]


def _failed(look: Look, failure: FailureClass, reason: str, stated: float | None = None) -> list[NewFact]:
    return unanswered(look, Kind.VERIFY_FAILED, look.goal.iterations.failures, failure, reason, stated)
