"""Watches only make things faster; they die silently and come back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mo_daemon.watch import Watch

PATIENCE = 10.0


class Bell:
    """Rung from the watch's thread."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        self._rung.set()

    def heard(self, seconds: float = PATIENCE) -> bool:
        heard = self._rung.wait(seconds)
        self._rung.clear()
        return heard


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    made = tmp_path / "inbox"
    made.mkdir()
    return made


@pytest.fixture
def watch(inbox: Path, bell: Bell) -> Iterator[Watch]:
    made = Watch(inbox, bell.ring)
    yield made
    made.stop()


def arrive(inbox: Path, name: str) -> None:
    """As a request does: written aside, renamed in."""
    draft = inbox.parent / "draft"
    draft.write_text("x")
    draft.rename(inbox / name)


def test_it_rings_for_what_arrives(watch: Watch, inbox: Path, bell: Bell) -> None:
    assert watch.ensure()
    for n in range(3):
        arrive(inbox, str(n))
        assert bell.heard()


def test_asking_again_keeps_the_same_watch(watch: Watch, inbox: Path, bell: Bell) -> None:
    assert watch.ensure()
    threads = threading.active_count()
    assert watch.ensure()
    assert threading.active_count() == threads
    arrive(inbox, "one")
    assert bell.heard()


def test_a_directory_that_was_made_again(watch: Watch, inbox: Path, bell: Bell) -> None:
    assert watch.ensure()
    inbox.rmdir()
    assert not watch.ensure()
    inbox.mkdir()
    assert watch.ensure()
    bell.heard(0)
    arrive(inbox, "one")
    assert bell.heard()


def test_a_directory_that_was_replaced_between_two_looks(watch: Watch, inbox: Path, bell: Bell) -> None:
    assert watch.ensure()
    inbox.rename(inbox.with_name("old"))
    inbox.mkdir()
    assert watch.ensure()
    bell.heard(0.2)  # the rename itself may be seen
    arrive(inbox, "one")
    assert bell.heard()


def test_no_directory_is_no_error(tmp_path: Path, bell: Bell) -> None:
    watch = Watch(tmp_path / "missing", bell.ring)
    assert not watch.ensure()
    watch.stop()
    watch.stop()


def test_it_leaves_no_thread(inbox: Path, bell: Bell) -> None:
    before = threading.active_count()
    watch = Watch(inbox, bell.ring)
    assert watch.ensure()
    assert threading.active_count() > before
    watch.stop()
    assert threading.active_count() == before
