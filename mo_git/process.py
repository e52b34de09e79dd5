"""The only place that starts programs.

`run` is for short commands (git).  `start` is for agents, gates and set-up: a session of its own, output
captured up to a limit, ended as a whole tree.  `Coprocess` answers one question after the other.  A child
that fails is a result, not an exception.

Identity across restarts is (pid, start time, boot id): a bare pid is never signalled.  Every long child
carries MO_ATTEMPT=<token> in its environment, so that descendants which left its session are found too.

asyncio is imported where a loop runs anyway: the verbs of the command line start processes too, and to load
it would take them longer than all the rest.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mo_git.errors import MoError
from mo_git.processes import MARKER as MARKER
from mo_git.processes import ON_LINUX, children, is_marked, works_in
from mo_git.processes import Identity as Identity
from mo_git.processes import boot_id as boot_id
from mo_git.processes import identify as identify
from mo_git.processes import is_alive as is_alive
from mo_git.processes import survivors as survivors
from mo_git.sink import LOG_LIMIT as LOG_LIMIT
from mo_git.sink import TAIL_LIMIT as TAIL_LIMIT
from mo_git.sink import Sink as Sink

GRACE_SECONDS = 5.0

# Children that somebody waits for.  As a subreaper this process also gets orphans of its descendants, and
# must collect those without ever taking the exit status of a child that `run` or a `Child` waits for.
_waited: set[int] = set()
_spawning = threading.Lock()


@dataclass(frozen=True, slots=True)
class Completed:
    """A finished short command."""

    argv: tuple[str, ...]
    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "surrogateescape")

    @property
    def error_text(self) -> str:
        return self.err.decode("utf-8", "replace").strip()


def run(
    argv: Sequence[str],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    timeout: float | None = None,
) -> Completed:
    """Run a short command to its end; a missing program is a MoError, a failing one a result.

    A timeout ends the command and is reported as exit code 124 (the convention of coreutils' timeout).
    """
    try:
        popen = _popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError as error:
        if cwd is not None and not Path(cwd).is_dir():
            raise MoError(f"cannot run {argv[0]}: the directory {cwd} does not exist") from None
        message = f"cannot run {argv[0]}: {error.strerror}"
        raise MoError(message, f"install {argv[0]} or put it on PATH") from None
    try:
        out, err = popen.communicate(stdin, timeout)
        code = popen.returncode
    except subprocess.TimeoutExpired:
        popen.kill()
        out, err = popen.communicate()
        code = 124
    finally:
        _waited.discard(popen.pid)
    return Completed(tuple(argv), code, out, err)


def _popen(argv: Sequence[str], *, env: Mapping[str, str] | None, **options: Any) -> subprocess.Popen[bytes]:
    """Start a child and enter it as waited for, in one step as seen by `reap`."""
    with _spawning:
        popen = subprocess.Popen(list(argv), env=dict(env) if env is not None else None, **options)
        _waited.add(popen.pid)
    return popen


class Coprocess:
    """A program that is asked again and again by its standard input; one question at a time.

    It ends when this process does, however that ends: nobody else holds its input.  OSError where it cannot
    be started.
    """

    def __init__(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
        self._popen = _popen(
            argv, cwd=cwd, env=env, bufsize=0, stdin=pipe, stdout=pipe, stderr=nowhere, start_new_session=True
        )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._in, self._out = self._popen.stdin, self._popen.stdout
        self.pid = self._popen.pid

    def write(self, question: bytes) -> None:
        """A question that the program reads to its end; OSError when it has gone."""
        rest = memoryview(question)
        while rest:
            rest = rest[self._in.write(rest) :]

    def read(self, seconds: float) -> bytes | None:
        """Some of the answer; nothing more will come: b"".  None: silent for so long."""
        poll = select.poll()  # unlike select(2), for any number of open files
        poll.register(self._out, select.POLLIN)
        return self._out.read(1 << 16) if poll.poll(seconds * 1000) else None

    def end(self, grace: float = 1.0) -> None:
        """Its input ends; after `grace` seconds everything of its session is killed."""
        with contextlib.suppress(OSError):
            self._in.close()
        try:
            self._popen.wait(grace)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._popen.wait()
        finally:
            _waited.discard(self.pid)
            self._out.close()


def without_git_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without GIT_*: hooks of linked worktrees export GIT_DIR, which would redirect us."""
    return {key: value for key, value in environ.items() if not key.startswith("GIT_")}


# -- whose processes are whose -------------------------------------------------------------------------


def become_subreaper() -> None:
    """Adopt orphaned descendants (Linux, PR_SET_CHILD_SUBREAPER of prctl(2)), so that none escapes."""
    if ON_LINUX:
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)


def own_children() -> list[int]:
    """Direct children of this process, adopted ones included."""
    return children(os.getpid())


def end_orphans(belongs: Callable[[int], bool] = lambda _pid: True, deadline: float = 2.0) -> int:
    """kill -9 the adopted processes that nobody here waits for, and their trees; returns how many.

    As a subreaper this process gets every process of its programs whose parent ended.  A process that is
    dying may still hold a child that nobody has adopted yet, so this looks until nothing changes.
    """
    killed: set[int] = set()
    limit = time.monotonic() + deadline
    while time.monotonic() < limit:
        with _spawning:  # else a child that is just being started would look like an orphan
            orphans = [pid for pid in own_children() if pid not in _waited]
        tree = list(orphans)
        for pid in tree:
            tree += children(pid)
        alive = [pid for pid in tree if belongs(pid) and identify(pid)]
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        if not reap(orphans) and not alive:
            break
        time.sleep(0.002)
    return len(killed)


