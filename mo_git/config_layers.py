"""The layers that settings come from, as plain data.  Standard library only: fast verbs use this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mo_git.errors import Exit, MoError
from mo_git.tomltext import parse_toml

PREFIX = "MO_"
# Tables with keys of the person's own.
VALUES = frozenset({"prices", "metrics", "converge.regenerate", "simple.syntax_checkers"})
SEPARATOR = "__"
COMMAND_LINE = "command line"
REPOSITORY_FILE = "config.toml"
CLONE_FILE = "local.toml"


@dataclass(frozen=True, slots=True)
class Layer:
    """One source: nested data, and what to call the origin of a key."""

    source: str
    data: dict[str, Any]
    content: bytes = b""  # of a file, as read
    variables: Mapping[str, str] = field(default_factory=dict)  # dotted key -> environment variable

    def origin(self, dotted: str) -> str:
        return self.variables.get(dotted, self.source)


def user_config_file(environ: Mapping[str, str]) -> Path | None:
    """The user's own settings file (XDG base directories); None where there is no home."""
    base = environ.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):  # relative values are to be ignored, says the XDG specification
        home = environ.get("HOME", "")
        if not home:
            return None
        base = f"{home}/.config"
    return Path(base) / "mo" / "config.toml"


def read_file(path: Path) -> Layer | None:
    """A settings file, or None where there is none; unreadable or broken ones are a MoError (config)."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise MoError(f"{path}: cannot be read: {error.strerror}", "", Exit.CONFIG) from None
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise MoError(f"{path}:{line}: not UTF-8 text", "save the file as UTF-8", Exit.CONFIG) from None
    return Layer(str(path), parse_toml(text, str(path), Exit.CONFIG), content)


def from_environment(environ: Mapping[str, str]) -> Layer:
    """MO_SECTION__KEY variables, values as given.  Names without a double underscore are not ours."""
    data: dict[str, Any] = {}
    variables = {}
    for name in sorted(environ):
        if name.startswith(PREFIX) and SEPARATOR in name[len(PREFIX) :]:
            parts = name[len(PREFIX) :].lower().split(SEPARATOR)
            put(data, parts, environ[name])
            variables[".".join(parts)] = name
    return Layer("environment", data, variables=variables)


def fingerprint(environ: Mapping[str, str]) -> str:
    """Tells environments with other settings apart; empty where there are none."""
    layer = from_environment(environ)
    given = sorted((name, environ[name]) for name in layer.variables.values())
    if not given:
        return ""
    import hashlib  # here: the command line seldom gets this far

    return hashlib.sha256(repr(given).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def from_overrides(overrides: Mapping[str, Any]) -> Layer:
    """Options of the command line: dotted key -> value; None means that the option was not given."""
    data: dict[str, Any] = {}
    for dotted, value in overrides.items():
        if value is not None:
            put(data, dotted.split("."), value)
    return Layer(COMMAND_LINE, data)


def put(data: dict[str, Any], parts: list[str], value: Any) -> None:
    """Set a nested key, making the tables on the way."""
    for part in parts[:-1]:
        inner = data.setdefault(part, {})
        if not isinstance(inner, dict):
            inner = data[part] = {}
        data = inner
    data[parts[-1]] = value


def drop(data: dict[str, Any], parts: list[str]) -> None:
    """Remove a nested key that is there."""
    for part in parts[:-1]:
        data = data[part]
    del data[parts[-1]]


def leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of everything that is not a table, and of tables that are one value."""
    for name, value in data.items():
        if isinstance(value, dict) and prefix + name not in VALUES:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def merge(layers: list[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """(nested data, dotted key -> origin), later layers winning key by key."""
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for dotted, value in leaves(layer.data):
            put(merged, dotted.split("."), value)
            origins[dotted] = layer.origin(dotted)
    return merged, origins
