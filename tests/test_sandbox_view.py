"""The stand-in for a git directory: what is in it, and odd repositories seen through it."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mo_daemon import sandbox
from mo_daemon.sandbox import Places, Policy, Purpose, Room, Sandbox, View, gitconfig, make_view
from mo_daemon.sandbox.gitconfig import Setting
from mo_daemon.sandbox.view import alternates
from tests import cells
from tests.cells import CANARY
from tests.support import RepoBuilder

# -- config -------------------------------------------------------------------------------------------

CONFIG = r"""
[core]
	repositoryformatversion = 1
	bare = false
	autocrlf
	; a comment
	fsmonitor = "evil # not a comment"
	sshCommand = ssh -i key
[remote "origin"]
	url = https://user:token@example.org/x.git
	fetch = +refs/heads/*:refs/remotes/origin/*
	promisor = true
[branch "a\"b"] merge = refs/heads/a # inline
	remote = https://user:token@example.org/x.git
[http]
	extraheader = AUTHORIZATION: token
[diff "py"]
	xfuncname = "^\\s*(def .*)$"
	textconv = evil
[filter "x"]
	clean = evil
[include]
	path = /etc/passwd
[user]
	name = Jo \
hn  D
	signingKey = secret
[extensions] objectFormat=sha1
[alias]
	x = !evil
"""


def test_what_of_a_config_is_shown() -> None:
    assert gitconfig.render(gitconfig.for_repository(CONFIG)) == (
        '[core]\n\trepositoryformatversion = "1"\n[core]\n\tautocrlf\n'
        '[remote "origin"]\n\tfetch = "+refs/heads/*:refs/remotes/origin/*"\n'
        '[remote "origin"]\n\tpromisor = "true"\n[branch "a\\"b"]\n\tmerge = "refs/heads/a"\n'
        '[diff "py"]\n\txfuncname = "^\\\\s*(def .*)$"\n[user]\n\tname = "Jo hn  D"\n'
        '[extensions]\n\tobjectformat = "sha1"\n'
    )
    assert gitconfig.for_user(CONFIG) == [
        Setting("core", "", "autocrlf", None),
        Setting("diff", "py", "xfuncname", "^\\s*(def .*)$"),
        Setting("user", "", "name", "Jo hn  D"),
    ]
    assert gitconfig.excludes_files("[core]\nexcludesFile = ~/x\n[core]\nexcludesfile=\n") == ["~/x"]


def as_git_reads(text: str, directory: Path) -> list[tuple[str, str | None]]:
    file = directory / "config"
    file.write_bytes(text.encode())
    done = subprocess.run(["git", "config", "-z", "--list", "-f", str(file)], capture_output=True, check=True)
    items = [item.decode().partition("\n") for item in done.stdout.split(b"\0")[:-1]]
    return [(name, value if newline else None) for name, newline, value in items]


def as_we_read(text: str) -> list[tuple[str, str | None]]:
    return [
        (".".join(filter(None, [item.section, item.subsection, item.key])), item.value)
        for item in gitconfig.parse(text)
    ]


@pytest.mark.parametrize(
    "text",
    [
        CONFIG,
        '[a]\nb = "x;y" z ; c\n',
        "[a.Sub]\nb=1\r\nc\r\n",
        '[a "x y\\\\z"]\n  b = a\\tb\\n\\"q\\"\n',
        "[a]\nb = one \\\n   two\n# c \\\nd = 3\n",
        '[a] b = "  spaces  "  # x\n',
        "[a]\nb =\nc = \\\\\n",
    ],
)
def test_configs_are_read_as_git_reads_them(tmp_path: Path, text: str) -> None:
    assert as_we_read(text) == as_git_reads(text, tmp_path)


words = st.text(st.characters(codec="ascii", exclude_characters="\0\r\v\f\x1b", min_codepoint=8), max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(words.filter(lambda word: "\n" not in word), words | st.none()), max_size=5))
def test_what_is_written_is_what_git_reads(tmp_path: Path, pairs: list[tuple[str, str | None]]) -> None:
    wanted = [Setting("sec", name, "key", value) for name, value in pairs]
    text = gitconfig.render(wanted)
    assert list(gitconfig.parse(text)) == wanted
    expected = [(".".join(filter(None, ["sec", name, "key"])), value) for name, value in pairs]
    assert as_git_reads(text, tmp_path) == expected


# -- view ---------------------------------------------------------------------------------------------


def test_what_is_in_a_view(repo: RepoBuilder, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", "-b", "mo/x", str(tmp_path / "wt"))
    repo.git("config", "http.extraheader", CANARY)
    (repo.path / ".git/info/exclude").write_text("/.mo/\n")
    view = tmp_path / "view"
    refs = {"refs/tags/v1": "b" * 40, "refs/heads/main": "a" * 40, "refs/heads/Z": "c" * 40}
    made = make_view(repo.path / ".git", view, admin="wt", refs=refs)
    assert made == View(view, repo.path / ".git", repo.path / ".git/worktrees/wt", (), ())
    files = {str(path.relative_to(view)): path.read_text() for path in view.rglob("*") if path.is_file()}
    assert CANARY not in files.pop("config")
    assert files == {
        "HEAD": "ref: refs/heads/none\n",
        "info/exclude": "/.mo/\n",
        "packed-refs": "# pack-refs with: sorted \n"
        f"{'c' * 40} refs/heads/Z\n{'a' * 40} refs/heads/main\n{'b' * 40} refs/tags/v1\n",
    }
    empty = [path for path in view.rglob("*") if path.is_dir() and not list(path.iterdir())]
    assert sorted(str(path.relative_to(view)) for path in empty) == [
        *("objects", "refs/heads", "worktrees/wt"),
    ]
    (repo.path / ".git/info/exclude").unlink()
    make_view(repo.path / ".git", view, admin="other", refs={}, lfs=True)
    assert sorted(path.name for path in (view / "worktrees").iterdir()) == ["other"]
    assert sorted(path.name for path in view.iterdir()) == [
        *("HEAD", "config", "info", "lfs", "objects", "packed-refs", "refs", "worktrees"),
    ]
    assert not list((view / "info").iterdir())


def test_a_view_is_made_quickly(repo: RepoBuilder, tmp_path: Path) -> None:
    spent = []
    for _ in range(10):
        started = time.perf_counter()
        make_view(repo.path / ".git", tmp_path / "view", admin="x", refs={"refs/heads/main": "a" * 40})
        spent.append(time.perf_counter() - started)
    assert min(spent) < 0.05


def test_alternates(tmp_path: Path) -> None:
    for name, lines in {
        "a": "../../b\n# c\n",
        "b": f"{tmp_path}/c\n../../a\n{tmp_path}/gone\n",
        "c": "",
    }.items():
        (tmp_path / name / "info").mkdir(parents=True)
        (tmp_path / name / "info/alternates").write_text(lines.replace("../../", "../"))
    assert alternates(tmp_path / "a") == [tmp_path / "b", tmp_path / "c", tmp_path / "a"]
    assert alternates(tmp_path / "c") == []


# -- odd repositories, in the sandbox -----------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """A worktree of a repository, looked at from the sandbox."""

    top: Path
    main: RepoBuilder
    common_dir: Path

    def run(self, script: str) -> str:
        worktree = self.top / "state/wt"
        if not worktree.exists():
            worktree.parent.mkdir()
            self.main.git("worktree", "add", "-q", "-b", "mo/x", str(worktree))
        refs = {"refs/heads/mo/x": self.main.head()}
        room = Room(worktree, self.top / "state/home", self.top / "state/cache")
        sandbox.prepare(room, [], {})
        view = make_view(self.common_dir, self.top / "state/view", admin="wt", refs=refs)
        room = Room(worktree, room.home, room.cache, view)
        places = Places(self.main.path, self.common_dir, (self.top / "state",), ())
        made = Sandbox(cells.tier(), places, Policy()).wrap(
            ["sh", "-c", script], purpose=Purpose.CHECK, room=room, env=dict(os.environ)
        )
        done = subprocess.run(made.argv, env=dict(made.env), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


def test_borrowed_objects(repo: RepoBuilder, tmp_path: Path) -> None:
    repo.git("clone", "-q", "-s", str(repo.path), str(tmp_path / "main"))
    main = RepoBuilder(tmp_path / "main")
    assert Seen(tmp_path, main, main.path / ".git").run("git log --format=%s; git status -s") == "first\n"


def test_a_separate_git_directory(tmp_path: Path) -> None:
    (tmp_path / "git").mkdir()
    main = RepoBuilder.create(tmp_path / "main", {"a": "a\n"}, f"--separate-git-dir={tmp_path / 'git'}")
    main.git("config", "http.extraheader", CANARY)
    said = Seen(tmp_path, main, tmp_path / "git").run(
        f"git log --format=%s; grep -rs {CANARY} {tmp_path} || :"
    )
    assert said == "first\n"


def test_a_main_checkout_that_is_a_submodule(repo: RepoBuilder, tmp_path: Path) -> None:
    above = RepoBuilder.create(tmp_path / "above", {"secret.txt": "x\n"})
    above.git("submodule", "add", "-q", str(repo.path), "sub")
    above.git("config", "http.extraheader", CANARY)
    main = RepoBuilder(above.path / "sub")
    said = Seen(tmp_path, main, above.path / ".git/modules/sub").run(
        f"git log --format=%s; cat {above.path}/.git/config 2>&1 || :"
    )
    assert said == f"first\ncat: {above.path}/.git/config: No such file or directory\n"


def test_a_shallow_clone(repo: RepoBuilder, tmp_path: Path) -> None:
    repo.commit({"a": "a\n"}, "second")
    repo.git("clone", "-q", "--depth", "1", f"file://{repo.path}", str(tmp_path / "main"))
    main = RepoBuilder(tmp_path / "main")
    assert Seen(tmp_path, main, main.path / ".git").run("git log --format=%s; git status -s") == "second\n"


def test_submodules_of_the_worktree(repo: RepoBuilder, tmp_path: Path) -> None:
    inner = RepoBuilder.create(tmp_path / "inner", {"i": "i\n"})
    repo.git("submodule", "add", "-q", str(inner.path), "lib/inner")
    repo.commit({}, "with a submodule")
    seen = Seen(tmp_path, repo, repo.path / ".git")
    assert seen.run("ls -A lib/inner") == ""
    worktree = RepoBuilder(tmp_path / "state/wt")
    worktree.git("submodule", "update", "-q", "--init")
    RepoBuilder(worktree.path / "lib/inner").git("config", "http.extraheader", CANARY)
    said = seen.run(
        "git status -s; cd lib/inner; git log --format=%s; git status -s;"
        "git config --list --local | grep -v core;"
        f"echo more > more; git status -s; grep -rs {CANARY} {tmp_path} || :"
    )
    assert said.splitlines() == [
        *(
            "first",
            "remote.origin.fetch=+refs/heads/*:refs/remotes/origin/*",
            "branch.main.merge=refs/heads/main",
        ),
        "?? more",
    ]
