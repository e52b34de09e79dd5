"""What the configuration says about one agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Channel = Literal["stdin", "argument", "file"]
Output = Literal["text", "jsonl"]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    input: float
    cached_input: float
    output: float


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """`[claude]`, `[codex]` or one `[agents.NAME]`.

    `command` is the program (a path, or a name on PATH); empty: found by itself.  `env_pass` are names of
    variables that the program gets from the daemon's environment, `env` are fixed ones.  `config` are
    `key=value` settings for codex's `-c`.  `price` replaces the price table for this agent.

    The rest is for kind `generic`.  `argv` and `resume_argv` may hold {prompt}, {prompt_file}, {model},
    {worktree}, {run_dir} and {session}; `fields` maps text, tokens_in, tokens_cached, tokens_out, cost and
    session to dotted paths in the program's JSON lines (numbers index lists).
    """

    kind: str = ""
    command: str = ""
    model: str = ""
    extra_args: tuple[str, ...] = ()
    env_pass: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    execution_security_mode: Literal["restricted", "trusted_local"] = "restricted"
    config: tuple[str, ...] = ()
    price: Price | None = None
    argv: tuple[str, ...] = ()
    resume_argv: tuple[str, ...] = ()
    prompt: Channel = "stdin"
    output: Output = "text"
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def trusted(self) -> bool:
        return self.execution_security_mode == "trusted_local"

    def passed(self, environ: Mapping[str, str], names: tuple[str, ...] = ()) -> dict[str, str]:
        """The variables for the program: `names` and `env_pass` of the daemon's, then the fixed ones."""
        found = {name: environ[name] for name in (*names, *self.env_pass) if name in environ}
        return found | dict(self.env)
