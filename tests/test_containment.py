"""The cell of an attempt: which programs bring their own directories along."""

from __future__ import annotations

from pathlib import Path

import pytest

from mo_daemon.containment import _programs, _root_of


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


def test_the_root_of_a_program(tmp_path: Path) -> None:
    for name in ("env/bin/tool", "lone/tool"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.touch(mode=0o755)
    assert _root_of(tmp_path / "env/bin/tool") == tmp_path / "env"
    assert _root_of(tmp_path / "lone/tool") == tmp_path / "lone"
    assert _root_of(tmp_path / "no/such") is None
    assert _root_of(Path("tool")) is None
