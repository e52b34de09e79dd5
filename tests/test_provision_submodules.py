"""Submodules in linked worktrees, without the network and without a change to the shared configuration."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from mo_daemon.submodules import known, populate
from mo_git.errors import MoError
from tests.support import RepoBuilder

ALLOW = ("-c", "protocol.file.allow=always")


@dataclass(frozen=True)
class Project:
    """main holds vendor/lib (relative URL), which holds inner/nested; `far` is where they came from."""

    main: RepoBuilder
    far: Path

    @property
    def common(self) -> Path:
        return self.main.path / ".git"

    def lib(self) -> RepoBuilder:
        return RepoBuilder(self.main.path / "vendor/lib")

    def linked(self, path: Path, start: str = "HEAD") -> RepoBuilder:
        self.main.git("worktree", "add", "-q", "--detach", str(path), start)
        return RepoBuilder(path)

    def populate(self, worktree: RepoBuilder) -> tuple[str, ...]:
        return populate(self.main.path, self.common, worktree.path)

    def bump(self) -> str:
        """A new commit of vendor/lib that only the main checkout has; the superproject's commit."""
        self.lib().commit({"f": "lib 2\n"}, "two")
        return self.main.commit({}, "bump")


@pytest.fixture
def project(tmp_path: Path, sealed: Path) -> Project:
    """Cloned from `far`, which is then moved away: whatever is filled came from the main checkout."""
    (sealed / ".gitconfig").write_text("[user]\n\tname = P\n\temail = p@example.org\n")
    far = tmp_path / "far"
    RepoBuilder.create(far / "nested", {"n": "nested\n"})
    lib = RepoBuilder.create(far / "lib", {"f": "lib\n", ".gitignore": "*.o\n"})
    lib.git(*ALLOW, "submodule", "--quiet", "add", "../nested", "inner/nested")
    lib.commit({}, "with nested")
    top = RepoBuilder.create(far / "top", {"README.md": "top\n"})
    top.git(*ALLOW, "submodule", "--quiet", "add", "--name", "the lib", "../lib", "vendor/lib")
    top.commit({}, "with lib")
    RepoBuilder(far).git(*ALLOW, "clone", "-q", "--recurse-submodules", "top", str(tmp_path / "main"))
    far.rename(tmp_path / "moved-away")
    return Project(RepoBuilder(tmp_path / "main"), far)


def files(worktree: RepoBuilder) -> dict[str, str]:
    paths = [path for path in worktree.path.rglob("*") if path.name in ("f", "n", "README.md")]
    return {str(path.relative_to(worktree.path)): path.read_text() for path in paths}


FULL = {"README.md": "top\n", "vendor/lib/f": "lib\n", "vendor/lib/inner/nested/n": "nested\n"}


def test_known(project: Project, repo: RepoBuilder) -> None:
    assert known(project.main.path, "HEAD") == {"vendor/lib": project.lib().head()}
    assert known(project.lib().path, "HEAD") == {"inner/nested": project.lib().head("HEAD:inner/nested")}
    assert known(project.main.path, "HEAD~1") == {}
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'ab' * 20},odd\nname ü")
    repo.git("commit", "-qm", "a gitlink")
    assert known(repo.path, "main") == {"odd\nname ü": "ab" * 20}


def test_fills_a_worktree_from_the_main_checkout(project: Project, tmp_path: Path) -> None:
    before = (project.common / "config").read_bytes()
    worktree = project.linked(tmp_path / "wt")
    assert project.populate(worktree) == ("vendor/lib", "vendor/lib/inner/nested")
    assert files(worktree) == FULL
    assert worktree.git("status", "--porcelain") == ""
    assert (project.common / "config").read_bytes() == before
    lib = RepoBuilder(worktree.path / "vendor/lib")
    assert lib.git("remote", "get-url", "origin") == str(project.far / "lib")
    assert lib.git("rev-parse", "--absolute-git-dir") == str(project.common / "worktrees/wt/modules/the lib")
    assert project.populate(worktree) == ()


def test_a_worktree_without_submodules_is_left_alone(project: Project, tmp_path: Path) -> None:
    worktree = project.linked(tmp_path / "wt", "HEAD~1")
    assert project.populate(worktree) == ()
    assert not (project.common / "worktrees/wt/modules").exists()


def test_recycling_between_commits(project: Project, tmp_path: Path) -> None:
    without, old, new = project.main.head("HEAD~1"), project.main.head(), project.bump()
    worktree = project.linked(tmp_path / "wt", old)
    wanted = {without: {"README.md": "top\n"}, old: FULL, new: {**FULL, "vendor/lib/f": "lib 2\n"}}
    for commit in (old, new, without, new, old, old, without):
        worktree.git("reset", "-q", "--hard", commit)
        worktree.git("clean", "-ffdxq")
        project.populate(worktree)
        assert files(worktree) == wanted[commit], commit
        assert worktree.git("status", "--porcelain") == ""


