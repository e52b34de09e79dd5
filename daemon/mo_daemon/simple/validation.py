"""What an item left, from the cheapest look to the dearest; the first thing that is wrong ends it.

`look` reads contents from git and blocks; `verify` runs commands.  A failure's evidence names the step in
`check`, and its reason begins with it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NoReturn

from mo_daemon import harvest, scope
from mo_daemon.harvest import AttemptFailed
from mo_daemon.services import last_line
from mo_daemon.simple import commands, syntax
from mo_daemon.simple.examiner import Examiner, TooHard
from mo_git.config import Config
from mo_git.git.repo import Change, Repo
from mo_git.git.snapshot import problems
from mo_git.model import Command, FailureClass
from mo_git.process import Ending
from mo_git.simple.item import Item
from mo_git.text import duration, one_line

SYNTAX_LIMIT = 4 * 2**20  # bytes; larger files are not parsed
_REGULAR = frozenset({0o100644, 0o100755})
_SHOWN = 5  # paths in a reason
_REASON = 600  # characters

# Runs an argv for one path (its MO_TARGET) to its end, within `simple.verify_timeout`.
Run = Callable[[tuple[str, ...], str], Awaitable[Ending]]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say about every item; `checkers`: extension -> command, empty: not checked."""

    max_file_bytes: int
    syntax: bool = True
    checkers: Mapping[str, Command] = field(default_factory=dict)


def rules_of(settings: Config) -> Rules:
    simple = settings.simple
    return Rules(int(settings.limits.max_file_mb * 2**20), simple.syntax, simple.syntax_checkers)


def look(
    repo: Repo,
    base: str,
    tree: str,
    statuses: Mapping[str, str],
    item: Item,
    rules: Rules,
    examiner: Examiner,
) -> None:
    """Raise AttemptFailed for what does not become the item's commit.

    `statuses` are the paths that differ between `base` and `tree`, at least one, as in `Snapshot`.
    """
    _places(statuses, item)
    if item.by_agent:
        gone = [target for target in item.targets if not _is_all(target) and not repo.has_path(tree, target)]
        if gone:
            _fail("target_missing", FailureClass.SCOPE, f"{_listed(gone)} does not exist any more")
    changes = repo.changes_at(base, tree, statuses)
    if trouble := problems(repo, base, tree, statuses, max_file_bytes=rules.max_file_bytes, changes=changes):
        _fail(trouble[0].kind, *harvest.summary(trouble))
    if rules.syntax:
        _parse(repo, changes, rules, examiner)
    if item.require_patterns:
        _search(repo, changes, item, examiner)


async def verify(
    item: Item, job: Sequence[Command], run: Run, log: Path, files: Sequence[tuple[str, Command]] = ()
) -> None:
    """Run the commands that check an item: those for its `files`, its own, then the `job`'s.

    `run` appends what they print to `log`.
    """
    for path, command in files:
        ending = await run(commands.of_file(command, path), path)
        _judge("syntax", FailureClass.INVALID_OUTPUT, path, ending, log)
    target = item.targets[0] if item.targets else ""
    for command in (*item.verify_commands, *job):
        ending = await run(commands.of_item(command, item.targets), target)
        shown = command if isinstance(command, str) else " ".join(command)
        _judge("verify", FailureClass.CHECK_FAILED, one_line(shown, 80), ending, log)


def checked_by_command(statuses: Mapping[str, str], rules: Rules) -> list[tuple[str, Command]]:
    """The files among what changed that commands of the settings check, with these; for `verify`."""
    if not rules.syntax:
        return []
    paths = sorted(path for path, status in statuses.items() if status != "D")
    return [(path, command) for path in paths if (command := _checker(path, rules))]


# -- places ---------------------------------------------------------------------------------------------


