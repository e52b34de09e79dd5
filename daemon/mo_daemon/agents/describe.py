"""What a tool call does, in a few words for people: `edit src/a.py`, `run pytest -q`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mo_daemon.agents.stream import inside, text
from mo_git.text import one_line

LIMIT = 100

# tool of claude -> (verb, keys of its input that say on what)
_TOOLS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "Bash": ("run", ("command",)),
    "Edit": ("edit", ("file_path",)),
    "Glob": ("find", ("pattern",)),
    "Grep": ("search", ("pattern",)),
    "LS": ("list", ("path",)),
    "MultiEdit": ("edit", ("file_path",)),
    "NotebookEdit": ("edit", ("notebook_path",)),
    "Read": ("read", ("file_path",)),
    "StructuredOutput": ("answer", ()),
    "Task": ("delegate", ("description",)),
    "TodoWrite": ("plan", ()),
    "WebFetch": ("fetch", ("url",)),
    "WebSearch": ("search the web for", ("query",)),
    "Write": ("write", ("file_path",)),
}
_PATHS = frozenset({"file_path", "notebook_path", "path"})
_SHELLS = frozenset({"sh", "bash", "zsh", "dash"})


def tool_call(name: str, arguments: Mapping[str, Any], worktree: Path) -> str:
    """A call of one of claude's tools."""
    verb, keys = _TOOLS.get(name, (name, ("description", "file_path", "query", "url")))
    on = next(((key, found) for key in keys if (found := text(arguments.get(key)))), None)
    if on is None:
        return one_line(verb, LIMIT)
    return one_line(f"{verb} {inside(on[1], worktree) if on[0] in _PATHS else on[1]}", LIMIT)


def command_line(command: str) -> str:
    """A command without the shell that is wrapped around it."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if len(words) == 3 and Path(words[0]).name in _SHELLS and words[1] in ("-c", "-lc"):
        command = words[2]
    return one_line(f"run {command}", LIMIT)


def file_changes(changes: Sequence[tuple[str, str]], worktree: Path) -> str:
    """Changes of files, each as (add | update | delete, path)."""
    verbs = {"add": "write", "delete": "delete"}
    shown = [f"{verbs.get(kind, 'edit')} {inside(path, worktree)}" for kind, path in changes[:3]]
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    return one_line(", ".join(shown) + more, LIMIT) if shown else "edit files"
