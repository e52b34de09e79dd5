"""Settings: read from all layers, checked as a whole, changed one key at a time.

Order, later ones winning: defaults, the user's file, `.mo/config.toml`, `.mo/local.toml`, environment
(MO_SECTION__KEY), command line.  Each layer is checked by itself, so that every error names its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mo_git.config_check import (
    HINT,
    check_key,
    check_value,
    from_text,
    known_agents,
    problems,
    wrong_entries,
    wrong_names,
)
from mo_git.config_edit import set_value, unset_value
from mo_git.config_file import render_default_file
from mo_git.config_layers import (
    CLONE_FILE,
    REPOSITORY_FILE,
    Layer,
    drop,
    from_environment,
    from_overrides,
    merge,
    put,
    read_file,
    user_config_file,
)
from mo_git.config_layers import leaves as leaves_of
from mo_git.config_schema import (
    Config,
    field_of,
    in_entry,
    is_guarded,
    key_listing,
    leaves,
    plain,
)
from mo_git.errors import Exit, MoError
from mo_git.tomltext import toml_value
from mo_git.values import printable

__all__ = [
    "Config",
    "Loaded",
    "check_key",
    "check_value",
    "dump",
    "get",
    "guarded_values",
    "is_guarded",
    "key_listing",
    "load",
    "render_default_file",
    "set_value",
    "unset_value",
    "user_config_file",
]

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force.

    `origins`: dotted key -> "default", a file, a variable or "command line".  `files`: those that were read.
    `untrusted`: guarded keys that a file of the repository sets and that do not count until it is trusted.
    """

    config: Config
    origins: Mapping[str, str]
    files: tuple[Path, ...]
    untrusted: tuple[str, ...]


def load(
    home: Path | None,
    *,
    environ: Mapping[str, str],
    user_file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    trusted: Callable[[str, bytes], bool] = lambda _path, _content: True,
) -> Loaded:
    """Read all layers.  `home` is the `.mo` directory (None: outside a repository).

    `user_file` None: the usual one, `user_config_file(environ)`.  `overrides`: dotted key -> value, None
    values ignored.  `trusted(path below .mo, content)` says whether a file of the repository may
    set guarded keys.  Raises MoError (config) with every problem on a line of its own.
    """
    own_files = [home / name for name in (REPOSITORY_FILE, CLONE_FILE)] if home else []
    layers: list[Layer] = []
    wrong: list[str] = []
    untrusted: list[str] = []
    files: list[Path] = []
    for path in [user_file or user_config_file(environ), *own_files]:
        layer = _read(path, wrong) if path else None
        if layer and path:
            files.append(path)
            wrong += problems(layer)
            if path in own_files and not trusted(path.name, layer.content):
                untrusted += _leave_out_guarded(layer)
            layers.append(layer)
    for layer in (_typed(from_environment(environ)), from_overrides(overrides or {})):
        wrong += problems(layer)
        layers.append(layer)
    known = known_agents(layers)
    wrong += [line for layer in layers for line in wrong_names(layer, known)]
    if wrong:
        raise MoError("\n".join(wrong), HINT, Exit.CONFIG)
    data, origins = merge(layers)
    config = Config.model_validate(data)
    if wrong := wrong_entries(config, origins):
        raise MoError("\n".join(wrong), HINT, Exit.CONFIG)
    declared = [name for name in origins if name not in leaves()]
    by_key = {name: origins.get(name, DEFAULT) for name in (*leaves(), *declared)}
    return Loaded(config, by_key, tuple(files), tuple(dict.fromkeys(untrusted)))


def _read(path: Path, wrong: list[str]) -> Layer | None:
    try:
        return read_file(path)
    except MoError as error:
        wrong.append(error.message)
        return None


def guarded_values(data: Mapping[str, Any]) -> dict[str, Any]:
    """The guarded keys that this data sets to something else than their harmless default."""
    found = {}
    for name, value in leaves_of(data):
        field = field_of(name)
        if field and is_guarded(name) and value != plain(field.default):
            found[name] = value
    return {name: found[name] for name in (*filter(found.get, leaves()), *found)}


def _leave_out_guarded(layer: Layer) -> list[str]:
    names = list(guarded_values(layer.data))
    for name in names:
        drop(layer.data, name.split("."))
    return names


def _typed(layer: Layer) -> Layer:
    data: dict[str, Any] = {}
    for dotted, text in leaves_of(layer.data):
        put(data, dotted.split("."), from_text(dotted, text))
    return Layer(layer.source, data, variables=layer.variables)


def get(loaded: Loaded, dotted: str) -> Any:
    """The value in force; MoError (usage) for a key that does not exist."""
    check_key(dotted)
    value: Any = loaded.config
    name, rest = in_entry(dotted)
    if name:
        if name not in loaded.config.agents.entries:
            raise MoError(f"there is no [agents.{name}]", "mo agents list shows the agents", Exit.USAGE)
        value, dotted = loaded.config.roster[name], rest
    for part in dotted.split("."):
        assert isinstance(value, BaseModel)
        value = getattr(value, part)
    return plain(value)


def dump(loaded: Loaded, origin: bool) -> list[str]:
    """Every setting as a line of TOML, with `origin` followed by where it comes from."""
    lines = []
    for name in loaded.origins:
        value = get(loaded, name)
        line = f"# {name} is not set" if value is None else f"{name} = {printable(toml_value(value))}"
        lines.append(f"{line}  # {loaded.origins[name]}" if origin else line)
    return lines
