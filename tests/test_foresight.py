"""Looking ahead on real git: candidates, worktrees in which somebody works, and what is left behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mo_daemon.forecast import Coming, Source
from mo_daemon.foresight import GLANCE_SECONDS, Foresight
from mo_git.git import worktrees
from mo_git.git.repo import Repo
from tests.support import RepoBuilder
from tests.test_git_merge_stream import running

LINES = "".join(f"{n}\n" for n in range(40))


@pytest.fixture
def store(repo: RepoBuilder) -> Repo:
    return Repo(repo.path / ".git")


@pytest.fixture
def foresight(store: Repo, tmp_path: Path) -> Iterator[Foresight]:
    with closing(Foresight(store, tmp_path / "state/forecast")) as foresight:
        yield foresight
    assert running() == []
    assert not (tmp_path / "state/forecast").exists()


def candidates(repo: RepoBuilder, base: str, **files: dict[str, str | bytes]) -> list[Source]:
    """Candidates g/NAME on this base."""
    return [Source(f"g/{name}", base, repo.branch(name, changed, base)) for name, changed in files.items()]


def told(foresight: Foresight, sources: list[Source]) -> list[tuple[str, ...]]:
    """The pairs and their paths, as `a b: path...` without the goal."""
    foresight.compare(sources, seconds=60)
    return [(*(task.removeprefix("g/") for task in one.tasks), *one.paths) for one in foresight.coming]


def objects(repo: RepoBuilder) -> int:
    return sum(1 for path in (repo.path / ".git/objects").rglob("*") if path.is_file())


# -- candidates -----------------------------------------------------------------------------------------


def test_only_what_git_cannot_merge_is_told(repo: RepoBuilder, foresight: Foresight) -> None:
    base = repo.commit({"f": LINES, "g": LINES, "b": b"\0base"})
    sources = candidates(
        repo,
        base,
        first={"f": f"first\n{LINES}", "b": b"\0one"},
        last={"f": f"{LINES}last\n"},
        other={"f": f"another\n{LINES}", "g": f"x\n{LINES}"},
        same={"g": f"x\n{LINES}"},
        binary={"b": b"\0two"},
        new={"n": "1\n"},
        newer={"n": "2\n"},
    )
    before = objects(repo)
    assert told(foresight, sources) == [
        ("binary", "first", "b"),
        ("first", "other", "f"),
        ("new", "newer", "n"),
    ]
    assert objects(repo) == before  # what it tried is no part of the repository
    assert len(running()) == 1


def rename(repo: RepoBuilder, branch: str, old: str, new: str) -> str:
    repo.git("checkout", "-q", "-b", branch)
    repo.git("mv", old, new)
    repo.git("commit", "-q", "-m", branch)
    commit = repo.head()
    repo.git("checkout", "-q", "main")
    return commit


def test_renames_are_followed(repo: RepoBuilder, foresight: Foresight) -> None:
    """A file by both of its names, a directory also where no path is the same."""
    base = repo.commit({"f": LINES, **{f"old/deep/{n}": f"{n}\n" * 9 for n in range(3)}})
    sources = [
        Source("g/renamed", base, rename(repo, "renamed", "f", "h")),
        Source("g/again", base, rename(repo, "again", "f", "i")),
        Source("g/moved", base, rename(repo, "moved", "old", "new")),
        *candidates(
            repo, base, edited={"f": f"x\n{LINES}"}, inside={"old/deep/4": "4\n"}, beside={"older/4": "4\n"}
        ),
    ]
    assert told(foresight, sources) == [
        ("again", "renamed", "f", "h", "i"),
        ("inside", "moved", "new/deep/4"),
    ]


def test_a_file_against_a_directory(repo: RepoBuilder, foresight: Foresight) -> None:
    sources = candidates(repo, repo.head(), a={"d": "x\n"}, b={"d/e/f": "x\n"})
    ((*names, path),) = told(foresight, sources)
    assert names == ["a", "b"]
    assert path.startswith("d~")


def test_drivers_of_the_base_decide(repo: RepoBuilder, foresight: Foresight) -> None:
    base = repo.commit({".gitattributes": "LOG merge=union\nwhole -merge\n", "LOG": "0\n", "whole": LINES})
    sources = candidates(
        repo,
        base,
        a={"LOG": "0\na\n", "whole": f"a\n{LINES}"},
        b={"LOG": "0\nb\n", "whole": f"{LINES}b\n", ".gitattributes": ""},
    )
    assert told(foresight, sources) == [("a", "b", "whole")]


def test_what_landed_in_between_is_no_conflict_of_the_pair(repo: RepoBuilder, foresight: Foresight) -> None:
    base = repo.commit({"f": LINES, "g": LINES})
    (early,) = candidates(repo, base, early={"f": f"early\n{LINES}", "g": f"x\n{LINES}"})
    head = repo.commit({"f": f"landed\n{LINES}"})
    late = candidates(repo, head, apart={"g": f"{LINES}x\n"}, same={"g": f"y\n{LINES}"})
    assert told(foresight, [early, *late]) == [("early", "same", "g")]


def test_answers_are_kept_until_a_task_has_other_work(repo: RepoBuilder, foresight: Foresight) -> None:
    base = repo.commit({"f": LINES})
    one, two = candidates(repo, base, one={"f": f"1\n{LINES}"}, two={"f": f"2\n{LINES}"})
    assert foresight.is_due([one, two], 0.0)
    foresight.compare([one, two])
    assert foresight.coming == (Coming(("g/one", "g/two"), ("f",)),)
    assert not foresight.is_due([one, two], 0.0)
    (again,) = candidates(repo, base, again={"f": f"{LINES}2\n"})
    redone = [one, Source("g/two", base, again.commit)]
    assert foresight.is_due(redone, 0.0)
    foresight.compare(redone)
    assert foresight.coming == ()


def test_without_time_the_rest_is_left_for_later(repo: RepoBuilder, foresight: Foresight) -> None:
    base = repo.commit({"f": LINES})
    sources = candidates(repo, base, one={"f": f"1\n{LINES}"}, two={"f": f"2\n{LINES}"})
    foresight.compare(sources, seconds=0)
    assert foresight.coming == ()
    assert foresight.is_due(sources, 0.0)
    assert told(foresight, sources) == [("one", "two", "f")]
    assert not foresight.is_due(sources, 0.0)


def test_work_that_cannot_be_read_is_left_out(repo: RepoBuilder, foresight: Foresight) -> None:
    base = repo.commit({"f": LINES})
    sources = candidates(repo, base, one={"f": f"1\n{LINES}"}, two={"f": f"2\n{LINES}"})
    stranger = repo.git("commit-tree", "-m", "alone", repo.head("HEAD^{tree}"))
    more = [Source("g/gone", base, "1" * 40), Source("g/stranger", base, stranger)]
    assert told(foresight, [*more, *sources]) == [("one", "two", "f")]


# -- worktrees ------------------------------------------------------------------------------------------


@pytest.fixture
def tree(repo: RepoBuilder, store: Repo, tmp_path: Path) -> Path:
    """A worktree on a branch, with nothing changed yet."""
    repo.commit({"f": LINES, "kept": "x\n", ".gitignore": "ignored\n"})
    path = tmp_path / "trees/1"
    path.parent.mkdir()
    worktrees.birth(store, "mo-1", path, branch="mo/g/live", commit=repo.head())
    return path


def live(repo: RepoBuilder, tree: Path, n: int = 1) -> Source:
    return Source("g/live", repo.head(), "", str(tree), f"g/live#{n}")


def test_a_worktree_is_seen_while_somebody_works_in_it(
    repo: RepoBuilder, foresight: Foresight, tree: Path
) -> None:
    (other,) = candidates(repo, repo.head(), other={"f": f"other\n{LINES}", "new": "1\n"})
    source = live(repo, tree)

    def everything() -> dict[str, tuple[int, bytes]]:
        admin = repo.path / ".git/worktrees/mo-1"
        files = [path for place in (admin, tree) for path in place.rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    def seen() -> list[tuple[str, ...]]:
        before, size = everything(), objects(repo)
        foresight.glance(source)
        assert (everything(), objects(repo)) == (before, size)
        return told(foresight, [source, other])

    assert seen() == []
    (tree / "f").write_text(f"live\n{LINES}")
    (tree / "ignored").write_text("x\n")
    assert seen() == [("live", "other", "f")]
    (tree / "new").write_text("2\n")
    (tree / "kept").unlink()
    assert seen() == [("live", "other", "f", "new")]
    (tree / "f").write_text(LINES)
    assert seen() == [("live", "other", "new")]
    (tree / "new").unlink()
    (tree / "new").mkdir()
    (tree / "new/file").write_text("x\n")
    ((*names, _),) = seen()
    assert names == ["live", "other"]


def marker(place: Path) -> str:
    return f'[core]\n\tfsmonitor = touch {place}\n[filter "x"]\n\tclean = touch {place}; cat\n'


def own_repository(tree: Path, ran: Path) -> None:
    inner = RepoBuilder.create(tree / "inner", {"f": "1\n"})
    (inner.path / ".git/config").write_text(marker(ran))
    inner.write({"f": "2\n", ".gitattributes": "* filter=x\n"})


def own_pointer(tree: Path, ran: Path) -> None:
    fake = RepoBuilder.create(tree.parent / "fake", {"f": "1\n"})
    (fake.path / ".git/config").write_text(marker(ran))
    (tree / ".git").write_text(f"gitdir: {fake.path}/.git\n")


def own_settings(tree: Path, ran: Path) -> None:
    admin = Path((tree / ".git").read_text().removeprefix("gitdir: ").strip())
    (admin / "config.worktree").write_text(marker(ran))
    RepoBuilder(tree).git("config", "extensions.worktreeConfig", "true")


@pytest.mark.parametrize(
    ("trick", "seen"), [(own_repository, True), (own_pointer, False), (own_settings, False)]
)
def test_nothing_of_an_agents_own_git_runs(
    repo: RepoBuilder,
    foresight: Foresight,
    tree: Path,
    tmp_path: Path,
    trick: Callable[[Path, Path], None],
    seen: bool,
) -> None:
    (other,) = candidates(repo, repo.head(), other={"f": f"other\n{LINES}", "inner/f": "3\n"})
    trick(tree, tmp_path / "ran")
    (tree / "f").write_text(f"live\n{LINES}")
    foresight.glance(live(repo, tree))
    assert told(foresight, [live(repo, tree), other]) == ([("live", "other", "f")] if seen else [])
    assert not (tmp_path / "ran").exists()


def test_large_and_odd_files_are_left_out(repo: RepoBuilder, foresight: Foresight, tree: Path) -> None:
    (other,) = candidates(repo, repo.head(), other={"f": f"other\n{LINES}", "large": "x", "pipe": "x"})
    (tree / "large").write_bytes(b"x" * (2 << 20))
    os.mkfifo(tree / "pipe")
    (tree / "f").write_text(f"live\n{LINES}")
    foresight.glance(live(repo, tree))
    assert told(foresight, [live(repo, tree), other]) == [("live", "other", "f")]


def test_looks_at_worktrees_are_rare_and_take_turns(
    repo: RepoBuilder, foresight: Foresight, tree: Path, tmp_path: Path
) -> None:
    (tree / "f").write_text(f"live\n{LINES}")
    (other,) = candidates(repo, repo.head(), other={"f": f"other\n{LINES}"})
    late = Source("g/late", repo.head(), "", str(tmp_path / "nowhere"), "g/late#1", since=1.0)
    sources, clock = [late, live(repo, tree), other], [5.0]

    def look() -> bool:
        due = foresight.is_due(sources, clock[0])
        if due:
            asyncio.run(foresight.look(sources, lambda: clock[0]))
        return due

    assert look()  # for the candidate
    assert foresight.coming == ()
    assert not look()
    clock[0] = GLANCE_SECONDS
    assert look()
    assert foresight.coming == (Coming(("g/live", "g/other"), ("f",)),)
    clock[0] += 0.0001
    assert not look()  # it has just taken its share
    clock[0] += 10_000
    assert look()  # the other one's turn
    sources = [late]
    assert look()
    assert (foresight.coming, running()) == ((), [])
    assert not look()
