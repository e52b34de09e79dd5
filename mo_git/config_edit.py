"""Changing one key of a settings file; everything else in it, comments included, stays as it is."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from mo_git.config_check import check_value
from mo_git.config_layers import drop, put, read_file
from mo_git.errors import Exit, MoError
from mo_git.home import write_atomically


def set_value(path: Path, dotted: str, value: str) -> None:
    """Write `value` (TOML, or plain text) for the key; makes the file where there is none.

    Raises MoError: usage for an unknown key, config for a bad value or a broken file.
    """
    import tomlkit

    typed = check_value(dotted, value, str(path))
    text, data = _read(path)
    document = tomlkit.parse(text)
    *sections, last = dotted.split(".")
    table: MutableMapping[str, Any] = document
    for name in sections:
        if name not in table:
            table[name] = tomlkit.table()
        table = table[name]
        if not isinstance(table, MutableMapping):
            raise MoError(f"{path}: {name} is not a table", f"correct {path} by hand", Exit.CONFIG)
    table[last] = typed
    put(data, dotted.split("."), typed)
    _write(path, tomlkit.dumps(document), data)


def unset_value(path: Path, dotted: str) -> None:
    """Remove the key, known or not; MoError (not found) where the file does not set it."""
    import tomlkit

    text, data = _read(path)
    document = tomlkit.parse(text)
    *sections, last = dotted.split(".")
    table: Any = document
    for name in sections:
        table = table.get(name, {}) if isinstance(table, MutableMapping) else {}
    if not isinstance(table, MutableMapping) or last not in table:
        raise MoError(f"{path} does not set {dotted}", "mo config show --origin", Exit.NOT_FOUND)
    del table[last]
    drop(data, dotted.split("."))
    _write(path, tomlkit.dumps(document), data)


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    layer = read_file(path)
    return (layer.content.decode().removeprefix("\ufeff"), layer.data) if layer else ("", {})


def _write(path: Path, text: str, expected: dict[str, Any]) -> None:
    """Replace the file, unless the new text does not mean what is expected."""
    try:
        as_meant = tomllib.loads(text) == expected
    except tomllib.TOMLDecodeError:
        as_meant = False
    if not as_meant:
        raise MoError(f"{path} cannot be changed automatically", f"edit {path} by hand", Exit.CONFIG)
    target = path.resolve()  # a link (dotfiles kept elsewhere) stays a link
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644
    write_atomically(target, text, mode)
