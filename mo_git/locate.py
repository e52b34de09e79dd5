"""Find an agent's program: as configured, on PATH, or in a Python package that brings it along."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mo_git import process
from mo_git.errors import Exit, MoError
from mo_git.text import one_line

_VERSION_SECONDS = 30.0
_VERSION = re.compile(r"\d+(?:\.\d+)+[\w.+-]*")

# kind -> (Python package, the program in it, how a person gets it)
_BUNDLES = {
    "claude": ("claude_agent_sdk", "_bundled/claude", 'pip install "mo-git[agents]"'),
    "codex": ("codex_cli_bin", "bin/codex", 'pip install "mo-git[agents]"'),
}


@dataclass(frozen=True, slots=True)
class Found:
    """A program that runs.  `version` is empty where it does not say one; `source`: config, PATH, or the
    name of a Python package."""

    path: Path
    version: str
    source: str


def program(kind: str, command: str, environ: Mapping[str, str]) -> tuple[Path, str]:
    """Where the program is and what said so, without running it.

    `command` is the configured path or name.  MoError (exit 4) with the remedy where there is none.
    """
    search = environ.get("PATH", os.defpath)
    if command:
        given = shutil.which(str(Path(command).expanduser()), path=search)
        if given is None:
            hint = f"correct the command of {kind} in the configuration, or remove it to have it found"
            raise MoError(f"{kind}: {command} is not a program", hint, Exit.AGENT)
        return Path(given), "config"
    on_path = shutil.which(kind, path=search)
    if on_path is not None:
        return Path(on_path), "PATH"
    package, inner, remedy = _BUNDLES.get(kind, ("", "", "set its command in the configuration"))
    bundled = _in_package(package, inner) if package else None
    if bundled is None:
        hint = f"put {kind} on PATH, or: {remedy}; plans of commands and mo demo work without"
        raise MoError(f"{kind} is not installed", hint, Exit.AGENT)
    return bundled, package


def find(kind: str, command: str, environ: Mapping[str, str]) -> Found:
    """The program and its version; runs it once with `--version`.  MoError (exit 4) where it does not run."""
    path, source = program(kind, command, environ)
    try:
        status = path.stat()
    except OSError as error:
        raise MoError(f"cannot run {path}: {error.strerror}", "install it again", Exit.AGENT) from None
    version = _version(path, status.st_mtime_ns, status.st_size, tuple(sorted(_plain(environ).items())))
    return Found(path, version, source)


def _in_package(package: str, inner: str) -> Path | None:
    """A file of an installed package, without importing the package."""
    spec = importlib.util.find_spec(package)
    for directory in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(directory) / inner
        if os.access(path, os.X_OK) and path.is_file():
            return path
    return None


def _plain(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in ("PATH", "HOME", "LANG") if name in environ}


@lru_cache(maxsize=32)
def _version(path: Path, _changed: int, _size: int, env: tuple[tuple[str, str], ...]) -> str:
    """What the program calls its version; asked again only when the file changes."""
    try:
        done = process.run([str(path), "--version"], env=dict(env), timeout=_VERSION_SECONDS)
    except OSError as error:
        raise MoError(f"cannot run {path}: {error.strerror}", "install it again", Exit.AGENT) from None
    if done.code != 0:
        how = "does not answer" if done.code == 124 else f"ends with exit code {done.code}"
        said = one_line(done.error_text or done.text)
        message = f"{path} --version {how}" + (f": {said}" if said else "")
        raise MoError(message, "run it by hand, or install it again", Exit.AGENT)
    found = _VERSION.search(done.text)
    return found[0] if found else ""
