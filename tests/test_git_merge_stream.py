"""Merges by a git that keeps running: the same answers as from a process each, whatever happens to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from mo_git import process
from mo_git.git.binary import Git
from mo_git.git.merge import Merge, Merger
from mo_git.git.merge_stream import Streams
from mo_git.git.repo import Repo
from mo_git.git.settle import settle
from tests.support import RepoBuilder

PINNED = ("merge.directoryRenames=conflict", "merge.renames=true", "merge.conflictStyle=zdiff3")
LINES = "".join(f"{n}\n" for n in range(30))


@pytest.fixture
def merger(repo: RepoBuilder, tmp_path: Path) -> Iterator[Merger]:
    with closing(Merger(Repo(repo.path / ".git"), tmp_path / "state/merge")) as merger:
        yield merger
    assert running() == []


def running() -> list[int]:
    """The merge-trees that this process started and that live."""
    found = []
    for pid in process.own_children():
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"merge-tree" in words and process.identify(pid):
                found.append(pid)
    return found


def gone(pid: int) -> bool:
    """Waits for the end of a process that is not this one's child."""
    identity = process.identify(pid)
    while identity and process.is_alive(identity):
        threading.Event().wait(0.01)
    return True


def commit_by(repo: RepoBuilder, branch: str, *commands: tuple[str, ...]) -> str:
    """A branch from main whose one commit is made by these git commands."""
    repo.git("checkout", "-q", "-b", branch, "main")
    for command in commands:
        repo.git(*command)
    repo.git("commit", "-q", "-m", branch)
    commit = repo.head()
    repo.git("checkout", "-q", "-f", "main")
    return commit


def by_a_process(repo: RepoBuilder, ours: str, theirs: str) -> Merge:
    """What `git merge-tree` says in a checkout of `ours`."""
    repo.git("checkout", "-q", "-f", "--detach", ours)
    options = [part for setting in PINNED for part in ("-c", setting)]
    done = subprocess.run(
        ["git", *options, "merge-tree", "--write-tree", "--name-only", "-z", "--messages", ours, theirs],
        cwd=repo.path,
        capture_output=True,
        check=False,
    )
    repo.git("checkout", "-q", "-f", "main")
    fields = [os.fsdecode(field) for field in done.stdout.split(b"\0")]
    if done.returncode == 0:
        return Merge(fields[0])
    end = fields.index("", 1)
    messages, at = [], end + 1
    while fields[at]:
        at += int(fields[at]) + 3
        messages.append(fields[at - 1].rstrip("\n"))
    return Merge(None, tuple(fields[1:end]), tuple(messages), fields[0])


# -- where engines and their surroundings differ --------------------------------------------------------


def directory_renamed(repo: RepoBuilder) -> tuple[str, str]:
    repo.commit({f"old/{n}": f"{n}\n" * 5 for n in range(3)})
    return commit_by(repo, "ours", ("mv", "old", "new")), repo.branch("theirs", {"old/3": "3\n"})


def both_add_with_another_mode(repo: RepoBuilder) -> tuple[str, str]:
    plain = repo.branch("plain", {"new": "x\n"})
    repo.write({"new": "x\n"})
    return plain, commit_by(repo, "executable", ("add", "--chmod=+x", "new"))


def own_driver(repo: RepoBuilder) -> tuple[str, str]:
    repo.git("config", "merge.sum.driver", "cat %A %B > %A.new && mv %A.new %A")
    repo.commit({".gitattributes": "*.sum merge=sum\n", "x.sum": "0\n"})
    return repo.branch("ours", {"x.sum": "1\n"}), repo.branch("theirs", {"x.sum": "2\n"})


def union(repo: RepoBuilder) -> tuple[str, str]:
    repo.commit({".gitattributes": "LOG merge=union\n", "LOG": "0\n"})
    return repo.branch("ours", {"LOG": "0\n1\n"}), repo.branch("theirs", {"LOG": "0\n2\n"})


