"""What mo cannot work with: each refusal says why and what to type next, as text and as JSON, and nothing of
the repository has changed afterwards."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mo_git.errors import Exit
from mo_git.lifecycle import has_ended
from tests import need
from tests.driver import Done, Mo, plan
from tests.support import RepoBuilder

pytestmark = pytest.mark.slow

NO_PROOF = {"gate": {"command": "true", "proof": "off"}}
TASK = {"id": "a", "run": ["sh", "-c", "echo a > a"]}
NO_GOALS = ("no goals yet", "mo do @plan.toml starts one; mo demo shows how")
THE_FILE = "the path after @ is that of a plan (.toml, .json) or of a goal file (.md)"
EVERY_KEY = "mo config list shows every key"


@pytest.fixture
def good(tmp_path: Path) -> str:
    """A plan that is fine, as `mo do` takes it."""
    file = tmp_path / "good.json"
    file.write_text(plan([TASK]))
    return f"@{file}"


def picture(top: Path, *, without_home: bool = False) -> dict[str, tuple[int, bytes]]:
    """Every file, link and directory below a directory: mode and content, those of git included.

    `without_home` leaves out `.mo`, where a daemon that runs writes.
    """
    found = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if without_home and path.relative_to(top).parts[0] == ".mo":
            continue
        mode = path.lstat().st_mode
        content = os.fsencode(path.readlink()) if stat.S_ISLNK(mode) else b""
        found[name] = (mode, path.read_bytes() if stat.S_ISREG(mode) else content)
    return found


@dataclass(frozen=True)
class Refusal:
    """What is said; `code` is the exit code."""

    code: Exit
    message: str
    hint: str

    @property
    def text(self) -> str:
        return "".join([f"mo: {self.message}\n", *(f"  {line}\n" for line in self.hint.splitlines())])

    @property
    def document(self) -> Mapping[str, Any]:
        return {"error": {"code": self.code.name.lower(), "message": self.message, "hint": self.hint}}


def asked_both_ways(mo: Mo, args: Sequence[str], cwd: Path | None, code: Exit, at_once: bool) -> list[Done]:
    """`mo ARGS` and `mo --json ARGS`."""
    with ThreadPoolExecutor(2 if at_once else 1) as both:
        return list(both.map(lambda more: mo(*more, *args, code=code, cwd=cwd), ([], ["--json"])))


def refused(
    mo: Mo,
    args: Sequence[str],
    code: Exit,
    message: str,
    hint: str,
    *,
    cwd: Path | None = None,
    before: str = "",
    without_home: bool = False,
    at_once: bool = True,
) -> None:
    """`mo ARGS` is refused in these words, as text and as JSON, and leaves everything as it was.

    `before`: what is said first.  `at_once`: both ways side by side, which two daemons cannot start.
    """
    top = mo.repo.path
    roots = [top] if cwd is None or cwd.is_relative_to(top) else [top, cwd]
    seen = [picture(root, without_home=without_home) for root in roots]
    state = Path(mo.environ["XDG_STATE_HOME"])
    had_state = state.exists()
    wanted = Refusal(code, message, hint)
    text, document = asked_both_ways(mo, args, cwd, code, at_once)
    assert (text.out, text.err) == ("", before + wanted.text)
    assert (document.out, json.loads(document.err.removeprefix(before))) == ("", wanted.document)
    assert [picture(root, without_home=without_home) for root in roots] == seen
    assert state.exists() == had_state


# -- the repository -----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["do @good.json", "init", "status", "show", "land x", "gc", "daemon start"])
def test_not_a_git_repository(repo: RepoBuilder, tmp_path: Path, verb: str) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "good.json").write_text(plan([TASK]))
    message = f"{plain} is not in a git repository"
    refused(Mo(repo), verb.split(), Exit.NOT_FOUND, message, "git init", cwd=plain)


@pytest.mark.parametrize("verb", ["do", "init", "status"])
def test_a_bare_repository(repo: RepoBuilder, tmp_path: Path, good: str, verb: str) -> None:
    bare = tmp_path / "bare.git"
    repo.git("clone", "-q", "--bare", ".", str(bare))
    args = ["do", good] if verb == "do" else [verb]
    remedy = f"git clone {bare}, and work in the clone"
    refused(Mo(repo), args, Exit.USAGE, f"{bare} is a bare repository", remedy, cwd=bare)


def test_a_linked_worktree_of_a_bare_repository(repo: RepoBuilder, tmp_path: Path, good: str) -> None:
    bare, linked = tmp_path / "bare.git", tmp_path / "linked"
    repo.git("clone", "-q", "--bare", ".", str(bare))
    RepoBuilder(bare).git("worktree", "add", "-q", str(linked), "main")
    remedy = f"git clone {bare}, and work in the clone"
    refused(Mo(repo), ["do", good], Exit.USAGE, f"{bare} is a bare repository", remedy, cwd=linked)


def test_inside_the_git_directory(repo: RepoBuilder, good: str) -> None:
    inside = repo.path / ".git"
    message = f"{inside} is inside a git directory"
    refused(Mo(repo), ["do", good], Exit.USAGE, message, "cd into the checkout", cwd=inside)


def test_a_repository_without_a_commit(tmp_path: Path, good: str) -> None:
    mo = Mo(RepoBuilder.create(tmp_path / "empty"))
    hint = "git commit --allow-empty -m start"
    for args in (["do", good], ["do", good, "--base", "main"], ["init"], ["daemon", "start"]):
        refused(mo, args, Exit.FAILED, "this repository has no commit yet", hint)


def test_sha256_objects(tmp_path: Path, good: str) -> None:
    mo = Mo(RepoBuilder.create(tmp_path / "new", {"f": "x\n"}, "--object-format=sha256"))
    hint = "mo works with SHA-1 repositories; git init --object-format=sha1 makes one"
    for args in (["do", good], ["init"]):
        refused(mo, args, Exit.CONFIG, "this repository uses SHA-256 objects", hint)


def test_reftable(tmp_path: Path, good: str) -> None:
    """Made by git itself where it can; an older one only has to read the setting."""
    path = tmp_path / "new"
    path.mkdir()
    made = subprocess.run(["git", "init", "-q", "--ref-format=reftable", path], capture_output=True)
    builder = RepoBuilder(path)
    if made.returncode:
        builder.git("init", "-q", "-b", "main")
    builder.commit({"f": "x\n"})
    if made.returncode:
        settings = "[core]\n\trepositoryformatversion = 1\n[extensions]\n\trefStorage = reftable\n"
        with (path / ".git" / "config").open("a") as file:
            file.write(settings)
    mo = Mo(builder)
    for args in (["do", good], ["init"]):
        refused(mo, args, Exit.CONFIG, "this repository uses reftable", "git refs migrate --ref-format=files")


def fake_git(directory: Path, version: str) -> dict[str, str]:
    """A PATH with a git that says it is another version and is otherwise the real one."""
    directory.mkdir()
    script = directory / "git"
    answer = f'[ "$1" = --version ] && echo "git version {version}" && exit'
    script.write_text(f'#!/bin/sh\n{answer}\nexec {shutil.which("git")} "$@"\n')
    script.chmod(0o755)
    return {"PATH": f"{directory}{os.pathsep}{os.environ['PATH']}"}


def test_git_too_old(repo: RepoBuilder, tmp_path: Path, good: str) -> None:
    mo = Mo(repo, fake_git(tmp_path / "bin", "2.30.2"))
    for args in (["do", good], ["init"], ["daemon", "start"]):
        message = "git 2.30.2 is too old, mo needs 2.38"
        refused(mo, args, Exit.CONFIG, message, "install a newer git")
    doctor = mo("doctor", code=1).out
    assert doctor.splitlines()[:2] == [
        "fail  git         git 2.30.2 is too old",
        "        install git 2.38 or newer",
    ]


def test_no_git_at_all(repo: RepoBuilder, tmp_path: Path, good: str) -> None:
    mo = Mo(repo, {"PATH": str(tmp_path)})
    message = "cannot run git: No such file or directory"
    refused(mo, ["do", good], Exit.FAILED, message, "install git or put it on PATH")


# -- where a goal starts ------------------------------------------------------------------------------


def test_a_detached_head_needs_a_base(mo: Mo, good: str) -> None:
    mo.configure(**NO_PROOF)
    mo.repo.git("checkout", "-q", "--detach")
    remedy = "git switch -c NAME makes one; or say where to start: --base REV"
    refused(mo, ["do", good], Exit.USAGE, "HEAD is detached: there is no branch to land on", remedy)
    mo("do", good, "--base", "HEAD")
    assert str(mo.goal().state) == "done"
    goal = mo.goal().id
    refused(
        mo,
        ["land", "@last"],
        Exit.USAGE,
        f"{goal} was made on a detached HEAD and has no target branch",
        f"mo land {goal} --onto BRANCH",
        without_home=True,
    )
    mo("land", "@last", "--onto", "main")
    assert mo.repo.tree("main") == {"README.md": "hello", "a": "a"}


@pytest.mark.parametrize("base", ["nope", "--all", "HEAD^{tree}", "HEAD:README.md", "main..main"])
def test_a_base_that_is_no_commit(repo: RepoBuilder, good: str, base: str) -> None:
    message = f"no commit is called {base!r} here"
    refused(Mo(repo), ["do", good, "--base", base], Exit.NOT_FOUND, message, "git log --oneline --all")


def test_a_target_branch_that_is_not_there(repo: RepoBuilder, tmp_path: Path) -> None:
    file = tmp_path / "goal.md"
    file.write_text('+++\ntarget = "nope"\n[[task]]\nid = "a"\nrun = ["true"]\n+++\nText\n')
    message = "no commit is called 'refs/heads/nope' here"
    refused(Mo(repo), ["do", f"@{file}"], Exit.NOT_FOUND, message, "git log --oneline --all")


def test_a_dirty_checkout_is_named_and_left_out(mo: Mo, good: str) -> None:
    mo.configure(**NO_PROOF)
    assert mo("do", good).err == ""  # mo's own files, not hidden from git yet, are not dirt
    mo.repo.write({"README.md": "edited\n", "new": "untracked\n"})
    mo.repo.git("add", "new")
    before = picture(mo.repo.path)
    told = mo("do", good, "--detach").err.splitlines()[0]
    assert told == "note: uncommitted changes are not in the goal's base (--include-dirty puts them in)"
    mo.wait_for(lambda: has_ended(mo.goal()))
    for name in ("README.md", "new", ".git/index", ".git/HEAD", ".git/refs/heads/main"):
        assert picture(mo.repo.path)[name] == before[name]
    assert mo.repo.tree(mo.goal().integration) == {"README.md": "hello", "a": "a"}


def test_include_dirty_leaves_mos_own_files_out(mo: Mo, good: str) -> None:
    mo.configure(**NO_PROOF)
    mo.repo.write({"README.md": "edited\n", "new": "untracked\n"})
    mo("do", good, "--include-dirty")
    assert mo.repo.tree(mo.goal().base) == {"README.md": "edited", "new": "untracked"}
    refused(
        mo,
        ["do", good, "--include-dirty", "--base", "HEAD"],
        Exit.USAGE,
        "--include-dirty builds on HEAD, it cannot be used with another base",
        "leave out one of them",
        without_home=True,
    )


# -- the place ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unprivileged:
    """Runs mo without root's right to ignore permissions (for tests that root runs)."""

    mo: Mo
    prefix: Sequence[str] = field(default_factory=tuple)

    @classmethod
    def of(cls, mo: Mo) -> Unprivileged:
        if os.geteuid():
            return cls(mo)
        drop = "--bounding-set=-dac_override,-dac_read_search"
        return cls(mo, (need.require("setpriv"), drop, "--inh-caps=-all"))

    def __call__(self, *args: str) -> Done:
        argv = [*self.prefix, sys.executable, "-P", "-m", "mo_git", *args]
        repo, environ = self.mo.repo.path, self.mo.environ
        done = subprocess.run(argv, cwd=repo, env=environ, capture_output=True, text=True, timeout=60)
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def limited(mo: Mo) -> Iterator[Unprivileged]:
    yield Unprivileged.of(mo)
    for path in (mo.repo.path, *mo.repo.path.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def write_protect(top: Path) -> None:
    for path in (top, *top.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)


def test_a_git_directory_that_cannot_be_written(limited: Unprivileged, good: str) -> None:
    top = limited.mo.repo.path
    write_protect(top / ".git")
    before = picture(top)
    for args in (["do", good], ["init"], ["daemon", "start"]):
        done = limited(*args)
        wanted = Refusal(
            Exit.FAILED,
            f"cannot write {top}/.git/info/exclude: Permission denied",
            "mo hides .mo/ from git there: check the permissions",
        )
        assert done == Done(1, "", wanted.text)
    assert picture(top) == before


def test_a_checkout_that_cannot_be_written(limited: Unprivileged, good: str) -> None:
    top = limited.mo.repo.path
    before = picture(top)
    top.chmod(0o555)
    wanted = Refusal(Exit.FAILED, f"cannot make {top}/.mo: Permission denied", "check permissions and space")
    assert limited("do", good) == Done(1, "", wanted.text)
    assert picture(top) == before


def test_a_git_directory_that_cannot_be_written_any_more(limited: Unprivileged, good: str) -> None:
    """The goal stands still with the remedy, and goes on afterwards."""
    limited.mo.configure(**NO_PROOF)
    limited.mo.home.create()
    top = limited.mo.repo.path
    write_protect(top / ".git")
    before = picture(top, without_home=True)
    done = limited("do", good)
    assert done.code == Exit.PERSON
    assert f"Permission denied; let git write again below {top}/.git\n" in done.out
    assert picture(top, without_home=True) == before
    for path in (top / ".git", *(top / ".git").rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    limited("resume", "@last")
    limited.mo.wait_for(lambda: str(limited.mo.goal().state) == "done")


def test_a_file_in_the_place_of_the_home(repo: RepoBuilder, good: str) -> None:
    (repo.path / ".mo").write_text("mine\n")
    mo = Mo(repo)
    note = "note: uncommitted changes are not in the goal's base (--include-dirty puts them in)\n"
    hint = "rename that file: mo needs the directory"
    refused(mo, ["do", good], Exit.FAILED, f"{repo.path}/.mo is in the way", hint, before=note)
    for args in (["init"], ["daemon", "start"]):
        refused(mo, args, Exit.FAILED, f"{repo.path}/.mo is in the way", hint)
    refused(mo, ["show"], Exit.NOT_FOUND, *NO_GOALS)
    assert f"fail  home        {repo.path}/.mo is in the way" in mo("doctor", code=1).out


# -- the plan -----------------------------------------------------------------------------------------

MANY = plan(
    [
        {"id": "a", "run": ["true"], "depends_on": ["b"]},
        {"id": "b", "run": ["true"], "depends_on": ["a"]},
        {"id": "c", "run": ["true"], "depends_on": ["nobody"]},
        {"id": "c", "run": ["true"]},
        {"id": "empty"},
        {"id": "f", "run": ["true"], "depend_on": ["a"]},
        {"id": "g", "run": "ruff check", "timeout": "long", "depends_on": ["g"]},
        {"id": "No Slug", "run": ["true"], "writes": ["/abs"]},
    ],
    gaol="typo",
)
CYCLE = "".join(
    f'[[task]]\nid = "{one}"\nrun = ["true"]\ndepends_on = ["{other}"]\n' for one, other in ("ac", "ba", "cb")
)
MANY_SAID = [
    'gaol: unknown key, did you mean "goal"?',
    'task "f": depend_on: unknown key, did you mean "depends_on"?',
    'task "g": run: expected an argv list, found text: write ["ruff", "check"]',
    'task "g": timeout: expected a number of seconds greater than 0, found text',
    'task "No Slug": id: "No Slug" is not a good name: use lower-case letters, digits, - and _, starting '
    'with a letter or digit, for example "no-slug"',
    'task "No Slug": writes: pattern "/abs" is absolute, write it relative to the repository root',
    'task "empty": prompt: is missing or empty: a task needs prompt, run = [...] or from',
    'task "c": id: is used twice: ids are unique in a plan',
    'task "c": depends_on: no task "nobody"',
    'task "g": depends_on: names the task itself',
    'task "a": depends_on: cycle: a -> b -> a',
]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cycle.toml", CYCLE, ['task "a": depends_on: cycle: a -> c -> b -> a']),
        ("many.json", MANY, MANY_SAID),
        ("empty.toml", "", ["task: no tasks: write at least one [[task]]"]),
        ("none.json", "{}", ["task: no tasks: write at least one [[task]]"]),
        (
            "keys.toml",
            '[[task]]\nid = "a"\nrun = []\n',
            ['task "a": run: is empty: name a program and its arguments'],
        ),
    ],
)
def test_plans_with_problems(repo: RepoBuilder, name: str, content: str, said: list[str]) -> None:
    (repo.path.parent / name).write_text(content)
    problems = "\n".join(f"../{name}: {line}" for line in said)
    which = "this" if len(said) == 1 else f"these {len(said)} problems"
    refused(Mo(repo), ["do", f"@../{name}"], Exit.USAGE, problems, f"correct {which} in ../{name}")


