"""Settings: layers, errors in words, the default file, editing, and `mo config`."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mo_git import config_layers, trust
from mo_git.cli import Context
from mo_git.cli.config import command
from mo_git.config import (
    Config,
    check_value,
    dump,
    get,
    is_guarded,
    key_listing,
    load,
    render_default_file,
    set_value,
    unset_value,
    user_config_file,
)
from mo_git.config_schema import leaves
from mo_git.errors import Exit, MoError
from tests.support import RepoBuilder

ROOT = Path(__file__).parents[1]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty `.mo` directory."""
    path = tmp_path / "repo" / ".mo"
    path.mkdir(parents=True)
    return path


def refused(home: Path | None, environ: Mapping[str, str] | None = None, **options: Any) -> list[str]:
    """The lines of the refusal, with the path of `.mo` shortened."""
    with pytest.raises(MoError) as caught:
        load(home, environ=environ or {}, **options)
    assert caught.value.code is Exit.CONFIG
    return [line.replace(f"{home}/", "") for line in caught.value.message.split("\n")]


# -- the file and the code ----------------------------------------------------------------------------


def test_the_default_file_is_written_from_the_code() -> None:
    assert (ROOT / "config.toml").read_text() == render_default_file()


def test_the_default_file_is_the_defaults(home: Path) -> None:
    write(home / "config.toml", (ROOT / "config.toml").read_text())
    assert load(home, environ={}).config == Config()
    in_file = {name for name, _ in config_layers.leaves(tomllib.loads(render_default_file()))}
    unset = {name for name, field in leaves().items() if field.default is None}
    assert in_file | unset == set(leaves())
    assert unset == {"claude.max_budget_usd", "codex.max_budget_usd"}


def test_every_key_has_one_line_of_documentation() -> None:
    for name, _, doc in key_listing():
        assert doc, name
        assert "\n" not in doc, name
        assert len(doc) <= 90, name


def test_defaults() -> None:
    config = load(None, environ={}).config
    assert config.orchestrator.max_parallel == 150
    assert (config.retry.max_attempts, config.retry.base_seconds) == (10, 30)
    assert (config.claude.default_model, config.codex.default_model) == ("sonnet", "")
    phases = config.routing.phase_defaults
    assert (phases.decompose, phases.execute, phases.review, phases.simple) == (
        "claude",
        "codex",
        "claude",
        "codex",
    )
    assert (config.gate.command, config.gate.proof, config.workspace.setup) == ("", "required", ())


def test_values_that_people_bring_along(home: Path) -> None:
    write(
        home / "config.toml",
        '[claude]\ndefault_model = "sonnet"\ndefault_timeout = 1800\nmax_budget_usd = 1000.0\n'
        '[codex]\ndefault_model = "gpt-5.4"\nmax_budget_usd = 0\nexecution_security_mode = "trusted_local"\n'
        '[routing]\ndefault_provider = "auto"\nauto_fallback = true\n'
        '[routing.phase_defaults]\ndecompose = "claude"\nexecute = "codex"\n[retry]\nmax_attempts = 10\n',
    )
    config = load(home, environ={}).config
    assert (config.claude.max_budget_usd, config.codex.max_budget_usd) == (1000.0, 0.0)
    assert (config.codex.default_model, config.codex.execution_security_mode) == ("gpt-5.4", "trusted_local")


# -- layers -------------------------------------------------------------------------------------------


