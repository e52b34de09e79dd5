"""Following a job of simple mode: counts, rate, time left and cost, on one line that changes in place."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType

import click

from mo_git import views
from mo_git.cli import Context
from mo_git.cli.context import emit_json, use_color
from mo_git.cli.follow import Detached, Shower, follow
from mo_git.cli.guided import exit_code
from mo_git.errors import Exit
from mo_git.goal_status import GoalStatus
from mo_git.home import Home
from mo_git.model import Fact, GoalState
from mo_git.simple.view import Pace, done, lost, progress_line
from mo_git.text import one_line

_POLL_SECONDS = 0.25
_LINE_SECONDS = 5.0  # between two lines where there is no terminal


def follow_job(obj: Context, home: Home, job: str, after: int = 0) -> Exit:
    """Follow a job to its end, say how it ended, return the exit code; Ctrl-C only stops following.

    Facts up to the number `after` count as known.
    """
    try:
        status = follow(home, job, obj, after=after, shower=_shower(obj), pause=_POLL_SECONDS)
    except Detached:
        said = f"no longer following; {job} goes on (mo simple status {job}, mo simple cancel {job})"
        click.echo(said, err=True)
        return Exit.INTERRUPTED
    if not obj.json:
        click.echo("\n".join(_ending(status)))
    return exit_code(status)


def _ending(goal: GoalStatus) -> list[str]:
    items = goal.items or {}
    lines = [_line(goal, 0.0)]
    if goal.reason:
        lines.append(f"  {one_line(goal.reason)}")
    if lost(items):
        lines.append(f"  what failed: mo simple show {goal.id}   again: mo simple retry {goal.id}")
    if goal.landings and goal.spec.deliver == "branch" and goal.state in (GoalState.DONE, GoalState.FAILED):
        lines.append(f"  to have it on {goal.spec.target or 'your branch'}: mo land {goal.id}")
    return lines


def _line(goal: GoalStatus, rate: float) -> str:
    total = goal.spec.bulk.items if goal.spec.bulk else 0
    return progress_line(goal.id, goal.state, goal.items or {}, total, rate, goal.total().cost_usd)


def _shower(obj: Context) -> Shower:
    if obj.json:
        return _Json()
    if obj.quiet:
        return Shower()
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return _InPlace(use_color(obj))
    return _Lines()


class _Progress(Shower):
    """Knows the line as it is now."""

    def __init__(self) -> None:
        self._pace = Pace()

    def line(self, goal: GoalStatus) -> str:
        return _line(goal, self._pace.rate(time.monotonic(), done(goal.items or {})))


class _Lines(_Progress):
    """A line every few seconds, when it has changed."""

    def __init__(self) -> None:
        super().__init__()
        self._at = float("-inf")
        self._said = ""

    def tick(self, goal: GoalStatus) -> None:
        line = self.line(goal)
        if line != self._said and time.monotonic() - self._at >= _LINE_SECONDS:
            click.echo(line)
            self._at, self._said = time.monotonic(), line


class _InPlace(_Progress):
    def __init__(self, color: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__()
        self._live = Live(console=Console(no_color=not color), auto_refresh=False, transient=True)

    def __enter__(self) -> Shower:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def tick(self, goal: GoalStatus) -> None:
        from rich.text import Text

        self._live.update(Text(self.line(goal), no_wrap=True, overflow="ellipsis"), refresh=True)


class _Json(_Progress):
    """Events, and counts whenever they have changed; the end comes once, and last."""

    def __init__(self) -> None:
        super().__init__()
        self._items: dict[str, int] = {}

    def fact(self, fact: Fact, goal: GoalStatus, counted: bool) -> None:
        if fact.kind != "goal_ended":
            emit_json(views.event_document(fact))

    def tick(self, goal: GoalStatus) -> None:
        items = {str(state): number for state, number in (goal.items or {}).items()}
        if items and items != self._items:
            self._items = items
            emit_json({"event": "items", "goal": goal.id, "items": items})

    def end(self, goal: GoalStatus) -> None:
        emit_json({"event": "goal_ended", "goal": goal.id, "state": goal.state, "reason": goal.reason})
