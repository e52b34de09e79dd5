"""What a worktree holds, as a tree; what must not become a commit."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from mo_git.errors import MoError
from mo_git.git import worktrees
from mo_git.git.repo import Repo
from mo_git.git.secret_patterns import find_secrets
from mo_git.git.snapshot import NestedRepositories, Problem, nested_repositories, problems, snapshot
from tests.support import RepoBuilder

ODD_NAMES = ["sp ace", "new\nline", 'quo"te', ":(top)x", "*", "ünï", os.fsdecode(b"raw\xff\xfe")]
LIMIT = 1000


@pytest.fixture
def store(repo: RepoBuilder) -> Repo:
    repo.commit({"a": "1\n", "d/b": "2\n", "gone": "3\n", "kind": "4\n", ".gitignore": "ignored/\n"})
    return Repo(repo.path / ".git")


@pytest.fixture
def work(repo: RepoBuilder, store: Repo, tmp_path: Path) -> RepoBuilder:
    """A worktree of mo's at the head of main."""
    worktrees.birth(store, "w", tmp_path / "w", branch="task", commit=repo.head())
    return RepoBuilder(tmp_path / "w")


# -- the tree ----------------------------------------------------------------------------------------------


def test_everything_that_is_not_ignored_is_in_the_tree(store: Repo, work: RepoBuilder) -> None:
    base = work.head()
    work.write({"a": "changed\n", "new/x": "n", "ignored/y": "i", "staged": "s"})
    work.git("add", "staged")
    work.write({"staged": "t"})
    (work.path / "gone").unlink()
    (work.path / "kind").unlink()
    (work.path / "kind").symlink_to("/etc/passwd")
    (work.path / "d/b").chmod(0o755)
    found = snapshot(store, work.path, base)
    assert dict(found.statuses) == {
        "a": "M",
        "d/b": "M",
        "gone": "D",
        "kind": "T",
        "new/x": "A",
        "staged": "A",
    }
    assert found.changed == ("a", "d/b", "gone", "kind", "new/x", "staged")
    tree = work.tree(found.tree)
    assert (tree["a"], tree["staged"], tree["kind"]) == ("changed", "t", "/etc/passwd")
    assert "ignored/y" not in tree
    assert work.head() == base
    assert snapshot(store, work.path, base) == found


def test_nothing_changed(store: Repo, work: RepoBuilder) -> None:
    found = snapshot(store, work.path, work.head())
    assert (found.tree, found.changed) == (store.tree_of(work.head()), ())


def test_commits_and_staged_conflicts_of_the_agent_are_part_of_it(store: Repo, work: RepoBuilder) -> None:
    base = work.head()
    work.branch("other", {"a": "theirs\n"})
    work.commit({"a": "ours\n", "committed": "c"})
    work.git("merge", "other", check=False)
    (Path(work.git("rev-parse", "--absolute-git-dir")) / "index.lock").touch()
    found = snapshot(store, work.path, base)
    assert found.changed == ("a", "committed")
    assert [
        problem.kind for problem in problems(store, base, found.tree, found.changed, max_file_bytes=LIMIT)
    ] == ["conflict_markers"]


def test_odd_names(store: Repo, work: RepoBuilder) -> None:
    work.write({f"{name}/{name}": "x" for name in ODD_NAMES})
    found = snapshot(store, work.path, work.head())
    assert set(found.changed) == {f"{name}/{name}" for name in ODD_NAMES}
    assert problems(store, work.head(), found.tree, found.changed, max_file_bytes=LIMIT) == []


def test_filters_of_the_user_run_and_hooks_do_not(repo: RepoBuilder, store: Repo, work: RepoBuilder) -> None:
    repo.git("config", "--global", "filter.quiet.clean", "tr A-Z a-z")
    repo.git("config", "core.autocrlf", "input")
    repo.git("config", "core.safecrlf", "true")
    work.write({".gitattributes": "*.q filter=quiet\n", "x.q": "LOUD\n", "dos": "line\r\n"})
    tree = work.tree(snapshot(store, work.path, work.head()).tree)
    assert (tree["x.q"], tree["dos"]) == ("loud", "line")


