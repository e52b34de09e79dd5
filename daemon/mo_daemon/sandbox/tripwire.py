"""What a program without a sandbox must not have changed in a repository: looked at before and after.

Raw bytes of the small files that steer git, read without git, and only again where their stamp changed.
Refs are compared by what they mean, so that packing them is no difference.  Whose a difference is cannot be
told from the files alone; `blame` judges that.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mo_daemon.sandbox.view import module_configs

HEAD = "HEAD"
HEAD_LOG = "logs/HEAD"
STASH_LOG = "logs/refs/stash"
_FILES = (
    *(HEAD, "config", "config.worktree", "info/attributes", "info/grafts", "objects/info/alternates"),
    STASH_LOG,
)
_OF_MODULES = ("config", "info/attributes")
_PACKED = "packed-refs"
_INACTIVE = ".sample"  # hooks that git never runs

Stamp = tuple[int, int, int, int, int]  # mode, size, inode, mtime and ctime in ns


@dataclass(frozen=True, slots=True)
class File:
    """A file's bytes (of a link: its target) and its stamp."""

    content: bytes
    stamp: Stamp

    @property
    def meaning(self) -> tuple[int, bytes]:
        """What has to stay equal: type and permissions, and the bytes."""
        return self.stamp[0], self.content

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a repository.

    `refs`: full name -> object id, or `ref: NAME`; `packed` and `loose` are the two places of them.
    `files`: path below the common directory -> file.  `head_log` and `index` are the stamps of the main
    worktree's: whether git moved its HEAD, whether its checkout moved.
    """

    refs: Mapping[str, str]
    files: Mapping[str, File]
    packed: Mapping[str, str]
    loose: Mapping[str, File]
    head_log: Stamp | None
    index: Stamp | None


@dataclass(frozen=True, slots=True)
class Expected:
    """What the daemon did itself.

    `moved`: ref -> the values that the daemon gave it, None where it removed it, oldest first.  `pending`:
    those of them where the last look may not have seen the old value yet.
    """

    moved: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    pending: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be; `name` is a ref (refs/...) or a path below the git directory.

    `before` is what it should hold, `after` what it holds; None: nothing.
    """

    name: str
    before: str | File | None
    after: str | File | None

    @property
    def text(self) -> str:
        """In words, for a person."""
        if self.before is None:
            return f"{self.name} was made"
        return f"{self.name} was {'removed' if self.after is None else 'changed'}"


def take(common_dir: Path, previous: Snapshot | None = None) -> Snapshot:
    """Look now.  Files whose stamp is that of `previous` are not read again."""
    head_log = stamp_of(common_dir / HEAD_LOG)  # git writes it before HEAD
    known = previous.files if previous else {}
    files: dict[str, File] = {}
    for name in _names(common_dir):
        if (found := look(common_dir, name, known.get(name))) is not None:
            files[name] = found
    known = previous.loose if previous else {}
    loose: dict[str, File] = {}
    for name in _loose(common_dir):
        if (found := look(common_dir, name, known.get(name))) is not None:
            loose[name] = found
    # Packing writes the one file before it removes the others: read the other way round, no ref is missed.
    if (found := look(common_dir, _PACKED, (previous.files if previous else {}).get(_PACKED))) is not None:
        files[_PACKED] = found
    packed = _packed(files.get(_PACKED), previous)
    refs = {**packed, **{name: file.text.strip() for name, file in loose.items()}}
    return Snapshot(refs, files, packed, loose, head_log, stamp_of(common_dir / "index"))


def _names(common_dir: Path) -> Iterator[str]:
    yield from _FILES
    yield from _hooks(common_dir, "hooks")
    yield from (f"worktrees/{name}/config.worktree" for name in _entries(common_dir / "worktrees"))
    for config in module_configs(common_dir / "modules"):
        module = str(config.parent.relative_to(common_dir))
        yield from (f"{module}/{name}" for name in _OF_MODULES)
        yield from _hooks(common_dir, f"{module}/hooks")


def _hooks(common_dir: Path, directory: str) -> Iterator[str]:
    for name in _entries(common_dir / directory):
        if not name.endswith(_INACTIVE):
            yield f"{directory}/{name}"


def _entries(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _loose(common_dir: Path) -> Iterator[str]:
    stack = ["refs"]
    root = str(common_dir)
    while stack:
        directory = stack.pop()
        try:
            entries = list(os.scandir(f"{root}/{directory}"))
        except OSError:
            continue
        for entry in entries:
            name = f"{directory}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                stack.append(name)
            elif not name.endswith(".lock"):
                yield name


def _packed(file: File | None, previous: Snapshot | None) -> Mapping[str, str]:
    """Refs of a packed-refs file (gitrepository-layout(5)): `OID NAME`, peeled tags and comments apart."""
    if file is None:
        return {}
    if previous and previous.files.get(_PACKED) is file:
        return previous.packed
    found = {}
    for line in file.text.split("\n"):
        oid, _, name = line.partition(" ")
        if name and line[0] not in "#^":
            found[name] = oid
    return found


def look(common_dir: Path, name: str, known: File | None = None) -> File | None:
    """A file as it is now; `known` itself where its stamp is the same.  None where there is none."""
    path = f"{common_dir}/{name}"
    try:
        stamp = _stamp(os.lstat(path))
        if known is not None and known.stamp == stamp:
            return known
        if stat.S_ISLNK(stamp[0]):
            return File(os.fsencode(os.readlink(path)), stamp)
        return File(_content(path) if stat.S_ISREG(stamp[0]) else b"", stamp)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        return File(b"", stamp)


def _content(path: str) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(handle, 1 << 20):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(handle)


def stamp_of(path: Path) -> Stamp | None:
    try:
        return _stamp(os.lstat(path))
    except OSError:
        return None


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_mode, status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


# -- comparing ----------------------------------------------------------------------------------------


def differences(before: Snapshot, after: Snapshot, expected: Expected = Expected()) -> list[Difference]:
    """What is not as the daemon left it, in order of names: refs, then files."""
    return [*_of_refs(before, after, expected), *_of_files(before, after)]


def _of_refs(before: Snapshot, after: Snapshot, expected: Expected) -> Iterator[Difference]:
    for name in sorted({*before.refs, *after.refs, *expected.moved}):
        old, now = before.refs.get(name), after.refs.get(name)
        given = expected.moved.get(name)
        if given is None:
            if now != old:
                yield Difference(name, old, now)
        elif now not in given and not (now == old and name in expected.pending):
            yield Difference(name, given[-1], now)


def _of_files(before: Snapshot, after: Snapshot) -> Iterator[Difference]:
    for name in sorted({*before.files, *after.files} - {_PACKED}):
        old, new = before.files.get(name), after.files.get(name)
        if (old.meaning if old else None) != (new.meaning if new else None):
            yield Difference(name, old, new)
