"""Any other program that takes a prompt, as declared in `[agents.NAME]`: exit code 0 is a good ending."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mo_daemon.agents import prices, stream
from mo_daemon.agents.endings import (
    REASON_LIMIT,
    SUMMARY_LIMIT,
    failed,
    last_line,
    usage_event,
    without_verdict,
)
from mo_daemon.agents.files import place
from mo_daemon.agents.protocol import Event, EventKind, Job, Launch, Outcome, Usage
from mo_daemon.agents.settings import AgentSettings
from mo_git import locate
from mo_git.errors import Exit, MoError
from mo_git.model import FailureClass
from mo_git.process import Ending
from mo_git.text import one_line

_PLACE = re.compile(r"\{(prompt|prompt_file|model|worktree|run_dir|session)\}")
_ARGUMENT_LIMIT = 120 * 1024  # bytes of one argument: Linux takes 128 KiB (MAX_ARG_STRLEN of execve(2))
_PIECE = 64 * 1024
_ANSWER_LIMIT = 1024 * 1024  # characters of an answer that has to be JSON: a large plan is long


class GenericAgent:
    can_rework = True
    kind = "generic"
    reads: frozenset[str] = frozenset()

    def __init__(self, settings: AgentSettings, name: str = "generic") -> None:
        self.settings = settings
        self.name = name

    def launch(self, job: Job) -> Launch:
        """MoError where the declaration is not enough to start it, or nothing would contain it."""
        settings = self.settings
        if not (job.contained or settings.trusted):
            raise MoError(
                f"agent {self.name} has no sandbox of its own, and mo's is not available here",
                f'install bubblewrap, or set agents.{self.name}.execution_security_mode = "trusted_local"',
                Exit.AGENT,
            )
        template = settings.resume_argv if job.session and settings.resume_argv else settings.argv
        if not template:
            raise MoError(f"agent {self.name} has no argv", f"set agents.{self.name}.argv", Exit.CONFIG)
        path, _ = locate.program(self.name, settings.command or template[0], job.environ)
        values = self._values(job, template)
        argv = [_PLACE.sub(lambda match: values[match[1]], part) for part in template[1:]]
        if settings.prompt == "argument" and not any("{prompt}" in part for part in template):
            argv.append(values["prompt"])
        argv = [str(path), *argv, *settings.extra_args, *job.extra_args]
        return Launch(tuple(argv), settings.passed(job.environ), prompt_on_stdin=settings.prompt == "stdin")

    def reader(self, job: Job) -> GenericReader:
        return GenericReader(job, self.settings)

    def _values(self, job: Job, template: Sequence[str]) -> dict[str, str]:
        used = {name for part in template for name in _PLACE.findall(part)}
        model = job.model or self.settings.model
        if "model" in used and not model:
            raise MoError(
                f"agent {self.name} needs a model", f"set agents.{self.name}.default_model", Exit.CONFIG
            )
        if (self.settings.prompt == "argument" or "prompt" in used) and _too_long(job.prompt):
            raise MoError(
                f"the prompt is too long for an argument of agent {self.name}",
                f'set agents.{self.name}.prompt = "stdin" or "file"',
                Exit.CONFIG,
            )
        return {
            "prompt": job.prompt,
            "prompt_file": str(_prompt_file(job)) if "prompt_file" in used else "",
            "model": model,
            "worktree": str(job.worktree),
            "run_dir": str(job.run_dir),
            "session": job.session,
        }


def _too_long(prompt: str) -> bool:
    return len(prompt.encode("utf-8", "surrogateescape")) > _ARGUMENT_LIMIT


def _prompt_file(job: Job) -> Path:
    """The prompt where the program can read it: mo's own directories are hidden in a sandbox."""
    directory = job.state_dir if job.contained and job.state_dir is not None else job.run_dir
    return place(directory, "prompt.md", job.prompt)


class GenericReader:
    """Reads one run: lines of text, or JSON lines with the configured fields."""

    def __init__(self, job: Job, settings: AgentSettings) -> None:
        self._job = job
        self._settings = settings
        self._limit = SUMMARY_LIMIT if job.schema is None else _ANSWER_LIMIT
        self._said = ""
        self._session = ""
        self._counts = {"tokens_in": 0, "tokens_cached": 0, "tokens_out": 0}
        self._cost: float | None = None

    def feed(self, line: bytes) -> Sequence[Event]:
        if self._settings.output == "text":
            piece = line[: max(_PIECE, self._limit)]
            return self._say(piece.decode("utf-8", "replace").strip(), add=True)
        event = stream.parse(line)
        if event is None:
            return ()
        found = {name: stream.at(event, path) for name, path in self._settings.fields.items()}
        events: list[Event] = []
        if (session := stream.text(found.get("session"))) and session != self._session:
            self._session = session
            events.append(Event(EventKind.STARTED, "", {"session": session, "model": "", "version": ""}))
        events += self._say(stream.text(found.get("text")).strip(), add=False)
        if self._count(found):
            events.append(usage_event(self.usage()))
        return events

    def _say(self, said: str, *, add: bool) -> Sequence[Event]:
        if not said:
            return ()
        self._said = f"{self._said}\n{said}"[-self._limit :].lstrip() if add else said
        return (Event(EventKind.TEXT, one_line(said)),)

    def _count(self, found: dict[str, Any]) -> bool:
        """Numbers are totals of the run so far: the largest counts."""
        before = (dict(self._counts), self._cost)
        for name in self._counts:
            self._counts[name] = max(self._counts[name], stream.tokens(found.get(name)))
        if isinstance(found.get("cost"), int | float):
            self._cost = max(self._cost or 0.0, stream.number(found["cost"]))
        return before != (self._counts, self._cost)

    def usage(self) -> Usage:
        sent, cached, written = self._counts.values()
        if self._cost is not None:
            return Usage(sent, cached, written, self._cost)
        if not (sent or written):
            return Usage()
        counted = Usage(sent, cached, written)
        model = self._job.model or self._settings.model
        return Usage(sent, cached, written, prices.cost(model, counted, self._settings.price), estimated=True)

    def outcome(self, ending: Ending, stderr: str, now: float) -> Outcome:
        more: dict[str, Any] = {
            "usage": self.usage(),
            "summary": self._said[:SUMMARY_LIMIT],
            "session": self._session if self._settings.resume_argv else "",
        }
        if ending.timed_out or ending.code != 0:
            said = last_line(stderr) or last_line(self._said)[:REASON_LIMIT]
            return failed(*without_verdict(ending, said), **more)
        if self._job.schema is None:
            return Outcome(None, **more)
        answer = stream.answer_in(self._said)
        if answer is None:
            reason = "the answer is not the JSON that was asked for"
            return failed(FailureClass.INVALID_OUTPUT, reason, **more)
        return Outcome(None, structured=answer, **more)
