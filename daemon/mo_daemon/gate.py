"""The gate: the project's tests, run on one exact commit in a worktree of the daemon's own.

`GateSlot` makes the worktree, runs the command and reads what the tests did; `verdicts` judges that.
What a gate changes in its worktree never reaches another run: each starts from `reset`, with bytecode of
its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from mo_daemon import sandbox, sidecar
from mo_daemon.containment import Cell, Confinement, start
from mo_daemon.environment import with_local_tools
from mo_daemon.measuring import Listener, Unmeasured, measure
from mo_daemon.metrics import Metric
from mo_daemon.provision import Prepared
from mo_daemon.runners import Instrumented, argv_of, instrument, merge_environment
from mo_daemon.sandbox import Purpose
from mo_daemon.testids import ERROR, FAILED, PASSED, Reading, Regression, Tests, go_readable
from mo_daemon.threads import in_thread
from mo_daemon.verdicts import GREEN, NO_RESULTS, RED, UNKNOWN, Verdict, listed, verdict
from mo_git import process
from mo_git.git import worktrees
from mo_git.git.binary import Git
from mo_git.git.repo import Repo
from mo_git.model import Command

NONE = "none"  # a gate command that means: no gate, everything is green, and shown so

__all__ = ["GREEN", "NONE", "RED", "UNKNOWN", "GateCommand", "GateRun", "GateSlot", "cache_key", "verdict"]

_MAX_LINE = 1024 * 1024
_HEAD = 4096  # bytes of output, in which bwrap says that it could not start the program


@dataclass(frozen=True, slots=True)
class GateCommand:
    """A configured gate.

    `timeout` is in seconds and holds for each command.  `setup` runs before every gate run (what needs
    to run only once is workspace.setup).  `junit` is a glob of report files that the command writes.
    `keep` are clean patterns that survive between runs.  `log_bytes` of the output are kept, and its end.
    `metrics` are measured after a run that is not red.
    """

    command: Command
    timeout: float
    setup: tuple[Command, ...] = ()
    junit: str = ""
    keep: tuple[str, ...] = ()
    log_bytes: int = process.LOG_LIMIT
    metrics: tuple[Metric, ...] = ()


@dataclass(frozen=True, slots=True)
class GateRun:
    """What one gate run said.  `result` is green | red | unknown; `weak`: by exit code alone."""

    commit: str
    tree: str
    result: str
    weak: bool
    exit_code: int | None
    tests: Tests | None
    regression: Regression | None
    seconds: float
    log: Path
    reason: str
    cached: bool = False
    strict: bool = False  # the command does more than run tests, so its exit code counts too
    metrics: Mapping[str, float] = field(default_factory=dict)  # name -> value

    @property
    def failed_ids(self) -> tuple[str, ...]:
        """The ids that speak against the commit: regressions, or all failures where there is no baseline."""
        if self.regression is not None:
            return self.regression.ids
        return self.tests.failing() if self.tests else ()

    def document(self, tasks: Sequence[str] = (), kind: str = "full", flaky: int = 0) -> dict[str, Any]:
        """The run as an entry of `gates` in `mo show --json`."""
        tests = self.tests or Tests({})
        return {
            "commit": self.commit,
            "tree": self.tree,
            "tasks": list(tasks),
            "kind": kind,
            "result": self.result,
            "weak": self.weak,
            "reason": self.reason,
            "cached": self.cached,
            "tests": {
                "passed": tests.count(PASSED),
                "failed": tests.count(FAILED, ERROR),
                "missing": len(self.regression.missing) if self.regression else 0,
                "flaky": flaky,
            },
            "failed_ids": list(self.failed_ids),
            "metrics": dict(self.metrics),
            "seconds": round(self.seconds, 3),
        }


def cache_key(
    tree: str, command: GateCommand, environment: Mapping[str, str], fingerprint: str, rules: str = ""
) -> str:
    """The key of a full gate run's verdict: equal keys mean that the run would be the same.

    The tree names submodule commits; `fingerprint` stands for set-up and the versions of the tools
    (`provision.Provisioner.fingerprint`), `rules` for what confines the gate (`Confinement.rules`).  An
    unknown verdict must never be stored.
    """
    parts = {
        "tree": tree,
        "command": command.command,
        "setup": command.setup,
        "junit": command.junit,
        "path": environment.get("PATH", ""),
        "virtual_env": environment.get("VIRTUAL_ENV", ""),
        "fingerprint": fingerprint,
        "rules": rules,
        "tests": "all",
        "metrics": [(metric.name, metric.command) for metric in command.metrics],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


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

    def __init__(self, repo: Repo, path: Path, name: str) -> None:
        self.repo = repo
        self.path = path
        self.name = name
        self.scratch = path.with_name(f"{path.name}.run")
        self.trace = path.with_name(f"{path.name}.trace")

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
        baseline: Tests | None,
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
        job = _Job(self, command, env, token, log, started, cell)
        try:
            await in_thread(job.open)
            outcome = await job.run()
            (result, worse, reason), weak = _judged(outcome, baseline)
            metrics: dict[str, float] = {}
            # what failed on the base already has its values, too: later commits are compared with them
            if alter is None and (result == GREEN or (result == RED and baseline is None)):
                metrics = await measure(job.start_apart, command.metrics)
        except Unmeasured as trouble:
            return ended(UNKNOWN, str(trouble))
        finally:
            await in_thread(job.close)
        if outcome.trouble:
            return ended(UNKNOWN, outcome.trouble)
        seconds = monotonic() - begin
        return GateRun(
            commit,
            tree,
            result,
            weak,
            outcome.code,
            outcome.reading.tests,
            worse,
            seconds,
            log,
            reason,
            strict=outcome.how.strict,
            metrics=metrics,
        )


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a run ended, before it is judged; `trouble` says why it can't be."""

    how: Instrumented
    reading: Reading
    code: int | None = None
    timed_out: bool = False
    trouble: str = ""
    changed: tuple[str, ...] = ()


