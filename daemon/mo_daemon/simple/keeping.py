"""Git's side of items: what an attempt starts from, and that nothing it left is lost.

One ref of a job reaches all that its items left: a chain of commits, each with what was kept as its second
parent.  A ref for each of a hundred thousand items would slow down every command of git.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mo_daemon import harvest
from mo_daemon.harvest import AttemptFailed
from mo_daemon.services import Services
from mo_git.git import provenance, refs, turnaround
from mo_git.git.repo import Repo
from mo_git.goal_status import GoalStatus
from mo_git.ledger.items import ItemRow
from mo_git.model import FailureClass
from mo_git.simple.item import ItemState

_TRIES = 20


def keep_ref(job: str) -> str:
    return f"refs/mo/keep/{job}/items"


def base_of(services: Services, goal: GoalStatus, row: ItemRow, earlier: Sequence[ItemRow]) -> str:
    """The commit that an attempt starts from: the job's base, with what earlier items did to its targets.

    After a conflict it is what has landed by then.
    """
    repo = services.repo
    base = goal.integration if row.failure == FailureClass.CONFLICT else goal.base
    for other in earlier:
        if other.state not in (ItemState.CANDIDATE, ItemState.LANDED) or not other.commit:
            continue
        if repo.is_ancestor(base, other.commit):
            base = other.commit
        elif not repo.is_ancestor(other.commit, base) and not _holds(repo, base, other):
            merge = services.merger.merge(base, other.commit)
            if merge.tree is not None:
                when = repo.newest_time(base, other.commit)
                base = repo.commit_tree(
                    merge.tree, [base, other.commit], f"What {row.item.id} starts from\n", when=when
                )
    return base


def _holds(repo: Repo, base: str, other: ItemRow) -> bool:
    return bool(other.landed) and repo.is_ancestor(other.landed, base)


def keep_worktree(services: Services, goal: GoalStatus, row: ItemRow, worktree: Path, base: str) -> str:
    """The commit with what a worktree holds; empty where it holds its base."""
    repo = services.repo
    try:
        look = harvest.look if row.item.by_agent else turnaround.look
        tree = look(repo, worktree, base).tree
    except AttemptFailed:  # what git cannot read as it is gets the thorough way
        return harvest.keep(repo, worktree, base, goal.id, row.item.id, row.attempt, int(services.now()))
    own = harvest.own_head(repo, worktree, base)
    if own:
        keep(services, goal, own)
    if tree == repo.tree_of(base):
        return own
    message = provenance.message(f"Kept: {goal.id}/{row.item.id}#{row.attempt}", "Left by an attempt.", {})
    kept = repo.commit_tree(tree, [base], message, when=int(services.now()))
    keep(services, goal, kept)
    return kept


async def keep_candidates(services: Services, goal: GoalStatus) -> None:
    """Accepted work that waits for long would be swept away as unreachable."""
    rows = list(services.ledger.items.rows(goal.id, [ItemState.CANDIDATE]))
    if rows:
        await services.git(keep, services, goal, *(row.commit for row in rows))


def keep(services: Services, goal: GoalStatus, *commits: str) -> None:
    """Make the job's keep-ref reach these commits."""
    repo, name = services.repo, keep_ref(goal.id)
    for _ in range(_TRIES):
        before = refs.read(repo, name)
        parents = [*([before] if before else []), *commits]
        top = repo.commit_tree(
            repo.tree_of(goal.base),
            parents,
            provenance.message(f"Kept: items of {goal.id}", "", {}),
            when=repo.newest_time(*parents),
        )
        if refs.swap(repo, name, top, before, "mo: kept"):
            return
