"""A compact, bounded picture of a repository for planner and verifier: tree, languages, gate, recent history.

Read from git objects of one commit, so the same commit gives the same map.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mo_git.git.binary import Git

TREE_LINES = 200
HISTORY = 15


def repo_map(top: Path, commit: str, gate: str) -> str:
    """The map as text, at most some 12,000 characters."""
    git = Git(top)
    paths = [path for path in git("ls-tree", "-r", "-z", "--name-only", commit).text.split("\0") if path]
    history = git.text("log", f"-{HISTORY}", "--format=%h %s", commit)
    parts = [
        f"{len(paths)} files: {_languages(paths)}",
        f"Tests (the gate): {gate or 'none found'}",
        "Directories and files:\n" + _tree(paths),
        "Recent commits:\n" + "\n".join(line[:120] for line in history.splitlines()),
    ]
    return "\n\n".join(parts)


def _languages(paths: Sequence[str]) -> str:
    counts = Counter(PurePosixPath(path).suffix or "(no suffix)" for path in paths)
    return ", ".join(f"{suffix} {count}" for suffix, count in counts.most_common(8))


def _tree(paths: Sequence[str]) -> str:
    """All files where they are few; else directories with counts, the fullest depth that fits."""
    if len(paths) <= TREE_LINES:
        return "\n".join(paths)
    for depth in range(6, 0, -1):
        counts = Counter("/".join(path.split("/")[:depth]) for path in paths)
        if len(counts) <= TREE_LINES:
            break
    lines = [f"{name}/ ({count} files)" if count > 1 else name for name, count in sorted(counts.items())]
    return "\n".join(lines[:TREE_LINES])