def test_config_that_an_agent_gave_its_worktree_does_not_count(
    repo: RepoBuilder, store: Repo, work: RepoBuilder, tmp_path: Path
) -> None:
    repo.git("config", "extensions.worktreeConfig", "true")
    work.git("config", "--worktree", "filter.evil.clean", f"touch {tmp_path}/ran; cat")
    work.write({".gitattributes": "* filter=evil\n", "x": "x"})
    assert snapshot(store, work.path, work.head()).changed == (".gitattributes", "x")
    assert not (tmp_path / "ran").exists()


def test_a_worktree_that_was_made_sparse_is_taken_whole(
    repo: RepoBuilder, store: Repo, work: RepoBuilder
) -> None:
    repo.git("config", "core.sparseCheckout", "true")
    admin = Path(work.git("rev-parse", "--absolute-git-dir"))
    (admin / "info").mkdir()
    (admin / "info/sparse-checkout").write_text("/d\n")
    work.git("read-tree", "-mu", "HEAD")
    assert not (work.path / "a").exists()
    work.write({"outside": "x", "d/inside": "x"})
    assert snapshot(store, work.path, work.head()).changed == ("d/inside", "outside")


def test_a_changed_file_with_its_old_time_stamp_is_seen(
    repo: RepoBuilder, store: Repo, work: RepoBuilder
) -> None:
    """Size and modification time are as before, so the time of the last status change has to tell."""
    repo.git("config", "core.trustctime", "false")
    before = (work.path / "d/b").stat()
    work.write({"d/b": "3\n"})
    os.utime(work.path / "d/b", ns=(before.st_atime_ns, before.st_mtime_ns))
    index = Path(work.git("rev-parse", "--absolute-git-dir")) / "index"
    data = bytearray(index.read_bytes()[:-20])
    entry = data.index(b"d/b\0") - 62
    data[entry : entry + 4] = (int(before.st_ctime) - 9).to_bytes(4)  # as if the checkout was a while ago
    index.write_bytes(data + hashlib.sha1(data).digest())
    os.utime(index, (before.st_mtime + 9, before.st_mtime + 9))
    assert work.git("diff", "--name-only") == ""
    assert snapshot(store, work.path, work.head()).changed == ("d/b",)


def test_an_unreadable_worktree_is_an_error(store: Repo, work: RepoBuilder) -> None:
    (work.path / ".git").write_text(f"gitdir: {store.common_dir}\n")
    with pytest.raises(MoError, match="has been changed"):
        snapshot(store, work.path, work.head())


# -- repositories inside -----------------------------------------------------------------------------------


def test_nested_repositories_are_found_in_any_case_and_behind_no_link(tmp_path: Path) -> None:
    top = tmp_path / "top"
    for directory in ("a/.git", "b/c/.GIT", ".git", "deep/er/x", f"{ODD_NAMES[1]}/.Git", "sub/.git"):
        (top / directory).mkdir(parents=True)
    (top / "deep/er/.git").write_text("gitdir: /elsewhere\n")
    (tmp_path / "outside/.git").mkdir(parents=True)
    (top / "link").symlink_to(tmp_path / "outside")
    (top / "linked").mkdir()
    (top / "linked/.git").symlink_to("/nowhere")
    (top / "not.git").mkdir()
    (top / os.fsdecode(b"raw\xff") / ".git").mkdir(parents=True)
    expected = ["a", "b/c", "deep/er", "linked", ODD_NAMES[1], os.fsdecode(b"raw\xff"), "sub"]
    assert nested_repositories(top) == sorted(expected)
    assert nested_repositories(top, {"sub", "deep"}) == sorted(set(expected) - {"sub", "deep/er"})