def kill_marked(tokens: Sequence[str], deadline: float = 2.0, *, below: Path | None = None) -> int:
    """kill -9 everything that carries one of the tokens, until nothing is left; returns how many.

    With `below` only what works in that directory.
    """
    killed: set[int] = set()
    limit = time.monotonic() + deadline
    while time.monotonic() < limit:
        pids = [pid for pid in survivors(tokens) if below is None or works_in(pid, below)]
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        reap(pids)
        time.sleep(0.01)
    return len(killed)


def reap(pids: Iterable[int]) -> int:
    """Collect zombies among adopted children; never a child that somebody here waits for.  How many."""
    collected = 0
    with _spawning:
        for pid in pids:
            if pid not in _waited:
                with contextlib.suppress(ChildProcessError):
                    collected += os.waitpid(pid, os.WNOHANG)[0] != 0
    return collected


# -- long-running children ----------------------------------------------------------------------------


@dataclass(slots=True)
class Ending:
    """How a child ended: exit code (negative: the signal), or None where its deadline ended it."""

    code: int
    timed_out: bool
    seconds: float


class Child:
    """A started program in a session of its own."""

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        token: str,
        directory: Path,
        sinks: Sequence[Sink],
        inner: Callable[[int], int | None] | None,
    ) -> None:
        self._inner = inner
        self._popen = popen
        self._directory = Path(os.path.realpath(directory))
        self._sinks = sinks
        self._started = time.monotonic()
        self.token = token
        self.pid = popen.pid
        self.identity = identify(popen.pid) or Identity(popen.pid, "", boot_id())

    async def wait(self, timeout: float | None = None, *, grace: float = GRACE_SECONDS) -> Ending:
        """Wait for the end; past `timeout` seconds, or when cancelled, end the whole tree.

        No process of the child lives when this returns, and its output has been written.
        """
        import asyncio

        timed_out = False
        try:
            await asyncio.wait_for(self._exited(), timeout)
        except TimeoutError:
            timed_out = True
            await self.end(grace)
        except asyncio.CancelledError:
            await asyncio.shield(self.end(grace))
            await self._drain()
            raise
        else:
            self._kill_rest()
        await self._drain()
        return Ending(self._popen.returncode, timed_out, time.monotonic() - self._started)

    async def _drain(self) -> None:
        for sink in self._sinks:
            await sink.drained(1.0)
        _waited.discard(self.pid)

    async def _exited(self) -> None:
        import asyncio

        if not hasattr(os, "pidfd_open"):
            while self._popen.poll() is None:
                await asyncio.sleep(0.02)
            return
        if self._popen.poll() is not None:
            return
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        fd = os.pidfd_open(self.pid)  # not collected yet, so the pid is still this child's
        loop.add_reader(fd, done.set)
        try:
            await done.wait()
            self._popen.wait()
        finally:
            loop.remove_reader(fd)
            os.close(fd)

    async def end(self, grace: float = GRACE_SECONDS) -> None:
        """SIGTERM to the session's group, then after `grace` seconds kill -9 of everything left."""
        import asyncio

        group = self._inner(self.pid) if self._inner else self.pid
        if group is not None:
            self._signal_group(signal.SIGTERM, group)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._exited(), grace)
        self._kill_rest()
        await self._exited()

    def _signal_group(self, number: signal.Signals, group: int = 0) -> bool:
        try:
            os.killpg(group or self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _kill_rest(self) -> None:
        """Kill what the leader left behind: its group, and marked processes that fled from it."""
        if self._popen.returncode is None or self._signal_group(signal.SIGKILL):
            self._signal_group(signal.SIGKILL)
        if ON_LINUX:
            end_orphans(self._is_mine)
        else:
            kill_marked([self.token])

    def _is_mine(self, pid: int) -> bool:
        """By the marker; one that cleared its environment, by the directory that it was started in."""
        return is_marked(pid, [f"{MARKER}={self.token}".encode()]) or works_in(pid, self._directory)


def start(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    token: str,
    stdout: Sink,
    stderr: Sink | None = None,
    stdin: Path | None = None,
    inner: Callable[[int], int | None] | None = None,
) -> Child:
    """Start a program from the event loop's thread (PDEATHSIG follows the thread, prctl(2)).

    `env` is the whole environment; MO_ATTEMPT=token is added.  stdin is the file, else closed.  Without
    `stderr` both streams share `stdout`.  `inner` finds the process group of the real program where the
    started one only wraps it: that one gets the SIGTERM.  Raises OSError where it cannot be started.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    given = os.open(stdin or os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    out = stdout.attach(loop)
    err = stderr.attach(loop) if stderr else out
    try:
        popen = _popen(
            argv,
            cwd=cwd,
            env={**env, MARKER: token},
            stdin=given,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    finally:
        for fd in {given, out, err}:
            os.close(fd)
    return Child(popen, token, cwd, [stdout] + ([stderr] if stderr else []), inner)


def call(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> int:
    """Run a program on the terminal of the person and wait for it; OSError where it cannot start."""
    popen = _popen(argv, cwd=cwd, env=env)
    try:
        return popen.wait()
    finally:
        _waited.discard(popen.pid)


def start_detached(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path) -> int:
    """Start a background process that outlives this one (the daemon); returns its pid."""
    with log.open("ab") as sink:
        popen = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    popen.returncode = 0  # not ours to wait for: silences the warning of Popen.__del__
    return popen.pid
