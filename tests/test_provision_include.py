"""`.worktreeinclude`: ignored files of the main checkout that its worktrees get, and that no commit holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mo_daemon.include import copy_included, ignored_entries, included, topmost
from tests.support import RepoBuilder

IGNORED = ".env\n.env.*\n/build/\nnode_modules\n*.key\nlink\n.mo\nshared\n"


@pytest.fixture
def main(repo: RepoBuilder) -> RepoBuilder:
    repo.commit({".gitignore": IGNORED, "src/a.py": "a\n"})
    repo.write(
        {
            ".env": "SECRET=1\n",
            ".env.local": "L=1\n",
            "src/my.key": "k\n",
            "untracked.txt": "u\n",
            "build/cache/big": "b\n",
            "build/cache/sub/x": "x\n",
            "build/other": "o\n",
            "node_modules/.bin/tool": "t\n",
            "node_modules/pkg/.env": "of a package\n",
            "apps/web/node_modules/p": "p\n",
            ".mo/token": "token\n",
        }
    )
    return repo


def linked(main: RepoBuilder, path: Path, start: str = "HEAD") -> RepoBuilder:
    main.git("worktree", "add", "-q", "--detach", str(path), start)
    return RepoBuilder(path)


def content(top: Path) -> dict[str, str]:
    """Relative path -> text of every file below, links as `-> target`; tracked files left out."""
    tracked = {"README.md", ".gitignore", "src/a.py", ".git"}
    found = {}
    for directory, directories, files in os.walk(top):
        for name in files + [name for name in directories if (Path(directory) / name).is_symlink()]:
            path = Path(directory) / name
            key = str(path.relative_to(top))
            if key not in tracked:
                found[key] = f"-> {path.readlink()}" if path.is_symlink() else path.read_text()
    return found


CASES = [
    ("", []),
    ("# nothing\n\n", []),
    (".env\n", [".env"]),
    (".env*\n!.env.local\n", [".env"]),
    ("*.key\n", ["src/my.key"]),
    ("node_modules\n", ["apps/web/node_modules/", "node_modules/"]),
    ("/node_modules/\n", ["node_modules/"]),
    ("apps/*/node_modules\n", ["apps/web/node_modules/"]),
    ("apps/**\n", ["apps/"]),
    ("build/cache/\n", ["build/cache/"]),
    ("build/*\n", ["build/cache/", "build/other"]),
    ("/build/cache/sub/x\n", ["build/cache/sub/x"]),
    ("node_modules/pkg/.env\n", ["node_modules/pkg/.env"]),
    ("build\nbuild/cache\n", ["build/"]),
    ("untracked.txt\nREADME.md\nsrc/a.py\n", []),
    (".mo\n.mo/token\n.git\n", []),
    ("nothing-here\n../*\n/etc/passwd\n", []),
]


@pytest.mark.parametrize(("patterns", "expected"), CASES)
def test_what_is_included(main: RepoBuilder, patterns: str, expected: list[str]) -> None:
    main.write({".worktreeinclude": patterns})
    assert included(main.path) == expected


def test_without_the_file_nothing_is(main: RepoBuilder) -> None:
    assert included(main.path) == []
    (main.path / ".worktreeinclude").mkdir()
    assert included(main.path) == []


def test_topmost() -> None:
    paths = ["a/b", "a/", "ab", "a/c/d", "b/c/", "b/c/d/", "b/", "c"]
    assert topmost(paths) == ["a/", "ab", "b/", "c"]


def test_copies_and_never_commits(main: RepoBuilder, tmp_path: Path) -> None:
    main.commit({".worktreeinclude": ".env\nnode_modules\n*.key\n", "untracked.txt": "u\n"})
    worktree = linked(main, tmp_path / "wt")
    assert copy_included(main.path, worktree.path) == [
        ".env",
        "apps/web/node_modules/",
        "node_modules/",
        "src/my.key",
    ]
    assert content(worktree.path) == {
        ".env": "SECRET=1\n",
        ".worktreeinclude": ".env\nnode_modules\n*.key\n",
        "untracked.txt": "u\n",
        "apps/web/node_modules/p": "p\n",
        "node_modules/.bin/tool": "t\n",
        "node_modules/pkg/.env": "of a package\n",
        "src/my.key": "k\n",
    }
    assert worktree.git("status", "--porcelain") == ""
    worktree.write({"work.txt": "w\n"})
    worktree.git("add", "-A")
    worktree.git("commit", "-qm", "snapshot")
    assert worktree.git("diff", "--name-only", "HEAD~1", "HEAD") == "work.txt"


def test_a_second_copy_adds_only_what_is_missing(main: RepoBuilder, tmp_path: Path) -> None:
    main.write({".worktreeinclude": ".env\nnode_modules\n"})
    worktree = linked(main, tmp_path / "wt")
    copy_included(main.path, worktree.path)
    worktree.write({".env": "changed by the agent\n", "node_modules/new": "n\n"})
    (worktree.path / "node_modules/.bin/tool").unlink()
    main.write({"node_modules/later/x": "l\n", "apps/web/node_modules/p": "p2\n"})
    assert copy_included(main.path, worktree.path) == ["node_modules/"]
    assert content(worktree.path) == {
        ".env": "changed by the agent\n",
        "apps/web/node_modules/p": "p\n",
        "node_modules/.bin/tool": "t\n",
        "node_modules/later/x": "l\n",
        "node_modules/new": "n\n",
        "node_modules/pkg/.env": "of a package\n",
    }


def test_only_the_paths_asked_for(main: RepoBuilder, tmp_path: Path) -> None:
    worktree = linked(main, tmp_path / "wt")
    assert copy_included(main.path, worktree.path, [".env", "gone"]) == [".env"]
    assert content(worktree.path) == {".env": "SECRET=1\n"}


def test_copies_share_no_file_with_the_main_checkout(main: RepoBuilder, tmp_path: Path) -> None:
    main.write({".worktreeinclude": ".env\nnode_modules\n"})
    os.link(main.path / ".env", main.path / "node_modules/linked")
    worktree = linked(main, tmp_path / "wt")
    copy_included(main.path, worktree.path)
    for name in (".env", "node_modules/linked", "node_modules/.bin/tool"):
        with (worktree.path / name).open("a") as file:
            file.write("written in place\n")
    assert (main.path / ".env").read_text() == "SECRET=1\n"
    assert (main.path / "node_modules/.bin/tool").read_text() == "t\n"


def test_tracked_files_stay_also_where_another_commit_ignores_them(main: RepoBuilder, tmp_path: Path) -> None:
    main.write({".worktreeinclude": ".env\nbuild\n"})
    main.git("checkout", "-q", "-b", "tracks")
    main.write({".env": "tracked\n", "build/other": "tracked\n"})
    main.git("add", "-f", ".env", "build/other")
    main.git("commit", "-qm", "track them")
    main.git("checkout", "-q", "main")
    main.write({".env": "SECRET=1\n", "build/other": "o\n"})
    worktree = linked(main, tmp_path / "wt", "tracks")
    assert copy_included(main.path, worktree.path) == ["build/"]
    assert worktree.git("status", "--porcelain") == ""
    assert content(worktree.path) == {
        ".env": "tracked\n",
        "build/other": "tracked\n",
        "build/cache/big": "b\n",
        "build/cache/sub/x": "x\n",
    }


def test_links_are_never_followed(main: RepoBuilder, tmp_path: Path) -> None:
    outside = RepoBuilder.create(tmp_path / "outside", {"secret": "s\n"}).path
    (main.path / "shared").symlink_to(outside)
    (main.path / "link").symlink_to(".env")
    inner = main.path / "node_modules"
    (inner / "out").symlink_to(outside)
    (inner / "into-main").symlink_to(main.path / "src")
    (inner / "relative").symlink_to("../src/a.py")
    (inner / "dangling").symlink_to("nowhere")
    main.write({".worktreeinclude": "shared\nlink\nnode_modules/\n"})
    worktree = linked(main, tmp_path / "wt")
    assert copy_included(main.path, worktree.path) == ["apps/web/node_modules/", "link", "node_modules/"]
    found = {name: text for name, text in content(worktree.path).items() if text.startswith("->")}
    assert found == {
        "link": "-> .env",
        "node_modules/out": f"-> {outside}",
        "node_modules/into-main": f"-> {worktree.path}/src",
        "node_modules/relative": "-> ../src/a.py",
        "node_modules/dangling": "-> nowhere",
    }


def test_nothing_is_written_through_a_link_of_the_worktree(main: RepoBuilder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    main.git("checkout", "-q", "-b", "linky")
    (main.path / "apps2").symlink_to(outside)
    main.commit({})
    main.git("checkout", "-q", "main")
    main.write({".worktreeinclude": "*.key\n", "apps2/deep/my.key": "k\n"})
    worktree = linked(main, tmp_path / "wt", "linky")
    assert copy_included(main.path, worktree.path) == ["src/my.key"]
    assert list(outside.iterdir()) == []


def test_repositories_inside_an_included_directory_stay_behind(main: RepoBuilder, tmp_path: Path) -> None:
    main.write({".worktreeinclude": "node_modules/\n"})
    nested = RepoBuilder.create(main.path / "node_modules/nested", {"file": "f\n"})
    (nested.path / "sub").mkdir()
    (nested.path / "sub/.git").write_text("gitdir: /elsewhere\n")
    main.write({"node_modules/.mo/token": "t\n"})
    worktree = linked(main, tmp_path / "wt")
    copy_included(main.path, worktree.path)
    names = {path.name for path in (worktree.path / "node_modules").rglob("*")}
    assert names == {".bin", "tool", "pkg", ".env", "nested", "file", "sub"}


def test_odd_names(main: RepoBuilder, tmp_path: Path) -> None:
    odd = ["-rf.key", "new\nline.key", "stär ⚙.key", 'quote".key', "a b/-x/c.key", os.fsdecode(b"\xff.key")]
    main.write({".worktreeinclude": "*.key\n", **dict.fromkeys(odd, "k\n")})
    worktree = linked(main, tmp_path / "wt")
    assert copy_included(main.path, worktree.path) == sorted([*odd, "src/my.key"])
    assert content(worktree.path) == dict.fromkeys([*odd, "src/my.key"], "k\n")


def test_ignored_entries(main: RepoBuilder) -> None:
    assert topmost(ignored_entries(main.path)) == [
        ".env",
        ".env.local",
        ".mo/",
        "apps/",
        "build/",
        "node_modules/",
        "src/my.key",
    ]
