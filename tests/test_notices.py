"""Notifications: what is worth one, how often, and that they get out and hold up nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from mo_daemon.notices import Notice, Rate, notices
from mo_daemon.notifier import desktop
from mo_git.model import Kind, TaskSpec
from tests.driver import Mo, plan
from tests.story import Story

EVENTS = ("goal_started", "goal_ended", "task_landed", "task_failed", "needs_you")


def story() -> Story:
    told = Story((TaskSpec("mop", run=("true",)),))
    told.start()
    return told


def of(told: Story, events: tuple[str, ...] = EVENTS) -> list[Notice]:
    return notices(told.facts[-1:], {told.goal.id: told.goal}, events)


def test_words() -> None:
    told = story()
    name = told.goal.id
    assert [one.event for one in of(told)] == ["goal_started"]
    told.tell(Kind.FAILED, "mop", **{"class": "crash", "reason": "it\nfell over"})
    assert of(told) == [Notice("task_failed", name, "mop", "failed", f"{name}/mop failed: it fell over")]
    assert of(told, ("goal_ended",)) == []
    told.tell(Kind.GOAL_ENDED, state="over_budget", reason="the goal's budget of $1.00 is spent")
    text = f"{name} over budget: the goal's budget of $1.00 is spent"
    assert of(told) == [Notice("goal_ended", name, "", "over_budget", text)]


def test_no_more_than_so_many_in_a_minute() -> None:
    rate = Rate()
    assert [rate.admits(2, now) for now in (0.0, 1.0, 2.0, 3.0)] == [True, True, False, False]
    assert rate.admits(2, 60.5)
    assert (rate.take_left_out(), rate.take_left_out()) == (" (and 2 more before it)", "")


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_what_a_notice_says_is_an_argument_of_its_own(platform: str) -> None:
    text = '"; do shell script "rm" --'
    assert text in desktop(Notice("goal_ended", "g", "", "done", text), platform)


@pytest.fixture
def hook() -> Iterator[tuple[str, list[Any]]]:
    """A webhook that refuses everything, and what it got."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_error(500)

        def log_message(self, *_args: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", got
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_command_and_a_webhook_are_told(mo: Mo, hook: tuple[str, list[Any]]) -> None:
    """They also fail, and the goal ends well all the same."""
    url, got = hook
    notes = mo.repo.path.parent / "notes"
    command = f'echo "$MO_EVENT $MO_GOAL $MO_TASK $MO_STATE: $MO_TEXT" >> {notes}; exit 3'
    told = {"command": command, "webhook": url, "events": ["task_landed", "goal_ended"]}
    mo.configure(gate={"command": "none"}, notify=told)
    file = mo.repo.path.parent / "plan.json"
    file.write_text(plan([{"id": "mop", "run": ["sh", "-c", "echo 1 > clean"]}]))
    mo("do", f"@{file}")
    mo.wait_for(lambda: len(got) == 2)
    goal = mo.goal().id
    landed = {"event": "task_landed", "goal": goal, "task": "mop", "state": "landed"}
    assert got[0] == {"v": 1, **landed, "text": f"{goal}/mop landed"}
    assert (got[1]["event"], got[1]["state"]) == ("goal_ended", "done")
    assert notes.read_text().splitlines() == [
        f"task_landed {goal} mop landed: {goal}/mop landed",
        f"goal_ended {goal}  done: {goal} done",
    ]
    mo.wait_for(lambda: mo.log().count("notify: ") == 4)


@pytest.mark.parametrize(
    ("key", "value"), [("webhook", "file:///etc/passwd"), ("events", '["everything"]'), ("per_minute", "0")]
)
def test_settings_that_make_no_sense(mo: Mo, key: str, value: str) -> None:
    mo.configure()
    said = mo("config", "set", f"notify.{key}", value, code=7)
    assert f"notify.{key}" in said.err
