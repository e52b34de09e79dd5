"""Readers of single values of a plan: each takes plain data and gives the typed value or says what is wrong.

Pure.  A reader raises `Wrong`, whose arguments are complete messages, one per thing that is wrong.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Collection
from typing import Any

from mo_git.globs import bad_pattern
from mo_git.model import ALL_RED, Command

Reader = Callable[[object], Any]
SLUG_LENGTH = 60
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LARGEST = 2**53


class Wrong(ValueError):
    """A value that cannot be used; `args` are the messages."""


def nearest(name: str, valid: Collection[str]) -> str:
    """`, did you mean "x"?` for a near miss, else an empty string."""
    import difflib  # here: only mistakes need it

    found = difflib.get_close_matches(name, valid, 1)
    return f', did you mean "{found[0]}"?' if found else ""


def printable(line: str) -> str:
    """The line with control, direction and other invisible characters written as escapes.

    What came from a file or an agent must not steer the terminal that shows it.
    """
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in line)


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def kind(value: object) -> str:
    """What a value is, in the words of someone who writes TOML."""
    names = {
        bool: "true or false",
        str: "text",
        int: "a whole number",
        float: "a number",
        list: "a list",
        tuple: "a list",
        dict: "a table",
    }
    return names.get(type(value), "nothing (null)" if value is None else f"a {type(value).__name__}")


def text(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong(f"expected text, found {kind(value)}")
    if "\0" in value or (not value.isascii() and _SURROGATE.search(value)):
        raise Wrong("holds a NUL or half a surrogate pair, which no file or command can take")
    return value


def texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise Wrong(f"expected a list of texts, found {kind(value)}")
    for item in value:
        if not isinstance(item, str):
            raise Wrong(f"expected a list of texts, found {kind(item)} in it")
    return tuple(text(item) for item in value)


def slug(value: object) -> str:
    """A short name that is safe in a branch, a path and a command line."""
    name = text(value)
    if not name:
        raise Wrong("is empty")
    if len(name) > SLUG_LENGTH:
        raise Wrong(f'"{name[:20]}..." has {len(name)} characters, at most {SLUG_LENGTH} are allowed')
    if not _SLUG.fullmatch(name):
        better = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-_")
        hint = f', for example "{better}"' if better else ""
        raise Wrong(
            f'"{name}" is not a good name: use lower-case letters, digits, - and _, starting with a letter '
            f"or digit{hint}"
        )
    return name


def ref(value: object) -> str:
    """A branch, tag or commit, as git takes it."""
    name = text(value)
    if not name.strip() or name != name.strip() or name.startswith("-") or not name.isprintable():
        raise Wrong("expected the name of a branch or a commit")
    return name


def argv(value: object) -> tuple[str, ...]:
    """A program and its arguments, never run by a shell."""
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError:
            words = []
        example = json.dumps(words or ["ruff", "check"], ensure_ascii=False)
        raise Wrong(f"expected an argv list, found text: write {example}")
    words_given = texts(value)
    if not words_given or not words_given[0].strip():
        raise Wrong("is empty: name a program and its arguments")
    return words_given


def command(value: object) -> Command | None:
    """A text for `sh -c` or an argv list; empty text means none."""
    if isinstance(value, str):
        return text(value) if value.strip() else None
    if not isinstance(value, list | tuple):
        raise Wrong(f"expected text (run by sh -c) or an argv list, found {kind(value)}")
    return argv(value)


def fixes(value: object) -> str | tuple[str, ...]:
    """Tests that have to pass in the end: a list of their names, or "all-red"."""
    if isinstance(value, str):
        if value == ALL_RED:
            return ALL_RED
        raise Wrong(f'expected "{ALL_RED}" or a list of tests such as ["tests/test_a.py::test_one"]')
    names = texts(value)
    if not names or not all(name.strip() for name in names):
        raise Wrong(f'names no test: list some, or write "{ALL_RED}"')
    return names


def globs(value: object) -> tuple[str, ...]:
    """Path patterns relative to the repository root."""
    patterns = texts(value)
    wrong = [f'pattern "{pattern}" {why}' for pattern in patterns if (why := bad_pattern(pattern))]
    if wrong:
        raise Wrong(*wrong)
    return patterns


def choice(*allowed: str) -> Reader:
    """A reader of one of these words."""

    def read(value: object) -> str:
        if value not in allowed:
            shown = f'"{value}"' if isinstance(value, str) else kind(value)
            close = nearest(value, allowed) if isinstance(value, str) else ""
            raise Wrong(f"expected one of {', '.join(allowed)}, found {shown}{close}")
        return str(value)

    return read


def number(
    meaning: str,
    convert: type[int] | type[float],
    *,
    least: int | None = None,
    above: int | None = None,
    most: float = _LARGEST,
) -> Reader:
    """A reader of a number; a whole number is also a number, true and false are not."""

    def read(value: object) -> float:
        wanted = int if convert is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, wanted):
            shown = kind(value)
        elif not math.isfinite(value) or abs(value) > _LARGEST:
            shown = "one that is out of range"
        elif value > most or (least is not None and value < least) or (above is not None and value <= above):
            shown = str(value)
        else:
            return convert(value)
        raise Wrong(f"expected {meaning}, found {shown}")

    return read
