"""The processes of a sandbox as seen from outside: whom to signal, and how bwrap itself failed.

SIGTERM to bwrap ends it, and all inside is killed at once.  The first process inside leads a group of its
own, to which the program belongs: signalling that group gives the program its time to end.  Nothing of it
outlives bwrap, whichever way bwrap ends.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

_FAILED = re.compile(rb"\Abwrap: ([^\n]+)")


def inner_pid(info: str | bytes) -> int:
    """The first process inside, from the JSON that bwrap wrote to --info-fd."""
    return int(json.loads(info)["child-pid"])


def inner_group(outer: int) -> int | None:
    """The process group of the program in the sandbox whose bwrap has this pid.

    None while bwrap is still preparing (nothing of the program runs yet) and when it has ended.
    """
    try:
        threads = list(Path(f"/proc/{outer}/task").iterdir())
        children = [int(pid) for thread in threads for pid in (thread / "children").read_text().split()]
        return next((child for child in children if os.getpgid(child) == child), None)
    except OSError:
        return None


def failure(output: bytes) -> str:
    """What bwrap said where it could not start the program; "" where the output does not begin with that."""
    found = _FAILED.match(output)
    return found[1].decode("utf-8", "replace") if found else ""
