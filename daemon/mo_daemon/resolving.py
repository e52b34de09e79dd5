"""Resolving a conflict in an attempt: the merge laid out with its markers, and a look at what came of it.

The worktree starts at the integration head.  Files that a command rebuilds are taken from there; an agent
gets the rest, both sides' tasks and the merge base.  Its resolution counts only without markers, within what
the two sides touched, and without losing a line that one side alone added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mo_daemon import harvest, scope
from mo_daemon.briefing import checked_by, documents, instructions, rework, shown, taught
from mo_daemon.harvest import AttemptFailed
from mo_daemon.prompts import data_block, fill
from mo_daemon.silent_loss import losses
from mo_git.errors import MoError
from mo_git.git.binary import Git
from mo_git.git.merge import Merge, Merger
from mo_git.git.repo import Repo
from mo_git.git.snapshot import Snapshot
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.model import Command, FailureClass, TaskSpec

_LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}
_MARKER = re.compile(r"(<<<<<<<|\|\|\|\|\|\|\||>>>>>>>)( |$)")
_MIDDLE = "======="
_SHOWN = 3  # lines that a refusal quotes


@dataclass(frozen=True, slots=True)
class Conflict:
    """A candidate that does not merge into `head`, as an attempt resolves it.

    `tree` is the merge with markers in it, `paths` what an agent resolves, `rebuilt` what commands rebuild;
    both are empty where it merges by now.  `base` is the merge base of the two.
    """

    head: str
    commit: str
    base: str
    tree: str
    said: tuple[str, ...] = ()  # git's own words about it
    paths: tuple[str, ...] = ()
    rebuilt: Mapping[str, Command] = field(default_factory=dict)


def look(
    repo: Repo, merger: Merger, head: str, commit: str, commands: Mapping[str, Command], *, by_agent: bool
) -> Conflict:
    """The conflict as it is now: the head may have moved since it was met.

    `by_agent`: an agent is to resolve it, by hand also where a command did not rebuild all there is.
    """
    base = repo.merge_base(head, commit)
    merge = merger.merge(head, commit)
    tree = merge.tree or merge.marked
    if base is None or not tree:
        raise MoError(f"{commit[:10]} and {head[:10]} have no common history")
    rebuilt = rebuilders(merge.conflicts, commands)
    if by_agent and len(rebuilt) == len(merge.conflicts):
        rebuilt = {}
    paths = tuple(path for path in merge.conflicts if path not in rebuilt)
    return Conflict(head, commit, base, tree, merge.messages, paths, rebuilt)


def rebuilders(paths: Sequence[str], commands: Mapping[str, Command]) -> dict[str, Command]:
    """Path -> the command of the first pattern that covers it (`[converge.regenerate]`)."""
    found: dict[str, Command] = {}
    for pattern, command in commands.items():
        for path in scope.matching(paths, [pattern]):
            found.setdefault(path, command)
    return found


def by_lines(repo: Repo, merge: Merge, head: str, commit: str) -> bool:
    """Whether every file in conflict is text on both sides, so that its lines can be merged."""
    contents = [repo.file(rev, path) for path in merge.conflicts for rev in (head, commit)]
    return bool(merge.marked) and not any(b"\0" in (data or b"")[:8000] for data in contents)


def lay_out(conflict: Conflict, worktree: Path) -> None:
    """Put the merge into a worktree that stands at the head; files to rebuild as the head has them."""
    slot = Git(worktree, env=_LITERAL)
    slot("read-tree", "--reset", "-u", conflict.tree)
    for path in conflict.rebuilt:
        known = slot("cat-file", "-e", f"{conflict.head}:{path}", check=False).code == 0
        if known:
            slot("checkout", conflict.head, "--", path)
        else:
            slot("rm", "-q", "-f", "--", path)


# -- what the agent is told ---------------------------------------------------------------------------


def brief(
    template: str,
    repo: Repo,
    conflict: Conflict,
    goal: GoalStatus,
    task: TaskStatus,
    team: Mapping[str, str],
    log: str,
    lessons: str,
) -> str:
    """The prompt of an agent that resolves a conflict."""
    assert task.resolve is not None
    landed = "".join(_intent(goal.tasks[name].spec) for name in task.resolve["with"])
    files = "".join(
        data_block(
            f"{path}, as git left it", (repo.file(conflict.tree, path) or b"").decode("utf-8", "replace")
        )
        for path in conflict.paths
    )
    values = {
        "title": task.spec.title or task.spec.id,
        "paths": "".join(f"- {path}\n" for path in conflict.paths),
        "ours": landed or "\nIt came with the target branch; git log says what it is.\n",
        "theirs": _intent(task.spec),
        "said": data_block("what git said", "\n".join(conflict.said)) if conflict.said else "",
        "files": files,
        "base": conflict.base,
        "head": conflict.head,
        "commit": conflict.commit,
        "check": checked_by(task.spec),
        "rework": rework(task, log, goes_on=False),
        "instructions": instructions(team),
        "lessons": taught(lessons),
        "documents": documents(goal.spec.documents),
    }
    return fill(template, values)


def _intent(spec: TaskSpec) -> str:
    said = spec.prompt if spec.by_agent else spec.from_ref or shown(spec.run or ())
    return data_block(f"the task {spec.id}", "\n\n".join(filter(None, (spec.title, said))))


# -- what came of it ----------------------------------------------------------------------------------


def accept(repo: Repo, conflict: Conflict, found: Snapshot, spec: TaskSpec, max_file_bytes: int) -> None:
    """Raise AttemptFailed for a resolution that is not to be trusted; class CONFLICT where it loses lines."""
    harvest.refuse(repo, conflict.head, found, replace(spec, writes=None), max_file_bytes)
    for path in (*conflict.paths, *conflict.rebuilt):
        if _has_markers(repo, conflict, found.tree, path):
            raise AttemptFailed(FailureClass.INVALID_OUTPUT, f"{path}: conflict markers are left in it")
    changed = repo.changed_paths(conflict.tree, found.tree)
    expected = {
        *conflict.paths,
        *conflict.rebuilt,
        *repo.changed_paths(conflict.base, conflict.head),
        *repo.changed_paths(conflict.base, conflict.commit),
    }
    if beyond := [path for path in changed if path not in expected]:
        reason = "the resolution changes what neither side touched: " + ", ".join(beyond[:5])
        raise AttemptFailed(FailureClass.SCOPE, reason)
    if reason := _dropped(repo, conflict, found.tree, changed):
        raise AttemptFailed(FailureClass.CONFLICT, reason)


def _has_markers(repo: Repo, conflict: Conflict, tree: str, path: str) -> bool:
    """A line of ======= may be a heading: it counts where there are more of them than a side has."""
    left, ours, theirs = (_lines(repo, rev, path) for rev in (tree, conflict.head, conflict.commit))
    known = {*ours, *theirs}
    if any(_MARKER.match(line) and line not in known for line in left):
        return True
    return left.count(_MIDDLE) > ours.count(_MIDDLE) + theirs.count(_MIDDLE)


def _dropped(repo: Repo, conflict: Conflict, tree: str, changed: Sequence[str]) -> str:
    """Which lines of which side a resolution lost, in words; empty: none."""
    said = []
    for path in conflict.paths:
        moved = [
            line
            for other in changed
            if other != path
            for line in _new_lines(repo, conflict.tree, tree, other)
        ]
        three = (_lines(repo, rev, path) for rev in (conflict.base, conflict.head, conflict.commit))
        base, ours, theirs = three
        lost = losses(base, ours, theirs, _lines(repo, tree, path), moved)
        for side, owner in (("ours", "what has landed"), ("theirs", "this task")):
            lines = [loss.line for loss in lost if loss.side == side]
            if lines:
                more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
                quoted = ", ".join(f"{line[:80]!r}" for line in lines[:_SHOWN])
                said.append(f"{path} loses lines of {owner}: {quoted}{more}")
    return "; ".join(said)


def _lines(repo: Repo, rev: str, path: str) -> list[str]:
    return (repo.file(rev, path) or b"").decode("utf-8", "surrogateescape").splitlines()


def _new_lines(repo: Repo, before: str, after: str, path: str) -> list[str]:
    known = set(_lines(repo, before, path))
    return [line for line in _lines(repo, after, path) if line not in known]
