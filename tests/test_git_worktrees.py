"""Worktrees by rename: births that race, births that were killed, recycling, removal."""

from __future__ import annotations

import os
import re
import shutil
import stat
import threading
from pathlib import Path

import pytest

from mo_git.errors import Exit, MoError
from mo_git.git import refs, worktrees
from mo_git.git.binary import Git, is_dirty
from mo_git.git.files import delete_tree, make_writable
from mo_git.git.index import has_hidden_entries
from mo_git.git.repo import Repo
from mo_git.git.snapshot import snapshot
from tests.support import RepoBuilder

ODD_NAMES = ["sp ace", "new\nline", 'quo"te', "ünï", os.fsdecode(b"raw\xff\xfe")]


@pytest.fixture
def store(repo: RepoBuilder) -> Repo:
    repo.commit({"a": "1\n", "d/b": "2\n", ".gitignore": "ignored/\n*.cache\n"})
    return Repo(repo.path / ".git")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state/w one"


def files_of(path: Path) -> set[str]:
    """Every file below, the `.git` pointer at the top left out."""
    found = {str(file.relative_to(path)) for file in path.rglob("*") if not file.is_dir()}
    return found - {".git"}


# -- birth -------------------------------------------------------------------------------------------------


def test_birth_on_a_branch_that_is_made(repo: RepoBuilder, store: Repo, place: Path) -> None:
    worktrees.birth(store, "w", place, branch="mo/g/t", commit=repo.head())
    born = RepoBuilder(place)
    assert files_of(place) == {"a", "d/b", ".gitignore", "README.md"}
    assert born.git("status", "--porcelain=v2", "--branch").splitlines() == [
        f"# branch.oid {repo.head()}",
        "# branch.head mo/g/t",
    ]
    assert repo.git("worktree", "list", "--porcelain").split("\n\n")[1].splitlines() == [
        f"worktree {place}",
        f"HEAD {repo.head()}",
        "branch refs/heads/mo/g/t",
        "locked in use by mo",
    ]
    commit = born.commit({"new": "x"})
    assert repo.head("mo/g/t") == commit
    repo.git("worktree", "prune")
    repo.git("gc", "-q", "--prune=now")
    assert born.git("status", "--porcelain") == ""
    repo.git("fsck", "--strict")


def test_birth_on_a_commit_and_on_a_branch_that_exists(
    repo: RepoBuilder, store: Repo, tmp_path: Path
) -> None:
    worktrees.birth(store, "a", tmp_path / "a", branch=None, commit=repo.head("HEAD~1"))
    assert RepoBuilder(tmp_path / "a").git("status", "-sb") == "## HEAD (no branch)"
    assert files_of(tmp_path / "a") == {"README.md"}
    repo.git("branch", "there")
    worktrees.birth(store, "b", tmp_path / "b", branch="there", commit=repo.head())
    assert RepoBuilder(tmp_path / "b").git("status", "-sb") == "## there"
    with pytest.raises(MoError, match="the branch there is at"):
        worktrees.birth(store, "c", tmp_path / "c", branch="there", commit=repo.head("HEAD~1"))
    with pytest.raises(MoError, match="there is no commit"):
        worktrees.birth(store, "c", tmp_path / "c", branch=None, commit="0" * 40)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "-x", "a\n"])
def test_names_that_cannot_be_a_directory_of_git(
    repo: RepoBuilder, store: Repo, place: Path, name: str
) -> None:
    with pytest.raises(MoError, match="cannot be the name of a worktree"):
        worktrees.birth(store, name, place, branch=None, commit=repo.head())


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_of_files_and_of_the_worktree(
    store: Repo, repo: RepoBuilder, tmp_path: Path, name: str
) -> None:
    repo.write({f"{name}/{name}": "x"})
    git = Git(repo.path)
    git("add", "-A")
    git("commit", "-q", "-m", "odd")
    path = tmp_path / f"in {name}"
    worktrees.birth(store, "w", path, branch=None, commit=repo.head())
    assert (path / name / name).read_text() == "x"
    assert not is_dirty(Git(path))
    assert worktrees.listing(store) == {"w": path}
    worktrees.point(store, path, branch="b", commit=repo.head())
    worktrees.reset(path, repo.head("HEAD~1"))
    assert not (path / name).exists()
    worktrees.remove(store, path)
    assert worktrees.listing(store) == {}


