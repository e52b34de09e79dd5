"""`mo config`: show, check and change settings."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mo_git import trust
from mo_git.cli import Context
from mo_git.cli.context import find_layout, load_settings
from mo_git.config_layers import CLONE_FILE, REPOSITORY_FILE, user_config_file
from mo_git.errors import Exit, MoError
from mo_git.git.layout import discover
from mo_git.home import DIRECTORY


@click.group(name="config", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show, check and change settings.

    Settings come from, later ones winning: the user's file, .mo/config.toml, .mo/local.toml, environment
    variables such as MO_GATE__TIMEOUT=600.  Without a command: show.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(show)


@command.command()
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@click.pass_obj
def show(obj: Context, origin: bool = False) -> None:
    """Print every setting in force."""
    from mo_git.config import dump, get

    loaded = load_settings(obj.cwd)
    document = {
        "config": {name: get(loaded, name) for name in loaded.origins},
        "origins": dict(loaded.origins),
        "untrusted": list(loaded.untrusted),
    }
    _print(obj, document, dump(loaded, origin))
    _warn_untrusted(loaded.untrusted)


@command.command("get")
@click.argument("key")
@click.pass_obj
def get_key(obj: Context, key: str) -> None:
    """Print one setting: text as it is, other values as TOML."""
    from mo_git.config import check_key, get
    from mo_git.tomltext import toml_value

    check_key(key)
    loaded = load_settings(obj.cwd)
    value = get(loaded, key)
    shown = value if isinstance(value, str) else "" if value is None else toml_value(value)
    _print(obj, {"key": key, "value": value, "origin": loaded.origins[key]}, [shown])
    _warn_untrusted([name for name in loaded.untrusted if name == key])


@command.command("set")
@click.argument("key")
@click.argument("value")
@click.option("--user", "scope", flag_value="user", help="In the user's own file.")
@click.option("--repo", "scope", flag_value="repo", help="In .mo/config.toml (default).")
@click.option("--local", "scope", flag_value="local", help="In .mo/local.toml: this clone only.")
@click.pass_obj
def set_key(obj: Context, key: str, value: str, scope: str | None) -> None:
    """Write one setting into a file.

    The rest of the file, comments included, stays as it is.

    VALUE is TOML, or plain text: 8, true, '["npm ci"]', pytest -q.
    """
    from mo_git.config import check_value, set_value

    path = _file(obj, scope)
    typed = check_value(key, value, str(path))
    _refuse_unknown_agent(obj, key, typed, path)
    guard = _Guard(obj, scope, path)
    set_value(path, key, value)
    guard.after(key)
    _print(obj, {"key": key, "value": typed, "file": str(path)}, [f"{key} is set in {path}"])


@command.command()
@click.argument("key")
@click.option("--user", "scope", flag_value="user", help="In the user's own file.")
@click.option("--repo", "scope", flag_value="repo", help="In .mo/config.toml (default).")
@click.option("--local", "scope", flag_value="local", help="In .mo/local.toml: this clone only.")
@click.pass_obj
def unset(obj: Context, key: str, scope: str | None) -> None:
    """Remove one setting from a file."""
    from mo_git.config import unset_value

    path = _file(obj, scope)
    guard = _Guard(obj, scope, path)
    unset_value(path, key)
    guard.after(key)
    _print(obj, {"key": key, "value": None, "file": str(path)}, [f"{key} is no longer set in {path}"])


@command.command()
@click.pass_obj
def check(obj: Context) -> None:
    """Say everything that is wrong with the settings.

    Exit code 7 if anything is.
    """
    loaded = load_settings(obj.cwd)
    files = [str(path) for path in loaded.files]
    lines = [f"good: {path}" for path in files] or ["good: no settings file, defaults only"]
    _print(obj, {"ok": True, "files": files, "untrusted": list(loaded.untrusted)}, lines)
    _warn_untrusted(loaded.untrusted)


@command.command()
@click.pass_obj
def path(obj: Context) -> None:
    """Print the settings files, whether they exist or not."""
    layout = find_layout(obj.cwd)
    found: list[tuple[str, Path]] = []
    if user := user_config_file(os.environ):
        found.append(("user", user))
    if layout:
        home = layout.top / DIRECTORY
        found += [("repo", home / REPOSITORY_FILE), ("local", home / CLONE_FILE)]
    files = [{"scope": scope, "path": str(file), "exists": file.exists()} for scope, file in found]
    lines = [f"{scope:5}  {file}{'' if file.exists() else '  (none)'}" for scope, file in found]
    _print(obj, {"files": files}, lines)


@command.command("list")
@click.pass_obj
def list_keys(obj: Context) -> None:
    """Print every key with its default and what it means."""
    from mo_git.config import key_listing
    from mo_git.config_schema import plain
    from mo_git.tomltext import toml_value

    keys = [(name, plain(default), doc) for name, default, doc in key_listing()]
    lines = [
        f"{name} = {'' if default is None else toml_value(default)}\n    {doc}" for name, default, doc in keys
    ]
    _print(obj, {"keys": [{"key": n, "default": default, "doc": doc} for n, default, doc in keys]}, lines)


# -- shared -------------------------------------------------------------------------------------------


def _refuse_unknown_agent(obj: Context, key: str, value: Any, path: Path) -> None:
    """MoError (config) where the key takes the name of an agent, and this is none."""
    from mo_git.config_check import bad_name

    if bad_name(key, value, ()):
        agents = load_settings(obj.cwd).config.roster
        if what := bad_name(key, value, agents):
            raise MoError(f"{path}: {key} = {value}: {what}", "mo agents list", Exit.CONFIG)


def _file(obj: Context, scope: str | None) -> Path:
    """The file of a scope; MoError where there is no place for it."""
    if scope == "user":
        if user := user_config_file(os.environ):
            return user
        raise MoError("there is no place for the user's settings: HOME is not set", "set HOME", Exit.USAGE)
    home = discover(obj.cwd).top / DIRECTORY
    if not home.is_dir():
        raise MoError(
            f"there is no {home} yet", "mo init makes it; --user changes your own settings", Exit.NOT_FOUND
        )
    return home / (CLONE_FILE if scope == "local" else REPOSITORY_FILE)


class _Guard:
    """Keeps a trusted tracked file trusted over a change that its user makes here."""

    def __init__(self, obj: Context, scope: str | None, path: Path) -> None:
        self._path = path
        self._common_dir = Path()
        self._tracked = self._trusted = False
        if scope != "user":
            layout = discover(obj.cwd)
            self._common_dir = layout.common_dir
            self._tracked = trust.tracked(layout.top)(path.name)
            content = path.read_bytes() if path.exists() else b""
            self._trusted = self._tracked and trust.is_trusted(
                layout.common_dir, path.name, content, environ=os.environ
            )

    def after(self, key: str) -> None:
        from mo_git.config import is_guarded

        if self._trusted:
            files = {self._path.name: self._path.read_bytes()}
            trust.trust(self._common_dir, files, environ=os.environ)
        elif self._tracked and is_guarded(key):
            _warn_untrusted([key])


def _warn_untrusted(names: Sequence[str]) -> None:
    if names:
        click.echo(
            f"not used until `mo trust`, since the file is tracked by git: {', '.join(names)}", err=True
        )


def _print(obj: Context, document: dict[str, Any], lines: Sequence[str]) -> None:
    for line in [json.dumps({"v": 1, **document})] if obj.json else lines:
        click.echo(line)
