"""What the engine needs of an agent: how to start it, how to read what it prints, what its ending means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from mo_git.model import FailureClass, Phase
from mo_git.process import Ending


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and money (USD) of one run alone, also where the CLI counts cumulatively over resumes.

    `input_tokens` is all that was sent; `cached_input_tokens` is the part of it that came from a cache.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    estimated: bool = False  # the money is from mo's price table


@dataclass(frozen=True, slots=True)
class Job:
    """One run of an agent.

    `run_dir` holds prompt.md and takes what the adapter needs beside it (a schema file, a last message).
    `schema` asks for a structured answer (JSON Schema).  `session` continues an earlier run of the same
    CLI.  `writes` is False for phases that only read.  `contained`: mo's own sandbox is around the program,
    so the CLI's own one must be off.  `environ` is what the daemon knows (for credentials and settings).

    `state_dir` is where the CLI keeps logins and sessions (None: its own place); inside a sandbox it has the
    same path.  `new_session` is the id (a UUID) to give to a new session, where the CLI takes one.
    `trusted_files` are the repository's own settings of agent programs that its user trusts: path -> text.
    `session_cost_usd` and `session_usage` are what the earlier runs of `session` added up to.
    """

    phase: Phase
    prompt: str
    worktree: Path
    run_dir: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    argv: tuple[str, ...] = ()  # of a plain command
    model: str = ""
    schema: Mapping[str, Any] | None = None
    session: str = ""
    writes: bool = True
    contained: bool = False
    max_turns: int | None = None
    effort: str = ""  # low | medium | high; empty: the CLI's own
    budget_usd: float | None = None
    allowed_tools: tuple[str, ...] = ()
    extra_args: tuple[str, ...] = ()
    state_dir: Path | None = None
    new_session: str = ""
    trusted_files: Mapping[str, str] = field(default_factory=dict)
    session_cost_usd: float = 0.0
    session_usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the program: `env` is added to the allow-listed environment of the task.

    `prompt_on_stdin`: run_dir/prompt.md is its standard input; otherwise stdin is closed.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    prompt_on_stdin: bool = False


class EventKind(StrEnum):
    STARTED = "started"  # the CLI runs; session and model are known
    TEXT = "text"
    TOOL = "tool"  # text: what it does, in a few words ("edit src/a.py", "run pytest -q")
    USAGE = "usage"  # tokens or money grew
    LIMIT = "limit"  # the provider said something about its limits; data: until (epoch seconds) or None
    RETRY = "retry"  # the CLI tries again by itself; data: seconds
    RESULT = "result"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that an agent's stream said; `text` is short and for people."""

    kind: EventKind
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run's ending says.  `failure` None: a good ending; the tree and the check still decide."""

    failure: FailureClass | None
    reason: str = ""
    retry_at: float | None = None  # the provider named this time (epoch seconds)
    summary: str = ""  # the last message
    structured: Any = None  # the structured answer, where one was asked for and given
    session: str = ""  # id to resume with; empty: cannot be resumed
    usage: Usage = Usage()
    denials: tuple[str, ...] = ()  # tools that were refused


class Reader(Protocol):
    """Reads one run's standard output, line by line.  Unknown lines are normal and ignored."""

    def feed(self, line: bytes) -> Sequence[Event]: ...

    def usage(self) -> Usage:
        """So far."""
        ...

    def outcome(self, ending: Ending, stderr: str, now: float) -> Outcome:
        """The meaning of the ending; `stderr` is the end of the error stream."""
        ...


class Agent(Protocol):
    """One kind of program.  `can_rework`: it can read why its work was refused, and try otherwise."""

    name: str
    can_rework: bool
    reads: frozenset[str]  # files of the team's instructions that it reads by itself

    def launch(self, job: Job) -> Launch: ...

    def reader(self, job: Job) -> Reader: ...
