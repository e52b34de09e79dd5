"""Agents that the settings declare, and which credentials each of them gets."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mo_daemon.agents.protocol import Job
from mo_daemon.roster import make_agents, make_routes
from mo_daemon.routing import NoAgent, Wish, route
from mo_git import logins, trust
from mo_git.config import check_value, dump, get, guarded_values, load, set_value
from mo_git.errors import Exit, MoError
from mo_git.logins import Source, credentials
from mo_git.model import Phase
from mo_git.tomltext import parse_toml

ENTRIES = """\
[codex]
default_model = "large"
config = ["a=1"]
models = { simple = "s", complex = "c" }

[agents]
idle_seconds = 60

[agents.fast]
kind = "codex"
default_model = "small"
models = { simple = "tiny" }

[agents.other]
kind = "generic"
argv = ["sh", "-c", "cat"]
output = "jsonl"
fields = { text = "said.0" }
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / ".mo"
    path.mkdir()
    return path


def written(home: Path, text: str) -> Path:
    (home / "config.toml").write_text(text)
    return home


# -- declared -----------------------------------------------------------------------------------------


def test_an_entry_takes_from_its_kind_what_it_does_not_say(home: Path) -> None:
    config = load(written(home, ENTRIES), environ={}).config
    assert list(config.roster) == ["claude", "codex", "fast", "other"]
    fast = config.roster["fast"]
    assert (fast.kind, fast.default_model, fast.config) == ("codex", "small", ("a=1",))
    assert fast.models.model_dump() == {"simple": "tiny", "moderate": "", "complex": "c", "large": ""}
    assert config.roster["claude"].default_model == "sonnet"
    assert (config.agents.idle_seconds, config.agents.max_parallel) == (60, 8)
    agents = make_agents(config)
    names = {name: type(agent).__name__ for name, agent in agents.items()}
    assert names == {
        "command": "CommandAgent",
        "claude": "ClaudeAgent",
        "codex": "CodexAgent",
        "fast": "CodexAgent",
        "other": "GenericAgent",
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "[agents]\nidle_second = 3",
            'agents.idle_second = 3: unknown key, did you mean "agents.idle_seconds"?',
        ),
        (
            "[agents.fast]\nkind = 'codec'",
            'agents.fast.kind = "codec": expected one of claude, codex, generic, did you mean "codex"?',
        ),
        (
            "[agents.fast]\nkind = 'codex'\ncomand = 'x'",
            'agents.fast.comand = "x": unknown key, did you mean "agents.fast.command"?',
        ),
        ("[agents.fast]\nargv = 'x'", 'agents.fast.argv = "x": expected a list of texts such as ["a", "b"]'),
        (
            "[agents.fast]\ndefault_model = 'x'",
            'agents.fast: it has no kind: kind = "claude", "codex" or "generic"',
        ),
        ("[agents.codex]\nkind = 'codex'", "agents.codex: the settings of codex are in [codex]"),
        ("[agents.auto]\nkind = 'codex'", "agents.auto: is reserved, use another name"),
        (
            "[agents.'My Fast']\nkind = 'codex'",
            'agents.My Fast: "My Fast" is not a good name: use lower-case letters, digits, - and _, '
            'starting with a letter or digit, for example "my-fast"',
        ),
        (
            "[routing]\ndefault_provider = 'fast'",
            'routing.default_provider = "fast": expected one of auto, command, claude, codex',
        ),
        (
            "[routing]\nfallbacks = ['codex', 'clod']",
            'routing.fallbacks = ["codex", "clod"]: expected one of claude, codex, did you mean "codex"?',
        ),
    ],
)
def test_what_is_wrong_with_an_entry_or_a_name(home: Path, text: str, problem: str) -> None:
    with pytest.raises(MoError) as caught:
        load(written(home, text), environ={})
    assert caught.value.message == f"{home}/config.toml: {problem}"
    assert caught.value.code is Exit.CONFIG


