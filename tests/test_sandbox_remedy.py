"""Which setting helps a program that the sandbox keeps from what it needs: read from what it printed."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from mo_daemon.sandbox_remedy import sandbox_remedy

FREE = "mo config set gate.sandbox false runs it as you, without the sandbox"


@pytest.mark.parametrize(
    ("output", "remedy"),
    [
        ("FAILED (failures=1)\nAssertionError: 1 != 2", ""),
        ("cat: /no/such/place: No such file or directory", ""),
        ("cat: {top}/main/a.py: No such file or directory", ""),
        ("cat: {top}: No such file or directory", ""),  # the main checkout lies in it
        (
            "cat: {top}/data: No such file or directory\ncat: {top}/data: No such file or directory",
            "it may want to read that, which the sandbox hides: "
            "mo config set sandbox.read '[\"{top}/data\"]'",
        ),
        (
            "OSError: [Errno 30] Read-only file system: '{top}/dir/new/file'",
            "it may want to write there: mo config set gate.writable '[\"{top}/dir\"]'",
        ),
        (
            "Cannot connect to the Docker daemon at unix://{top}/docker.sock. Is it running?",
            "{top}/docker.sock is a socket, and the sandbox hides those: " + FREE,
        ),
        ("OSError: [Errno 28] No space left on device", "its temporary directories are small: "
         "mo config set sandbox.tmp_mb 4096"),
        ("bwrap: No permissions to create new namespace", f"it may want to make a sandbox itself: {FREE}"),
        ("curl: (6) Could not resolve host: example.org", ""),
    ],
)  # fmt: skip
def test_remedies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, remedy: str) -> None:
    (tmp_path / "data").touch()
    (tmp_path / "dir").mkdir()
    (tmp_path / "main").mkdir()
    (tmp_path / "main/a.py").touch()
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("docker.sock")  # by a short name: the address has no room for a long one
        said = sandbox_remedy(
            output.replace("{top}", str(tmp_path)), "gate.sandbox", [tmp_path / "main"], network=True
        )
    assert said == remedy.replace("{top}", str(tmp_path))


def test_the_network_is_named_where_it_is_cut() -> None:
    output = "curl: (6) Could not resolve host: example.org\n"
    assert sandbox_remedy(output, "gate.sandbox", [], network=False) == (
        "the sandbox cuts the network: mo config set sandbox.network open"
    )
