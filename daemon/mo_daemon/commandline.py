"""Reading a command line (is it one simple command, which test runner does it start?), and changing it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from mo_git.model import Command

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_PYTHON = re.compile(r"(python|pypy)[\d.]*")
_RUN_WRAPPERS = {"uv", "poetry", "pdm", "pipenv", "hatch", "rye", "pixi", "dotenv"}  # as in `uv run`
_PLAIN_WRAPPERS = {"env", "npx", "bunx", "timeout", "nice", "time", "xvfb-run", "stdbuf", "ionice"}
_VALUED = {
    "--with",
    "--group",
    "--only-group",
    "--extra",
    "--python",
    "-p",
    "--package",
    "--env-file",
    "--from",
}
_VALUED |= {"--with-requirements", "--with-editable", "--project", "--directory", "-n", "-s", "-e", "-k"}
_MANAGERS = {"npm", "pnpm", "yarn"}


def words_of(command: Command) -> list[str] | None:
    """The words of one simple command; None for a shell text that is more than that."""
    if isinstance(command, tuple):
        return list(command)
    text = command.strip()
    if "\n" in text or "`" in text or re.search(r"(^|\s)#", text):
        return None
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        return None
    return None if any(word and set(word) <= set("();<>|&") for word in words) else words


def recognise(words: list[str], at: int) -> tuple[str, int] | None:
    """The runner that a simple command starts, and the index of the word that says so."""
    while at < len(words) and _ASSIGNMENT.match(words[at]):
        at += 1
    if at >= len(words):
        return None
    name, after = PurePosixPath(words[at]).name, words[at + 1 : at + 2]
    if name in ("pytest", "py.test"):
        return "pytest", at
    if _PYTHON.fullmatch(name):
        return _python_module(words, at + 1)
    if name in ("vitest", "jest"):
        return name, at
    if name == "node":
        return ("node", words.index("--test", at)) if "--test" in words[at:] else None
    if name == "go":
        return ("go", at + 1) if after == ["test"] else None
    if name == "cargo":
        return _cargo_test(words, at + 1)
    if name in _MANAGERS:
        return "package", at
    if name == "coverage" and after == ["run"] and "-m" in words[at:]:
        module = words.index("-m", at) + 1
        return ("pytest", module) if words[module : module + 1] == ["pytest"] else None
    if name in _PLAIN_WRAPPERS or (name in _RUN_WRAPPERS and "run" in words[at + 1 :]):
        start = at + 1 if name in _PLAIN_WRAPPERS else words.index("run", at + 1) + 1
        return _behind_wrapper(words, start)
    return None


def _behind_wrapper(words: list[str], at: int) -> tuple[str, int] | None:
    """Skip a wrapper's own options, durations and assignments, then recognise what it runs."""
    while at < len(words):
        word = words[at]
        if word.startswith("-"):
            at += 2 if word in _VALUED else 1
        elif re.match(r"\d", word) or _ASSIGNMENT.match(word):
            at += 1
        else:
            return recognise(words, at)
    return None


def _python_module(words: list[str], at: int) -> tuple[str, int] | None:
    while at < len(words) and words[at].startswith("-") and words[at] != "-m":
        at += 2 if words[at] in ("-W", "-X") else 1
    if words[at : at + 1] != ["-m"]:
        return None
    module = words[at + 1] if at + 1 < len(words) else ""
    if module in ("pytest", "unittest"):
        return module, at + 1
    return recognise(words, at + 1) if module == "coverage" else None


def _cargo_test(words: list[str], at: int) -> tuple[str, int] | None:
    if at < len(words) and words[at].startswith("+"):
        at += 1
    return ("cargo", at) if words[at : at + 1] in (["test"], ["t"]) else None


# -- changing a command -------------------------------------------------------------------------------


def added(command: Command, extra: Iterable[str]) -> Command:
    """The command with further words at its end."""
    if isinstance(command, tuple):
        return (*command, *extra)
    return f"{command.strip()} {shlex.join(extra)}"


def replaced(
    command: Command, words: list[str], at: int, count: int, new: Sequence[str], pattern: str
) -> Command | None:
    """Put `new` in the place of words[at:at+count]; in a shell text, of what `pattern` finds.

    None where the pattern finds nothing.
    """
    if isinstance(command, tuple):
        return (*words[:at], *new, *words[at + count :])
    changed, times = re.subn(pattern, lambda _: shlex.join(new), command, count=1)
    return changed if times else None
