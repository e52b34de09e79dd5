"""The git program: how it is called, and what only it can tell about a checkout."""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

from mo_git.errors import Exit, MoError
from mo_git.git.layout import Layout, discover, read_text
from mo_git.process import Completed, Coprocess, run

__all__ = [
    "IDENTITY",
    "STRICT_STAT",
    "Git",
    "Layout",
    "check_supported",
    "dirty_commit",
    "discover",
    "git_version",
    "head_branch",
    "is_dirty",
    "operation_in_progress",
    "resolve",
]

# For the files of an agent: everything that a stat tells counts, so that no change stays unseen.
STRICT_STAT = ("core.trustctime=true", "core.checkStat=default")
OLDEST = (2, 38, 0)
_OWN = b".mo/"  # not hidden from git before its first use
IDENTITY = ("mo", "mo@localhost")

# No hook, monitor, pager or housekeeping of the user's may run in our calls, and what a call wrote is on
# the disk when it returns.
_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.fsync=committed,reference",
    "core.fsyncMethod=batch",
    "core.quotePath=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
)
_PASSED = ("GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL")
_PASSED_PREFIXES = ("GIT_SSH", "GIT_AUTHOR_", "GIT_COMMITTER_")
_READS = frozenset(
    {"cat-file", "check-ignore", "config", "diff", "diff-index", "diff-tree", "for-each-ref", "log"}
    | {"ls-files", "ls-tree", "merge-base", "rev-list", "rev-parse", "show", "status", "symbolic-ref"}
)


class Git:
    """Runs git in one directory with a fixed set of settings.

    `env` is added to the cleaned environment; `config` holds more `key=value` settings, which win over
    mo's own.  A checkout is a full one unless `sparse` says that its sparse definition counts.
    """

    def __init__(
        self,
        cwd: Path,
        *,
        env: Mapping[str, str] | None = None,
        config: Sequence[str] = (),
        sparse: bool = False,
    ) -> None:
        self.cwd = cwd
        self._env = dict(env or {})
        settings = (*_CONFIG, *(() if sparse else ("core.sparseCheckout=false",)), *config)
        self._prefix = ("git", *(part for setting in settings for part in ("-c", setting)))

    def __call__(
        self, *args: str, stdin: bytes | None = None, check: bool = True, timeout: float | None = None
    ) -> Completed:
        """Run `git ARGS`; with `check` a non-zero exit is a MoError that carries git's words."""
        done = run(
            (*self._prefix, *args), cwd=self.cwd, env=self._environment(args[0]), stdin=stdin, timeout=timeout
        )
        if check and done.code:
            raise _failure(args[0], done)
        return done

    def text(self, *args: str) -> str:
        """Standard output without its last newline."""
        return self(*args).text.removesuffix("\n")

    def converse(self, *args: str, through: Sequence[str] = ()) -> Coprocess:
        """Start `git ARGS` to be asked again and again; `through` is a command that starts it."""
        return Coprocess((*through, *self._prefix, *args), cwd=self.cwd, env=self._environment(args[0]))

    def _environment(self, verb: str) -> dict[str, str]:
        env = dict(_cleaned(tuple(os.environb.items())))
        if verb in _READS:
            env["GIT_OPTIONAL_LOCKS"] = "0"
        env.update(self._env)
        return env


@lru_cache(maxsize=2)
def _cleaned(environ: tuple[tuple[bytes, bytes], ...]) -> Mapping[str, str]:
    """This process's environment without what would redirect git; remembered, since it seldom changes."""
    env = {os.fsdecode(key): os.fsdecode(value) for key, value in environ}
    env = {
        key: value
        for key, value in env.items()
        if not key.startswith("GIT_") or key in _PASSED or key.startswith(_PASSED_PREFIXES)
    }
    return env | {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_EDITOR": "true",
        "GIT_SEQUENCE_EDITOR": "true",
        "LC_ALL": "C",
    }


def _failure(verb: str, done: Completed) -> MoError:
    words = re.sub(r"^(fatal|error): ", "", done.error_text) or f"exit code {done.code}"
    hint = ""
    if done.code == -signal.SIGXFSZ:
        words = os.strerror(errno.EFBIG)
    elif done.code == 124:
        words = "took too long and was ended"
    elif safe := re.search(r"git config --global --add safe\.directory \S+", words):
        hint = safe[0]
    elif lock := re.search(r"Unable to create '([^']*\.lock)': File exists", words):
        hint = f"if no other git command is running here: rm {lock[1]}"
    return MoError(f"git {verb}: {words}", hint)


# -- is this repository one that mo can work with ----------------------------------------------------------


@cache
def git_version() -> tuple[int, ...]:
    """The version of the git on PATH, e.g. (2, 39, 5)."""
    return parse_version(run(["git", "--version"]).text)


def parse_version(text: str) -> tuple[int, ...]:
    """`git version 2.39.3 (Apple Git-146)` -> (2, 39, 3); raises MoError on anything else."""
    found = re.search(r"git version (\d+)\.(\d+)(?:\.(\d+))?", text)
    if not found:
        raise MoError(f"cannot read the version of git from {text.strip()!r}", "install git 2.38 or newer")
    return tuple(int(part or 0) for part in found.groups())


