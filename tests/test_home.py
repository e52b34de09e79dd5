"""The `.mo/` directory: requests in order and whole, status replaced in one step, nothing trusted blindly."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from mo_git.errors import MoError
from mo_git.home import LARGEST_REQUEST, UNFINISHED_SECONDS, Home, read_json, state_dir, write_atomically
from tests.support import RepoBuilder


@pytest.fixture
def home(repo: RepoBuilder) -> Home:
    made = Home(repo.path, repo.path / ".git")
    made.create()
    return made


def names(home: Home) -> list[str]:
    return [request.name for request in home.requests()[0]]


def age(path: Path) -> None:
    """Make a file look as if nobody were writing it any more."""
    old = time.time() - UNFINISHED_SECONDS - 1
    os.utime(path, (old, old))


# -- making it ----------------------------------------------------------------------------------------


def test_it_is_private_and_hidden_from_git(repo: RepoBuilder) -> None:
    home = Home(repo.path, repo.path / ".git")
    assert not home.exists()
    assert home.create()
    assert not home.create()
    home.write_status({"v": 1})
    assert repo.git("status", "--porcelain", "--ignored") == "!! .mo/"
    assert (repo.path / ".git/info/exclude").read_text().count("/.mo/\n") == 1
    for directory in (home.path, home.inbox, home.log_file.parent):
        assert directory.stat().st_mode & 0o777 == 0o700


def test_a_file_in_its_place_is_named(repo: RepoBuilder) -> None:
    repo.write({".mo": "mine"})
    with pytest.raises(MoError, match="is in the way"):
        Home(repo.path, repo.path / ".git").create()
    assert (repo.path / ".mo").read_text() == "mine"


@pytest.mark.parametrize(
    ("environ", "root_dir", "expected"),
    [
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/x"}, "", "/state/mo"),
        ({"HOME": "/home/x"}, "", "/home/x/.local/state/mo"),
        ({"XDG_STATE_HOME": "/state"}, "/fast/disk", "/fast/disk"),
    ],
)
def test_worktrees_live_outside(environ: dict[str, str], root_dir: str, expected: str) -> None:
    place = state_dir(Path("/src/project/.git"), environ, root_dir)
    assert str(place.parent) == expected
    assert place.name.startswith("project-")
    assert place != state_dir(Path("/other/project/.git"), environ, root_dir)


# -- requests -----------------------------------------------------------------------------------------


def test_requests_come_in_order_and_go_by_name(home: Home) -> None:
    dropped = [home.drop("pause", {"goal": f"g{n}"}) for n in range(50)]
    found, bad = home.requests()
    assert [request.name for request in found] == dropped == sorted(dropped)
    assert (found[7].verb, found[7].payload, bad) == ("pause", {"goal": "g7"}, [])
    home.forget(dropped[0])
    home.forget(dropped[0])  # a second time, after a crash in between
    assert names(home) == dropped[1:]


def test_two_writers_at_once_lose_nothing(home: Home) -> None:
    def write() -> None:
        for n in range(50):
            home.drop("pause", {"n": n})

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert home.requests()[1] == []  # never half a file
    assert len(names(home)) == 200


GARBAGE = {
    "empty": b"",
    "text": b"hello",
    "cut": b'{"v": 1, "verb": "pause", "payl',
    "binary": bytes(range(256)),
    "not-utf-8": b'{"verb": "\xff", "payload": {}}',
    "list": b"[1, 2]",
    "null": b"null",
    "number": b"1" * 5000,
    "no-payload": b'{"verb": "pause"}',
    "payload-text": b'{"verb": "pause", "payload": "x"}',
    "payload-null": b'{"verb": "pause", "payload": null}',
    "deep": b"[" * 200_000,
    "deep-object": b'{"payload":' * 50_000,
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_left_for_a_while_then_put_aside(home: Home, name: str) -> None:
    good = home.drop("pause", {})
    (home.inbox / name).write_bytes(GARBAGE[name])
    assert ([good], []) == (names(home), home.requests()[1])  # somebody may still be writing it
    assert (home.inbox / name).exists()
    age(home.inbox / name)
    assert home.requests()[1] == [name]
    assert (home.inbox / ".bad" / name).read_bytes() == GARBAGE[name]
    assert ([good], []) == (names(home), home.requests()[1])


def test_a_huge_file_is_not_even_read(home: Home) -> None:
    with (home.inbox / "huge").open("wb") as file:
        file.truncate(LARGEST_REQUEST + 1)
    age(home.inbox / "huge")
    assert home.requests() == ([], ["huge"])


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_a_name_that_is_no_text(home: Home) -> None:
    strange = home.inbox / os.fsdecode(b"\xff\xfe")
    strange.write_text(json.dumps({"verb": "pause", "payload": {}}))
    assert home.requests() == ([], [])
    age(strange)
    assert home.requests() == ([], [strange.name])


def test_what_is_no_file_is_left_alone(home: Home) -> None:
    (home.inbox / "directory").mkdir()
    os.mkfifo(home.inbox / "pipe")
    (home.inbox / "nowhere").symlink_to("/does/not/exist")
    (home.inbox / "endless").symlink_to("/dev/zero")
    (home.inbox / ".unfinished").write_text("{")
    assert home.requests() == ([], [])
    assert len(list(home.inbox.iterdir())) == 5


def test_an_inbox_that_was_removed_is_made_again(home: Home) -> None:
    home.inbox.rmdir()
    assert home.requests() == ([], [])
    assert home.inbox.stat().st_mode & 0o777 == 0o700
    home.inbox.rmdir()
    home.inbox.write_text("")
    with pytest.raises(MoError, match="cannot read"):
        home.requests()


# -- status -------------------------------------------------------------------------------------------


def test_status_is_replaced_in_one_step(home: Home) -> None:
    """A reader sees the old or the new document, whole, and nobody else may read it."""
    done = threading.Event()
    seen: list[object] = []

    def read() -> None:
        while not done.is_set():
            document = home.read_status()
            if document is None or document["a"] != document["b"]:
                seen.append(document)

    home.write_status({"a": 0, "b": 0})
    reader = threading.Thread(target=read)
    reader.start()
    for n in range(300):
        home.write_status({"a": n, "padding": "x" * 10_000, "b": n})
    done.set()
    reader.join(20)
    assert seen == []
    assert home.status_file.stat().st_mode & 0o777 == 0o600
    assert sorted(entry.name for entry in home.path.iterdir()) == ["goals", "inbox", "log", "status.json"]


def test_what_cannot_be_written_is_said_and_leaves_nothing(home: Home) -> None:
    home.status_file.mkdir()
    with pytest.raises(MoError) as caught:
        home.write_status({"v": 1})
    assert str(home.status_file) in caught.value.message
    assert [entry.name for entry in home.path.iterdir() if entry.name.startswith(".")] == []
    with pytest.raises(MoError, match="cannot write"):
        write_atomically(home.path / "no" / "such" / "place", "x")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"null"])
def test_a_broken_document_reads_as_none(home: Home, content: bytes) -> None:
    home.daemon_file.write_bytes(content)
    assert home.read_daemon() is None
    assert read_json(home.path / "missing.json") is None