def test_a_worktree_of_a_sparse_clone_is_whole(repo: RepoBuilder, store: Repo, place: Path) -> None:
    repo.git("sparse-checkout", "set", "--cone", "--sparse-index", "none")
    assert not (repo.path / "d").exists()
    worktrees.birth(store, "w", place, branch=None, commit=repo.head())
    assert files_of(place) == {"a", "d/b", ".gitignore", "README.md"}
    assert not is_dirty(Git(place))
    assert not has_hidden_entries(place.parents[1] / "repo/.git/worktrees/w/index")
    assert not (repo.path / "d").exists()


def test_a_worktree_of_a_shallow_clone(repo: RepoBuilder, store: Repo, tmp_path: Path) -> None:
    assert store.top == repo.path
    repo.git("clone", "-q", "--depth=1", f"file://{repo.path}", str(tmp_path / "shallow"))
    shallow = Repo(tmp_path / "shallow/.git")
    worktrees.birth(shallow, "w", tmp_path / "w", branch="mo/x", commit=repo.head())
    assert RepoBuilder(tmp_path / "w").git("log", "--format=%H") == repo.head()


def test_filters_of_the_user_run_on_checkout(repo: RepoBuilder, place: Path) -> None:
    repo.git("config", "--global", "filter.shout.smudge", "tr a-z A-Z")
    repo.git("config", "--global", "filter.shout.clean", "tr A-Z a-z")
    commit = repo.commit({".gitattributes": "*.txt filter=shout\n", "x.txt": "loud\n"})
    worktrees.birth(Repo(repo.path / ".git"), "w", place, branch=None, commit=commit)
    assert (place / "x.txt").read_text() == "LOUD\n"
    assert not is_dirty(Git(place))


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
def test_large_files_of_git_lfs_are_fetched_on_checkout(repo: RepoBuilder, place: Path) -> None:
    repo.git("lfs", "install", "--skip-repo")
    repo.git("lfs", "track", "*.bin")
    commit = repo.commit({"big.bin": b"\0" * 5000})
    assert repo.git("cat-file", "blob", f"{commit}:big.bin").startswith("version https://git-lfs")
    worktrees.birth(Repo(repo.path / ".git"), "w", place, branch=None, commit=commit)
    assert (place / "big.bin").read_bytes() == b"\0" * 5000


def test_submodules_stay_empty_whatever_the_user_configured(
    repo: RepoBuilder, store: Repo, tmp_path: Path, place: Path
) -> None:
    library = RepoBuilder.create(tmp_path / "library", {"l": "x"})
    repo.git("submodule", "add", "-q", str(library.path), "lib")
    commit = repo.commit({})
    repo.git("config", "--global", "submodule.recurse", "true")
    worktrees.birth(store, "w", place, branch=None, commit=commit)
    assert list((place / "lib").iterdir()) == []
    worktrees.reset(place, repo.head("HEAD~1"))
    assert not (place / "lib").exists()


def test_births_race_with_each_other_and_with_readers(repo: RepoBuilder, store: Repo, tmp_path: Path) -> None:
    errors: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            listed = Git(repo.path)("worktree", "list", "--porcelain", check=False)
            if listed.code:
                errors.append(listed.error_text)

    def give_birth(start: int) -> None:
        for n in range(start, start + 8):
            try:
                path = tmp_path / f"w/{n}"
                worktrees.birth(store, f"w{n}", path, branch=f"mo/race/{n}", commit=repo.head())
                if n % 2:
                    worktrees.remove(store, path)
            except MoError as error:
                errors.append(error.message)

    reader = threading.Thread(target=read)
    mothers = [threading.Thread(target=give_birth, args=(start,)) for start in (0, 8, 16)]
    for thread in (reader, *mothers):
        thread.start()
    for thread in mothers:
        thread.join()
    done.set()
    reader.join()
    # git itself reads what it listed before: somebody else's removal in between is no fault of a birth
    removed = re.compile(r"worktrees/w\d*[13579]'?: No such file or directory")
    assert [error for error in errors if not removed.search(error)] == []
    expected = {f"w{n}": tmp_path / f"w/{n}" for n in range(0, 24, 2)}
    assert worktrees.listing(store) == expected
    assert all(not is_dirty(Git(path)) for path in expected.values())


