"""TOML text in and out: parsing that names file and line, and values written as a person would.  Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from mo_git.errors import Exit, MoError

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_WIDTH = 100


def parse_toml(text: str, source: str, code: Exit) -> dict[str, Any]:
    """The document as plain data; broken TOML is a MoError that starts with source:line:column."""
    import tomllib  # here: most verbs read no TOML

    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        raise MoError(f"{source}: not valid TOML: nested too deeply", code=code) from None
    except ValueError as error:  # TOMLDecodeError, and int() refusing thousands of digits
        message = str(error)
        found = _PLACE.search(message)
        place = ""
        if found:
            line = found[1] or str(text.rstrip("\n").count("\n") + 1)
            place = f":{line}" + (f":{found[2]}" if found[2] else "")
            message = message[: found.start()] + ("" if found[1] else ", at the end of the file")
        raise MoError(f"{source}{place}: not valid TOML: {message}", f"correct {source}", code) from None


def toml_string(value: str) -> str:
    """A basic string on one line."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_text(value: str) -> str:
    """A string, over several lines where it has several."""
    if "\n" not in value:
        return toml_string(value)
    body = toml_string(value)[1:-1]
    body = re.sub(r"\\(.)", lambda match: {"n": "\n", '"': '"'}.get(match[1], match[0]), body)
    head = body.rstrip('"')
    body = head.replace('"""', '""\\"') + '\\"' * (len(body) - len(head))
    return f'"""\n{body}"""'


def toml_value(value: object) -> str:
    """Text, numbers, truth values, lists and tables (inline), as TOML; TypeError for anything else."""
    if isinstance(value, str):
        return toml_string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{toml_string(str(k))} = {toml_value(v)}" for k, v in value.items()) + "}"
    raise TypeError(f"no TOML for {value!r}")


def toml_line(key: str, value: object) -> str:
    """`key = value`; long text and long lists take several lines."""
    written = toml_text(value) if isinstance(value, str) else toml_value(value)
    if isinstance(value, list | tuple) and len(key) + len(written) > _WIDTH:
        written = "[\n" + "".join(f"    {toml_value(item)},\n" for item in value) + "]"
    return f"{key} = {written}"
