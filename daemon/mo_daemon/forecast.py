"""Which unfinished tasks will conflict: what to compare, which pairs are worth a merge, what is told.  Pure.

An inverted index finds the pairs that meet at all, and the lines they replace leave most of these out; git
decides about the rest.  A hint for people and for the order of the queue, never a verdict.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from mo_git.goal_status import AT_WORK, GoalStatus
from mo_git.model import TaskState

_CANDIDATES = frozenset({TaskState.CANDIDATE, TaskState.GATING})
# Two changes so few lines apart go to git: its merges align lines in another way than the diff used here.
_MARGIN = 3

Ranges = tuple[tuple[int, int], ...]  # lines of the old text that were replaced: first, end; from 0


@dataclass(frozen=True, slots=True)
class Source:
    """Where the work of a task is: a commit, or else a worktree in which an attempt runs."""

    name: str  # GOAL/TASK
    base: str
    commit: str = ""
    worktree: str = ""
    run: str = ""  # GOAL/TASK#N
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Touch:
    """What became of one path: status (A, M, D, T), blob ids before and after, mode after."""

    status: str
    old: str
    new: str
    mode: int


@dataclass(frozen=True, slots=True)
class Work:
    """What a task has changed so far.  `emptied`: directories that it left nothing in, perhaps renamed."""

    name: str
    base: str
    commit: str
    touched: Mapping[str, Touch]
    emptied: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Coming:
    """A conflict to come: two tasks (GOAL/TASK, sorted) and the files."""

    tasks: tuple[str, str]
    paths: tuple[str, ...]


def unfinished(goals: Iterable[GoalStatus]) -> list[Source]:
    """Where to look: candidates that have not landed, and attempts at work; of goals that go on."""
    found = []
    for goal in goals:
        if goal.ended or goal.started_at is None:
            continue
        for task in goal.tasks.values():
            last = task.attempts[-1] if task.attempts else None
            name, base = f"{goal.id}/{task.spec.id}", last.base if last else goal.integration
            if task.state in _CANDIDATES and task.commit:
                found.append(Source(name, base, task.commit))
            elif task.state in AT_WORK and last:
                run = f"{name}#{last.n}"
                found.append(Source(name, base, worktree=last.worktree, run=run, since=last.started_at))
    return found


def pairs(works: Sequence[Work]) -> list[tuple[Work, Work]]:
    """Those that meet: a path that both touched (a rename touches two), a new file where the other has one
    as a directory, a new file in a directory that the other emptied.
    """
    by_name = {work.name: work for work in works}
    claimed: defaultdict[str, set[str]] = defaultdict(set)
    for work in works:
        for path in (*work.touched, *work.emptied):
            claimed[path].add(work.name)
    found: set[tuple[str, str]] = set()
    for names in claimed.values():
        found.update(combinations(sorted(names), 2))
    for work in works:
        added = [path for path, touch in work.touched.items() if touch.status == "A"]
        for directory in {above for path in added for above in _above(path)} & claimed.keys():
            for other in claimed[directory] - {work.name}:
                found.add((min(work.name, other), max(work.name, other)))
    return [(by_name[one], by_name[other]) for one, other in sorted(found)]


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:size]) for size in range(1, len(parts))]


def may_conflict(one: Work, other: Work, lines: Callable[[str, str], Ranges | None]) -> bool:
    """Whether git has to be asked about a pair.

    `lines(old, new)` are the replaced lines of a blob, None where they cannot be told.
    """
    shared = one.touched.keys() & other.touched.keys()
    if not shared or one.emptied or other.emptied:
        return True
    gone = [path for path in shared if one.touched[path].status == other.touched[path].status == "D"]
    if gone and _adds(one) and _adds(other):
        return True  # perhaps one file renamed in two ways
    return any(_meet(one.touched[path], other.touched[path], lines) for path in shared)


def _adds(work: Work) -> bool:
    return any(touch.status == "A" for touch in work.touched.values())


def _meet(one: Touch, other: Touch, lines: Callable[[str, str], Ranges | None]) -> bool:
    if (one.new, one.mode) == (other.new, other.mode):
        return False
    if one.status != "M" or other.status != "M" or one.old != other.old:
        return True
    mine, yours = lines(one.old, one.new), lines(other.old, other.new)
    if mine is None or yours is None:
        return True
    return any(
        first <= end_of_other + _MARGIN and first_of_other <= end + _MARGIN
        for first, end in mine
        for first_of_other, end_of_other in yours
    )


def told(one: Work, other: Work, conflicts: Sequence[str]) -> tuple[str, ...]:
    """The paths of git's conflicts that are between these two.

    On different bases one side also brings what landed in between: then only paths that both touched count.
    """
    if one.base == other.base:
        return tuple(conflicts)
    return tuple(path for path in conflicts if path in one.touched and path in other.touched)


def counts(coming: Iterable[Coming]) -> dict[str, int]:
    """GOAL/TASK -> with how many others it will conflict; for the order of a queue."""
    found: defaultdict[str, int] = defaultdict(int)
    for conflict in coming:
        for name in conflict.tasks:
            found[name] += 1
    return dict(found)


def still(coming: Iterable[Coming], sources: Iterable[Source]) -> tuple[Coming, ...]:
    """Those of which both tasks are unfinished."""
    names = {source.name for source in sources}
    return tuple(conflict for conflict in coming if names.issuperset(conflict.tasks))
