"""The cells of attempts, gates and set-ups: what is in them, and what is kept between them."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mo_daemon import sandbox
from mo_daemon.containment import GATES, Cell, Containment, _find, _programs, _root_of
from mo_daemon.sandbox import Policy, Profile, Room, Tier
from mo_git.git import worktrees
from mo_git.git.repo import Repo
from mo_git.home import Home
from tests.support import RepoBuilder


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


def containment(repo: RepoBuilder, state: Path) -> Containment:
    home = Home(repo.path, repo.path / ".git")
    return Containment(Tier("sandbox", bwrap=Path("/usr/bin/bwrap")), Policy(), home, state, {})


def test_tool_chains_are_looked_for_once_in_a_goal(repo: RepoBuilder, tmp_path: Path) -> None:
    repo.commit({".gitignore": ".venv/\nnode_modules/\n"})
    contained = containment(repo, tmp_path / "state")
    git = Repo(repo.path / ".git", top=repo.path)
    worktrees.birth(git, "mo-1", tmp_path / "tree", branch=None, commit=repo.head())

    def shown(name: str, **more: str) -> set[str]:
        cell = contained.cell(git, name, tmp_path / "tree", {}, None, **more)
        return {path.name for path in cell.sandbox.places.toolchains}

    (repo.path / ".venv/bin").mkdir(parents=True)
    (repo.path / ".venv/bin/python").touch()
    assert shown("one/a") == {".venv"}
    (repo.path / "node_modules").mkdir()
    (repo.path / "node_modules/x").touch()
    assert shown("one/b") == shown(".gates/1", goal="one") == {".venv"}
    assert shown("two/a") == {".venv", "node_modules"}
    contained.forget("one")
    assert shown("one/b") == {".venv", "node_modules"}


def test_a_fresh_home_is_empty_and_caches_are_apart(repo: RepoBuilder, tmp_path: Path) -> None:
    contained = containment(repo, tmp_path / "state")
    git = Repo(repo.path / ".git", top=repo.path)
    worktrees.birth(git, "mo-1", tmp_path / "tree", branch=None, commit=repo.head())

    def cell(**more: bool) -> Cell:
        return contained.cell(git, ".gates/1", tmp_path / "tree", {}, None, cache=GATES, **more)

    first = cell()
    (first.home / "left").touch()
    assert (cell().home / "left").exists()
    assert not (cell(fresh=True).home / "left").exists()
    assert contained.cell(git, "goal/a", tmp_path / "tree", {}, None).cache != first.cache


@pytest.mark.parametrize(
    ("program", "trouble"),
    [("no-such-program", FileNotFoundError), ("./none", FileNotFoundError), ("./data", PermissionError)],
)
def test_a_program_that_cannot_be_started_is_told_as_without_a_cell(
    tmp_path: Path, program: str, trouble: type[OSError]
) -> None:
    (tmp_path / "data").touch(mode=0o644)
    (tmp_path / "tool").touch(mode=0o755)
    env = {"PATH": str(tmp_path)}
    with pytest.raises(trouble):
        _find(program, env, tmp_path)
    _find("tool", env, tmp_path)
    _find("./tool", env, tmp_path)


def test_rules_tell_everything_that_confines(repo: RepoBuilder, tmp_path: Path) -> None:
    plain = containment(repo, tmp_path)
    policies = [
        Policy(),
        Policy(network=False),
        Policy(profile=Profile.STRICT),
        Policy(hide=("/a",)),
        Policy(read=("/a",)),
        Policy(writable=("/a",)),
        Policy(tmp_mb=1),
    ]
    told = {replace(plain, policy=policy, gates=True).all_rules for policy in policies}
    ways = {
        replace(plain, gates=gates, setup=setup).all_rules
        for gates in (True, False)
        for setup in (True, False)
    }
    assert (len(told), len(ways)) == (len(policies), 4)
