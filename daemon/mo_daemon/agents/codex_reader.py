"""Codex's JSON lines: events as they come, and what the ending means.

Only `turn.failed` is final, and it has nothing but a message: the class is in its text.  Tokens are told
when a turn is complete, as the sum over the thread, and never money.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mo_daemon.agents import describe, prices, stream
from mo_daemon.agents.codex_rollout import Rollout, counted
from mo_daemon.agents.endings import (
    SUMMARY_LIMIT,
    by_status,
    failed,
    last_line,
    usage_event,
    without_verdict,
)
from mo_daemon.agents.protocol import Event, EventKind, Job, Outcome, Usage
from mo_daemon.agents.saidtimes import said_time
from mo_daemon.agents.settings import Price
from mo_daemon.agents.stream import mapping, sequence, text
from mo_git.model import FailureClass as F
from mo_git.process import Ending
from mo_git.text import one_line

_STATUS = re.compile(r"^(?:unexpected status|exceeded retry limit, last status:) (\d{3})\b")
# Apostrophes may be typographic, so no pattern contains one.
_BY_TEXT = tuple(
    (re.compile(pattern, re.IGNORECASE), failure)
    for pattern, failure in (
        (r"^.{0,10}hit your usage limit", F.USAGE_LIMIT),
        (r"^quota exceeded|^.{0,60}insufficient_quota", F.NO_CREDIT),
        (r"^(stream disconnected before completion: )?rate limit (exceeded|reached)", F.RATE_LIMIT),
        (r"^codex ran out of room in the model.s context window", F.CONTEXT_OVERFLOW),
        (r'^\{.*"code":\s*"context_length_exceeded"', F.CONTEXT_OVERFLOW),  # older ones pass it on as it is
        (r"^selected model is at capacity", F.OVERLOADED),
        (r"^.{0,10}currently experiencing high demand", F.PROVIDER_DOWN),
        (r"^missing environment variable: ", F.AUTH),
        (r"^(not logged in|.{0,60}(log|sign) ?in again|your access token could not be refreshed)", F.AUTH),
        (r"^the model .{1,100} does not exist|^the .{1,100} model is not supported", F.BAD_MODEL),
        (r"^(stream disconnected before completion|connection failed|error sending request)", F.NETWORK),
        (r"^(request timed out|timeout waiting for|network error)", F.NETWORK),
    )
)
_WRONG_MODEL = re.compile(r"\bmodel\b.{0,120}\b(does not exist|not found|not supported)", re.IGNORECASE)
_RECONNECTING = re.compile(r"^Reconnecting\.\.\. (?:(\d+/\d+)|waiting for network) ?\((.*)\)$", re.DOTALL)
_BY_STDERR = (
    (
        re.compile(r"^error: (unexpected argument|invalid value|the argument|a value is required)"),
        F.BAD_CONFIG,
    ),
    (re.compile(r"^Not inside a trusted directory"), F.BAD_CONFIG),
    (
        re.compile(r"^(Error: )?(Error|error|failed) (loading|parsing|to load|to parse).{0,20}config"),
        F.BAD_CONFIG,
    ),
    (re.compile(r"^(Error: )?.{0,40}CODEX_HOME points to"), F.BAD_CONFIG),
)
_NO_SESSION = re.compile(r"^Error: thread/resume: .*no rollout found")
_REJECTED = re.compile(r"patch rejected: (.{1,120}?)(;|$)")
_HARMLESS = ("Reading additional input from stdin", "Reading prompt from stdin", "WARNING: proceeding")
_DEAD_SANDBOX = "Refusing to create helper binaries under temporary dir"


class CodexReader:
    """Reads one run."""

    def __init__(self, job: Job, model: str = "", price: Price | None = None) -> None:
        self._job = job
        self._model = model
        self._price = price
        self._session = ""
        self._said = ""
        self._seen: set[str] = set()
        self._usage = Usage()
        self._rollout = Rollout(job)
        self._complete = False
        self._failure = ""
        self._waiting = ""  # for what it tries to reconnect
        self._changes = {"completed": 0, "failed": 0}

    def feed(self, line: bytes) -> Sequence[Event]:
        event = stream.parse(line)
        if event is None:
            return ()
        kind = text(event.get("type"))
        if kind in ("item.started", "item.updated", "item.completed"):
            return self._item(kind, mapping(event.get("item")))
        if kind == "thread.started":
            self._session = text(event.get("thread_id"))
            data = {"session": self._session, "model": self._model, "version": ""}
            return (Event(EventKind.STARTED, self._model, data),)
        if kind == "turn.started":
            self._complete, self._failure = False, ""
        elif kind == "turn.completed":
            return self._completed(mapping(event.get("usage")))
        elif kind == "turn.failed":
            self._failure = text(mapping(event.get("error")).get("message")) or "the turn failed"
            return (
                *self._count(self._rollout.total(self._session)),
                Event(EventKind.RESULT, one_line(self._failure)),
            )
        elif kind == "error":
            return self._trouble(text(event.get("message")))
        return ()

    def _item(self, kind: str, item: Mapping[str, Any]) -> Sequence[Event]:
        what = text(item.get("type"))
        self._waiting = ""
        if what == "agent_message":
            if kind != "item.completed":
                return ()
            self._said = text(item.get("text"))
            return (Event(EventKind.TEXT, one_line(self._said)),)
        if what == "file_change" and kind == "item.completed":
            status = text(item.get("status"))
            self._changes[status] = self._changes.get(status, 0) + 1
        key, call = text(item.get("id")), _call(what, item, self._job)
        grown = self._count(self._rollout.total(self._session)) if kind == "item.completed" else ()
        if key in self._seen or not call:
            return grown
        self._seen.add(key)
        return (Event(EventKind.TOOL, call), *grown)

    def _completed(self, usage: Mapping[str, Any]) -> Sequence[Event]:
        self._complete = True
        return (*self._count(counted(usage)), Event(EventKind.RESULT, one_line(self._said)))

    def _count(self, total: Usage | None) -> Sequence[Event]:
        """Take the thread's total; what earlier runs used is taken off."""
        if total is None:
            return ()
        before = self._job.session_usage
        sent = _beyond(total.input_tokens, before.input_tokens)
        cached = min(sent, _beyond(total.cached_input_tokens, before.cached_input_tokens))
        written = _beyond(total.output_tokens, before.output_tokens)
        money = prices.cost(self._model, Usage(sent, cached, written), self._price)
        usage = Usage(sent, cached, written, money, estimated=True)
        if usage == self._usage:
            return ()
        self._usage = usage
        return (usage_event(usage),)

    def _trouble(self, message: str) -> Sequence[Event]:
        """An `error` is not final: mostly it says that it connects again."""
        match = _RECONNECTING.match(message)
        if match is None:
            return ()
        self._waiting = match[2]
        failure = _class_of(self._waiting)
        data = {"seconds": 0.0, "class": failure, "status": _status(self._waiting)}
        return (Event(EventKind.RETRY, f"{failure}, tries again ({match[1] or 'for ever'})", data),)

    def usage(self) -> Usage:
        return self._usage

    def outcome(self, ending: Ending, stderr: str, now: float) -> Outcome:
        more: dict[str, Any] = {
            "session": self._session,
            "usage": self._usage,
            "summary": self._said[:SUMMARY_LIMIT],
            "denials": tuple(f"apply_patch ({why})" for why, _ in _REJECTED.findall(stderr)),
        }
        if self._failure:
            failure = _class_of(self._failure)
            limited = failure in (F.USAGE_LIMIT, F.RATE_LIMIT)
            retry_at = said_time(self._failure, now) if limited else None
            return failed(failure, self._failure, retry_at=retry_at, **more)
        if not self._complete:
            self._count(self._rollout.total(self._session))
            more["usage"] = self._usage
            return self._unsaid(ending, stderr, now, more)
        dead = _DEAD_SANDBOX in stderr and not self._job.contained  # in mo's sandbox its own is off
        if dead and self._changes["failed"] and not self._changes["completed"]:
            reason = "CODEX_HOME lies below the temporary directory: its sandbox lets nothing run"
            return failed(F.BAD_CONFIG, reason, **more)
        return self._good(more)

    def _good(self, more: Mapping[str, Any]) -> Outcome:
        if self._job.schema is None:
            return Outcome(None, **more)
        answer = stream.answer_in(self._said)
        if answer is None:
            return failed(F.INVALID_OUTPUT, "the answer is not the JSON that was asked for", **more)
        return Outcome(None, structured=answer, **more)

    def _unsaid(self, ending: Ending, stderr: str, now: float, more: dict[str, Any]) -> Outcome:
        """A run that ended in the middle of a turn, or before the first."""
        if self._waiting and (ending.timed_out or ending.code != 0):
            failure = _class_of(self._waiting)
            reason = f"still trying again when it was ended: {self._waiting}"
            return failed(failure, reason, retry_at=said_time(self._waiting, now), **more)
        lines = [line.strip() for line in stderr.splitlines() if not line.startswith(_HARMLESS)]
        for line in lines:
            for pattern, failure in _BY_STDERR:
                if pattern.search(line):
                    return failed(failure, line, **more)
            if _NO_SESSION.search(line):
                return failed(F.CRASH, line, **(more | {"session": ""}))
        said = last_line("\n".join(lines)) if ending.code else ""
        known = _class_of(said.removeprefix("ERROR: ")) if said.startswith("ERROR: ") else F.CRASH
        if known is not F.CRASH and not ending.timed_out:
            return failed(known, said.removeprefix("ERROR: "), **more)
        return failed(*without_verdict(ending, said), **more)