def test_an_entry_may_be_named_from_another_layer(home: Path) -> None:
    (home / "local.toml").write_text(
        "[routing]\nfallbacks = ['fast']\n[routing.phase_defaults]\nexecute = 'fast'\n"
    )
    environ = {"MO_AGENTS__FAST__DEFAULT_MODEL": "mine", "MO_AGENTS__FAST__MAX_PARALLEL": "3"}
    loaded = load(written(home, ENTRIES), environ=environ)
    assert loaded.config.routing.phase_defaults.execute == "fast"
    assert loaded.config.roster["fast"].max_parallel == 3
    assert get(loaded, "agents.fast.default_model") == "mine"
    assert loaded.origins["agents.fast.default_model"] == "MO_AGENTS__FAST__DEFAULT_MODEL"
    assert get(loaded, "agents.fast.default_timeout") == 1800
    assert 'agents.fast.kind = "codex"' in dump(loaded, origin=False)
    with pytest.raises(MoError, match=r"there is no \[agents.slow\]"):
        get(loaded, "agents.slow.kind")


def test_an_entry_is_written_key_by_key(home: Path) -> None:
    path = home / "config.toml"
    set_value(path, "agents.fast.kind", "claude")
    set_value(path, "agents.fast.models.simple", "haiku")
    assert load(home, environ={}).config.roster["fast"].models.simple == "haiku"
    with pytest.raises(MoError, match=r"no setting agents.fast.kin, did you mean \"agents.fast.kind\""):
        check_value("agents.fast.kin", "claude", "here")


def test_commands_of_an_untrusted_entry_do_not_count(home: Path) -> None:
    text = ENTRIES + "env_pass = ['SECRET']\n[routing]\ndefault_provider = 'other'\n"
    assert guarded_values(parse_toml(text, "t", Exit.CONFIG)) == {
        "codex.config": ["a=1"],
        "agents.other.argv": ["sh", "-c", "cat"],
        "agents.other.env_pass": ["SECRET"],
    }
    loaded = load(written(home, text), environ={}, trusted=lambda _name, _content: False)
    assert set(loaded.untrusted) == {"codex.config", "agents.other.argv", "agents.other.env_pass"}
    routes = make_routes(loaded, {"PATH": "/usr/bin:/bin"})
    assert route(Phase.EXECUTE, Wish(), routes) == NoAgent(
        {"other": "other has no command line; set agents.other.argv; if it is set, mo trust"}
    )


def test_routing_knows_entries(home: Path) -> None:
    routes = make_routes(load(written(home, ENTRIES), environ={}), {"PATH": "/usr/bin:/bin"})
    assert routes.usable["other"] == ""
    assert routes.models["fast"] == {"simple": "tiny", "moderate": "", "complex": "c", "large": ""}


# -- credentials --------------------------------------------------------------------------------------


def place(tmp_path: Path, *files: str) -> dict[str, str]:
    """An environment whose home has these files."""
    for name in files:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    return {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "PATH": "/bin"}


KEY = {"ANTHROPIC_API_KEY": "k"}
MINE = "state/mo/logins/{}/cli/.credentials.json"
USUAL = ".claude/.credentials.json"


@pytest.mark.parametrize(
    ("name", "files", "more", "config_dir", "source", "directory"),
    [
        ("claude", (), {}, "", Source.NONE, None),
        ("claude", (USUAL,), {}, "", Source.SHARED, ".claude"),
        ("claude", (USUAL, MINE.format("claude")), {}, "", Source.DIRECTORY, "state/mo/logins/claude/cli"),
        ("claude", (USUAL, MINE.format("claude")), KEY, "", Source.KEY, None),
        ("claude", (USUAL,), {"CLAUDE_CODE_OAUTH_TOKEN": "t"}, "", Source.KEY, None),
        ("claude", (USUAL,), {"CLAUDE_CONFIG_DIR": "/nowhere"}, "", Source.NONE, None),
        ("claude", ("own/x",), {}, "own", Source.DIRECTORY, "own"),
        ("second", (USUAL,), KEY, "", Source.KEY, None),
        ("second", (MINE.format("claude"),), {}, "", Source.NONE, None),  # another agent's login
        ("second", (MINE.format("second"),), KEY, "", Source.DIRECTORY, "state/mo/logins/second/cli"),
        ("second", ("own/x",), KEY, "own", Source.DIRECTORY, "own"),
    ],
)
def test_the_order_of_credentials(
    tmp_path: Path,
    name: str,
    files: tuple[str, ...],
    more: Mapping[str, str],
    config_dir: str,
    source: Source,
    directory: str | None,
) -> None:
    environ = {**place(tmp_path, *files), **more}
    given = credentials(name, "claude", str(tmp_path / config_dir) if config_dir else "", environ)
    assert given.source is source
    assert given.directory == (tmp_path / directory if directory else None)
    sees_keys = any(key in given.environ for key in logins.LOGINS["claude"].keys)
    assert sees_keys is (source is Source.KEY)


