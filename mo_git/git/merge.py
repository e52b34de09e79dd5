"""Merges in memory by git's own `ort` engine, the same on every machine and whatever is checked out.

`git merge-tree --write-tree` reads attributes from the checkout of its current directory only.  So each
merge runs in a scratch directory that holds exactly the `.gitattributes` files of its first side.  One
process answers many merges (`merge_stream`); where that could change an answer, each has its own.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mo_git.errors import MoError
from mo_git.git.binary import Git
from mo_git.git.files import write_durably
from mo_git.git.merge_stream import Answer, Streams
from mo_git.git.repo import Repo
from mo_git.process import Completed

_CONFIG = (
    "core.attributesFile=/dev/null",
    "merge.directoryRenames=conflict",
    "merge.renames=true",
    "merge.conflictStyle=zdiff3",
    "core.fsync=none",
)
# Files below the git directory that a merge depends on, read once by a running merge-tree.
_SOURCES = (
    *("config", "config.worktree", "info/attributes", "info/grafts", "shallow", "refs/replace"),
    *("objects/info/alternates",),
)
_FALSE = ("false", "no", "off", "0")
_REMEMBERED = 8
_PATIENCE = 600.0  # seconds
_PATIENCE_OF_STREAMS = 30.0  # then it is tried by a process of its own
_Sources = tuple[object, ...]
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
    """Merges commits of one repository; usable from any thread.  `scratch` is a directory of its own.

    What it writes is not on the disk yet: see `settle`.  `env` and `config` are added to those of git.
    `close` when done.
    """

    def __init__(
        self,
        repo: Repo,
        scratch: Path,
        *,
        env: Mapping[str, str] | None = None,
        patience: float = _PATIENCE,
    ) -> None:
        self._repo = repo
        self._scratch = scratch
        self._env = {**_ENV, **(env or {})}
        self._patience = patience
        self._steering = [repo.common_dir / name for name in _SOURCES]
        self._streams = Streams(patience=min(patience, _PATIENCE_OF_STREAMS))
        self._plain: dict[_Sources, bool] = {}

    def merge(self, ours: str, theirs: str, *, attributes_of: str = "") -> Merge:
        """Merge commit `theirs` into commit `ours`.  Histories that share nothing are a conflict.

        Attributes are those of `ours`, or of the commit `attributes_of`.
        """
        place = self._with_attributes(self._repo.special(attributes_of or ours).attributes)
        env = {**self._env, "GIT_DIR": str(self._repo.common_dir), "GIT_WORK_TREE": str(place)}
        git = Git(place, env=env, config=_CONFIG)
        sources = _sources(self._steering, place)
        answer = self._streams.ask(git, sources, ours, theirs) if self._is_plain(git, sources) else None
        if answer is not None:
            return _meaning(answer)
        options = ("--write-tree", "--messages", "--name-only", "-z")
        return _parse(
            git("merge-tree", *options, ours, theirs, check=False, timeout=self._patience), ours, theirs
        )

    def _is_plain(self, git: Git, sources: _Sources) -> bool:
        """Whether a running merge-tree would see all that a new one sees.

        Files that the settings include may change unseen.  With renormalize git also reads attribute files
        that the merge itself brings, and keeps them for the next merge.
        """
        found = self._plain.get(sources)
        if found is None:
            listed = git("config", "-z", "--list").text.split("\0")
            settings = {name: value for name, _, value in (entry.partition("\n") for entry in listed)}
            included = any(name.startswith(("include.", "includeif.")) for name in settings)
            found = not included and settings.get("merge.renormalize", "false") in _FALSE
            self._plain = {sources: found, **dict(list(self._plain.items())[:_REMEMBERED])}
        return found

    def replay(self, head: str, commit: str, base: str) -> Merge:
        """The tree of `head` with what `commit` changed relative to `base`, all three commits.

        The merge base is `base`, whatever their histories say: commits with these trees are made on top of
        it, for `head` only where `base` is no ancestor of it.  Nothing names them afterwards.
        """
        made = {}

        def on_base(of: str) -> str:
            tree, when = self._repo.tree_of(of), self._repo.newest_time(base, of)
            copy = self._repo.commit_tree(tree, [base], f"Replay {of}\n", when=when, settled=False)
            made[copy] = of
            return copy

        theirs = on_base(commit)
        ours = head if self._repo.is_ancestor(base, head) else on_base(head)
        merged = self.merge(ours, theirs)
        return replace(merged, messages=tuple(_renamed(text, made) for text in merged.messages))

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
            settled=False,
        )
        return self.merge(head, undone)

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

    def close(self) -> None:
        """End the processes that wait for merges; another merge starts new ones."""
        self._streams.close()

    def clear(self) -> None:
        """Delete the scratch directory; the next merge makes it again."""
        self.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def _sources(steering: Sequence[Path], place: Path) -> _Sources:
    """What steers a merge besides its commits, as `stat` tells it: another value where that was changed."""
    found: list[tuple[int, ...]] = []
    for file in steering:
        try:
            seen = file.stat()
        except OSError:
            found.append(())
        else:
            found.append((seen.st_ino, seen.st_size, seen.st_mtime_ns))
    return str(place), place.stat().st_ino, *found


def _renamed(text: str, names: Mapping[str, str]) -> str:
    for made, of in names.items():
        text = text.replace(made, of)
    return text


def _meaning(answer: Answer) -> Merge:
    if answer.clean:
        return Merge(answer.tree)
    conflicts = tuple(map(os.fsdecode, answer.conflicts))
    return Merge(None, conflicts, tuple(map(_said, answer.messages)), answer.tree)


def _said(message: bytes) -> str:
    return os.fsdecode(message).rstrip("\n")


def _parse(done: Completed, ours: str, theirs: str) -> Merge:
    """The `-z --name-only --messages` output of git-merge-tree(1)."""
    out = re.sub(rb"\A.*?([0-9a-f]{40}\0)", rb"\1", done.out, count=1, flags=re.DOTALL)
    fields = [os.fsdecode(field) for field in out.split(b"\0")]
    if done.code not in (0, 1) or not fields[0]:
        if "unrelated histories" in done.error_text:
            return Merge(None, (), ("the two sides have no common history",))
        why = "took too long and was ended" if done.code == 124 else done.error_text
        raise MoError(f"cannot merge {theirs} into {ours}: {why}")
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