@pytest.mark.parametrize(
    ("name", "content", "message", "hint"),
    [
        ("p.toml", b"goal = \n", "../p.toml:1:8: not valid TOML: Invalid value", "correct ../p.toml"),
        ("p.json", b'{"goal":', "../p.json:1:9: not valid JSON: Expecting value", "correct ../p.json"),
        ("p.json", b"", "../p.json:1:1: not valid JSON: Expecting value", "correct ../p.json"),
        ("p.json", b"[" * 5_000_000, "../p.json: not valid JSON: nested too deeply", "correct ../p.json"),
        (
            "p.json",
            b'["a"]',
            "../p.json: expected a plan as a JSON object, found a list",
            'write {"goal": ..., "task": [...]}',
        ),
        ("p.toml", b'goal = "caf\xe9"\n', "../p.toml is not text in UTF-8", "save it as UTF-8"),
        ("p.toml", b"\xff\xfeg\0o\0", "../p.toml is not text in UTF-8", "save it as UTF-8"),
        (
            "p.toml",
            b"# filler\n" * 600_000,
            "../p.toml: task: no tasks: write at least one [[task]]",
            "correct this in ../p.toml",
        ),
        ("p.md", b"+++\n", "../p.md:1: the front matter has no end", None),
    ],
)
def test_plans_that_cannot_be_read(
    repo: RepoBuilder, name: str, content: bytes, message: str, hint: str | None
) -> None:
    (repo.path.parent / name).write_bytes(content)
    hint = hint or "put a line of +++ between it and the text of the goal"
    refused(Mo(repo), ["do", f"@../{name}"], Exit.USAGE, message, hint)


