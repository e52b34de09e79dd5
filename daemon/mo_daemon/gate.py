"""The gate: the project's tests, run on one exact commit in a worktree of the daemon's own.

`GateSlot` makes the worktree, runs the command and reads what the tests did; `verdicts` judges that.
What a gate changes in its worktree never reaches another run: each starts from `reset`, with bytecode of
its own.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from mo_daemon import sandbox, sidecar
from mo_daemon.containment import Cell, Confinement, start
from mo_daemon.environment import with_local_tools
from mo_daemon.gate_run import FULL, NONE, GateCommand, GateRun, cache_key
from mo_daemon.judging import Question
from mo_daemon.measuring import Listener, Unmeasured, measure
from mo_daemon.provision import Prepared
from mo_daemon.runners import Instrumented, argv_of, instrument, instrument_for, merge_environment
from mo_daemon.sandbox import Purpose
from mo_daemon.selecting import uncached
from mo_daemon.testids import Reading, go_readable
from mo_daemon.threads import in_thread
from mo_daemon.verdicts import GREEN, NO_RESULTS, RED, UNKNOWN, listed
from mo_git import process
from mo_git.git import worktrees
from mo_git.git.binary import Git
from mo_git.git.repo import Repo
from mo_git.model import Command

__all__ = ["GREEN", "NONE", "RED", "UNKNOWN", "GateCommand", "GateRun", "GateSlot", "cache_key"]

_MAX_LINE = 1024 * 1024
_HEAD = 4096  # bytes of output, in which bwrap says that it could not start the program


# -- the worktree -------------------------------------------------------------------------------------

Provision = Callable[[Path], Awaitable[Prepared | None]]
Started = Callable[[process.Identity], None]


class _Lines:
    """Keeps the lines of a stream of bytes that a pattern matches, whatever else goes by."""

    def __init__(self, wanted: re.Pattern[bytes]) -> None:
        self._wanted = wanted
        self._rest = b""
        self._kept: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._kept += [line for line in lines if self._wanted.match(line)]
        if len(self._rest) > _MAX_LINE:
            self._rest = b""

    def text(self) -> str:
        last = [self._rest] if self._wanted.match(self._rest) else []
        return b"\n".join(self._kept + last).decode("utf-8", "replace")


class GateSlot:
    """A warm worktree for gates.  One run at a time; `path`, `scratch` and `trace` belong to it alone."""

    def __init__(self, repo: Repo, path: Path, name: str, number: int = 1) -> None:
        self.repo = repo
        self.path = path
        self.name = name
        self.number = number
        self.scratch = path.with_name(f"{path.name}.run")
        self.trace = path.with_name(f"{path.name}.trace")

    @property
    def port_base(self) -> int:
        """The first of its 20 ports; those of tasks begin at 20000."""
        return 19000 + 20 * ((self.number - 1) % 50)

    async def prepare(self, commit: str, keep: Sequence[str] = ()) -> None:
        """Bring the worktree to exactly this commit, detached; only `keep` and set-up results stay."""
        await in_thread(self._prepare, commit, tuple(keep))

    def _prepare(self, commit: str, keep: tuple[str, ...]) -> None:
        if (self.path / ".git").exists() and worktrees.is_known(self.repo, self.name):
            worktrees.point(self.repo, self.path, branch=None, commit=commit)
            worktrees.reset(self.path, commit, keep=(*keep, *sidecar.clean_patterns(self.path)))
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            worktrees.birth(self.repo, self.name, self.path, branch=None, commit=commit)

    async def run(
        self,
        commit: str,
        command: GateCommand,
        *,
        env: Mapping[str, str],
        token: str,
        log: Path,
        question: Question,
        provision: Provision | None = None,
        started: Started | None = None,
        alter: Callable[[], None] | None = None,
        confinement: Confinement | None = None,
    ) -> GateRun:
        """Gate one commit.  `env` is the whole environment, `log` is replaced.

        `started` hears of every process before its end; `alter` may change the prepared worktree.  With
        `confinement` the gate's programs run in a cell, made when the worktree is ready.
        """
        tree = await in_thread(self.repo.tree_of, commit)
        begin = monotonic()

        def ended(result: str, reason: str) -> GateRun:
            return GateRun(commit, tree, result, True, None, None, None, monotonic() - begin, log, reason)

        if command.command == NONE:
            return ended(GREEN, "no gate: nothing was tested")
        await self.prepare(commit, command.keep)
        prepared = await provision(self.path) if provision else None
        if prepared and not prepared.ok:
            return ended(UNKNOWN, f"set-up failed: {prepared.reason}")
        if alter:
            await in_thread(alter)
        cell = await in_thread(confinement.cell) if confinement else None
        job = _Job(self, command, question, env, token, log, started, cell)
        try:
            await in_thread(job.open)
            outcome = await job.run()
            if outcome.trouble:
                return ended(UNKNOWN, outcome.trouble)
            run = _judged(ended("", ""), outcome, question)
            metrics: Mapping[str, float] = {}
            # what failed on the base already has its values, too: later commits are compared with them
            known = run.result == GREEN or (run.result == RED and question.baseline is None)
            if alter is None and run.kind == FULL and known:
                metrics = await measure(job.start_apart, command.metrics)
        except Unmeasured as trouble:
            return ended(UNKNOWN, str(trouble))
        finally:
            await in_thread(job.close)
        return replace(run, metrics=metrics)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a run ended, before it is judged; `trouble` says why it can't be."""

    how: Instrumented
    reading: Reading
    code: int | None = None
    timed_out: bool = False
    trouble: str = ""
    changed: tuple[str, ...] = ()