def renormalized(repo: RepoBuilder) -> tuple[str, str]:
    repo.git("config", "merge.renormalize", "true")
    repo.commit({"f": "1\r\n2\r\n3\r\n"})
    theirs = repo.branch("theirs", {"f": "1\r\n2\r\nthree\r\n"})
    return repo.branch("ours", {".gitattributes": "* text=auto\n", "f": "1\n2\n3\n"}), theirs


def both_renamed_and_edited_apart(repo: RepoBuilder) -> tuple[str, str]:
    repo.commit({"f": LINES})
    repo.write({"g": "first\n" + LINES})
    ours = commit_by(repo, "ours", ("rm", "-q", "f"), ("add", "g"))
    repo.write({"g": LINES + "last\n"})
    return ours, commit_by(repo, "theirs", ("rm", "-q", "f"), ("add", "g"))


def criss_cross(repo: RepoBuilder) -> tuple[str, str]:
    repo.commit({"f": LINES})
    for one in "ab":
        repo.branch(one, {"f": f"{one}\n{LINES}", one: one})
    for one, other in ("ab", "ba"):
        repo.git("checkout", "-q", "-b", f"{one}2", one)
        repo.git("merge", "-q", "-s", "ours", "-m", f"{one} and {other}", other)
        repo.commit({f"{one}2": "x\n"})
    repo.git("checkout", "-q", "main")
    return repo.head("a2"), repo.head("b2")


def file_against_directory(repo: RepoBuilder) -> tuple[str, str]:
    return repo.branch("ours", {"d": "x\n"}), repo.branch("theirs", {"d/e": "y\n"})


def nothing_to_say(repo: RepoBuilder) -> tuple[str, str]:
    return repo.branch("ours", {"a": "x\n"}), repo.branch("theirs", {"b": "y\n"})


SCENARIOS: tuple[tuple[Callable[[RepoBuilder], tuple[str, str]], bool], ...] = (
    (directory_renamed, False),
    (both_add_with_another_mode, False),
    (own_driver, True),
    (union, True),
    (renormalized, True),
    (both_renamed_and_edited_apart, True),
    (criss_cross, False),
    (file_against_directory, False),
    (nothing_to_say, True),
)


@pytest.mark.parametrize(("scenario", "clean"), SCENARIOS, ids=lambda value: getattr(value, "__name__", ""))
def test_the_answer_is_that_of_a_process(
    repo: RepoBuilder, merger: Merger, scenario: Callable[[RepoBuilder], tuple[str, str]], clean: bool
) -> None:
    ours, theirs = scenario(repo)
    merged = [merger.merge(ours, theirs), merger.merge(theirs, ours), merger.merge(ours, theirs)]
    assert merged[0] == merged[2] == by_a_process(repo, ours, theirs)
    assert merged[1] == by_a_process(repo, theirs, ours)
    assert (merged[0].tree is not None) == clean
    # And what `git merge` makes of it in a checkout.
    repo.git("checkout", "-q", "--detach", ours)
    repo.git("-c", PINNED[0], "merge", "-q", "--no-ff", "-m", "merge", theirs, check=False)
    if clean:
        assert merged[0].tree == repo.head("HEAD^{tree}")
    else:
        assert repo.head() == ours


