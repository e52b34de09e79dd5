"""Claude Code's stream-json: events as they come, and what the ending means.

An API failure ends with subtype "success" and `is_error`, so the class comes from the structured fields in
this order: subtype, `terminal_reason`, `api_error`, the error of the last message, `api_error_type`, the
HTTP status; the text decides last.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mo_daemon.agents import describe, prices, stream
from mo_daemon.agents.endings import SUMMARY_LIMIT, by_status, failed, last_line, usage_event, without_verdict
from mo_daemon.agents.protocol import Event, EventKind, Job, Outcome, Usage
from mo_daemon.agents.saidtimes import said_time
from mo_daemon.agents.settings import Price
from mo_daemon.agents.stream import mapping, number, sequence, text, tokens
from mo_git.model import FailureClass as F
from mo_git.process import Ending
from mo_git.text import one_line

_BY_SUBTYPE = {
    "error_max_turns": F.TIMEOUT,
    "error_max_budget_usd": F.BUDGET,
    "error_max_structured_output_retries": F.INVALID_OUTPUT,
}
_BY_TERMINAL = {
    "prompt_too_long": F.CONTEXT_OVERFLOW,
    "rapid_refill_breaker": F.CONTEXT_OVERFLOW,
    "budget_exhausted": F.BUDGET,
    "max_turns": F.TIMEOUT,
    "structured_output_retry_exhausted": F.INVALID_OUTPUT,
}
_BY_API_ERROR = {
    "usage_limit_reached": F.USAGE_LIMIT,
    "autocompact_thrashing": F.CONTEXT_OVERFLOW,
    "connection_failed": F.NETWORK,
    "max_output_tokens": F.INVALID_OUTPUT,
}
_BY_MESSAGE = {
    "billing_error": F.NO_CREDIT,
    "model_not_found": F.BAD_MODEL,
    "authentication_failed": F.AUTH,
    "max_output_tokens": F.INVALID_OUTPUT,
}
_BY_TYPE = {
    "authentication_error": F.AUTH,
    "permission_error": F.AUTH,
    "billing_error": F.NO_CREDIT,
    "not_found_error": F.BAD_MODEL,
    "overloaded_error": F.OVERLOADED,
    "rate_limit_error": F.RATE_LIMIT,
    "request_too_large": F.CONTEXT_OVERFLOW,
    "timeout_error": F.NETWORK,
}
_BY_RETRY = {
    "rate_limit": F.RATE_LIMIT,
    "overloaded": F.OVERLOADED,
    "server_error": F.PROVIDER_DOWN,
    "authentication_failed": F.AUTH,
    "unknown": F.NETWORK,
}
_BY_TEXT = (
    (re.compile(r"^Request timed out"), F.NETWORK),
    (re.compile(r"^Credit balance is too low"), F.NO_CREDIT),
    (re.compile(r"^(Not logged in|Invalid API key|Failed to authenticate|Please run /login)"), F.AUTH),
    (re.compile(r"^Prompt is too long"), F.CONTEXT_OVERFLOW),
    (re.compile(r"^(You've|You’ve) (hit|reached) your .{0,40}limit"), F.USAGE_LIMIT),
    (re.compile(r"^There's an issue with the selected model"), F.BAD_MODEL),
    (re.compile(r"^API Error: (Connection|Request timed out)"), F.NETWORK),
)
_STATUS_TEXT = re.compile(r"^API Error:(?: Request rejected)? \(?(\d{3})\b")
# What it says on its error stream when it does not even start.
_BY_STDERR = (
    (re.compile(r"^error: (unknown option|option |too many arguments|invalid )"), F.BAD_CONFIG),
    (re.compile(r"^(Error: )?--dangerously-skip-permissions cannot be used with root"), F.BAD_CONFIG),
    (re.compile(r"^Error: (sandbox required but unavailable|When using --print)"), F.BAD_CONFIG),
    (re.compile(r"^(Error: )?(Invalid (MCP|settings|JSON)|--json-schema )"), F.BAD_CONFIG),
)
_NO_SESSION = "No conversation found with session ID"
_CHARS_A_TOKEN = 4  # rule of thumb for English text and code, until the program says the true number


class ClaudeReader:
    """Reads one run."""

    def __init__(self, job: Job, model: str = "", price: Price | None = None) -> None:
        self._job = job
        self._model = model
        self._price = price
        self._session = ""
        self._messages: dict[str, tuple[int, int, int]] = {}  # id -> input, cached, output tokens
        self._denied: list[str] = []
        self._result: Mapping[str, Any] | None = None
        self._billed = Usage()  # by result lines
        self._error = ""  # of the last message that stands for a failure
        self._retry: tuple[F, float] | None = None  # class, and when (monotonic) it goes on
        self._reset: float | None = None
        self._stray = ""
        self._last_text = ""

    def feed(self, line: bytes) -> Sequence[Event]:
        event = stream.parse(line)
        if event is None:
            self._stray = one_line(line[:2000].decode("utf-8", "replace")) or self._stray
            return ()
        kind = text(event.get("type"))
        if text(event.get("session_id")):
            self._session = text(event.get("session_id"))
        if kind == "assistant":
            return self._assistant(event)
        if kind == "result":
            return self._ended(event)
        if kind == "rate_limit_event":
            return self._limit(mapping(event.get("rate_limit_info")))
        if kind == "stream_event":
            return self._partial(mapping(event.get("event")))
        if kind == "system":
            return self._system(event)
        return ()

    def _system(self, event: Mapping[str, Any]) -> Sequence[Event]:
        subtype = text(event.get("subtype"))
        if subtype == "init":
            self._model = text(event.get("model")) or self._model
            data = {
                "session": self._session,
                "model": self._model,
                "version": text(event.get("claude_code_version")),
            }
            return (Event(EventKind.STARTED, self._model, data),)
        if subtype == "api_retry":
            seconds = number(event.get("retry_delay_ms")) / 1000
            why = text(event.get("error"))
            status = tokens(event.get("error_status"))
            failure = by_status(status) or _BY_RETRY.get(why) or F.NETWORK
            self._retry = (failure, time.monotonic() + seconds)
            attempt = f"{tokens(event.get('attempt'))}/{tokens(event.get('max_retries'))}"
            wait = {"seconds": seconds, "class": failure, "status": status or None}
            return (Event(EventKind.RETRY, f"{failure}, tries again ({attempt})", wait),)
        if subtype == "permission_denied":
            self._denied.append(text(event.get("tool_name")) or "tool")
        return ()

    def _assistant(self, event: Mapping[str, Any]) -> Sequence[Event]:
        message = mapping(event.get("message"))
        blocks = [mapping(block) for block in sequence(message.get("content"))]
        said = " ".join(text(block.get("text")) for block in blocks).strip()
        if message.get("model") == "<synthetic>":
            self._error = text(event.get("error"))
            return (Event(EventKind.TEXT, one_line(said)),) if said else ()
        self._retry = None
        self._error = ""
        self._last_text = said or self._last_text
        events = []
        for block in blocks:
            if text(block.get("type")) == "tool_use":
                call = describe.tool_call(
                    text(block.get("name")) or "tool", mapping(block.get("input")), self._job.worktree
                )
                events.append(Event(EventKind.TOOL, call))
            elif text(block.get("text")).strip():
                events.append(Event(EventKind.TEXT, one_line(text(block.get("text")))))
        grown = sum(len(str(block.get("text") or block.get("input") or "")) for block in blocks)
        return events + self._count(message, grown // _CHARS_A_TOKEN)

    def _partial(self, event: Mapping[str, Any]) -> Sequence[Event]:
        """With partial messages: the true output tokens come at a message's end."""
        if event.get("type") != "message_delta" or not self._messages:
            return ()
        last = next(reversed(self._messages))
        before = self._messages[last]
        self._messages[last] = (
            *before[:2],
            max(before[2], tokens(mapping(event.get("usage")).get("output_tokens"))),
        )
        return (usage_event(self.usage()),) if self._messages[last] != before else ()

    def _count(self, message: Mapping[str, Any], written: int) -> list[Event]:
        """Several lines share one message; its usage is stated anew on each, as it was at its start."""
        usage = mapping(message.get("usage"))
        if not usage:
            return []
        found = _tokens(
            usage, "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"
        )
        key = text(message.get("id"))
        before = self._messages.get(key, (0, 0, 0))
        now = (
            max(before[0], found.input_tokens),
            max(before[1], found.cached_input_tokens),
            max(before[2] + written, found.output_tokens),
        )
        self._messages[key] = now
        return [usage_event(self.usage())] if now != before else []

    def _limit(self, info: Mapping[str, Any]) -> Sequence[Event]:
        until = number(info.get("resetsAt")) or None
        status = text(info.get("status"))
        if status == "rejected":
            self._reset = until
        window = text(info.get("rateLimitType")).replace("_", " ")
        data = {"until": until, "status": status, "utilization": info.get("utilization"), "window": window}
        return (Event(EventKind.LIMIT, one_line(f"{window} limit: {status}"), data),)

    def _ended(self, event: Mapping[str, Any]) -> Sequence[Event]:
        self._result = event
        self._billed = self._bill(event)
        text_ = text(event.get("result")) or _first_error(event)
        return (usage_event(self.usage()), Event(EventKind.RESULT, one_line(text_)))

    def _bill(self, event: Mapping[str, Any]) -> Usage:
        """The run's own usage.  Totals are of the session: what earlier runs used is taken off."""
        fresh = event.get("model_usage_since_last_result")
        if isinstance(fresh, dict):
            models = [mapping(model) for model in fresh.values()]
            used, money = _of_models(models), sum(number(model.get("costUSD")) for model in models)
            return _plus(self._billed, used, money)
        used = _tokens(
            mapping(event.get("usage")),
            *("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"),
        )
        total, before = number(event.get("total_cost_usd")), self._job.session_cost_usd
        money = total - before if total >= before else total
        return Usage(
            self._billed.input_tokens + used.input_tokens,
            self._billed.cached_input_tokens + used.cached_input_tokens,
            self._billed.output_tokens + used.output_tokens,
            round(money, 9),
        )

    def usage(self) -> Usage:
        if self._result is not None:
            return self._billed
        sums = [sum(column) for column in zip(*self._messages.values())] or [0, 0, 0]
        counted = Usage(sums[0], sums[1], sums[2], estimated=bool(self._messages))
        money = prices.cost(self._model, counted, self._price)
        return Usage(sums[0], sums[1], sums[2], money, counted.estimated)

    def outcome(self, ending: Ending, stderr: str, now: float) -> Outcome:
        result = self._result
        if result is None:
            failure, reason = self._unsaid(ending, stderr)
            more = {"retry_at": self._waits_until(failure, now), "summary": self._last_text[:SUMMARY_LIMIT]}
            return failed(failure, reason, session=self._session, **self._common(), **more)
        subtype = text(result.get("subtype"))
        said = text(result.get("result"))
        if not result.get("is_error") and not subtype.startswith("error"):
            return self._good(result, said)
        reason = _first_error(result) or said or subtype
        session = "" if reason.startswith(_NO_SESSION) else self._session
        failure = self._class(result, reason)
        if text(result.get("terminal_reason")).startswith("aborted"):  # SIGINT
            failure, reason = without_verdict(ending, "interrupted")
        retry_at = None
        if failure in (F.USAGE_LIMIT, F.RATE_LIMIT):
            retry_at = self._reset or said_time(reason, now)
        summary = self._last_text[:SUMMARY_LIMIT]
        return failed(failure, reason, session=session, retry_at=retry_at, summary=summary, **self._common())

    def _good(self, result: Mapping[str, Any], said: str) -> Outcome:
        more = {"session": self._session, "summary": said[:SUMMARY_LIMIT], **self._common()}
        if self._job.schema is None:
            return Outcome(None, **more)
        answer = result.get("structured_output")
        answer = stream.answer_in(said) if answer is None else answer
        if answer is None:
            return failed(F.INVALID_OUTPUT, "the answer is not the JSON that was asked for", **more)
        return Outcome(None, structured=answer, **more)

    def _common(self) -> dict[str, Any]:
        final = [
            text(mapping(denial).get("tool_name")) or "tool"
            for denial in sequence(mapping(self._result).get("permission_denials"))
        ]
        return {"usage": self.usage(), "denials": tuple(final or self._denied)}

    def _class(self, result: Mapping[str, Any], reason: str) -> F:
        """The class of a result that is an error."""
        status = tokens(result.get("api_error_status"))
        found = (
            _BY_SUBTYPE.get(text(result.get("subtype")))
            or _BY_TERMINAL.get(text(result.get("terminal_reason")))
            or _BY_API_ERROR.get(text(result.get("api_error")))
            or _BY_MESSAGE.get(self._error)
            or _BY_TYPE.get(text(result.get("api_error_type")))
            or by_status(status)
            or (F.BAD_MODEL if status == 404 else None)
        )
        if found is not None:
            return found
        if result.get("stop_reason") == "refusal":
            return F.INVALID_OUTPUT
        if reason.startswith("Sandbox required but unavailable"):
            return F.BAD_CONFIG
        return _by_text(reason) or F.CRASH

    def _unsaid(self, ending: Ending, stderr: str) -> tuple[F, str]:
        """Class and reason of a run without a result line."""
        if self._retry is not None and (ending.timed_out or ending.code != 0):
            failure, _ = self._retry
            return failure, f"still trying again ({failure}) when it was ended"
        for line in stderr.splitlines():
            for pattern, failure in _BY_STDERR:
                if pattern.search(line.strip()):
                    return failure, line.strip()
        said = last_line(stderr) or self._stray
        known = None if ending.timed_out else _by_text(said)
        return (known, said) if known else without_verdict(ending, said)

    def _waits_until(self, failure: F, now: float) -> float | None:
        if self._retry is None or failure is not self._retry[0]:
            return None
        return now + max(0.0, self._retry[1] - time.monotonic())


