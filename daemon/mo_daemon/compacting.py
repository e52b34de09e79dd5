"""What a new session is told of one that ran out of context: what is there of it, and what it said last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mo_daemon.prompts import data_block
from mo_git.views.streams import stream_lines

PATHS = 200  # of what it changed
MESSAGES = 6000  # characters of its last messages


def carried_over(changes: Mapping[str, str], stream: str, *, goes_on: bool) -> str:
    """`changes`: path -> status of what the session left; `stream`: the end of what the program printed."""
    said = (
        "\nThe session before this one ran out of context. Go on from where it was; read only what you need, "
        "a part of a large file at a time, and keep the output of commands short.\n"
    )
    if goes_on and changes:
        listed = [f"{status} {path}" for path, status in list(changes.items())[:PATHS]]
        more = [f"and {len(changes) - PATHS} more"] if len(changes) > PATHS else []
        said += data_block("what it changed so far, all of it in the worktree", "\n".join(listed + more))
    last = _newest(stream.splitlines()[1:])  # the first line may have been cut
    return said + (data_block("what it did and said last", last) if last else "")


def _newest(lines: Sequence[str]) -> str:
    """The newest lines for people, together within the limit, in their order."""
    shown = [said for line in lines for said in stream_lines(line)]
    kept: list[str] = []
    room = MESSAGES
    for said in reversed(shown):
        room -= len(said) + 1
        if room < 0:
            break
        kept.append(said)
    return "\n".join(reversed(kept))