def test_a_stored_token_is_for_one_agent(tmp_path: Path) -> None:
    environ: dict[str, Any] = {**place(tmp_path, USUAL), "CLAUDE_CODE_OAUTH_TOKEN": "the daemon's"}
    file = logins.store_token("second", "sk-1", environ)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    second = credentials("second", "claude", "", environ)
    assert (second.source, second.environ["CLAUDE_CODE_OAUTH_TOKEN"]) == (Source.TOKEN, "sk-1")
    assert credentials("claude", "claude", "", environ).environ == environ
    assert logins.forget("second", environ)
    assert not logins.forget("second", environ)
    assert credentials("second", "claude", "", environ).source is Source.KEY
    for bad in ("", "two words", "a\x07"):
        with pytest.raises(MoError, match="that is no token"):
            logins.store_token("second", bad, environ)


def test_other_programs_have_no_login(tmp_path: Path) -> None:
    environ = {**place(tmp_path), **KEY}
    assert credentials("other", "generic", "", environ) == logins.Credentials(Source.NONE, environ)


# -- what a repository declares for agents ------------------------------------------------------------

HOOKS = '{"hooks": {"Stop": []}, "permissions": {"allow": ["Bash"]}}'
SERVERS = '{"mcpServers": {"m": {"command": "x"}}}'
CODEX = '[mcp_servers.m]\ncommand = "x"\n[[hooks.Stop]]\nmatcher = "*"\n[features]\nx = 1\n'


def launched(kind: str, tmp_path: Path, files: Mapping[str, str]) -> list[str]:
    """The command line of an agent in a worktree with these trusted files."""
    program = tmp_path / kind
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    agent = make_agents(load(None, environ={}, overrides={f"{kind}.command": str(program)}).config)[kind]
    job = Job(Phase.EXECUTE, "p", tmp_path / "wt", tmp_path, contained=True, trusted_files=files)
    return list(agent.launch(job).argv)


def test_hooks_and_servers_are_handed_over_as_they_were_trusted(tmp_path: Path) -> None:
    plain = launched("claude", tmp_path, {})
    given = launched("claude", tmp_path, {".claude/settings.json": HOOKS, ".mcp.json": SERVERS})
    assert [part for part in given if part not in plain] == [
        *("--settings", '{"hooks": {"Stop": []}}', "--mcp-config", SERVERS),
    ]
    plain = launched("codex", tmp_path, {})
    assert f'projects={{"{tmp_path}/wt" = {{"trust_level" = "untrusted"}}}}' in plain
    given = launched("codex", tmp_path, {".codex/config.toml": CODEX})
    assert [part for part in given if part not in plain] == [
        *("--dangerously-bypass-hook-trust", 'hooks={"Stop" = [{"matcher" = "*"}]}'),
        'mcp_servers={"m" = {"command" = "x"}}',
    ]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"hooks": 3, "mcpServers": []}', "hooks = 3", "[" * 9999])
def test_files_that_declare_nothing(tmp_path: Path, text: str) -> None:
    files = dict.fromkeys(trust.AGENT_FILES, text)
    assert launched("claude", tmp_path, files) == launched("claude", tmp_path, {})
    assert launched("codex", tmp_path, files) == launched("codex", tmp_path, {})


def test_a_date_is_no_part_of_a_hook(tmp_path: Path) -> None:
    files = {".codex/config.toml": "[hooks]\nStop = 2026-01-01\n"}
    assert launched("codex", tmp_path, files) == launched("codex", tmp_path, {})