@pytest.mark.parametrize(
    ("goal", "code", "message", "hint"),
    [
        ("@missing.toml", Exit.NOT_FOUND, "no such file: missing.toml", THE_FILE),
        ("@~nobody-here/p.toml", Exit.NOT_FOUND, "no such file: ~nobody-here/p.toml", THE_FILE),
        ("@.", Exit.USAGE, "cannot read .: Is a directory", THE_FILE),
        ("@README.md/p", Exit.USAGE, "cannot read README.md/p: Not a directory", THE_FILE),
        ("@", Exit.USAGE, "there is no file name after @", THE_FILE),
        ("@line\nbreak", Exit.NOT_FOUND, "no such file: line\nbreak", THE_FILE),
    ],
)
def test_goals_that_are_no_plan(repo: RepoBuilder, goal: str, code: Exit, message: str, hint: str) -> None:
    refused(Mo(repo), ["do", goal], code, message, hint)


def test_a_plan_that_may_not_be_read(limited: Unprivileged, good: str) -> None:
    file = good[1:]
    Path(file).chmod(0)
    wanted = Refusal(Exit.USAGE, f"cannot read {file}: Permission denied", f"chmod u+r {file}")
    assert limited("do", good) == Done(2, "", wanted.text)
    assert not limited.mo.home.path.exists()


