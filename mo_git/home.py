"""The `.mo/` directory: the files that the command line, the daemon and other readers share.

Requests are files in `inbox/`, written under a temporary name and renamed in, read in the order of their
names.  `status.json` is replaced atomically.  Nothing here needs the daemon.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mo_git.errors import Exit, MoError

DIRECTORY = ".mo"
_NAME_LENGTH = 40
UNFINISHED_SECONDS = 10.0  # how old an unreadable request must be before it is put aside
LARGEST_REQUEST = 64 * 2**20  # bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One file of the inbox."""

    name: str
    verb: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Home:
    """Paths and files of one repository's `.mo/`.

    `top` is the main worktree's root, `common_dir` the repository's common git directory.
    """

    top: Path
    common_dir: Path

    @property
    def path(self) -> Path:
        return self.top / DIRECTORY

    @property
    def inbox(self) -> Path:
        return self.path / "inbox"

    @property
    def database(self) -> Path:
        return self.path / "mo.db"

    @property
    def status_file(self) -> Path:
        return self.path / "status.json"

    @property
    def daemon_file(self) -> Path:
        return self.path / "daemon.json"

    @property
    def lock_file(self) -> Path:
        return self.path / "daemon.lock"

    @property
    def log_file(self) -> Path:
        return self.path / "log" / "daemon.log"

    def run_dir(self, goal: str, task: str, attempt: int) -> Path:
        """Prompt, output and check log of one attempt."""
        return self.path / "runs" / goal / task / str(attempt)

    def items_file(self, job: str) -> Path:
        """The items of a job of simple mode as its manifest had them, one JSON object a line."""
        return self.path / "runs" / job / "items.jsonl"

    def gate_dir(self, goal: str) -> Path:
        return self.path / "runs" / goal / "integration"

    # -- making it ------------------------------------------------------------------------------------

    def exists(self) -> bool:
        return self.inbox.is_dir()

    def create(self) -> bool:
        """Make the directory (mode 0700) and hide it from git; False where it already was there."""
        new = not self.exists()
        bare = not os.path.lexists(self.path)
        _make_directory(self.path)
        try:
            self._exclude()
        except MoError:
            if bare:
                self.path.rmdir()  # nothing is left of a use that was refused
            raise
        for directory in (self.inbox, self.log_file.parent, self.path / "goals"):
            _make_directory(directory)
        return new

    def _exclude(self) -> None:
        """`/.mo/` in the common info/exclude: the per-worktree file is never read by git."""
        exclude = self.common_dir / "info" / "exclude"
        line = f"/{DIRECTORY}/"
        try:
            text = os.fsdecode(exclude.read_bytes()) if exclude.exists() else ""
            if not {line, f"{line}*"}.intersection(text.splitlines()):  # the second: `mo init --shared`
                exclude.parent.mkdir(exist_ok=True)
                separator = "" if text.endswith("\n") or not text else "\n"
                with exclude.open("ab") as file:
                    file.write(os.fsencode(f"{separator}{line}\n"))
        except OSError as error:
            raise MoError(
                f"cannot write {exclude}: {error.strerror}",
                f"mo hides {DIRECTORY}/ from git there: check the permissions",
            ) from None

    # -- requests -------------------------------------------------------------------------------------

    def drop(self, verb: str, payload: Mapping[str, Any]) -> str:
        """Put a request into the inbox; its name sorts by time and never repeats."""
        name = f"{time.time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}"
        write_atomically(self.inbox / name, json.dumps({"v": 1, "verb": verb, "payload": payload}))
        return name

    def requests(self) -> tuple[list[Request], list[str]]:
        """Requests in order, and the names of files that cannot be read (put aside when old enough).

        An inbox that was removed is made again; MoError where that is impossible.
        """
        found: list[Request] = []
        bad: list[str] = []
        try:
            entries = sorted(self.inbox.iterdir())
        except FileNotFoundError:
            _make_directory(self.inbox)
            entries = []
        except OSError as error:
            raise MoError(f"cannot read {self.inbox}: {error.strerror}", "check its permissions") from None
        for entry in entries:
            if entry.name.startswith(".") or not entry.is_file():
                continue
            request = _read_request(entry)
            if request is not None:
                found.append(request)
            elif self._put_aside(entry):
                bad.append(entry.name)
        return found, bad

    def _put_aside(self, entry: Path) -> bool:
        """A file that stays unreadable is moved, not deleted: somebody wanted something."""
        try:
            if time.time() - entry.stat().st_mtime < UNFINISHED_SECONDS:
                return False
            (self.inbox / ".bad").mkdir(exist_ok=True)
            entry.rename(self.inbox / ".bad" / entry.name)
        except OSError:
            return False
        return True

    def forget(self, name: str) -> None:
        (self.inbox / name).unlink(missing_ok=True)

    # -- status ---------------------------------------------------------------------------------------

    def write_status(self, document: Mapping[str, Any]) -> None:
        write_atomically(self.status_file, json.dumps(document))

    def read_status(self) -> dict[str, Any] | None:
        return read_json(self.status_file)

    def write_daemon(self, document: Mapping[str, Any]) -> None:
        write_atomically(self.daemon_file, json.dumps(document))

    def read_daemon(self) -> dict[str, Any] | None:
        return read_json(self.daemon_file)


def _read_request(entry: Path) -> Request | None:
    """None for a file that is no request: cut short, too large, or written by something else."""
    try:
        entry.name.encode()
        if entry.stat().st_size > LARGEST_REQUEST:
            return None
        document = json.loads(entry.read_bytes())
        return Request(entry.name, str(document["verb"]), dict(document["payload"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise MoError(f"{path} is in the way", "rename that file: mo needs the directory") from None
    except OSError as error:
        raise MoError(f"cannot make {path}: {error.strerror}", "check permissions and space") from None


def own_state(environ: Mapping[str, str]) -> Path:
    """The user's own directory of mo's state, over all repositories (XDG base directories)."""
    state = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".local/state"
    return Path(state) / "mo"


def state_dir(common_dir: Path, environ: Mapping[str, str], root_dir: str = "") -> Path:
    """Where worktrees and caches live: outside the repository, one directory per repository."""
    root = Path(root_dir).expanduser() if root_dir else own_state(environ)
    repository = common_dir.parent if common_dir.name == ".git" else common_dir
    # The name becomes part of worktree names, and of paths that a project's scripts may not quote.
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", repository.name)[:_NAME_LENGTH].strip("-.") or "repository"
    import hashlib  # here: it loads OpenSSL, and most verbs never ask for this place

    digest = hashlib.sha256(os.fsencode(common_dir)).hexdigest()[:8]
    return root / f"{name}-{digest}"


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a temporary sibling and rename it over `path`; readers see the old or the new content."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(3).hex()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
        temporary.rename(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise MoError(
            f"cannot write {path}: {error.strerror}",
            "check the disk's free space and permissions",
            Exit.FAILED,
        ) from None


def read_json(path: Path) -> dict[str, Any] | None:
    """The document of a file; None where it is missing or unreadable."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