def test_no_git_runs_where_an_agent_made_a_repository(store: Repo, work: RepoBuilder, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    lib = RepoBuilder.create(work.path / "lib", {"x": "1"})
    lib.git("config", "core.fsmonitor", f"touch {marker}")
    lib.git("config", "filter.evil.clean", f"touch {marker}; cat")
    lib.write({".gitattributes": "* filter=evil\n", "x": "changed"})
    work.git(
        "-c",
        "advice.addEmbeddedRepo=false",
        "update-index",
        "--add",
        "--cacheinfo",
        f"160000,{lib.head()},lib",
    )
    with pytest.raises(NestedRepositories, match="'lib'") as caught:
        snapshot(store, work.path, work.head())
    assert caught.value.paths == ("lib",)
    assert not marker.exists()


def test_a_repository_in_an_ignored_directory_is_none_of_our_business(store: Repo, work: RepoBuilder) -> None:
    tool = RepoBuilder.create(work.path / "ignored/src/tool", {"x": "1"})
    work.write({"new": "n"})
    assert snapshot(store, work.path, work.head()).changed == ("new",)
    work.git("update-index", "--add", "--cacheinfo", f"160000,{tool.head()},ignored/src/tool")
    with pytest.raises(NestedRepositories):
        snapshot(store, work.path, work.head())


def test_submodules_stay_as_they_are(repo: RepoBuilder, store: Repo, tmp_path: Path) -> None:
    library = RepoBuilder.create(tmp_path / "library", {"l": "x"})
    repo.git("submodule", "add", "-q", str(library.path), "lib s")
    base = repo.commit({})
    worktrees.birth(store, "w", tmp_path / "w", branch=None, commit=base)
    work = RepoBuilder(tmp_path / "w")
    work.git("submodule", "update", "-q", "--init")
    RepoBuilder(work.path / "lib s").commit({"l": "changed"})
    work.write({"new": "n"})
    known = [path for path, _ in store.special(base).submodules]
    assert known == ["lib s"]
    assert snapshot(store, work.path, base, known_submodules=known).changed == ("new",)
    with pytest.raises(NestedRepositories):
        snapshot(store, work.path, base)


# -- problems ----------------------------------------------------------------------------------------------


def look(store: Repo, work: RepoBuilder, base: str | None = None) -> list[Problem]:
    base = base or work.head()
    found = snapshot(store, work.path, base)
    return problems(store, base, found.tree, found.changed, max_file_bytes=LIMIT)


MARKED = "x\n<<<<<<< HEAD\nours\n=======\ntheirs\n>>>>>>> other\n"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a": "fine\n", "deep/new": "fine\n", "image": b"\0\1"}, []),
        ({"a": MARKED}, [Problem("conflict_markers", "a", "line 2")]),
        ({"a": "<<<<<<< HEAD\n", "new": ">>>>>>> x\n"}, []),
        ({"heading.rst": "Title\n=======\n"}, []),
        ({"big": "x" * LIMIT}, []),
        ({"big": "x" * (LIMIT + 1)}, [Problem("too_large", "big", "1001 bytes, the limit is 1000")]),
        ({"a": f"1\nmore\n{KEY}\n"}, [Problem("secret", "a", "line 3: private key")]),
        ({"binary": b"\0" + KEY.encode()}, []),
        ({".mo/config.toml": "x"}, [Problem("protected", ".mo/config.toml", "belongs to mo")]),
        ({".MO/x": "x", ".mob": "x"}, [Problem("protected", ".MO/x", "belongs to mo")]),
        (
            {".gitmodules": "x", "d/.gitmodules": "x"},
            [Problem("protected", ".gitmodules", "declares submodules")],
        ),
        ({".gitignore": "x\n", ".github/workflows/ci.yml": "on: push\n"}, []),
        (
            {"d/.gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n* merge=union\n#* merge=x\n"},
            [
                Problem("protected", "d/.gitattributes", "names the driver filter=lfs"),
                Problem("protected", "d/.gitattributes", "names the driver merge=lfs"),
            ],
        ),
    ],
)
def test_problems(
    store: Repo, work: RepoBuilder, files: dict[str, str | bytes], expected: list[Problem]
) -> None:
    work.write(files)
    assert look(store, work) == expected