def test_leftovers_of_an_agent_go_and_ignored_files_stay(project: Project, tmp_path: Path) -> None:
    worktree = project.linked(tmp_path / "wt")
    project.populate(worktree)
    worktree.write({"vendor/lib/f": "edited\n", "vendor/lib/new": "n\n", "vendor/lib/made.o": "o\n"})
    lib = RepoBuilder(worktree.path / "vendor/lib")
    lib.git("add", "f")
    lib.git("commit", "-qm", "agent's own")
    (lib.path / "inner/nested/n").unlink()
    assert project.populate(worktree) == ()
    assert files(worktree) == FULL
    assert lib.git("status", "--porcelain", "--ignored") == "!! made.o"


def test_a_planted_repository_is_dropped_before_git_looks(project: Project, tmp_path: Path) -> None:
    worktree = project.linked(tmp_path / "wt")
    project.populate(worktree)
    trap, evidence = worktree.path / "vendor/lib", tmp_path / "ran"
    (trap / ".git").unlink()
    RepoBuilder(trap).git("init", "-q")
    for where in (trap, trap / "deep"):
        where.mkdir(exist_ok=True)
        RepoBuilder(where).git("init", "-q")
        RepoBuilder(where).git("config", "filter.x.clean", f"touch {evidence}; cat")
        RepoBuilder(where).git("config", "filter.x.smudge", f"touch {evidence}; cat")
        (where / ".gitattributes").write_text("* filter=x\n")
    assert project.populate(worktree) == ()
    assert not evidence.exists()
    assert files(worktree) == FULL
    assert not (trap / "deep").exists()


def test_a_half_made_clone_is_made_again(project: Project, tmp_path: Path) -> None:
    worktree = project.linked(tmp_path / "wt")
    project.populate(worktree)
    shutil.rmtree(project.common / "worktrees/wt/modules/the lib/objects")
    assert project.populate(worktree) == ("vendor/lib", "vendor/lib/inner/nested")
    assert files(worktree) == FULL


def test_the_url_is_used_where_the_main_checkout_has_no_copy(
    project: Project, tmp_path: Path, sealed: Path
) -> None:
    (tmp_path / "moved-away").rename(project.far)
    project.main.git("submodule", "--quiet", "deinit", "-f", "--all")
    shutil.rmtree(project.common / "modules")
    worktree = project.linked(tmp_path / "wt")
    with pytest.raises(
        MoError, match=r"^cannot fill the submodule vendor/lib: .*'file' not allowed"
    ) as caught:
        project.populate(worktree)
    assert (
        caught.value.hint
        == "run `git submodule update --init --recursive` in the main checkout, then try again"
    )
    with (sealed / ".gitconfig").open("a") as file:
        file.write('[protocol "file"]\n\tallow = always\n')
    assert project.populate(worktree) == ("vendor/lib", "vendor/lib/inner/nested")
    assert files(worktree) == FULL


def test_a_commit_that_nobody_has_is_a_clear_error(project: Project, tmp_path: Path) -> None:
    project.main.git("update-index", "--cacheinfo", f"160000,{'ab' * 20},vendor/lib")
    project.main.git("commit", "-qm", "points nowhere")
    worktree = project.linked(tmp_path / "wt")
    with pytest.raises(MoError, match="cannot fill the submodule vendor/lib: ") as caught:
        project.populate(worktree)
    assert "git submodule update" in caught.value.hint


def test_a_submodule_that_the_user_turned_off_stays_empty(project: Project, tmp_path: Path) -> None:
    project.main.git("config", "submodule.the lib.update", "none")
    worktree = project.linked(tmp_path / "wt")
    assert project.populate(worktree) == ()
    assert list((worktree.path / "vendor/lib").iterdir()) == []


def test_a_name_that_leaves_the_repository_is_refused(project: Project, tmp_path: Path) -> None:
    text = (project.main.path / ".gitmodules").read_text().replace("the lib", "../../../lib")
    project.main.commit({".gitmodules": text})
    worktree = project.linked(tmp_path / "wt")
    with pytest.raises(MoError, match="leaves the repository"):
        project.populate(worktree)


def test_a_submodule_with_its_repository_inside_the_checkout(tmp_path: Path) -> None:
    """As made by cloning into place and adding that: nothing lies under the common directory's modules."""
    main = RepoBuilder.create(tmp_path / "main", {"README.md": "top\n"})
    RepoBuilder.create(main.path / "sub", {"f": "sub\n"})
    main.git("-c", "advice.addEmbeddedRepo=false", "submodule", "--quiet", "add", "./sub", "sub")
    main.commit({}, "with sub")
    main.git("worktree", "add", "-q", "--detach", str(tmp_path / "wt"))
    assert (main.path / "sub/.git").is_dir()
    assert populate(main.path, main.path / ".git", tmp_path / "wt") == ("sub",)
    assert (tmp_path / "wt/sub/f").read_text() == "sub\n"