# -- leftovers of killed births ----------------------------------------------------------------------------


def test_a_birth_killed_before_the_rename_is_repeated(repo: RepoBuilder, store: Repo, place: Path) -> None:
    staging = repo.path / ".git/mo-tmp/w"
    staging.mkdir(parents=True)
    (staging / "HEAD").write_text("half")
    for pointer in (None, "", "gitdir: /cut", f"gitdir: {repo.path}/.git/worktrees/w\n"):
        place.mkdir(parents=True)
        if pointer is not None:
            (place / ".git").write_text(pointer)
        worktrees.birth(store, "w", place, branch=None, commit=repo.head())
        assert not is_dirty(Git(place))
        worktrees.remove(store, place)


def test_a_birth_killed_during_the_checkout_is_repeated(repo: RepoBuilder, store: Repo, place: Path) -> None:
    worktrees.birth(store, "w", place, branch="b", commit=repo.head())
    admin = repo.path / ".git/worktrees/w"
    (admin / "index").rename(admin / "index.lock")
    (place / "a").write_text("half")
    (place / "d/b").unlink()
    worktrees.birth(store, "w", place, branch="b", commit=repo.head())
    assert not is_dirty(Git(place))
    assert (place / "a").read_text() == "1\n"
    assert not (admin / "index.lock").exists()


def test_a_worktree_that_vanished_is_born_again(repo: RepoBuilder, store: Repo, place: Path) -> None:
    worktrees.birth(store, "w", place, branch=None, commit=repo.head())
    shutil.rmtree(place)
    worktrees.birth(store, "w", place, branch=None, commit=repo.head())
    assert not is_dirty(Git(place))


def test_a_checkout_that_fails_leaves_a_birth_that_can_be_repeated(
    repo: RepoBuilder, store: Repo, place: Path
) -> None:
    repo.git("config", "filter.need.smudge", "exit 1")
    repo.git("config", "filter.need.required", "true")
    commit = repo.commit({".gitattributes": "x filter=need\n"})
    commit = repo.git("commit-tree", "-m", "x", "-p", commit, _tree_with_x(repo))
    with pytest.raises(MoError, match="smudge filter need failed"):
        worktrees.birth(store, "w", place, branch=None, commit=commit)
    repo.git("config", "filter.need.smudge", "cat")
    worktrees.birth(store, "w", place, branch=None, commit=commit)
    assert (place / "x").exists()


def _tree_with_x(repo: RepoBuilder) -> str:
    listed = repo.git("ls-tree", "HEAD")
    blob = repo.head("HEAD:README.md")
    return repo.git("mktree", stdin=f"{listed}\n100644 blob {blob}\tx\n")


def test_what_is_not_ours_is_never_overwritten(repo: RepoBuilder, store: Repo, tmp_path: Path) -> None:
    commit = repo.head()
    full = tmp_path / "full"
    full.mkdir()
    (full / "precious").write_text("x")
    (tmp_path / "link").symlink_to(full)
    RepoBuilder.create(tmp_path / "other", {"f": "x"})
    for path in (full, tmp_path / "link", tmp_path / "other", full / "precious"):
        with pytest.raises(MoError, match="is in the way: mo did not make it"):
            worktrees.birth(store, "w", path, branch=None, commit=commit)
    assert (full / "precious").read_text() == "x"
    assert worktrees.listing(store) == {}
    worktrees.birth(store, "w", tmp_path / "w", branch=None, commit=commit)
    (tmp_path / "w/unsaved").write_text("not kept yet")
    with pytest.raises(MoError, match="exists already"):
        worktrees.birth(store, "w", tmp_path / "w", branch=None, commit=commit)
    with pytest.raises(MoError, match="a worktree called w exists elsewhere"):
        worktrees.birth(store, "w", tmp_path / "v", branch=None, commit=commit)
    with pytest.raises(MoError, match="is in the way"):
        worktrees.birth(store, "v", tmp_path / "w", branch=None, commit=commit)
    (tmp_path / "w/.git").unlink()
    with pytest.raises(MoError, match="is in the way"):
        worktrees.birth(store, "w", tmp_path / "w", branch=None, commit=commit)
    assert worktrees.listing(store) == {"w": tmp_path / "w"}
    assert (tmp_path / "w/unsaved").read_text() == "not kept yet"


