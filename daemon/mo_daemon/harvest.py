"""What a worktree holds when its agent has ended: looked at, refused or kept.  Never runs agent's code."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mo_daemon import scope
from mo_daemon.briefing import TEAM_FILES
from mo_git.errors import MoError
from mo_git.git import provenance, refs, worktrees
from mo_git.git.repo import Repo
from mo_git.git.snapshot import (
    NestedRepositories,
    Problem,
    Snapshot,
    nested_repositories,
    problems,
    snapshot,
)
from mo_git.model import FailureClass, TaskSpec


class AttemptFailed(Exception):
    """An attempt leads to no candidate; `failure` says of which kind, `reason` in one line why."""

    def __init__(self, failure: FailureClass, reason: str, **evidence: Any) -> None:
        super().__init__(reason)
        self.failure = failure
        self.reason = reason
        self.evidence = evidence


_CLASS_OF_PROBLEM = {
    "conflict_markers": FailureClass.INVALID_OUTPUT,
    "too_large": FailureClass.INVALID_OUTPUT,
    "secret": FailureClass.SECRETS,
    "protected": FailureClass.SCOPE,
}

_SAID = {"conflict_markers": "conflict markers, "}

# Trouble that no agent is blamed for: it stops the goal until a person has mended it.
_OF_THE_MACHINE = re.compile(
    r"No space left|quota exceeded|File too large"
    r"|Too many open|[Cc]annot allocate|Input/output error|Read-only"
)


TEAM_FILE_LIMIT = 40_000  # bytes


def team_files(worktree: Path, names: Sequence[str]) -> dict[str, str]:
    """The team's instructions for agents at the top of a worktree: name -> text, each text once.

    `names` are those that the agent does not read by itself; what says the same as one of the others of
    TEAM_FILES, or as an earlier one, is left out.  Links are not followed, but an agent follows its own.
    """
    read = (_text_within(worktree, name) for name in TEAM_FILES if name not in names)
    seen = {text.strip() for text in read if text is not None}
    found = {}
    for name in names:
        text = None if (worktree / name).is_symlink() else _text_within(worktree, name)
        if text is not None and text.strip() not in seen:
            seen.add(text.strip())
            found[name] = text
    return found


def _text_within(worktree: Path, name: str) -> str | None:
    """The text of a file of a worktree; None where there is none, or a link leads out."""
    path = (worktree / name).resolve()
    if not path.is_file() or not path.is_relative_to(worktree.resolve()):
        return None
    with path.open("rb") as file:
        return file.read(TEAM_FILE_LIMIT).decode("utf-8", "replace")


def look(repo: Repo, worktree: Path, base: str) -> Snapshot:
    """The tree of the worktree; a repository that the agent made inside it, or in its place, is a breach."""
    _mend(repo, worktree)
    submodules = [path for path, _ in repo.special(base).submodules]
    try:
        return snapshot(repo, worktree, base, known_submodules=submodules)
    except NestedRepositories as nested:
        raise AttemptFailed(FailureClass.ISOLATION_BREACH, nested.message) from None
    except MoError as error:
        if _OF_THE_MACHINE.search(error.message):
            raise
        reason = f"what it left cannot be read: {error.message}"
        raise AttemptFailed(FailureClass.INVALID_OUTPUT, reason) from None


def _mend(repo: Repo, worktree: Path) -> None:
    """Put a changed `.git` back, so that the work can be kept and the slot used again; raises the breach."""
    try:
        worktrees.admin_of(repo, worktree)
    except MoError as error:
        found = {path: name for name, path in worktrees.listing(repo).items()}
        name = found.get(Path(os.path.realpath(worktree)))
        if name is None or not worktree.is_dir():
            raise AttemptFailed(FailureClass.ISOLATION_BREACH, error.message) from None
        pointer = worktree / ".git"
        if os.path.lexists(pointer):
            pointer.rename(Path(tempfile.mkdtemp(prefix="replaced.git-", dir=worktree)) / "entry")
        pointer.write_text(f"gitdir: {repo.common_dir / 'worktrees' / name}\n")
        reason = "the .git of its worktree was removed or replaced (it has been put back)"
        raise AttemptFailed(FailureClass.ISOLATION_BREACH, reason) from None


def refuse(repo: Repo, base: str, found: Snapshot, spec: TaskSpec, max_file_bytes: int) -> list[str]:
    """Raise for content that never becomes a commit; the paths outside a scope that is only warned about."""
    if trouble := problems(repo, base, found.tree, found.changed, max_file_bytes=max_file_bytes):
        failure, said = summary(trouble)
        raise AttemptFailed(failure, said)
    if spec.writes is None or spec.scope == "off":
        return []
    beyond = scope.outside(found.changed, spec.writes)
    if beyond and spec.scope == "enforce":
        raise AttemptFailed(FailureClass.SCOPE, "wrote outside its scope: " + ", ".join(beyond[:5]))
    return beyond


def summary(trouble: Sequence[Problem]) -> tuple[FailureClass, str]:
    """Class and reason of an attempt with these problems, of which there is one at least."""
    first = trouble[0]
    more = f" (and {len(trouble) - 1} more)" if len(trouble) > 1 else ""
    said = f"{_SAID.get(first.kind, '')}{first.detail}{more}"
    return _CLASS_OF_PROBLEM[first.kind], f"{first.path}: {said}"


def own_head(repo: Repo, worktree: Path, base: str) -> str:
    """The newest commit that the agent made itself, on whatever its HEAD is; empty where there is none."""
    head = (worktrees.admin_of(repo, worktree) / "HEAD").read_text().strip()
    commit = refs.read(repo, head.removeprefix("ref: ")) if head.startswith("ref: ") else head
    if not commit or not repo.exists(commit) or repo.is_ancestor(commit, base):
        return ""
    return commit


def keep(
    repo: Repo, worktree: Path, base: str, goal: str, task: str, n: int, when: int, *, mend: bool = True
) -> str:
    """A ref on what a worktree holds, if that differs from its base; the ref's name, or empty.

    Repositories inside are kept as plain files, each `.git` renamed.  What git cannot read at all is moved
    aside as it is: then the path.  MoError where there is no room: the worktree must stay until there is.
    Commits that the agent made itself get a ref of their own.  Without `mend` the worktree stays as it is,
    and nothing is kept of what git cannot read.
    """
    if not worktree.is_dir() or not repo.exists(base):
        return ""
    with suppress(AttemptFailed):
        _mend(repo, worktree)
    try:
        found = look(repo, worktree, base)
    except AttemptFailed:
        if not mend:
            return ""
        _disarm(worktree)
        try:
            found = look(repo, worktree, base)
        except AttemptFailed:
            return str(_set_aside(worktree, goal, f"{task}-{n}"))
    name, kept = f"refs/mo/keep/{goal}/{task}/{n}", ""
    before = refs.read(repo, name)
    if before is not None and repo.tree_of(before) == found.tree:
        kept = name
    elif found.tree != repo.tree_of(base):
        message = provenance.message(f"Kept: {goal}/{task}#{n}", "Left by an attempt that did not land.", {})
        kept = refs.keep(repo, goal, task, n, repo.commit_tree(found.tree, [base], message, when=when))
    if own := own_head(repo, worktree, base):
        refs.keep(repo, goal, task, n, own)
    return kept


def _disarm(worktree: Path) -> None:
    """Make repositories inside a worktree plain directories, with all that is in them."""
    for directory in nested_repositories(worktree):
        for entry in list((worktree / directory).iterdir()):
            if entry.name.lower() == ".git":
                entry.rename(entry.with_name("kept" + entry.name))


def shelf(state: Path, goal: str) -> Path:
    """Where worktrees that git cannot read are kept."""
    return state / "kept" / goal


def _set_aside(worktree: Path, goal: str, name: str) -> Path:
    """The last way to lose nothing: the directory itself, beside the worktrees; the slot is made anew."""
    directory = shelf(worktree.parent.parent, goal)
    directory.mkdir(parents=True, exist_ok=True)
    number = 1
    while os.path.lexists(place := directory / (name if number == 1 else f"{name}-{number}")):
        number += 1
    worktree.rename(place)
    return place
