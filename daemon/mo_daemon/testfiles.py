"""Which file a test is in, as far as its id tells.  Pure.

Ids are made by `testids`; runners name files, dotted modules or packages in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

_FIXTURE = re.compile(r"(?:setUp|tearDown)\w+ \((.+)\)")  # of unittest


def touched(key: str, paths: Iterable[str]) -> bool:
    """Whether one of these paths (from the root of the repository) may hold the test of this id.

    In doubt it may: a test that is only known by its package is in every file of that package.
    """
    first, _, rest = key.partition("::")
    if fixture := _FIXTURE.fullmatch(first):
        first = fixture[1]
    return any(_holds(first, rest, path) for path in paths)


def _holds(first: str, rest: str, path: str) -> bool:
    if path == first or path.endswith(f"/{first}") or f"{path} - " in rest:  # the last: a doc test
        return True
    file = PurePosixPath(path)
    if file.suffix == ".go":
        folder = "" if str(file.parent) == "." else str(file.parent)
        return "/" in first and (not folder or first == folder or first.endswith(f"/{folder}"))
    dotted = first.partition(" ")[0], rest.partition("::")[0]
    return file.suffix == ".py" and any(_in_module(name, file.with_suffix("").parts) for name in dotted)


def _in_module(dotted: str, module: Sequence[str]) -> bool:
    """Whether a dotted name begins with the module; a directory on the search path is no part of that."""
    return any(f"{dotted}.".startswith(".".join(module[start:]) + ".") for start in range(len(module)))
