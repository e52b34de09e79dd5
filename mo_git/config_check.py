"""Whether settings can be used: each layer by itself, so that every error names its file or variable."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mo_git.config_agents import ENTRY
from mo_git.config_layers import Layer, put
from mo_git.config_layers import leaves as leaves_of
from mo_git.config_schema import (
    Config,
    allowed,
    choices,
    entry_leaves,
    field_of,
    in_entry,
    leaves,
    takes_text,
)
from mo_git.errors import Exit, MoError
from mo_git.model import BUILT_IN_AGENTS, PROVIDERS
from mo_git.tomltext import toml_value
from mo_git.values import Wrong, nearest, printable, slug

_NAMING = ("routing.default_provider", "routing.fallbacks", "routing.phase_defaults.")
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
        (".".join(names[:n]) for n in range(len(names), 0, -1) if field_of(".".join(names[:n]))), ""
    )
    if field := field_of(dotted):
        value = _value(layer.data, dotted)
        close = nearest(value, choices(field)) if isinstance(value, str) else ""
        what = f"expected {allowed(field)}{close}"
    else:
        dotted = ".".join(names)
        value = _value(layer.data, dotted)
        unknown = error_type == "extra_forbidden" or _is_no_entry(names)
        what = f"unknown key{suggestion(dotted)}" if unknown else "expected a table"
    return printable(f"{_origin(layer, dotted)}: {dotted} = {_shown(value)}: {what}")


def _is_no_entry(names: list[str]) -> bool:
    """Whether this is a value straight below [agents], where only settings and tables stand."""
    return names[0] == "agents" and len(names) == 2


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
    if in_entry(dotted)[0]:
        beginning = ENTRY.replace("NAME", in_entry(dotted)[0])
        return nearest(dotted, [beginning + name for name in entry_leaves()])
    elsewhere = [name for name in leaves() if name.rpartition(".")[2] == last]
    if elsewhere:
        return ("." in dotted and nearest(dotted, elsewhere)) or f', did you mean "{elsewhere[0]}"?'
    tables = dict.fromkeys(name.rpartition(".")[0] for name in leaves())
    return nearest(dotted, [*leaves(), *tables])


def check_key(dotted: str) -> None:
    """MoError (usage) for a key that does not exist."""
    if not field_of(dotted):
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


# -- names of agents ------------------------------------------------------------------------------------


def known_agents(layers: Sequence[Layer]) -> list[str]:
    """The built-in agents, and what any layer declares."""
    tables = [layer.data.get("agents") for layer in layers]
    declared = [name for table in tables if isinstance(table, dict) for name in table]
    return list(
        dict.fromkeys((*BUILT_IN_AGENTS, *(name for name in declared if not field_of(f"agents.{name}"))))
    )


def wrong_names(layer: Layer, agents: Collection[str]) -> list[str]:
    """What is wrong with the names of agents that this layer uses."""
    found = []
    for dotted, value in leaves_of(layer.data):
        if what := bad_name(dotted, value, agents):
            found.append(printable(f"{_origin(layer, dotted)}: {dotted} = {_shown(value)}: {what}"))
    return found


def wrong_entries(config: Config, origins: Mapping[str, str]) -> list[str]:
    """What is wrong with the agents that are declared, over all layers."""
    wrong = []
    for name, entry in config.agents.entries.items():
        if what := _bad_entry(name, entry.kind):
            origin = next(origin for key, origin in origins.items() if key.startswith(f"agents.{name}."))
            wrong.append(printable(f"{origin}: agents.{name}: {what}"))
    return wrong


def _bad_entry(name: str, kind: str) -> str:
    if name in PROVIDERS:
        own = name in BUILT_IN_AGENTS
        return f"the settings of {name} are in [{name}]" if own else "is reserved, use another name"
    try:
        slug(name)
    except Wrong as wrong:
        return str(wrong)
    return "" if kind else 'it has no kind: kind = "claude", "codex" or "generic"'


def bad_name(dotted: str, value: Any, agents: Collection[str]) -> str:
    """Why a key does not take this value as the name of an agent; empty for other keys, too."""
    if not dotted.startswith(_NAMING):
        return ""
    known = [*agents]
    if dotted == "routing.default_provider":
        known = [name for name in PROVIDERS if name not in agents] + known
    for name in value if isinstance(value, list) else [value]:
        if isinstance(name, str) and name not in known:
            return f"expected one of {', '.join(known)}{nearest(name, known)}"
    return ""
