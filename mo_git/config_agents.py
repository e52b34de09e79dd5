"""The settings of agents: a section for each that is built in, `[agents.NAME]` for each other one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field

from mo_git.config_base import Section, Texts, key

ENTRY = "agents.NAME."  # stands for the keys of any entry


class Models(Section):
    """Models by a task's complexity; empty: the default model.  Repeated failures take the next one."""

    simple: str = key("", "model for simple tasks")
    moderate: str = key("", "model for moderate tasks")
    complex: str = key("", "model for complex tasks")
    large: str = key("", "model with a larger context, for a task that overflowed it twice")


class AgentSection(Section):
    """What every agent has."""

    command: str = key("", "the program; empty: on PATH, or the one of a Python package", guarded=True)
    default_model: str = key("", "model where a task names none; empty: the CLI's own")
    models: Models = Field(default_factory=Models)
    extra_args: Texts = key((), "further arguments for the program", guarded=True)
    env_pass: Texts = key((), "names of environment variables that only this program gets", guarded=True)
    config_dir: str = key("", "directory of the CLI's login; empty: mo's, or the usual one", guarded=True)
    default_timeout: float = key(1800.0, "seconds for one attempt where a task says nothing", gt=0)
    max_budget_usd: float | None = key(None, "US dollars one goal may spend with this provider", ge=0)
    max_parallel: int = key(0, "runs of it at once; 0: agents.max_parallel", ge=0)
    max_starts_per_minute: int = key(0, "attempts with it that start in one minute; 0: any number", ge=0)
    execution_security_mode: Literal["restricted", "trusted_local"] = key(
        "restricted", "restricted: in a sandbox; trusted_local: without one", guarded=True
    )


class Claude(AgentSection):
    """Claude Code."""

    default_model: str = key("sonnet", "model where a task names none; empty: the CLI's own")


class Codex(AgentSection):
    """Codex."""

    config: Texts = key((), "key=value settings for its -c", guarded=True)


class Fields(Section):
    """Where a program of kind generic says what, in its JSON lines: dotted paths."""

    text: str = key("", "a message")
    tokens_in: str = key("", "tokens sent so far, in this run")
    tokens_cached: str = key("", "the part of them that came from a cache")
    tokens_out: str = key("", "tokens written so far")
    cost: str = key("", "US dollars so far")
    session: str = key("", "the id to resume with")


class AgentEntry(AgentSection):
    """One more agent."""

    kind: Literal["claude", "codex", "generic"] = key("", "what the program is; always needed")
    config: Texts = key((), "codex: key=value settings for its -c", guarded=True)
    argv: Texts = key((), "generic: the command line, with {prompt_file} or {model} in it", guarded=True)
    resume_argv: Texts = key((), "generic: the same for a session that goes on: {session}", guarded=True)
    prompt: Literal["stdin", "argument", "file"] = key("stdin", "generic: how it takes the prompt")
    output: Literal["text", "jsonl"] = key("text", "generic: what it prints")
    fields: Fields = Field(default_factory=Fields)


class Agents(Section):
    """All agents."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, AgentEntry]

    first_event_seconds: float = key(300.0, "seconds until an agent says anything", gt=0)
    idle_seconds: float = key(900.0, "seconds without output or processor use", gt=0)
    max_parallel: int = key(8, "runs of one agent at once, unless it says otherwise", ge=1)
    memory_mb: int = key(250, "free memory (MiB) that the start of an agent needs; 0: not looked at", ge=0)

    @property
    def entries(self) -> Mapping[str, AgentEntry]:
        return self.__pydantic_extra__


def roster(built_in: Mapping[str, AgentSection], entries: Mapping[str, AgentEntry]) -> dict[str, AgentEntry]:
    """The settings of every agent by its name, the built-in ones first.

    What an entry does not say it takes from the section of its kind.
    """
    plain = {name: section.model_dump() for name, section in built_in.items()}
    found = {name: {**data, "kind": name} for name, data in plain.items()}
    for name, entry in entries.items():
        found[name] = _over(plain.get(entry.kind, {}), entry.model_dump(exclude_unset=True))
    return {name: AgentEntry.model_validate(data) for name, data in found.items()}


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """One table over another, key by key."""
    merged = dict(below)
    for name, value in above.items():
        inner = merged.get(name)
        merged[name] = _over(inner, value) if isinstance(value, dict) and isinstance(inner, dict) else value
    return merged