def test_later_layers_win_key_by_key(home: Path, tmp_path: Path) -> None:
    user = write(
        tmp_path / "user.toml",
        "[gate]\ntimeout = 1\nparallel = 1\nkeep = ['u']\n[retry]\nmax_attempts = 1\nsame_way = 1\n"
        "[log]\nkeep_days = 1\n",
    )
    repo = write(
        home / "config.toml", "[gate]\ntimeout = 2\nparallel = 2\n[retry]\nmax_attempts = 2\nsame_way = 2\n"
    )
    local = write(home / "local.toml", "[gate]\ntimeout = 3\n[retry]\nmax_attempts = 3\nsame_way = 3\n")
    environ = {"MO_RETRY__MAX_ATTEMPTS": "4", "MO_RETRY__SAME_WAY": "4", "MO_HOME": "not ours", "MO_": "x"}
    overrides = {"retry.same_way": 5, "retry.base_seconds": None}
    loaded = load(home, environ=environ, user_file=user, overrides=overrides)
    assert loaded.files == (user, repo, local)
    expected = {
        "log.keep_days": (1, str(user)),
        "gate.keep": (["u"], str(user)),
        "gate.parallel": (2, str(repo)),
        "gate.timeout": (3, str(local)),
        "retry.max_attempts": (4, "MO_RETRY__MAX_ATTEMPTS"),
        "retry.same_way": (5, "command line"),
        "retry.base_seconds": (30, "default"),
    }
    assert {name: (get(loaded, name), loaded.origins[name]) for name in expected} == expected
    assert list(loaded.origins) == list(leaves())


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}, Path("/c/mo/config.toml")),
        ({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}, Path("/h/.config/mo/config.toml")),
        ({"HOME": "/h"}, Path("/h/.config/mo/config.toml")),
        ({}, None),
    ],
)
def test_the_users_own_file(environ: dict[str, str], expected: Path | None) -> None:
    assert user_config_file(environ) == expected


def test_the_users_own_file_is_found_by_itself(sealed: Path) -> None:
    user = write(sealed / "config/mo/config.toml", "[log]\nlevel = 'debug'\n")
    loaded = load(None, environ=os.environ)
    assert (loaded.config.log.level, loaded.origins["log.level"], loaded.files) == (
        "debug",
        str(user),
        (user,),
    )


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("MO_ORCHESTRATOR__MAX_PARALLEL", "8", "orchestrator.max_parallel", 8),
        ("MO_ROUTING__PHASE_DEFAULTS__EXECUTE", "claude", "routing.phase_defaults.execute", "claude"),
        ("MO_ROUTING__AUTO_FALLBACK", "false", "routing.auto_fallback", False),
        ("MO_CLAUDE__MAX_BUDGET_USD", "2.5", "claude.max_budget_usd", 2.5),
        ("MO_GATE__COMMAND", "true", "gate.command", "true"),
        ("MO_GATE__COMMAND", "pytest -q # all", "gate.command", "pytest -q # all"),
        ("MO_GATE__COMMAND", '"quoted"', "gate.command", "quoted"),
        ("MO_GATE__COMMAND", "", "gate.command", ""),
        ("MO_GATE__COMMAND", "'a'\nx = 1", "gate.command", "'a'\nx = 1"),
        ("MO_LOG__LEVEL", "debug", "log.level", "debug"),
        ("MO_WORKSPACE__SETUP", '["npm ci", "make"]', "workspace.setup", ["npm ci", "make"]),
    ],
)
def test_values_from_the_environment(name: str, text: str, key: str, value: object) -> None:
    loaded = load(None, environ={name: text})
    assert (get(loaded, key), loaded.origins[key]) == (value, name)


# -- errors -------------------------------------------------------------------------------------------


