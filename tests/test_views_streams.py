"""An agent's stream in words: recorded runs of the real programs, and lines of any kind."""

from __future__ import annotations

import json

import pytest

from mo_git.views.streams import RESULT_LINES, stream_lines
from tests import transcripts


def shown(provider: str, case: str) -> list[str]:
    lines = transcripts.lines_of(provider, case)
    return [said for line in lines for said in stream_lines(line.decode("utf-8", "replace"))]


def test_claude() -> None:
    assert shown("claude", "edit_existing")[1:] == [
        "> Read /repo/wt/README.md",
        "| 1\t# demo",
        "| 2\t",
        "> Edit /repo/wt/README.md",
        "| The file /repo/wt/README.md has been updated successfully. (file state is current in your "
        "context \N{EM DASH} no need to Read it back)",
        "Edited README.md.",
        "-- ended, $0.0075",
    ]


def test_claude_in_trouble() -> None:
    said = shown("claude", "rate_limit_429")
    assert said[1:3] == ["! rate_limit 429: tries again (1/2)", "! rate_limit 429: tries again (2/2)"]
    assert said[-1].startswith("! ended: API Error: Request rejected (429)")


def test_codex() -> None:
    assert shown("codex", "file_edit")[1:] == [
        "I will write the file.",
        "> add /repo/wt/hello.txt",
        "> /bin/bash -lc 'cat hello.txt && git status --short'",
        "| hello world",
        "| ?? hello.txt",
        "Created hello.txt.",
        "-- ended, 3000 tokens in, 150 out",
    ]


@pytest.mark.parametrize("provider", ["claude", "codex"])
def test_every_recorded_line_can_be_shown(provider: str) -> None:
    cases = transcripts.cases(provider)
    assert len(cases) > 10
    for case in cases:
        for said in shown(provider, case):
            assert "\n" not in said
            assert "\x1b" not in said


def test_a_long_result_is_cut() -> None:
    block = {"type": "tool_result", "content": "\n".join(map(str, range(RESULT_LINES + 3))), "is_error": True}
    said = stream_lines(json.dumps({"type": "user", "message": {"content": [block]}}))
    assert said[0] == "! 0"
    assert said[RESULT_LINES:] == ["! and 3 more lines"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", []),
        ("not json", ["not json"]),
        ("[1, 2]", ["[1, 2]"]),
        ('{"type": "new.kind"}', ['{"type": "new.kind"}']),
        ('{"type": "stream_event", "event": {}}', []),
        ('{"type": "item.completed", "item": {"type": "new_item", "text": "t"}}', ["-- new item t"]),
        ('{"type": "result", "is_error": true, "errors": 3, "subtype": "error_x"}', ["! ended: error_x"]),
        ('{"type": "assistant", "message": {"content": "just text"}}', ["just text"]),
    ],
)
def test_lines_of_any_kind(line: str, expected: list[str]) -> None:
    assert stream_lines(line) == expected


ODD = (None, True, 3, 1e400, "text", [], [None, 3, [], {}], {}, {"type": 3, "content": {"text": []}})
KEYS = (
    "message",
    "content",
    "item",
    "errors",
    "result",
    "error",
    "rate_limit_info",
    "usage",
    "total_cost_usd",
)
KINDS = (
    "system",
    "assistant",
    "user",
    "result",
    "rate_limit_event",
    "turn.failed",
    "turn.completed",
    "error",
)


@pytest.mark.parametrize("kind", [*KINDS, "item.completed", "item.started", "thread.started"])
def test_nothing_brings_it_down(kind: str) -> None:
    for key in KEYS:
        for value in ODD:
            for event in (
                {key: value},
                {"message": {key: value}},
                {"item": {"type": "file_change", key: value}},
            ):
                assert all("\n" not in said for said in stream_lines(json.dumps({"type": kind, **event})))
