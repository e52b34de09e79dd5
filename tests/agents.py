"""`mo` with the real claude and codex, which talk to a loopback stub of their providers; and stand-ins."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mo_git import locate
from mo_git.errors import MoError
from tests import need
from tests.driver import Mo
from tests.stub_api import StubApi

KINDS = ("claude", "codex")
API = {"claude": "/messages", "codex": "/responses"}

# A regular expression for steps ("when", "until"): whether the prompt tells of an earlier attempt.
AGAIN = "was not[ ]accepted"


no_bundles = pytest.mark.skipif(
    any(importlib.util.find_spec(name) for name in ("claude_agent_sdk", "codex_cli_bin")),
    reason="packages that bundle the agents' programs are installed here",
)


def do(*steps: Mapping[str, Any]) -> str:
    return f"Please do it. [[do: {json.dumps(steps)}]]"


def program(kind: str) -> str:
    """The real program; the test is skipped or fails where it is not installed."""
    try:
        return str(locate.find(kind, "", os.environ).path)
    except MoError as error:
        return need.missing(f"{error.message}: {error.hint}")


def keys(api: StubApi) -> dict[str, str]:
    """The environment in which both programs work."""
    return {**api.claude_environ(), "STUB_API_KEY": "test-key", "CODEX_API_KEY": "k"}


def settings(api: StubApi, mode: str) -> dict[str, dict[str, Any]]:
    """Tables for `Mo.configure`: both programs on the stub, contained by `mode`."""
    return {
        "claude": {"command": program("claude"), "execution_security_mode": mode},
        "codex": {
            "command": program("codex"),
            "default_model": "gpt-5.5",
            "config": list(api.codex_settings()),
            "env_pass": ["STUB_API_KEY"],
            "execution_security_mode": mode,
        },
        "retry": {"base_seconds": 0.1},
    }


PYTEST_GATE = f"{sys.executable} -m pytest -q -p no:cacheprovider"


def run(mo: Mo, text: str, *args: str, code: int = 0, timeout: float = 150) -> dict[str, Any]:
    """Do a plan to its end; the goal's document."""
    file = mo.repo.path.parent / "plan.json"
    file.write_text(text)
    mo("do", f"@{file}", *args, code=code, timeout=timeout)
    document: dict[str, Any] = mo.json("show", "@last")["goal"]
    return document


def endings(goal: Mapping[str, Any]) -> dict[str, tuple[str, list[str | None]]]:
    """Task -> its state, and the class of each of its attempts."""
    return {
        task["id"]: (task["state"], [attempt["class"] for attempt in task["attempts"]])
        for task in goal["tasks"]
    }


def stand_in(path: Path, body: str, version: str = "2.9.1") -> str:
    """A program in place of a CLI: says its version, else runs these lines of sh."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {{ echo "{version}"; exit 0; }}\n{body}\n')
    path.chmod(0o755)
    return str(path)
