"""The git program: discovery, refusals with remedies, and what it tells about a checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mo_git.errors import Exit, MoError
from mo_git.git.binary import (
    Git,
    check_supported,
    dirty_commit,
    git_version,
    head_branch,
    is_dirty,
    operation_in_progress,
    parse_version,
    resolve,
)
from mo_git.git.layout import Layout, core_settings, discover
from tests.support import RepoBuilder

ODD_NAMES = ["sp ace", "new\nline", 'quo"te', "tab\tx", "ünï", os.fsdecode(b"raw\xff\xfe")]


@pytest.fixture
def git(repo: RepoBuilder) -> Git:
    return Git(repo.path)


# -- discovery ---------------------------------------------------------------------------------------------


def test_discover_from_the_top_a_subdirectory_and_a_linked_worktree(
    repo: RepoBuilder, tmp_path: Path
) -> None:
    (repo.path / "a/b").mkdir(parents=True)
    linked = tmp_path / "linked"
    repo.git("worktree", "add", "-q", str(linked))
    (linked / "deep").mkdir()
    common = repo.path / ".git"
    assert discover(repo.path) == Layout(repo.path, common, repo.path, False)
    assert discover(repo.path / "a/b") == Layout(repo.path, common, repo.path, False)
    assert discover(linked / "deep") == Layout(repo.path, common, linked, True)
    assert discover(linked).git_dir == common / "worktrees/linked"
    assert discover(repo.path).git_dir == common


@pytest.mark.parametrize("name", ODD_NAMES)
def test_discover_in_a_directory_with_an_odd_name(tmp_path: Path, name: str) -> None:
    builder = RepoBuilder.create(tmp_path / name, {"f": "x"})
    Git(builder.path)("worktree", "add", "-q", "--detach", str(tmp_path / f"{name}-linked"))
    found = discover(tmp_path / f"{name}-linked")
    assert (found.top, found.is_linked) == (builder.path, True)


def test_discover_ignores_git_variables(
    repo: RepoBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = RepoBuilder.create(tmp_path / "other", {"f": "x"})
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.path))
    assert discover(repo.path).top == repo.path
    assert Git(repo.path).text("rev-parse", "--show-toplevel") == str(repo.path)


def test_discover_through_a_symbolic_link(repo: RepoBuilder, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repo.path)
    assert discover(tmp_path / "link").top == repo.path


def test_discover_with_a_separate_git_directory(tmp_path: Path) -> None:
    main = tmp_path / "main"
    builder = RepoBuilder.create(main, {"f": "x"}, "--separate-git-dir", str(tmp_path / "store.git"))
    builder.git("worktree", "add", "-q", str(tmp_path / "linked"))
    assert discover(main) == Layout(main, tmp_path / "store.git", main, False)
    with pytest.raises(MoError, match="cannot tell where the main worktree") as caught:
        discover(tmp_path / "linked")
    assert caught.value.hint.endswith('config core.worktree "$PWD"')
    builder.git(f"--git-dir={tmp_path / 'store.git'}", "config", "core.worktree", str(main))
    assert discover(tmp_path / "linked").top == main


def test_discover_in_a_submodule_and_in_a_worktree_of_it(repo: RepoBuilder, tmp_path: Path) -> None:
    library = RepoBuilder.create(tmp_path / "library", {"l": "x"})
    repo.git("submodule", "add", "-q", str(library.path), "lib")
    sub = RepoBuilder(repo.path / "lib")
    sub.git("worktree", "add", "-q", str(tmp_path / "linked"))
    store = repo.path / ".git/modules/lib"
    assert discover(sub.path) == Layout(sub.path, store, sub.path, False)
    assert discover(tmp_path / "linked") == Layout(sub.path, store, tmp_path / "linked", True)


def test_discover_refuses_what_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(MoError) as caught:
        discover(tmp_path)
    assert (caught.value.code, caught.value.hint) == (Exit.NOT_FOUND, "git init")
    with pytest.raises(MoError, match="is not a directory"):
        discover(tmp_path / "none")


def test_discover_refuses_bare_repositories_and_git_directories(repo: RepoBuilder, tmp_path: Path) -> None:
    repo.git("clone", "-q", "--bare", str(repo.path), str(tmp_path / "bare.git"))
    RepoBuilder(tmp_path / "bare.git").git("worktree", "add", "-q", str(tmp_path / "linked"))
    for place in (tmp_path / "bare.git", tmp_path / "bare.git/refs", tmp_path / "linked"):
        with pytest.raises(MoError, match="is a bare repository") as caught:
            discover(place)
        assert caught.value.code == Exit.USAGE
        assert caught.value.hint.startswith("git clone")
    with pytest.raises(MoError, match="inside a git directory"):
        discover(repo.path / ".git")
    repo.git("config", "core.bare", "true")
    with pytest.raises(MoError, match="is a bare repository") as caught:
        discover(repo.path)
    assert caught.value.hint == f"git -C {repo.path / '.git'} config core.bare false"


def test_discover_refuses_a_dangling_pointer(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w/.git").write_text("gitdir: /nowhere\n")
    with pytest.raises(MoError, match="does not point at a git directory"):
        discover(tmp_path / "w")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[core]\n\tbare = true\n", {"bare": "true"}),
        ("[core] bare = YES ; why\n", {"bare": "yes"}),
        ("[Core]\n bare\n[other]\n bare = false\n", {"bare": "true"}),
        ('[core]\nworktree = "a b\\\\c;d" # x\n', {"worktree": "a b\\c;d"}),
        ('[core "sub"]\n# bare = true\n[remote "x"]\nbare = true\n', {}),
        ("", {}),
    ],
)
def test_core_settings_reads_what_git_writes(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    (tmp_path / "config").write_text(text)
    assert core_settings(tmp_path) == expected


# -- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("git version 2.39.5", (2, 39, 5)),
        ("git version 2.39.3 (Apple Git-146)", (2, 39, 3)),
        ("git version 2.50.rc0", (2, 50, 0)),
        ("git version 2.45.1.windows.1", (2, 45, 1)),
    ],
)
def test_versions_are_read(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


def test_an_unreadable_version_is_an_error() -> None:
    with pytest.raises(MoError, match="cannot read the version"):
        parse_version("hub 1.0")


def test_old_git_is_refused(repo: RepoBuilder) -> None:
    layout = discover(repo.path)
    assert git_version() >= (2, 38, 0)
    check_supported(layout)
    check_supported(layout, (2, 38, 0))
    with pytest.raises(MoError, match=r"git 2\.37\.9 is too old") as caught:
        check_supported(layout, (2, 37, 9))
    assert caught.value.hint == "install a newer git"


def test_an_empty_repository_is_refused_with_a_remedy_that_works(tmp_path: Path) -> None:
    builder = RepoBuilder.create(tmp_path / "empty")
    with pytest.raises(MoError, match="no commit yet") as caught:
        check_supported(discover(builder.path))
    builder.git(*caught.value.hint.split()[1:])
    check_supported(discover(builder.path))


def test_sha256_and_reftable_are_refused(repo: RepoBuilder, tmp_path: Path) -> None:
    sha256 = RepoBuilder.create(tmp_path / "sha256", {"f": "x"}, "--object-format=sha256")
    with pytest.raises(MoError, match="SHA-256"):
        check_supported(discover(sha256.path))
    # A git that knows no reftable cannot make one, but it is told by the same line of the config.
    with (repo.path / ".git/config").open("a") as config:
        config.write("[extensions]\n\trefStorage = reftable\n")
    with pytest.raises(MoError, match="reftable") as caught:
        check_supported(discover(repo.path))
    assert caught.value.hint == "git refs migrate --ref-format=files"


def test_a_partial_clone_is_refused_and_its_remedy_completes_it(repo: RepoBuilder, tmp_path: Path) -> None:
    for n in range(3):
        repo.commit({"f": f"{n}\n"})
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{repo.path}", str(tmp_path / "p"))
    partial = RepoBuilder(tmp_path / "p")
    with pytest.raises(MoError, match="partial clone") as caught:
        check_supported(discover(partial.path))
    missing = ("rev-list", "--objects", "--all", "--missing=print")
    assert "?" in partial.git(*missing)
    for step in caught.value.hint.split(" && "):
        partial.git(*step.split()[1:])
    repo.path.rename(tmp_path / "away")
    assert "?" not in partial.git(*missing)
    partial.git("fsck", "--full")
    check_supported(discover(partial.path))


def test_shallow_and_sparse_clones_are_fine(repo: RepoBuilder, tmp_path: Path) -> None:
    repo.commit({"a/x": "1", "b/y": "2"})
    repo.git("clone", "-q", "--depth=1", f"file://{repo.path}", str(tmp_path / "shallow"))
    shallow = RepoBuilder(tmp_path / "shallow")
    shallow.git("sparse-checkout", "set", "--cone", "--sparse-index", "a")
    check_supported(discover(shallow.path))
    assert not is_dirty(Git(shallow.path))
    assert shallow.git("rev-parse", "--is-shallow-repository") == "true"


# -- running git -------------------------------------------------------------------------------------------


def test_a_failure_carries_the_words_of_git(git: Git) -> None:
    with pytest.raises(MoError, match=r"^git rev-parse: Needed a single revision$"):
        git("rev-parse", "--verify", "none")
    assert git("rev-parse", "--verify", "-q", "none", check=False).code == 1


def test_a_held_lock_is_named_in_the_hint(repo: RepoBuilder, git: Git) -> None:
    lock = repo.path / ".git/index.lock"
    lock.touch()
    repo.write({"new": "x"})
    with pytest.raises(MoError) as caught:
        git("add", "-A")
    assert caught.value.hint == f"if no other git command is running here: rm {lock}"


def test_hooks_do_not_run_and_identity_passes(repo: RepoBuilder, git: Git) -> None:
    hook = repo.path / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    git("commit", "-q", "--allow-empty", "-m", "quiet")
    assert git.text("log", "-1", "--format=%s by %an") == "quiet by A Person"


def test_environment_config_and_input_reach_git(repo: RepoBuilder) -> None:
    git = Git(repo.path, env={"GIT_AUTHOR_NAME": "Else"}, config=["user.email=x@y", "core.quotePath=true"])
    assert git.text("var", "GIT_AUTHOR_IDENT").startswith("Else <person@example.org>")
    assert git.text("config", "core.quotePath") == "true"
    assert (
        git("hash-object", "--stdin", stdin=b"hello\n").text == "ce013625030ba8dba906f756967f9e9ca394464a\n"
    )


# -- what a checkout looks like ----------------------------------------------------------------------------


def test_head_branch(repo: RepoBuilder, git: Git) -> None:
    assert head_branch(git) == "main"
    repo.git("tag", "x/y")
    repo.git("checkout", "-q", "-b", "x/y")
    assert head_branch(git) == "x/y"
    repo.git("checkout", "-q", "--detach")
    assert head_branch(git) == ""


def test_resolve(repo: RepoBuilder, git: Git) -> None:
    repo.git("tag", "-a", "-m", "t", "v1")
    assert {resolve(git, rev) for rev in ("main", "HEAD", "v1", repo.head()[:8])} == {repo.head()}
    for rev in ("none", "", "--all", "HEAD:README.md", "a b"):
        with pytest.raises(MoError) as caught:
            resolve(git, rev)
        assert caught.value.code == Exit.NOT_FOUND
        assert repr(rev) in caught.value.message


def test_is_dirty(repo: RepoBuilder, git: Git) -> None:
    repo.commit({".gitignore": "ignored\n"})
    repo.write({"ignored": "x"})
    assert not is_dirty(git)
    repo.write({"new": "x"})
    assert is_dirty(git)
    (repo.path / "new").unlink()
    repo.write({"README.md": "changed\n"})
    assert is_dirty(git)


def test_operation_in_progress(repo: RepoBuilder) -> None:
    other = repo.branch("other", {"README.md": "theirs\n"})
    repo.commit({"README.md": "ours\n"})
    repo.commit({"README.md": "ours again\n"})
    layout = discover(repo.path)
    assert operation_in_progress(layout) == ""
    for args in (["merge", "other"], ["rebase", "other"], ["cherry-pick", other], ["revert", "HEAD~1"]):
        repo.git(*args, check=False)
        assert operation_in_progress(layout) == args[0]
        assert operation_in_progress(repo.path / ".git") == args[0]
        repo.git(args[0], "--abort")
    repo.git("bisect", "start")
    assert operation_in_progress(layout) == "bisect"
    repo.git("bisect", "reset")
    repo.git("checkout", "-q", "other")
    repo.commit({"second": "x"})
    repo.git("checkout", "-q", "main")
    repo.git("cherry-pick", "other~1", "other", check=False)
    repo.commit({"README.md": "both\n"})  # ends the first pick; the to-do list still has the second
    assert not (repo.path / ".git/CHERRY_PICK_HEAD").exists()
    assert operation_in_progress(layout) == "cherry-pick"


def test_dirty_commit_holds_everything_and_moves_nothing(repo: RepoBuilder, git: Git) -> None:
    repo.commit({"gone": "x", "kept": "k", ".gitignore": "ignored\n", "staged": "s"})
    (repo.path / "gone").unlink()
    repo.write({"README.md": "dirty\n", "ignored": "x", "staged": "t", "nested/inner": "y"})
    repo.write({name: name for name in ODD_NAMES[:-1]})
    repo.write({ODD_NAMES[-1]: "raw"})
    repo.git("add", "staged")
    repo.write({"staged": "u"})
    for nested in ("nested", "empty"):
        RepoBuilder.create(repo.path / nested / "repo", {"z": "z"} if nested == "nested" else None)

    def everything() -> tuple[bytes, str, str]:
        return (
            (repo.path / ".git/index").read_bytes(),
            git.text("for-each-ref"),
            git.text("status", "-z"),
        )

    before = everything()
    made = dirty_commit(Git(repo.path / "nested"), "what I have")
    assert everything() == before
    names = git.text("ls-tree", "-r", "-z", "--name-only", made).rstrip("\0").split("\0")
    assert set(names) == {"README.md", ".gitignore", "kept", "staged", "nested/inner", *ODD_NAMES}
    assert repo.git("show", f"{made}:staged") == "u"
    assert repo.git("log", "-1", "--format=%P %s %an", made) == f"{repo.head()} what I have mo"


def test_dirty_commit_sees_a_change_within_the_time_stamp_of_the_index(repo: RepoBuilder, git: Git) -> None:
    repo.git("config", "core.trustctime", "false")
    times = (1_700_000_000, 1_700_000_000)
    for content in ("first\n", "other\n"):
        repo.write({"README.md": content})
        os.utime(repo.path / "README.md", times)
        if content == "first\n":
            repo.git("commit", "-q", "-a", "-m", "first")
            os.utime(repo.path / ".git/index", times)
    assert repo.tree(dirty_commit(git, "m")) == {"README.md": "other"}


def test_dirty_commit_of_a_sparse_checkout_keeps_what_is_not_there(repo: RepoBuilder, git: Git) -> None:
    repo.commit({"a/x": "1", "b/y": "2", "c/z": "3"})
    repo.git("sparse-checkout", "set", "--cone", "--sparse-index", "a")
    repo.write({"a/x": "changed", "b/new": "n"})
    made = dirty_commit(git, "m")
    assert repo.tree(made) == {"README.md": "hello", "a/x": "changed", "b/new": "n", "b/y": "2", "c/z": "3"}
    assert sorted(path.name for path in (repo.path / "b").iterdir()) == ["new"]


def test_dirty_commit_in_a_linked_worktree_and_with_conflicts(repo: RepoBuilder, tmp_path: Path) -> None:
    repo.branch("other", {"README.md": "theirs\n"})
    repo.commit({"README.md": "ours\n"})
    repo.git("worktree", "add", "-q", str(tmp_path / "w"))
    linked = RepoBuilder(tmp_path / "w")
    linked.git("merge", "other", check=False)
    made = dirty_commit(Git(linked.path), "conflicted")
    assert "<<<<<<< HEAD" in linked.tree(made)["README.md"]
    assert operation_in_progress(discover(linked.path)) == "merge"