def test_everything_wrong_is_said_at_once_with_its_place(home: Path, tmp_path: Path) -> None:
    user = write(tmp_path / "user.toml", '[log]\nlevel = "inf"\n')
    write(home / "config.toml", "[gate]\ntimout = 3\ntimeout = '1h'\n[gaet]\nx = 1\n")
    write(home / "local.toml", "gate = 3\n[retry\n")
    environ = {"MO_RETRY__MAX_ATTEMPTS": "0", "MO_X__Y": "1"}
    lines = refused(home, environ, user_file=user, overrides={"max_parallel": 3})
    assert [line.replace(f"{tmp_path}/", "") for line in lines] == [
        'user.toml: log.level = "inf": expected one of debug, info, warning, error, did you mean "info"?',
        'config.toml: gate.timeout = "1h": expected a number greater than 0',
        'config.toml: gate.timout = 3: unknown key, did you mean "gate.timeout"?',
        'config.toml: gaet = {"x" = 1}: unknown key, did you mean "gate"?',
        "local.toml:2:7: not valid TOML: Expected ']' at the end of a table declaration",
        "MO_RETRY__MAX_ATTEMPTS: retry.max_attempts = 0: expected a whole number, 1 or more",
        'MO_X__Y: x = {"y" = 1}: unknown key',
        'command line: max_parallel = 3: unknown key, did you mean "orchestrator.max_parallel"?',
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "orchestrator.max_parallel = 0",
            "orchestrator.max_parallel = 0: expected a whole number, 1 or more",
        ),
        (
            "orchestrator.max_parallel = '8'",
            'orchestrator.max_parallel = "8": expected a whole number, 1 or more',
        ),
        (
            "orchestrator.max_parallel = true",
            "orchestrator.max_parallel = true: expected a whole number, 1 or more",
        ),
        (
            "orchestrator.max_parallel = 8.0",
            "orchestrator.max_parallel = 8.0: expected a whole number, 1 or more",
        ),
        ("orchestrator.tick_seconds = 0", "orchestrator.tick_seconds = 0: expected a number greater than 0"),
        (
            "orchestrator.tick_seconds = inf",
            "orchestrator.tick_seconds = inf: expected a number greater than 0",
        ),
        ("claude.max_budget_usd = -1", "claude.max_budget_usd = -1: expected a number, 0 or more"),
        ("routing.auto_fallback = 1", "routing.auto_fallback = 1: expected true or false"),
        ("gate.command = ['make']", 'gate.command = ["make"]: expected text'),
        ("gate.command = 2026-01-01", "gate.command = 2026-01-01: expected text"),
        ("workspace.setup = 'make'", 'workspace.setup = "make": expected a list of texts such as ["a", "b"]'),
        ("workspace.setup = [1, 2]", 'workspace.setup = [1, 2]: expected a list of texts such as ["a", "b"]'),
        (
            "claude.execution_security_mode = 'open'",
            'claude.execution_security_mode = "open": expected one of restricted, trusted_local',
        ),
        (
            "routing.phase_defaults.execute = 'codec'",
            'routing.phase_defaults.execute = "codec": expected one of claude, codex, did you mean "codex"?',
        ),
        ("routing.phase_defaults = 'claude'", 'routing.phase_defaults = "claude": expected a table'),
        (
            "git.branch_prefix = 'mo'",
            'git.branch_prefix = "mo": expected letters, digits, - and _, ending with a slash, such as "mo/"',
        ),
        ("git.author = 'Me'", 'git.author = "Me": expected "Name <email>"'),
        (
            "codx.default_model = 'x'",
            'codx = {"default_model" = "x"}: unknown key, did you mean "codex"?',
        ),
        ('gate.junit = ["\\u001b[2J"]', 'gate.junit = ["\\u001b[2J"]: expected text'),
        (f"gate.junit = ['{'x' * 99}']", f'gate.junit = ["{"x" * 58}...: expected text'),
    ],
)
def test_a_bad_value(home: Path, text: str, problem: str) -> None:
    write(home / "config.toml", text)
    assert refused(home) == [f"config.toml: {problem}"]


@pytest.mark.parametrize("author", ["A <a@b>", "Jane Q. Public <jane@example.org>", "Ünal <u@x.y>", ""])
def test_good_authors(author: str) -> None:
    assert load(None, environ={}, overrides={"git.author": author}).config.git.author == author


def test_files_that_cannot_be_read(home: Path) -> None:
    (home / "config.toml").mkdir()
    (home / "local.toml").write_bytes(b"[gate]\n# \xff\n")
    assert refused(home) == ["config.toml: cannot be read: Is a directory", "local.toml:2: not UTF-8 text"]


def test_unknown_keys_are_named_when_asked_for() -> None:
    with pytest.raises(MoError) as caught:
        get(load(None, environ={}), "gate.comand")
    assert caught.value.message == 'no setting gate.comand, did you mean "gate.command"?'
    assert caught.value.code is Exit.USAGE


# -- trust --------------------------------------------------------------------------------------------


