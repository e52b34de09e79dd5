"""`mo logs`: what the daemon, a goal or an attempt wrote; -f follows by looking again."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import click

from mo_git import views
from mo_git.cli import Context
from mo_git.cli.context import emit_json, json_option, open_home, open_reader
from mo_git.cli.ids import ID, find_attempt, find_task, resolve_goal, split
from mo_git.errors import Exit, MoError
from mo_git.goal_status import GoalStatus
from mo_git.home import Home
from mo_git.ledger.reader import Reader
from mo_git.lifecycle import apply, new_goal
from mo_git.model import RESERVED_TASK_IDS
from mo_git.text import printable
from mo_git.views.streams import stream_lines

_POLL_SECONDS = 0.2
_STREAM = "stream.jsonl"
_ATTEMPT_FILES = ("setup.log", "stream.log", _STREAM, "stderr.log", "check.log", "teardown.log")
_REVIEW = "review-"  # how the directory of a review begins
_STAMP = re.compile(r"\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)")


@click.command(name="logs")
@click.argument("what", default="", type=ID, metavar="[ID]")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added, until Ctrl-C.")
@click.option("--since", metavar="TIME", help="Only newer lines: seconds ago, HH:MM, or a date and time.")
@click.option("--raw", is_flag=True, help="An agent's stream as it is, not in words.")
@json_option
@click.pass_obj
def command(obj: Context, what: str, follow: bool, since: str | None, raw: bool) -> None:
    """Print what the daemon, a goal or an attempt wrote.

    Without ID the daemon's log.  GOAL: its events, a line each.  GOAL/TASK or GOAL/TASK#N: what the attempt
    (the newest one, or the Nth), its check and its reviews printed; the stream of claude or codex in words,
    where > is a tool that it calls, | what came of that, ! trouble.  GOAL/integration: the runs of the gate.
    """
    home = open_home(obj)
    start = parse_time(since, time.time()) if since else 0.0
    try:
        if not what:
            _daemon_log(obj, home, start, follow)
            return
        goal, task, number = split(what)
        if not task:
            _events(obj, home, goal, start, follow)
        elif since:
            raise MoError(
                "--since works on the daemon's and on a goal's log only", "leave it out", Exit.USAGE
            )
        else:
            _files(obj, home, goal, task, number, follow, raw)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(Exit.INTERRUPTED if not follow else Exit.OK) from None


def parse_time(text: str, now: float) -> float:
    """Seconds since the epoch of `90` (seconds before `now`), `12:30[:05]` (the last such time), or a date.

    Times without a zone are local.  MoError (usage) for anything else.
    """
    try:
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return now - float(text)
        if re.fullmatch(r"\d\d?:\d\d(:\d\d)?", text):
            clock = datetime.strptime(text, "%H:%M:%S" if text.count(":") == 2 else "%H:%M")
            today = datetime.fromtimestamp(now).replace(
                hour=clock.hour, minute=clock.minute, second=clock.second, microsecond=0
            )
            return (today if today.timestamp() <= now else today - timedelta(days=1)).timestamp()
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise MoError(
            f"--since: {text!r} is no time", "write seconds (90), 12:30, or 2026-01-31T12:30", Exit.USAGE
        ) from None


# -- a goal's events ----------------------------------------------------------------------------------


def _events(obj: Context, home: Home, goal_text: str, start: float, follow: bool) -> None:
    reader = open_reader(home)
    try:
        goal = new_goal(reader.spec(resolve_goal(reader, goal_text)))
        while True:
            _print_new_events(obj, reader, goal, start)
            if not follow:
                return
            time.sleep(_POLL_SECONDS)
    finally:
        reader.close()


def _print_new_events(obj: Context, reader: Reader, goal: GoalStatus, start: float) -> None:
    for fact in reader.facts(goal.id, goal.last_seq):
        counted = apply(goal, fact)
        if fact.at < start:
            continue
        if obj.json:
            emit_json(views.event_document(fact))
        elif counted and (line := views.event_line(fact, goal)):
            click.echo(line)


# -- files --------------------------------------------------------------------------------------------


def _daemon_log(obj: Context, home: Home, start: float, follow: bool) -> None:
    if not home.log_file.exists():
        raise MoError("the daemon has written nothing yet", "mo daemon start", Exit.NOT_FOUND)
    printer = Printer(obj, lambda: [home.log_file])
    printer.newer = _newer_than(start) if start else None
    printer.run(follow)


def _files(
    obj: Context, home: Home, goal_text: str, task_text: str, number: int | None, follow: bool, raw: bool
) -> None:
    reader = open_reader(home)
    try:
        goal_id = resolve_goal(reader, goal_text)
        if task_text in RESERVED_TASK_IDS:
            listing = _gate_files(home.gate_dir(goal_id))
        else:
            goal = reader.goal(goal_id)
            task = find_task(goal, task_text)
            attempt = find_attempt(goal, task, number)
            n = attempt.n if attempt else 1
            listing = attempt_files(home.run_dir(goal_id, task.spec.id, n))
    finally:
        reader.close()
    if not follow and not listing():
        raise MoError(
            f"{goal_text}/{task_text} has written nothing yet", f"mo show {goal_id}", Exit.NOT_FOUND
        )
    Printer(obj, listing, raw=raw or obj.json).run(follow)


def attempt_files(directory: Path) -> Callable[[], list[Path]]:
    """Those of its reviews last; they are in directories of their own."""

    def found() -> list[Path]:
        own = [directory / name for name in _ATTEMPT_FILES if (directory / name).exists()]
        reviews = directory.glob(f"{_REVIEW}*/{_STREAM}")
        return own + sorted(reviews, key=lambda path: (len(path.parent.name), path))  # 10 after 9

    return found


def _gate_files(directory: Path) -> Callable[[], list[Path]]:
    """Oldest first."""
    return lambda: sorted(directory.rglob("*.log"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def _newer_than(start: float) -> Callable[[str], bool]:
    """Whether a line belongs to a time after `start`; lines without one go with the line before them."""
    state = [False]

    def newer(line: str) -> bool:
        if found := _STAMP.match(line):
            state[0] = datetime.fromisoformat(found[1].replace(",", ".")).timestamp() >= start
        return state[0]

    return newer


class Printer:
    """Prints files, several of them each below a heading, and what is added to them."""

    def __init__(self, obj: Context, listing: Callable[[], list[Path]], *, raw: bool = True) -> None:
        self.newer: Callable[[str], bool] | None = None
        self._raw = raw
        self._obj = obj
        self._listing = listing
        self._read: dict[Path, int] = {}
        self._last: Path | None = None
        self._on_terminal = sys.stdout.isatty()

    def run(self, follow: bool) -> None:
        self.step(ended=not follow)
        while follow:
            time.sleep(_POLL_SECONDS)
            self.step(ended=False)

    def step(self, *, ended: bool) -> None:
        """Print what is new; with `ended` also a line that was begun."""
        files = self._listing()
        for path in files:
            in_words = path.name == _STREAM and not self._raw
            for line in self._new_lines(path, ended=ended):
                if self.newer is None or self.newer(line):
                    for shown in stream_lines(line) if in_words else [line]:
                        self._print(path, shown, several=len(files) > 1)

    def _new_lines(self, path: Path, *, ended: bool) -> Iterator[str]:
        """Whole lines since the last look; a started one is left until its end has come."""
        done = self._read.get(path, 0)
        try:
            if path.stat().st_size < done:
                done = 0  # it was made anew
            with path.open("rb") as file:
                file.seek(done)
                data = file.read()
        except FileNotFoundError:
            return
        if not ended:
            data = data[: data.rfind(b"\n") + 1]
        self._read[path] = done + len(data)
        yield from data.decode("utf-8", "replace").removesuffix("\n").split("\n") if data else ()

    def _print(self, path: Path, line: str, *, several: bool) -> None:
        if self._obj.json:
            emit_json({"log": path.name, "line": line})
            return
        if several and path != self._last:
            gap = "\n" if self._last else ""
            where = f"{path.parent.name}/" if path.parent.name.startswith(_REVIEW) else ""
            click.echo(f"{gap}==> {where}{path.name} <==")
        self._last = path
        click.echo(printable(line) if self._on_terminal else line, color=True)
