"""A look into a git index file, for what no cheap command tells."""

from __future__ import annotations

import struct
from pathlib import Path

_ASSUME_VALID = 0x8000
_EXTENDED = 0x4000
_SKIP_WORKTREE = 0x4000  # in the extended flags
_INCOMPLETE = (b"link", b"sdir")  # a split index, a sparse one: entries are elsewhere or left out
_FIXED = 62  # bytes of an entry before its path: stat data, a SHA-1 and the flags


def has_hidden_entries(index: Path) -> bool:
    """Whether an index tells git not to look at some files (assume-unchanged, skip-worktree).

    A reset leaves such files as they are.  A split or sparse index counts too, as do a version that is not
    known here and a damaged file.  A missing index hides nothing.  Format: gitformat-index(5).
    """
    try:
        data = index.read_bytes()
    except FileNotFoundError:
        return False
    try:
        magic, version, count = struct.unpack_from(">4sLL", data)
        return magic != b"DIRC" or version not in (2, 3, 4) or _scan(data, version, count)
    except (struct.error, ValueError, IndexError):
        return True


def _scan(data: bytes, version: int, count: int) -> bool:
    at = 12
    for _ in range(count):
        (flags,) = struct.unpack_from(">H", data, at + _FIXED - 2)
        fixed = _FIXED
        if flags & _ASSUME_VALID:
            return True
        if flags & _EXTENDED:
            (extended,) = struct.unpack_from(">H", data, at + _FIXED)
            if extended & _SKIP_WORKTREE:
                return True
            fixed += 2
        if version == 4:
            path = at + fixed
            while data[path] & 0x80:  # a number of variable length: how much of the last path to drop
                path += 1
            at = data.index(b"\0", path + 1) + 1
        else:
            length = data.index(b"\0", at + fixed) - at
            at += (length + 8) & ~7
    while at + 28 <= len(data):  # extensions, then the checksum
        signature, size = struct.unpack_from(">4sL", data, at)
        if signature in _INCOMPLETE:
            return True
        at += 8 + size
    return False
