"""Tells people: on the desktop, by a command of theirs, by a webhook.  Nothing here holds up the daemon.

Each way has its own time limit; one that fails is logged, and nothing else follows.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import urllib.request
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, replace

from mo_daemon.notices import Notice, Rate, notices
from mo_daemon.services import Services
from mo_git import __version__
from mo_git.model import Fact

log = logging.getLogger("mo")

COMMAND_SECONDS = 30.0
WEBHOOK_SECONDS = 10.0
WAITING = 100  # notices; older ones make room


class Notifier:
    """Used from the event loop's thread; `deliver` is the job that tells what `take` found."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._rate = Rate()
        self._waiting: deque[Notice] = deque(maxlen=WAITING)

    @property
    def is_due(self) -> bool:
        return bool(self._waiting)

    def take(self, facts: Sequence[Fact]) -> None:
        """Look at facts that have just been recorded."""
        services, settings = self._services, self._services.settings.notify
        if not (settings.desktop or settings.command or settings.webhook):
            return
        for notice in notices(facts, services.goals, settings.events):
            if self._rate.admits(settings.per_minute, services.now()):
                self._waiting.append(replace(notice, text=notice.text + self._rate.take_left_out()))

    async def deliver(self) -> None:
        while self._waiting:
            notice, settings = self._waiting.popleft(), self._services.settings.notify
            if settings.command:
                await self._run(["sh", "-c", settings.command], notice)
            if settings.desktop:
                await self._run(desktop(notice, sys.platform), notice)
            if settings.webhook:
                await self._post(settings.webhook, notice)

    async def _run(self, argv: Sequence[str], notice: Notice) -> None:
        services = self._services
        told = {f"MO_{name.upper()}": value for name, value in asdict(notice).items()}
        try:
            ending = await services.run(
                argv=tuple(argv),
                cwd=services.home.top,
                env={**services.environ, **told},
                log=services.home.log_file.parent / "notify.log",
                timeout=COMMAND_SECONDS,
                purpose=f"notify {notice.goal}",
            )
        except OSError as error:
            log.warning("cannot notify by %s: %s", argv[0], error.strerror or error)
            return
        if ending.code != 0:
            how = "timed out" if ending.timed_out else f"exit code {ending.code}"
            log.warning("notify: %s: %s (see .mo/log/notify.log)", argv[0], how)

    async def _post(self, url: str, notice: Notice) -> None:
        try:
            await asyncio.to_thread(_post, url, notice)
        except (OSError, ValueError) as error:  # also what the other side answered
            log.warning("notify: the webhook failed: %s", error)


def desktop(notice: Notice, platform: str) -> list[str]:
    """The command that shows a notice on the desktop; what it says is no part of a script."""
    if platform == "darwin":
        script = "on run argv\ndisplay notification (item 1 of argv) with title (item 2 of argv)\nend run"
        return ["osascript", "-e", script, notice.text, "mo"]
    return ["notify-send", "--app-name=mo", "--", "mo", notice.text]


def _post(url: str, notice: Notice) -> None:
    body = json.dumps({"v": 1, **asdict(notice)}).encode()
    headers = {"Content-Type": "application/json", "User-Agent": f"mo/{__version__}"}
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=WEBHOOK_SECONDS) as answer:
        answer.read(1)