def test_an_untrusted_file_sets_only_what_is_harmless(home: Path, tmp_path: Path) -> None:
    user = write(tmp_path / "user.toml", "[gate]\ncommand = 'mine'\n")
    content = (
        "[gate]\ncommand = 'evil'\ntimeout = 5\n"
        "[workspace]\nsetup = ['evil']\nteardown = []\nroot_dir = '/'\n"
        "env_pass = ['AWS_SECRET']\n[claude]\nexecution_security_mode = 'trusted_local'\n"
        "[codex]\nexecution_security_mode = 'restricted'\n"
    )
    write(home / "config.toml", content)
    write(home / "local.toml", "[gate]\njunit = 'x.xml'\n")
    asked: list[tuple[str, bytes]] = []

    def trusted(name: str, text: bytes) -> bool:
        asked.append((name, text))
        return name == "local.toml"

    loaded = load(home, environ={}, user_file=user, trusted=trusted)
    assert asked == [("config.toml", content.encode()), ("local.toml", b"[gate]\njunit = 'x.xml'\n")]
    left_out = (
        "claude.execution_security_mode",
        "workspace.root_dir",
        "workspace.setup",
        "workspace.env_pass",
        "gate.command",
    )
    assert loaded.untrusted == left_out
    assert (loaded.config.gate.command, loaded.origins["gate.command"]) == ("mine", str(user))
    assert (loaded.config.gate.timeout, loaded.config.gate.junit) == (5, "x.xml")
    assert loaded.config.claude.execution_security_mode == "restricted"
    assert load(home, environ={}).config.gate.command == "evil"
    assert set(left_out) <= {name for name, _, _ in key_listing() if is_guarded(name)}


# -- editing ------------------------------------------------------------------------------------------


