"""What an attempt without a sandbox must not have changed in a repository: looked at before and after.

Raw bytes of the small files that steer git, read without git.  Refs are compared by what they mean, so
that packing them is no difference.  Whether the user or a program made a difference cannot be told from
the files; what the daemon itself did is taken out by `Expected`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mo_daemon.sandbox.view import module_configs
from mo_git.git.binary import Git

_FILES = (
    *("HEAD", "config", "config.worktree", "shallow", "info/attributes", "info/exclude", "info/grafts"),
    *("info/sparse-checkout", "objects/info/alternates", "logs/refs/stash"),
)
_OF_WORKTREES = ("HEAD", "gitdir", "commondir", "locked", "config.worktree")
_OF_MODULES = ("HEAD", "config", "info/attributes")
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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a repository.

    `refs`: full name -> object id, or `ref: NAME`; `packed` those in packed-refs.  `files`: path below the
    common directory -> file.  `indexes`: worktree ("" for the main one) -> stamp of its index, which tells
    whether its checkout moved.
    """

    refs: Mapping[str, str]
    files: Mapping[str, File]
    indexes: Mapping[str, Stamp]
    packed: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the daemon knows of.

    `moved`: ref -> the last value that the daemon gave it, None where it removed it.  `free`: refs that
    may hold anything, such as the task's own branch; a name that ends with a slash stands for all below it.
    `worktrees`: names of worktrees that the daemon works on.
    """

    moved: Mapping[str, str | None] = field(default_factory=dict)
    free: Collection[str] = ()
    worktrees: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be; `name` is a ref (refs/...) or a path below the git directory.

    `before` is what it should hold, `after` what it holds; None: nothing.  `moved_checkout`: the worktree
    that shows this ref, or whose HEAD this is, has changed as well.
    """

    name: str
    before: str | File | None
    after: str | File | None
    moved_checkout: bool = False

    @property
    def text(self) -> str:
        """In words, for a person."""
        if self.before is None:
            return f"{self.name} was made"
        return f"{self.name} was {'removed' if self.after is None else 'changed'}"


def take(common_dir: Path, previous: Snapshot | None = None) -> Snapshot:
    """Look now.  Files whose stamp is that of `previous` are not read again."""
    known = previous.files if previous else {}
    files: dict[str, File] = {}
    for name in _names(common_dir):
        if (found := look(common_dir, name, known.get(name))) is not None:
            files[name] = found
    packed = _packed(files.get(_PACKED), previous)
    refs = dict(packed)
    for name in _loose(common_dir):
        if (found := look(common_dir, name)) is not None:
            refs[name] = found.content.decode("utf-8", "surrogateescape").strip()
    return Snapshot(refs, files, dict(_indexes(common_dir)), packed)


def _names(common_dir: Path) -> Iterator[str]:
    yield from (*_FILES, _PACKED)
    yield from _hooks(common_dir, "hooks")
    for worktree in _entries(common_dir / "worktrees"):
        yield from (f"worktrees/{worktree}/{name}" for name in _OF_WORKTREES)
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
    for line in file.content.decode("utf-8", "surrogateescape").split("\n"):
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


def _content(path: str) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(handle, 1 << 20):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(handle)


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_mode, status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def _indexes(common_dir: Path) -> Iterator[tuple[str, Stamp]]:
    places = {"": "index"} | {name: f"worktrees/{name}/index" for name in _entries(common_dir / "worktrees")}
    for worktree, name in places.items():
        if (stamp := _stamp_of(common_dir / name)) is not None:
            yield worktree, stamp


# -- comparing ----------------------------------------------------------------------------------------


def differences(before: Snapshot, after: Snapshot, expected: Expected = Expected()) -> list[Difference]:
    """What is not as the daemon left it, in order of names: refs, then files."""
    return [*_of_refs(before, after, expected), *_of_files(before, after, expected)]


def _of_refs(before: Snapshot, after: Snapshot, expected: Expected) -> Iterator[Difference]:
    moved = _moved_worktrees(before, after)
    shown = {_branch(snapshot, worktree) for snapshot in (before, after) for worktree in moved}
    for name in sorted({*before.refs, *after.refs}):
        now = after.refs.get(name)
        wanted = expected.moved.get(name, before.refs.get(name))
        if now not in (before.refs.get(name), wanted) and not _is_free(name, expected.free):
            yield Difference(name, wanted, now, name in shown)


def _is_free(name: str, free: Collection[str]) -> bool:
    return name in free or any(name.startswith(prefix) for prefix in free if prefix.endswith("/"))


def _of_files(before: Snapshot, after: Snapshot, expected: Expected) -> Iterator[Difference]:
    moved = _moved_worktrees(before, after)
    for name in sorted({*before.files, *after.files} - {_PACKED}):
        old, new = before.files.get(name), after.files.get(name)
        if (old.meaning if old else None) == (new.meaning if new else None):
            continue
        parts = name.split("/")
        worktree = parts[1] if parts[0] == "worktrees" else ""
        if not worktree or worktree not in expected.worktrees:
            yield Difference(name, old, new, parts[-1] == "HEAD" and worktree in moved)


def _moved_worktrees(before: Snapshot, after: Snapshot) -> set[str]:
    names = {*before.indexes, *after.indexes}
    return {name for name in names if before.indexes.get(name) != after.indexes.get(name)}


def _branch(snapshot: Snapshot, worktree: str) -> str:
    head = snapshot.files.get(f"worktrees/{worktree}/HEAD" if worktree else "HEAD")
    return head.content.decode("utf-8", "surrogateescape").removeprefix("ref: ").strip() if head else ""


# -- the user's checkout ------------------------------------------------------------------------------


def checkout(main_top: Path) -> Mapping[str, Stamp | None]:
    """Path -> stamp (None: removed) of everything in a checkout that differs from its HEAD.

    For a report only: the user works there.  Asks git, so look at the config first: filters that it names
    are run.
    """
    listed = Git(main_top)("status", "--porcelain", "-z", "--no-renames", "--ignore-submodules=all").out
    names = [os.fsdecode(item[3:]) for item in listed.split(b"\0") if item]
    return {name: _stamp_of(main_top / name) for name in names}


def _stamp_of(path: Path) -> Stamp | None:
    try:
        return _stamp(os.lstat(path))
    except OSError:
        return None