def check_supported(layout: Layout, version: tuple[int, ...] | None = None) -> None:
    """Raise MoError with the remedy where mo cannot work; `version` stands in for the installed git's.

    Shallow clones and sparse checkouts are fine.
    """
    installed = version or git_version()
    if installed < OLDEST:
        found = ".".join(map(str, installed))
        raise MoError(f"git {found} is too old, mo needs 2.38", "install a newer git", Exit.CONFIG)
    settings = _own_settings(layout)
    if settings.get("extensions.objectformat", "sha1") != "sha1":
        hint = "mo works with SHA-1 repositories; git init --object-format=sha1 makes one"
        raise MoError("this repository uses SHA-256 objects", hint, Exit.CONFIG)
    if settings.get("extensions.refstorage", "files") != "files":
        raise MoError("this repository uses reftable", "git refs migrate --ref-format=files", Exit.CONFIG)
    _refuse_partial_clone(settings)
    if Git(layout.here)("rev-parse", "--verify", "-q", "HEAD^{commit}", check=False).code:
        raise MoError("this repository has no commit yet", "git commit --allow-empty -m start")


def _own_settings(layout: Layout) -> dict[str, str]:
    """The repository's config file, read without setting the repository up (which fails on new formats)."""
    listed = Git(layout.here)("config", "--file", str(layout.common_dir / "config"), "-z", "--list").text
    entries = (entry.partition("\n") for entry in listed.split("\0") if entry)
    return {key: value for key, _, value in entries}


def _refuse_partial_clone(settings: Mapping[str, str]) -> None:
    promisors = {
        key.removeprefix("remote.").rpartition(".")[0]
        for key, value in settings.items()
        if (key.startswith("remote.") and key.endswith(".promisor") and value in ("true", ""))
        or (key.startswith("remote.") and key.endswith(".partialclonefilter"))
    }
    extension = settings.get("extensions.partialclone", "")
    if not promisors and not extension:
        return
    remotes = sorted(promisors | ({extension} if extension else set()))
    steps = [f"git fetch --refetch --no-filter {remote}" for remote in remotes]
    for remote in remotes:
        for name in ("promisor", "partialclonefilter"):
            if f"remote.{remote}.{name}" in settings:
                steps.append(f"git config --unset-all remote.{remote}.{name}")
    if extension:
        steps.append("git config --unset-all extensions.partialClone")
    message = "this is a partial clone: objects that a merge needs may be missing"
    raise MoError(message, " && ".join(steps), Exit.CONFIG)


# -- what a checkout looks like ----------------------------------------------------------------------------


def head_branch(git: Git) -> str:
    """Short name of the branch that is checked out, "" when HEAD is detached."""
    return git("symbolic-ref", "-q", "HEAD", check=False).text.removesuffix("\n").removeprefix("refs/heads/")


def resolve(git: Git, rev: str) -> str:
    """The full commit id that a revision names; MoError (NOT_FOUND) when there is none."""
    done = git("rev-parse", "--verify", "-q", "--end-of-options", f"{rev}^{{commit}}", check=False)
    if done.code or not rev:
        raise MoError(f"no commit is called {rev!r} here", "git log --oneline --all", Exit.NOT_FOUND)
    return done.text.strip()


def is_dirty(git: Git) -> bool:
    """Whether there are changes to tracked files, or untracked files that are not ignored; mo's own aside."""
    listed = git("status", "--porcelain", "-z", "--untracked-files=normal").out.split(b"\0")
    return any(entry and not entry.startswith(b"?? " + _OWN) for entry in listed)


def operation_in_progress(where: Layout | Path) -> str:
    """What a person left half done in a worktree: rebase, merge, cherry-pick, revert, bisect or "".

    `where` is a layout or the git directory of a worktree.
    """
    git_dir = where if isinstance(where, Path) else where.git_dir
    signs = (
        ("rebase", ("rebase-merge", "rebase-apply")),
        ("merge", ("MERGE_HEAD",)),
        ("cherry-pick", ("CHERRY_PICK_HEAD",)),
        ("revert", ("REVERT_HEAD",)),
        ("bisect", ("BISECT_LOG",)),
    )
    for operation, names in signs:
        if any((git_dir / name).exists() for name in names):
            return operation
    # Between two picks only the to-do list is left; its first word says which of the two it is.
    todo = git_dir / "sequencer" / "todo"
    if todo.is_file():
        return "revert" if read_text(todo).lstrip().startswith("revert") else "cherry-pick"
    return ""


def dirty_commit(git: Git, message: str) -> str:
    """A commit (parent: HEAD) of all that the checkout holds, untracked files included; nothing moves.

    Ignored files, mo's own and repositories inside the checkout are left out.  The index used is a copy.
    """
    import shutil
    import tempfile

    layout = discover(git.cwd)
    with tempfile.TemporaryDirectory(prefix="mo-index-") as directory:
        index = Path(directory) / "index"
        if (layout.git_dir / "index").exists():
            # The time stamp goes along: git tells by it which entries may have changed unseen.
            shutil.copy2(layout.git_dir / "index", index)
        mine = {"GIT_INDEX_FILE": str(index)}
        for role in ("AUTHOR", "COMMITTER"):
            mine[f"GIT_{role}_NAME"], mine[f"GIT_{role}_EMAIL"] = IDENTITY
        config = ("core.splitIndex=false", "core.safecrlf=false", "advice.addEmbeddedRepo=false")
        copy = Git(layout.here, env=mine, config=config, sparse=True)
        others = copy("ls-files", "-o", "--exclude-standard", "-z").text.split("\0")
        left = [name.rstrip("/") for name in others if name.endswith("/") or name.startswith(_OWN.decode())]
        copy("add", "-A", "--sparse", "--", ".", *(f":(top,exclude,literal){name}" for name in left))
        return copy.text("commit-tree", copy.text("write-tree"), "-p", "HEAD", "-m", message)