def test_too_many_tasks(mo: Mo, tmp_path: Path) -> None:
    mo.configure(**NO_PROOF, planner={"max_tasks": 3})
    mo("daemon", "start")
    file = tmp_path / "many.json"
    file.write_text(plan([{"id": f"t{n}", "run": ["true"]} for n in range(4)]))
    refused(
        mo,
        ["do", f"@{file}"],
        Exit.USAGE,
        "the plan has 4 tasks, at most 3 are allowed",
        "split it, or raise planner.max_tasks",
        without_home=True,
    )
    assert list((mo.home.path / "goals").iterdir()) == list(mo.home.inbox.iterdir()) == []


# -- the settings -------------------------------------------------------------------------------------

TYPO = "[orchestrator]\nmax_paralel = 3\n"
TYPO_SAID = 'orchestrator.max_paralel = 3: unknown key, did you mean "orchestrator.max_parallel"?'


def settings_file(layer: str, repo: RepoBuilder) -> Path:
    user = Path(os.environ["XDG_CONFIG_HOME"]) / "mo" / "config.toml"
    file = user if layer == "user" else repo.path / ".mo" / layer
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


@pytest.mark.parametrize(
    ("layer", "args"), [("user", ["do"]), ("config.toml", ["init"]), ("local.toml", ["daemon", "start"])]
)
def test_a_key_that_does_not_exist(repo: RepoBuilder, good: str, layer: str, args: list[str]) -> None:
    file = settings_file(layer, repo)
    file.write_text(TYPO)
    args = [*args, good] if args == ["do"] else args
    refused(Mo(repo), args, Exit.CONFIG, f"{file}: {TYPO_SAID}", EVERY_KEY)


