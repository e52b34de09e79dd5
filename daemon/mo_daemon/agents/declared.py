"""Hooks and tool servers that a repository declares for agent programs, read from what its user trusts."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any


def of_claude(files: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(hooks, MCP servers) for claude; empty where there are none, or the file cannot be read."""
    hooks = _table(_json(files.get(".claude/settings.json", "")), "hooks")
    return hooks, _table(_json(files.get(".mcp.json", "")), "mcpServers")


def of_codex(files: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(hooks, MCP servers) for codex."""
    try:
        data = tomllib.loads(files.get(".codex/config.toml", ""))
        json.dumps(data)  # a date has no place in any of this
    except (ValueError, TypeError, RecursionError):
        data = {}
    return _table(data, "hooks"), _table(data, "mcp_servers")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _table(data: Any, key: str) -> dict[str, Any]:
    found = data.get(key) if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}
