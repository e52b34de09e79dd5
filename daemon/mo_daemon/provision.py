"""Making a worktree fit to work in: included files, submodules, and the project's set-up commands.

Set-up is the slow part of a worktree, so it runs only when its fingerprint changed.  What it made stays in
a recycled slot, and what names no place of its slot is cloned into others.  Its failure is the
environment's, never the agent's.

Commands that use a variable of the task (such as MO_DB_NAME) can't be remembered: the first of them and
all after it run for every task.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mo_daemon import environment, include, sidecar, submodules
from mo_daemon.containment import Cell, Confinement, start
from mo_daemon.fingerprint import Fingerprints
from mo_daemon.sandbox import Purpose
from mo_daemon.setup_cache import SetupCache, relocatable
from mo_daemon.threads import in_thread
from mo_git import process
from mo_git.errors import MoError
from mo_git.git.binary import Git
from mo_git.model import Command

_PER_TASK = re.compile(r"\bMO_(GOAL|TASK|ATTEMPT_NUMBER|ATTEMPT|PORT_BASE|DB_NAME)\b")
_LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}
_TAIL_BYTES = 4096
_TAIL_LINES = 20


@dataclass(frozen=True, slots=True)
class Prepared:
    """How preparing a worktree ended; with `ok` false, `reason` tells a person what failed.

    `kept` are the entries that a recycle keeps; `cached`: no remembered command had to run.
    """

    ok: bool
    reason: str
    log: Path
    kept: tuple[str, ...]
    seconds: float
    cached: bool


class _SetupFailed(Exception):
    """A set-up that did not succeed; the text is for a person."""


@dataclass(frozen=True, slots=True)
class _Job:
    worktree: Path
    env: Mapping[str, str]
    token: str
    log: Path
    confinement: Confinement | None

    def note(self, text: str) -> None:
        """Add a line to the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text + "\n")


