"""Whether the targets of items are in the base commit, whose tree is listed once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mo_git.git.binary import Git
from mo_git.simple.manifest import Numbered, Problems

_LINK, _SUBMODULE, _DIRECTORY = "120000", "160000", "040000"


@dataclass(frozen=True, slots=True)
class Tree:
    """All paths of a commit, directories included: path -> mode as git writes it."""

    modes: Mapping[str, str]

    def entries(self) -> list[str]:
        """All but directories, in git's order."""
        return [path for path, mode in self.modes.items() if mode != _DIRECTORY]

    def files(self) -> list[str]:
        """What an item can change: no links, directories or submodules; in git's order."""
        return [path for path, mode in self.modes.items() if mode not in (_LINK, _SUBMODULE, _DIRECTORY)]


def list_tree(git: Git, commit: str) -> Tree:
    listed = git("ls-tree", "-r", "-t", "-z", "--full-tree", "--format=%(objectmode) %(path)", commit).out
    entries = (os.fsdecode(entry).partition(" ") for entry in listed.split(b"\0") if entry)
    return Tree({path: mode for mode, _, path in entries})


def check_targets(
    items: Iterable[Numbered], tree: Tree, top: Path, problems: Problems, *, allow_missing: bool
) -> None:
    """Add what is wrong with the targets, each with its line.

    A target has to be a file or directory of the base, and no symbolic link or below one: what is done to
    it would be done elsewhere.  `allow_missing`: it may also be one that the item is to make.  `top` is the
    checkout, looked at only for a better hint.
    """

    @cache
    def verdict(target: str) -> str:
        return _wrong(target, tree.modes, top, allow_missing)

    for one in items:
        for target in one.item.targets:
            if what := verdict(target):
                problems.add(one.line, "target", f'"{target}" {what}')


def _wrong(target: str, modes: Mapping[str, str], top: Path, allow_missing: bool) -> str:
    mode = modes.get(target)
    if mode == _LINK:
        return "is a symbolic link: name the file that it leads to"
    if mode == _SUBMODULE:
        return "is a submodule: work in its own repository"
    if mode is not None:
        return ""
    parent = target
    while "/" in parent:
        parent = parent.rpartition("/")[0]
        if (above := modes.get(parent)) is not None:
            if above == _LINK:
                return f'leads through the symbolic link "{parent}"'
            if above == _SUBMODULE:
                return f'is inside the submodule "{parent}"'
            if above != _DIRECTORY:
                return f'is below "{parent}", which is a file'
            break
    if allow_missing:
        return ""
    if os.path.lexists(top / target):
        return "is not committed: commit it first, an item starts from the base commit"
    return "is not in the base commit (--allow-missing: where the item is to make it)"
