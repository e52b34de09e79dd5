"""Talking to the daemon: requests go into the inbox, what came of them is read from the ledger."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from mo_git import __version__
from mo_git.cli import Context
from mo_git.cli.context import emit_json
from mo_git.config_layers import fingerprint
from mo_git.errors import Exit, MoError
from mo_git.home import Home
from mo_git.ledger.looking import open_reader
from mo_git.ledger.reader import Reader
from mo_git.model import ENDED_GOAL
from mo_git.process import Identity, identify, is_alive, reap, start_detached, without_git_variables

RECORD_SECONDS = 2.0  # how long a verb waits before it says that its request is queued
START_SECONDS = 10.0
STOP_SECONDS = 20.0
GONE_SECONDS = 3.0  # how long no daemon may be there while somebody waits for it
_RACE_SECONDS = 0.1  # how long to leave to a daemon that holds the lock and has not shown itself
_POLL_SECONDS = 0.02
_FIRST_POLL_SECONDS = 0.002  # an idle daemon answers within milliseconds; the pauses double up to the next
_OUTCOME_POLL_SECONDS = 0.03
_TAIL_LINES = 8
_ERROR_MARK = "mo-daemon: error: "  # before the JSON of a MoError in the log of a daemon that cannot start
_OTHER_RUNS = "mo-daemon: already running"  # what a daemon says that finds the lock held
_MAKES_HOME = frozenset({"do", "init", "prove"})


@dataclass(frozen=True, slots=True)
class DaemonInfo:
    """A daemon that is alive, as it wrote itself down."""

    identity: Identity
    version: str
    started_at: float  # seconds since the epoch; 0 where it did not say
    settings: str = ""  # fingerprint of the settings in its environment


class DaemonGone(MoError):
    """The daemon ended while somebody waited for it; the request stays recorded or queued."""


def daemon_argv(home: Home, *options: str) -> list[str]:
    """The daemon's command line; -P keeps the repository, where it runs, from being imported from."""
    return [sys.executable, "-P", "-m", "mo_daemon.main", "--top", str(home.top), *options]


# -- the process --------------------------------------------------------------------------------------


def find_daemon(home: Home) -> DaemonInfo | None:
    """The daemon that `daemon.json` names, if exactly that process lives."""
    document = home.read_daemon() or {}
    try:
        identity = Identity(int(document["pid"]), str(document["start"]), str(document["boot"]))
        info = DaemonInfo(
            identity,
            str(document["version"]),
            float(document.get("started_at") or 0),
            str(document.get("settings", "")),
        )
    except (KeyError, TypeError, ValueError):
        return None
    return info if is_alive(identity) else None


def unfinished_goals(home: Home) -> list[str]:
    """Goals that the last `status.json` shows as not ended."""
    goals = (home.read_status() or {}).get("goals", [])
    return [str(goal["id"]) for goal in goals if goal["state"] not in ENDED_GOAL]


def ensure_daemon(home: Home) -> DaemonInfo:
    """The repository's daemon, started if there is none.

    An idle one of another version, or with other settings in its environment, is replaced; a busy one is
    kept, with a warning.  MoError (daemon, or the code that the daemon gave) where it cannot start.
    """
    running = find_daemon(home)
    if running is None:
        return _start(home)
    other = ""
    if running.version != __version__:
        other = f"the daemon is mo {running.version}, this is mo {__version__}"
    elif running.settings != fingerprint(os.environ):
        other = "the daemon was started with other MO_* settings in its environment"
    if not other:
        return running
    if unfinished_goals(home):
        click.echo(
            f"warning: {other}; it is busy and is kept (mo daemon stop, then mo daemon start changes it)",
            err=True,
        )
        return running
    stop_daemon(running)
    return _start(home)


def _start(home: Home) -> DaemonInfo:
    log = home.log_file
    log.parent.mkdir(parents=True, exist_ok=True)
    limit = time.monotonic() + START_SECONDS
    pid, written = _launch(home)
    while (info := find_daemon(home)) is None:
        reap([pid])
        if identify(pid) is None:
            _raise_start_failure(home, written)
            time.sleep(_RACE_SECONDS)
            pid, written = _launch(home)
        if time.monotonic() >= limit:
            raise MoError(
                f"the daemon did not get ready within {START_SECONDS:g} s", f"see {log}", Exit.DAEMON
            )
        time.sleep(_POLL_SECONDS)
    # Another command's daemon was faster.  Ours ends by itself; left alone, it might outlive that one.
    while info.identity.pid != pid and identify(pid) is not None and time.monotonic() < limit:
        reap([pid])
        time.sleep(_POLL_SECONDS)
    return info


def _launch(home: Home) -> tuple[int, int]:
    """Start the daemon's program: (its pid, the length of the log before)."""
    log = home.log_file
    written = log.stat().st_size if log.exists() else 0
    env = without_git_variables(os.environ)
    return start_detached(daemon_argv(home), cwd=home.top, env=env, log=log), written


def _raise_start_failure(home: Home, written: int) -> None:
    """Raise what a daemon that ended at once wrote: its own error, else the last lines of its log.

    Returns where it ended because another one holds the lock: one that gets ready, or one that is ending.
    """
    with home.log_file.open("rb") as file:
        file.seek(written)
        lines = file.read().decode("utf-8", "replace").splitlines()
    if _OTHER_RUNS in lines:
        return
    for line in reversed(lines):
        if line.startswith(_ERROR_MARK):
            error = json.loads(line.removeprefix(_ERROR_MARK))["error"]
            raise MoError(error["message"], error["hint"], Exit[error["code"].upper()])
    said = "\n".join(["the daemon ended at once", *lines[-_TAIL_LINES:]])
    raise MoError(said, f"see {home.log_file}, and try: mo daemon run", Exit.DAEMON)


