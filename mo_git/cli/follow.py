"""Following a goal: the ledger is read again and again, and what is new is shown.

On a terminal as a table that changes in place, elsewhere a line per event, with `--json` a document per
event.  Following only reads: leaving it changes nothing for the goal.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from mo_git import fast_status, views
from mo_git.cli import Context
from mo_git.cli.client import find_daemon
from mo_git.cli.context import emit_json, use_color
from mo_git.errors import Exit, MoError
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.home import Home
from mo_git.ledger import looking
from mo_git.ledger.reader import Reader
from mo_git.lifecycle import apply, has_ended, new_goal, stands_still
from mo_git.model import Fact, GoalState, Kind, TaskState
from mo_git.plan_state import PLANNER
from mo_git.text import MARKS, counts, duration, money, one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

POLL_SECONDS = 0.1
GONE_SECONDS = 5.0  # how long no daemon may be there before following stops
_REDRAW_SECONDS = 0.5
_AT_WORK = frozenset({TaskState.RUNNING, TaskState.CHECKING, TaskState.REVIEWING, TaskState.GATING})


class Detached(Exception):
    """The person stopped following; the goal goes on."""


def follow(
    home: Home,
    goal_id: str,
    obj: Context,
    *,
    until_request: str | None = None,
    after: int = 0,
    shower: Shower | None = None,
    pause: float = POLL_SECONDS,
) -> GoalStatus:
    """Show a goal live until it ends, or until `until_request` (a name in the inbox) is settled.

    Facts up to the number `after` count but are not shown.  A goal that is not recorded yet is waited for.
    It is looked at every `pause` seconds, and shown by `shower`, or as the context wants it.

    Raises Detached on Ctrl-C, MoError (daemon) when no daemon has been alive for 5 s.
    """
    watch = Watch(home, goal_id, until_request)
    try:
        with shower or _shower(obj, home) as showing:
            while True:
                for fact, counted in watch.look():
                    assert watch.goal is not None, "facts come from a known goal"
                    if fact.seq > after:
                        showing.fact(fact, watch.goal, counted)
                if watch.goal:
                    showing.tick(watch.goal)
                    if watch.over:
                        showing.end(watch.goal)
                        return watch.goal
                watch.check_daemon()
                time.sleep(pause)
    except KeyboardInterrupt:
        raise Detached(goal_id) from None
    finally:
        watch.close()


class Watch:
    """One goal as the ledger has it, kept up to date."""

    def __init__(self, home: Home, goal_id: str, until_request: str | None) -> None:
        self.goal: GoalStatus | None = None
        self.over = False
        self._home = home
        self._goal_id = goal_id
        self._until = until_request
        self._reader: Reader | None = None
        self._alive_at = time.monotonic()

    def close(self) -> None:
        if self._reader:
            self._reader.close()

    def look(self) -> Iterator[tuple[Fact, bool]]:
        """New facts, each when it has been applied, with whether it had an effect."""
        self._reader = self._reader or looking.open_reader(self._home.database)
        if self._reader is None:
            return
        # before the facts are read: those that led to the outcome are then among them
        settled = self._until is not None and self._reader.outcome(self._until) is not None
        if self.goal is None and self._goal_id in self._reader.goal_ids():
            self.goal = new_goal(self._reader.spec(self._goal_id))
        if self.goal:
            for fact in self._reader.facts(self._goal_id, self.goal.last_seq):
                yield fact, apply(self.goal, fact)
            if self.goal.spec.bulk:
                self.goal.items = self._reader.items.counts(self._goal_id)
            still = stands_still(self.goal) and not self.goal.pending_operations()  # such as the delivery
            self.over = settled or (self._until is None and still)

    def check_daemon(self) -> None:
        now = time.monotonic()
        if find_daemon(self._home):
            self._alive_at = now
        elif now - self._alive_at > GONE_SECONDS:
            raise MoError(
                f"the daemon ended; goal {self._goal_id} stands still",
                f"mo daemon start goes on with it\nwhat happened: {self._home.log_file}",
                Exit.DAEMON,
            )


# -- ways of showing ----------------------------------------------------------------------------------


class Shower:
    """Shows nothing (`--quiet`); the others show more."""

    def __enter__(self) -> Shower:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def fact(self, fact: Fact, goal: GoalStatus, counted: bool) -> None:
        pass

    def tick(self, goal: GoalStatus) -> None:
        pass

    def end(self, goal: GoalStatus) -> None:
        pass


def _shower(obj: Context, home: Home) -> Shower:
    if obj.json:
        return _JsonLines()
    if obj.quiet:
        return Shower()
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return _Table(use_color(obj), home)
    return _Lines()


class _JsonLines(Shower):
    """Every fact; the end of the goal comes once, and last."""

    def fact(self, fact: Fact, goal: GoalStatus, counted: bool) -> None:
        if fact.kind != Kind.GOAL_ENDED:
            emit_json(views.event_document(fact))

    def end(self, goal: GoalStatus) -> None:
        if has_ended(goal):
            emit_json({"event": "goal_ended", "goal": goal.id, "state": goal.state, "reason": goal.reason})


class _Lines(Shower):
    def fact(self, fact: Fact, goal: GoalStatus, counted: bool) -> None:
        if counted and (line := views.event_line(fact, goal)):
            click.echo(line)


class _Table(Shower):
    """A table that changes in place; its last form stays on the screen."""

    def __init__(self, color: bool, home: Home) -> None:
        from rich.console import Console
        from rich.live import Live

        self._home = home
        self._console = Console(no_color=not color)
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._drawn = (-1, 0.0)  # number of the newest fact, monotonic time

    def __enter__(self) -> Shower:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def tick(self, goal: GoalStatus) -> None:
        seq, at = self._drawn
        if goal.last_seq != seq or time.monotonic() - at > _REDRAW_SECONDS:
            self._draw(goal)

    def end(self, goal: GoalStatus) -> None:
        self._draw(goal)

    def _draw(self, goal: GoalStatus) -> None:
        room = max(self._console.height - 6, 5)
        self._live.update(render(goal, time.time(), room, doing(self._home, goal)), refresh=True)
        self._drawn = (goal.last_seq, time.monotonic())


_STYLES = {"32": "green", "36": "cyan", "33": "yellow", "31": "red", "2": "dim", "": ""}


def doing(home: Home, goal: GoalStatus) -> dict[str, str]:
    """Task -> what its agent does just now; facts do not tell it, the daemon's status file does."""
    document = fast_status.load(str(home.top))
    goals = document["goals"] if document and document["daemon"] else []
    active: list[dict[str, Any]] = next((one["active"] for one in goals if one["id"] == goal.id), [])
    newest = {task.spec.id: task.attempt for task in goal.tasks.values()}
    found = {one["task"]: one["reason"] for one in active if newest.get(one["task"]) == one["attempt"]}
    return {**found, PLANNER: next((one["doing"] for one in goals if one["id"] == goal.id), "")}


