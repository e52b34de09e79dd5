"""`.worktreeinclude`: the ignored files of the main checkout that its worktrees need to run.

The file lies at the main worktree's root and holds patterns in the syntax of `.gitignore`.  Only what git
ignores and doesn't track is ever taken (such as `.env` or `node_modules`), so a commit of everything that
git sees in a worktree never holds it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from mo_daemon import copying, scope
from mo_git.git.binary import Git

INCLUDE_FILE = ".worktreeinclude"
_WILD = re.compile(r"[*?\[\\]")


def ignored_entries(top: Path) -> list[str]:
    """What git ignores below `top`, relative paths; a wholly ignored directory is one entry, with a slash.

    Git also lists some entries below such a directory; they are left in.
    """
    listed = Git(top)("ls-files", "-o", "-i", "--exclude-standard", "-z", "--directory").out
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]


def topmost(paths: Iterable[str]) -> list[str]:
    """The sorted paths without those that lie below another one that ends with a slash."""
    result: list[str] = []
    for path in sorted(paths):
        if not (result and result[-1].endswith("/") and path.startswith(result[-1])):
            result.append(path)
    return result


def included(main_top: Path) -> list[str]:
    """The entries of the main checkout that `.worktreeinclude` asks for; directories end with a slash."""
    try:
        text = (main_top / INCLUDE_FILE).read_text("utf-8", "surrogateescape")
    except (FileNotFoundError, IsADirectoryError):
        return []
    lines = text.splitlines()
    prefixes = _literal_prefixes(lines)
    candidates: set[str] = set()
    for entry in ignored_entries(main_top):
        candidates.add(entry)
        if entry.endswith("/") and not scope.matching([entry], lines):
            candidates.update(_below(main_top, entry, prefixes))
    matches = topmost(scope.matching(candidates, lines))
    return [path for path in matches if not any(map(copying.ours, PurePosixPath(path).parts))]


def _literal_prefixes(lines: Sequence[str]) -> list[tuple[str, ...]]:
    """The leading names without wildcards of the patterns that name a place (`a/b/*.x`: a, b).

    Only these are looked for inside ignored directories: `.env` alone means the project's own, not one in
    a package of node_modules.
    """
    prefixes = []
    for line in lines:
        pattern = line.strip()
        if not pattern or pattern.startswith(("#", "!")) or "/" not in pattern.rstrip("/"):
            continue
        names: list[str] = []
        for name in pattern.strip("/").split("/"):
            if _WILD.search(name):
                break
            names.append(name)
        if names:
            prefixes.append(tuple(names))
    return prefixes


def _below(top: Path, directory: str, prefixes: Sequence[tuple[str, ...]]) -> list[str]:
    """Paths inside an ignored directory that one of the prefixes leads to or covers."""
    parts = PurePosixPath(directory).parts
    found: list[str] = []
    if not any(_touch(parts, prefix) for prefix in prefixes):
        return found
    with os.scandir(top / directory) as listing:
        for entry in listing:
            if entry.is_dir(follow_symlinks=False):
                path = f"{directory}{entry.name}/"
                found += [path, *_below(top, path, prefixes)]
            else:
                found.append(directory + entry.name)
    return found


def _touch(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return all(a == b for a, b in zip(one, other, strict=False))


def copy_included(main_top: Path, worktree: Path, paths: Sequence[str] | None = None) -> list[str]:
    """Copy the included entries (or those of them in `paths`) into a worktree; returns what was copied.

    Nothing that exists in the worktree is overwritten, so no tracked file is.  Links stay links, those into
    the main checkout are turned to the worktree; a link that is itself an included entry and leaves the
    checkout is not copied.  Entries named `.git` or `.mo` stay behind at any depth.
    """
    copied = []
    for path in included(main_top) if paths is None else paths:
        relative = path.rstrip("/")
        source, target = main_top / relative, worktree / relative
        if not os.path.lexists(source) or not copying.parent_is_real(worktree, relative):
            continue
        if source.is_symlink() and not source.resolve().is_relative_to(main_top.resolve()):
            continue
        made = copying.copy_missing(source, target)
        for new in made:
            _make_safe(new, main_top, worktree)
        if made:
            copied.append(path)
    return copied


def _make_safe(copied: Path, main_top: Path, worktree: Path) -> None:
    """Drop nested repositories and turn links into the main checkout to the worktree."""
    if copied.is_symlink():
        _turn(str(copied), main_top, worktree)
        return
    if not copied.is_dir():
        return
    unwanted = []
    for entry in copying.entries(copied):
        if copying.ours(entry.name):
            unwanted.append(Path(entry.path))
        elif entry.is_symlink():
            _turn(entry.path, main_top, worktree)
    for path in unwanted:
        copying.remove(path)


def _turn(link: str, main_top: Path, worktree: Path) -> None:
    goal = Path(os.readlink(link))
    if goal.is_absolute() and goal.is_relative_to(main_top):
        Path(link).unlink()
        Path(link).symlink_to(worktree / goal.relative_to(main_top))