def test_attributes_that_change_in_mid_train(repo: RepoBuilder, merger: Merger) -> None:
    base = repo.commit({"LOG": "0\n", "f": "0\n"})
    steps: list[dict[str, str | bytes]] = [
        {"LOG": "0\none\n"},
        {".gitattributes": "LOG merge=union\n"},
        {"LOG": "0\ntwo\n"},
        {"LOG": "0\nthree\n", "f": "1\n"},
        {".gitattributes": "nothing -text\n"},
        {"LOG": "0\nfour\n"},
    ]
    branches = [repo.branch(f"b{n}", step) for n, step in enumerate(steps)]
    store, head, told = Repo(repo.path / ".git"), base, []
    for n, branch in enumerate(branches):
        merged = merger.merge(head, branch)
        assert merged == by_a_process(repo, head, branch)
        told.append(merged.conflicts)
        if merged.tree:
            head = store.commit_tree(merged.tree, [head, branch], f"{n}\n", when=n)
    # The first line of .gitattributes lets the next two in; its change conflicts, so union stays in force.
    assert told == [(), (), (), (), (".gitattributes",), ()]
    assert repo.tree(head)["LOG"].split() == ["0", "one", "two", "three", "four"]
    assert len(running()) == 2


def test_a_long_train_is_the_same_objects_again(repo: RepoBuilder, merger: Merger, tmp_path: Path) -> None:
    base = repo.commit({f"d{n % 4}/{n}": LINES for n in range(24)})
    branches = [
        repo.branch(f"b{n}", {f"d{n % 4}/{n}": f"{n}\n{LINES}", f"new{n}": "x\n"}, base) for n in range(24)
    ]
    store = Repo(repo.path / ".git")

    def train(merger: Merger, settled: bool) -> list[str]:
        made = [base]
        for n, branch in enumerate(branches):
            tree = merger.merge(made[-1], branch).tree
            assert tree
            made.append(store.commit_tree(tree, [made[-1], branch], f"Land {n}\n", when=n, settled=settled))
        return made

    first = train(merger, settled=False)
    (pid,) = running()
    settle(store, first[1], base)
    assert list(repo.path.glob(".git/objects/pack/*.pack")) == []
    settle(store, first[-1], first[1])
    (pack,) = repo.path.glob(".git/objects/pack/*.idx")
    packed = set(repo.git("verify-pack", "-v", str(pack)).split())
    assert packed >= set(first[2:]) | {repo.head(f"{commit}^{{tree}}") for commit in first[2:]}
    assert repo.git("fsck", "--strict", "--no-dangling") == ""
    assert train(merger, settled=True) == first
    assert running() == [pid]
    repo.git("checkout", "-q", "--detach", base)
    for n, branch in enumerate(branches):
        repo.git("merge", "-q", "--no-ff", "-m", f"{n}", branch)
    assert repo.head("HEAD^{tree}") == repo.head(f"{first[-1]}^{{tree}}")


# -- what it has to see ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["loose", "pack", "repack", "gone"])
def test_objects_that_came_after_it_started(repo: RepoBuilder, merger: Merger, how: str) -> None:
    base = repo.commit({"f": LINES})
    merger.merge(base, repo.branch("early", {"early": "x\n"}))
    (pid,) = running()
    ours, theirs = (
        repo.branch("ours", {"f": f"first\n{LINES}"}),
        repo.branch("theirs", {"f": f"{LINES}last\n"}),
    )
    if how == "pack":
        repo.git("repack", "-q")
        repo.git("prune-packed", "-q")
    elif how == "repack":
        repo.git("repack", "-q", "-a", "-d")
        assert merger.merge(base, ours).tree
        theirs = repo.branch("later", {"f": f"{LINES}last\n", "later": "x\n"})
        repo.git("gc", "-q", "--prune=now")
    elif how == "gone":
        merger.merge(ours, theirs)
        repo.git("gc", "-q", "--prune=now")  # also what the merge itself had written
    assert merger.merge(ours, theirs) == by_a_process(repo, ours, theirs)
    assert running() == [pid]


def test_settings_that_change_while_it_runs(repo: RepoBuilder, merger: Merger) -> None:
    ours, theirs = own_driver(repo)
    assert merger.merge(ours, theirs).tree
    before = running()
    repo.git("config", "merge.sum.driver", "exit 1")
    assert merger.merge(ours, theirs).conflicts == ("x.sum",)
    (repo.path / ".git/info").mkdir(exist_ok=True)
    (repo.path / ".git/info/attributes").write_text("*.sum merge=union\n")
    assert merger.merge(ours, theirs).tree
    assert len(before) == 1
    assert len(running()) == 3


