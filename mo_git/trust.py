"""Which files that came with a clone may run commands or speak to agents.

Those are git-tracked files below `.mo/`, and settings of agent programs: untracked ones are the user's own.
Trust is the SHA-256 of a file's content, kept per repository in the user's state directory; a changed file is
not trusted any more.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from mo_git import process
from mo_git.errors import Exit, MoError
from mo_git.home import DIRECTORY, read_json, write_atomically

VERSION = 1
_PATHS = tuple(f":(top,icase){path}" for path in (DIRECTORY, ".claude", ".mcp.json", ".codex"))


# Where a repository declares hooks and tool servers for agent programs; named relative to its root.
AGENT_FILES = (".claude/settings.json", ".mcp.json", ".codex/config.toml")


def needs_trust(relative: str) -> bool:
    """Whether a tracked file, named relative to `.mo/`, is used at all (and then only when trusted)."""
    named = relative in (*AGENT_FILES, "config.toml", "lessons.md")
    return named or relative.startswith(("prompts/", "goals/"))


def place(relative: str) -> PurePosixPath:
    """Where a file that is trusted under this name lies, relative to the main worktree."""
    return PurePosixPath(relative) if relative in AGENT_FILES else PurePosixPath(DIRECTORY, relative)


def is_trusted(common_dir: Path, relative: str, content: bytes, *, environ: Mapping[str, str]) -> bool:
    """Whether exactly this content of the file (path relative to `.mo/`) was trusted."""
    return listing(common_dir, environ=environ).get(relative) == _digest(content)


def trust(common_dir: Path, files: Mapping[str, bytes], *, environ: Mapping[str, str]) -> None:
    """Trust these contents (path relative to `.mo/` -> content), besides what is trusted already."""
    with _changing(environ) as repositories:
        known = repositories.setdefault(_key(common_dir), {})
        known.update({relative: _digest(content) for relative, content in files.items()})


def revoke(
    common_dir: Path, relatives: Iterable[str] | None = None, *, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """Forget the trust in these files, or in all of the repository's; returns those that were known."""
    with _changing(environ) as repositories:
        known = repositories.get(_key(common_dir), {})
        gone = tuple(sorted(known if relatives is None else known.keys() & set(relatives)))
        for relative in gone:
            del known[relative]
        if not known:
            repositories.pop(_key(common_dir), None)
    return gone


def listing(common_dir: Path, *, environ: Mapping[str, str]) -> dict[str, str]:
    """Path relative to `.mo/` -> SHA-256 of the trusted content."""
    return dict(_read(_state_file(environ)).get(_key(common_dir), {}))


def judge(
    common_dir: Path, tracked: Callable[[str], bool], *, environ: Mapping[str, str]
) -> Callable[[str, bytes], bool]:
    """The `trusted` argument of `config.load`: untracked files are the user's own, others need trust."""

    def trusted(relative: str, content: bytes) -> bool:
        return not tracked(relative) or is_trusted(common_dir, relative, content, environ=environ)

    return trusted


def tracked(top: Path) -> Callable[[str], bool]:
    """A test whether git tracks a file, named relative to `.mo/` of this main worktree.

    A tracked link or submodule in place of a directory counts for all below it, and letter case is ignored,
    since some file systems ignore it.  Raises MoError where git cannot tell.
    """
    done = process.run(
        ["git", "-c", "core.fsmonitor=false", "ls-files", "-z", "--", *_PATHS],
        cwd=top,
        env=process.without_git_variables(os.environ),
    )
    if done.code:
        raise MoError(f"git cannot list the files of {top}: {done.error_text}", "mo doctor", Exit.CONFIG)
    names = {name.casefold() for name in done.text.split("\0") if name}

    def is_tracked(relative: str) -> bool:
        path = PurePosixPath(str(place(relative)).casefold())
        return any(str(part) in names for part in (path, *path.parents))

    return is_tracked


# -- the file -----------------------------------------------------------------------------------------


def _state_file(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        home = environ.get("HOME", "")
        if not home:
            raise MoError("cannot tell what is trusted: HOME is not set", "set HOME", Exit.CONFIG)
        base = f"{home}/.local/state"
    return Path(base) / "mo" / "trust.json"


def _key(common_dir: Path) -> str:
    return str(common_dir.resolve())


def _digest(content: bytes) -> str:
    import hashlib  # here: it loads OpenSSL, and most verbs never ask

    return hashlib.sha256(content).hexdigest()


def _read(path: Path) -> dict[str, dict[str, str]]:
    """Repository -> path -> digest; a missing or damaged file trusts nothing."""
    repositories = (read_json(path) or {}).get("repositories")
    if not isinstance(repositories, dict):
        return {}
    return {name: files for name, files in repositories.items() if isinstance(files, dict)}


@contextmanager
def _changing(environ: Mapping[str, str]) -> Iterator[dict[str, dict[str, str]]]:
    """The records to change, written back at the end; one writer at a time."""
    path = _state_file(environ)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise MoError(f"cannot write {path}: {error.strerror}", "check its permissions") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        repositories = _read(path)
        yield repositories
        document: dict[str, Any] = {"v": VERSION, "repositories": repositories}
        write_atomically(path, json.dumps(document, indent=1, sort_keys=True) + "\n")
    finally:
        os.close(lock)
