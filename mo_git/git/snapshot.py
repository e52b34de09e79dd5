"""What a worktree holds, as a tree; and what in it must not become a commit.

The files were made by an agent, so they are hostile until looked at: a `.git` among them carries config
that git would obey.  That is searched for first, before any git command runs there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mo_git.errors import MoError
from mo_git.git.binary import STRICT_STAT, Git
from mo_git.git.nested import nested_repositories
from mo_git.git.repo import Change, Repo
from mo_git.git.secret_patterns import find_secrets
from mo_git.git.worktrees import admin_of

__all__ = ["NestedRepositories", "Problem", "Snapshot", "nested_repositories", "problems", "snapshot"]

_CONFIG = (
    "core.safecrlf=false",
    "core.splitIndex=false",
    *STRICT_STAT,
)
_LINK = 0o160000
_NO_BLOB = "0" * 40
_START = re.compile(rb"^<<<<<<< .", re.MULTILINE)
_END = re.compile(rb"^>>>>>>> .", re.MULTILINE)
_DRIVER = re.compile(rb"(?:^|\s)(filter|merge)=([^\s]+)")
_BUILT_IN_MERGES = frozenset({b"text", b"binary", b"union"})


class NestedRepositories(MoError):
    """The worktree holds repositories of its own; `paths` are their directories."""

    def __init__(self, paths: Sequence[str]) -> None:
        names = ", ".join(repr(path) for path in paths)
        super().__init__(f"there are git repositories inside the worktree: {names}", "remove their .git")
        self.paths = tuple(paths)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The tree of a worktree; `statuses` maps each changed path to A, M, D or T (type changed)."""

    tree: str
    changed: tuple[str, ...]
    statuses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """A reason not to commit: `kind` is conflict_markers, too_large, secret or protected."""

    kind: str
    path: str
    detail: str


def snapshot(repo: Repo, worktree: Path, base: str, *, known_submodules: Collection[str] = ()) -> Snapshot:
    """The tree of everything in a worktree that is not ignored, and what differs from `base`.

    Submodules stay as the index has them.  Uses the worktree's index and the user's filters; makes no
    commit.  No process of the attempt may live.  Raises NestedRepositories before git runs where an agent
    made a repository, MoError where the `.git` entry was changed or a file cannot be read.
    """
    admin = admin_of(repo, worktree)
    if admin != repo.common_dir:
        (admin / "config.worktree").unlink(missing_ok=True)  # mo makes none: it is the agent's
    nested = nested_repositories(worktree, known_submodules)
    if nested and (unsafe := _not_ignored(worktree, nested)):
        raise NestedRepositories(unsafe)
    (admin / "index.lock").unlink(missing_ok=True)
    git = Git(worktree, config=_CONFIG)
    paths = ("--", ".", *(f":(top,exclude,literal){path}" for path in known_submodules))
    git("add", "-A", *(paths if known_submodules else ()))
    tree = git.text("write-tree")
    changes = repo.changes(base, tree)
    statuses = {change.path: change.status for change in changes}
    return Snapshot(tree, tuple(statuses), statuses)


def _not_ignored(worktree: Path, nested: Sequence[str]) -> list[str]:
    """Repositories that `git add` could reach.

    Toolchains clone into ignored directories, which git never enters; unless the index names them.
    """
    git = Git(worktree, config=("submodule.recurse=false",))
    asked = b"\0".join(os.fsencode(path) for path in nested) + b"\0"
    done = git("check-ignore", "-z", "--stdin", "--no-index", stdin=asked, check=False)
    ignored = set(done.text.split("\0"))
    indexed = git("ls-files", "-z", "--", *(f":(top,literal){path}" for path in nested)).text
    tracked = [name for name in indexed.split("\0") if name]
    return [
        path
        for path in nested
        if path not in ignored or any(name == path or name.startswith(f"{path}/") for name in tracked)
    ]


def problems(
    repo: Repo,
    base: str,
    tree: str,
    changed: Collection[str],
    *,
    max_file_bytes: int,
    changes: Sequence[Change] | None = None,
) -> list[Problem]:
    """Reasons not to commit `tree` on top of `base`, looking at the `changed` paths; by path.

    Only what the change itself adds counts: lines that the old version of a file, or a file that the
    change removes (a move), held already are no news.  `changes`: those between the two, where known.
    """
    wanted = set(changed)
    changes = repo.changes(base, tree) if changes is None else changes
    changes = [change for change in changes if change.path in wanted]
    removed: set[bytes] = set()
    if any(change.status == "A" for change in changes):
        for change in changes:
            if change.status == "D" and _is_text_sized(repo, change.old, max_file_bytes):
                removed.update(repo.blob(change.old).splitlines())
    drivers: set[bytes] | None = None
    found: list[Problem] = []
    for change in changes:
        found += _protected(change)
        if change.status == "D" or change.mode == _LINK:
            continue
        data = repo.blob(change.new)
        if len(data) > max_file_bytes:
            found.append(
                Problem("too_large", change.path, f"{len(data)} bytes, the limit is {max_file_bytes}")
            )
            continue
        old = _old_lines(repo, change)
        if PurePosixPath(change.path).name.lower() == ".gitattributes":
            drivers = _drivers_of(repo, base) if drivers is None else drivers
            found += [
                Problem("protected", change.path, f"names the driver {os.fsdecode(name)}")
                for name in sorted(_drivers(data) - drivers)
            ]
        if b"\0" not in data[:8000]:
            found += _in_text(change.path, data, old | removed)
    return found


def _is_text_sized(repo: Repo, oid: str, limit: int) -> bool:
    return oid in repo.pygit and repo.pygit[oid].type_str == "blob" and len(repo.blob(oid)) <= limit


def _old_lines(repo: Repo, change: Change) -> set[bytes]:
    if change.old == _NO_BLOB or not repo.exists(change.old):
        return set()
    return set(repo.blob(change.old).splitlines())


def _protected(change: Change) -> list[Problem]:
    path = change.path.lower()
    if path == ".mo" or path.startswith(".mo/"):
        return [Problem("protected", change.path, "belongs to mo")]
    if path == ".gitmodules":
        return [Problem("protected", change.path, "declares submodules")]
    if change.mode == _LINK:
        return [Problem("protected", change.path, "is a submodule")]
    return []


def _drivers(data: bytes) -> set[bytes]:
    """`filter=NAME` and `merge=NAME` settings of an attributes file, without the built-in ones."""
    lines = (line for line in data.splitlines() if not line.lstrip().startswith(b"#"))
    named = {match for line in lines for match in _DRIVER.findall(line)}
    return {b"=".join(match) for match in named if match[0] == b"filter" or match[1] not in _BUILT_IN_MERGES}


def _drivers_of(repo: Repo, base: str) -> set[bytes]:
    """The drivers that the base names already, anywhere."""
    return {name for _, blob in repo.special(base).attributes for name in _drivers(repo.blob(blob))}


def _in_text(path: str, data: bytes, known: Collection[bytes]) -> list[Problem]:
    numbered = [(n, line) for n, line in enumerate(data.splitlines(), 1) if line not in known]
    added = b"\n".join(line for _, line in numbered)
    found: list[Problem] = []
    if (start := _START.search(added)) and _END.search(added):
        at = numbered[added.count(b"\n", 0, start.start())][0]
        found.append(Problem("conflict_markers", path, f"line {at}"))
    for name, offset in find_secrets(added):
        at = numbered[added.count(b"\n", 0, offset)][0]
        found.append(Problem("secret", path, f"line {at}: {name}"))
    return found
