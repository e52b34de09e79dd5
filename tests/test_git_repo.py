"""Objects through libgit2: commits that are equal for equal inputs, differences, special files."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mo_git.errors import MoError
from mo_git.git.binary import Git
from mo_git.git.repo import Change, DiffStat, Repo
from mo_git.git.trees import Special
from tests.support import RepoBuilder

ODD_NAMES = ["sp ace", "new\nline", 'quo"te', "ünï", os.fsdecode(b"raw\xff\xfe")]


@pytest.fixture
def store(repo: RepoBuilder) -> Repo:
    return Repo(repo.path / ".git")


def test_reading_commits(repo: RepoBuilder, store: Repo) -> None:
    first = repo.head()
    second = repo.commit({"a": "1"})
    side = repo.branch("side", {"b": "1"}, first)
    assert store.tree_of(second) == repo.head("HEAD^{tree}")
    assert (store.parents(second), store.parents(first)) == ([first], [])
    assert store.is_ancestor(first, second)
    assert store.is_ancestor(second, second)
    assert not store.is_ancestor(second, first)
    assert not store.is_ancestor(side, second)
    times = [int(repo.git("log", "-1", "--format=%ct", rev)) for rev in (first, second)]
    assert store.newest_time(second, first) == max(times)
    assert store.top == repo.path
    assert store.git.text("rev-parse", "HEAD") == second


def test_exists_wants_a_full_id_of_anything(repo: RepoBuilder, store: Repo) -> None:
    assert store.exists(repo.head())
    assert store.exists(repo.head("HEAD:README.md"))
    for wrong in ("0" * 40, repo.head()[:10], "HEAD", "", "x" * 40):
        assert not store.exists(wrong)


def test_what_is_no_commit_is_an_error(repo: RepoBuilder, store: Repo) -> None:
    for wrong in (repo.head("HEAD^{tree}"), "0" * 40, "main"):
        with pytest.raises(MoError, match=f"there is no commit {wrong}"):
            store.parents(wrong)
        with pytest.raises(MoError, match=f"there is no commit {wrong}"):
            store.is_ancestor(repo.head(), wrong)
    with pytest.raises(MoError, match="there is no blob"):
        store.blob(repo.head())
    assert store.blob(repo.head("HEAD:README.md")) == b"hello\n"


def test_objects_made_later_by_git_are_seen(repo: RepoBuilder, store: Repo) -> None:
    assert store.exists(repo.head())
    second = repo.commit({"a": "1"})
    repo.git("gc", "-q", "--prune=now")
    third = repo.commit({"a": "2"})
    assert store.changed_paths(second, third) == ["a"]


def test_equal_inputs_give_equal_commits(repo: RepoBuilder, store: Repo) -> None:
    tree, head = repo.head("HEAD^{tree}"), repo.head()

    def make() -> str:
        return store.commit_tree(tree, [head], "t\n", author=("Ann", "ann@x"), when=1_700_000_000)

    made = make()
    assert make() == made
    assert repo.git("log", "-1", "--format=%an %ae %at|%cn %ce %ct|%P|%T|%s", made) == (
        f"Ann ann@x 1700000000|mo mo@localhost 1700000000|{head}|{tree}|t"
    )
    assert repo.git("log", "-1", "--format=%aI", made) == "2023-11-14T22:13:20+00:00"


def test_identities_and_messages_that_git_has_no_room_for(repo: RepoBuilder) -> None:
    store = Repo(repo.path / ".git", committer=("Team <bot>\n", ""))
    odd = os.fsdecode(b"t\xff")
    made = store.commit_tree(repo.head("HEAD^{tree}"), [], f"{odd}\n", author=(f"A{odd}", "a@b"), when=0)
    assert repo.git("log", "-1", "--format=%an|%cn|%ce|%s", made) == "At?|Team bot|mo@localhost|t?"
    repo.git("fsck", "--strict")


def test_changes_name_both_sides_of_a_rename(repo: RepoBuilder, store: Repo) -> None:
    a = repo.commit({"old": "same\n" * 20, "edit": "1", "gone": "x", "kind": "x"})
    (repo.path / "old").rename(repo.path / "new")
    (repo.path / "gone").unlink()
    (repo.path / "kind").unlink()
    (repo.path / "kind").symlink_to("edit")
    b = repo.commit({"edit": "2", "added/deep": "y"})
    found = store.changes(a, b)
    assert {change.path: change.status for change in found} == {
        "added/deep": "A",
        "edit": "M",
        "gone": "D",
        "kind": "T",
        "new": "A",
        "old": "D",
    }
    assert store.changed_paths(a, b) == ["added/deep", "edit", "gone", "kind", "new", "old"]
    edit = Change("edit", "M", repo.head(f"{a}:edit"), repo.head(f"{b}:edit"), 0o100644)
    assert edit in found
    assert store.changes(repo.head(f"{a}^{{tree}}"), repo.head(f"{b}^{{tree}}")) == found


def test_diff_stat(repo: RepoBuilder, store: Repo) -> None:
    a = repo.commit({"edit": "1\n2\n", "gone": "x\n", "image": b"\0\1"})
    (repo.path / "gone").unlink()
    b = repo.commit({"edit": "1\n3\n4\n", "image": b"\0\2"})
    assert store.diff_stat(a, b) == DiffStat(3, 2, 2)
    assert store.diff_stat(a, a) == DiffStat(0, 0, 0)


def test_changed_paths_with_odd_names(repo: RepoBuilder, store: Repo) -> None:
    base = repo.head()
    repo.write(dict.fromkeys(ODD_NAMES, "x"))
    git = Git(repo.path)
    git("add", "-A")
    git("commit", "-q", "-m", "odd")
    assert set(store.changed_paths(base, git.text("rev-parse", "HEAD"))) == set(ODD_NAMES)


def test_a_rename_of_directory_into_file_and_back(repo: RepoBuilder, store: Repo) -> None:
    a = repo.commit({"x/inner": "1"})
    (repo.path / "x/inner").unlink()
    (repo.path / "x").rmdir()
    b = repo.commit({"x": "file"})
    assert store.changed_paths(a, b) == ["x", "x/inner"]
    assert store.changed_paths(b, a) == ["x", "x/inner"]


def test_special_files_are_found_at_any_depth(repo: RepoBuilder, store: Repo, tmp_path: Path) -> None:
    library = RepoBuilder.create(tmp_path / "library", {"l": "x"})
    repo.git("submodule", "add", "-q", str(library.path), "vendor/lib")
    head = repo.commit({".gitattributes": "* text\n", "a b/.gitattributes": "x -text\n", "a b/c": "1"})
    (repo.path / "link").mkdir()
    (repo.path / "link/.gitattributes").symlink_to("../c")
    with_link = repo.commit({})
    blobs = {path: repo.head(f"{head}:{path}") for path in (".gitattributes", "a b/.gitattributes")}
    expected = Special(tuple(blobs.items()), (("vendor/lib", library.head()),))
    assert store.special(head) == expected
    assert store.special(with_link) == expected


def test_trees_deeper_than_the_stack_of_python(repo: RepoBuilder, store: Repo) -> None:
    path = "d/" * 1200 + ".gitattributes"
    commit = (
        f"commit refs/heads/deep\ncommitter A <a@b> 1 +0000\ndata 0\nM 100644 {repo.head('HEAD:README.md')} "
    )
    repo.git("fast-import", "--quiet", stdin=f"{commit}{path}\n")
    assert store.special(repo.head("deep")).attributes == ((path, repo.head("HEAD:README.md")),)


def test_one_repo_for_many_threads(repo: RepoBuilder, store: Repo) -> None:
    tree, head, made = repo.head("HEAD^{tree}"), repo.head(), []

    def work(n: int) -> None:
        made.append(store.commit_tree(tree, [head], f"{n}\n", when=n))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({*made}) == 8
    assert all(store.parents(commit) == [head] for commit in made)


def test_shallow_history(repo: RepoBuilder, tmp_path: Path) -> None:
    for n in range(4):
        repo.commit({"f": f"{n}\n"})
    repo.git("clone", "-q", "--depth=2", f"file://{repo.path}", str(tmp_path / "shallow"))
    shallow = Repo(tmp_path / "shallow/.git")
    head = repo.head()
    before = repo.head("HEAD~1")
    assert shallow.is_ancestor(before, head)
    assert not shallow.is_ancestor(head, before)
    assert shallow.changed_paths(before, head) == ["f"]
    assert not shallow.exists(repo.head("HEAD~2"))


def test_the_main_worktree_is_unknown_for_bare_and_separate_stores(repo: RepoBuilder, tmp_path: Path) -> None:
    repo.git("clone", "-q", "--bare", str(repo.path), str(tmp_path / "bare.git"))
    RepoBuilder.create(tmp_path / "main", {"f": "x"}, "--separate-git-dir", str(tmp_path / "store.git"))
    for common in (tmp_path / "bare.git", tmp_path / "store.git"):
        store = Repo(common)
        assert store.top is None
        assert len(store.git.text("rev-parse", "HEAD")) == 40


def test_a_directory_that_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(MoError, match="cannot open the repository"):
        Repo(tmp_path).exists("0" * 40)