def _places(statuses: Mapping[str, str], item: Item) -> None:
    """Only targets and allowed side files; an item that names neither may change anything."""
    if not item.targets and not item.allowed_side_files:
        return
    beside = [path for path in statuses if not is_target(path, item)]
    if beside and item.allowed_side_files:
        beside = scope.outside(beside, item.allowed_side_files)
    touched = not item.targets or any(is_target(path, item) for path in statuses)
    if not touched and (beside or item.by_agent):
        left = _listed(sorted(beside or statuses))
        _fail("wrong_file", FailureClass.SCOPE, f"changed {left}, and nothing of {_listed(item.targets)}")
    if beside:
        _fail("side_files", FailureClass.SCOPE, f"changed {_listed(sorted(beside))}, which is not allowed")


def is_target(path: str, item: Item) -> bool:
    """Whether a path is a target of the item, or below one."""
    return any(
        _is_all(target) or path == target or path.startswith(target.removesuffix("/") + "/")
        for target in item.targets
    )


def _is_all(target: str) -> bool:
    return target in ("", ".", "./")


# -- contents -------------------------------------------------------------------------------------------


def _parse(repo: Repo, changes: Sequence[Change], rules: Rules, examiner: Examiner) -> None:
    """No new syntax error: what could not be parsed before, under this name or a former one, is no news."""
    known = {change.old for change in changes}
    for change in _files(changes):
        ours = _checker(change.path, rules) is None and syntax.is_known(change.path)
        if not ours or change.new in known:
            continue
        found = _wrong(repo, change.path, change.new, examiner)
        if found and not (change.status == "M" and _wrong(repo, change.path, change.old, examiner)):
            place = f"{change.path}:{found.line}" if found.line else change.path
            _fail("syntax", FailureClass.INVALID_OUTPUT, f"{place}: {one_line(found.message)}")


def _wrong(repo: Repo, path: str, blob: str, examiner: Examiner) -> syntax.Wrong | None:
    content = repo.blob(blob)
    if len(content) > SYNTAX_LIMIT:
        return None
    try:
        return examiner.syntax(path, content)
    except TooHard:
        return syntax.Wrong(0, "takes too much time or memory to parse")


def _checker(path: str, rules: Rules) -> Command | None:
    """The command for the longest ending of a name (.d.ts before .ts); None: none is named, "": no check."""
    name = PurePosixPath(path).name.lower()
    endings = (name[at:] for at in range(1, len(name)) if name[at] == ".")
    return next((rules.checkers[ending] for ending in endings if ending in rules.checkers), None)


def _search(repo: Repo, changes: Sequence[Change], item: Item, examiner: Examiner) -> None:
    """Each pattern has to match in the new content of one of the targets that changed."""
    missing = list(item.require_patterns)
    for pattern in missing:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            _fail("pattern", FailureClass.CHECK_FAILED, f"{one_line(pattern, 80)}: {error}")
    for change in _files(changes):
        if not missing or (item.targets and not is_target(change.path, item)):
            continue
        try:
            met = set(examiner.matching(missing, repo.blob(change.new)))
        except TooHard:
            shown = one_line(" ".join(missing), 80)
            _fail("pattern", FailureClass.CHECK_FAILED, f"{shown}: too slow to match in {change.path}")
        missing = [pattern for n, pattern in enumerate(missing) if n not in met]
    if missing:
        _fail("pattern", FailureClass.CHECK_FAILED, f"nothing that changed matches {one_line(missing[0])}")


def _files(changes: Sequence[Change]) -> list[Change]:
    """Files with a content of their own: no links, no submodules, nothing that was deleted."""
    return [change for change in changes if change.status != "D" and change.mode in _REGULAR]


# -- failing --------------------------------------------------------------------------------------------


def _judge(check: str, failure: FailureClass, what: str, ending: Ending, log: Path) -> None:
    if ending.timed_out:
        _fail(check, FailureClass.TIMEOUT, f"{what}: timed out after {duration(ending.seconds)}")
    if ending.code:
        said = one_line(last_line(log))
        _fail(check, failure, f"{what}: exit code {ending.code}" + (f": {said}" if said else ""))


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(one_line(path) for path in paths[:_SHOWN]) + more


def _fail(check: str, failure: FailureClass, reason: str) -> NoReturn:
    raise AttemptFailed(failure, one_line(f"{check.replace('_', ' ')}: {reason}", _REASON), check=check)
