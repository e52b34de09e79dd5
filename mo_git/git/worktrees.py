"""Linked worktrees of mo: made by one rename, recycled by reset, removed without a trace.

`git worktree add` is not safe beside other git commands: a half-written administration directory makes
bystanders fail.  So it is written aside and renamed into place complete.  A kill at any step leaves
something that the next `birth` of that name recognises and clears.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mo_git.errors import Exit, MoError
from mo_git.git import refs
from mo_git.git.binary import STRICT_STAT, Git
from mo_git.git.fast_forward import FastForward, Refusal, fast_forward
from mo_git.git.files import (
    delete_tree,
    discard,
    make_writable,
    replace,
    replace_durably,
    sync_directory,
    write_durably,
)
from mo_git.git.index import has_hidden_entries
from mo_git.git.layout import git_dir_of, read_text
from mo_git.git.nested import nested_repositories
from mo_git.git.repo import Repo

__all__ = [
    "FastForward",
    "Refusal",
    "admin_of",
    "birth",
    "fast_forward",
    "holder",
    "is_known",
    "listing",
    "point",
    "remove",
    "reset",
]

_STAGING = "mo-tmp"
_KEPT_STATE = frozenset({"HEAD", "commondir", "gitdir", "locked", "index", "logs"})
_CONFIG = ("submodule.recurse=false", "core.splitIndex=false", *STRICT_STAT)


def birth(repo: Repo, name: str, path: Path, *, branch: str | None, commit: str) -> None:
    """Make the worktree `name` at `path`, locked, with the full tree of `commit` checked out.

    HEAD is `branch` (made at `commit` when missing) or, without one, the commit itself.  MoError when the
    branch holds another commit, the name is taken, or the path holds something that is not ours.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]*", name):
        raise MoError(f"{name!r} cannot be the name of a worktree", code=Exit.USAGE)
    path = Path(os.path.realpath(path.parent)) / path.name
    admin = repo.common_dir / "worktrees" / name
    _clear_leftovers(repo, admin, path)
    head = _head_text(repo, branch, commit)
    staging = repo.common_dir / _STAGING / name
    delete_tree(staging)
    staging.mkdir(parents=True)
    write_durably(staging / "HEAD", head)
    write_durably(staging / "commondir", "../..\n")
    write_durably(staging / "gitdir", f"{path}/.git\n")
    write_durably(staging / "locked", "in use by mo\n")
    sync_directory(staging)
    path.mkdir(parents=True, exist_ok=True)
    write_durably(path / ".git", f"gitdir: {admin}\n")
    _move_in(staging, admin)
    _checkout(path, commit)


def _clear_leftovers(repo: Repo, admin: Path, path: Path) -> None:
    """Remove what a killed birth left; MoError for anything that may be somebody's."""
    if admin.exists():
        if _worktree_of(admin) != path:
            raise MoError(f"a worktree called {admin.name} exists elsewhere", "git worktree list")
        if (admin / "index").exists() and os.path.lexists(path / ".git"):
            raise MoError(f"the worktree {path} exists already", f"git worktree remove -f -f {path}")
        ours = _pointer(path) == str(admin)  # no index yet: its first checkout never ended
    else:
        ours = _pointer(path) in ("", str(admin)) and _names(path) <= {".git"}
    if os.path.lexists(path) and not ours:
        raise MoError(f"{path} is in the way: mo did not make it", f"mv {path} {path}.old")
    _drop_record(repo, admin)


def _pointer(path: Path) -> str:
    """Where the `.git` file of a directory points; "" when there is none or it was cut short."""
    pointer = path / ".git"
    if pointer.is_symlink() or not pointer.is_file():
        return "" if not os.path.lexists(pointer) else "?"
    text = read_text(pointer)
    return text.removeprefix("gitdir: ").removesuffix("\n") if text.endswith("\n") else ""


def _names(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()} if path.is_dir() and not path.is_symlink() else {"?"}


def _head_text(repo: Repo, branch: str | None, commit: str) -> str:
    """The content of HEAD; makes the branch when it is missing."""
    repo.commit(commit)
    if branch is None:
        return f"{commit}\n"
    ref = f"refs/heads/{branch}"
    if not refs.create(repo, ref, commit) and (held := refs.read(repo, ref)) != commit:
        raise MoError(f"the branch {branch} is at {held}, not at {commit}", f"git log {branch}")
    return f"ref: {ref}\n"


def _move_in(staging: Path, admin: Path) -> None:
    """The one step by which a worktree comes to exist for git."""
    for _ in range(100):
        admin.parent.mkdir(exist_ok=True)
        try:
            staging.rename(admin)
        except FileNotFoundError:
            continue  # git removes an empty `worktrees` directory when it prunes
        sync_directory(admin.parent)
        return
    raise MoError(f"cannot make {admin}: something keeps removing its parent directory")


def _checkout(path: Path, commit: str) -> None:
    Git(path, config=_CONFIG)("read-tree", "--reset", "-u", commit)