# -- recycling ---------------------------------------------------------------------------------------------


@pytest.fixture
def born(repo: RepoBuilder, store: Repo, place: Path) -> RepoBuilder:
    worktrees.birth(store, "w", place, branch="one", commit=repo.head())
    return RepoBuilder(place)


def test_point_moves_head_and_nothing_else(repo: RepoBuilder, store: Repo, born: RepoBuilder) -> None:
    born.write({"a": "changed\n"})
    (repo.path / ".git/worktrees/w/HEAD.lock").touch()
    worktrees.point(store, born.path, branch="two", commit=repo.head())
    assert not (repo.path / ".git/worktrees/w/HEAD.lock").exists()
    assert born.git("status", "-sb").splitlines() == ["## two", " M a"]
    worktrees.point(store, born.path, branch=None, commit=repo.head("HEAD~1"))
    assert born.git("rev-parse", "--symbolic-full-name", "HEAD") == "HEAD"
    assert born.head() == repo.head("HEAD~1")
    with pytest.raises(MoError, match="the branch main is at"):
        worktrees.point(store, born.path, branch="main", commit=repo.head("HEAD~1"))


def test_reset_drops_every_trace(repo: RepoBuilder, store: Repo, born: RepoBuilder) -> None:
    born.write({"a": "x", "new": "x", "ignored/deep/x": "x", "k.cache": "x", "dir\n/y": "z", "keep me": "k"})
    born.git("rm", "-q", "d/b")
    RepoBuilder.create(born.path / "nested", {"n": "x"})
    RepoBuilder.create(born.path / "ignored/nested", {"n": "x"})
    admin = repo.path / ".git/worktrees/w"
    (admin / "index.lock").touch()
    (admin / "config.worktree").write_text("[core]\n\tbare = true\n")
    worktrees.reset(born.path, repo.head(), keep=["/keep me"])
    assert files_of(born.path) == {"a", "d/b", ".gitignore", "README.md", "keep me"}
    assert born.git("status", "--porcelain") == '?? "keep me"'
    assert sorted(path.name for path in admin.iterdir()) == [
        "HEAD",
        "commondir",
        "gitdir",
        "index",
        "locked",
    ]


def test_reset_ends_operations_and_goes_to_any_commit(repo: RepoBuilder, born: RepoBuilder) -> None:
    other = repo.branch("other", {"a": "theirs\n", "file/x": "1"})
    born.commit({"a": "ours\n"})
    born.git("rebase", "other", check=False)
    born.git("cherry-pick", "other", check=False)
    assert (repo.path / ".git/worktrees/w/rebase-merge").exists()
    worktrees.reset(born.path, other)
    assert not (repo.path / ".git/worktrees/w/rebase-merge").exists()
    assert (born.path / "a").read_text() == "theirs\n"
    assert born.git("diff", "--stat", "other") == ""
    swapped = repo.branch("swapped", {"file": "now a file"}, "other~1")
    worktrees.reset(born.path, swapped)
    assert (born.path / "file").read_text() == "now a file"


@pytest.mark.parametrize("version", ["2", "4"])
@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_reset_sees_what_the_index_was_told_to_hide(
    repo: RepoBuilder, born: RepoBuilder, version: str, flag: str
) -> None:
    born.git("update-index", f"--index-version={version}")
    born.git("update-index", flag, "d/b")
    born.write({"d/b": "hidden change"})
    assert born.git("status", "--porcelain") == ""
    worktrees.reset(born.path, repo.head())
    assert (born.path / "d/b").read_text() == "2\n"


def test_reset_of_a_worktree_that_was_made_sparse_or_split(repo: RepoBuilder, born: RepoBuilder) -> None:
    born.git("sparse-checkout", "set", "--cone", "--sparse-index", "none")
    assert not (born.path / "d").exists()
    worktrees.reset(born.path, repo.head())
    assert (born.path / "d/b").read_text() == "2\n"
    born.git("update-index", "--split-index")
    worktrees.reset(born.path, repo.head())
    assert born.git("status", "--porcelain") == ""


