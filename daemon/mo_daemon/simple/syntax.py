"""Whether a file can be parsed, by its extension.  Nothing of it is run, kept or fetched.

The content is hostile: a parser may run out of stack, memory or time with it, so this runs in a process of
its own (`checker`).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NoReturn
from xml.parsers import expat

import yaml

# JSON with comments, by those who read it: TypeScript, ESLint, VS Code.
_COMMENTED = re.compile(r"(?:^|/)(?:[tj]sconfig[^/]*|\.?eslintrc|\.?devcontainer)\.json$|(?:^|/)\.vscode/")
_TOML_PLACE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")
_ENTITY_LIMIT = 1000  # characters that an XML entity may stand for
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # by libyaml, where it is there


@dataclass(frozen=True, slots=True)
class Wrong:
    """A syntax error; `line` counts from 1, 0: unknown."""

    line: int
    message: str


def is_known(path: str) -> bool:
    """Whether files of this name can be parsed here."""
    return PurePosixPath(path).suffix.lower() in _PARSERS and not _COMMENTED.search(path)


def wrong(path: str, content: bytes) -> Wrong | None:
    """The first syntax error of a file; None where it is good, or its name says nothing of its syntax."""
    if not is_known(path):
        return None
    try:
        return _PARSERS[PurePosixPath(path).suffix.lower()](content)
    except UnicodeDecodeError as error:
        return Wrong(content.count(b"\n", 0, error.start) + 1, "not UTF-8 text")
    except (RecursionError, MemoryError):
        return Wrong(0, "nested too deeply")
    except ValueError as error:  # such as a NUL in Python's source
        return Wrong(0, str(error))


def _python(content: bytes) -> Wrong | None:
    try:
        compile(content, "<content>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return Wrong(error.lineno or 0, error.msg)
    return None


def _json(content: bytes) -> Wrong | None:
    return _json_text(content.decode(json.detect_encoding(content)), 1)


def _json_lines(content: bytes) -> Wrong | None:
    lines = enumerate(content.decode("utf-8-sig").split("\n"), 1)
    return next((found for n, line in lines if line.strip() and (found := _json_text(line, n))), None)


def _json_text(text: str, first_line: int) -> Wrong | None:
    try:
        # Numbers are not made: Python has a limit for their digits, JSON has none.
        json.loads(text, parse_int=len, parse_float=len, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return Wrong(first_line + error.lineno - 1, error.msg)
    except _NoJson as error:
        return Wrong(first_line if "\n" not in text else 0, str(error))
    return None


class _NoJson(Exception):
    """What Python reads as JSON, and no other."""


def _no_constant(name: str) -> NoReturn:
    raise _NoJson(f"{name} is not JSON")


def _toml(content: bytes) -> Wrong | None:
    text = content.decode()
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        place = _TOML_PLACE.search(said)
        at_end = text.rstrip("\n").count("\n") + 1
        line = (int(place[1]) if place[1] else at_end) if place else 0
        return Wrong(line, _TOML_PLACE.sub("", said))
    return None


def _xml(content: bytes) -> Wrong | None:
    parser = expat.ParserCreate()

    def declared(name: str, _is_parameter: bool, value: str | None, *_rest: Any) -> None:
        # What is made of other entities, or is long, grows beyond measure where it is used.
        if value is not None and ("&" in value or "%" in value or len(value) > _ENTITY_LIMIT):
            raise _Bomb(f"entity {name} is refused: it is long, or made of others")

    parser.EntityDeclHandler = declared
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        return Wrong(error.lineno, expat.ErrorString(error.code) or "not well-formed")
    except _Bomb as error:
        return Wrong(parser.CurrentLineNumber, str(error))
    return None


class _Bomb(Exception):
    """An entity that may be there to use up memory."""


def _yaml(content: bytes) -> Wrong | None:
    try:
        for _ in yaml.parse(content, Loader=_YAML):  # events only: no alias is followed, no tag obeyed
            pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return Wrong(mark.line + 1 if mark else 0, error.problem or error.context or "cannot be parsed")
    except yaml.YAMLError as error:
        return Wrong(0, str(error).partition("\n")[0])
    return None


_PARSERS: dict[str, Callable[[bytes], Wrong | None]] = {
    **dict.fromkeys((".py", ".pyi"), _python),
    **dict.fromkeys((".json", ".geojson"), _json),
    **dict.fromkeys((".jsonl", ".ndjson"), _json_lines),
    ".toml": _toml,
    **dict.fromkeys((".xml", ".svg", ".xsd", ".xsl", ".xslt"), _xml),
    **dict.fromkeys((".yaml", ".yml"), _yaml),
}