def test_settings_that_cannot_be_used(repo: RepoBuilder, good: str) -> None:
    file = settings_file("local.toml", repo)
    table: Mapping[bytes, str] = {
        b"[gate]\nproof = 'of'\ntimeout = '1'\n": (
            f'{file}: gate.timeout = "1": expected a number greater than 0\n'
            f'{file}: gate.proof = "of": expected one of required, off, did you mean "off"?'
        ),
        b"[gate\n": f"{file}:1:6: not valid TOML: Expected ']' at the end of a table declaration",
        b'[gate]\ncommand = "\xe9"\n': f"{file}:2: not UTF-8 text",
        b"gate = 3\n": f"{file}: gate = 3: expected a table",
    }
    for content, said in table.items():
        file.write_bytes(content)
        refused(Mo(repo), ["do", good], Exit.CONFIG, said, EVERY_KEY)


def test_broken_settings_in_every_layer_at_once(repo: RepoBuilder, good: str) -> None:
    files = [settings_file(layer, repo) for layer in ("user", "config.toml", "local.toml")]
    for file in files:
        file.write_text(TYPO)
    said = [f"{file}: {TYPO_SAID}" for file in files]
    said.append('MO_GATE__COMAND: gate.comand = "x": unknown key, did you mean "gate.command"?')
    mo = Mo(repo, {"MO_GATE__COMAND": "x"})
    refused(mo, ["do", good], Exit.CONFIG, "\n".join(said), EVERY_KEY)