def test_an_index_stays_in_one_file_so_that_recycling_stays_cheap(
    repo: RepoBuilder, store: Repo, place: Path
) -> None:
    repo.git("config", "--global", "core.splitIndex", "true")
    admin = repo.path / ".git/worktrees/w"
    worktrees.birth(store, "w", place, branch=None, commit=repo.head())
    assert not has_hidden_entries(admin / "index")
    (place / "new").touch()
    snapshot(store, place, repo.head())
    assert not has_hidden_entries(admin / "index")


def test_reset_removes_a_repository_among_tracked_files(repo: RepoBuilder, born: RepoBuilder) -> None:
    born.git("init", "-q", "d")
    born.write({"d/new": "x", "ignored/tool/x": "x"})
    born.git("init", "-q", "ignored/tool")
    worktrees.reset(born.path, repo.head(), keep=["ignored"])
    assert not (born.path / "d/.git").exists()
    assert files_of(born.path / "d") == {"b"}
    assert (born.path / "ignored/tool/.git").exists()


def test_reset_refuses_the_main_worktree_and_changed_pointers(
    repo: RepoBuilder, born: RepoBuilder, tmp_path: Path
) -> None:
    repo.write({"work": "x"})
    with pytest.raises(MoError, match="is not a linked worktree"):
        worktrees.reset(repo.path, repo.head())
    (born.path / ".git").write_text(f"gitdir: {repo.path}/.git\n")
    with pytest.raises(MoError, match="is not a linked worktree"):
        worktrees.reset(born.path, repo.head())
    assert (repo.path / "work").exists()
    other = tmp_path / "other"
    repo.git("worktree", "add", "-q", "--detach", str(other))
    (born.path / ".git").write_text((other / ".git").read_text())
    with pytest.raises(MoError, match="is not a linked worktree"):
        worktrees.reset(born.path, repo.head())


def test_read_only_directories_do_not_stop_the_clean(repo: RepoBuilder, born: RepoBuilder) -> None:
    born.write({"ignored/module/file": "x"})
    (born.path / "ignored/module").chmod(0o555)
    worktrees.reset(born.path, repo.head())
    assert not (born.path / "ignored").exists()


def test_make_writable_opens_directories_and_follows_no_link(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    (tree / "a/b").mkdir(parents=True)
    outside.mkdir()
    (tree / "file").touch(0o444)
    (tree / "link").symlink_to(outside)
    for path, mode in ((outside, 0o555), (tree / "a/b", 0o555), (tree / "a", 0o050)):
        path.chmod(mode)
    make_writable(tree)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (outside, tree / "a", tree / "a/b")}
    assert modes == {"outside": 0o555, "a": 0o750, "b": 0o755}
    assert stat.S_IMODE((tree / "file").stat().st_mode) == 0o444
    delete_tree(tree)
    delete_tree(tree)
    assert outside.exists()
    assert not tree.exists()


# -- the index reader --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_an_index_with_many_entries_is_read_to_its_end(repo: RepoBuilder, version: str) -> None:
    repo.write({f"{'p' * (n % 40)}/{n}": "x" for n in range(300)})
    repo.git("add", "-A")
    index = repo.path / ".git/index"
    repo.git("update-index", f"--index-version={version}")
    assert not has_hidden_entries(index)
    if version == "3":  # written only when a flag asks for it
        repo.write({"later": "x"})
        repo.git("add", "-N", "later")
        assert index.read_bytes()[7] == 3
        assert not has_hidden_entries(index)
    repo.git("update-index", "--assume-unchanged", "README.md")
    assert has_hidden_entries(index)
    repo.git("update-index", "--no-assume-unchanged", "README.md")
    assert not has_hidden_entries(index)


def test_a_missing_index_hides_nothing_and_a_broken_one_may(tmp_path: Path) -> None:
    assert not has_hidden_entries(tmp_path / "none")
    for n, data in enumerate((b"", b"DIRC", b"XXXX\0\0\0\2\0\0\0\0", b"DIRC\0\0\0\2\0\0\0\x09short")):
        (tmp_path / str(n)).write_bytes(data)
        assert has_hidden_entries(tmp_path / str(n))


# -- removal and looking -----------------------------------------------------------------------------------


