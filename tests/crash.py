"""Daemons that are killed at a chosen instant.

`Forge` starts this file as a program once; it imports the daemon and then forks one for each order, so that
a daemon costs no start-up.  The order names the instant: the daemon kills itself with SIGKILL there, which
runs no handler and no `finally`.  Nothing in the product knows of this.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

WRITES = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "subprocess.Popen"})


class Forge:
    """Makes daemons for repositories; use as a context manager."""

    def __enter__(self) -> Forge:
        self._server = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).resolve())],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.communicate()

    def daemon(self, top: Path, at: str = "", nth: int = 1) -> tuple[int, list[str]]:
        """Run a daemon until it ends or reaches the instant `at` for the nth time.

        `at` is one of the names that a run without it returns, or "step" for any of them.  Returns the exit
        code (-9: it was killed) and the instants that it passed.
        """
        order = {"top": str(top), "at": at, "nth": nth, "environ": dict(os.environ)}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        return answer["code"], answer["instants"]


# -- the program ---------------------------------------------------------------------------------------


def serve() -> None:
    import mo_daemon.main  # noqa: F401  (imported before the forks)

    for line in sys.stdin:
        order = json.loads(line)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            _be_a_daemon(order, write)
        os.close(write)
        with os.fdopen(read) as stream:
            instants = stream.read().splitlines()
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), "instants": instants}), flush=True)


def _be_a_daemon(order: dict[str, Any], report: int) -> None:
    from mo_daemon import main

    os.set_inheritable(report, False)
    os.environ.clear()
    os.environ.update(order["environ"])
    os.chdir(order["top"])
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(Path(order["top"], ".mo", "log", "daemon.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    _instrument(Fuse(order["at"], order["nth"], report).passed)
    sys.argv = ["mo-daemon", "--top", order["top"]]
    os._exit(main.main())


class Fuse:
    """Counts the instants that a daemon passes, and kills it at the chosen one."""

    def __init__(self, at: str, nth: int, report: int) -> None:
        self._at, self._left, self._report = at, nth, report
        self._one_at_a_time = threading.RLock()  # no other thread gets on while the signal is on its way

    def passed(self, instant: str) -> None:
        with self._one_at_a_time:
            os.write(self._report, f"{instant}\n".encode())
            if self._at in (instant, "step"):
                self._left -= 1
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)


def _instrument(passed: Callable[[str], None]) -> None:
    """Names an instant before and after everything that leaves a trace outside the process."""
    from mo_daemon.book import Book
    from mo_git import process
    from mo_git.git import refs
    from mo_git.home import Home
    from mo_git.ledger.writer import Ledger

    def around(owner: Any, name: str, title: Callable[..., str]) -> None:
        inner = getattr(owner, name)

        def outer(*args: Any, **kwargs: Any) -> Any:
            what = title(*args, **kwargs)
            passed(f"before {what}")
            result = inner(*args, **kwargs)
            passed(f"after {what}")
            return result

        setattr(owner, name, outer)

    def facts(_self: Any, new: Any, **_options: Any) -> str:
        return " ".join(fact.kind for fact in new)

    record = Book.record

    def listed(self: Book, new: Any, **options: Any) -> Any:
        return record(self, list(new), **options)

    Book.record = listed  # type: ignore[method-assign]
    around(Book, "record", lambda self, new, **_: facts(self, new))
    around(refs, "swap", lambda _repo, name, *_: "ref " + _kind_of(name))
    around(Home, "forget", lambda *_: "request file gone")
    around(Ledger, "record_request", lambda *_: "request recorded")
    around(process, "_popen", lambda argv, **_: f"start of {Path(argv[0]).name}")

    @contextmanager
    def transaction(self: Ledger, durable: bool = False) -> Iterator[None]:
        passed("before transaction")
        with inner(self, durable):
            yield
        passed("after transaction")

    inner = Ledger._transaction
    Ledger._transaction = transaction  # type: ignore[method-assign]
    me = os.getpid()

    def audit(event: str, args: tuple[Any, ...]) -> None:
        writing = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if (event in WRITES or writing) and os.getpid() == me:
            passed(f"file {event}")

    sys.addaudithook(audit)


def _kind_of(name: str) -> str:
    """Which of mo's refs: integration, task, target, keep, base, good or notes."""
    parts = name.split("/")
    if parts[1] == "notes":
        return "notes"
    if name.endswith("/integration"):
        return "integration"
    if parts[1] == "heads":
        return "task" if parts[2] == "mo" else "target"
    return "keep" if parts[2] == "keep" else parts[3]


if __name__ == "__main__":
    serve()
