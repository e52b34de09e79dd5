"""Items whose daemon was killed: what their agents left is kept and paid for, and they are queued again."""

from __future__ import annotations

from pathlib import Path

from mo_daemon.services import Services
from mo_daemon.simple import keeping
from mo_daemon.unpaid import usage_of_lost_item
from mo_git.goal_status import GoalStatus
from mo_git.simple.item import ItemState

LOST = "the daemon ended while this attempt ran"


def hold_worktrees(services: Services, goal: GoalStatus) -> None:
    """Until they are looked at, nobody else gets the worktrees of a job that agents were at work in."""
    if goal.items and goal.items.get(ItemState.RUNNING):
        for row in services.ledger.items.rows(goal.id, [ItemState.RUNNING]):
            if row.worktree:
                services.pool.hold(row.worktree)


async def recover_items(services: Services, goal: GoalStatus) -> None:
    """It may be repeated: what was kept once is kept by the same commit."""
    rows = services.ledger.items
    lost = list(rows.rows(goal.id, [ItemState.RUNNING]))
    if not lost:
        return
    kept: dict[int, str] = {}
    for row in lost:
        if row.worktree:  # an agent was at work; a command would do the same again
            kept[row.n] = await services.git(
                keeping.keep_worktree, services, goal, row, Path(row.worktree), row.base
            )
            services.record(await usage_of_lost_item(services, goal, row))
            if slot := services.pool.held_at(row.worktree):
                services.pool.give_back(slot)
    rows.requeue_running(goal.id, LOST, kept)
    goal.items = rows.counts(goal.id)
