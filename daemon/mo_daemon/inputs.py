"""Inputs of the gate: files that say how the tests are run, such as conftest.py, a Makefile, CI files.

Whoever may change them can make any candidate green.  So a candidate that does is gated twice: as it is, and
with the integration head's version of these files.  Only tests that the head has count the second time:
what the task brings may need its own configuration.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from mo_daemon.gate_proof import is_test
from mo_daemon.input_parts import counting, put_back
from mo_daemon.metrics import is_metric
from mo_daemon.scope import matching
from mo_daemon.testids import Regression, Tests
from mo_daemon.verdicts import GREEN, RED, in_words, listed
from mo_git.git.grafts import File, file_of, graft
from mo_git.git.repo import Repo
from mo_git.model import Command

_INTERPRETER = re.compile(r"(?:\S*/)?(?:(?:ba|da|z)?sh|python[\d.]*|node|deno|bun|ruby|perl)")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=\S*")
_RELATIVE = re.compile(r"[\w.][\w.+/-]*")
INPUTS = "inputs"  # what a doubt is about: files that steer the gate


def patterns(configured: Iterable[str], *commands: Command) -> tuple[str, ...]:
    """`gate.inputs` and the scripts that these commands run, of the gate and of metrics; but no tests."""
    found = (script for command in commands for script in _scripts(command))
    return (*configured, *dict.fromkeys(f"/{script}" for script in found if not is_test(script)))


def _scripts(command: Command) -> Iterator[str]:
    """Words that may be files of the project and are run: the first, one behind an interpreter, ./FILE."""
    text = command if isinstance(command, str) else shlex.join(command)
    for part in re.split(r"[;&|()`\n]+", text):
        words = [word for word in re.split(r"[\s'\"]+", part) if word and not word.startswith("-")]
        for before, word in pairwise(["sh", *words]):
            is_program = _INTERPRETER.fullmatch(before) or _ASSIGNMENT.fullmatch(before)
            if (is_program or word.startswith("./")) and _RELATIVE.fullmatch(word):
                yield word.removeprefix("./")


def touches(paths: Iterable[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Those of the paths that may be inputs; patterns are read as git's ignore files read them."""
    return tuple(matching(paths, wanted))


def differing(
    repo: Repo, head: str, commit: str, wanted: Sequence[str], fine: Collection[str] = ()
) -> tuple[str, ...]:
    """The inputs in which a commit differs from the head in what steers the gate, but for the `fine` ones."""
    changed = touches(repo.changed_paths(head, commit), wanted)
    return tuple(
        path
        for path in changed
        if path not in fine and _counts(path, file_of(repo, head, path), file_of(repo, commit, path))
    )


def _counts(path: str, before: File | None, now: File | None) -> bool:
    if before is None or now is None or before.mode != now.mode:
        return before != now
    return bool(counting(path, before.content) != counting(path, now.content))


def with_inputs_of(
    repo: Repo, head: str, commit: str, wanted: Sequence[str], fine: Collection[str] = ()
) -> str | None:
    """A commit with the tree of `commit`, but the head's version of its inputs; None where none differ.

    `fine` are inputs that stay as they are.  Nothing points to the commit; equal arguments give equal ids.
    """
    files = {}
    for path in differing(repo, head, commit, wanted, fine):
        before, now = file_of(repo, head, path), file_of(repo, commit, path)
        if before is not None and now is not None:
            before = File(before.mode, put_back(path, now.content, before.content))
        files[path] = before
    if not files:
        return None
    tree = graft(repo, commit, files)
    return repo.commit_tree(
        tree, [commit], "With the head's inputs of the gate\n", when=repo.newest_time(commit)
    )


def speaks_against(
    result: str, regression: Regression | None, baseline: Tests | None
) -> tuple[bool, tuple[str, ...]]:
    """(whether a second gate speaks against the candidate, the ids that do): only the head's tests count."""
    if result == GREEN:
        return False, ()
    if result != RED or not regression:
        return True, ()
    known = baseline.outcomes if baseline else {}
    ids = tuple(test for test in regression.ids if test in known or is_metric(test))
    return bool(ids) or baseline is None, ids


def held(paths: Sequence[str], ids: Sequence[str], reason: str) -> dict[str, Any]:
    """The data of a HELD fact about inputs: `reason` says what the second gate did, where no ids do."""
    tests = [one for one in ids if not is_metric(one)]
    said = f"{in_words(len(tests))} not as before: {listed(tests)}" if tests else reason
    why = f"changes {listed(paths)}, and with the former version the gate is not green: {said}"
    return {"reason": why, "doubt": {"about": INPUTS, "ids": list(ids), "paths": list(paths)}}