def test_remove(repo: RepoBuilder, store: Repo, born: RepoBuilder, tmp_path: Path) -> None:
    worktrees.birth(store, "v", born.path.with_name("v"), branch=None, commit=repo.head())
    (born.path.parent / ".mo-trash-left").mkdir()
    (tmp_path / "precious").write_text("x")
    (born.path / "link").symlink_to(tmp_path)
    worktrees.remove(store, born.path)
    assert sorted(path.name for path in born.path.parent.iterdir()) == ["v"]
    assert worktrees.listing(store) == {"v": born.path.with_name("v")}
    assert (tmp_path / "precious").exists()
    assert repo.head("one")
    worktrees.remove(store, born.path)
    assert sorted((repo.path / ".git/mo-tmp").iterdir()) == []


def test_remove_finishes_what_was_interrupted(repo: RepoBuilder, store: Repo, born: RepoBuilder) -> None:
    shutil.rmtree(born.path.parent)
    worktrees.remove(store, born.path)
    assert worktrees.listing(store) == {}
    assert repo.git("worktree", "list").count("\n") == 0


def test_remove_refuses_what_is_not_a_linked_worktree(repo: RepoBuilder, store: Repo, tmp_path: Path) -> None:
    other = RepoBuilder.create(tmp_path / "other", {"f": "x"})
    other.git("worktree", "add", "-q", "--detach", str(tmp_path / "theirs"))
    for path in (repo.path, other.path, tmp_path / "theirs", tmp_path):
        with pytest.raises(MoError, match="is not a worktree of"):
            worktrees.remove(store, path)
        assert path.exists()


def test_admin_of_follows_only_pointers_that_git_wrote(
    repo: RepoBuilder, store: Repo, born: RepoBuilder, tmp_path: Path
) -> None:
    admin = repo.path / ".git/worktrees/w"
    assert worktrees.admin_of(store, born.path) == admin
    assert worktrees.admin_of(store, repo.path) == repo.path / ".git"
    with pytest.raises(MoError) as caught:
        worktrees.admin_of(store, tmp_path)
    assert caught.value.code == Exit.NOT_FOUND
    evil = RepoBuilder.create(tmp_path / "evil", {"f": "x"})
    pointer = born.path / ".git"
    original = pointer.read_text()
    for text in (f"gitdir: {evil.path}/.git\n", f"gitdir: {repo.path}/.git\n", "", "nonsense"):
        pointer.write_text(text)
        with pytest.raises(MoError, match="has been changed"):
            worktrees.admin_of(store, born.path)
    pointer.unlink()
    pointer.symlink_to(evil.path / ".git")
    with pytest.raises(MoError, match="has been changed"):
        worktrees.admin_of(store, born.path)
    pointer.unlink()
    pointer.write_text(original)
    assert worktrees.admin_of(store, born.path) == admin


def test_relative_pointers_of_newer_gits(repo: RepoBuilder, store: Repo, born: RepoBuilder) -> None:
    admin = repo.path / ".git/worktrees/w"
    (admin / "gitdir").write_text(f"{os.path.relpath(born.path / '.git', admin)}\n")
    (born.path / ".git").write_text(f"gitdir: {os.path.relpath(admin, born.path)}\n")
    assert worktrees.listing(store) == {"w": born.path}
    assert worktrees.admin_of(store, born.path) == admin
    worktrees.reset(born.path, repo.head())
    worktrees.remove(store, born.path)
    assert not born.path.exists()


def test_holder(repo: RepoBuilder, store: Repo, born: RepoBuilder) -> None:
    assert worktrees.holder(store, "main") == repo.path
    assert worktrees.holder(store, "one") == born.path
    assert worktrees.holder(store, "none") is None
    repo.git("checkout", "-q", "--detach")
    assert worktrees.holder(store, "main") is None
    repo.git("checkout", "-q", "-b", "other")
    repo.commit({"README.md": "one side\n"})
    born.commit({"README.md": "other side\n"})
    born.git("rebase", "other", check=False)
    assert born.git("symbolic-ref", "-q", "HEAD", check=False) == ""
    assert worktrees.holder(store, "one") == born.path
    born.git("rebase", "--abort")
    born.git("bisect", "start")
    born.git("checkout", "-q", "--detach")
    assert worktrees.holder(store, "one") == born.path
    shutil.rmtree(born.path)
    assert worktrees.holder(store, "one") is None
    assert refs.read(store, "refs/heads/one") is not None
