"""Refs by compare-and-swap: stale is a result, locks are shared with git."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from mo_git.errors import Exit, MoError
from mo_git.git import refs
from mo_git.git.repo import Repo
from tests.support import RepoBuilder

NAME = "refs/heads/mo/goal/task"


@pytest.fixture
def store(repo: RepoBuilder) -> Repo:
    repo.commit({"a": "1"})
    return Repo(repo.path / ".git")


@pytest.fixture
def ids(repo: RepoBuilder, store: Repo) -> tuple[str, str]:
    assert store.top == repo.path
    return repo.head("HEAD~1"), repo.head()


@pytest.fixture(params=["loose", "packed"])
def settle(request: pytest.FixtureRequest, repo: RepoBuilder) -> Callable[[], object]:
    """Leaves refs as files of their own, or packs them."""
    if request.param == "packed":
        return partial(repo.git, "pack-refs", "--all")
    return list


def test_the_life_of_a_ref(
    repo: RepoBuilder, store: Repo, ids: tuple[str, str], settle: Callable[[], object]
) -> None:
    old, new = ids
    assert refs.read(store, NAME) is None
    assert refs.create(store, NAME, old)
    settle()
    assert not refs.create(store, NAME, new)
    assert refs.read(store, NAME) == old == repo.head(NAME)
    assert not refs.swap(store, NAME, old, new, "stale")
    assert not refs.swap(store, NAME, new, None, "must not exist")
    assert refs.swap(store, NAME, new, old, "moved on")
    settle()
    assert repo.head(NAME) == new
    assert repo.git("reflog", "-1", "--format=%gs by %gn", NAME) == "moved on by mo"
    assert not refs.delete(store, NAME, old)
    assert refs.delete(store, NAME, new)
    assert not refs.delete(store, NAME, new)
    assert refs.read(store, NAME) is None
    assert repo.git("for-each-ref", "refs/heads/mo") == ""
    assert not refs.swap(store, NAME, new, old, "is missing")
    assert refs.create(store, f"{NAME}/below", old)  # nothing of the old ref is in the way


def test_what_git_does_meanwhile_is_seen(repo: RepoBuilder, store: Repo, ids: tuple[str, str]) -> None:
    old, new = ids
    repo.git("update-ref", NAME, old)
    assert refs.read(store, NAME) == old
    repo.git("update-ref", NAME, new)
    assert not refs.swap(store, NAME, old, old, "stale")
    repo.git("pack-refs", "--all")
    assert refs.swap(store, NAME, old, new, "fresh")
    repo.git("update-ref", "-d", NAME)
    assert not refs.delete(store, NAME, old)


def test_collisions_of_files_and_directories(
    repo: RepoBuilder, store: Repo, ids: tuple[str, str], settle: Callable[[], object]
) -> None:
    refs.create(store, "refs/heads/a", ids[0])
    refs.create(store, "refs/heads/b/c/d", ids[0])
    settle()
    for name, taken in (("a/x", "a"), ("a/x/y", "a"), ("b", "b/c/d"), ("b/c", "b/c/d")):
        with pytest.raises(MoError, match=f"refs/heads/{taken} is in the way") as caught:
            refs.create(store, f"refs/heads/{name}", ids[1])
        assert caught.value.hint == f"git branch -m {taken} ANOTHER-NAME"
    assert repo.git("for-each-ref", "--format=%(refname)", "refs/heads") == (
        "refs/heads/a\nrefs/heads/b/c/d\nrefs/heads/main"
    )
    repo.git("update-ref", "-d", "refs/heads/b/c/d")
    assert refs.create(store, "refs/heads/b", ids[1])


def test_a_collision_with_a_hidden_ref(store: Repo, ids: tuple[str, str]) -> None:
    refs.create(store, "refs/mo/x", ids[0])
    with pytest.raises(MoError) as caught:
        refs.create(store, "refs/mo/x/y", ids[0])
    assert caught.value.hint == "git update-ref -d refs/mo/x removes it, if nothing needs it"


@pytest.mark.parametrize("name", ["refs/heads/..", "refs/heads/a b", "refs/heads/x.lock", "nothing", ""])
def test_bad_names(store: Repo, ids: tuple[str, str], name: str) -> None:
    assert refs.read(store, name) is None
    assert not refs.delete(store, name, ids[0])
    with pytest.raises(MoError, match="is not a name that git allows") as caught:
        refs.create(store, name, ids[0])
    assert caught.value.code == Exit.USAGE


def test_missing_objects_are_not_written(store: Repo) -> None:
    with pytest.raises(MoError, match="there is no object") as caught:
        refs.create(store, NAME, "1" * 40)
    assert caught.value.code == Exit.NOT_FOUND
    assert refs.read(store, NAME) is None


def test_symbolic_refs_are_followed_and_stay(repo: RepoBuilder, store: Repo, ids: tuple[str, str]) -> None:
    old, new = ids
    repo.git("update-ref", "refs/heads/trunk", old)
    repo.git("symbolic-ref", "refs/heads/alias", "refs/heads/trunk")
    assert refs.read(store, "refs/heads/alias") == old
    assert refs.swap(store, "refs/heads/alias", new, old, "through")
    assert repo.git("symbolic-ref", "refs/heads/alias") == "refs/heads/trunk"
    assert repo.head("refs/heads/trunk") == new
    assert not refs.delete(store, "refs/heads/alias", new)
    assert refs.listing(store, "refs/heads/a") == {"refs/heads/alias": new}
    repo.git("symbolic-ref", "refs/heads/loop", "refs/heads/loop")
    assert refs.read(store, "refs/heads/loop") is None


def test_a_lock_that_goes_away_is_waited_for(repo: RepoBuilder, store: Repo, ids: tuple[str, str]) -> None:
    refs.create(store, NAME, ids[0])
    lock = repo.path / f".git/{NAME}.lock"
    lock.touch()
    timer = threading.Timer(0.1, lock.unlink)
    timer.start()
    assert refs.swap(store, NAME, ids[1], ids[0], "after the lock")
    timer.join()


def test_a_lock_that_stays_is_named(
    repo: RepoBuilder, store: Repo, ids: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refs, "_PATIENCE", 0.02)
    refs.create(store, NAME, ids[0])
    lock = repo.path / f".git/{NAME}.lock"
    lock.touch()
    changes: tuple[Callable[[], bool], ...] = (
        partial(refs.swap, store, NAME, ids[1], ids[0], "m"),
        partial(refs.delete, store, NAME, ids[0]),
    )
    for change in changes:
        with pytest.raises(MoError, match=f"cannot change {NAME}") as caught:
            change()
        assert caught.value.hint == f"if no other git command is running: rm {lock}"
    lock.unlink()
    assert refs.read(store, NAME) == ids[0]
    assert refs.delete(store, NAME, ids[0])


def race(work: Sequence[Callable[[], bool]]) -> list[int]:
    """Run each in a thread of its own, started together; the positions of those that returned True."""
    won: list[int] = []
    barrier = threading.Barrier(len(work))

    def body(n: int) -> None:
        barrier.wait()
        if work[n]():
            won.append(n)

    threads = [threading.Thread(target=body, args=(n,)) for n in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


def test_of_racing_creations_swaps_and_deletions_one_wins(repo: RepoBuilder, store: Repo) -> None:
    tree, head = repo.head("HEAD^{tree}"), repo.head()
    mine, other = (
        [store.commit_tree(tree, [head], f"{title} {n}\n", when=n) for n in range(6)] for title in "ab"
    )
    for turn in range(10):
        name = f"refs/mo/race/{turn}"
        (winner,) = race([partial(refs.create, store, name, oid) for oid in mine])
        assert refs.read(store, name) == mine[winner]
        (second,) = race([partial(refs.swap, store, name, oid, mine[winner], "m") for oid in other])
        assert refs.read(store, name) == other[second]
        assert len(race([partial(refs.delete, store, name, other[second])] * 6)) == 1


def test_swaps_race_with_git_itself(repo: RepoBuilder, store: Repo) -> None:
    """A counter kept as a chain of commits: each success adds one link, whoever made it."""
    tree, start = repo.head("HEAD^{tree}"), repo.head()
    refs.create(store, "refs/mo/counter", start)

    def bump(n: int) -> bool:
        for turn in range(15):
            old = refs.read(store, "refs/mo/counter")
            assert old is not None
            new = store.commit_tree(tree, [old], f"{n} {turn}\n", when=turn)
            if n % 2:
                code = store.git("update-ref", "refs/mo/counter", new, old, check=False).code
                done = code == 0
            else:
                done = refs.swap(store, "refs/mo/counter", new, old, "m")
            counts[n] += done
        return False

    counts = [0] * 4
    race([partial(bump, n) for n in range(4)])
    assert int(repo.git("rev-list", "--count", f"{start}..refs/mo/counter")) == sum(counts) > 0
    assert not list((repo.path / ".git").rglob("*.lock"))


def test_listing(repo: RepoBuilder, store: Repo, ids: tuple[str, str]) -> None:
    names = [f"refs/mo/goal/good/{n}" for n in range(3)]
    for name in names[:2]:
        refs.create(store, name, ids[0])
    repo.git("pack-refs", "--all")
    refs.create(store, names[2], ids[1])
    refs.create(store, "refs/mo/goal2/base", ids[1])
    assert refs.listing(store, "refs/mo/goal/") == {names[0]: ids[0], names[1]: ids[0], names[2]: ids[1]}
    assert set(refs.listing(store, "")) == {*names, "refs/mo/goal2/base", "refs/heads/main"}
    assert refs.listing(store, "refs/none") == {}


def test_listing_survives_names_that_are_not_utf8(
    repo: RepoBuilder, store: Repo, ids: tuple[str, str]
) -> None:
    with (repo.path / ".git/packed-refs").open("ab") as packed:
        packed.write(ids[0].encode() + b" refs/heads/raw\xff\n")
    assert refs.listing(store, "refs/heads/raw") == {"refs/heads/raw\udcff": ids[0]}


def test_keep_never_overwrites(store: Repo, ids: tuple[str, str]) -> None:
    old, new = ids
    assert refs.keep(store, "goal", "task", 1, old) == "refs/mo/keep/goal/task/1"
    assert refs.keep(store, "goal", "task", 1, old) == "refs/mo/keep/goal/task/1"
    assert refs.keep(store, "goal", "task", 1, new) == "refs/mo/keep/goal/task/1-2"
    assert refs.keep(store, "goal", "task", 1, new) == "refs/mo/keep/goal/task/1-2"
    assert refs.keep(store, "goal", "task", 2, new) == "refs/mo/keep/goal/task/2"
    assert refs.listing(store, "refs/mo/keep/") == {
        "refs/mo/keep/goal/task/1": old,
        "refs/mo/keep/goal/task/1-2": new,
        "refs/mo/keep/goal/task/2": new,
    }


def test_a_worktree_of_the_repository_sees_the_same_refs(
    repo: RepoBuilder, store: Repo, ids: tuple[str, str], tmp_path: Path
) -> None:
    repo.git("worktree", "add", "-q", "--detach", str(tmp_path / "w"))
    refs.create(store, NAME, ids[0])
    assert RepoBuilder(tmp_path / "w").head(NAME) == ids[0]