def test_settings_from_elsewhere_are_read_for_each_merge(
    repo: RepoBuilder, merger: Merger, tmp_path: Path
) -> None:
    ours, theirs = own_driver(repo)
    more = tmp_path / "more"
    more.write_text("")
    repo.git("config", "include.path", str(more))
    assert merger.merge(ours, theirs).tree
    more.write_text('[merge "sum"]\n\tdriver = exit 1\n')
    assert merger.merge(ours, theirs).conflicts == ("x.sum",)
    assert running() == []


# -- what may happen to it ------------------------------------------------------------------------------


def test_one_that_was_killed_is_replaced(repo: RepoBuilder, merger: Merger) -> None:
    ours, theirs = union(repo)
    merged = merger.merge(ours, theirs)
    (pid,) = running()
    os.kill(pid, signal.SIGKILL)
    assert merger.merge(ours, theirs) == merged
    assert merger.merge(ours, theirs) == merged
    (other,) = running()
    assert other != pid


def test_one_that_hangs_is_ended(repo: RepoBuilder) -> None:
    base = repo.head()
    git = Git(repo.path)
    with closing(Streams(patience=0.3)) as streams:
        answer = streams.ask(git, "key", base, base)
        assert answer is not None
        assert answer.clean
        (pid,) = running()
        os.kill(pid, signal.SIGSTOP)
        assert streams.ask(git, "key", base, base) is None
        assert running() == []
        assert streams.ask(git, "key", base, base) == answer


def test_a_driver_that_prints_into_the_answers(repo: RepoBuilder, merger: Merger) -> None:
    ours, theirs = own_driver(repo)
    repo.git("config", "merge.sum.driver", "echo merging %P; cat %A %B > %A.new && mv %A.new %A")
    for _ in range(5):
        assert repo.tree(str(merger.merge(ours, theirs).tree))["x.sum"] == "1\n2"
    assert running() == []


def test_commits_that_do_not_exist_do_not_end_it_for_others(repo: RepoBuilder, merger: Merger) -> None:
    ours, theirs = nothing_to_say(repo)
    stranger = repo.git("commit-tree", "-m", "alone", repo.head("HEAD^{tree}"))
    merged = merger.merge(ours, theirs)
    assert merger.merge(ours, stranger).messages == ("the two sides have no common history",)
    assert merger.merge(ours, theirs) == merged
    assert len(running()) == 1