def test_what_was_there_before_is_no_news(store: Repo, work: RepoBuilder) -> None:
    work.commit({"old": f"{MARKED}{KEY}\nlast\n", ".gitattributes": "x filter=lfs\n", "big": "x" * 2000})
    base = work.head()
    work.write({"old": f"first\n{MARKED}{KEY}\nnew\n", "d/.gitattributes": "y filter=lfs\n"})
    assert look(store, work, base) == []
    (work.path / "old").rename(work.path / "moved")
    assert look(store, work, base) == []
    work.write({"moved": f"{KEY}\n{KEY.replace('OPENSSH', 'RSA')}\n"})
    assert look(store, work, base) == [Problem("secret", "moved", "line 2: private key")]
    (work.path / "big").unlink()
    (work.path / "moved").unlink()
    assert look(store, work, base) == []


def test_deleting_protected_files_counts_and_others_not(store: Repo, work: RepoBuilder) -> None:
    base = work.commit({".gitmodules": "x", ".mo/goals/g.md": "x", "plain": "x"})
    work.git("rm", "-q", "-r", ".gitmodules", ".mo", "plain")
    assert [problem.path for problem in look(store, work, base)] == [".gitmodules", ".mo/goals/g.md"]


def test_a_submodule_written_into_the_index_is_a_problem(store: Repo, work: RepoBuilder) -> None:
    base = work.head()
    (work.path / "fake").mkdir()
    work.git("update-index", "--add", "--cacheinfo", f"160000,{base},fake")
    assert look(store, work) == [Problem("protected", "fake", "is a submodule")]


def test_only_the_given_paths_are_looked_at(store: Repo, work: RepoBuilder) -> None:
    work.write({"a": MARKED, "new": MARKED})
    found = snapshot(store, work.path, work.head())
    only = problems(store, work.head(), found.tree, ["new"], max_file_bytes=LIMIT)
    assert [problem.path for problem in only] == ["new"]


LETTERS = "Ab3dEf6hIj9lMn2pQr5tUv8xYz1BcD4eFg7HiJ0kLmN2oPq3RsTu5VwX6yZa9bC"

SECRETS = [
    ("private key", "-----BEGIN PRIVATE KEY-----"),
    ("private key", "-----BEGIN RSA PRIVATE KEY-----"),
    ("private key", "-----BEGIN PGP PRIVATE KEY BLOCK-----"),
    ("AWS access key id", "AKIA" + "QWERTYUIOPASDF23"),
    ("GitHub token", "ghp_" + LETTERS[:36]),
    ("GitHub fine-grained token", "github_pat_" + LETTERS[:22] + "_" + LETTERS[:59]),
    ("GitLab token", "glpat-" + LETTERS[:20]),
    ("Slack token", "xoxb-" + "123456789012-" + LETTERS[:24]),
    ("Anthropic key", "sk-ant-api03-" + LETTERS[:40]),
    ("OpenAI key", "sk-proj-" + LETTERS[:48]),
    ("OpenAI key", "sk-" + LETTERS[:48]),
    ("Google API key", "AIza" + LETTERS[:35]),
    ("Stripe live key", "sk_live_" + LETTERS[:24]),
    ("npm token", "npm_" + LETTERS[:36]),
    ("PyPI token", "pypi-AgEIcHlwaS5vcmc" + LETTERS[:60]),
]


@pytest.mark.parametrize(("name", "secret"), SECRETS)
def test_secrets_are_recognised_once(name: str, secret: str) -> None:
    text = f'first\ntoken = "{secret}"\nlast {secret}\n'
    assert find_secrets(text.encode()) == [(name, text.index(secret))]


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "IOSFODNN7EXAMPLE",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "sk-learn is not sk-image",
        "sk-this-is-a-very-long-class-name-of-style-number-12-in-it",
        "task-0123456789012345678901234567890123456789012345678901234567890123",
        "sk_test_" + LETTERS[:24],
        "npm_config_registry_and_other_settings_here",
        "ghp_short",
        "0123456789abcdef" * 4,
        "",
    ],
)
def test_what_only_looks_like_a_secret(text: str) -> None:
    assert find_secrets(text.encode()) == []
