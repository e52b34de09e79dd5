"""Codex, run headless: how it is started.  `codex_reader` reads what it prints."""

from __future__ import annotations

import json
from pathlib import Path

from mo_daemon.agents import declared
from mo_daemon.agents.codex_reader import CodexReader
from mo_daemon.agents.files import place
from mo_daemon.agents.protocol import Job, Launch
from mo_daemon.agents.settings import AgentSettings
from mo_git import locate
from mo_git.logins import LOGINS
from mo_git.tomltext import toml_value

_CREDENTIALS = LOGINS["codex"].keys
_PASSED = (*_CREDENTIALS, "CODEX_CA_CERTIFICATE", "CODEX_HOME", "OPENAI_ORGANIZATION", "OPENAI_PROJECT")


class CodexAgent:
    can_rework = True
    kind = "codex"
    reads: frozenset[str] = frozenset()  # files of the team that it reads by itself under these settings
    login = LOGINS[kind]

    def __init__(self, settings: AgentSettings, name: str = "codex") -> None:
        self.settings = settings
        self.name = name

    def launch(self, job: Job) -> Launch:
        """Writes the schema file.  MoError (exit 4) where the program cannot be found."""
        path, _ = locate.program(self.kind, self.settings.command, job.environ)
        env = self.settings.passed(job.environ, _PASSED)
        if job.state_dir is not None:
            env[self.login.variable] = str(job.state_dir)
        argv = [str(path), "exec", *self._options(job), *_sandbox(job, self.settings.trusted)]
        if not job.session:
            argv += ["-C", str(job.worktree)]
        if job.schema is not None:
            argv += ["--output-schema", str(_schema_file(job))]
        argv += [*self.settings.extra_args, *job.extra_args]
        argv += ["resume", "--json", job.session, "-"] if job.session else ["--json", "-"]
        if _mode(job, self.settings.trusted) != "danger-full-access":
            env["TMPDIR"] = str(_scratch(job))
        return Launch(tuple(argv), env, prompt_on_stdin=True)

    def reader(self, job: Job) -> CodexReader:
        return CodexReader(job, job.model or self.settings.model, self.settings.price)

    def _options(self, job: Job) -> list[str]:
        keys = _toml([*_CREDENTIALS, *_named_keys(self.settings.config)])
        options = [
            *("--skip-git-repo-check", "--disable", "plugins", "--disable", "unbounded_connection_retries"),
            *("-c", "analytics.enabled=false", "-c", "check_for_update_on_startup=false"),
            *("-c", 'approval_policy="never"', "-c", f"shell_environment_policy.exclude={keys}"),
        ]
        options += _declared(job)
        for setting in self.settings.config:
            options += ["-c", setting]
        if job.effort:
            options += ["-c", f"model_reasoning_effort={_toml(job.effort)}"]
        if model := job.model or self.settings.model:
            options += ["-m", model]
        return options


def _declared(job: Job) -> list[str]:
    """The repository's hooks and MCP servers that its user trusts, word for word as they were trusted.

    By itself codex trusts what it may write, and runs what is declared there.
    """
    untrusted = toml_value({str(job.worktree): {"trust_level": "untrusted"}})
    hooks, servers = declared.of_codex(job.trusted_files)
    options = ["-c", f"projects={untrusted}"]
    if hooks:
        options += ["--dangerously-bypass-hook-trust", "-c", f"hooks={toml_value(hooks)}"]
    return [*options, *(["-c", f"mcp_servers={toml_value(servers)}"] if servers else [])]


def _named_keys(config: tuple[str, ...]) -> list[str]:
    """The variables that the configured providers take their keys from: commands need not see them."""
    pairs = (setting.partition("=") for setting in config)
    return [value.strip().strip("\"'") for key, _, value in pairs if key.strip().endswith(".env_key")]


def _mode(job: Job, trusted: bool) -> str:
    """Of its own sandbox: off behind mo's (one in the other may not start), or where the user trusts it."""
    if job.contained or (trusted and job.writes):
        return "danger-full-access"
    return "workspace-write" if job.writes else "read-only"


def _sandbox(job: Job, trusted: bool) -> list[str]:
    """Settings, not flags: a resumed session takes no flags for this.

    Neither /tmp nor TMPDIR may be written, since other worktrees may lie there; commands get a directory of
    their own for temporary files.
    """
    mode = _mode(job, trusted)
    settings = [f"sandbox_mode={_toml(mode)}"]
    if mode == "workspace-write":
        settings += [
            "sandbox_workspace_write.exclude_slash_tmp=true",
            "sandbox_workspace_write.exclude_tmpdir_env_var=true",
            f"sandbox_workspace_write.writable_roots={_toml([str(_scratch(job))])}",
        ]
    return [part for setting in settings for part in ("-c", setting)]


def _toml(value: str | list[str]) -> str:
    """A string or a list of strings, which TOML writes as JSON does but for surrogate pairs."""
    return json.dumps(value, ensure_ascii=False)


def _scratch(job: Job) -> Path:
    """The run's own directory for temporary files.

    It is never above CODEX_HOME: with its home below the temporary directory, codex's sandbox would fail
    every command and still end with exit code 0.
    """
    directory = job.run_dir / "tmp"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _schema_file(job: Job) -> Path:
    """The schema where the program can read it: mo's own directories are hidden in a sandbox."""
    directory = job.state_dir if job.contained and job.state_dir is not None else job.run_dir
    return place(directory, "schema.json", json.dumps(job.schema))
