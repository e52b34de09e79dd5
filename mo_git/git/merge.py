"""Merges in memory by git's own `ort` engine, the same on every machine and whatever is checked out.

`git merge-tree --write-tree` reads attributes from the checkout of its current directory only.  So each
merge runs in a scratch directory that holds exactly the `.gitattributes` files of its first side.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mo_git.errors import MoError
from mo_git.git.binary import Git
from mo_git.git.files import write_durably
from mo_git.git.repo import Repo
from mo_git.process import Completed

_CONFIG = (
    "core.attributesFile=/dev/null",
    "merge.directoryRenames=conflict",
    "merge.renames=true",
    "merge.conflictStyle=zdiff3",
)
_ENV = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}


@dataclass(frozen=True, slots=True)
class Merge:
    """The result of a merge: a tree, or the paths in conflict with git's messages about them.

    `marked` is the tree with conflict markers that git left for a resolver ("" without conflicts).
    """

    tree: str | None
    conflicts: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    marked: str = ""


class Merger:
    """Merges commits of one repository; usable from any thread.  `scratch` is a directory of its own."""

    def __init__(self, repo: Repo, scratch: Path) -> None:
        self._repo = repo
        self._scratch = scratch

    def merge(self, ours: str, theirs: str) -> Merge:
        """Merge commit `theirs` into commit `ours`.  Histories that share nothing are a conflict."""
        place = self._with_attributes(self._repo.special(ours).attributes)
        env = {**_ENV, "GIT_DIR": str(self._repo.common_dir), "GIT_WORK_TREE": str(place)}
        done = Git(place, env=env, config=_CONFIG)(
            "merge-tree", "--write-tree", "--messages", "--name-only", "-z", ours, theirs, check=False
        )
        return _parse(done, ours, theirs)

    def revert_tree(self, head: str, merge_commit: str) -> Merge:
        """The tree of `head` without what `merge_commit` brought relative to its first parent.

        A commit made on top of the merge, with the tree from before it, is merged into `head`: the common
        ancestor is then the merge itself, and the one side takes back just what it brought.
        """
        parents = self._repo.parents(merge_commit)
        if not parents or not self._repo.is_ancestor(merge_commit, head):
            raise MoError(f"cannot take back {merge_commit}: it is not part of {head}")
        undone = self._repo.commit_tree(
            self._repo.tree_of(parents[0]),
            [merge_commit],
            f"Take back {merge_commit}\n",
            when=self._repo.newest_time(merge_commit),
        )
        return self.merge(head, undone)

    def replay(self, head: str, commit: str, base: str) -> Merge:
        """The tree of `head` with what `commit` changed relative to `base`."""
        when = self._repo.newest_time(head, commit)
        onto = self._repo.commit_tree(self._repo.tree_of(head), [base], "onto", when=when)
        moved = self._repo.commit_tree(self._repo.tree_of(commit), [base], "moved", when=when)
        return self.merge(onto, moved)

    def _with_attributes(self, attributes: Sequence[tuple[str, str]]) -> Path:
        """The directory for one set of attribute files; named by its content, so it never changes."""
        digest = hashlib.sha256(repr(attributes).encode("utf-8", "surrogateescape")).hexdigest()[:20]
        place = self._scratch / digest
        if place.is_dir():
            return place
        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self._scratch) as made:
            draft = Path(made) / digest
            draft.mkdir()
            for path, blob in attributes:
                (draft / path).parent.mkdir(parents=True, exist_ok=True)
                write_durably(draft / path, self._repo.blob(blob))
            try:
                draft.rename(place)
            except OSError:
                if not place.is_dir():  # else another thread was first, with the same content
                    raise
        return place

    def clear(self) -> None:
        """Delete the scratch directory; the next merge makes it again."""
        shutil.rmtree(self._scratch, ignore_errors=True)


def _parse(done: Completed, ours: str, theirs: str) -> Merge:
    """The `-z --name-only --messages` output of git-merge-tree(1)."""
    fields = [os.fsdecode(field) for field in done.out.split(b"\0")]
    if done.code not in (0, 1) or not fields[0]:
        if "unrelated histories" in done.error_text:
            return Merge(None, (), ("the two sides have no common history",))
        raise MoError(f"cannot merge {theirs} into {ours}: {done.error_text}")
    if done.code == 0:
        return Merge(fields[0])
    end = fields.index("", 1)
    return Merge(None, tuple(fields[1:end]), tuple(_messages(fields[end + 1 :])), fields[0])


def _messages(fields: list[str]) -> list[str]:
    """Each message is: number of paths, the paths, a type, the text."""
    found, at = [], 0
    while at < len(fields) and fields[at].isdigit():
        at += int(fields[at]) + 3
        found.append(fields[at - 1].rstrip("\n"))
    return found
