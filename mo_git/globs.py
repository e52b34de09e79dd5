"""Path patterns that tasks declare in `writes`: what is a bad one, and whether two could meet.  Pure.

A pattern is relative to the repository root: `*`, `?` and `[...]` stay within one path segment, `**` spans
segments, and whatever matches a directory covers all that is below it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

_WILD = re.compile(r"[*?\[]")
_BRACKET = re.compile(r"\[[!^]?\]?[^\]]*\]")


def bad_pattern(pattern: str) -> str:
    """Why the pattern can't be used, or an empty string."""
    segments = pattern.removesuffix("/").split("/")
    reasons = {
        "is empty": not pattern.strip(),
        "has a space at its end": pattern != pattern.strip(),
        "is absolute, write it relative to the repository root": pattern.startswith("/"),
        "starts with ~/, write it relative to the repository root": pattern.startswith("~/"),
        "excludes (!), only what is written can be listed": pattern.startswith("!"),
        "uses git's :(magic), write a plain pattern": pattern.startswith(":"),
        "has a backslash, write / between directories": "\\" in pattern,
        "leaves the repository (..)": ".." in segments,
        "has an empty or . segment (** alone means everything)": bool({"", "."} & set(segments)),
        "has ** inside a segment, write it alone between slashes": any(
            "**" in segment and segment != "**" for segment in segments
        ),
        "has a [ without its ]": any(_open_bracket(segment) for segment in segments),
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def _open_bracket(segment: str) -> bool:
    return "[" in _BRACKET.sub("", segment)


def overlap(one: str, other: str) -> bool:
    """Whether some path could match both patterns.

    In doubt True: `[...]` is taken as "any character", and a wildcard pattern without a slash as matching at
    any depth, as git's ignore files read it.  One thing is guessed: a last segment such as `a.py` or `*.md`,
    with a dot inside and no slash after it, names files and not a directory.
    """
    return _meet(_segments(one), _segments(other), "**", _segments_meet)


@lru_cache(maxsize=4096)
def _segments(pattern: str) -> tuple[str, ...]:
    parts = tuple(part for part in _BRACKET.sub("?", pattern).split("/") if part)
    if len(parts) == 1 and _WILD.search(pattern) and not pattern.endswith("/"):
        parts = ("**", *parts)
    names_files = "." in parts[-1][1:] and not pattern.endswith("/")
    return parts if names_files else (*parts, "**")


def _segments_meet(one: str, other: str) -> bool:
    if not _WILD.search(one) and not _WILD.search(other):
        return one == other
    return _meet(one, other, "*", lambda a, b: a == b or "?" in (a, b))


def _meet(one: Sequence[str], other: Sequence[str], star: str, same: Callable[[str, str], bool]) -> bool:
    """Whether two sequences with wildcards have a common instance; `star` stands for any number of items.

    Dynamic programming over prefixes, time len(one) * len(other): row[j] says whether the part of `one`
    read so far and the first j items of `other` have a common instance.
    """
    row = [True]
    for item in other:
        row.append(row[-1] and item == star)
    for left in one:
        above, row = row, [row[0] and left == star]
        for j, right in enumerate(other):
            if star in (left, right):  # the star stands for nothing, or for the other side's item too
                row.append(above[j + 1] or row[j])
            else:
                row.append(above[j] and same(left, right))
        if not any(row):
            return False
    return row[-1]
