"""A repository as mo has it while a task runs, with secrets around it, and programs run in its sandbox."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mo_daemon import sandbox
from mo_daemon.sandbox import Places, Policy, Purpose, Room, Sandbox, Tier, View
from mo_daemon.sandbox.toolchains import of_checkout
from mo_git.git.files import delete_tree
from tests.conftest import SEALED

NOBODY = 65534
CANARY = "canary-7f3a"
BRANCH = "mo/goal/task"


@contextlib.contextmanager
def acting_as(uid: int) -> Iterator[None]:
    """Be this user; programs that are started meanwhile cannot become root again."""
    if uid == os.geteuid():
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(uid, uid, 0)
    os.setresuid(uid, uid, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Cell:
    """`top` holds everything: home, main checkout, state with two worktrees, a runtime directory."""

    top: Path
    uid: int
    tier: Tier

    @property
    def home(self) -> Path:
        return self.top / "home"

    @property
    def main(self) -> Path:
        return self.home / "projects" / "repo"

    @property
    def git_dir(self) -> Path:
        return self.main / ".git"

    @property
    def state(self) -> Path:
        return self.home / ".local/state/mo"

    @property
    def worktree(self) -> Path:
        return self.state / "repo-1/worktrees/1"

    @property
    def other(self) -> Path:
        return self.state / "repo-1/worktrees/2"

    @property
    def room(self) -> Room:
        return Room(self.worktree, self.state / "repo-1/homes/task", self.state / "repo-1/cache/tasks")

    @property
    def places(self) -> Places:
        return Places(self.main, self.git_dir, (self.state,), (self.home,), self.toolchains())

    def toolchains(self) -> tuple[Path, ...]:
        with acting_as(self.uid):
            return of_checkout(self.main)

    @property
    def environ(self) -> dict[str, str]:
        """What the user has set."""
        return {
            **SEALED,
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.top / "runtime"),
            "MAIN": str(self.main),
            "GIT": str(self.git_dir),
            "WT": str(self.worktree),
            "OTHER": str(self.other),
            "STATE": str(self.state),
            "USERHOME": str(self.home),
            "TOP": str(self.top),
        }

    def view(self) -> View:
        with acting_as(self.uid):
            refs = {
                "refs/heads/main": self.git("rev-parse", "main"),
                f"refs/heads/{BRANCH}": self.git("rev-parse", BRANCH),
            }
            return sandbox.make_view(self.git_dir, self.state / "repo-1/views/1", admin="mo-1", refs=refs)

    def command(
        self,
        argv: Sequence[str] | str,
        *,
        policy: Policy = Policy(),  # noqa: B008
        purpose: Purpose = Purpose.AGENT,
        env: Mapping[str, str] | None = None,
        view: bool = True,
        places: Places | None = None,
        frozen: Sequence[Path] = (),
        writable: Sequence[Path] = (),
        read: Sequence[Path] = (),
    ) -> sandbox.Wrapped:
        words = ["sh", "-c", argv] if isinstance(argv, str) else list(argv)
        room = replace(self.room, view=self.view() if view else None, frozen=tuple(frozen))
        with acting_as(self.uid):
            sandbox.prepare(room, [self.home], self.environ)
            return Sandbox(self.tier, places or self.places, policy).wrap(
                words,
                purpose=purpose,
                room=room,
                env={**self.environ, **(env or {})},
                writable=writable,
                read=read,
            )

    def run(self, argv: Sequence[str] | str, **options: object) -> Done:
        """Run a program (text: by sh) in the sandbox, as this cell's user."""
        wrapped = self.command(argv, **options)  # type: ignore[arg-type]
        with acting_as(self.uid):
            done = subprocess.run(
                wrapped.argv,
                env=dict(wrapped.env),
                cwd="/",
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                timeout=60,
                check=False,
            )
        return Done(done.returncode, done.stdout, done.stderr)

    def git(self, *args: str, where: Path | None = None, check: bool = True) -> str:
        """git outside, as this cell's user."""
        with acting_as(self.uid):
            done = subprocess.run(
                ["git", *args],
                cwd=where or self.main,
                env=self.environ,
                capture_output=True,
                text=True,
                check=False,
            )
        if check and done.returncode:
            raise AssertionError(f"git {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout.removesuffix("\n")

    def world(self, top: Path | None = None) -> dict[str, str]:
        """All that a program must not change: path -> type, mode and content."""
        top = top or self.top
        own = [self.worktree, self.room.home, self.room.cache, self.state / "repo-1/views"]
        found = digests(top, {top / path.relative_to(self.top) for path in own})
        pointer = top / (self.worktree / ".git").relative_to(self.top)
        found["pointer"] = _digest(pointer) if os.path.lexists(pointer) else "gone"
        return found


def digests(top: Path, without: Set[Path] = frozenset()) -> dict[str, str]:
    """Path -> type, mode and content of all below a directory but what these hold."""
    found: dict[str, str] = {}
    stack = [top]
    while stack:
        for path in stack.pop().iterdir():
            found[str(path.relative_to(top))] = _digest(path)
            if path.is_dir() and not path.is_symlink() and path not in without:
                stack.append(path)
    return found


def _digest(path: Path) -> str:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return f"link {os.readlink(path)}"
    if stat.S_ISREG(status.st_mode):
        return f"{status.st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return f"{status.st_mode:o}"


SECRETS = (
    *(".ssh/id_ed25519", ".aws/credentials", ".gnupg/key", ".config/gh/hosts.yml", ".netrc", ".npmrc"),
    *(".pypirc", ".docker/config.json", ".cargo/credentials.toml", ".claude/.credentials.json"),
    *(".claude.json", ".codex/auth.json", ".git-credentials", ".kube/config", ".unknown/token", ".env"),
    *(".local/share/keyrings/login", ".bash_history", ".cache/huggingface/token", ".gitconfig"),
)


def build(uid: int, tier: Tier) -> Cell:
    """Make a cell in a directory of its own that this user may enter; `remove` it afterwards."""
    if uid not in _made:
        _made[uid] = _new(uid, tier)
        atexit.register(remove, _made[uid])
    cell = Cell(_directory(uid), uid, tier)
    pattern = _made[uid]
    subprocess.run(["cp", "-a", f"{pattern.top}/.", str(cell.top)], check=True)
    for number in (1, 2):
        admin = cell.git_dir / f"worktrees/mo-{number}"
        worktree = cell.state / f"repo-1/worktrees/{number}"
        _adapt(pattern, cell, admin / "gitdir", worktree / ".git")
        cell.git("status", where=worktree)
    _adapt(pattern, cell, cell.git_dir / "config")
    cell.git("status")
    cell.command("true")  # makes the directories of the room
    return cell


_made: dict[int, Cell] = {}  # patterns to copy


def _adapt(pattern: Cell, cell: Cell, *files: Path) -> None:
    with acting_as(cell.uid):
        for file in files:
            file.write_text(file.read_text().replace(str(pattern.top), str(cell.top)))


def _directory(uid: int) -> Path:
    top = Path(os.path.realpath(tempfile.mkdtemp(prefix="mo-cell-")))
    top.chmod(0o755)
    os.chown(top, uid, uid if uid == NOBODY else -1)
    return top


def _new(uid: int, tier: Tier) -> Cell:
    cell = Cell(_directory(uid), uid, tier)
    with acting_as(uid):
        _home(cell)
        _repository(cell)
    return cell


def _home(cell: Cell) -> None:
    for name in SECRETS:
        _put(cell.home / name, f"{CANARY} {name}\n")
    _put(
        cell.home / ".gitconfig", f"[user]\n\tname = A Person\n\temail = p@example.org\n[x]\n\ty = {CANARY}\n"
    )
    _put(cell.home / ".npmrc", f"registry=https://example.org/\n//example.org/:_authToken={CANARY}\n")
    _put(cell.home / "documents/notes.txt", "readable\n")
    _put(cell.home / ".pyenv/version", "readable\n")
    _put(cell.home / ".local/bin/tool", "#!/bin/sh\necho tool\n")
    (cell.home / ".local/bin/tool").chmod(0o755)
    (cell.home / "linked").symlink_to("documents")
    (cell.top / "runtime").mkdir()
    _put(cell.state / "other-repo/worktrees/1/file", f"{CANARY}\n")
    _put(cell.state / "trust.json", f"{CANARY}\n")


def _repository(cell: Cell) -> None:
    cell.main.mkdir(parents=True)
    cell.git("init", "-q", "-b", "main", "--template=")
    (cell.git_dir / "hooks").mkdir()
    (cell.git_dir / "info").mkdir()
    _put(cell.main / "a.txt", "one\n")
    _put(cell.main / ".gitignore", ".venv/\nnode_modules/\n/.mo/\n")
    cell.git("add", "-A")
    cell.git("commit", "-qm", "first")
    _put(cell.main / "a.txt", "one\ntwo\n")
    cell.git("commit", "-qam", "second")
    cell.git("branch", "victim", "HEAD~1")
    cell.git("tag", "v1")
    cell.git("remote", "add", "origin", f"https://user:{CANARY}@example.org/x.git")
    cell.git("config", "http.extraheader", f"Authorization: {CANARY}")
    cell.git("clone", "-q", "--bare", "--template=", ".", str(cell.top / "hub.git"))
    cell.git("remote", "add", "hub", str(cell.top / "hub.git"))
    _put(cell.main / ".mo/token", f"{CANARY}\n")
    _put(cell.main / ".venv/bin/python", "toolchain\n")
    _put(cell.main / "node_modules/x/index.js", "toolchain\n")
    for number, branch in ((1, BRANCH), (2, "mo/goal/other")):
        path = cell.state / f"repo-1/worktrees/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        cell.git("worktree", "add", "-q", "-b", branch, str(path))
        cell.git("worktree", "lock", str(path))
        (cell.git_dir / "worktrees" / str(number)).rename(cell.git_dir / f"worktrees/mo-{number}")
        (path / ".git").write_text(f"gitdir: {cell.git_dir}/worktrees/mo-{number}\n")
    _put(cell.other / "work.txt", f"{CANARY}\n")
    _put(cell.main / "a.txt", f"one\ntwo\nthe user's {CANARY}\n")


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def remove(cell: Cell) -> None:
    delete(cell.top)


def delete(path: Path) -> None:
    delete_tree(path)


USERS = [os.geteuid(), NOBODY] if os.geteuid() == 0 else [os.geteuid()]


def tier() -> Tier:
    """What this machine can do; without a sandbox the test is skipped, in CI's root run it fails."""
    found = sandbox.probe(os.environ)
    if not found.contained:
        reason = f"no sandbox here: {found.reason}"
        if os.environ.get("CI") and sys.platform == "linux" and os.geteuid() == 0:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return found


def name_of(uid: int) -> str:
    return "root" if uid == 0 else "user"
