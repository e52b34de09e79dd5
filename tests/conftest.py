"""The sealed machine: no test sees the user's home, git configuration or network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import need
from tests.driver import Mo
from tests.stub_api import StubApi
from tests.support import RepoBuilder

settings.register_profile("noisy", deadline=None)  # how long an example takes says nothing here
settings.load_profile("noisy")

SEALED = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A Person",
    "GIT_AUTHOR_EMAIL": "person@example.org",
    "GIT_COMMITTER_NAME": "A Person",
    "GIT_COMMITTER_EMAIL": "person@example.org",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "false",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "NO_COLOR": "1",
}


@pytest.fixture(autouse=True)
def sealed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A private HOME and XDG directories; yields the home."""
    home = tmp_path_factory.mktemp("home")
    for key in list(os.environ):
        if key.startswith(("GIT_", "MO_", "XDG_")):
            monkeypatch.delenv(key)
    for key, value in SEALED.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    (home / ".gitconfig").write_text(
        "[user]\n\tname = A Person\n\temail = person@example.org\n[init]\n\tdefaultBranch = main\n"
        '[protocol "file"]\n\tallow = always\n'
    )
    return home


@pytest.fixture
def repo(tmp_path: Path) -> RepoBuilder:
    """A fresh repository with one commit (README.md) on main."""
    return RepoBuilder.create(tmp_path / "repo", {"README.md": "hello\n"})


@pytest.fixture
def mo(repo: RepoBuilder) -> Iterator[Mo]:
    """`mo` in a fresh repository; its daemon and everything it started is gone afterwards."""
    driver = Mo(repo)
    yield driver
    driver.stop()
    assert driver.programs() == []


@pytest.fixture
def api() -> Iterator[StubApi]:
    """A provider on loopback for the real agents' programs."""
    with StubApi() as running:
        yield running


@pytest.fixture
def mode() -> str:
    """How agents are contained: by mo's sandbox."""
    need.require("bwrap")
    return "restricted"
