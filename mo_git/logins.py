"""Which credentials an agent works with: found in the environment, stored by `mo agents login`, or its own.

mo's part lies in the user's own state directory, in one directory for each agent's name: `cli/` is the
directory of a CLI that was logged in there, `token` a token as it was given.  Nothing is ever copied out of
another place.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mo_git.errors import Exit, MoError
from mo_git.home import own_state, write_atomically


@dataclass(frozen=True, slots=True)
class Login:
    """How one kind of CLI logs in.

    `keys` are variables that hold a key, `token` the one that takes a stored token (empty: it takes none).
    `variable` names the directory of logins and sessions, `usual` is that below a home, `file` is in it once
    somebody has logged in.  `words` make the program log in.
    """

    keys: tuple[str, ...]
    token: str
    variable: str
    usual: str
    file: str
    words: tuple[str, ...]


LOGINS: Mapping[str, Login] = {
    "claude": Login(
        ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CONFIG_DIR",
        ".claude",
        ".credentials.json",
        ("auth", "login"),
    ),
    "codex": Login(
        ("OPENAI_API_KEY", "CODEX_API_KEY", "CODEX_ACCESS_TOKEN"),
        "",
        "CODEX_HOME",
        ".codex",
        "auth.json",
        ("login",),
    ),
}


class Source(StrEnum):
    """Where an agent's credentials come from."""

    KEY = "a key in the environment"
    TOKEN = "a token stored by mo"
    DIRECTORY = "a login of its own"  # in `config_dir`, or made by `mo agents login`
    SHARED = "the program's own login"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an agent is given.

    `environ` is what the daemon knows, with exactly the keys that this agent may see.  `directory` is that
    of the CLI's login; None where a key is used instead, or where the CLI would find its own.
    """

    source: Source
    environ: Mapping[str, str]
    directory: Path | None = None


def credentials(name: str, kind: str, config_dir: str, environ: Mapping[str, str]) -> Credentials:
    """The first of: a key of the environment, a stored token, a directory of its own, the CLI's own login.

    An agent that was declared as another account, and given a login under its name, takes that one before
    the keys of the environment, and does not see them.
    """
    login = LOGINS.get(kind)
    if login is None:
        return Credentials(Source.NONE, environ)
    own = _own(name, login, config_dir, environ)
    if any(environ.get(key) for key in login.keys) and (own is None or name == kind):
        return Credentials(Source.KEY, environ)
    if own is not None:
        return own
    home = environ.get("HOME", "")
    usual = Path(environ.get(login.variable) or (f"{home}/{login.usual}" if home else "/nonexistent"))
    there = (usual / login.file).is_file()
    return Credentials(Source.SHARED if there else Source.NONE, environ, usual if usual.is_dir() else None)


def _own(name: str, login: Login, config_dir: str, environ: Mapping[str, str]) -> Credentials | None:
    """What was given to this agent under its name."""
    others = {key: value for key, value in environ.items() if key not in login.keys}
    if login.token and (token := read_token(name, environ)):
        return Credentials(Source.TOKEN, {**others, login.token: token})
    directory = login_directory(name, config_dir, environ)
    if config_dir or (directory / login.file).is_file():
        return Credentials(Source.DIRECTORY, others, directory)
    return None


# -- what mo keeps ------------------------------------------------------------------------------------


def root(environ: Mapping[str, str]) -> Path:
    """The directory of all logins that mo keeps."""
    return own_state(environ) / "logins"


def login_directory(name: str, config_dir: str, environ: Mapping[str, str]) -> Path:
    """Where the CLI of this agent keeps its login: the configured directory, else mo's own."""
    return Path(config_dir).expanduser() if config_dir else root(environ) / name / "cli"


def make_directory(directory: Path) -> None:
    """The directory, for nobody but this user; MoError where it cannot be made."""
    try:
        for place in (*reversed(directory.parents), directory):
            place.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise MoError(f"cannot make {directory}: {error.strerror}", "check its permissions") from None


def read_token(name: str, environ: Mapping[str, str]) -> str:
    """The stored token; empty where there is none."""
    try:
        return _token_file(name, environ).read_text().strip()
    except OSError:
        return ""


def store_token(name: str, token: str, environ: Mapping[str, str]) -> Path:
    """Keep a token for this agent, readable by this user only; MoError (usage) for what is none."""
    if not token or any(not mark.isprintable() or mark.isspace() for mark in token):
        raise MoError("that is no token", "one line without spaces, as the program printed it", Exit.USAGE)
    file = _token_file(name, environ)
    make_directory(file.parent)
    write_atomically(file, token + "\n", 0o600)
    return file


def forget(name: str, environ: Mapping[str, str]) -> bool:
    """Remove what mo keeps for this agent; whether there was anything."""
    place = root(environ) / name
    if not os.path.lexists(place):
        return False
    shutil.rmtree(place)
    return True


def _token_file(name: str, environ: Mapping[str, str]) -> Path:
    return root(environ) / name / "token"
