"""Files that steer git, found anywhere in a tree: `.gitattributes` and submodules.

Walks raw tree objects and remembers each subtree by its id, so that a second look at a big tree that
changed in one place reads only the subtrees on that path.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import pygit2

_ENTRY = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)
_TREE, _LINK, _SYMLINK = b"40000", b"160000", b"120000"
_SIGNS = (_TREE + b" ", _LINK + b" ", b" .gitattributes\0")
_MEMO_LIMIT = 200_000

_Found = tuple[tuple[bytes, bytes, bytes], ...]  # (path, mode, id)


@dataclass(frozen=True, slots=True)
class Special:
    """What a tree holds of interest: path -> object id, in tree order."""

    attributes: tuple[tuple[str, str], ...]
    submodules: tuple[tuple[str, str], ...]


class TreeWalker:
    """Finds the special entries of trees; safe to share between threads."""

    def __init__(self) -> None:
        self._memo: dict[bytes, _Found] = {}

    def special(self, pygit: pygit2.Repository, tree: str) -> Special:
        found = self._walk(pygit, bytes.fromhex(tree))
        links = tuple((os.fsdecode(path), oid.hex()) for path, mode, oid in found if mode == _LINK)
        files = tuple((os.fsdecode(path), oid.hex()) for path, mode, oid in found if mode != _LINK)
        return Special(files, links)

    def _walk(self, pygit: pygit2.Repository, root: bytes) -> _Found:
        if len(self._memo) > _MEMO_LIMIT:
            self._memo = {}
        memo = self._memo
        parsed: dict[bytes, list[tuple[bytes, bytes, bytes]]] = {}
        stack = [root]
        while stack:  # not recursive: trees may be deeper than Python's stack
            oid = stack[-1]
            if oid in memo:
                stack.pop()
                continue
            if oid not in parsed:
                parsed[oid] = _interesting(pygit.read(pygit2.Oid(raw=oid))[1])
            missing = [child for _, mode, child in parsed[oid] if mode == _TREE and child not in memo]
            if missing:
                stack += missing
            else:
                memo[oid] = _joined(parsed.pop(oid), memo)
        return memo[root]


def _interesting(data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Subtrees, submodules and attribute files of one raw tree object.

    git ignores a `.gitattributes` that is a symbolic link, and names that no checkout may hold.
    """
    if not any(part in data for part in _SIGNS):  # most trees hold files only: no need to take them apart
        return []
    return [
        (name, mode, oid)
        for mode, name, oid in _ENTRY.findall(data)
        if (mode in (_TREE, _LINK) or (name == b".gitattributes" and mode != _SYMLINK))
        and name.lower() not in (b".", b"..", b".git")
        and b"/" not in name
    ]


def _joined(entries: list[tuple[bytes, bytes, bytes]], memo: dict[bytes, _Found]) -> _Found:
    found: list[tuple[bytes, bytes, bytes]] = []
    for name, mode, oid in entries:
        if mode == _TREE:
            found += [(name + b"/" + path, kind, blob) for path, kind, blob in memo[oid]]
        else:
            found.append((name, mode, oid))
    return tuple(found)