def _by_text(said: str) -> F | None:
    if match := _STATUS_TEXT.search(said):
        return by_status(int(match[1]))
    return next((failure for pattern, failure in _BY_TEXT if pattern.search(said)), None)


def _first_error(result: Mapping[str, Any]) -> str:
    return next((text(error) for error in sequence(result.get("errors")) if text(error)), "")


def _tokens(usage: Mapping[str, Any], fresh: str, written: str, cached: str, output: str) -> Usage:
    """Anthropic counts input apart: fresh, written to the cache, read from it."""
    read = tokens(usage.get(cached))
    sent = tokens(usage.get(fresh)) + tokens(usage.get(written)) + read
    return Usage(sent, read, tokens(usage.get(output)))


def _of_models(models: Sequence[Mapping[str, Any]]) -> Usage:
    used = [
        _tokens(model, "inputTokens", "cacheCreationInputTokens", "cacheReadInputTokens", "outputTokens")
        for model in models
    ]
    return Usage(
        sum(one.input_tokens for one in used),
        sum(one.cached_input_tokens for one in used),
        sum(one.output_tokens for one in used),
    )


def _plus(billed: Usage, used: Usage, money: float) -> Usage:
    return Usage(
        billed.input_tokens + used.input_tokens,
        billed.cached_input_tokens + used.cached_input_tokens,
        billed.output_tokens + used.output_tokens,
        round(billed.cost_usd + money, 9),
    )
