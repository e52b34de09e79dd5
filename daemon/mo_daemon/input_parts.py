"""Files of which only a part steers the tests: that part is read, and put back in an older version.  Pure.

A new dependency in pyproject.toml is nobody's attempt on the gate, a changed table of pytest there may be.
Texts that cannot be read as what their name says count as a whole.
"""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

_TABLES = (
    *("tool.pytest", "tool.coverage", "tool.tox", "tool.hatch.envs", "tool.pdm.scripts"),
    *("tool.poe", "tool.taskipy"),
)
_SCRIPTS = ("scripts", "jest", "vitest", "mocha", "ava", "c8", "nyc")  # keys of package.json
_SECTIONS = re.compile(r"tool:pytest|coverage:.*")  # of setup.cfg
_MARKERS = "markers"  # registering a name for tests weakens nothing
# what a text makes of the readers that is not what its name says
_UNREADABLE = (ValueError, AttributeError, TypeError, RecursionError, configparser.Error)
_HEADER = re.compile(r"^\[\[?[ \t]*([^\[\]\n]+?)[ \t]*\]\]?[ \t]*(?:[#;].*)?$")


@dataclass(frozen=True, slots=True)
class _Format:
    """`read`: what of a text counts.  `put`: the first text with what counts in the second."""

    read: Callable[[str], Any]
    put: Callable[[str, str], str]


def counting(path: str, content: bytes) -> Any:
    """What in this file steers the gate, as data to compare; the content itself where all of it does."""
    form = _FORMATS.get(PurePosixPath(path).name)
    if form is None:
        return content
    try:
        return form.read(content.decode())
    except _UNREADABLE:
        return content


def put_back(path: str, now: bytes, before: bytes) -> bytes:
    """`now` with what counts in `before`; `before` as a whole where the two cannot be taken apart."""
    form = _FORMATS.get(PurePosixPath(path).name)
    if form is None:
        return before
    try:
        made = form.put(now.decode(), before.decode()).encode()
    except _UNREADABLE:
        return before
    return made if counting(path, made) == counting(path, before) else before


# -- TOML and INI: whole tables ------------------------------------------------------------------------


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """(name, text) of each table or section, the text before the first one under an empty name."""
    name, lines = "", list[str]()
    for line in text.splitlines(keepends=True):
        if found := _HEADER.match(line.rstrip("\r\n")):
            yield name, "".join(lines)
            name, lines = re.sub(r"[\"' \t]", "", found[1]), []
        lines.append(line)
    yield name, "".join(lines)


def _exchanged(now: str, before: str, counts: Callable[[str], bool]) -> str:
    """The tables of `now` that do not count, then those of `before` that do."""
    kept = [text for name, text in _blocks(now) if not counts(name)]
    put = [text for name, text in _blocks(before) if counts(name)]
    return "\n".join(text for text in (*kept, *put) if text)


def _is_table(name: str) -> bool:
    return any(name == table or name.startswith(f"{table}.") for table in _TABLES)


def _read_pyproject(text: str) -> Any:
    document = tomllib.loads(text)
    found = {}
    for table in _TABLES:
        value: Any = document
        for part in table.split("."):
            value = value.get(part, {}) if isinstance(value, dict) else {}
        found[table] = value
    options = found["tool.pytest"].get("ini_options", {}) if isinstance(found["tool.pytest"], dict) else {}
    if isinstance(options, dict):
        options.pop(_MARKERS, None)
    return found


def _put_pyproject(now: str, before: str) -> str:
    made = _exchanged(now, before, _is_table)
    if _others(made) != _others(now):
        raise ValueError("the tables cannot be taken apart")
    return made


def _others(text: str) -> Any:
    """A pyproject.toml without what counts."""
    document = tomllib.loads(text)
    for table in _TABLES:
        *above, last = table.split(".")
        value: Any = document
        for part in above:
            value = value.get(part, {}) if isinstance(value, dict) else {}
        if isinstance(value, dict):
            value.pop(last, None)
    tool = document.get("tool", {})
    return {**document, "tool": {name: value for name, value in tool.items() if value}}


def _ini(text: str, counts: Callable[[str], bool]) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="\0")
    parser.read_string(text)
    return {
        name: {key: value for key, value in parser.items(name) if key != _MARKERS}
        for name in parser.sections()
        if counts(name)
    }


def _ini_format(counts: Callable[[str], bool]) -> _Format:
    return _Format(
        lambda text: _ini(text, counts),
        lambda now, before: _exchanged(now, before, counts),
    )


# -- JSON ----------------------------------------------------------------------------------------------


def _read_package(text: str) -> Any:
    document = json.loads(text)
    return {key: document.get(key) for key in _SCRIPTS}


def _put_package(now: str, before: str) -> str:
    older = json.loads(before)
    document = {key: value for key, value in json.loads(now).items() if key not in _SCRIPTS}
    document |= {key: older[key] for key in _SCRIPTS if key in older}
    return json.dumps(document, indent=2) + "\n"


_FORMATS = {
    "pyproject.toml": _Format(_read_pyproject, _put_pyproject),
    "package.json": _Format(_read_package, _put_package),
    "setup.cfg": _ini_format(lambda name: bool(_SECTIONS.fullmatch(name))),
    "pytest.ini": _ini_format(lambda name: True),
    "tox.ini": _ini_format(lambda name: True),
}
