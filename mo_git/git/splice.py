"""A change of few files put into another tree, in memory: only the trees above these files are written anew.

Where the other tree has them as the change found them, a three-way merge has nothing to decide, and this is
its result.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pygit2

from mo_git.git.files import write_loose
from mo_git.git.repo import Change, Repo

_ENTRY = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)
_TREE = b"40000"
_NOBODY = "0" * 40
_Entries = dict[bytes, tuple[bytes, bytes]]  # name -> (mode, id)


class _Touched(Exception):
    """The tree has something else there."""


def splice(repo: Repo, tree: str, changes: Sequence[Change]) -> str | None:
    """`tree` with these changes; None where one of their paths is not there as the change found it.

    The objects are not waited for (see `settle`).  Format: "tree" in git's documentation of its objects.
    """
    wanted = {os.fsencode(change.path): change for change in changes}
    try:
        made = _rewritten(repo, tree, wanted)
    except _Touched:
        return None
    return made or write_loose(repo.common_dir / "objects", "tree", b"")


def _rewritten(repo: Repo, tree: str, changes: Mapping[bytes, Change]) -> str:
    """The id of the changed tree; empty where nothing is left in it.

    What goes makes room first: a file may become a directory, and a directory a file.
    """
    entries = _entries(repo, tree)
    below: dict[bytes, dict[bytes, Change]] = defaultdict(dict)
    here: dict[bytes, Change] = {}
    for path, change in changes.items():
        name, slash, rest = path.partition(b"/")
        if slash:
            below[name][rest] = change
        else:
            here[name] = change
    gone = {name: change for name, change in here.items() if change.status == "D"}
    for name, change in gone.items():
        _put(entries, name, change)
    for name, inner in below.items():
        mode, oid = entries.get(name, (_TREE, b""))
        if mode != _TREE:
            raise _Touched
        made = _rewritten(repo, oid.hex(), inner)
        if made:
            entries[name] = (_TREE, bytes.fromhex(made))
        else:
            entries.pop(name, None)
    for name in here.keys() - gone.keys():
        _put(entries, name, here[name])
    return write_loose(repo.common_dir / "objects", "tree", _raw(entries)) if entries else ""


def _put(entries: _Entries, name: bytes, change: Change) -> None:
    _, found = entries.get(name, (b"", b""))
    if found != (b"" if change.old == _NOBODY else bytes.fromhex(change.old)):
        raise _Touched
    if change.status == "D":
        del entries[name]
    else:
        entries[name] = (b"%o" % change.mode, bytes.fromhex(change.new))


def _entries(repo: Repo, tree: str) -> _Entries:
    if not tree:
        return {}
    raw = repo.pygit.read(pygit2.Oid(hex=tree))[1]
    return {name: (mode, oid) for mode, name, oid in _ENTRY.findall(raw)}


def _raw(entries: _Entries) -> bytes:
    """In git's order: a directory sorts as if its name ended in a slash."""
    ordered = sorted(entries.items(), key=lambda one: one[0] + b"/" if one[1][0] == _TREE else one[0])
    return b"".join(b"%b %b\0%b" % (mode, name, oid) for name, (mode, oid) in ordered)
