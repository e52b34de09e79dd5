"""Changes put into another tree in memory: what git's own merge would make of them, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mo_git.git.merge import Merger
from mo_git.git.repo import Repo
from mo_git.git.splice import splice
from mo_git.git.turnaround import is_plain, look, put_back
from mo_git.git.worktrees import birth
from tests.support import RepoBuilder

NAMES = ["a", "a.txt", "dir/b", "dir/deep/c", "dir-x", "dir0", "sp ace/ü", 'quo"te']
FILES = {name: f"{name}\n" for name in NAMES}


@pytest.fixture
def merger(repo: RepoBuilder, tmp_path: Path) -> Iterator[Merger]:
    with closing(Merger(Repo(repo.path / ".git"), tmp_path / "merge")) as made:
        yield made


def change(repo: RepoBuilder, branch: str, base: str, edits: dict[str, str | None]) -> str:
    """A commit on `base` that writes or (None) deletes files."""
    repo.git("checkout", "-q", "-f", "-B", branch, base)
    for name, text in edits.items():
        if text is None:
            repo.git("rm", "-q", "--ignore-unmatch", "--", name)
    commit = repo.commit({name: text for name, text in edits.items() if text is not None})
    repo.git("checkout", "-q", "-f", "main")
    return commit


PLACES = st.sampled_from([*NAMES, "new", "dir/new", "fresh/dir/file"])
EDITS = st.dictionaries(PLACES, st.sampled_from(["x\n", "y\n", None]), max_size=4)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EDITS, EDITS)
def test_it_says_what_a_merge_says(
    repo: RepoBuilder, merger: Merger, ours: dict[str, str | None], theirs: dict[str, str | None]
) -> None:
    base = change(repo, "base", "main", dict(FILES))
    one, other = change(repo, "one", base, ours), change(repo, "other", base, theirs)
    own = Repo(repo.path / ".git")
    spliced = splice(own, own.tree_of(one), own.changes(base, other))
    if spliced is None:
        assert set(ours) & set(theirs) or "dir/new" in (*ours, *theirs)
    else:
        assert spliced == merger.merge(one, other).tree
        assert repo.git("fsck", "--strict", "--no-dangling") == ""


def test_a_directory_that_becomes_empty_goes(repo: RepoBuilder) -> None:
    base = change(repo, "base", "main", dict(FILES))
    gone = change(repo, "gone", base, {"dir/deep/c": None})
    own = Repo(repo.path / ".git")
    spliced = splice(own, own.tree_of(base), own.changes(base, gone))
    assert spliced == own.tree_of(gone)


def test_the_quick_look_sees_what_git_sees(repo: RepoBuilder, tmp_path: Path) -> None:
    repo.commit({**FILES, ".gitignore": "*.log\n"})
    base, own, place = repo.head(), Repo(repo.path / ".git"), tmp_path / "tree"
    birth(own, "mo-quick-1", place, branch=None, commit=base)
    assert look(own, place, base).changed == ()
    (place / "a").write_text("changed\n")
    (place / "dir/b").unlink()
    (place / "new").write_text("new\n")
    (place / "out.log").write_text("ignored\n")
    (place / "link").symlink_to("a")
    found = look(own, place, base)
    assert found.statuses == {"a": "M", "dir/b": "D", "link": "A", "new": "A"}
    assert own.file(found.tree, "new") == b"new\n"
    assert put_back(own, place, base, found)  # the link needs git
    assert look(own, place, base).changed == ()
    (place / "dir-x").write_text("changed\n")
    (place / "dir/b").unlink()
    (place / "dir/deep/c").unlink()
    (place / "fresh/dir").mkdir(parents=True)
    (place / "fresh/dir/file").write_text("new\n")
    assert is_plain(own, base)
    assert put_back(own, place, base, look(own, place, base))
    assert look(own, place, base).changed == ()
    assert not (place / "fresh").exists()
    assert repo.git("-C", str(place), "status", "--porcelain", "--ignored") == "!! out.log"
    assert (place / "out.log").exists()  # a cache of the worker
    assert not (place / "new").exists()
    (place / "a").unlink()
    (place / "a").mkdir()
    (place / "a/inner").write_text("a directory now\n")
    (place / "dir/b").unlink()
    (place / "dir/deep/c").unlink()
    (place / "dir/deep").rmdir()
    (place / "dir").rmdir()
    (place / "dir").write_text("a file now\n")
    found = look(own, place, base)
    assert found.statuses == {"a": "D", "a/inner": "A", "dir": "A", "dir/b": "D", "dir/deep/c": "D"}
    assert own.file(found.tree, "dir") == b"a file now\n"
    assert put_back(own, place, base, found)
    assert look(own, place, base).changed == ()
    repo.git("-C", str(place), "commit", "-q", "--allow-empty", "-m", "its own")
    assert not put_back(own, place, base)  # somebody moved its HEAD
