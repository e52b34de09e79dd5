"""How much of a diff is in which file."""

from __future__ import annotations

from dataclasses import dataclass

from unidiff.patch import PatchedFile, PatchSet


@dataclass(frozen=True, slots=True)
class FileChange:
    """`change`: added | removed | renamed | modified; lines are 0 for what is `binary`."""

    path: str
    change: str
    added: int
    removed: int
    binary: bool


def statistics(patch: str) -> list[FileChange]:
    """The files of a unified diff, in its order."""
    return [
        FileChange(file.path, _change(file), file.added, file.removed, bool(file.is_binary_file))
        for file in PatchSet(patch)
    ]


def _change(file: PatchedFile) -> str:
    if file.is_added_file:
        return "added"
    if file.is_removed_file:
        return "removed"
    return "renamed" if file.is_rename else "modified"