def test_broken_settings_with_a_daemon_that_runs(mo: Mo, good: str) -> None:
    mo.configure(**NO_PROOF)
    mo("do", good)
    daemon = mo.daemon()
    for layer in ("user", "config.toml", "local.toml"):
        file = settings_file(layer, mo.repo)
        kept = file.read_text() if file.exists() else ""
        file.write_text(TYPO)
        for args in (["do", good], ["gc"]):
            refused(mo, args, Exit.CONFIG, f"{file}: {TYPO_SAID}", EVERY_KEY, without_home=True)
        file.write_text(kept)
    typo = Mo(mo.repo, {"MO_GATE__COMAND": "x"})
    said = 'MO_GATE__COMAND: gate.comand = "x": unknown key, did you mean "gate.command"?'
    refused(typo, ["do", good], Exit.CONFIG, said, EVERY_KEY, without_home=True)
    assert mo.daemon() == daemon
    mo("land", "@last")  # what is under way goes on with the last settings that were fine
    assert len(list((mo.home.path / "goals").iterdir())) == 1


def test_settings_of_the_environment_reach_a_daemon_that_runs(mo: Mo, good: str) -> None:
    mo.configure(**NO_PROOF)
    mo("do", good)
    first = mo.daemon()
    strict = Mo(mo.repo, {"MO_GATE__COMMAND": "test -e never"})
    strict("do", good, code=Exit.FAILED)
    assert mo.states() == {"a": "ejected"}
    assert mo.daemon() not in (None, first)
    mo("do", good)
    assert mo.states() == {"a": "landed"}


# -- the ledger ---------------------------------------------------------------------------------------


