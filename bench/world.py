"""A sealed machine for one measurement: its own home, git configuration, repository and daemon."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mo_git.goal_status import GoalStatus
from mo_git.home import Home
from mo_git.ledger.reader import Reader
from mo_git.lifecycle import has_ended
from mo_git.process import Identity, is_alive

# Every `sh -n` of the gate really reads the tree: the gate proof spoils src/*.sh, and the gate goes red.
GATE = "cat src/*.sh | sh -n"
SOURCE = "greet() {\n  echo hello\n}\n"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class World:
    """A temporary directory with a home of its own; `environ` is the whole environment of its programs."""

    place: Path
    environ: Mapping[str, str]

    def run(self, *argv: str, cwd: Path, stdin: str | None = None) -> str:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=self.environ,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def repository(self, name: str = "repo", files: int = 30, *, changed: int = 0) -> Path:
        """A repository with `files` small files, src/app.sh among them, and a second commit if `changed`."""
        top = self.place / name
        top.mkdir()
        self.run("git", "init", "-q", "-b", "main", cwd=top)
        _write(top / "src" / "app.sh", SOURCE)
        _write(top / "out" / "keep", "")
        for number in range(files - 2):
            _write(top / f"data/{number // 100:03d}/file-{number:05d}.txt", f"{number}\n" * (5 + number % 40))
        self.commit(top, "first")
        for number in range(changed):
            _write(top / f"data/{number // 100:03d}/file-{number:05d}.txt", f"changed {number}\n")
        if changed:
            self.commit(top, "second")
        return top

    def commit(self, top: Path, message: str) -> str:
        self.run("git", "add", "-A", cwd=top)
        self.run("git", "commit", "-q", "-m", message, cwd=top)
        return self.run("git", "rev-parse", "HEAD", cwd=top)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@contextmanager
def world() -> Iterator[World]:
    """A fresh world; it is deleted afterwards."""
    place = Path(tempfile.mkdtemp(prefix="mo-bench-"))
    home = place / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[init]\n\tdefaultBranch = main\n")
    environ = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("GIT_", "MO_", "XDG_", "PYTHON"))
    }
    for role in ("AUTHOR", "COMMITTER"):
        environ[f"GIT_{role}_NAME"] = "A Person"
        environ[f"GIT_{role}_EMAIL"] = "person@example.org"
    environ |= {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "TERM": "dumb",
    }
    try:
        yield World(place, environ)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def mo_argv() -> list[str]:
    """How `mo` is started here: the installed script beside this Python, else the module."""
    script = Path(sys.executable).with_name("mo")
    return [str(script)] if script.exists() else [sys.executable, "-m", "mo_git"]


class Mo:
    """`mo` in one repository of a world, and its daemon."""

    def __init__(self, world: World, top: Path, gates: int = 1) -> None:
        self.world = world
        self.top = top
        self.home = Home(top, top / ".git")
        (top / ".mo").mkdir()
        gate = f"[gate]\ncommand = {json.dumps(GATE)}\nparallel = {gates}\n"
        (top / ".mo" / "local.toml").write_text(gate)

    def __call__(self, *args: str) -> str:
        return self.world.run(*mo_argv(), *args, cwd=self.top)

    def plan(self, tasks: Sequence[Mapping[str, Any]]) -> str:
        """Write a plan file; returns the argument that names it."""
        file = self.world.place / "plan.json"
        file.write_text(json.dumps({"goal": "bench", "task": list(tasks)}))
        return f"@{file}"

    def finish(self, tasks: Sequence[Mapping[str, Any]], *args: str) -> GoalStatus:
        """Queue a goal, wait for its end, check that everything landed."""
        goal = self.ended(self("do", self.plan(tasks), "--detach", *args))
        self.demand(goal)
        return goal

    def demand(self, goal: GoalStatus) -> None:
        states = {str(task.state) for task in goal.tasks.values()}
        if states != {"landed"}:
            raise RuntimeError(f"{goal.id}: {states} {goal.reason}\n{self.home.log_file.read_text()[-3000:]}")

    def ended(self, goal: str, seconds: float = 300) -> GoalStatus:
        """The goal once it has ended; looks at status.json, which costs the daemon nothing."""
        wait_until(lambda: _has_ended(self.home, goal), seconds)
        reader = Reader.open(self.home.database)
        assert reader is not None
        try:
            status = reader.goal(goal)
        finally:
            reader.close()
        assert has_ended(status)
        return status

    def daemon(self) -> Identity | None:
        document = self.home.read_daemon()
        if document is None:
            return None
        identity = Identity(document["pid"], document["start"], document["boot"])
        return identity if is_alive(identity) else None

    def pid(self) -> int:
        identity = self.daemon()
        assert identity is not None
        return identity.pid

    def stop(self) -> None:
        """End the daemon, by its own way first."""
        identity = self.daemon()
        if identity is None:
            return
        for number, seconds in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
            os.kill(identity.pid, number)
            try:
                wait_until(lambda: not is_alive(identity), seconds)
            except TimeoutError:
                continue
            return


@contextmanager
def daemon(gates: int = 1) -> Iterator[Mo]:
    """A fresh repository whose daemon runs and has proved the gate already; nothing of it is left.

    `gates` may run at once.
    """
    with world() as here:
        mo = Mo(here, here.repository(), gates)
        try:
            mo.finish([task("warm")])
            yield mo
        finally:
            mo.stop()


def task(name: str, **more: Any) -> dict[str, Any]:
    """A command task of about 10 ms that writes one file."""
    return {"id": name, "run": ["sh", "-c", command(name)], **more}


def command(name: str) -> str:
    return f"sleep 0.01; echo {name} > out/{name}"


def _has_ended(home: Home, goal: str) -> bool:
    goals = (home.read_status() or {}).get("goals", [])
    return any(entry["id"] == goal and entry["state"] in ("done", "failed", "halted") for entry in goals)


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.005) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError(f"waited {seconds} s in vain")
        time.sleep(pause)


# -- what the kernel says about a process (proc(5)) -----------------------------------------------------


def cpu_seconds(pid: int) -> tuple[float, float]:
    """User + system time of a process, and of its children that ended and were waited for."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat[stat.rindex(")") + 2 :].split()
    user, system, children_user, children_system = (int(field) / TICKS for field in fields[11:15])
    return user + system, children_user + children_system


def bare_memory() -> float:
    """Resident memory in MiB of a Python that does nothing."""
    sleeper = subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1)
    assert sleeper.stdout is not None
    try:
        sleeper.stdout.readline()
        return resident_mb(sleeper.pid)
    finally:
        sleeper.kill()
        sleeper.communicate()


def resident_mb(pid: int) -> float:
    """Resident memory in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no memory is shown for {pid}")
