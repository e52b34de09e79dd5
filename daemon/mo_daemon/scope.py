"""Which paths a list of patterns covers: a task's `writes`, and `.worktreeinclude`.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pathspec import GitIgnoreSpec

_WILD = re.compile(r"[*?\[]")


def outside(paths: Iterable[str], writes: Sequence[str]) -> list[str]:
    """The paths that no pattern of `writes` covers, in their order; no patterns: all of them.

    Patterns are read as git's ignore files read them, with one difference that people expect of a list of
    places: a name without a wildcard is the one at the repository's root, not one at any depth.
    """
    spec = GitIgnoreSpec.from_lines([_from_root(pattern) for pattern in writes])
    return [path for path in paths if not spec.match_file(path)]


def matching(paths: Iterable[str], ignore_lines: Sequence[str]) -> list[str]:
    """The paths that lines in the syntax of `.gitignore` match; a directory's path ends with a slash."""
    spec = GitIgnoreSpec.from_lines(ignore_lines)
    return [path for path in paths if spec.match_file(path)]


def _from_root(pattern: str) -> str:
    inner = pattern.removesuffix("/")
    floats = "/" not in inner and _WILD.search(inner) and not pattern.endswith("/")
    if floats:
        return "\\" + pattern if pattern.startswith("#") else pattern  # not a comment here
    return "/" + pattern.removeprefix("/")
