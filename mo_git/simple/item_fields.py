"""Readers of the fields of a manifest: each takes plain data and gives the typed value or says what is wrong.

Pure.  A reader raises `Wrong`, whose arguments are complete messages.  Cells of a CSV file are texts: the
readers of `FROM_CELL` make of them what JSON would have said.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from mo_git.model import Command
from mo_git.values import Reader, Wrong, argv, command, globs, kind, number, slug, text, texts

LARGEST_INSTRUCTION = 1_000_000  # bytes
ID_LENGTH = 100
# What stands beside the items' own directories below `.mo/runs/JOB/`.
RESERVED_IDS = frozenset({"integration", "items.jsonl"})
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def item_id(value: object) -> str:
    """A name that is safe as that of a directory."""
    name = text(value)
    if len(name) > ID_LENGTH:
        raise Wrong(f'"{name[:20]}..." has {len(name)} characters, at most {ID_LENGTH} are allowed')
    if not _ID.fullmatch(name) or ".." in name or name.endswith((".", ".lock")):
        raise Wrong(f'"{name}" is not a good id: use letters, digits, ".", "-" and "_", no "." or "-" first')
    if name in RESERVED_IDS:
        raise Wrong(f'"{name}" is reserved, take another id')
    return name


def target(value: object) -> tuple[str, ...]:
    """One path, or a list of them, each relative to the repository's root; those below each other stay."""
    paths = _several(value)
    wrong = [f'"{path}" {why}' for path in paths if (why := bad_target(path))]
    if wrong or not paths:
        raise Wrong(*(wrong or ["names nothing: write the path of a file or directory"]))
    return tuple(dict.fromkeys(path.removesuffix("/") for path in paths))


def bad_target(path: str) -> str:
    """Why a path cannot be that of a target, whatever the repository holds; or an empty string."""
    segments = path.removesuffix("/").split("/")
    reasons = {
        "is empty": not path.strip(),
        "has control characters": bool(_CONTROL.search(path)),
        "is absolute, write it relative to the repository root": path.startswith("/"),
        "starts with ~/, write it relative to the repository root": path.startswith("~/"),
        "has a backslash, write / between directories": "\\" in path,
        "leaves the repository (..)": ".." in segments,
        "has an empty or . segment": bool({"", "."} & set(segments)),
        "is inside .git": any(segment.lower() == ".git" for segment in segments),
        "is inside .mo": segments[0].lower() == ".mo",
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def instruction(value: object) -> str:
    said = text(value)
    if not said.strip():
        raise Wrong("is empty: say what to do")
    size = len(said) if said.isascii() else len(said.encode())
    if size > LARGEST_INSTRUCTION:
        raise Wrong(f"has {size / 1e6:.1f} MB, at most 1 MB is allowed: put the long part into a file")
    return said


def patterns(value: object) -> tuple[str, ...]:
    """Regular expressions as Python reads them."""
    found = _several(value)
    wrong = []
    for pattern in found:
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            wrong.append(f'"{pattern}" is no regular expression: {error}')
    if wrong:
        raise Wrong(*wrong)
    return found


def commands(value: object) -> tuple[Command, ...]:
    """A text is one command; in a list each text (for `sh -c`) and each argv list is one."""
    if not isinstance(value, str | list):
        raise Wrong(f"expected a list of commands, found {kind(value)}")
    found = [command(one) for one in ([value] if isinstance(value, str) else value)]
    return tuple(one for one in found if one is not None)


def metadata(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Wrong(f'expected an object such as {{"issue": 7}}, found {kind(value)}')
    return value


def _several(value: object) -> tuple[str, ...]:
    """A text, or a list of them."""
    return (text(value),) if isinstance(value, str) else texts(value)


READERS: Mapping[str, Reader] = {
    "id": item_id,
    "target": target,
    "instruction": instruction,
    "run": argv,
    "provider": slug,
    "model": text,
    "priority": number("a whole number", int),
    "timeout_seconds": number("a number of seconds greater than 0", float, above=0),
    "max_attempts": number("a whole number, 1 or more", int, least=1),
    "verify_commands": commands,
    "require_patterns": patterns,
    "allowed_side_files": lambda value: globs(_several(value)),
    "bucket": text,
    "metadata": metadata,
}


# -- cells of a CSV file ------------------------------------------------------------------------------


def _json_or(otherwise: Callable[[str], object]) -> Callable[[str], object]:
    """A cell that holds a list as JSON, or else what `otherwise` makes of it."""

    def read(cell: str) -> object:
        if cell.lstrip().startswith("["):
            try:
                return json.loads(cell)
            except (ValueError, RecursionError):
                pass
        return otherwise(cell)

    return read


def _split(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def _words(cell: str) -> list[str]:
    try:
        return shlex.split(cell)
    except ValueError as error:
        raise Wrong(f"cannot be read as words of a command: {error}") from None


def _number(cell: str) -> object:
    for convert in (int, float):
        try:
            return convert(cell)
        except ValueError:
            continue
    return cell


def _object(cell: str) -> object:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError) as error:
        raise Wrong(f"is not JSON: {error}") from None


FROM_CELL: Mapping[str, Callable[[str], object]] = {
    "target": _json_or(_split),
    "run": _json_or(_words),
    "priority": _number,
    "timeout_seconds": _number,
    "max_attempts": _number,
    "verify_commands": _json_or(str),
    "require_patterns": _json_or(str),
    "allowed_side_files": _json_or(_split),
    "metadata": _object,
}
