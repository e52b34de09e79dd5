"""Objects of a repository through libgit2: read them, write commits.  No process, no hook, no checkout."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pygit2
from pygit2.enums import DiffFlag, DiffOption, FileMode

from mo_git.errors import Exit, MoError
from mo_git.git.binary import IDENTITY, Git
from mo_git.git.files import write_loose
from mo_git.git.layout import core_settings, main_top
from mo_git.git.moves import Moves
from mo_git.git.trees import Special, TreeWalker

# What a recorded fact names has to be on the disk before the fact is.
pygit2.settings.enable_fsync_gitdir(True)
# Each thread's handle remembers objects; what thousands of items leave behind is asked for once.
pygit2.settings.cache_max_size(8 * 2**20)


_LINES_LIMIT = 1 << 20  # bytes
_NOTHING = "0" * 40  # the id that a diff gives to a side that is not there


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs between two trees; `status` is A, M, D or T as git prints it."""

    path: str
    status: str
    old: str
    new: str
    mode: int


@dataclass(frozen=True, slots=True)
class DiffStat:
    files: int
    insertions: int
    deletions: int


class Repo:
    """A repository, usable from any thread (libgit2 wants one handle per thread).

    `committer` is the identity of the commits that mo makes, `top` the root of the main worktree: git says
    it nowhere for a separate git directory.  `moves` is what is done to refs through this object.  Objects
    are also looked for in the directory `beside`.
    """

    def __init__(
        self,
        common_dir: Path,
        *,
        committer: tuple[str, str] = IDENTITY,
        top: Path | None = None,
        beside: Path | None = None,
    ) -> None:
        self.common_dir = Path(os.path.realpath(common_dir))
        self.committer = committer
        self._beside = beside
        self.top = self._main_top() if top is None else Path(os.path.realpath(top))
        self.git = Git(self.top or self.common_dir)
        self.moves = Moves()
        self._local = threading.local()
        self._walker = TreeWalker()

    def _main_top(self) -> Path | None:
        """The main worktree, or None where it is unknown (a bare repository, a separate git directory)."""
        if core_settings(self.common_dir).get("bare") == "true" and self.common_dir.name != ".git":
            return None
        try:
            return main_top(self.common_dir)
        except MoError:
            return None

    @property
    def pygit(self) -> pygit2.Repository:
        """This thread's libgit2 handle."""
        handle: pygit2.Repository | None = getattr(self._local, "handle", None)
        if handle is None:
            try:
                handle = pygit2.Repository(str(self.common_dir))
            except pygit2.GitError as error:
                hint = f"git config --global --add safe.directory {self.top or self.common_dir}"
                raise MoError(
                    f"cannot open the repository {self.common_dir}: {error}",
                    hint if "not owned" in str(error) else "",
                    Exit.CONFIG,
                ) from None
            if self._beside is not None:
                handle.odb.add_disk_alternate(str(self._beside))
            handle.set_ident(*self.committer)  # for reflogs
            self._local.handle = handle
        return handle

    # -- reading ------------------------------------------------------------------------------------------

    def exists(self, oid: str) -> bool:
        return bool(re.fullmatch(r"[0-9a-f]{40}", oid)) and oid in self.pygit

    def commit(self, oid: str) -> pygit2.Commit:
        """A commit by its full id; MoError (NOT_FOUND) when there is none."""
        found = self.pygit[oid] if self.exists(oid) else None
        if found is None or found.type_str != "commit":
            raise MoError(f"there is no commit {oid}", code=Exit.NOT_FOUND)
        return found.peel(pygit2.Commit)

    def tree_of(self, commit: str) -> str:
        return str(self.commit(commit).tree_id)

    def parents(self, commit: str) -> list[str]:
        return [str(parent) for parent in self.commit(commit).parent_ids]

    def is_ancestor(self, a: str, b: str) -> bool:
        """Whether commit `a` is `b` or one of its ancestors."""
        older, newer = self.commit(a).id, self.commit(b).id
        return older == newer or self.pygit.descendant_of(newer, older)

    def merge_base(self, a: str, b: str) -> str | None:
        """The best common ancestor of two commits; None where their histories share nothing."""
        found = self.pygit.merge_base(self.commit(a).id, self.commit(b).id)
        return None if found is None else str(found)

    def has_path(self, rev: str, path: str) -> bool:
        """Whether a file or directory of a commit or tree has this path."""
        return path in self._tree(rev)

    def newest_time(self, *commits: str) -> int:
        """The latest committer time (seconds since the epoch) among commits."""
        return max(self.commit(commit).commit_time for commit in commits)

    def special(self, rev: str) -> Special:
        """Attribute files and submodules of a commit or tree."""
        return self._walker.special(self.pygit, str(self._tree(rev).id))

    def blob(self, oid: str) -> bytes:
        found = self.pygit.get(oid)
        if not isinstance(found, pygit2.Blob):
            raise MoError(f"there is no blob {oid}", code=Exit.NOT_FOUND)
        return found.data

    def replaced_lines(self, old: str, new: str) -> tuple[tuple[int, int], ...] | None:
        """The lines of blob `old`, as [first, end) from 0, in place of which blob `new` has others.

        Where it has more, first == end.  None for binary or large files.
        """
        one, other = self.pygit[old], self.pygit[new]
        if not (isinstance(one, pygit2.Blob) and isinstance(other, pygit2.Blob)):
            return None
        if one.is_binary or other.is_binary or max(one.size, other.size) > _LINES_LIMIT:
            return None
        compare: Any = one.diff  # its stub lacks the argument
        hunks = compare(other, context_lines=0).hunks
        starts = ((hunk.old_start - (hunk.old_lines > 0), hunk.old_lines) for hunk in hunks)
        return tuple((start, start + length) for start, length in starts)

    def file(self, rev: str, path: str) -> bytes | None:
        """The content of a file of a commit or tree; None where there is no file of that name."""
        try:
            found = self._tree(rev)[path]
        except KeyError:
            return None
        return found.data if isinstance(found, pygit2.Blob) else None

    # -- differences --------------------------------------------------------------------------------------

    def changes(self, a: str, b: str) -> list[Change]:
        """Paths that differ between two commits or trees, by path; a rename is a D and an A."""
        return sorted(
            (_change(delta) for delta in self._diff(a, b).deltas), key=lambda change: os.fsencode(change.path)
        )

    def changes_at(self, a: str, b: str, statuses: Mapping[str, str]) -> list[Change]:
        """The same where it is known which paths differ, and how: takes as long as there are of these."""
        old, new = self._tree(a), self._tree(b)
        found = []
        for path, status in sorted(statuses.items(), key=lambda item: os.fsencode(item[0])):
            was, now = _entry(old, path), _entry(new, path)
            side = now or was
            mode = int(side.filemode) if side else 0
            found.append(Change(path, status, _id(was), _id(now), mode))
        return found

    def staged(self, base: str, index: Path) -> list[Change]:
        """What an index file has other than a commit or tree."""
        flags = DiffOption.INCLUDE_TYPECHANGE
        deltas = self._tree(base).diff_to_index(pygit2.Index(str(index)), flags=flags).deltas
        return [_change(delta) for delta in deltas]

    def mode_at(self, rev: str, path: str) -> int:
        """The mode of a file of a commit or tree, as git writes it; KeyError where there is none."""
        return int(self._tree(rev)[path].filemode)

    def changed_paths(self, a: str, b: str) -> list[str]:
        """Changed paths, both names of a rename; bytes that are not UTF-8 come as surrogate escapes."""
        return [change.path for change in self.changes(a, b)]

    def diff_stat(self, a: str, b: str) -> DiffStat:
        """Numbers of changed files and of added and removed lines."""
        stats = self._diff(a, b).stats
        return DiffStat(stats.files_changed, stats.insertions, stats.deletions)

    def _diff(self, a: str, b: str) -> pygit2.Diff:
        flags = DiffOption.INCLUDE_TYPECHANGE
        return self._tree(a).diff_to_tree(self._tree(b), flags=flags, context_lines=0)

    def _tree(self, rev: str) -> pygit2.Tree:
        found = self.pygit.get(rev) if self.exists(rev) else None
        if isinstance(found, pygit2.Tree):
            return found
        return self.commit(rev).tree

    # -- writing ------------------------------------------------------------------------------------------

    def commit_tree(
        self,
        tree: str,
        parents: Sequence[str],
        message: str,
        *,
        author: tuple[str, str] | None = None,
        when: int,
        settled: bool = True,
    ) -> str:
        """Write a commit object and return its id; equal arguments give an equal id.

        `when` (seconds since the epoch, UTC) is the time of both author and committer.  The disk has it
        unless `settled` is false: then `settle` has to follow before a fact names the commit.
        """
        committer = _signature(self.committer, when)
        signed = committer if author is None else _signature(author, when)
        text = message.encode("utf-8", "replace").decode()
        if settled:
            return str(self.pygit.create_commit(None, signed, committer, text, tree, list(parents)))
        ids: list[str | pygit2.Oid] = [pygit2.Oid(hex=parent) for parent in parents]
        content: Any = self.pygit.create_commit_string(signed, committer, text, pygit2.Oid(hex=tree), ids)
        return write_loose(self.common_dir / "objects", "commit", content.encode())


def _signature(person: tuple[str, str], when: int) -> pygit2.Signature:
    """A signature; characters that git's format has no room for are left out."""
    parts = (re.sub(r"[<>\n\0]", "", part).encode("utf-8", "replace").decode().strip() for part in person)
    name, email = parts
    return pygit2.Signature(name or IDENTITY[0], email or IDENTITY[1], when, 0)


def _entry(tree: pygit2.Tree, path: str) -> pygit2.Object | None:
    """What a tree has at a path; a directory is nothing that a change could be about."""
    try:
        found = tree[path]
    except KeyError:
        return None
    return None if isinstance(found, pygit2.Tree) else found


def _id(entry: pygit2.Object | None) -> str:
    return _NOTHING if entry is None else str(entry.id)


def _change(delta: pygit2.DiffDelta) -> Change:
    gone = not delta.new_file.flags & DiffFlag.EXISTS
    side = delta.old_file if gone else delta.new_file
    return Change(
        path=os.fsdecode(side.raw_path),
        status=delta.status_char(),
        old=str(delta.old_file.id),
        new=str(delta.new_file.id),
        mode=int(FileMode(side.mode)),
    )
