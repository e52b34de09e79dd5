"""What an agent's stream says, as lines for people: text, tool calls, their results, errors.  Pure.

Reads the JSON lines of claude and of codex.  Marks: `>` a tool is called, `|` what came of it, `!` trouble,
`--` about the run itself.  A line that is not understood is shown short, never an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mo_git.text import count, one_line, printable

RESULT_LINES = 12  # of a tool's result that are shown; --raw has all
_WIDTH = 200
_SHORT = 160
_SILENT = frozenset(
    {
        *("stream_event", "turn.started", "hook_started", "hook_response", "task_started"),
        *("task_notification", "vcs_state_changed"),
    }
)
# keys of a tool's input that say on what it works, the most telling first
_ABOUT = ("command", "file_path", "notebook_path", "pattern", "path", "url", "query", "description")


def stream_lines(line: str) -> list[str]:
    """One line of a stream as lines to show; empty for one that says nothing to people."""
    if not line.strip():
        return []
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        return [one_line(line, _SHORT)]
    kind = _text(event.get("type"))
    if kind in _SILENT or (kind == "system" and _text(event.get("subtype")) in _SILENT):
        return []
    shown = _claude(kind, event) if kind in _CLAUDE else _codex(kind, event)
    return [one_line(line, _SHORT)] if shown is None else shown


# -- claude -------------------------------------------------------------------------------------------

_CLAUDE = frozenset({"system", "assistant", "user", "result", "rate_limit_event"})


def _claude(kind: str, event: Mapping[str, Any]) -> list[str] | None:
    if kind == "system":
        return _system(event)
    if kind == "result":
        return _result(event)
    if kind == "rate_limit_event":
        info = _map(event.get("rate_limit_info"))
        window = _text(info.get("rateLimitType")).replace("_", " ")
        return [one_line(f"-- {window} limit: {_text(info.get('status'))}")]
    content = _map(event.get("message")).get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else _maps(content)
    return [said for block in blocks for said in _block(block)]


def _block(block: Mapping[str, Any]) -> list[str]:
    kind = _text(block.get("type"))
    if kind == "text":
        return _words(_text(block.get("text")))
    if kind == "tool_use":
        arguments = _map(block.get("input"))
        about = next((text for key in _ABOUT if (text := _text(arguments.get(key)))), "")
        return [one_line(f"> {_text(block.get('name')) or 'tool'} {about}", _WIDTH)]
    if kind == "tool_result":
        content = block.get("content")
        texts = [_text(part.get("text")) for part in _maps(content)]
        said = content if isinstance(content, str) else "\n".join(texts)
        return _came(said, failed=bool(block.get("is_error")))
    return []


def _system(event: Mapping[str, Any]) -> list[str]:
    kind = _text(event.get("subtype"))
    if kind == "init":
        return [one_line(f"-- {_text(event.get('model'))}, session {_text(event.get('session_id'))}")]
    if kind == "api_retry":
        status = event.get("error_status") or ""
        attempt = f"{event.get('attempt')}/{event.get('max_retries')}"
        return [one_line(f"! {_text(event.get('error'))} {status}: tries again ({attempt})")]
    if kind == "permission_denied":
        return [one_line(f"! {_text(event.get('tool_name'))} refused: {_text(event.get('message'))}")]
    about = _text(event.get("content")) or _text(event.get("status"))
    return [one_line(f"-- {kind.replace('_', ' ')}{': ' + about if about else ''}")]


def _result(event: Mapping[str, Any]) -> list[str]:
    errors = event.get("errors")
    listed = [_text(error) for error in errors] if isinstance(errors, list) else []
    if event.get("is_error"):
        why = next(filter(None, listed), "") or _text(event.get("result")) or _text(event.get("subtype"))
        return [one_line(f"! ended: {why}", _WIDTH)]
    paid = event.get("total_cost_usd")
    cost = f", ${paid:.4f}" if isinstance(paid, float) else ""
    return [f"-- ended{cost}"]


# -- codex --------------------------------------------------------------------------------------------


def _codex(kind: str, event: Mapping[str, Any]) -> list[str] | None:
    match kind:
        case "thread.started":
            return [one_line(f"-- session {_text(event.get('thread_id'))}")]
        case "turn.completed":
            usage = _map(event.get("usage"))
            sent, written = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
            return [one_line(f"-- ended, {sent} tokens in, {written} out")]
        case "turn.failed":
            return [one_line(f"! ended: {_text(_map(event.get('error')).get('message'))}", _WIDTH)]
        case "error":
            return [one_line(f"! {_text(event.get('message'))}", _WIDTH)]
        case "item.started" | "item.updated" | "item.completed":
            return _item(kind.removeprefix("item."), _map(event.get("item")))
    return None


def _item(moment: str, item: Mapping[str, Any]) -> list[str]:
    """An item is told of when it starts or when it is complete, whichever says more."""
    kind, ended = _text(item.get("type")), moment == "completed"
    if kind == "command_execution":
        if moment == "started":
            return [one_line(f"> {_text(item.get('command'))}", _WIDTH)]
        failed = ended and item.get("exit_code") not in (0, None)
        return _came(_text(item.get("aggregated_output")), failed=failed) if ended else []
    if not ended:
        return []
    if kind == "agent_message":
        return _words(_text(item.get("text")))
    if kind == "file_change":
        mark = "!" if item.get("status") == "failed" else ">"
        changes = _maps(item.get("changes"))
        return [one_line(f"{mark} {_text(one.get('kind'))} {_text(one.get('path'))}") for one in changes]
    if kind == "mcp_tool_call":
        return [one_line(f"> {_text(item.get('server'))} {_text(item.get('tool'))}", _WIDTH)]
    if kind == "error":
        return [one_line(f"! {_text(item.get('message'))}", _WIDTH)]
    about = _text(item.get("query")) or _text(item.get("text"))
    return [one_line(f"-- {kind.replace('_', ' ')} {about}", _SHORT)]


# -- small things -------------------------------------------------------------------------------------


def _words(text: str) -> list[str]:
    return [printable(line) for line in text.strip().splitlines()]


def _came(text: str, *, failed: bool) -> list[str]:
    """The beginning of what a tool printed."""
    lines = text.strip("\n").splitlines()
    mark = "!" if failed else "|"
    shown = [f"{mark} {printable(line)[:_WIDTH]}" for line in lines[:RESULT_LINES]]
    if len(lines) > RESULT_LINES:
        shown.append(f"{mark} and {count(len(lines) - RESULT_LINES, 'more line')}")
    return shown or (["! failed"] if failed else [])


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _maps(value: object) -> Iterable[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