class Provisioner:
    """Prepares worktrees of one repository: one object for all of them, used from one event loop.

    `cache_dir` is the repository's cache directory of mo, `timeout` the seconds for each command.
    """

    def __init__(
        self,
        *,
        main_top: Path,
        common_dir: Path,
        cache_dir: Path,
        setup: Sequence[Command],
        teardown: Sequence[Command],
        timeout: float,
    ) -> None:
        self._main_top = main_top
        self._common_dir = common_dir
        per_task = [bool(_PER_TASK.search(_text(command))) for command in setup]
        first = per_task.index(True) if True in per_task else len(setup)
        self._shared, self._own = tuple(setup[:first]), tuple(setup[first:])
        self._teardown = tuple(teardown)
        self._timeout = timeout
        self._cache = SetupCache(cache_dir / "setup")
        self._fingerprints = Fingerprints(tuple(setup))
        self._locks: dict[str, asyncio.Lock] = {}

    def fingerprint(self, worktree: Path, env: Mapping[str, str] | None = None) -> str:
        """64 hex digits that change when set-up of this worktree's content would make something else.

        `env` is the environment that set-up gets (its PATH finds the tools); without it, this process's.
        """
        return self._fingerprints.of(worktree, os.environ if env is None else env)

    @staticmethod
    def kept(worktree: Path) -> tuple[str, ...]:
        """The entries that a recycle keeps, as paths from the worktree's root."""
        return sidecar.kept(worktree)

    async def prepare(
        self,
        worktree: Path,
        *,
        env: Mapping[str, str],
        token: str,
        log: Path,
        confinement: Confinement | None = None,
    ) -> Prepared:
        """Make a worktree, checked out at the commit to work on, fit to work in.

        Does nothing slow where the slot's last set-up still holds.  Expected trouble is a result with `ok`
        false; cancelling ends the running command's whole tree.  What was made under other rules of
        `confinement` does not count.
        """
        started = time.monotonic()
        job = _Job(worktree, env, token, log, confinement)
        try:
            cached = await self._make_ready(job)
        except MoError as error:
            return self._failed(job, started, "; ".join(filter(None, (error.message, error.hint))))
        except (_SetupFailed, OSError) as error:
            return self._failed(job, started, str(error))
        return Prepared(True, "", log, sidecar.kept(worktree), time.monotonic() - started, cached)

    def _failed(self, job: _Job, started: float, reason: str) -> Prepared:
        return Prepared(False, reason, job.log, (), time.monotonic() - started, False)

    async def teardown(
        self,
        worktree: Path,
        *,
        env: Mapping[str, str],
        token: str,
        log: Path,
        confinement: Confinement | None = None,
    ) -> None:
        """Run the teardown commands, each even where one before it failed; failures are only logged."""
        job = _Job(worktree, env, token, log, confinement)
        try:
            cell = await in_thread(confinement.cell) if confinement and self._teardown else None
        except (MoError, OSError) as error:  # the worktree itself could not be made
            job.note(f"no teardown: {error}")
            return
        for command in self._teardown:
            try:
                await self._run(job, cell, command, "teardown")
            except _SetupFailed as failure:
                job.note(str(failure).splitlines()[0])

    async def _make_ready(self, job: _Job) -> bool:
        """Do all of it; whether the shared commands could be spared."""
        wanted, key, holds = await in_thread(self._look, job)
        if holds:
            await in_thread(include.copy_included, self._main_top, job.worktree, _files(wanted))
            cached = True
        else:
            cached = await self._set_up(job, key, wanted)
        if self._own:
            await self._run_all(job, self._own)
        return cached

    def _look(self, job: _Job) -> tuple[list[str], str, bool]:
        """What to copy, the key of the set-up, and whether the slot's last one holds; clears what doesn't."""
        worktree = job.worktree
        wanted = include.included(self._main_top)
        cloned = submodules.populate(self._main_top, self._common_dir, worktree)
        file = sidecar.path_of(worktree)
        last = sidecar.read(file)
        if not self._shared and not wanted and last is None:
            return wanted, "", True
        key = self._key(job, wanted)
        if not cloned and sidecar.holds(last, key, worktree):
            return wanted, key, True
        file.unlink(missing_ok=True)
        if last and last.entries:
            Git(worktree, env=_LITERAL)("clean", "-ffdxq", "--", *last.entries)
        return wanted, key, False

    def _key(self, job: _Job, wanted: Sequence[str]) -> str:
        """The fingerprint, joined with what else set-up may read: included entries and submodules."""
        parts = [self.fingerprint(job.worktree, job.env)]
        for path in wanted:
            status = (self._main_top / path.rstrip("/")).lstat()
            parts.append(f"{path} {status.st_mtime_ns} {status.st_size}")
        if (job.worktree / ".gitmodules").is_file():
            parts += [f"{path} {oid}" for path, oid in submodules.known(job.worktree, "HEAD").items()]
        if job.confinement:
            parts.append(job.confinement.rules)
        joined = "\0".join(parts).encode("utf-8", "surrogateescape")
        return parts[0] if len(parts) == 1 else hashlib.sha256(joined).hexdigest()

    async def _set_up(self, job: _Job, key: str, wanted: Sequence[str]) -> bool:
        """Clone a stored set-up (true), or run the shared commands (false).

        One slot at a time finds out whether a key's outputs can be cloned; the others wait for that.
        """
        if not self._shared or self._cache.belongs_to_slot(key):
            await self._run_shared(job, key, wanted)
            return not self._shared
        async with self._locks.setdefault(key, asyncio.Lock()):
            if await in_thread(self._clone, job, key, wanted):
                return True
            if not self._cache.belongs_to_slot(key):
                await self._run_shared(job, key, wanted, share=True)
                return False
        await self._run_shared(job, key, wanted)
        return False

    def _clone(self, job: _Job, key: str, wanted: Sequence[str]) -> bool:
        entries = self._cache.clone(key, job.worktree)
        if entries is None:
            return False
        include.copy_included(self._main_top, job.worktree, wanted)
        sidecar.write(sidecar.path_of(job.worktree), sidecar.record(key, job.worktree, entries))
        job.note(f"set-up {key[:12]}: cloned from an earlier worktree's")
        return True

    async def _run_shared(self, job: _Job, key: str, wanted: Sequence[str], share: bool = False) -> None:
        await in_thread(include.copy_included, self._main_top, job.worktree, wanted)
        await self._run_all(job, self._shared)
        await in_thread(self._remember, job, key, wanted, share)

    def _remember(self, job: _Job, key: str, wanted: Sequence[str], share: bool) -> None:
        """Write down what set-up made, and store it for other slots where it can be cloned."""
        entries = _outputs(job.worktree, wanted)
        if share:
            self._share(job, key, entries)
        sidecar.write(sidecar.path_of(job.worktree), sidecar.record(key, job.worktree, entries))

    def _share(self, job: _Job, key: str, entries: Sequence[str]) -> None:
        """Store a set-up for other slots; one that left nothing here worked elsewhere and can't be cloned."""
        elsewhere = not entries or _in_submodules(job.worktree)
        if elsewhere or not relocatable(job.worktree, entries, _needles(job)):
            self._cache.mark_slot(key)
            job.note(f"set-up {key[:12]}: belongs to its worktree, others run it themselves")
            return
        try:
            self._cache.store(key, job.worktree, entries)
        except (MoError, OSError) as error:  # the worktree itself is ready
            job.note(f"set-up {key[:12]}: not stored for others: {error}")

    async def _run_all(self, job: _Job, commands: Sequence[Command]) -> None:
        """Run commands in order; afterwards the worktree looks to git as it did before."""
        if not commands:
            return
        before = await in_thread(_status, job.worktree)
        cell = await in_thread(job.confinement.cell) if job.confinement else None
        for command in commands:
            await self._run(job, cell, command, "set-up")
        await in_thread(_put_back, job, before)

    async def _run(self, job: _Job, cell: Cell | None, command: Command, what: str) -> None:
        """Run one command to its end, output to the log; raises _SetupFailed unless it succeeds."""
        text = _text(command)
        job.note(f"$ {text}")
        tail = bytearray()

        def keep(chunk: bytes) -> None:
            tail.extend(chunk)
            del tail[:-_TAIL_BYTES]

        sink = process.Sink(job.log, on_bytes=keep)
        env = environment.with_local_tools(job.env, job.worktree)
        argv = ("sh", "-c", command) if isinstance(command, str) else command
        try:
            child = await start(
                cell, Purpose.SETUP, argv, env=env, cwd=job.worktree, token=job.token, stdout=sink
            )
        except OSError as error:
            await sink.drained(1.0)
            raise _SetupFailed(f"{what} command `{text}` cannot start: {error.strerror}") from None
        ending = await child.wait(self._timeout)
        if ending.timed_out:
            how = f"did not end within {self._timeout:g} s"
        elif ending.code:
            code = ending.code
            how = f"ended with exit code {code}" if code > 0 else f"died of signal {-code}"
        else:
            return
        lines = tail.decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
        raise _SetupFailed("\n".join([f"{what} command `{text}` {how}", *lines]))


