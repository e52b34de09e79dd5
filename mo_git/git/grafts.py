"""Trees that differ from a commit's in a few files, made without a checkout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pygit2
from pygit2.enums import FileMode

from mo_git.git.repo import Repo


@dataclass(frozen=True, slots=True)
class File:
    """A file of a tree: its mode (0o100644, 0o100755, 0o120000) and content."""

    mode: int
    content: bytes


def file_of(repo: Repo, commit: str, path: str) -> File | None:
    """A file or symbolic link of a commit; None where there is none, or another kind of entry."""
    try:
        entry = repo.commit(commit).tree[path]
    except KeyError:
        return None
    if not isinstance(entry, pygit2.Blob):
        return None
    return File(int(entry.filemode), entry.data)


def graft(repo: Repo, commit: str, files: Mapping[str, File | None]) -> str:
    """The id of the commit's tree with these files in place of its own; None: the path is not there."""
    index = pygit2.Index()
    index.read_tree(repo.commit(commit).tree)
    for path in files:
        if path in index:
            index.remove(path)
    for path, file in files.items():
        if file is not None:
            blob = repo.pygit.create_blob(file.content)
            index.add(pygit2.IndexEntry(path, blob, FileMode(file.mode)))
    return str(index.write_tree(repo.pygit))