def _judged(outcome: _Outcome, baseline: Tests | None) -> tuple[Verdict, bool]:
    """The verdict on a run that ended, and whether it is by the exit code alone."""
    how, tests = outcome.how, outcome.reading.tests
    weak = tests is None and how.optional
    timed_out, code = outcome.timed_out, outcome.code
    result, worse, reason = verdict(
        code, timed_out, tests, baseline, weak, runner=how.runner, strict=how.strict
    )
    if reason == NO_RESULTS:
        reason = f"{reason}: {outcome.reading.reason}"
    changed = f"the gate changed tracked files: {listed(outcome.changed)}" if outcome.changed else ""
    return (result, worse, "; ".join(filter(None, (reason, changed)))), weak


class _Job:
    """One run of the gate's commands in a worktree that is ready for it."""

    def __init__(
        self,
        slot: GateSlot,
        command: GateCommand,
        env: Mapping[str, str],
        token: str,
        log: Path,
        started: Started | None,
        cell: Cell | None,
    ) -> None:
        self._slot = slot
        self._command = command
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
        how = instrument(self._command.command, self._reports, junit=self._command.junit, top=top)
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

    def _read(self, how: Instrumented, code: int, timed_out: bool, lines: _Lines | None) -> _Outcome:
        top = self._slot.path
        reading = how.report(top, lines.text() if lines else "")
        if how.runner == "go":
            self._log.write_text(go_readable(self._log.read_text("utf-8", "replace")), "utf-8")
        try:
            same = (top / ".git").read_bytes() == self._pointer
        except OSError:
            same = False
        if not same:  # git must not run where the gate says which repository and configuration it is
            return _Outcome(how, reading, trouble="the gate replaced the worktree's .git")
        return _Outcome(how, reading, code, timed_out, changed=_changed(top))

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
        except OSError as error:
            sink.feed(f"{argv[0]}: {error.strerror}\n".encode())
            for stream in filter(None, (sink, errors)):
                await stream.drained(0.1)
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
