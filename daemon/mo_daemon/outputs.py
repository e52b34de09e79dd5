"""The JSON result of a task: where its program leaves it, and whether it is what was asked for.

It is a file at the top of the worktree, since every kind of program can write there, in any sandbox.  It is
read and removed before the worktree is looked at, so it never becomes part of a commit.  Without the file,
what the program said last counts: the whole of it, its last fenced block, or its last line.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from mo_daemon.agents import files
from mo_daemon.briefing import OUTPUT_FILE
from mo_daemon.harvest import AttemptFailed
from mo_git.git.secret_patterns import find_secrets
from mo_git.model import FailureClass
from mo_git.plan_schema import DEPTH, too_deep, violations

FILE = OUTPUT_FILE
VARIABLE = "MO_OUTPUT"  # holds the file's absolute path
LIMIT = 64 * 1024  # bytes
_BLOCK = re.compile(r"^```(?:json)?[ \t]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def refuse_own(worktree: Path) -> None:
    """A repository that has a file of this name itself cannot be told from a task's output."""
    if os.path.lexists(worktree / FILE):
        raise AttemptFailed(FailureClass.BAD_CONFIG, f"the repository holds {FILE}, the name of task outputs")


def clear(worktree: Path) -> None:
    """Remove whatever stands at the file's name."""
    path = worktree / FILE
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def take(worktree: Path, schema: Mapping[str, Any], said: str) -> dict[str, Any]:
    """The output that a program left in its worktree or `said` last; AttemptFailed where it is no good."""
    path = worktree / FILE
    try:
        left = os.path.lexists(path)
        output = _object(files.tail(path, LIMIT + 1)) if left else _in_message(said)
        wrong = list(islice(violations(output, schema), 5))
        if wrong:
            raise ValueError("; ".join(wrong))
    except ValueError as error:
        raise AttemptFailed(FailureClass.INVALID_OUTPUT, f"its output ({FILE}): {error}") from None
    finally:
        clear(worktree)
    if found := find_secrets(json.dumps(output, indent=0, ensure_ascii=False).encode()):
        reason = f"its output ({FILE}) holds a credential: {found[0][0]}"
        raise AttemptFailed(FailureClass.SECRETS, reason)
    return output


def _object(data: bytes) -> dict[str, Any]:
    """ValueError says what is wrong with it."""
    if len(data) > LIMIT:
        raise ValueError(f"more than {LIMIT // 1024} KiB")
    try:
        value = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError:
        raise ValueError("not UTF-8 text, or half a surrogate pair in it") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}" if data else "an empty file, or no file at all") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    if too_deep(value):
        raise ValueError(f"nested deeper than {DEPTH} levels")
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _in_message(said: str) -> dict[str, Any]:
    for text in (said, *_BLOCK.findall(said)[-1:], *said.rstrip().splitlines()[-1:]):
        try:
            return _object(text.strip().encode("utf-8", "surrogatepass"))
        except ValueError:
            continue
    raise ValueError("there is no such file, and no JSON object at the end of what it said")
