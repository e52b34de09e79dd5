"""Commands of items: `{target}`, `{targets}` and `{file}` are put in as words, whatever they hold."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from mo_git.model import Command

_PLACE = re.compile(r"\{(targets?)\}")


def of_item(command: Command, targets: Sequence[str]) -> tuple[str, ...]:
    """The argv of a command about an item: `{target}` is the first of `targets`, `{targets}` all of them.

    In an argv `{targets}` is a word of its own; in a text for `sh -c` both are quoted.
    """
    words = [_as_word(target) for target in targets]
    first = words[0] if words else ""
    if isinstance(command, str):
        quoted = {"target": shlex.quote(first), "targets": shlex.join(words)}
        return ("sh", "-c", _PLACE.sub(lambda place: quoted[place[1]], command))
    argv: list[str] = []
    for word in command:
        argv += words if word == "{targets}" else [word.replace("{target}", first)]
    return tuple(argv)


def of_file(command: Command, path: str) -> tuple[str, ...]:
    """The argv of a command about one file, `{file}`."""
    word = _as_word(path)
    if isinstance(command, str):
        return ("sh", "-c", command.replace("{file}", shlex.quote(word)))
    return tuple(part.replace("{file}", word) for part in command)


def _as_word(path: str) -> str:
    """A path that no program takes for an option."""
    return f"./{path}" if path.startswith("-") else path
