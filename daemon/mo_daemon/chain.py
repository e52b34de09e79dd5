"""Candidates merged one after another onto the integration head, in memory.

`--no-ff`, first parent = what is below, dated as the newest parent: equal merges are equal objects, so a task
that started from the merge of its ungated dependencies starts from the very commit that lands later.
"""

from __future__ import annotations

from mo_daemon.services import Services
from mo_git.git import provenance
from mo_git.git.merge import Merge
from mo_git.goal_status import GoalStatus, TaskStatus


class Chain:
    """Merges on one head, each made once.  Its methods do git work: for pool threads, one at a time."""

    def __init__(self, services: Services, goal: GoalStatus) -> None:
        self.head = goal.integration
        self._services = services
        self._goal = goal
        self._made: dict[tuple[str, ...], str | Merge] = {}  # by the candidates' commits

    def commit(self, members: tuple[str, ...]) -> str | Merge:
        """The head with these tasks' candidates merged onto it, or the merge that has conflicts."""
        if not members:
            return self.head
        key = self._key(members)
        if key not in self._made:
            below = self.commit(members[:-1])
            self._made[key] = below if isinstance(below, Merge) else self._merged(below, members[-1])
        return self._made[key]

    def _key(self, members: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self._goal.tasks[name].commit for name in members)

    def _merged(self, below: str, name: str) -> str | Merge:
        task = self._goal.tasks[name]
        merge = self._services.merger.merge(below, task.commit)
        return (
            merge if merge.tree is None else merge_commit(self._services, self._goal, task, below, merge.tree)
        )

    def landed(self, members: tuple[str, ...], head: str) -> None:
        """The head is now that of these members; what was merged on top of them stays."""
        landed, count = self._key(members), len(members)
        self._made = {
            key[count:]: made
            for key, made in self._made.items()
            if key[:count] == landed and len(key) > count
        }
        self.head = head


def merge_commit(services: Services, goal: GoalStatus, task: TaskStatus, below: str, tree: str) -> str:
    """The merge commit that lands a task on `below`."""
    repo = services.repo
    trailers = {"Mo-Goal": goal.id, "Mo-Task": task.spec.id, "Mo-Attempt": str(task.attempt)}
    message = provenance.message(f"Land {task.spec.id}: {task.spec.title or task.spec.id}", "", trailers)
    when = repo.newest_time(below, task.commit)
    parents = [below, task.commit]
    return repo.commit_tree(tree, parents, message, when=when, author=services.author, settled=False)
