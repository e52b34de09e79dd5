"""The items of a job as a file: what is written is read again, and half a file is never there."""

from __future__ import annotations

from pathlib import Path

import pytest

from mo_git.errors import Exit, MoError
from mo_git.simple.item import Item
from mo_git.simple.items_file import read_items_file, write_items_file

FULL = Item(
    "a",
    ("src/a.py", "ä b"),
    "Do it.\nWell, \u2028 now.",
    provider="codex",
    model="m",
    priority=-3,
    timeout_seconds=1.5,
    max_attempts=2,
    verify_commands=("true", ("test", "-s", "x")),
    require_patterns=("^a$",),
    allowed_side_files=("*.lock",),
    bucket="b",
    metadata={"n": [1, {"x": None}]},
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    placed = [(FULL, "b", 0, ()), (Item("b", ("x",), run=("sh", "-c", "{target}")), "src", 1, (1,))]
    path = tmp_path / "runs" / "job" / "items.jsonl"
    assert write_items_file(path, placed) == 2
    assert list(read_items_file(path)) == [
        (FULL, "b", 0, ()),
        (Item("b", ("x",), run=("sh", "-c", "{target}")), "src", 1, (1,)),
    ]
    assert [entry.name for entry in path.parent.iterdir()] == ["items.jsonl"]


@pytest.mark.parametrize("text", ["{", '{"item": {}}\n', '{"item": {"id": "a"}}\n', "[]\n", '{"item": 3}\n'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "items.jsonl").write_text(text)
    with pytest.raises(MoError, match="cannot read the items") as caught:
        list(read_items_file(tmp_path / "items.jsonl"))
    assert caught.value.code is Exit.CONFIG


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MoError, match="cannot write"):
        write_items_file(tmp_path / "file" / "items.jsonl", [])