def _text(command: Command) -> str:
    return command if isinstance(command, str) else shlex.join(command)


def _needles(job: _Job) -> list[bytes]:
    """What output names when it can't be used elsewhere: the worktree's path, the task's database."""
    names = {str(job.worktree), str(job.worktree.resolve())}
    names |= {name.replace("/", "\\/") for name in names}  # as PHP's JSON writes it
    if database := job.env.get("MO_DB_NAME"):
        names.add(database)
    return [os.fsencode(name) for name in sorted(names)]


def _files(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if not path.endswith("/")]


def _outputs(worktree: Path, wanted: Sequence[str]) -> list[str]:
    """The ignored entries of a worktree after set-up, but for included files and stale-prone bytecode.

    Included files are copied afresh each time; bytecode of one task's sources must not meet another's.
    """
    found = [path.rstrip("/") for path in include.topmost(include.ignored_entries(worktree))]
    files = set(_files(wanted))
    return [path for path in found if path not in files and not _is_bytecode(path)]


def _is_bytecode(path: str) -> bool:
    return PurePosixPath(path).name == "__pycache__" or path.endswith(".pyc")


def _in_submodules(worktree: Path) -> bool:
    """Whether set-up left ignored or new files in a submodule, where `_outputs` does not see them."""
    if not (worktree / ".gitmodules").is_file():
        return False
    links = [worktree / path for path in submodules.known(worktree, "HEAD")]
    return any(
        Git(link)("ls-files", "-o", "-z", "--directory").out for link in links if (link / ".git").exists()
    )


def _status(worktree: Path) -> frozenset[bytes]:
    """What git sees as changed or new: `XY path` each."""
    listed = Git(worktree)("status", "--porcelain=v1", "-z", "--no-renames", "--ignore-submodules=all").out
    return frozenset(item for item in listed.split(b"\0") if item)


def _put_back(job: _Job, before: frozenset[bytes]) -> None:
    """Undo what set-up did to tracked files; refuse new files that would enter every task's commit."""
    changed = _status(job.worktree) - before
    touched = sorted(os.fsdecode(item[3:]) for item in changed if not item.startswith(b"??"))
    if touched:
        restore = ("restore", "--source=HEAD", "--staged", "--worktree", "--", *touched)
        Git(job.worktree, env=_LITERAL)(*restore)
        job.note(f"set-up changed tracked files, put back: {', '.join(touched)}")
        changed = _status(job.worktree) - before  # with the right .gitignore again
    new = sorted(os.fsdecode(item[3:]) for item in changed)
    if new:
        raise _SetupFailed(
            f"set-up left files that git does not ignore: {', '.join(new[:10])}\n"
            "add them to .gitignore (or .git/info/exclude), else every task would commit them"
        )
