"""The start of a goal: the base pinned, its refs made, its gate proved."""

from __future__ import annotations

from mo_daemon import adoption, fixes, names
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.services import Services
from mo_daemon.simple.loading import load_items
from mo_git.errors import Exit, MoError
from mo_git.git import refs
from mo_git.goal_status import GoalStatus
from mo_git.model import Kind, NewFact


async def prepare_goal(services: Services, gatekeeper: Gatekeeper, goal: GoalStatus) -> None:
    """Every step may be repeated: a kill in between leaves nothing that a second run would trip over."""
    base = goal.spec.base
    earlier = services.goals.get(goal.spec.depends_on)
    if earlier is not None:
        base = earlier.integration
    goal.base = goal.base or base  # what the proof gates; recorded with GOAL_STARTED below
    await services.git(_make_refs, services, goal, base)
    if goal.spec.bulk is not None:
        await load_items(services, goal)
    pinned = await services.git(adoption.pin, services, goal)
    started = NewFact(goal.id, Kind.GOAL_STARTED, {"base": base, "pinned": pinned})
    # Where the gate is proved only the baseline is left: agents need not wait, unless it is their task.
    at_once = not goal.plan.fixes and await gatekeeper.is_proved(goal)
    if at_once:
        services.record([started])
    proof = await gatekeeper.prove(goal)
    if refused := fixes.trouble(goal.plan, proof):
        raise MoError(*refused, Exit.GATE)
    services.record([NewFact(goal.id, Kind.GATE_PROVED, proof), *([] if at_once else [started])])


def _make_refs(services: Services, goal: GoalStatus, base: str) -> None:
    repo = services.repo
    if not repo.exists(base):
        raise MoError(
            f"the base {base[:12]} is not in this repository", "mo do again from an existing commit"
        )
    branch = names.integration_branch(services.settings.git.branch_prefix, goal.id)
    for name in (names.base_ref(goal.id), names.head(branch)):
        found = refs.read(repo, name)
        if found is None and not refs.create(repo, name, base):
            found = refs.read(repo, name)
            if found is None:
                raise MoError(
                    f"cannot make {name}: a branch with the first part of that name is in its way",
                    "rename that branch, or set git.branch_prefix to something else",
                    Exit.CONFIG,
                )
        if found is not None and found != base:
            raise MoError(
                f"{name} exists already at {found[:12]}",
                "delete or rename it, then mo resume " + goal.id,
                Exit.CONFIG,
            )
