"""Repositories as they come: clones of every kind, odd names, odd places, a hostile configuration.  Each is
driven from the plan to the landing, and the checkout is compared with what it has to be."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mo_git.errors import Exit
from tests import need
from tests.driver import Mo, plan, python
from tests.support import RepoBuilder

pytestmark = pytest.mark.slow

QUICK = {"gate": {"command": "true", "proof": "off"}}
Drive = Callable[[RepoBuilder], Mo]


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


@pytest.fixture
def drive() -> Iterator[Drive]:
    """`mo` in any repository, with a quick gate; every daemon is gone afterwards."""
    drivers: list[Mo] = []

    def make(repo: RepoBuilder, environ: Mapping[str, str] | None = None) -> Mo:
        drivers.append(Mo(repo, environ))
        drivers[-1].configure(**QUICK)
        return drivers[-1]

    yield make
    for driver in drivers:
        driver.stop()
        assert driver.programs() == []


def run(mo: Mo, *tasks: Mapping[str, Any], code: int = 0, args: tuple[str, ...] = ()) -> str:
    """Follow a plan of these tasks to its end; what was said."""
    file = Path(os.environ["HOME"]) / "plan.json"
    file.write_text(plan(tasks))
    return mo("do", f"@{file}", *args, code=code).out


def do(mo: Mo, script: str) -> None:
    """One task that runs a shell script, landed on integration."""
    run(mo, {"id": "a", "run": sh(script)})
    assert mo.states() == {"a": "landed"}


def clone(origin: RepoBuilder, place: Path, *options: str) -> RepoBuilder:
    subprocess.run(["git", "clone", "-q", *options, f"file://{origin.path}", place], check=True)
    return RepoBuilder(place)


def blob(repo: RepoBuilder, name: str, rev: str = "main") -> bytes:
    """A file of a commit, byte for byte."""
    done = subprocess.run(["git", "show", f"{rev}:{name}"], cwd=repo.path, capture_output=True, check=True)
    return done.stdout


def modes(repo: RepoBuilder, rev: str = "main") -> dict[str, str]:
    entries = repo.git("ls-tree", "-r", "-z", rev).split("\0")
    return {entry.split("\t", 1)[1]: entry.split(" ", 1)[0] for entry in entries if entry}


def is_clean(repo: RepoBuilder) -> bool:
    return repo.git("status", "--porcelain") == ""


# -- clones -------------------------------------------------------------------------------------------


def test_a_shallow_clone(repo: RepoBuilder, tmp_path: Path, drive: Drive) -> None:
    for n in range(3):
        repo.commit({f"old{n}": "x\n"})
    shallow = clone(repo, tmp_path / "shallow", "--depth=1")
    mo = drive(shallow)
    run(mo, {"id": "a", "run": sh("echo a > a")}, {"id": "b", "run": sh("cat a > b"), "depends_on": ["a"]})
    mo("land", "@last")
    assert shallow.git("rev-parse", "--is-shallow-repository") == "true"
    assert shallow.tree("main") == {**repo.tree("main"), "a": "a", "b": "a"}
    assert is_clean(shallow)
    shallow.git("push", "-q", "origin", "main:landed")
    assert repo.tree("landed") == shallow.tree("main")


@pytest.mark.parametrize("kind", ["--filter=blob:none", "--filter=tree:0"])
def test_a_partial_clone_is_refused_until_the_remedy_was_followed(
    repo: RepoBuilder, tmp_path: Path, drive: Drive, kind: str
) -> None:
    repo.commit({"README.md": "second\n", "dir/file": "x\n"})
    repo.git("config", "uploadpack.allowFilter", "true")
    partial = clone(repo, tmp_path / "partial", kind)
    assert "?" in partial.git("rev-list", "--objects", "--all", "--missing=print")
    file = tmp_path / "plan.json"
    file.write_text(plan([{"id": "a", "run": ["true"]}]))
    mo = Mo(partial)
    config = (partial.path / ".git" / "config").read_bytes()
    refusal = mo("--json", "do", f"@{file}", code=Exit.CONFIG)
    error = json.loads(refusal.err)["error"]
    assert error == {
        "code": "config",
        "message": "this is a partial clone: objects that a merge needs may be missing",
        "hint": "git fetch --refetch --no-filter origin && git config --unset-all remote.origin.promisor && "
        "git config --unset-all remote.origin.partialclonefilter",
    }
    assert (partial.path / ".git" / "config").read_bytes() == config
    assert not mo.home.path.exists()
    subprocess.run(error["hint"], shell=True, cwd=partial.path, check=True, capture_output=True)
    repo.path.rename(tmp_path / "gone")  # nothing is fetched from now on
    mo = drive(partial)
    do(mo, "echo a > a")
    mo("land", "@last")
    assert partial.tree("main") == {"README.md": "second", "dir/file": "x", "a": "a"}
    assert "?" not in partial.git("rev-list", "--objects", "--all", "--missing=print")


@pytest.mark.parametrize("options", [["--cone"], ["--cone", "--sparse-index"], ["--no-cone"]])
def test_a_sparse_checkout(repo: RepoBuilder, tmp_path: Path, drive: Drive, options: list[str]) -> None:
    repo.commit({"in/file": "in\n", "out/file": "out\n", "out/deep/file": "deep\n"})
    sparse = clone(repo, tmp_path / "sparse", "--sparse")
    sparse.git("sparse-checkout", "set", *options, "in")
    definition = (sparse.path / ".git" / "info" / "sparse-checkout").read_bytes()
    assert not (sparse.path / "out").exists()
    mo = drive(sparse)
    do(mo, "cat out/file out/deep/file > in/all && echo new > out/new && echo changed > out/file")
    mo("land", "@last")
    assert sparse.tree("main") == {
        "README.md": "hello",
        "in/file": "in",
        "in/all": "out\ndeep",
        "out/file": "changed",
        "out/new": "new",
        "out/deep/file": "deep",
    }
    assert (sparse.path / "in" / "all").read_text() == "out\ndeep\n"
    assert not (sparse.path / "out").exists()
    assert sparse.git("sparse-checkout", "list").splitlines() == ["in"]
    assert (sparse.path / ".git" / "info" / "sparse-checkout").read_bytes() == definition
    assert is_clean(sparse)


def test_the_base_is_what_is_checked_out_not_what_the_remote_calls_its_head(
    repo: RepoBuilder, tmp_path: Path, drive: Drive
) -> None:
    work = clone(repo, tmp_path / "work")
    work.git("switch", "-q", "-c", "feature")
    head = work.commit({"feature": "x\n"})
    repo.commit({"later": "x\n"})
    work.git("fetch", "-q")
    assert work.git("symbolic-ref", "refs/remotes/origin/HEAD") == "refs/remotes/origin/main"
    mo = drive(work)
    do(mo, "ls > seen")
    assert (mo.goal().base, mo.goal().spec.target) == (head, "feature")
    mo("land", "@last")
    assert work.tree("feature") == {"README.md": "hello", "feature": "x", "seen": "README.md\nfeature\nseen"}
    assert work.head("main") == repo.head("main~1")


# -- more than plain files ----------------------------------------------------------------------------


def test_submodules_are_filled_and_stay_where_they_are(
    repo: RepoBuilder, tmp_path: Path, drive: Drive
) -> None:
    inner = RepoBuilder.create(tmp_path / "inner", {"deep": "inner\n"})
    library = RepoBuilder.create(tmp_path / "library", {"lib": "one\n"})
    library.git("submodule", "--quiet", "add", str(inner.path), "inner")
    library.commit({}, "nested")
    repo.git("submodule", "--quiet", "add", str(library.path), "lib dir")
    repo.commit({}, "add a submodule")
    repo.git("submodule", "--quiet", "update", "--init", "--recursive")
    library.commit({"lib": "newer, and not what the pointer says\n"})
    before = repo.git("submodule", "status", "--recursive"), repo.head("main:lib dir")
    mo = drive(repo)
    do(mo, "cat 'lib dir/lib' 'lib dir/inner/deep' > seen")
    mo("land", "@last")
    assert blob(repo, "seen") == b"one\ninner\n"
    assert (repo.git("submodule", "status", "--recursive"), repo.head("main:lib dir")) == before
    assert modes(repo)["lib dir"] == "160000"
    assert is_clean(repo)


def test_work_inside_a_submodule_does_not_become_part_of_the_task(
    repo: RepoBuilder, tmp_path: Path, drive: Drive
) -> None:
    library = RepoBuilder.create(tmp_path / "library", {"lib": "one\n"})
    repo.git("submodule", "--quiet", "add", str(library.path), "lib")
    repo.commit({}, "add a submodule")
    pointer = repo.head("main:lib")
    mo = drive(repo)
    do(mo, "echo two > lib/lib && echo a > a")
    mo("land", "@last")
    assert repo.head("main:lib") == pointer
    assert (repo.path / "lib" / "lib").read_text() == "one\n"
    assert blob(repo, "a") == b"a\n"


def test_git_lfs(repo: RepoBuilder, drive: Drive) -> None:
    """A large file of a task is a pointer in git and an object in the user's store; old ones are filled."""
    need.require("git-lfs")
    repo.git("lfs", "install")
    repo.commit({".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "old.bin": b"\0old\n"})
    assert blob(repo, "old.bin").startswith(b"version https://git-lfs")
    mo = drive(repo)
    content = b"\0" + b"new" * 50_000
    make = f"open('new.bin', 'wb').write({content[:4]!r} + b'new' * 49_999)"
    copy = "open('copy.txt', 'wb').write(open('old.bin', 'rb').read())"
    run(mo, {"id": "a", "run": python(f"{make}; {copy}")})
    assert mo.states() == {"a": "landed"}
    pointer = blob(repo, "new.bin", mo.goal().integration).decode()
    assert f"size {len(content)}" in pointer
    oid = pointer.partition("oid sha256:")[2].split()[0]
    stored = repo.path / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
    assert stored.read_bytes() == content
    mo("land", "@last")
    assert (repo.path / "new.bin").read_bytes() == content
    assert blob(repo, "copy.txt") == b"\0old\n"
    assert is_clean(repo)


ODD = [
    b"sp ace",
    b"new\nline",
    b'quo"te',
    b"it's",
    b"--all",
    b"-",
    b"tab\tx",
    b"back\\slash",
    b"raw\xff\xfe",
    "ünï".encode(),
    b" lead",
    b"esc\x1b[31m",
    b":(top)magic",
    b"star*?[x]",
    b"dir with space/\xe9",
]


def writes_odd(text: bytes) -> list[str]:
    return python(
        f"import os\nos.makedirs(b'dir with space', exist_ok=True)\n"
        f"for name in {ODD!r}:\n    open(b'./' + name, 'wb').write({text!r})"
    )


def shown(mo: Mo, *args: str) -> bytes:
    argv = [sys.executable, "-P", "-m", "mo_git", *args]
    return subprocess.run(argv, cwd=mo.repo.path, env=mo.environ, capture_output=True, check=True).stdout


def test_file_names_of_every_kind(repo: RepoBuilder, drive: Drive) -> None:
    """Created by one task, in conflict with another, shown, landed, and in the way of a landing."""
    names = sorted(os.fsdecode(name) for name in ODD)
    mo = drive(repo)
    said = run(mo, {"id": "a", "run": writes_odd(b"one\n")}, {"id": "b", "run": writes_odd(b"two\n")})
    assert mo.states() == {"a": "landed", "b": "landed"}
    assert all(line.isprintable() for line in said.splitlines())
    document = mo.json("show")["goal"]
    assert sorted(document["tasks"][0]["paths"]) == names
    (conflict,) = document["conflicts"]
    assert sorted(conflict["paths"]) == names
    assert {file["path"]: file["change"] for file in mo.json("diff")["files"]} == dict.fromkeys(
        names, "added"
    )
    second = mo.json("diff", f"@last/{conflict['task']}")["files"]
    assert sorted((file["path"], file["added"], file["removed"]) for file in second) == [
        (name, 1, 1) for name in names
    ]
    patch = ["git", "diff", "-M", "--no-color", mo.goal().base, mo.goal().integration]
    quoted = subprocess.run(
        ["git", "-c", "core.quotePath=false", *patch[1:]], cwd=repo.path, capture_output=True, check=True
    )
    assert shown(mo, "diff") == quoted.stdout
    mo("land", "@last")
    text = {"a": b"one\n", "b": b"two\n"}[conflict["task"]]  # that of the one that was done again
    assert {(repo.path / name).read_bytes() for name in names} == {text}
    assert is_clean(repo)
    run(mo, {"id": "c", "run": writes_odd(b"three\n")})
    repo.write(dict.fromkeys(names[:2], b"mine\n"))
    refused = mo("land", "@last", code=Exit.FAILED)
    assert "uncommitted changes in" in refused.err
    assert all(line.isprintable() for line in refused.err.splitlines())
    assert repo.git("status", "--porcelain", "-z").count("\0") == 2


def test_links_and_executable_bits(repo: RepoBuilder, drive: Drive) -> None:
    repo.write({"tool": "#!/bin/sh\n", "plain": "x\n", "was-file": "x\n"})
    (repo.path / "tool").chmod(0o755)
    (repo.path / "was-link").symlink_to("plain")
    repo.commit({})
    mo = drive(repo)
    do(
        mo,
        "chmod -x tool; chmod +x plain; ln -s plain link; ln -s /nowhere/at/all dangling; mkdir d; "
        "ln -s ../d d/up; rm was-link was-file; echo now a file > was-link; ln -s tool was-file",
    )
    changes = {file["path"]: file["change"] for file in mo.json("diff")["files"]}
    assert changes == {
        **dict.fromkeys(("d/up", "dangling", "link"), "added"),
        **dict.fromkeys(("plain", "tool", "was-file", "was-link"), "modified"),
    }
    mo("land", "@last")
    assert modes(repo) == {
        "README.md": "100644",
        "d/up": "120000",
        "dangling": "120000",
        "link": "120000",
        "plain": "100755",
        "tool": "100644",
        "was-file": "120000",
        "was-link": "100644",
    }
    assert os.readlink(repo.path / "dangling") == "/nowhere/at/all"
    assert os.access(repo.path / "plain", os.X_OK)
    assert (repo.path / "was-link").read_text() == "now a file\n"
    assert is_clean(repo)


def test_line_ends_are_those_that_git_is_told(repo: RepoBuilder, drive: Drive) -> None:
    repo.commit(
        {
            ".gitattributes": "*.bat text eol=crlf\n*.sh text eol=lf\n*.dat -text\n",
            "text": b"one\n",
            "run.bat": b"one\n",
            "run.sh": b"one\n",
            "raw.dat": b"one\r\n",
        }
    )
    repo.git("config", "core.autocrlf", "true")
    repo.git("rm", "-rq", "--cached", ".")
    repo.git("reset", "-q", "--hard")
    assert (repo.path / "text").read_bytes() == b"one\r\n"
    mo = drive(repo)
    add = "for name in ('text', 'run.bat', 'run.sh', 'raw.dat'): "
    add += "data = open(name, 'rb').read(); open(name, 'wb').write(data + data.replace(b'one', b'two'))"
    run(mo, {"id": "a", "run": python(add)})
    assert list(mo.goal().tasks["a"].paths) == ["raw.dat", "run.bat", "run.sh", "text"]
    for name in ("text", "run.bat", "run.sh"):
        assert blob(repo, name, mo.goal().integration) == b"one\ntwo\n"
    assert blob(repo, "raw.dat", mo.goal().integration) == b"one\r\ntwo\r\n"
    mo("land", "@last")
    for name in ("text", "run.bat", "raw.dat"):
        assert (repo.path / name).read_bytes() == b"one\r\ntwo\r\n"
    assert (repo.path / "run.sh").read_bytes() == b"one\ntwo\n"
    assert is_clean(repo)


def test_names_that_differ_in_case_only(repo: RepoBuilder, drive: Drive) -> None:
    repo.commit({"Makefile": "all:\n", "Notes.txt": "n\n"})
    mo = drive(repo)
    do(
        mo,
        "echo other > makefile; mv Notes.txt notes.txt; mkdir Dir dir; echo 1 > Dir/f; echo 2 > dir/f",
    )
    mo("land", "@last")
    assert repo.tree("main") == {
        "README.md": "hello",
        "Makefile": "all:",
        "makefile": "other",
        "notes.txt": "n",
        "Dir/f": "1",
        "dir/f": "2",
    }
    assert is_clean(repo)


# -- places -------------------------------------------------------------------------------------------


ODD_PLACES = ['sp ace % #1? \'n "ünï" $(touch trace)', "new\nline", os.fsdecode(b"-raw\xff.lock")]


@pytest.mark.parametrize("name", ODD_PLACES)
def test_a_repository_in_an_odd_place(tmp_path: Path, drive: Drive, name: str) -> None:
    repo = RepoBuilder.create(tmp_path / "parent" / name, {"README.md": "hello\n", ".gitignore": "made\n"})
    mo = drive(repo)
    mo.configure(
        gate={"command": "test -e README.md -a -e made", "proof": "off"},
        workspace={"setup": ["echo made > made"]},
    )
    do(mo, "echo a > a")
    mo("land", "@last")
    assert repo.tree("main") == {"README.md": "hello", ".gitignore": "made", "a": "a"}
    assert os.listdir(tmp_path / "parent") == [name]
    assert not (repo.path / "trace").exists()


def test_a_separate_git_directory(tmp_path: Path, drive: Drive) -> None:
    store = tmp_path / "store"
    repo = RepoBuilder.create(tmp_path / "work", {"README.md": "hello\n"}, "--separate-git-dir", str(store))
    mo = drive(repo)
    do(mo, "echo a > a")
    mo("land", "@last")
    assert repo.tree("main") == {"README.md": "hello", "a": "a"}
    assert is_clean(repo)
    assert sorted(os.listdir(repo.path)) == [".git", ".mo", "README.md", "a"]


def test_from_a_subdirectory_and_from_a_linked_worktree(
    repo: RepoBuilder, tmp_path: Path, drive: Drive
) -> None:
    """Everything is that of the main worktree; base and target are those of where one stands."""
    linked = RepoBuilder(tmp_path / "linked")
    repo.git("worktree", "add", "-q", "-b", "side", str(linked.path))
    side = linked.commit({"sub/side": "x\n"})
    mo = drive(repo)
    (linked.path / "sub" / "plan.json").write_text(plan([{"id": "a", "run": sh("echo a > a")}]))
    (linked.path / "sub" / ".gitignore").write_text("*\n")
    inside = linked.path / "sub"
    mo("do", "@plan.json", cwd=inside)
    assert (mo.goal().base, mo.goal().spec.target) == (side, "side")
    assert not (linked.path / ".mo").exists()
    mo.wait_for(lambda: mo.json("status")["goals"][0]["state"] == "done")
    assert mo("status", cwd=inside).out == mo("-C", str(repo.path / ".git" / ".."), "status").out
    main = repo.head()
    mo("land", "@last", cwd=inside)
    assert linked.tree("side") == {"README.md": "hello", "sub/side": "x", "a": "a"}
    assert (linked.path / "a").read_text() == "a\n"
    assert is_clean(linked)
    assert (repo.head(), is_clean(repo), (repo.path / "a").exists()) == (main, True, False)


def test_a_repository_that_is_a_submodule(repo: RepoBuilder, tmp_path: Path, drive: Drive) -> None:
    library = RepoBuilder.create(tmp_path / "library", {"lib": "one\n"})
    repo.git("submodule", "--quiet", "add", "-b", "main", str(library.path), "lib")
    repo.commit({}, "add a submodule")
    sub = RepoBuilder(repo.path / "lib")
    outer = {path: path.read_bytes() for path in (repo.path / ".git").rglob("*") if path.is_file()}
    outer = {path: data for path, data in outer.items() if "modules" not in path.parts}
    mo = drive(sub)
    database = repo.path / "lib" / ".mo" / "mo.db"
    file = tmp_path / "plan.json"
    file.write_text(plan([{"id": "a", "run": sh("cat lib > a")}]))
    mo("do", f"@{file}")
    mo("land", "@last")
    assert database.exists()
    assert sub.tree("main") == {"lib": "one", "a": "one"}
    assert is_clean(sub)
    assert not (repo.path / ".mo").exists()
    assert repo.git("status", "--porcelain", "--ignore-submodules=none") == " M lib"
    assert {path: path.read_bytes() for path in outer} == outer


def test_without_a_home(repo: RepoBuilder, drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(os.environ["HOME"]) / "plan.json"
    file.write_text(plan([{"id": "a", "run": sh("echo ${HOME-none} > a")}]))
    monkeypatch.delenv("HOME")
    mo = drive(repo)
    mo("do", f"@{file}")
    mo("land", "@last")
    assert blob(repo, "a") == b"none\n"


@pytest.mark.parametrize(("term", "coloured"), [("dumb", False), ("xterm", True)])
def test_on_a_terminal(
    repo: RepoBuilder, drive: Drive, monkeypatch: pytest.MonkeyPatch, term: str, coloured: bool
) -> None:
    """A dumb terminal gets plain lines; a question is answered with the keyboard there."""
    monkeypatch.delenv("NO_COLOR")
    mo = drive(repo)
    file = Path(os.environ["HOME"]) / "plan.json"
    file.write_text(plan([{"id": "a", "run": sh("echo a > a")}]))
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-P", "-m", "mo_git", "do", f"@{file}"]
    process = subprocess.Popen(
        argv, cwd=repo.path, env={**mo.environ, "TERM": term}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, b"y\n")
    said = b""
    try:
        while chunk := os.read(ours, 65536):
            said += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0
    assert (b"\x1b[" in said) == coloured
    assert b"Run it?" in said
    assert b"done, 1 of 1 task landed" in said
    assert mo.states() == {"a": "landed"}


# -- what a user's configuration and hooks could do ---------------------------------------------------

HOOKS = (
    *("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "pre-merge-commit", "post-merge"),
    *("post-checkout", "post-rewrite", "post-index-change", "reference-transaction", "pre-auto-gc"),
    *("pre-rebase", "applypatch-msg", "sendemail-validate", "fsmonitor-watchman"),
)


def traps(directory: Path, trace: Path) -> None:
    """Hooks that leave a trace and fail."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in HOOKS:
        (directory / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {trace}\nexit 1\n')
        (directory / name).chmod(0o755)


def traced(trace: Path) -> str:
    return trace.read_text() if trace.exists() else ""


def whole_way(mo: Mo) -> None:
    """do, sync with a target that moved, land, roll back, land again."""
    repo = mo.repo
    ours = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "commit.gpgSign=false")
    run(
        mo,
        {"id": "a", "run": sh("echo a > a")},
        {"id": "b", "run": sh("cat a > b"), "depends_on": ["a"]},
        {"id": "bad", "run": ["false"], "max_attempts": 1},
        code=Exit.FAILED,
    )
    assert mo.states() == {"a": "landed", "b": "landed", "bad": "failed"}
    moved = repo.git(*ours, "commit-tree", repo.head("main^{tree}"), "-p", "main", "-m", "moved")
    repo.git(*ours, "reset", "-q", "--soft", moved)
    mo("sync", "@last")
    mo("land", "@last")
    mo("rollback", "@last/b")
    mo("land", "@last")
    assert repo.tree("main") == {"README.md": "hello", "a": "a"}
    assert repo.git(*ours, "status", "--porcelain", "--untracked-files=all", "--no-branch") == ""
    assert repo.git(*ours, "cat-file", "commit", "main").count("gpgsig") == 0


def test_hooks_of_the_repository_are_not_run(repo: RepoBuilder, tmp_path: Path, drive: Drive) -> None:
    trace = tmp_path / "trace"
    mo = drive(repo)
    traps(repo.path / ".git" / "hooks", trace)
    whole_way(mo)
    assert traced(trace) == ""
    repo.git("commit", "--allow-empty", "-qm", "by a person", check=False)
    assert "pre-commit" in traced(trace)


def test_a_hostile_global_configuration(
    repo: RepoBuilder, sealed: Path, tmp_path: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "trace"
    traps(sealed / "hooks", trace)
    traps(sealed / "template" / "hooks", trace)
    script = sealed / "script"
    script.write_text(f'#!/bin/sh\necho "script $*" >> {trace}\nexit 1\n')
    script.chmod(0o755)
    (sealed / ".gitconfig").write_text(f"""\
[user]
    useConfigOnly = true
[commit]
    gpgSign = true
    template = {sealed}/nowhere
    status = false
[tag]
    gpgSign = true
[gpg]
    program = {script}
[core]
    hooksPath = {sealed}/hooks
    fsmonitor = {script}
    editor = {script}
    pager = {script}
    askPass = {script}
    sshCommand = {script}
    autocrlf = true
    safecrlf = true
    quotePath = true
    abbrev = 4
    splitIndex = true
    untrackedCache = true
    commentChar = "%"
    logAllRefUpdates = always
[alias]
    status = !{script}
    st = !{script}
    merge-tree = !{script}
[merge]
    ff = no
    conflictStyle = diff3
    tool = trap
    autoStash = true
[mergetool "trap"]
    cmd = {script}
[pull]
    rebase = true
[rebase]
    autoStash = true
[diff]
    noprefix = true
    mnemonicPrefix = true
    external = {script}
    renames = copies
    ignoreSubmodules = all
[difftool "trap"]
    cmd = {script}
[color]
    ui = always
[column]
    ui = always
[status]
    showUntrackedFiles = no
    short = true
    branch = true
    relativePaths = true
[log]
    showSignature = true
    decorate = full
[init]
    templateDir = {sealed}/template
    defaultBranch = elsewhere
[index]
    version = 4
[feature]
    manyFiles = true
[fetch]
    prune = true
[gc]
    auto = 1
[maintenance]
    auto = true
[rerere]
    enabled = true
    autoUpdate = true
[submodule]
    recurse = true
[safe]
    bareRepository = explicit
[checkout]
    guess = true
    defaultRemote = nobody
[branch]
    autoSetupMerge = always
    autoSetupRebase = always
[push]
    default = matching
[credential]
    helper = !{script}
[advice]
    detachedHead = true
[filter "trap"]
    smudge = {script}
""")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{role}_EMAIL")
        monkeypatch.delenv(f"GIT_{role}_NAME")
    nobody = {f"GIT_{role}_{what}": "x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    mo = drive(repo)
    for name, value in nobody.items():
        monkeypatch.setenv(name, value)  # for the test's own git; mo was given an environment without
    whole_way(mo)
    diff = mo("diff", "--json", "@last/a").out
    assert [file["path"] for file in json.loads(diff)["files"]] == ["a"]
    assert "diff --git a/a b/a\n" in json.loads(diff)["patch"]
    assert traced(trace) == ""
    repo.git("commit", "--allow-empty", "-qm", "by a person", check=False)
    assert "script" in traced(trace)


# -- the base -----------------------------------------------------------------------------------------


def test_a_base_whose_tests_fail_already(repo: RepoBuilder, drive: Drive) -> None:
    """Works and says so; what failed before is no regression, what fails anew is one."""
    test = "import unittest\nimport code_under_test as code\n\n\nclass T(unittest.TestCase):\n"
    test += "    def test_old(self):\n        self.assertEqual(code.old, 1)\n\n"
    test += "    def test_good(self):\n        self.assertEqual(code.good, 1)\n"
    repo.commit({"code_under_test.py": "old = 0\n\n\ngood = 1\n", "test_code.py": test})
    mo = drive(repo)
    mo.configure(gate={"command": f"{sys.executable} -m unittest -q", "proof": "required"})
    said = run(
        mo,
        {"id": "fine", "run": sh("echo 'new = 1' > new.py")},
        {"id": "breaks", "run": sh("sed -i 's/good = 1/good = 0/' code_under_test.py")},
        {"id": "mends", "run": sh("sed -i 's/old = 0/old = 1/' code_under_test.py")},
        code=Exit.FAILED,
    )
    assert mo.states() == {"fine": "landed", "breaks": "ejected", "mends": "landed"}
    base = repo.head()[:7]
    assert f"gate proved on {base} (1 test failing there already)" in said
    assert "breaks  ejected: gate red: test_code.T.test_good" in said.replace("::", ".")
    red = [gate for gate in mo.json("show")["goal"]["gates"] if gate["result"] == "red"]
    assert {tuple(gate["failed_ids"]) for gate in red} == {("test_code.T.test_good",)}
