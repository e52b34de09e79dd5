"""Whether settings can be used: each layer by itself, so that every error names its file or variable."""

from __future__ import annotations

import tomllib
from typing import Any

from pydantic import ValidationError

from mo_git.config_layers import Layer, put
from mo_git.config_schema import Config, allowed, choices, leaves, takes_text
from mo_git.errors import Exit, MoError
from mo_git.tomltext import toml_value
from mo_git.values import nearest, printable

HINT = "mo config list shows every key"
_SHOWN = 60


# -- text values: environment and `mo config set` -------------------------------------------------------


def from_text(dotted: str, text: str) -> Any:
    """A value given as text: read as TOML, else taken as it is; for keys that take text, only if quoted."""
    try:
        data = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = data["value"]
    if len(data) > 1 or (takes_text(dotted) and not isinstance(value, str)):
        return text
    return value


# -- errors ---------------------------------------------------------------------------------------------


def problems(layer: Layer) -> list[str]:
    """What is wrong in one layer, each as `origin: key = value: what is allowed`."""
    try:
        Config.model_validate(layer.data)
    except ValidationError as error:
        found: dict[str, None] = {}  # a list with two bad items is one problem
        for detail in error.errors(include_url=False):
            found[_describe(layer, detail["loc"], detail["type"])] = None
        return list(found)
    return []


def _describe(layer: Layer, location: tuple[int | str, ...], error_type: str) -> str:
    names = [str(part) for part in location]
    dotted = next(
        (".".join(names[:n]) for n in range(len(names), 0, -1) if ".".join(names[:n]) in leaves()), ""
    )
    if dotted:
        field = leaves()[dotted]
        value = _value(layer.data, dotted)
        close = nearest(value, choices(field)) if isinstance(value, str) else ""
        what = f"expected {allowed(field)}{close}"
    else:
        dotted = ".".join(names)
        value = _value(layer.data, dotted)
        what = f"unknown key{suggestion(dotted)}" if error_type == "extra_forbidden" else "expected a table"
    return printable(f"{_origin(layer, dotted)}: {dotted} = {_shown(value)}: {what}")


def _origin(layer: Layer, dotted: str) -> str:
    """The layer's origin of a key; for a table that a variable only mentions, that variable."""
    inside = (name for key, name in layer.variables.items() if key.startswith(f"{dotted}."))
    return layer.variables.get(dotted) or next(inside, layer.source)


def _value(data: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        data = data[part]
    return data


def _shown(value: Any) -> str:
    try:
        text = toml_value(value)
    except TypeError:  # dates and times
        text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def suggestion(dotted: str) -> str:
    """`, did you mean ...?` for a key that does not exist: the same name in another table, or a near one."""
    last = dotted.rpartition(".")[2]
    elsewhere = [name for name in leaves() if name.rpartition(".")[2] == last]
    if elsewhere:
        return nearest(dotted, elsewhere) or f', did you mean "{elsewhere[0]}"?'
    tables = dict.fromkeys(name.rpartition(".")[0] for name in leaves())
    return nearest(dotted, [*leaves(), *tables])


def check_key(dotted: str) -> None:
    """MoError (usage) for a key that does not exist."""
    if dotted not in leaves():
        raise MoError(printable(f"no setting {dotted}{suggestion(dotted)}"), HINT, Exit.USAGE)


def check_value(dotted: str, text: str, source: str) -> Any:
    """The value that `text` means for this key; MoError: usage for an unknown key, config for a bad value."""
    check_key(dotted)
    layer = Layer(source, {})
    value = from_text(dotted, text)
    put(layer.data, dotted.split("."), value)
    if found := problems(layer):
        raise MoError("\n".join(found), "", Exit.CONFIG)
    return value