def _call(what: str, item: Mapping[str, Any], job: Job) -> str:
    """What an item does, for people; empty where it does nothing."""
    if what == "command_execution":
        return describe.command_line(text(item.get("command")))
    if what == "file_change":
        changes = [mapping(change) for change in sequence(item.get("changes"))]
        pairs = [(text(change.get("kind")), text(change.get("path"))) for change in changes]
        return describe.file_changes(pairs, job.worktree)
    if what == "mcp_tool_call":
        return one_line(f"call {text(item.get('server'))} {text(item.get('tool'))}", describe.LIMIT)
    if what == "web_search":
        return one_line(f"search the web for {text(item.get('query'))}", describe.LIMIT)
    return "plan" if what == "todo_list" else ""


def _status(message: str) -> int | None:
    match = _STATUS.match(message)
    return int(match[1]) if match else None


def _class_of(message: str) -> F:
    """The class that a failure's message stands for."""
    status = _status(message)
    if status is not None:
        if _WRONG_MODEL.search(message) and status in (400, 404):
            return F.BAD_MODEL
        # a path that the server does not have: the configured address is wrong
        return by_status(status) or (F.BAD_CONFIG if status in (404, 405) else F.CRASH)
    return next((failure for pattern, failure in _BY_TEXT if pattern.search(message)), F.CRASH)


def _beyond(total: int, before: int) -> int:
    """What a run added to the thread's total; a smaller total was counted anew."""
    return total - before if total >= before else total
