"""A run's own home and environment: caches and settings go where it may write, secrets stay behind."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mo_daemon.sandbox import gitconfig
from mo_daemon.sandbox.gitconfig import Setting
from mo_daemon.sandbox.mounts import is_dir, real
from mo_daemon.sandbox.words import Room

# variable -> place below the repository's cache
_CACHES = {
    "XDG_CACHE_HOME": "xdg",
    "PIP_CACHE_DIR": "pip",
    "UV_CACHE_DIR": "uv",
    "UV_PYTHON_INSTALL_DIR": "uv-python",  # what a .venv links to has to outlive the run that made it
    "WORKON_HOME": "virtualenvs",
    "NPM_CONFIG_CACHE": "npm",
    "npm_config_cache": "npm",
    "YARN_CACHE_FOLDER": "yarn",
    "CARGO_HOME": "cargo",
    "GOPATH": "go",
    "GOCACHE": "go-build",
    "GOMODCACHE": "go/pkg/mod",
    "GRADLE_USER_HOME": "gradle",
    "NUGET_PACKAGES": "nuget",
}
_OWN = {
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
}
# Tool chains that look below HOME unless a variable says where they are: variable -> place below a home.
_TOOLS = {
    "ASDF_DATA_DIR": ".asdf",
    "BUN_INSTALL": ".bun",
    "FNM_DIR": ".fnm",
    "NVM_DIR": ".nvm",
    "PLAYWRIGHT_BROWSERS_PATH": ".cache/ms-playwright",
    "PYENV_ROOT": ".pyenv",
    "RBENV_ROOT": ".rbenv",
    "RUSTUP_HOME": ".rustup",
    "SDKMAN_DIR": ".sdkman",
    "VOLTA_HOME": ".volta",
}
# They lead to services of the user's session.
_DROPPED = (
    *("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "DOCKER_HOST", "GPG_AGENT_INFO", "SSH_AGENT_PID"),
    *("SSH_AUTH_SOCK", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR"),
)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_SECRET = re.compile(r"token|secret|passw|auth|credential|api[_-]?key|username|//[^/\s@]+@", re.IGNORECASE)


def environment(env: Mapping[str, str], room: Room, homes: Sequence[Path]) -> dict[str, str]:
    """The environment of a program in the sandbox."""
    home, cache = real(room.home), real(room.cache)
    found = {name: value for name, value in env.items() if name not in _DROPPED}
    found |= {"HOME": str(home), "TMPDIR": "/tmp", "GIT_CONFIG_NOSYSTEM": "1", "GIT_OPTIONAL_LOCKS": "0"}
    found |= {name: str(home / place) for name, place in _OWN.items()}
    found |= {name: str(cache / place) for name, place in _CACHES.items()}
    for name, place in _TOOLS.items():
        if name not in found and (tool := _first(homes, place)):
            found[name] = str(tool)
    packages = _first(homes, ".local/lib")
    if packages and "PYTHONUSERBASE" not in found and any(packages.glob("python3*")):
        found["PYTHONUSERBASE"] = str(packages.parent)
    return found


def _first(homes: Sequence[Path], place: str) -> Path | None:
    return next((home / place for home in homes if is_dir(home / place)), None)


def prepare(room: Room, homes: Sequence[Path], environ: Mapping[str, str]) -> None:
    """Make the directories of a room, with the user's settings as far as they are not secret.

    Those are git's, npm's, pip's and cargo's, read anew each time.  `environ` is the daemon's.  A program
    could write to these directories before, so no link in them is followed.
    """
    for root, places in ((room.home, _OWN), (room.cache, _CACHES)):
        root.mkdir(parents=True, exist_ok=True)
        for place in places.values():
            os.close(_directory(root, place))
    home = homes[0] if homes else Path("/nonexistent")
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    _git(room, home, config, environ)
    _replace(room.home, ".npmrc", _public(_text(home / ".npmrc")))
    _replace(room.home, ".config/pip/pip.conf", _public(_text(config / "pip/pip.conf")))
    _replace(room.cache, "cargo/config.toml", _public(_text(home / ".cargo/config.toml")))


def _git(room: Room, home: Path, config: Path, environ: Mapping[str, str]) -> None:
    """git's settings; inside, whoever owns a directory does not matter."""
    files = [config / "git/config", home / ".gitconfig"]
    if named := environ.get("GIT_CONFIG_GLOBAL"):
        files = [Path(named)]
    text = "\n".join(_text(file) for file in files)
    trusted = Setting("safe", "", "directory", "*")
    _replace(room.home, ".gitconfig", gitconfig.render([*gitconfig.for_user(text), trusted]))
    ignore = config / "git/ignore"
    for name in gitconfig.excludes_files(text):
        ignore = Path(name.replace("~/", f"{home}/", 1) if name.startswith("~/") else home / name)
    _replace(room.home, ".config/git/ignore", _text(ignore))


def _public(text: str) -> str:
    """The lines that hold nothing secret and name nothing that does."""
    return "".join(_lines(text))


def _lines(text: str) -> Iterator[str]:
    yield from (line for line in text.splitlines(keepends=True) if not _SECRET.search(line))


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def _replace(root: Path, place: str, text: str) -> None:
    """Write a small file below a directory, in place of whatever is there; without text only remove it."""
    parent, _, name = place.rpartition("/")
    directory = _directory(root, parent)
    try:
        _remove(directory, name)
        if text:
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
            with os.fdopen(file, "wb") as stream:
                stream.write(text.encode("utf-8", "surrogateescape"))
    finally:
        os.close(directory)


def _directory(root: Path, place: str) -> int:
    """A handle of a directory below `root`, made where it is missing; anything else in its way is removed."""
    handle = os.open(root, _DIRECTORY)
    for name in filter(None, place.split("/")):
        try:
            deeper = os.open(name, _DIRECTORY, dir_fd=handle)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                _remove(handle, name)
            with contextlib.suppress(FileExistsError):  # another run of the same cache made it just now
                os.mkdir(name, 0o700, dir_fd=handle)
            deeper = os.open(name, _DIRECTORY, dir_fd=handle)
        os.close(handle)
        handle = deeper
    return handle


def _remove(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):
        shutil.rmtree(name, dir_fd=directory)
