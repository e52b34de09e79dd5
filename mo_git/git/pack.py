"""Many small objects written at once.

libgit2 waits for the disk twice for each object.  `git unpack-objects` gets all of them as one pack
(gitformat-pack(5)) and waits once.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Mapping

from mo_git.git.binary import Git

TREE, BLOB = 0o040000, 0o100644
Entries = Mapping[bytes, tuple[int, str]]  # name -> (mode, object id)

_KINDS = {"tree": 2, "blob": 3}


class Objects:
    """Objects that wait to be written together.  Adding the same one twice is fine."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, bytes]] = {}

    def blob(self, data: bytes) -> str:
        """The id that the blob will have."""
        return self._add("blob", data)

    def tree(self, entries: Entries) -> str:
        """The id that the tree will have; git sorts a directory as if its name ended in a slash."""
        ordered = sorted(entries.items(), key=lambda entry: entry[0] + (b"/" if entry[1][0] == TREE else b""))
        lines = (b"%o %s\0" % (mode, name) + bytes.fromhex(oid) for name, (mode, oid) in ordered)
        return self._add("tree", b"".join(lines))

    def _add(self, kind: str, data: bytes) -> str:
        oid = hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()
        self._found[oid] = kind, data
        return oid

    def write(self, git: Git) -> None:
        """Put them into the repository; they are on the disk when this returns."""
        if self._found:
            git("unpack-objects", "-q", stdin=_pack(self._found.values()))


def _pack(objects: Iterable[tuple[str, bytes]]) -> bytes:
    entries = [_header(_KINDS[kind], len(data)) + zlib.compress(data, 1) for kind, data in objects]
    pack = b"PACK" + struct.pack(">II", 2, len(entries)) + b"".join(entries)
    return pack + hashlib.sha1(pack, usedforsecurity=False).digest()


def _header(kind: int, size: int) -> bytes:
    """Kind and size in bytes of seven bits, the first with four of the size; the high bit: more follow."""
    first, size = kind << 4 | size & 15, size >> 4
    found = [first]
    while size:
        found[-1] |= 0x80
        found.append(size & 0x7F)
        size >>= 7
    return bytes(found)
