"""The ref guard hook: with it in the environment, git moves one branch of one repository and nothing else."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from mo_daemon.environment import task_environment
from tests.support import RepoBuilder

HOOKS = Path(__file__).parents[1] / "hooks"
BRANCH = "mo/g/t"


@dataclass(frozen=True)
class Agent:
    """A linked worktree on the task's branch, and git as the agent there runs it."""

    main: RepoBuilder
    worktree: RepoBuilder

    def git(self, *args: str, where: Path | None = None) -> tuple[int, str]:
        """Exit code and standard error of a git command under the guard."""
        environment = task_environment(
            os.environ,
            goal="g",
            task="t",
            attempt=1,
            worktree=self.worktree.path,
            common_dir=self.main.path / ".git",
            port_base=20000,
            passed=("GIT_CONFIG_NOSYSTEM",),
            guard=(HOOKS, f"refs/heads/{BRANCH}"),
        )
        done = subprocess.run(
            ["git", *args],
            cwd=where or self.worktree.path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    def refs(self) -> str:
        return self.main.git("for-each-ref", "--format=%(refname) %(objectname)")


@pytest.fixture
def agent(repo: RepoBuilder, tmp_path: Path) -> Agent:
    repo.branch("other", {"other.txt": "o\n"})
    repo.commit({"main.txt": "m\n"}, "second")
    repo.git("tag", "v1")
    repo.git("worktree", "add", "-q", "-b", BRANCH, str(tmp_path / "wt"), "HEAD~1")
    worktree = RepoBuilder(tmp_path / "wt")
    worktree.commit({"work.txt": "w\n"}, "agent's")
    worktree.write({"work.txt": "w2\n"})
    return Agent(repo, worktree)


def name_of(value: object) -> str | None:
    return " ".join(value) if isinstance(value, list) else None


OWN = [
    (["commit", "-qam", "more"], 2),
    (["commit", "-qa", "--amend", "-m", "again"], 1),
    (["reset", "-q", "--hard", "HEAD~1"], 0),
    (["-c", "rebase.autoStash=false", "rebase", "-q", "main"], 1),
    (["merge", "-q", "--no-edit", "main"], 2),
    (["cherry-pick", "other"], 2),
    (["update-ref", f"refs/heads/{BRANCH}", "HEAD~1"], 0),
]


@pytest.mark.parametrize(("command", "ahead"), OWN, ids=name_of)
def test_the_own_branch_moves(agent: Agent, command: list[str], ahead: int) -> None:
    """`ahead`: commits of the task's branch, merges counted, that main lacks."""
    if command[0] not in ("commit", "reset"):
        agent.worktree.git("checkout", "-q", "--", ".")
    elsewhere = [line for line in agent.refs().splitlines() if BRANCH not in line]
    assert agent.git(*command) == (0, "")
    branch = f"refs/heads/{BRANCH}"
    assert agent.main.git("rev-list", "--first-parent", "--count", f"main..{branch}") == str(ahead)
    assert [line for line in agent.refs().splitlines() if BRANCH not in line] == elsewhere


OTHERS = [
    (["stash"], "refs/stash"),
    (["branch", "new"], "refs/heads/new"),
    (["branch", "-D", "other"], "refs/heads/other"),
    (["checkout", "-q", "-b", "new"], "refs/heads/new"),
    (["tag", "v2"], "refs/tags/v2"),
    (["tag", "-d", "v1"], "refs/tags/v1"),
    (["update-ref", "refs/heads/main", "HEAD"], "refs/heads/main"),
    (["update-ref", "refs/heads/MERGE_HEAD", "HEAD"], "refs/heads/MERGE_HEAD"),
    (["update-ref", "refs/notes/mo", "HEAD"], "refs/notes/mo"),
]


@pytest.mark.parametrize(("command", "ref"), OTHERS, ids=name_of)
def test_other_refs_do_not(agent: Agent, command: list[str], ref: str) -> None:
    before = agent.refs()
    code, said = agent.git(*command)
    assert code != 0
    assert f"mo: this task may only move refs/heads/{BRANCH}, not {ref}\n" in said
    assert agent.refs() == before


def test_a_commit_in_the_main_checkout_is_refused(agent: Agent) -> None:
    before = agent.refs()
    code, said = agent.git("commit", "-q", "--allow-empty", "-m", "x", where=agent.main.path)
    assert code != 0
    assert "not refs/heads/main" in said
    code, said = agent.git("commit", "-q", "--allow-empty", "-m", "x", where=agent.main.path / ".git")
    assert code != 0
    assert agent.refs() == before


def test_a_commit_from_a_subdirectory_of_the_worktree_is_seen(agent: Agent) -> None:
    agent.worktree.write({"deep/er/file": "x"})
    before = agent.refs()
    code, said = agent.git("branch", "new", where=agent.worktree.path / "deep" / "er")
    assert (code != 0, "not refs/heads/new" in said) == (True, True)
    assert agent.refs() == before
    assert agent.git("add", "-A", where=agent.worktree.path / "deep") == (0, "")
    assert agent.git("commit", "-qm", "deep", where=agent.worktree.path / "deep") == (0, "")


def test_a_detached_head_is_free(agent: Agent) -> None:
    agent.worktree.git("checkout", "-q", "--", ".")
    assert agent.git("checkout", "-q", "--detach", "main") == (0, "")
    assert agent.git("commit", "-q", "--allow-empty", "-m", "off any branch") == (0, "")
    assert agent.worktree.git("log", "-1", "--format=%s") == "off any branch"


def test_repositories_that_tests_make_are_not_touched(agent: Agent, tmp_path: Path) -> None:
    for name, arguments in {"plain": [], "bare.git": ["--bare"]}.items():
        assert agent.git("init", "-q", *arguments, str(tmp_path / name)) == (0, "")
    plain = tmp_path / "plain"
    assert agent.git("commit", "-q", "--allow-empty", "-m", "x", where=plain) == (0, "")
    assert agent.git("checkout", "-q", "-b", "new", where=plain) == (0, "")
    assert agent.git("tag", "v9", where=plain) == (0, "")
    assert agent.git("push", "-q", str(tmp_path / "bare.git"), "new", where=plain) == (0, "")
    assert agent.git("clone", "-q", str(plain), str(tmp_path / "clone")) == (0, "")
    assert agent.git("worktree", "add", "-q", str(tmp_path / "plain-linked"), where=plain)[0] == 0
    assert agent.git("commit", "-q", "--allow-empty", "-m", "y", where=tmp_path / "plain-linked") == (0, "")


def test_without_its_variables_the_hook_allows_everything(agent: Agent) -> None:
    agent.main.git("-c", f"core.hooksPath={HOOKS}", "branch", "new")
    assert "refs/heads/new" in agent.refs()


def test_the_hook_uses_the_shell_alone() -> None:
    """No program is started: with an empty PATH it still decides."""
    hook = HOOKS / "reference-transaction"
    assert os.access(hook, os.X_OK)
    done = subprocess.run(
        ["/bin/sh", str(hook), "prepared"],
        cwd="/",
        env={"PATH": "", "MO_REF": "refs/heads/mo/g/t", "MO_GIT_DIR": "/", "GIT_DIR": "/"},
        input="0 1 refs/heads/mo/g/t\n0 1 refs/heads/main\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "mo: this task may only move refs/heads/mo/g/t, not refs/heads/main\n"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("0 ref:refs/heads/mo/g/t HEAD", 0),
        ("0 ref:refs/heads/main HEAD", 1),
        ("0 1 HEAD", 0),
        ("0 1 ORIG_HEAD", 0),
        ("0 1 refs/bisect/bad", 0),
        ("0 1 refs/heads/mo/g/t2", 1),
        ("0 1 refs/heads/mo/g", 1),
    ],
)
def test_lines(tmp_path: Path, line: str, code: int) -> None:
    done = subprocess.run(
        [str(HOOKS / "reference-transaction"), "prepared"],
        cwd=tmp_path,
        env={"MO_REF": "refs/heads/mo/g/t", "MO_GIT_DIR": str(tmp_path), "GIT_DIR": "."},
        input=line + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