def _judged(run: GateRun, outcome: _Outcome, question: Question) -> GateRun:
    """The run with what it said, and what that means."""
    how, reading = outcome.how, outcome.reading
    if question.ids is not None and not how.selects:  # all tests ran, so all of them count
        question = replace(question, ids=None)
    run = replace(
        run,
        weak=reading.tests is None and how.optional,
        exit_code=outcome.code,
        tests=reading.tests,
        strict=how.strict,
    ).judged(question, outcome.timed_out, how.runner)
    reason = f"{run.reason}: {reading.reason}" if run.reason == NO_RESULTS else run.reason
    changed = f"the gate changed tracked files: {listed(outcome.changed)}" if outcome.changed else ""
    return replace(run, reason="; ".join(filter(None, (reason, changed))))


class _Job:
    """One run of the gate's commands in a worktree that is ready for it."""

    def __init__(
        self,
        slot: GateSlot,
        command: GateCommand,
        question: Question,
        env: Mapping[str, str],
        token: str,
        log: Path,
        started: Started | None,
        cell: Cell | None,
    ) -> None:
        self._slot = slot
        self._command = command
        self._question = question
        self._env = env
        self._token = token
        self._log = log
        self._started = started
        self._cell = cell
        self._head = bytearray()
        self._reports = slot.scratch / "reports"

    def open(self) -> None:
        self.close()
        self._reports.mkdir(parents=True)
        self._log.unlink(missing_ok=True)
        self._pointer = (self._slot.path / ".git").read_bytes()

    def close(self) -> None:
        shutil.rmtree(self._slot.scratch, ignore_errors=True)

    async def run(self) -> _Outcome:
        top = self._slot.path
        how = await in_thread(self._instrumented)
        nothing = Reading(None)
        for command in self._command.setup:
            code, timed_out = await self._start(argv_of(command), command, {}, None)
            if timed_out or code:
                how_ended = "did not end in time" if timed_out else f"ended with exit code {code}"
                return _Outcome(how, nothing, trouble=f"the gate's set-up `{_shown(command)}` {how_ended}")
        await in_thread(_clear, top, how.clear)
        lines = _Lines(how.keep) if how.keep else None
        code, timed_out = await self._start(how.argv, self._command.command, how.env, lines)
        if code == 1 and self._cell and (said := sandbox.failure(bytes(self._head))):
            return _Outcome(how, nothing, trouble=f"the sandbox could not start the gate: {said}")
        return await in_thread(self._read, how, code, timed_out, lines)

    def _instrumented(self) -> Instrumented:
        """How to run what is asked for; what that needs is written beside the reports."""
        gate, question, reports, top = self._command, self._question, self._reports, self._slot.path
        command = uncached(gate.command) if question.fresh else gate.command
        if question.ids is None:
            how = instrument(command, reports, junit=gate.junit, top=top)
        else:
            template = gate.select
            how = instrument_for(command, question.ids, reports, top, junit=gate.junit, template=template)
        for name, text in how.files.items():
            (reports / name).write_text(text, "utf-8")
        return how

    def _read(self, how: Instrumented, code: int, timed_out: bool, lines: _Lines | None) -> _Outcome:
        top = self._slot.path
        reading = how.report(top, lines.text() if lines else "")
        if how.runner == "go":
            self._make_readable()
        try:
            same = (top / ".git").read_bytes() == self._pointer
        except OSError:
            same = False
        if not same:  # git must not run where the gate says which repository and configuration it is
            return _Outcome(how, reading, trouble="the gate replaced the worktree's .git")
        return _Outcome(how, reading, code, timed_out, changed=_changed(top))

    def _make_readable(self) -> None:
        """Rewrite the log of `go test -json` as text; it may be large."""
        plain = self._reports / "log"
        with (
            self._log.open(encoding="utf-8", errors="replace") as old,
            plain.open("w", encoding="utf-8") as new,
        ):
            new.writelines(go_readable(old))
        shutil.move(plain, self._log)

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """What the gate's programs get: its own tools first, and bytecode that can't be stale."""
        own = {
            "MO_WORKTREE": str(self._slot.path),
            "PYTHONPYCACHEPREFIX": str(self._slot.scratch / "pycache"),
        }
        return merge_environment({**with_local_tools(self._env, self._slot.path), **own}, extra)

    async def start_apart(
        self, argv: tuple[str, ...], shown: Command, listener: Listener
    ) -> tuple[int, bool]:
        """Run one more program to its end; what it prints as errors goes to the log only."""
        return await self._start(argv, shown, {}, listener, apart=True)

    async def _start(
        self,
        argv: tuple[str, ...],
        shown: Command,
        extra: Mapping[str, str],
        lines: Listener | None,
        *,
        apart: bool = False,
    ) -> tuple[int, bool]:
        """Run one program to its end: (exit code, timed out).  One that can't start ends as in a shell.

        `lines` hears its output; with `apart` not what it prints as errors.
        """
        self._head.clear()

        def hear(chunk: bytes) -> None:
            self._head.extend(chunk[: _HEAD - len(self._head)])
            if lines:
                lines.feed(chunk)

        sink = process.Sink(self._log, self._command.log_bytes, hear)
        errors = process.Sink(self._log, self._command.log_bytes) if apart else None
        sink.feed(f"$ {_shown(shown)}\n".encode("utf-8", "surrogateescape"))
        try:
            child = await start(
                self._cell,
                Purpose.GATE,
                argv,
                env=self.environment(extra),
                own=(self._slot.scratch, self._slot.trace),
                cwd=self._slot.path,
                token=self._token,
                stdout=sink,
                stderr=errors,
            )
        except (OSError, asyncio.CancelledError) as error:
            if isinstance(error, OSError):
                sink.feed(f"{argv[0]}: {error.strerror}\n".encode())
            for stream in filter(None, (sink, errors)):
                await stream.drained(0.1)
            if not isinstance(error, OSError):
                raise
            return (127 if isinstance(error, FileNotFoundError) else 126), False
        if self._started:
            self._started(child.identity)
        try:
            ending = await child.wait(self._command.timeout)
        finally:  # also what fled into a session of its own, where this process adopts no orphans
            await in_thread(process.kill_marked, [self._token])
        return ending.code, ending.timed_out


def _shown(command: Command) -> str:
    return command if isinstance(command, str) else " ".join(command)


def _clear(top: Path, pattern: str) -> None:
    """Remove old report files: one that the run does not write again must not count."""
    for path in list(top.glob(pattern)) if pattern else []:
        with suppress(OSError):
            path.unlink()


def _changed(top: Path) -> tuple[str, ...]:
    """Tracked files that differ from the commit; never a look into submodules, whose settings git obeys."""
    quiet = ("--no-renames", "--untracked-files=no", "--ignore-submodules=all")
    listed = Git(top)("status", "--porcelain=v1", "-z", *quiet).out
    return tuple(os.fsdecode(entry[3:]) for entry in listed.split(b"\0") if entry)
