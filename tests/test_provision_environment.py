"""What reaches the programs of a task, and what never does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mo_daemon.environment import database_name, task_environment, with_local_tools

OWN = {
    "MO_GOAL": "jwt-auth-k3f9",
    "MO_TASK": "middleware",
    "MO_ATTEMPT_NUMBER": "2",
    "MO_WORKTREE": "/state/w/3",
    "MO_PORT_BASE": "20060",
    "MO_DB_NAME": "mo_jwt_auth_k3f9_middleware_7d1fd112fe61",
    "MO_INTERNAL": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",
    "GIT_SEQUENCE_EDITOR": "true",
}


def environment(
    base: dict[str, str], passed: tuple[str, ...] = (), guard: tuple[Path, str] | None = None
) -> dict[str, str]:
    return task_environment(
        {"PATH": "/bin", **base},
        goal="jwt-auth-k3f9",
        task="middleware",
        attempt=2,
        worktree=Path("/state/w/3"),
        common_dir=Path("/repo/.git"),
        port_base=20060,
        passed=passed,
        guard=guard,
    )


@pytest.mark.parametrize(
    "name",
    [
        *("HOME", "TMPDIR", "LANG", "LC_ALL", "TERM", "TZ", "USER", "LOGNAME", "SHELL", "VIRTUAL_ENV"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_DATE", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"),
        *("PIP_INDEX_URL", "UV_CACHE_DIR", "NPM_CONFIG_CACHE", "npm_config_registry"),
        *("CARGO_HOME", "RUSTUP_HOME", "GOPATH", "GOCACHE", "GOFLAGS", "GOPROXY"),
    ],
)
def test_these_pass(name: str) -> None:
    assert environment({name: "some value"}) == {"PATH": "/bin", name: "some value", **OWN}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "GITHUB_TOKEN",
            "GH_TOKEN",
            "GH_HOST",
            "NPM_TOKEN",
            "MY_SECRET",
            "DB_PASSWORD",
            "ANTHROPIC_API_KEY",
        ),
        *(
            "OPENAI_API_KEY",
            "AWS_ACCESS_KEY_ID",
            "AWS_PROFILE",
            "SSH_AUTH_SOCK",
            "DATABASE_URL",
            "KUBECONFIG",
        ),
        *("DOCKER_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "TWINE_USERNAME"),
        *("UV_PUBLISH_TOKEN", "UV_INDEX_INNER_PASSWORD", "UV_INDEX_INNER_USERNAME", "PIP_PASSWORD"),
        *("NPM_CONFIG__AUTH", "npm_config__authToken", "npm_config_//example.org/:_authToken"),
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_CONFIG_COUNT", "GIT_SSH_COMMAND", "GIT_ASKPASS"),
        *("PYTHONPATH", "PYTHONHOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "NODE_OPTIONS", "BASH_ENV", "ENV"),
        *("MO_ATTEMPT", "MO_REF", "MO_GIT_DIR", "CI", "SOMETHING"),
    ],
)
def test_these_do_not_pass_unless_a_person_names_them(name: str) -> None:
    assert environment({name: "x"}) == {"PATH": "/bin", **OWN}
    assert environment({name: "x"}, passed=("OTHER", name)) == {"PATH": "/bin", name: "x", **OWN}


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "UV_INDEX_URL", "NPM_CONFIG_REGISTRY", "GOPROXY"])
def test_a_package_index_with_a_password_in_its_address_stays_out(name: str) -> None:
    assert environment({name: "https://me:pw@example.org/simple"}) == {"PATH": "/bin", **OWN}


def test_a_proxy_with_a_password_stays_since_nothing_reaches_the_network_without_it() -> None:
    proxy = {"HTTPS_PROXY": "http://me:pw@proxy.example.org:3128"}
    assert environment(proxy) == {"PATH": "/bin", **proxy, **OWN}


def test_own_variables_win_over_passed_ones() -> None:
    base = {"MO_TASK": "stale", "GIT_EDITOR": "vim", "MO_PORT_BASE": "1"}
    assert environment(base, passed=tuple(base)) == {"PATH": "/bin", **OWN}


def test_a_caller_without_a_path_gets_the_usual_one() -> None:
    env = task_environment(
        {},
        goal="g",
        task="t",
        attempt=1,
        worktree=Path("/w"),
        common_dir=Path("/r"),
        port_base=1,
        passed=(),
    )
    assert env["PATH"] == "/usr/local/bin:/usr/bin:/bin"


def test_guard() -> None:
    env = environment({"GIT_CONFIG_COUNT": "7"}, guard=(Path("/mo/hooks"), "refs/heads/mo/g/t"))
    assert env == {
        "PATH": "/bin",
        **OWN,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": "/mo/hooks",
        "MO_GIT_DIR": "/repo/.git",
        "MO_REF": "refs/heads/mo/g/t",
    }


def test_database_names_are_short_identifiers_and_never_meet() -> None:
    goals = ["g", "Über/Größe", "x" * 100, "select * from t; --"]
    tasks = ["a-b", "a_b", "a.b", "y" * 100, "y" * 101]
    repositories = [Path("/one/.git"), Path("/two/.git")]
    names = [database_name(place, goal, task) for place in repositories for goal in goals for task in tasks]
    assert len(set(names)) == 2 * 4 * 5
    assert [name for name in names if not re.fullmatch(r"mo_[a-z0-9_]{1,60}", name)] == []
    assert database_name(Path("/one/.git"), "a", "b") == database_name(Path("/one/.git"), "a", "b")


LOCAL = [
    # directories made, environment before, expected PATH, expected VIRTUAL_ENV
    ([], {"PATH": "/bin:/usr/bin"}, "/bin:/usr/bin", None),
    ([], {"PATH": "/v/bin:/bin", "VIRTUAL_ENV": "/v"}, "/v/bin:/bin", "/v"),
    ([".venv/bin"], {"PATH": "/bin"}, "W/.venv/bin:/bin", "W/.venv"),
    ([".venv/bin"], {"PATH": "/v/bin:/bin", "VIRTUAL_ENV": "/v"}, "W/.venv/bin:/bin", "W/.venv"),
    (
        ["node_modules/.bin"],
        {"PATH": "/v/bin:/bin", "VIRTUAL_ENV": "/v"},
        "W/node_modules/.bin:/v/bin:/bin",
        "/v",
    ),
    ([".venv/bin", "node_modules/.bin"], {"PATH": "/bin"}, "W/.venv/bin:W/node_modules/.bin:/bin", "W/.venv"),
    ([".venv"], {"PATH": "/bin::"}, "/bin", None),
]


@pytest.mark.parametrize(("made", "before", "path", "active"), LOCAL)
def test_local_tools(
    tmp_path: Path, made: list[str], before: dict[str, str], path: str, active: str | None
) -> None:
    for name in made:
        (tmp_path / name).mkdir(parents=True)
    env = with_local_tools({**before, "HOME": "/h"}, tmp_path)
    expected = {"HOME": "/h", "PATH": path.replace("W", str(tmp_path))}
    if active:
        expected["VIRTUAL_ENV"] = active.replace("W", str(tmp_path))
    assert env == expected
    assert with_local_tools(env, tmp_path) == env
