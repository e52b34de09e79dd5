"""Claude Code, run headless: how it is started.  `claude_reader` reads what it prints."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from mo_daemon.agents import declared
from mo_daemon.agents.claude_reader import ClaudeReader
from mo_daemon.agents.protocol import Job, Launch
from mo_daemon.agents.settings import AgentSettings
from mo_git import locate
from mo_git.logins import LOGINS

# Without tools that would leave the worktree, wait for something, or start work that nobody watches.
_READING = ("Read", "Glob", "Grep")
_WRITING = ("Bash", "Edit", "Glob", "Grep", "NotebookEdit", "Read", "WebFetch", "WebSearch", "Write")
_CHANGING = frozenset({"Bash", "Edit", "MultiEdit", "NotebookEdit", "Write"})
_EDITING = frozenset({"Edit", "MultiEdit", "NotebookEdit", "Write"})

_ENVIRONMENT = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",  # else all worktrees of a repository share one memory
    "CLAUDE_CODE_MAX_RETRIES": "4",  # some 10 s; what lasts longer is the daemon's to wait for
}
_PASSED = (
    *LOGINS["claude"].keys,
    *("ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL", "ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_DEFAULT_HAIKU_MODEL"),
    *("ANTHROPIC_DEFAULT_SONNET_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL", "ANTHROPIC_SMALL_FAST_MODEL"),
    *("CLAUDE_CODE_MAX_RETRIES", "CLAUDE_CODE_MAX_OUTPUT_TOKENS", "API_TIMEOUT_MS"),
    *("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CONFIG_DIR"),
)
# Its own sandbox; it refuses to start where that cannot work, instead of running without.
_SANDBOX = {
    "sandbox": {
        "enabled": True,
        "failIfUnavailable": True,
        "autoAllowBashIfSandboxed": True,
        "allowUnsandboxedCommands": False,
    }
}


class ClaudeAgent:
    can_rework = True
    kind = "claude"
    reads: frozenset[str] = frozenset()  # files of the team that it reads by itself under these flags
    login = LOGINS[kind]

    def __init__(self, settings: AgentSettings, name: str = "claude") -> None:
        self.settings = settings
        self.name = name

    def launch(self, job: Job) -> Launch:
        """MoError (exit 4) where the program cannot be found."""
        path, _ = locate.program(self.kind, self.settings.command, job.environ)
        argv = [
            *(str(path), "-p", "--output-format", "stream-json", "--verbose"),
            *("--setting-sources", "", "--strict-mcp-config", "--disable-slash-commands"),
        ]
        if model := job.model or self.settings.model:
            argv += ["--model", model]
        argv += [*self._permissions(job), *_declared(job)]
        if job.schema is not None:
            argv += ["--json-schema", json.dumps(job.schema, separators=(",", ":"))]
        if job.session:
            argv += ["--resume", job.session]
        elif job.new_session:
            argv += ["--session-id", job.new_session]
        if job.max_turns is not None:
            argv += ["--max-turns", str(job.max_turns)]
        if job.effort:
            argv += ["--effort", job.effort]
        if job.budget_usd is not None:  # of this run alone, also when a session is resumed
            argv += ["--max-budget-usd", f"{job.budget_usd:g}"]
        argv += [*self.settings.extra_args, *job.extra_args]
        return Launch(tuple(argv), self._environment(job), prompt_on_stdin=True)

    def reader(self, job: Job) -> ClaudeReader:
        return ClaudeReader(job, job.model or self.settings.model, self.settings.price)

    def _permissions(self, job: Job) -> list[str]:
        """Flags for what it may do.

        Behind a wall (mo's sandbox), or trusted by the user, all of the tools without a question:
        `acceptEdits` would refuse to write .claude/**.  Otherwise its own sandbox for commands, and edits
        in the worktree only.
        """
        allowed = job.allowed_tools or (_WRITING if job.writes else _READING)
        if not job.writes:
            allowed = tuple(rule for rule in allowed if _tool(rule) not in _CHANGING)
        tools = ["--tools", ",".join(dict.fromkeys(_tool(rule) for rule in allowed))]
        chosen = any("(" in rule for rule in allowed)
        walled = job.contained or (self.settings.trusted and job.writes)
        if walled and not chosen:
            return ["--permission-mode", "bypassPermissions", *tools]
        if walled:
            return ["--permission-mode", "dontAsk", *tools, "--allowedTools", *allowed]
        if not job.writes:  # files of the worktree need no permission, others get none
            return ["--permission-mode", "dontAsk", *tools]
        sandbox = ["--settings", json.dumps(_SANDBOX, separators=(",", ":"))]
        if not job.allowed_tools:
            return ["--permission-mode", "acceptEdits", *tools, *sandbox]
        rules = [f"{rule}(./**)" if rule in _EDITING else rule for rule in allowed if rule != "Bash"]
        mode = ["--permission-mode", "dontAsk", *tools]
        return [*mode, *(["--allowedTools", *rules] if rules else []), *sandbox]

    def _environment(self, job: Job) -> Mapping[str, str]:
        env = _ENVIRONMENT | self.settings.passed(job.environ, _PASSED)
        if job.state_dir is not None:
            env[self.login.variable] = str(job.state_dir)
        if job.contained or (self.settings.trusted and os.geteuid() == 0):
            env["IS_SANDBOX"] = "1"  # else it refuses bypassPermissions for root
        return env


def _declared(job: Job) -> list[str]:
    """The repository's hooks and MCP servers that its user trusts, word for word as they were trusted.

    No setting of the repository is read by the program itself.
    """
    hooks, servers = declared.of_claude(job.trusted_files)
    settings = ["--settings", json.dumps({"hooks": hooks})] if hooks else []
    return [*settings, *(["--mcp-config", json.dumps({"mcpServers": servers})] if servers else [])]


def _tool(rule: str) -> str:
    """The tool of a permission rule: `Bash(git *)` is about Bash."""
    return rule.partition("(")[0].strip()
