"""Settings of the gate that are more than a value: its inputs, and `[metrics.NAME]`, a table for each."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator

# As in git's ignore files: a name without a slash is found in every directory.
GATE_INPUTS = (
    *("conftest.py", "pytest.ini", "pytest.toml", "tox.ini", "setup.cfg", "pyproject.toml", "noxfile.py"),
    *(".coveragerc", "sitecustomize.py", "usercustomize.py"),
    *("package.json", "jest.config.*", "vitest.config.*", "vitest.workspace.*", ".mocharc.*"),
    *(".cargo/config.toml", ".config/nextest.toml"),
    *("Makefile", "GNUmakefile", "justfile", "Taskfile.yml"),
    *(".github/workflows/**", ".gitlab-ci.yml"),
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_SHARE = re.compile(r"\d+(\.\d+)?\s*%")
_KEYS = frozenset({"command", "direction", "tolerance"})


def _metrics(value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    if not all(_NAME.fullmatch(name) and _is_metric(table) for name, table in value.items()):
        raise ValueError("a metric has a command, a direction and a tolerance")
    return value


def _is_metric(table: dict[str, Any]) -> bool:
    command, direction = table.get("command"), table.get("direction", "up")
    known = table.keys() <= _KEYS and direction in ("up", "down")
    return (
        known
        and isinstance(command, str)
        and bool(command.strip())
        and _is_tolerance(table.get("tolerance", 0))
    )


def _is_tolerance(value: Any) -> bool:
    """A number of 0 or more, or a share such as "1%"."""
    if isinstance(value, str):
        return bool(_SHARE.fullmatch(value))
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


Metrics = Annotated[dict[str, dict[str, Any]], AfterValidator(_metrics)]
