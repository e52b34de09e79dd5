"""Drives the real `mo` in a real repository: the command line as a subprocess, the daemon as it comes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mo_git.goal_status import GoalStatus
from mo_git.home import Home
from mo_git.ledger.reader import Reader
from mo_git.process import Identity, is_alive
from mo_git.processes import children
from tests.support import RepoBuilder


@dataclass(frozen=True)
class Done:
    """A finished `mo`."""

    code: int
    out: str
    err: str


class Mo:
    """One repository's `mo`.  `local` settings go to `.mo/local.toml`.

    `environ` is added to the test's own, or is all (`alone`); `before`: what stands before the command line.
    """

    def __init__(
        self,
        repo: RepoBuilder,
        environ: Mapping[str, str] | None = None,
        *,
        before: Sequence[str] = (),
        alone: bool = False,
    ) -> None:
        self.repo = repo
        self.environ = {**({} if alone else os.environ), **(environ or {})}
        self.before = before

    def __call__(
        self, *args: str, code: int | None = 0, timeout: float = 90, cwd: Path | None = None
    ) -> Done:
        """Run `mo ARGS`; `code` is the exit code to expect (None: any)."""
        done = subprocess.run(
            [*self.before, sys.executable, "-P", "-m", "mo_git", *args],
            cwd=cwd or self.repo.path,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if code is not None and done.returncode != code:
            log = self.log()[-3000:]
            raise AssertionError(
                f"mo {' '.join(args)}: exit {done.returncode}, not {code}\n{done.stdout}{done.stderr}\n{log}"
            )
        return Done(done.returncode, done.stdout, done.stderr)

    def json(self, *args: str, code: int | None = 0) -> Any:
        return json.loads(self("--json", *args, code=code).out)

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Run `mo ARGS` without waiting for it."""
        return subprocess.Popen(
            [*self.before, sys.executable, "-P", "-m", "mo_git", *args],
            cwd=self.repo.path,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def talk(self, *args: str) -> Talk:
        """Run `mo ARGS` on a terminal."""
        return Talk([sys.executable, "-P", "-m", "mo_git", *args], self.repo.path, self.environ)

    def configure(self, **tables: Mapping[str, Any]) -> None:
        """Write `.mo/local.toml`: table name -> keys."""
        lines = []
        for table, keys in tables.items():
            lines.append(f"[{table}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        local = self.repo.path / ".mo" / "local.toml"
        local.parent.mkdir(exist_ok=True)
        local.write_text("\n".join(lines) + "\n")

    # -- what there is --------------------------------------------------------------------------------

    @property
    def home(self) -> Home:
        return Home(self.repo.path, self.repo.path / ".git")

    def goal(self, goal: str = "@last") -> GoalStatus:
        """The status of a goal, from the ledger."""
        reader = Reader.open(self.home.database)
        assert reader is not None
        try:
            return reader.goal(reader.goal_ids()[-1] if goal == "@last" else goal)
        finally:
            reader.close()

    def states(self, goal: str = "@last") -> dict[str, str]:
        return {name: str(task.state) for name, task in self.goal(goal).tasks.items()}

    def log(self) -> str:
        file = self.home.log_file
        return file.read_text(errors="replace") if file.exists() else ""

    def wait_for(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        """Poll until the condition holds; the only place of the tests that sleeps."""
        limit = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < limit, f"waited {seconds} s in vain\n{self.log()[-3000:]}"
            time.sleep(0.01)

    # -- the daemon -----------------------------------------------------------------------------------

    def daemon(self) -> Identity | None:
        document = self.home.read_daemon()
        if document is None:
            return None
        identity = Identity(document["pid"], document["start"], document["boot"])
        return identity if is_alive(identity) else None

    def kill(self) -> None:
        """kill -9 of the daemon."""
        identity = self.daemon()
        assert identity is not None, "no daemon to kill"
        os.kill(identity.pid, signal.SIGKILL)
        self.wait_for(lambda: not is_alive(identity))

    def stop(self) -> None:
        """End the daemon, if there is one."""
        identity = self.daemon()
        if identity is not None:
            os.kill(identity.pid, signal.SIGTERM)
            self.wait_for(lambda: not is_alive(identity))

    def programs(self) -> list[int]:
        """Live processes whose working directory or command line is in this repository's state.

        Without the daemon's own git that waits for merges, while that daemon lives.
        """
        daemon = self.daemon()
        own = children(daemon.pid) if daemon else []
        state = self.environ.get("XDG_STATE_HOME") or f"{self.environ['HOME']}/.local/state"
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    here = os.readlink(entry / "cwd")
                    words = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
                except OSError:
                    continue
                waits = "merge-tree" in words and int(entry.name) in own
                if (here.startswith(state) or state in words) and not waits:
                    found.append(int(entry.name))
        return found


class Talk:
    """A program on a terminal of its own; `text` is what it has shown, without colours."""

    def __init__(self, argv: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        env = {**environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "40"}
        self._child = subprocess.Popen(argv, cwd=cwd, env=env, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.text = ""

    def wait_for(self, words: str, seconds: float = 150) -> None:
        limit = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < limit, f"no {words!r} in {self.text}"
            if not self._read(1):
                break
        assert words in self.text

    def say(self, line: str) -> None:
        os.write(self._master, f"{line}\n".encode())

    def end(self, seconds: float = 150) -> int:
        """Read to the end; the exit code."""
        limit = time.monotonic() + seconds
        while self._read(1):
            assert time.monotonic() < limit, self.text
        os.close(self._master)
        return self._child.wait(seconds)

    def _read(self, seconds: float) -> bool:
        """Whether there may be more."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            chunk = os.read(self._master, 65536)
        except OSError:  # EIO: nobody holds the other side any more
            return False
        self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", chunk.decode("utf-8", "replace"))
        return bool(chunk)


def plan(tasks: Sequence[Mapping[str, Any]], **top: Any) -> str:
    """A plan file (JSON) of these tasks."""
    return json.dumps({"goal": "test goal", **top, "task": list(tasks)})


def python(code: str) -> list[str]:
    """An argv that runs a line of Python in the worktree."""
    return [sys.executable, "-c", code]


def writes(path: str, text: str) -> list[str]:
    """An argv that writes a file."""
    return python(
        f"import pathlib; p = pathlib.Path({path!r}); p.parent.mkdir(parents=True, exist_ok=True); "
        f"p.write_text({text!r})"
    )