def stop_daemon(info: DaemonInfo) -> None:
    """Ask this daemon to end and wait until it is gone; MoError (daemon) where it takes too long."""
    _terminate(info.identity)
    limit = time.monotonic() + STOP_SECONDS
    while is_alive(info.identity):
        if time.monotonic() >= limit:
            raise MoError(
                f"the daemon (pid {info.identity.pid}) is still ending after {STOP_SECONDS:g} s",
                "wait, and look again: mo daemon status",
                Exit.DAEMON,
            )
        time.sleep(_POLL_SECONDS)


def _terminate(identity: Identity) -> None:
    """SIGTERM to exactly this process: once a pidfd is open, its pid cannot come to mean another one."""
    if not hasattr(os, "pidfd_open"):
        if is_alive(identity):
            os.kill(identity.pid, signal.SIGTERM)
        return
    try:
        fd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        if is_alive(identity):
            signal.pidfd_send_signal(fd, signal.SIGTERM)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)


# -- requests -----------------------------------------------------------------------------------------


def send(home: Home, verb: str, payload: Mapping[str, Any]) -> str:
    """Put a request into the inbox and return its name; only `do` and `init` make a missing `.mo/`."""
    if not home.exists():
        if verb not in _MAKES_HOME:
            raise MoError("mo was never used here: there is no .mo/", "start with: mo init", Exit.NOT_FOUND)
        home.create()
    client = {
        "version": __version__,
        "pid": os.getpid(),
        "path": os.environ.get("PATH", ""),
        "virtual_env": os.environ.get("VIRTUAL_ENV", ""),
    }
    return home.drop(verb, {**payload, "client": client})


def await_outcome(home: Home, name: str, timeout: float | None) -> dict[str, Any] | None:
    """What came of a request; None if nothing did within `timeout` seconds (None: no limit).

    Raises DaemonGone where no daemon has been alive for a while.
    """
    reader: Reader | None = None
    begun = seen = time.monotonic()
    pause = _FIRST_POLL_SECONDS
    try:
        while True:
            reader = reader or open_reader(home.database)
            outcome = reader.outcome(name) if reader else None
            now = time.monotonic()
            if outcome is not None or (timeout is not None and now - begun >= timeout):
                return outcome
            if find_daemon(home):
                seen = now
            elif now - seen >= GONE_SECONDS:
                raise DaemonGone(
                    "the daemon ended before it answered; the request is kept",
                    f"mo daemon start goes on with it; see {home.log_file}",
                    Exit.DAEMON,
                )
            time.sleep(pause)
            pause = min(pause * 2, _OUTCOME_POLL_SECONDS)
    finally:
        if reader:
            reader.close()


def settle(home: Home, name: str, timeout: float | None) -> dict[str, Any] | None:
    """As `await_outcome`, but a daemon that goes away is started once more."""
    try:
        return await_outcome(home, name, timeout)
    except DaemonGone:
        ensure_daemon(home)
        return await_outcome(home, name, timeout)


def raise_if_refused(outcome: Mapping[str, Any]) -> None:
    """A refusal as the MoError that the daemon meant."""
    if not outcome["ok"]:
        code = str(outcome.get("code", "failed")).upper()
        known = Exit[code] if code in Exit.__members__ else Exit.FAILED
        raise MoError(str(outcome["message"]), str(outcome.get("hint", "")), known)


def request(
    obj: Context,
    home: Home,
    verb: str,
    payload: Mapping[str, Any],
    *,
    start_daemon: bool,
    wait: float | None = RECORD_SECONDS,
) -> dict[str, Any] | None:
    """Send a request and wait up to `wait` seconds (None: no limit) for what comes of it.

    None where it is only queued, which has been said then; a refusal raises.  The daemon is started before
    the request is sent: one that cannot start leaves nothing behind that would surprise later.
    """
    if start_daemon and home.exists():
        ensure_daemon(home)
    name = send(home, verb, payload)
    if not start_daemon and find_daemon(home) is None:
        _say_queued(
            obj, verb, name, "no daemon is running; mo daemon start (or the next mo do) carries it out"
        )
        return None
    try:
        outcome = settle(home, name, wait) if start_daemon else await_outcome(home, name, wait)
    except KeyboardInterrupt:
        _say_queued(obj, verb, name, "no longer waiting; the daemon goes on (mo status)")
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None
    if outcome is None:
        _say_queued(obj, verb, name, "the daemon is busy and will carry it out (mo status)")
        return None
    raise_if_refused(outcome)
    return outcome


def _say_queued(obj: Context, verb: str, name: str, who: str) -> None:
    if obj.json:
        emit_json({"v": 1, "state": "queued", "request": name, "verb": verb, "message": who})
    else:
        click.echo(f"{verb} is queued: {who}")


def report(obj: Context, outcome: Mapping[str, Any] | None) -> None:
    """Print what came of a request; nothing for one that is only queued."""
    if outcome is None:
        return
    if obj.json:
        emit_json({"v": 1, **outcome})
        return
    click.echo(outcome["message"])
    if not obj.quiet:
        for line in outcome.get("details", ()):
            click.echo(f"  {line}")