def test_a_ledger_of_a_newer_mo(mo: Mo, good: str) -> None:
    mo.configure(**NO_PROOF)
    mo("do", good)
    mo.stop()
    database = sqlite3.connect(mo.home.database)
    database.execute("PRAGMA user_version = 99")
    database.execute("UPDATE meta SET value = '9.1.0' WHERE key = 'mo_version'")
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    before = mo.home.database.read_bytes()
    message = f".mo/mo.db has schema 99, this mo ({mo('--version').out.split()[-1]}) knows schema 3"
    hint = "install mo 9.1.0 or newer; nothing was changed"
    for args in (["do", good], ["land", "@last"], ["daemon", "start"]):
        refused(mo, args, Exit.CONFIG, message, hint, without_home=True, at_once=False)
    assert f"fail  ledger      {message}\n        {hint}\n" in mo("doctor", code=1).out
    assert mo.json("show")["goal"]["state"] == "done"
    assert mo.home.database.read_bytes() == before
    assert mo.daemon() is None


def test_a_ledger_that_is_none(mo: Mo, good: str) -> None:
    mo.configure(**NO_PROOF)
    mo.home.create()
    mo.home.database.write_bytes(b"not a database " * 100)
    message = f"cannot read {mo.home.database}: file is not a database"
    hint = "your work is in git (branches mo/*, refs/mo/*); move mo.db away to start a new ledger"
    refused(
        mo,
        ["do", good],
        Exit.CONFIG,
        message,
        f"{hint}, or restore it from a backup",
        without_home=True,
        at_once=False,
    )
    for args in (["show"], ["land", "@last"], ["logs", "@last"], ["db", "tables"]):
        refused(mo, args, Exit.CONFIG, message, hint)
    assert list((mo.home.path / "goals").iterdir()) == list(mo.home.inbox.iterdir()) == []
    mo.home.database.rename(mo.home.path / "mo.db.old")  # as the hint says
    mo("do", good)
    assert mo.states() == {"a": "landed"}


def test_a_ledger_that_may_not_be_read(limited: Unprivileged, good: str) -> None:
    mo = limited.mo
    mo.configure(**NO_PROOF)
    mo("do", good)
    mo.stop()
    mo.home.database.chmod(0)
    before = picture(mo.repo.path, without_home=True)
    wanted = Refusal(
        Exit.FAILED,
        f"cannot write {mo.home.database}: it cannot be opened (unable to open database file)",
        "make .mo/ and what is in it writable",
    )
    assert limited("do", good) == Done(1, "", wanted.text)
    assert picture(mo.repo.path, without_home=True) == before


# -- names that are taken -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taken", "packed", "hint", "free"),
    [
        ("refs/heads/mo", True, "git branch -m mo ANOTHER-NAME", ["branch", "-m", "mo", "another"]),
        (
            "refs/mo",
            False,
            "git update-ref -d refs/mo removes it, if nothing needs it",
            ["update-ref", "-d", "refs/mo"],
        ),
    ],
)
def test_a_ref_in_the_way_of_mos(
    mo: Mo, good: str, taken: str, packed: bool, hint: str, free: list[str]
) -> None:
    """The goal waits with the remedy; after it, it goes on."""
    mo.configure(**NO_PROOF)
    mo.repo.git("update-ref", taken, "HEAD")
    if packed:
        mo.repo.git("pack-refs", "--all")
    before = mo.repo.head(taken), mo.repo.head(), mo.repo.git("status", "--porcelain")
    done = mo("do", good, code=Exit.PERSON)
    assert f": {taken} is in the way; {hint}\n" in done.out
    assert (mo.repo.head(taken), mo.repo.head(), mo.repo.git("status", "--porcelain")) == (*before[:2], "")
    mo.repo.git(*free)
    mo("resume", "@last")
    mo.wait_for(lambda: str(mo.goal().state) == "done")


def test_names_that_only_look_like_mos(mo: Mo, good: str) -> None:
    """Tags, remote branches and a user's own branches below mo/ stand in nobody's way and stay."""
    mo.configure(**NO_PROOF)
    names = ["refs/tags/mo", "refs/remotes/mo/x", "refs/heads/mo/mine", "refs/heads/mo-x", "refs/mo/other"]
    for name in names:
        mo.repo.git("update-ref", name, "HEAD")
    mo.repo.git("checkout", "-q", "mo/mine")
    mo("do", good)
    mo("land", "@last")
    assert mo.repo.tree("mo/mine") == {"README.md": "hello", "a": "a"}
    assert {mo.repo.head(name) for name in names if name != "refs/heads/mo/mine"} == {mo.repo.head("main")}