def admin_of(repo: Repo, path: Path) -> Path:
    """The administration directory of a linked worktree, or the git directory of the main one.

    MoError when its `.git` entry is not the one that git wrote: to follow it would run somebody's config.
    """
    path = Path(os.path.realpath(path))
    if path == repo.top:
        return repo.common_dir
    if not os.path.lexists(path / ".git"):
        raise MoError(f"{path} is not a worktree", "git worktree list", Exit.NOT_FOUND)
    admin = Path(os.path.realpath(path / _pointer(path)))
    if admin.parent != repo.common_dir / "worktrees" or _worktree_of(admin) != path:
        raise MoError(f"the .git entry of {path} has been changed", f"git worktree repair {path}")
    return admin


def point(repo: Repo, path: Path, *, branch: str | None, commit: str) -> None:
    """Make HEAD of an existing worktree `branch` (made when missing) or a commit; files stay as they are."""
    admin = admin_of(repo, path)
    head = _head_text(repo, branch, commit)
    (admin / "HEAD.lock").unlink(missing_ok=True)
    if branch is None:
        replace(admin / "HEAD", head)  # whoever uses the worktree next points it anew
    else:
        replace_durably(admin / "HEAD", head)


def reset(path: Path, commit: str, keep: Sequence[str] = ()) -> None:
    """Make a worktree of mo's equal to a commit: files, index and state of half-done operations.

    Untracked and ignored files go, except those that match a `keep` pattern (as in .gitignore).  Nothing
    may run in the worktree.  Deletes work without asking: keep it first.
    """
    admin = git_dir_of(path)
    if _worktree_of(admin) != Path(os.path.realpath(path)):
        raise MoError(f"{path} is not a linked worktree", "git worktree list")
    for state in list(admin.iterdir()):
        if state.name not in _KEPT_STATE:
            delete_tree(state) if state.is_dir() and not state.is_symlink() else state.unlink()
    if has_hidden_entries(admin / "index"):
        (admin / "index").unlink()
    _checkout(path, commit)
    _clean(path, keep)
    if tracked := _repositories_among_tracked(path):
        for directory in tracked:
            _remove(path / directory / ".git")
        _checkout(path, commit)
        _clean(path, keep)


def _clean(path: Path, keep: Sequence[str]) -> None:
    args = ["clean", "-ffdxq", *(part for pattern in keep for part in ("-e", pattern))]
    if Git(path)(*args, check=False).code:
        make_writable(path)
        Git(path)(*args)


def _repositories_among_tracked(path: Path) -> list[str]:
    """Repositories that a clean left behind because tracked files lie in the same directory."""
    nested = nested_repositories(path)
    if not nested:
        return []
    tracked = Git(path)("ls-files", "-z").text.split("\0")
    return [found for found in nested if any(name.startswith(f"{found}/") for name in tracked)]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        delete_tree(path)
    else:
        path.unlink(missing_ok=True)


def remove(repo: Repo, path: Path) -> None:
    """Delete a worktree and git's record of it; fine when either is gone already.

    Only worktrees of this repository: the record has to point at the path.
    """
    path = Path(os.path.realpath(path.parent)) / path.name
    admins = [admin for admin in _admins(repo) if _worktree_of(admin) == path]
    if not admins:
        if os.path.lexists(path):
            raise MoError(f"{path} is not a worktree of {repo.common_dir}", "git worktree list")
        return
    if path.parent.is_dir():
        discard(path)
    for admin in admins:
        _drop_record(repo, admin)


def _drop_record(repo: Repo, admin: Path) -> None:
    """Take an administration directory away in one step, so that no git sees half of it."""
    if not admin.exists():
        return
    gone = repo.common_dir / _STAGING / f"{admin.name}.gone"
    delete_tree(gone)
    gone.parent.mkdir(exist_ok=True)
    admin.rename(gone)
    delete_tree(gone)


def listing(repo: Repo) -> dict[str, Path]:
    """Name -> root of the linked worktrees that git knows of, also where the directory is gone."""
    found = ((admin.name, _worktree_of(admin)) for admin in _admins(repo))
    return {name: path for name, path in found if path is not None}


def is_known(repo: Repo, name: str) -> bool:
    """Whether git knows a linked worktree of this name, also where its directory is gone."""
    return _worktree_of(repo.common_dir / "worktrees" / name) is not None


def holder(repo: Repo, branch: str) -> Path | None:
    """The worktree that has a branch checked out, also in the middle of a rebase or bisect of it."""
    if repo.top is not None and _holds(repo.common_dir, branch):
        return repo.top
    for admin in _admins(repo):
        path = _worktree_of(admin)
        if path is not None and path.exists() and _holds(admin, branch):
            return path
    return None


def _holds(git_dir: Path, branch: str) -> bool:
    ref = f"refs/heads/{branch}"
    signs = (
        ("HEAD", f"ref: {ref}"),
        ("rebase-merge/head-name", ref),
        ("rebase-apply/head-name", ref),
        ("BISECT_START", branch),
    )
    for name, expected in signs:
        try:
            if read_text(git_dir / name).strip() == expected:
                return True
        except OSError:
            continue
    return False


def _admins(repo: Repo) -> Iterator[Path]:
    try:
        yield from sorted((repo.common_dir / "worktrees").iterdir())
    except FileNotFoundError:
        return


def _worktree_of(admin: Path) -> Path | None:
    """The root that an administration directory is for; newer gits may write it as a relative path."""
    try:
        text = read_text(admin / "gitdir").removesuffix("\n")
    except OSError:
        return None
    pointer = admin / text
    return Path(os.path.realpath(pointer.parent)) if text else None
