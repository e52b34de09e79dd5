"""Whether a resolution of a conflict silently drops what one side brought.  Pure.

A line that only one side added, relative to the merge base, has to be in the result: in the same file or,
moved, in another.  Free are lines that both sides changed, for there the resolution has to decide.  Spaces do
not count, nor do lines without a letter or digit; a line may be adapted, if what stands in its place is new
and much like it.

Which base lines a side changed comes from a line diff (Python's difflib: Ratcliff and Obershelp's matching).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

ALIKE = 0.6  # difflib ratio from which a new line counts as the adapted form of a missing one
Change = tuple[str, int, int, int, int]  # one of difflib's opcodes: what, from and to in base and side
LONG = 200  # lines from which exactness costs too much time


@dataclass(frozen=True, slots=True)
class Loss:
    """A line (spaces squeezed) that a side added and the resolution lacks; `side` is ours or theirs."""

    side: str
    line: str


def losses(
    base: Sequence[str],
    ours: Sequence[str],
    theirs: Sequence[str],
    result: Sequence[str],
    elsewhere: Iterable[str] = (),
) -> list[Loss]:
    """What is missing in `result`, each missing line once, in the order of its side.

    All are lines of one file, without their ends; a file that a side does not have is an empty list.
    `elsewhere` are lines that the resolution added to other files: a line may have moved there.
    """
    old, mine, other, new = (_plain(lines) for lines in (base, ours, theirs, result))
    counts = Counter(old), Counter(mine), Counter(other)
    have = Counter(new) + Counter(_plain(elsewhere))
    spare = [line for line in dict.fromkeys(new) if not any(line in count for count in counts)]
    found = []
    ours_did, theirs_did = _changes(old, mine), _changes(old, other)
    sides = (("ours", mine, ours_did, theirs_did), ("theirs", other, theirs_did, ours_did))
    for side, here, did, others_did in sides:
        added = _added(old, here, did, _touched(others_did))
        for line in dict.fromkeys(added):
            wanted = _wanted(line, counts, side)
            if wanted and have[line] < wanted and not _adapted(line, spare):
                found.append(Loss(side, line))
    return found


def _plain(lines: Iterable[str]) -> list[str]:
    """Lines that say something, their spaces squeezed."""
    squeezed = (" ".join(line.split()) for line in lines)
    return [line for line in squeezed if any(character.isalnum() for character in line)]


def _wanted(line: str, counts: tuple[Counter[str], Counter[str], Counter[str]], side: str) -> int:
    """How often the line has to be there; 0 where the other side added it, too, or it only moved."""
    base, ours, theirs = (count[line] for count in counts)
    mine, other = (ours, theirs) if side == "ours" else (theirs, ours)
    if mine <= base or other > base:
        return 0
    return mine + other - base


def _touched(changes: Sequence[Change]) -> set[int]:
    """Places in the base that a side changed or removed."""
    return {
        place
        for tag, start, end, _, _ in changes
        if tag in ("replace", "delete")
        for place in range(start, end)
    }


def _changes(base: Sequence[str], side: Sequence[str]) -> list[Change]:
    """difflib's opcodes, without the equal lines at both ends: those are most of a big file."""
    least = min(len(base), len(side))
    head = next((n for n in range(least) if base[n] != side[n]), least)
    tail = next((n for n in range(least - head) if base[-1 - n] != side[-1 - n]), least - head)
    old, new = base[head : len(base) - tail], side[head : len(side) - tail]
    found = SequenceMatcher(None, old, new, autojunk=len(old) > LONG).get_opcodes()
    return [(tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in found]


def _added(
    base: Sequence[str], side: Sequence[str], changes: Sequence[Change], touched: set[int]
) -> list[str]:
    """The lines of a side that are new and do not stand for a base line that the other side touched."""
    found: list[str] = []
    for tag, start, end, first, last in changes:
        if tag not in ("insert", "replace"):
            continue
        lines = list(side[first:last])
        for place in range(start, end):
            if place in touched and lines:
                lines.remove(_nearest(base[place], lines))
        found += lines
    return found


def _adapted(line: str, spare: list[str]) -> bool:
    """Whether a new line stands in its place; each new line can do that for one."""
    best = _nearest(line, spare) if spare else ""
    if best and _likeness(line, best) >= ALIKE:
        spare.remove(best)
        return True
    return False


def _nearest(line: str, among: Sequence[str]) -> str:
    """The most similar of these lines; of very many, only the first ones are looked at."""
    if len(among) == 1:
        return among[0]
    return max(among[:LONG], key=lambda other: _likeness(line, other))


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()
