"""Tests that are gone or skipped since the candidate changed their file: perhaps on purpose.  Pure.

Whoever removes a feature removes its tests, too, and whoever wants to be rid of a red test does the same.
The gate cannot tell which, so a person has to; `accepted` ids count no longer in what is expected.  A test
that vanishes although nobody touched its file is a regression like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from mo_daemon.testids import Regression, Tests
from mo_daemon.verdicts import in_words, listed
from mo_git.goal_status import TaskStatus

TESTS = "tests"  # what a doubt is about: tests that are gone or skipped

# (module path of go.mod's directory, "" for the root) -> the module's name
Modules = Mapping[str, str]
_GO_MODULE = re.compile(r"^module\s+\"?([^\s\"]+)", re.MULTILINE)


def doubtful(
    regression: Regression, touched: Collection[str], modules: Modules | None = None
) -> frozenset[str]:
    """Missing and newly skipped ids whose file is among the touched paths.

    `modules` are the go modules of the repository (`go_module` reads a name); needed for ids of go only.
    """
    gone = (*regression.missing, *regression.newly_skipped)
    return frozenset(test for test in gone if files_of(test, touched, modules or {}))


def only_doubtful(
    regression: Regression | None, touched: Collection[str], modules: Modules | None = None
) -> frozenset[str]:
    """The ids of a regression that a person may accept as a whole; empty for any other."""
    if not regression:
        return frozenset()
    found = doubtful(regression, touched, modules)
    return found if found.issuperset(regression.ids) else frozenset()


def files_of(test: str, touched: Iterable[str], modules: Modules) -> list[str]:
    """The touched paths in which the test with this id may stand."""
    return [path for path in touched if any(holds(test, path, modules) for holds in _HOLDERS)]


def expected(baseline: Tests | None, tasks: Iterable[TaskStatus]) -> Tests | None:
    """A baseline without what a person accepted of these tasks' candidates."""
    left_out = frozenset[str]().union(*(task.accepted for task in tasks))
    return without(baseline, left_out)


def without(baseline: Tests | None, ids: Collection[str]) -> Tests | None:
    if baseline is None or not ids:
        return baseline
    return Tests({test: outcome for test, outcome in baseline.outcomes.items() if test not in ids})


def held(
    regression: Regression, ids: Collection[str], touched: Iterable[str], modules: Modules
) -> dict[str, Any]:
    """The data of a HELD fact about these ids."""
    paths = sorted({path for test in ids for path in files_of(test, touched, modules)})
    parts = [
        f"{in_words(len(of))} {what}"
        for of, what in ((regression.missing, "missing"), (regression.newly_skipped, "newly skipped"))
        if of
    ]
    reason = f"{' and '.join(parts)} in {listed(paths)}, which the task changes: {listed(sorted(ids))}"
    return {"reason": reason, "doubt": {"about": TESTS, "ids": sorted(ids), "paths": paths}}


# -- where the test of an id stands, by runner -----------------------------------------------------------


def _by_file(test: str, path: str, _modules: Modules) -> bool:
    """pytest, node, jest, vitest, JUnit with files: a part of the id is the path, or its end.

    Runners that work in a directory below the root say paths relative to that.
    """
    return any(path == part or path.endswith(f"/{part}") for part in test.split("::")[:2] if part)


def _by_module(test: str, path: str, _modules: Modules) -> bool:
    """unittest and JUnit without files: a dotted name begins with the path of the module, or its end.

    At most a class and a test follow; so a package's `__init__.py` does not stand for all that is in it.
    """
    first, *rest = test.split("::")
    names = first.split(".")
    where = PurePosixPath(path)
    parts = where.parts[:-1] if where.stem == "__init__" else (*where.parts[:-1], where.stem)
    follow = 1 if rest else 2
    return any(
        names[: len(tail)] == list(tail) and len(names) - len(tail) <= follow
        for tail in (parts[start:] for start in range(len(parts)))
    )


def _by_package(test: str, path: str, modules: Modules) -> bool:
    """go: the package's import path is the module's name and the directory below its go.mod."""
    where = PurePosixPath(path)
    if not path.endswith("_test.go"):
        return False
    for above in where.parents:
        module = modules.get("" if above == PurePosixPath(".") else str(above))
        if module is not None:
            below = where.parent.relative_to(above)
            return test.split("::")[0] == (module if below == PurePosixPath(".") else f"{module}/{below}")
    return False


def _by_crate(test: str, path: str, _modules: Modules) -> bool:
    """cargo: the source of the binary, or a module's file beside it that the test's own path names.

    `doc` ids name the file in the last part: `doc::crate::src/lib.rs - item`.
    """
    source, _, name = test.partition("::")
    if source == "doc":
        return _by_file(name.partition("::")[2].partition(" - ")[0], path, {})
    if not source.endswith(".rs"):
        return False
    _, *modules = name.split("::")
    root = PurePosixPath(source).parent
    places = {source}
    for size in range(1, len(modules)):
        module = str(root.joinpath(*modules[:size]))
        places |= {f"{module}.rs", f"{module}/mod.rs"}
    return any(_by_file(place, path, {}) for place in places)


_HOLDERS: tuple[Callable[[str, str, Modules], bool], ...] = (_by_file, _by_module, _by_package, _by_crate)


def go_module(text: str) -> str:
    """The module's name in the text of a go.mod; empty where there is none."""
    found = _GO_MODULE.search(text)
    return found[1] if found else ""