def render(goal: GoalStatus, now: float, room: int, doing: Mapping[str, str] | None = None) -> RenderableType:
    """Header and a row per task, at most `room` of them: those at work first, then those in trouble.

    `doing`: task, or PLANNER -> what its agent does just now; of the verifier, too.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for width in (None, None, None, None):
        grid.add_column(no_wrap=True, width=width)
    grid.add_column(overflow="ellipsis", no_wrap=True)
    shown = _most_telling(goal, room)
    for task in shown:
        state = goal.task_state(task)
        mark, code = MARKS[state]
        attempt = f"#{task.attempt}" if task.attempt > 1 else ""
        elapsed = duration(now - task.since) if task.state in _AT_WORK else ""
        said = task.landed_commit[:7] if task.state is TaskState.LANDED else one_line(task.reason, 120)
        if not said and task.state in _AT_WORK:
            said = one_line((doing or {}).get(task.spec.id, ""), 120)
        cells = (f"{mark} {task.spec.id}", state, attempt, elapsed, said)
        grid.add_row(*(Text(cell, style=_STYLES[code] if i < 2 else "") for i, cell in enumerate(cells)))
    header = Text(f"{goal.id}  {goal.state}", style="bold", no_wrap=True, overflow="ellipsis")
    if goal.tasks:
        header.append(f"  {len(goal.landings)} landed, integration {goal.integration[:7]}", style="dim")
    if spent := goal.total().cost_usd:
        header.append(f", {money(spent)}", style="dim")
    if goal.most_iterations > 1:
        header.append(f", iteration {goal.iterations.current} of {goal.most_iterations}", style="dim")
    if goal.state is GoalState.PLANNING or goal.wants_verdict:
        header.append(f"  {one_line((doing or {}).get(PLANNER, ''), 120)}", style="dim")
    hidden = [goal.task_state(task) for task in goal.tasks.values() if task not in shown]
    more = [Text(f"and {counts({s: hidden.count(s) for s in TaskState if s in hidden})}", style="dim")]
    return Group(header, grid, *(more if hidden else []))


def _most_telling(goal: GoalStatus, room: int) -> list[TaskStatus]:
    tasks = list(goal.tasks.values())
    if len(tasks) <= room:
        return tasks

    def rank(task: TaskStatus) -> int:
        if task.state in _AT_WORK:
            return 0
        if task.state in (TaskState.FAILED, TaskState.EJECTED, TaskState.CONFLICT, TaskState.AWAITING_PERSON):
            return 1
        return 3 if task.ended else 2

    chosen = {task.spec.id for task in sorted(tasks, key=rank)[:room]}
    return [task for task in tasks if task.spec.id in chosen]
