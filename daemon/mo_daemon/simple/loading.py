"""The items of a job into the ledger, before it starts."""

from __future__ import annotations

import asyncio
from itertools import islice

from mo_daemon.services import Services
from mo_git.errors import Exit, MoError
from mo_git.goal_status import GoalStatus
from mo_git.simple.items_file import read_items_file

AT_ONCE = 1000  # rows in one transaction: others get their turn in between


async def load_items(services: Services, goal: GoalStatus) -> None:
    """Read the file that the command line left; may be repeated.  MoError where it is gone, or not whole."""
    assert goal.spec.bulk is not None
    rows, file = services.ledger.items, services.home.items_file(goal.id)
    wanted = goal.spec.bulk.items
    if sum(rows.counts(goal.id).values()) < wanted:
        if not file.exists():
            hint = "mo simple run with the same manifest starts it anew"
            raise MoError(f"the items of {goal.id} are gone: there is no {file}", hint, Exit.NOT_FOUND)
        first, lines = 1, read_items_file(file)
        while part := await services.git(lambda: list(islice(lines, AT_ONCE))):
            rows.add(goal.id, first, part)
            first += len(part)
            await asyncio.sleep(0)
    goal.items = rows.counts(goal.id)
    if (found := sum(goal.items.values())) != wanted:
        raise MoError(f"{file} has {found} items, {goal.id} was queued with {wanted}", "queue it again")