def test_set_keeps_everything_else_of_the_file(home: Path) -> None:
    path = write(
        home / "config.toml",
        "# ours\r\n[gate]  # the tests\r\ncommand = 'old' # fast\r\n\r\n[retry]\r\nmax_attempts = 3\r\n",
    )
    path.chmod(0o640)
    set_value(path, "gate.command", "pytest -q")
    set_value(path, "retry.max_attempts", "4")
    assert path.read_bytes() == (
        b'# ours\r\n[gate]  # the tests\r\ncommand = "pytest -q" # fast\r\n\r\n'
        b"[retry]\r\nmax_attempts = 4\r\n"
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_set_makes_file_and_tables(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"
    set_value(path, "routing.phase_defaults.execute", "claude")
    set_value(path, "routing.auto_fallback", "false")
    set_value(path, "workspace.setup", '["npm ci"]')
    set_value(path, "gate.command", "true")
    assert tomllib.loads(path.read_text()) == {
        "routing": {"auto_fallback": False, "phase_defaults": {"execute": "claude"}},
        "workspace": {"setup": ["npm ci"]},
        "gate": {"command": "true"},
    }


@pytest.mark.parametrize(
    "before",
    [
        "gate.timeout = 1\n",
        "gate = {timeout = 1}\n",
        "[gate]\ntimeout = 1\n[log]\n",
        "[log]\n\n[gate]\ntimeout = 1",
    ],
)
def test_set_and_unset_in_every_way_of_writing_a_table(tmp_path: Path, before: str) -> None:
    path = write(tmp_path / "config.toml", before)
    set_value(path, "gate.command", 'make "all"')
    assert tomllib.loads(path.read_text())["gate"] == {"timeout": 1, "command": 'make "all"'}
    unset_value(path, "gate.command")
    assert tomllib.loads(path.read_text())["gate"] == {"timeout": 1}


def test_set_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    real = write(tmp_path / "dotfiles" / "mo.toml", "")
    link = tmp_path / "config.toml"
    link.symlink_to(real)
    set_value(link, "log.level", "debug")
    assert link.is_symlink()
    assert real.read_text() == '[log]\nlevel = "debug"\n'


@pytest.mark.parametrize(
    ("before", "key", "value", "code", "message"),
    [
        (
            "",
            "gate.timeout",
            "soon",
            Exit.CONFIG,
            'F: gate.timeout = "soon": expected a number greater than 0',
        ),
        ("", "gate.timeot", "3", Exit.USAGE, 'no setting gate.timeot, did you mean "gate.timeout"?'),
        ("", "gate", "3", Exit.USAGE, "no setting gate"),
        ("a = = 1", "gate.timeout", "3", Exit.CONFIG, "F:1:5: not valid TOML: Invalid value"),
        ("gate = 3", "gate.timeout", "3", Exit.CONFIG, "F: gate is not a table"),
    ],
)
def test_set_refuses(tmp_path: Path, before: str, key: str, value: str, code: Exit, message: str) -> None:
    path = write(tmp_path / "config.toml", before)
    with pytest.raises(MoError) as caught:
        set_value(path, key, value)
    assert caught.value.message.replace(str(path), "F").startswith(message)
    assert caught.value.code is code
    assert path.read_text() == before


def test_unset_mends_a_file_with_an_unknown_key(tmp_path: Path) -> None:
    path = write(tmp_path / "config.toml", "[gate]\ntimout = 3\n# kept\n")
    unset_value(path, "gate.timout")
    assert path.read_text() == "[gate]\n# kept\n"
    for key in ("gate.timout", "log.level", "gate.timout.deeper"):
        with pytest.raises(MoError, match="does not set"):
            unset_value(path, key)


PRICES = {"gpt-5.5": {"input": 5.0, "cached_input": 0.5, "output": 30.0}}


def test_prices_are_one_value(home: Path, tmp_path: Path) -> None:
    """Names of models have dots; a later layer's table replaces the whole."""
    own = write(tmp_path / "own.toml", '[prices]\n"other" = { input = 1, cached_input = 1, output = 1 }\n')
    file = write(
        home / "config.toml", '[prices]\n"GPT-5.5" = { input = 5, cached_input = 0.5, output = 30 }\n'
    )
    loaded = load(home, environ={}, user_file=own)
    assert (loaded.config.prices, loaded.origins["prices"]) == (PRICES, str(file))
    assert tomllib.loads("\n".join(dump(loaded, False)))["prices"] == PRICES
    set_value(file, "prices", "{ x = { input = 1, cached_input = 0, output = 2 } }")
    assert list(load(home, environ={}).config.prices) == ["x"]
    unset_value(file, "prices")
    assert load(home, environ={}).config.prices == {}


@pytest.mark.parametrize(
    "price",
    [
        "1",
        "{ input = 1 }",
        "{ input = 1, cached_input = -1, output = 1 }",
        "{ input = 1, cached_input = 'x', output = 1 }",
    ],
)
def test_a_bad_price(home: Path, price: str) -> None:
    write(home / "config.toml", f"[prices]\nx = {price}\n")
    (problem,) = refused(home)
    assert problem.startswith('config.toml: prices = {"x" = ')
    assert problem.endswith(
        ': expected a table such as { "gpt-5.5" = { input = 5, cached_input = 0.5, output = 30 } }'
    )


def test_check_value_gives_the_typed_value() -> None:
    assert check_value("gate.parallel", "2", "x") == 2
    assert check_value("workspace.setup", '["a"]', "x") == ["a"]
    with pytest.raises(MoError, match=r"^x: gate\.parallel = 0: expected a whole number, 1 or more$"):
        check_value("gate.parallel", "0", "x")


def test_dump_is_toml_again(home: Path) -> None:
    path = write(
        home / "config.toml", "[gate]\ncommand = 'a \"b\"'\nkeep = ['x', 'y']\n[claude]\nmax_budget_usd = 5\n"
    )
    loaded = load(home, environ={})
    lines = dump(loaded, origin=True)
    assert f'gate.command = "a \\"b\\""  # {path}' in lines
    assert "# codex.max_budget_usd is not set  # default" in lines
    assert "gate.timeout = 1800" in dump(loaded, origin=False)
    write(home / "config.toml", "\n".join(lines))
    again = load(home, environ={})
    assert again.config == loaded.config
    assert again.origins["log.level"] == str(path)


# -- the command --------------------------------------------------------------------------------------


def mo(cwd: Path, *args: str, as_json: bool = False) -> Result:
    return CliRunner().invoke(command, args, obj=Context(cwd, as_json))


def good(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def refusal(result: Result) -> MoError:
    assert isinstance(result.exception, MoError), result.output
    return result.exception


def test_set_get_unset_from_a_subdirectory(repo: RepoBuilder) -> None:
    (repo.path / ".mo").mkdir()
    below = repo.path / "deep"
    below.mkdir()
    file = repo.path / ".mo/config.toml"
    assert good(mo(below, "set", "gate.command", "pytest -q")) == f"gate.command is set in {file}\n"
    assert good(mo(below, "get", "gate.command")) == "pytest -q\n"
    good(mo(below, "set", "gate.command", "make", "--local"))
    assert json.loads(good(mo(below, "get", "gate.command", as_json=True))) == {
        "v": 1,
        "key": "gate.command",
        "value": "make",
        "origin": str(repo.path / ".mo/local.toml"),
    }
    good(mo(below, "unset", "gate.command", "--local"))
    assert good(mo(below, "get", "gate.command")) == "pytest -q\n"
    assert good(mo(below, "get", "gate.keep")) == "[]\n"
    assert good(mo(below, "get", "claude.max_budget_usd")) == "\n"


def test_the_users_file_works_outside_of_a_repository(tmp_path: Path, sealed: Path) -> None:
    user = sealed / "config/mo/config.toml"
    assert good(mo(tmp_path, "set", "--user", "log.level", "debug")) == f"log.level is set in {user}\n"
    assert f'log.level = "debug"  # {user}' in good(mo(tmp_path, "show", "--origin")).splitlines()
    assert good(mo(tmp_path, "check")) == f"good: {user}\n"
    assert good(mo(tmp_path, "path")) == f"user   {user}\n"
    assert refusal(mo(tmp_path, "set", "log.level", "info")).code is Exit.NOT_FOUND


def test_set_without_a_home_says_what_to_do(repo: RepoBuilder) -> None:
    error = refusal(mo(repo.path, "set", "log.level", "info"))
    assert (error.code, error.hint) == (Exit.NOT_FOUND, "mo init makes it; --user changes your own settings")
    assert not (repo.path / ".mo").exists()


def test_show_check_path_and_list_as_json(repo: RepoBuilder, sealed: Path) -> None:
    file = write(repo.path / ".mo/config.toml", "[gate]\ncommand = 'make'\n")
    shown = json.loads(good(mo(repo.path, as_json=True)))
    assert shown["v"] == 1
    assert shown["config"]["gate.command"] == "make"
    assert shown["origins"]["gate.command"] == str(file)
    assert shown["untrusted"] == []
    checked = json.loads(good(mo(repo.path, "check", as_json=True)))
    assert checked == {"v": 1, "ok": True, "files": [str(file)], "untrusted": []}
    assert json.loads(good(mo(repo.path, "path", as_json=True))) == {
        "v": 1,
        "files": [
            {"scope": "user", "path": str(sealed / "config/mo/config.toml"), "exists": False},
            {"scope": "repo", "path": str(file), "exists": True},
            {"scope": "local", "path": str(repo.path / ".mo/local.toml"), "exists": False},
        ],
    }
    keys = json.loads(good(mo(repo.path, "list", as_json=True)))["keys"]
    assert [key["key"] for key in keys] == [name for name, _, _ in key_listing()]
    assert good(mo(repo.path, "list")).startswith("orchestrator.max_parallel = 150\n    agents that may run")


def test_check_refuses(repo: RepoBuilder) -> None:
    write(repo.path / ".mo/config.toml", "[gate]\ncomand = 'make'\n")
    error = refusal(mo(repo.path, "check"))
    assert error.code is Exit.CONFIG
    assert error.message.endswith('gate.comand = "make": unknown key, did you mean "gate.command"?')


def test_a_tracked_file_waits_for_trust_and_keeps_it(repo: RepoBuilder) -> None:
    repo.commit({".mo/config.toml": "[gate]\ncommand = 'make'\n"})
    shown = mo(repo.path, "get", "gate.command")
    assert (shown.stdout, shown.exit_code) == ("\n", 0)
    waiting = "not used until `mo trust`, since the file is tracked by git: gate.command\n"
    assert shown.stderr == waiting
    changed = mo(repo.path, "set", "gate.command", "make test")
    assert changed.stderr == waiting
    content = (repo.path / ".mo/config.toml").read_bytes()
    trust.trust(repo.path / ".git", {"config.toml": content}, environ=os.environ)
    assert mo(repo.path, "set", "gate.command", "make all").stderr == ""
    assert good(mo(repo.path, "get", "gate.command")) == "make all\n"
    write(repo.path / ".mo/config.toml", "[gate]\ncommand = 'make evil'\n")  # as a pull would
    assert mo(repo.path, "get", "gate.command").stdout == "\n"


def test_the_command_is_imported_without_the_heavy_packages() -> None:
    code = (
        "import sys, mo_git.cli.config, mo_git.cli.trust\n"
        "print(sorted({'pydantic', 'tomlkit', 'pygit2', 'rich', 'sqlite_utils'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
