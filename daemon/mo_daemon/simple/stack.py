"""Accepted items put on the integration head one after another, in memory: one commit each, one parent.

Equal stacks are equal objects, since each commit is dated as the newest of what it is made of.
"""

from __future__ import annotations

from collections.abc import Sequence

from mo_git.git.merge import Merge, Merger
from mo_git.git.repo import Change, Repo
from mo_git.git.splice import splice
from mo_git.goal_status import GoalStatus
from mo_git.ledger.items import ItemRow


class Stack:
    """Its methods do git work: for pool threads, one at a time."""

    def __init__(self, repo: Repo, merger: Merger, goal: GoalStatus, author: tuple[str, str] | None) -> None:
        self._repo, self._merger, self._author = repo, merger, author
        self.restart(goal.integration)

    def restart(self, head: str) -> None:
        """Forget all, and begin on this head."""
        self.head = self._top = head
        self._rows: dict[str, ItemRow] = {}
        self._changes: dict[str, list[Change]] = {}
        self._made: dict[tuple[str, str], str | Merge] = {}  # what is below, the item -> both together

    def add(self, name: str, row: ItemRow) -> str | Merge:
        """Put an item on top of all that were added; a merge that has conflicts changes nothing."""
        self._rows[name] = row
        self._changes[name] = self._repo.changes(row.base, row.commit)
        made = self._put(self._top, name)
        if not isinstance(made, Merge):
            self._top = made
        return made

    def paths(self, name: str) -> list[str]:
        return [change.path for change in self._changes[name]]

    def commit(self, members: Sequence[str]) -> str | Merge:
        """The head with these items on it."""
        made = self.commits(members)
        return made[-1] if isinstance(made, list) else made

    def commits(self, members: Sequence[str]) -> list[str] | Merge:
        """The commit of each of these items, on the head and on top of each other."""
        found = [self.head]
        for name in members:
            made = self._put(found[-1], name)
            if isinstance(made, Merge):
                return made
            found.append(made)
        return found[1:]

    def _put(self, below: str, name: str) -> str | Merge:
        if (below, name) not in self._made:
            self._made[below, name] = self._on(below, name)
        return self._made[below, name]

    def _on(self, below: str, name: str) -> str | Merge:
        row, repo = self._rows[name], self._repo
        tree = splice(repo, repo.tree_of(below), self._changes[name])
        if tree is None:
            merge = self._merger.replay(below, row.commit, row.base)
            if merge.tree is None:
                return merge
            tree = merge.tree
        message, when = repo.commit(row.commit).message, repo.newest_time(below, row.commit)
        return repo.commit_tree(tree, [below], message, when=when, author=self._author, settled=False)

    def landed(self, head: str) -> None:
        """The branch is at this commit of the stack now; what was put on top of it stays."""
        self.head = head
