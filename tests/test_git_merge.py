"""Merges in memory: git's own engine, the same whatever is checked out and configured."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mo_git.errors import MoError
from mo_git.git.binary import Git
from mo_git.git.merge import Merge, Merger
from mo_git.git.repo import Repo
from tests.support import RepoBuilder

ODD_NAMES = ["sp ace", "new\nline", 'quo"te', "ünï", os.fsdecode(b"raw\xff\xfe")]


@pytest.fixture
def merger(repo: RepoBuilder, tmp_path: Path) -> Iterator[Merger]:
    with closing(Merger(Repo(repo.path / ".git"), tmp_path / "state/merge")) as merger:
        yield merger


def both(repo: RepoBuilder, ours: dict[str, str | bytes], theirs: dict[str, str | bytes]) -> tuple[str, str]:
    """Two commits on branches from the present one."""
    return repo.branch("ours", ours), repo.branch("theirs", theirs)


def branch_by(repo: RepoBuilder, branch: str, *args: str) -> str:
    """A branch whose one commit is made by `git ARGS`."""
    repo.git("checkout", "-q", "-b", branch)
    repo.git(*args)
    repo.git("commit", "-q", "-m", f"work on {branch}")
    commit = repo.head()
    repo.git("checkout", "-q", "-f", "main")
    return commit


def test_a_clean_merge_touches_no_checkout_index_or_ref(repo: RepoBuilder, merger: Merger) -> None:
    repo.commit({"f": "1\n2\n3\n4\n5\n"})
    ours, theirs = both(repo, {"f": "one\n2\n3\n4\n5\n"}, {"f": "1\n2\n3\n4\nfive\n", "new": "n"})

    def everything() -> tuple[bytes, str, str]:
        return (repo.path / ".git/index").read_bytes(), repo.git("for-each-ref"), repo.git("status", "-s")

    before = everything()
    merged = merger.merge(ours, theirs)
    assert merged.tree is not None
    assert merged == Merge(merged.tree)
    assert repo.tree(merged.tree) == {"README.md": "hello", "f": "one\n2\n3\n4\nfive", "new": "n"}
    assert everything() == before
    assert merger.merge(ours, theirs) == merged
    assert merger.merge(ours, ours).tree == repo.head(f"{ours}^{{tree}}")


def test_a_conflict_names_path_and_kind_and_leaves_a_marked_tree(repo: RepoBuilder, merger: Merger) -> None:
    repo.commit({"f": "base\n", "g": "base\n"})
    ours, theirs = both(repo, {"f": "mine\n", "g": "mine\n", "h": "x"}, {"f": "yours\n", "g": "yours\n"})
    merged = merger.merge(ours, theirs)
    assert merged.tree is None
    assert merged.conflicts == ("f", "g")
    assert [text for text in merged.messages if text.startswith("CONFLICT")] == [
        "CONFLICT (content): Merge conflict in f",
        "CONFLICT (content): Merge conflict in g",
    ]
    marked = repo.tree(merged.marked)
    assert marked["h"] == "x"
    assert marked["f"].splitlines() == [
        f"<<<<<<< {ours}",
        "mine",
        f"||||||| {repo.head()[:7]}",
        "base",
        "=======",
        "yours",
        f">>>>>>> {theirs}",
    ]


def test_odd_names_in_conflict(repo: RepoBuilder, merger: Merger) -> None:
    git = Git(repo.path)
    commits = []
    for branch in ("ours", "theirs"):
        repo.git("checkout", "-q", "-b", branch, "main")
        repo.write(dict.fromkeys(ODD_NAMES, f"{branch}\n"))
        git("add", "-A")
        git("commit", "-q", "-m", branch)
        commits.append(repo.head())
    merged = merger.merge(*commits)
    assert set(merged.conflicts) == set(ODD_NAMES)
    assert len(merged.messages) == 2 * len(ODD_NAMES)


def test_attributes_of_our_side_count_whatever_is_checked_out(repo: RepoBuilder, merger: Merger) -> None:
    repo.git("checkout", "-q", "-b", "work")
    repo.commit({"CHANGELOG": "0\n", "sub/LOG": "0\n", "sub/other": "0\n"})
    repo.commit({".gitattributes": "CHANGELOG merge=union\n", "sub/.gitattributes": "LOG merge=union\n"})
    ours = repo.commit({"CHANGELOG": "0\na\n", "sub/LOG": "0\na\n"})
    repo.git("checkout", "-q", "-b", "theirs", "HEAD~1")
    theirs = repo.commit({"CHANGELOG": "0\nb\n", "sub/LOG": "0\nb\n"})
    repo.git("checkout", "-q", "main")
    assert not (repo.path / ".gitattributes").exists()
    merged = merger.merge(ours, theirs)
    assert merged.tree is not None
    assert repo.tree(merged.tree)["CHANGELOG"].splitlines() == ["0", "a", "b"]
    assert repo.tree(merged.tree)["sub/LOG"].splitlines() == ["0", "a", "b"]
    # Without the attributes the same change conflicts, also when a checkout elsewhere has them.
    plain = []
    for letter in "ab":
        repo.git("checkout", "-q", "--detach", "work~2")
        plain.append(repo.commit({"CHANGELOG": f"0\n{letter}\n"}))
    repo.git("checkout", "-q", "work")
    assert merger.merge(*plain).conflicts == ("CHANGELOG",)
    assert merger.merge(ours, theirs) == merged


def test_attributes_are_written_once_and_only_when_they_differ(
    repo: RepoBuilder, merger: Merger, tmp_path: Path
) -> None:
    scratch = tmp_path / "state/merge"
    repo.commit({".gitattributes": "* merge=union\n", "deep er/x/.gitattributes": "y -text\n"})
    ours, theirs = both(repo, {"a": "1"}, {"b": "1"})
    merger.merge(ours, theirs)
    (place,) = scratch.iterdir()
    files = {str(path.relative_to(place)): path.read_text() for path in place.rglob("*") if path.is_file()}
    assert files == {".gitattributes": "* merge=union\n", "deep er/x/.gitattributes": "y -text\n"}
    merger.merge(theirs, ours)
    assert list(scratch.iterdir()) == [place]
    changed = repo.branch("changed", {".gitattributes": ""})
    merger.merge(changed, ours)
    assert len(list(scratch.iterdir())) == 2
    merger.clear()
    assert merger.merge(ours, theirs).tree is not None


def test_machine_wide_settings_do_not_count(repo: RepoBuilder, merger: Merger, sealed: Path) -> None:
    (sealed / "config/git").mkdir(parents=True)
    (sealed / "config/git/attributes").write_text("* merge=union\n")
    (sealed / "attributes").write_text("* merge=union\n")
    repo.git("config", "--global", "core.attributesFile", str(sealed / "attributes"))
    for key, value in (("merge.conflictStyle", "merge"), ("merge.directoryRenames", "false")):
        repo.git("config", "--global", key, value)
        repo.git("config", key, value)
    repo.commit({"f": "base\n"})
    merged = merger.merge(*both(repo, {"f": "a\n"}, {"f": "b\n"}))
    assert merged.conflicts == ("f",)
    assert "|||||||" in repo.tree(merged.marked)["f"]


def test_a_driver_from_the_config_of_the_repository_runs(repo: RepoBuilder, merger: Merger) -> None:
    repo.git("config", "merge.sum.driver", "cat %A %B > %A.new && mv %A.new %A")
    repo.commit({".gitattributes": "*.sum merge=sum\n", "x.sum": "0\n"})
    merged = merger.merge(*both(repo, {"x.sum": "1\n"}, {"x.sum": "2\n"}))
    assert merged.tree is not None
    assert repo.tree(merged.tree)["x.sum"] == "1\n2"
    repo.git("config", "merge.sum.driver", "exit 1")
    assert merger.merge(repo.head("ours"), repo.head("theirs")).conflicts == ("x.sum",)


def test_a_new_file_in_a_directory_that_the_other_side_renamed_is_a_conflict(
    repo: RepoBuilder, merger: Merger
) -> None:
    repo.git("config", "merge.directoryRenames", "true")
    repo.commit({f"old/{n}": f"{n}\n" * 5 for n in range(3)})
    ours = branch_by(repo, "ours", "mv", "old", "new")
    theirs = repo.branch("theirs", {"old/3": "3\n"})
    for merged in (merger.merge(ours, theirs), merger.merge(theirs, ours)):
        assert merged.tree is None
        assert merged.conflicts == ("new/3",)


def test_a_change_follows_a_rename(repo: RepoBuilder, merger: Merger) -> None:
    for key in ("merge.renames", "diff.renames"):
        repo.git("config", key, "false")
    repo.commit({"f": "1\n2\n3\n4\n5\n6\n"})
    ours = branch_by(repo, "ours", "mv", "f", "g")
    merged = merger.merge(ours, repo.branch("theirs", {"f": "1\n2\n3\n4\n5\nsix\n"}))
    assert repo.tree(str(merged.tree)) == {"README.md": "hello", "g": "1\n2\n3\n4\n5\nsix"}


def test_deleted_on_one_side_and_changed_on_the_other(repo: RepoBuilder, merger: Merger) -> None:
    repo.commit({"f": "1\n"})
    merged = merger.merge(branch_by(repo, "ours", "rm", "-q", "f"), repo.branch("theirs", {"f": "2\n"}))
    assert (merged.tree, merged.conflicts) == (None, ("f",))
    assert merged.messages[0].startswith("CONFLICT (modify/delete)")


def test_binary_files(repo: RepoBuilder, merger: Merger) -> None:
    repo.commit({"b": b"\0base"})
    ours, theirs = both(repo, {"b": b"\0ours"}, {"b": b"\0theirs"})
    assert merger.merge(ours, theirs).conflicts == ("b",)
    assert merger.merge(ours, repo.branch("away", {"x": "1"})).tree is not None


def test_modes(repo: RepoBuilder, merger: Merger) -> None:
    repo.commit({"f": "1\n2\n3\n"})
    ours = branch_by(repo, "ours", "update-index", "--chmod=+x", "f")
    theirs = repo.branch("theirs", {"f": "1\n2\nthree\n"})
    merged = merger.merge(ours, theirs)
    assert repo.git("ls-tree", str(merged.tree), "f").startswith("100755 blob")
    # The same new file with two modes: nobody can tell which was meant.
    plain = repo.branch("plain", {"new": "x\n"})
    repo.git("checkout", "-q", "plain")
    repo.git("checkout", "-q", "-b", "executable", "main")
    repo.write({"new": "x\n"})
    repo.git("add", "--chmod=+x", "new")
    repo.git("commit", "-q", "-m", "executable")
    assert merger.merge(plain, repo.head("executable")).conflicts == ("new",)


def test_unrelated_histories_are_a_conflict_and_nonsense_is_an_error(
    repo: RepoBuilder, merger: Merger
) -> None:
    head = repo.head()
    stranger = repo.git("commit-tree", "-m", "alone", repo.head("HEAD^{tree}"))
    assert merger.merge(head, stranger) == Merge(None, (), ("the two sides have no common history",))
    with pytest.raises(MoError, match="not something we can merge"):
        merger.merge(head, "0" * 40)


def test_a_repository_marked_as_bare_merges_all_the_same(repo: RepoBuilder, merger: Merger) -> None:
    repo.commit({".gitattributes": "CHANGELOG merge=union\n", "CHANGELOG": "0\n"})
    ours, theirs = both(repo, {"CHANGELOG": "0\na\n"}, {"CHANGELOG": "0\nb\n"})
    repo.git("config", "core.bare", "true")
    assert merger.merge(ours, theirs).tree is not None


def test_merging_where_the_clone_is_bare_or_the_checkout_sparse(repo: RepoBuilder, tmp_path: Path) -> None:
    repo.commit({"CHANGELOG": "0\n", "in/.gitattributes": "* merge=union\n", "in/L": "0\n"})
    ours, theirs = both(repo, {"in/L": "0\na\n"}, {"in/L": "0\nb\n"})
    repo.git("clone", "-q", "--bare", str(repo.path), str(tmp_path / "bare.git"))
    with closing(Merger(Repo(tmp_path / "bare.git"), tmp_path / "scratch-1")) as merger:
        bare = merger.merge(ours, theirs)
    repo.git("sparse-checkout", "set", "--cone", "--sparse-index", "none")
    with closing(Merger(Repo(repo.path / ".git"), tmp_path / "scratch-2")) as merger:
        sparse = merger.merge(ours, theirs)
    assert bare == sparse
    assert repo.tree(str(sparse.tree))["in/L"] == "0\na\nb"


def test_threads_share_a_merger(repo: RepoBuilder, merger: Merger) -> None:
    repo.commit({".gitattributes": "L merge=union\n", "L": "0\n"})
    ours, theirs = both(repo, {"L": "0\na\n"}, {"L": "0\nb\n"})
    found: list[Merge] = []
    threads = [threading.Thread(target=lambda: found.append(merger.merge(ours, theirs))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [merger.merge(ours, theirs)] * 6
    assert found[0].tree is not None


def test_a_scratch_directory_with_an_odd_name(repo: RepoBuilder, tmp_path: Path) -> None:
    with closing(Merger(Repo(repo.path / ".git"), tmp_path / 'odd "dir"\n')) as merger:
        assert merger.merge(*both(repo, {"a": "1"}, {"b": "1"})).tree is not None


# -- taking back -------------------------------------------------------------------------------------------


def land(repo: RepoBuilder, merger: Merger, branch: str, files: dict[str, str | bytes]) -> str:
    """A merge commit of a new branch into main, as a landing makes it."""
    repo.branch(branch, files)
    repo.git("merge", "-q", "--no-ff", "-m", f"Land {branch}", branch)
    return repo.head()


def test_a_landing_is_taken_back_and_later_ones_stay(repo: RepoBuilder, merger: Merger) -> None:
    repo.commit({"f": "1\n2\n3\n4\n5\n6\n7\n"})
    bad = land(repo, merger, "bad", {"f": "bad\n2\n3\n4\n5\n6\n7\n", "added": "x"})
    land(repo, merger, "good", {"f": "bad\n2\n3\n4\n5\n6\nseven\n", "kept": "y"})
    undone = merger.revert_tree(repo.head(), bad)
    assert undone.tree is not None
    assert repo.tree(undone.tree) == {
        "README.md": "hello",
        "f": "1\n2\n3\n4\n5\n6\nseven",
        "kept": "y",
    }
    assert merger.revert_tree(bad, bad).tree == repo.head(f"{bad}^1^{{tree}}")


def test_a_landing_that_later_work_builds_on_conflicts(repo: RepoBuilder, merger: Merger) -> None:
    repo.commit({"f": "1\n"})
    bad = land(repo, merger, "bad", {"f": "bad\n"})
    head = repo.commit({"f": "built on bad\n"})
    undone = merger.revert_tree(head, bad)
    assert (undone.tree, undone.conflicts) == (None, ("f",))


def test_only_what_is_part_of_the_head_can_be_taken_back(repo: RepoBuilder, merger: Merger) -> None:
    first = repo.head()
    other = repo.branch("other", {"x": "1"})
    repo.commit({"y": "1"})
    for wrong in (other, first):
        with pytest.raises(MoError, match="cannot take back"):
            merger.revert_tree(repo.head(), wrong)
