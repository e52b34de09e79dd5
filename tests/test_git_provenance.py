"""Trailers and notes: where a commit came from."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from mo_git.errors import MoError
from mo_git.git import provenance, refs
from mo_git.git.repo import Repo
from tests.support import RepoBuilder


@pytest.fixture
def store(repo: RepoBuilder) -> Repo:
    return Repo(repo.path / ".git")


def commit(store: Repo, repo: RepoBuilder, text: str) -> str:
    return store.commit_tree(repo.head("HEAD^{tree}"), [repo.head()], text, when=1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("Title",), "Title\n"),
        (("  Two\n lines ", "\nBody\n\nmore\n\n"), "Two lines\n\nBody\n\nmore\n"),
        (("T", "", {"Mo-Goal": "g", "Mo-Task": "t"}), "T\n\nMo-Goal: g\nMo-Task: t\n"),
        (
            ("T", "B", {"Mo-Goal": "a\nMo-Task: forged", "Empty": " "}),
            "T\n\nB\n\nMo-Goal: a Mo-Task: forged\n",
        ),
        (("",), "(no title)\n"),
    ],
)
def test_messages(arguments: tuple[str, str, Mapping[str, str]], expected: str) -> None:
    assert provenance.message(*arguments) == expected


def test_trailers_are_read_as_git_reads_them(repo: RepoBuilder, store: Repo) -> None:
    wanted = {"Mo-Goal": "jwt-k3f9", "Mo-Agent": "claude/sonnet: x", "Mo-Attempt": "2"}
    made = commit(store, repo, provenance.message("Title: not a trailer", "Body: neither.\nx", wanted))
    assert provenance.trailers(store, made) == wanted
    assert repo.git("log", "-1", "--format=%(trailers:only,unfold)", made).strip().splitlines() == [
        f"{key}: {value}" for key, value in wanted.items()
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Key: value\n", {}),
        ("Title\n\nKey: value\nplain text\n", {}),
        ("Title\n\nKey: value\n more\n\tand more\nOther:\n", {"Key": "value more and more", "Other": ""}),
        ("Title\n\nBody\n \t\nKey: v\n\n\n", {"Key": "v"}),
        ("Title\n\n folded: first\n", {}),
        ("", {}),
    ],
)
def test_what_is_a_trailer(repo: RepoBuilder, store: Repo, text: str, expected: dict[str, str]) -> None:
    assert provenance.trailers(store, commit(store, repo, text)) == expected


def note(repo: RepoBuilder, oid: str, ref: str = "refs/notes/mo") -> str:
    return repo.git("notes", f"--ref={ref}", "show", oid)


def test_notes_come_in_one_commit_and_git_reads_them(repo: RepoBuilder, store: Repo) -> None:
    commits = [commit(store, repo, f"{n}\n") for n in range(40)]
    provenance.add_notes(store, {oid: f"note {n}\nünï" for n, oid in enumerate(commits)})
    assert repo.git("rev-list", "--count", "refs/notes/mo") == "1"
    assert note(repo, commits[7]) == "note 7\nünï"
    provenance.add_notes(store, {commits[7]: "changed", repo.head(): "head"})
    assert (note(repo, commits[7]), note(repo, commits[8]), note(repo, repo.head())) == (
        "changed",
        "note 8\nünï",
        "head",
    )
    assert repo.git("rev-list", "--count", "refs/notes/mo") == "2"
    assert len(repo.git("notes", "--ref=refs/notes/mo", "list").splitlines()) == 41
    provenance.add_notes(store, {commits[7]: "changed"})
    provenance.add_notes(store, {})
    assert repo.git("rev-list", "--count", "refs/notes/mo") == "2"
    repo.git("fsck", "--strict")


def test_notes_that_git_wrote_are_replaced_where_they_are(repo: RepoBuilder, store: Repo) -> None:
    """git keeps few notes flat, and makes one level of directories, then two, as they become more."""
    commits = [commit(store, repo, f"{n}\n") for n in range(2)]
    repo.git("notes", "--ref=mo", "add", "-m", "flat", commits[0])
    provenance.add_notes(store, {commits[0]: "mine", commits[1]: "new"})
    assert (note(repo, commits[0]), note(repo, commits[1])) == ("mine", "new")
    repo.git("notes", "--ref=mo", "add", "-f", "-m", "git again", commits[1])
    assert note(repo, commits[1]) == "git again"
    assert len(repo.git("notes", "--ref=mo", "list").splitlines()) == 2
    # Two levels, as git would have after many thousands.
    blob = repo.git("hash-object", "-w", "--stdin", stdin="deep")
    path = "/".join((commits[0][:2], commits[0][2:4], commits[0][4:]))
    stream = "commit refs/notes/mo\ncommitter A <a@b> 1 +0000\ndata 0\ndeleteall\n"
    repo.git("fast-import", "--quiet", "--force", stdin=f"{stream}M 100644 {blob} {path}\n")
    assert note(repo, commits[0]) == "deep"
    provenance.add_notes(store, {commits[0]: "replaced", commits[1]: "beside"})
    assert (note(repo, commits[0]), note(repo, commits[1])) == ("replaced", "beside")
    assert len(repo.git("notes", "--ref=mo", "list").splitlines()) == 2


def test_notes_under_another_ref_and_for_a_missing_commit(repo: RepoBuilder, store: Repo) -> None:
    provenance.add_notes(store, {repo.head(): "x"}, ref="refs/notes/other")
    assert note(repo, repo.head(), "refs/notes/other") == "x"
    with pytest.raises(MoError, match="there is no commit"):
        provenance.add_notes(store, {"0" * 40: "x"})
    assert refs.read(store, "refs/notes/mo") is None


def test_racing_writers_lose_no_note(repo: RepoBuilder, store: Repo) -> None:
    commits = [commit(store, repo, f"{n}\n") for n in range(12)]

    def write(start: int) -> None:
        for oid in commits[start::3]:
            provenance.add_notes(store, {oid: oid})

    threads = [threading.Thread(target=write, args=(start,)) for start in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [note(repo, oid) for oid in commits] == commits
