"""The program that looks into contents: syntax, and regular expressions.  A process of its own.

Contents come from agents and patterns from people: what takes endless time, memory or stack ends this
process and nobody else (`examiner` starts it, asks it, and replaces it).  It reads and writes nothing but
questions and answers, a JSON document on a line each; a question's content follows its line.
"""

from __future__ import annotations

import json
import re
import resource
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from mo_daemon.simple import syntax

MODULE = "mo_daemon.simple.checker"
MEMORY = 2 * 2**30  # bytes of address space


def question(kind: str, about: Any, content: bytes, seconds: int) -> bytes:
    """A question as it is sent: `kind` is syntax (about: the path) or search (about: the patterns)."""
    head = {"kind": kind, "about": about, "size": len(content), "seconds": seconds}
    return json.dumps(head).encode() + b"\n" + content


def answer(kind: str, about: Any, content: bytes) -> Any:
    """For syntax: None, or [line, message].  For search: the positions of the patterns that match."""
    if kind == "syntax":
        found = syntax.wrong(about, content)
        return None if found is None else [found.line, found.message]
    return matching(about, content.decode("utf-8", "replace"))


def matching(patterns: Sequence[str], text: str) -> list[int]:
    """Positions of the patterns that match somewhere in a text; ^ and $ are those of each line."""
    return [n for n, pattern in enumerate(patterns) if re.search(pattern, text, re.MULTILINE)]


def main() -> None:
    warnings.simplefilter("ignore")  # of the contents' own
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    while line := sys.stdin.buffer.readline():
        asked = json.loads(line)
        content = sys.stdin.buffer.read(asked["size"])
        signal.alarm(asked["seconds"])  # the kernel ends it, whatever it is at
        said = answer(asked["kind"], asked["about"], content)
        signal.alarm(0)
        sys.stdout.buffer.write(json.dumps(said).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
