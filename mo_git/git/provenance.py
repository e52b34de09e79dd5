"""Where a commit came from: trailers in its message, and notes beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pygit2

from mo_git.errors import MoError
from mo_git.git import pack, refs
from mo_git.git.repo import Repo

_TRAILER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*): *(.*)")
_TRIES = 20


def message(title: str, body: str = "", trailers: Mapping[str, str] | None = None) -> str:
    """A commit message: one line of title, the body, a last paragraph of trailers."""
    lines = [f"{key}: {' '.join(value.split())}" for key, value in (trailers or {}).items() if value.strip()]
    paragraphs = [" ".join(title.split()) or "(no title)", body.strip(), "\n".join(lines)]
    return "\n\n".join(part for part in paragraphs if part) + "\n"


def trailers(repo: Repo, commit: str) -> dict[str, str]:
    """The trailers of a commit; {} when its last paragraph is something else, or is the title."""
    text = repo.commit(commit).raw_message.decode("utf-8", "replace")
    paragraphs = re.split(r"\n[ \t]*\n", text.strip())
    found: dict[str, str] = {}
    key = ""
    for line in paragraphs[-1].split("\n") if len(paragraphs) > 1 else ():
        if key and line[:1] in (" ", "\t"):  # folded, as in mail headers
            found[key] += f" {line.strip()}"
        elif match := _TRAILER.fullmatch(line):
            key = match[1]
            found[key] = match[2].strip()
        else:
            return {}
    return found


def add_notes(repo: Repo, notes: Mapping[str, str], ref: str = "refs/notes/mo") -> None:
    """Set the notes of many commits in one commit of the notes ref; earlier notes of theirs are replaced.

    Written as git-notes(1) lays them out: one directory level, or whatever an existing note uses.
    """
    if not notes:
        return
    for _ in range(_TRIES):
        old = refs.read(repo, ref)
        tree = _with_notes(repo, old, notes)
        if old is not None and repo.tree_of(old) == tree:
            return
        parents = [] if old is None else [old]
        commit = repo.commit_tree(
            tree, parents, "Notes added by mo\n", when=repo.newest_time(*notes, *parents)
        )
        if refs.swap(repo, ref, commit, old, "notes by mo"):
            return
    raise MoError(f"cannot write {ref}: something else keeps changing it")


def _with_notes(repo: Repo, old: str | None, notes: Mapping[str, str]) -> str:
    root = repo.commit(old).tree if old is not None else None
    new = pack.Objects()
    by_name = {commit.encode(): new.blob(text.encode("utf-8", "replace")) for commit, text in notes.items()}
    tree = _inserted(repo.pygit, new, root, by_name, top=True)
    new.write(repo.git)
    return tree


def _inserted(
    pygit: pygit2.Repository,
    new: pack.Objects,
    tree: pygit2.Tree | None,
    notes: Mapping[bytes, str],
    *,
    top: bool = False,
) -> str:
    """A notes tree with notes put in; names are what is left of the commit ids at this level."""
    entries = {entry.raw_name or b"": (int(entry.filemode), str(entry.id)) for entry in tree or ()}
    deeper: dict[bytes, dict[bytes, str]] = {}
    for name, blob in notes.items():
        if (top and name not in entries) or entries.get(name[:2], (0, ""))[0] == pack.TREE:
            deeper.setdefault(name[:2], {})[name[2:]] = blob
        else:
            entries[name] = pack.BLOB, blob
    for prefix, below in deeper.items():
        subtree = pygit[entries[prefix][1]] if prefix in entries else None
        assert subtree is None or isinstance(subtree, pygit2.Tree)
        entries[prefix] = pack.TREE, _inserted(pygit, new, subtree, below)
    return new.tree(entries)