def test_without_stdbuf_each_merge_has_a_process(
    repo: RepoBuilder, merger: Merger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless git hands out each answer by itself, as newer ones do."""
    ours, theirs = nothing_to_say(repo)
    (tmp_path / "bin").mkdir()
    git = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "bin/git").symlink_to(git.strip())
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path / "bin"))
        found = [merger.merge(ours, theirs), merger.merge(theirs, ours)]
    assert found == [by_a_process(repo, ours, theirs), by_a_process(repo, theirs, ours)]


def test_many_threads_share_a_few(repo: RepoBuilder, merger: Merger) -> None:
    bases = [repo.commit({".gitattributes": f"x{n} -text\n"}) for n in range(5)]
    pairs = [
        (repo.branch(f"o{n}", {"o": f"{n}\n"}, base), repo.branch(f"t{n}", {"t": f"{n}\n"}, base))
        for n, base in enumerate(bases)
    ]
    found: dict[int, list[Merge]] = {n: [] for n in range(5)}
    counts: list[int] = []

    def work(n: int) -> None:
        for turn in range(10):
            found[(n + turn) % 5].append(merger.merge(*pairs[(n + turn) % 5]))
            counts.append(len(running()))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(counts) <= 3 + 6  # six may be single processes
    assert len(running()) <= 3
    for n, pair in enumerate(pairs):
        assert set(found[n]) == {by_a_process(repo, *pair)}


def test_nothing_is_left_open_in_other_programs(repo: RepoBuilder, merger: Merger) -> None:
    look = ["sh", "-c", "ls /proc/$$/fd"]
    before = process.run(look).text
    merger.merge(*nothing_to_say(repo))
    assert running()
    assert process.run(look).text == before


HOLDER = """
import sys, threading
from pathlib import Path
from mo_git import process
from mo_git.git.merge import Merger
from mo_git.git.repo import Repo

repo, ours, theirs, scratch = sys.argv[1:]
merger = Merger(Repo(Path(repo)), Path(scratch))
assert merger.merge(ours, theirs).tree
log = Path(scratch) / "log"
bystander = process.start_detached(["sleep", "600"], cwd=log.parent, env={"PATH": "/usr/bin:/bin"}, log=log)
(pid,) = [pid for pid in process.own_children() if pid != bystander]
print(pid, bystander, flush=True)
threading.Event().wait()
"""


def test_it_ends_with_whoever_started_it_even_by_kill_9(repo: RepoBuilder, tmp_path: Path) -> None:
    arguments = [str(repo.path / ".git"), *nothing_to_say(repo), str(tmp_path / "scratch")]
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, *arguments], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder.stdout:
        pid, bystander = map(int, holder.stdout.readline().split())
    assert process.identify(pid)
    holder.kill()
    holder.wait()
    assert gone(pid)
    assert process.identify(bystander)  # started while the pipes were open: it holds none of them
    os.kill(bystander, signal.SIGKILL)


# -- replay ---------------------------------------------------------------------------------------------


def test_a_replay_brings_what_a_commit_changed(repo: RepoBuilder, merger: Merger) -> None:
    base = repo.commit({"f": LINES})
    commit = repo.branch("task", {"f": f"first\n{LINES}", "new": "x\n"})
    head = repo.commit({"f": f"{LINES}last\n", "kept": "y\n"})
    merged = merger.replay(head, commit, base)
    assert repo.tree(str(merged.tree)) == {
        "README.md": "hello",
        "f": f"first\n{LINES}last",
        "kept": "y",
        "new": "x",
    }
    repo.git("checkout", "-q", "--detach", head)
    repo.git("cherry-pick", commit)
    assert merged.tree == repo.head("HEAD^{tree}")
    assert merger.replay(head, commit, base) == merged


def test_a_replay_has_the_base_that_it_is_given(repo: RepoBuilder, merger: Merger) -> None:
    """Also where the histories have another one: work on top of an ejected commit, or landed and reverted."""
    start = repo.commit({"f": LINES})
    ejected = repo.branch("ejected", {"bad": "x\n"})
    work = repo.branch("work", {"f": f"{LINES}work\n"}, "ejected")
    head = repo.commit({"other": "y\n"})
    merged = merger.replay(head, work, ejected)
    assert sorted(repo.tree(str(merged.tree))) == ["README.md", "f", "other"]
    landed = repo.branch("landed", {"g": "1\n"}, start)
    repo.git("merge", "-q", "--no-ff", "-m", "land", "landed")
    repo.git("revert", "-m", "1", "--no-edit", "HEAD")
    assert merger.merge(repo.head(), landed).tree == repo.head("HEAD^{tree}")
    assert "g" in repo.tree(str(merger.replay(repo.head(), landed, start).tree))


def test_a_replay_in_conflict_speaks_of_the_commits_that_it_was_given(
    repo: RepoBuilder, merger: Merger
) -> None:
    base = repo.commit({"f": "1\n", "g": "1\n"})
    commit = commit_by(repo, "task", ("rm", "-q", "f"))
    head = repo.commit({"f": "2\n"})
    merged = merger.replay(head, commit, base)
    assert (merged.tree, merged.conflicts) == (None, ("f",))
    assert commit in merged.messages[0]
    assert head in merged.messages[0]
