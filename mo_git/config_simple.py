"""Settings of simple mode: many small items, each with a worktree of its own."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

from mo_git.config_base import Commands, Section, key
from mo_git.model import Command

_EXTENSION = re.compile(r"\.[^/\s.]+(\.[^/\s.]+)*")


def _checkers(value: dict[str, Command]) -> dict[str, Command]:
    for extension, command in value.items():
        off = command == ""
        if not _EXTENSION.fullmatch(extension) or not (off or _says_something(command)):
            raise ValueError("an extension names a command, or an empty text")
    return value


def _says_something(command: Command) -> bool:
    return bool(command.strip()) if isinstance(command, str) else bool(command and command[0].strip())


Checkers = Annotated[Commands, AfterValidator(_checkers)]


class Simple(Section):
    """Many small items at once (mo simple)."""

    workers: int = key(16, "items at work at once, each in a worktree of its own", ge=1)
    max_attempts: int = key(3, "attempts of one item, the first included, where it says nothing", ge=1)
    timeout: float = key(1800.0, "seconds for one attempt of an item that says nothing", gt=0)
    verify_timeout: float = key(600.0, "seconds for each command that checks an item", gt=0)
    batch: int = key(200, "accepted items that are gated together at most", ge=1)
    bucket_strategy: Literal["dir", "extension", "none"] = key(
        "dir", "what takes turns, where an item names no bucket: directories, extensions, or nothing"
    )
    syntax: bool = key(True, "an item may not leave a file with a new syntax error")
    syntax_checkers: Checkers = key(
        {},
        'commands (sh -c, or a list) that check files by extension, {file}: the file; "": no check',
        guarded=True,
        example='".js" = "node --check {file}"',
    )