# -- the gate -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (
            "no-such-program --x",
            "was not found (exit code 127); correct gate.command, or install what it needs",
        ),
        ("./README.md", "make its file executable with `git update-index --chmod=+x FILE` and commit that"),
        ("true", "the gate passes although the code is unreadable; set gate.command to what runs your tests"),
        ("", "no gate: nothing in this repository looks like a test suite; name the command that runs"),
    ],
)
def test_gates_that_say_nothing(mo: Mo, good: str, gate: str, said: str) -> None:
    before = picture(mo.repo.path, without_home=True)
    done = mo("do", good, "--gate", gate, code=Exit.GATE)
    assert said in done.out
    assert mo.states() == {"a": "pending"}
    assert (str(mo.goal().state), mo.goal().landings) == ("halted", [])
    after = picture(mo.repo.path, without_home=True)
    own = {name for name in after if "mo" in Path(name).parts or name.startswith(".git/worktrees")}
    own |= {".git/info/exclude", ".git/mo-tmp"}
    assert {name: after[name] for name in after.keys() - own} == {
        name: before[name] for name in before.keys() - own
    }


# -- ids ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        *("show @last", "show nope", "status @last", "status nope", "land @last", "diff", "logs @last"),
        *("graph @last", "cancel nope", "rollback @last/a"),
    ],
)
def test_ids_before_the_first_goal(repo: RepoBuilder, line: str) -> None:
    refused(Mo(repo), line.split(), Exit.NOT_FOUND, *NO_GOALS)


def test_depends_on_a_goal_before_the_first(repo: RepoBuilder, good: str) -> None:
    refused(Mo(repo), ["do", good, "--depends-on", "nope"], Exit.NOT_FOUND, *NO_GOALS)


def test_ids_that_name_nothing_or_too_much(mo: Mo, good: str) -> None:
    mo.configure(**NO_PROOF)
    first, second = (str(mo.json("do", good, "--detach")["goal"]) for _ in range(2))
    mo.wait_for(lambda: all(has_ended(mo.goal(goal)) for goal in (first, second)))
    nothing = (Exit.NOT_FOUND, "no goal 'nope'", "mo status lists the goals")
    several = (Exit.USAGE, f"'test' could be 2 goals: {first}, {second}", "write more of the id")
    no_id = "write GOAL, GOAL/TASK or GOAL/TASK#N"
    table: Mapping[str, tuple[Exit, str, str]] = {
        "show nope": nothing,
        "land nope": nothing,
        "status nope": nothing,
        "cancel nope": nothing,
        f"do {good} --depends-on nope": nothing,
        "show test": several,
        "land test": several,
        "status test": several,
        f"do {good} --depends-on test": several,
        f"land {first}x": (Exit.NOT_FOUND, f"no goal '{first}x'", f"did you mean {first} or {second}?"),
        "show @last/b": (Exit.NOT_FOUND, f"no task 'b' in {second}", "tasks: a"),
        "retry @last/b": (Exit.NOT_FOUND, f"no task 'b' in {second}", "tasks: a"),
        "diff @last/a#9": (Exit.NOT_FOUND, f"{second}/a has no attempt 9", "attempts: 1"),
        "rollback @last --to nope": (
            Exit.NOT_FOUND,
            "no commit is called 'nope' here",
            "git log --oneline --all",
        ),
        "show @last/": (Exit.USAGE, "'@last/' is no id", no_id),
        "show @last/a#x": (Exit.USAGE, "'@last/a#x' is no id", no_id),
        "skip @last/a": (Exit.FAILED, f"{second}/a is landed: there is nothing to skip", ""),
        "land @last --onto nope": (
            Exit.NOT_FOUND,
            "there is no branch nope",
            "mo land GOAL --onto BRANCH",
        ),
    }
    for line, expected in table.items():
        refused(mo, line.split(), *expected, without_home=True)
