"""The cell of an attempt: which programs bring their own directories along."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mo_daemon import sandbox
from mo_daemon.containment import _programs, _root_of
from mo_daemon.sandbox import Room


@pytest.mark.parametrize(
    ("argv", "programs"),
    [
        (("claude", "-p"), ["claude"]),
        (("/opt/x/bin/claude", "-p"), ["/opt/x/bin/claude"]),
        (("sh", "-c", "/v/bin/python -m pytest && make x"), ["/v/bin/python", "make"]),
    ],
)
def test_programs_of_a_command_line(argv: tuple[str, ...], programs: list[str]) -> None:
    assert _programs(argv) == programs


def test_rooms_that_share_a_cache_are_prepared_at_once(tmp_path: Path) -> None:
    def prepare(number: int) -> None:
        room = Room(tmp_path, tmp_path / str(number), tmp_path / "cache")
        sandbox.prepare(room, (), {})

    for again in range(2):
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(prepare, range(8 * again, 8 * again + 8)))
        shutil.rmtree(tmp_path / "cache")


def test_the_root_of_a_program(tmp_path: Path) -> None:
    for name in ("env/bin/tool", "lone/tool"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.touch(mode=0o755)
    assert _root_of(tmp_path / "env/bin/tool") == tmp_path / "env"
    assert _root_of(tmp_path / "lone/tool") == tmp_path / "lone"
    assert _root_of(tmp_path / "no/such") is None
    assert _root_of(Path("tool")) is None
