"""The environment that agents, checks, set-up and gates get: an allow-list, never the caller's own.

What is not named here does not get through: secrets, and above all what would redirect a program without
anybody seeing it (GIT_DIR, PYTHONPATH, LD_PRELOAD, NODE_OPTIONS, BASH_ENV).  A name that the person listed
in the configuration wins over all of that.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_NAMES = frozenset(
    {"PATH", "HOME", "TMPDIR", "LANG", "LANGUAGE", "TERM", "TZ", "USER", "LOGNAME", "SHELL", "VIRTUAL_ENV"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
    | {"CARGO_HOME", "RUSTUP_HOME", "GOPATH", "GOCACHE", "GOFLAGS", "GOPROXY"}
)
_FAMILIES = ("LC_", "GIT_AUTHOR_", "GIT_COMMITTER_", "XDG_")
# Package managers keep harmless settings and credentials under one prefix.
_PACKAGE_FAMILIES = ("PIP_", "UV_", "NPM_CONFIG_", "npm_config_")
_PACKAGE_NAMES = frozenset({"GOPROXY", "GOFLAGS"})

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTH|API_?KEY|PRIVATE|USERNAME", re.IGNORECASE
)
_SECRET_VALUE = re.compile(r"://[^/\s@]+@")  # user:password@ of a URL
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_MAX_IDENTIFIER = 63  # PostgreSQL's limit, the lowest of the common databases (MySQL: 64)


def allowed(name: str, value: str) -> bool:
    """Whether a variable of the caller may reach agent-written code without being asked for."""
    if name in _NAMES or name.startswith(_FAMILIES):
        return name not in _PACKAGE_NAMES or not _SECRET_VALUE.search(value)
    if name.startswith(_PACKAGE_FAMILIES):
        return not _SECRET_NAME.search(name) and not _SECRET_VALUE.search(value)
    return False


def task_environment(
    base: Mapping[str, str],
    *,
    goal: str,
    task: str,
    attempt: int,
    worktree: Path,
    common_dir: Path,
    port_base: int,
    passed: Sequence[str],
    guard: tuple[Path, str] | None = None,
) -> dict[str, str]:
    """The whole environment of a task's programs, made from the caller's `base`.

    `passed` are exact names that get through whatever they are.  `guard` is (directory of the ref guard
    hook, the one full ref name that may move); it is given where no sandbox protects the repository.
    """
    env = {name: value for name, value in base.items() if allowed(name, value) or name in passed}
    env.setdefault("PATH", _DEFAULT_PATH)
    env |= {
        "MO_GOAL": goal,
        "MO_TASK": task,
        "MO_ATTEMPT_NUMBER": str(attempt),
        "MO_WORKTREE": str(worktree),
        "MO_PORT_BASE": str(port_base),
        "MO_DB_NAME": database_name(common_dir, goal, task),
        "MO_INTERNAL": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_EDITOR": "true",
        "GIT_SEQUENCE_EDITOR": "true",
    }
    if guard:
        directory, ref = guard
        env |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "core.hooksPath",
            "GIT_CONFIG_VALUE_0": str(directory),
            "MO_GIT_DIR": str(common_dir),
            "MO_REF": ref,
        }
    return env


def database_name(common_dir: Path, goal: str, task: str) -> str:
    """A name for the task's own database: a plain SQL identifier of at most 63 characters.

    Readable first, then a digest: folding to [a-z0-9_] and cutting would let two tasks meet, and so would
    two repositories with goals of one name.
    """
    digest = hashlib.sha256("\0".join((str(common_dir), goal, task)).encode("utf-8", "surrogateescape"))
    suffix = "_" + digest.hexdigest()[:12]
    words = re.sub(r"[^a-z0-9]+", "_", f"mo_{goal}_{task}".lower())
    return words[: _MAX_IDENTIFIER - len(suffix)].rstrip("_") + suffix


def with_local_tools(env: Mapping[str, str], worktree: Path) -> dict[str, str]:
    """The environment with the worktree's own tools first on PATH, as if its `.venv` were activated.

    A virtual environment that was active before leaves with its PATH entry, as activating another one
    does: an editable install in it would make a check test another checkout.
    """
    result = dict(env)
    path = [entry for entry in env.get("PATH", _DEFAULT_PATH).split(os.pathsep) if entry]
    own = worktree / ".venv"
    local = [entry for entry in (own / "bin", worktree / "node_modules" / ".bin") if entry.is_dir()]
    if own / "bin" in local:
        before = result.get("VIRTUAL_ENV")
        path = [entry for entry in path if before is None or Path(entry) != Path(before) / "bin"]
        result["VIRTUAL_ENV"] = str(own)
    first = [str(entry) for entry in local]
    result["PATH"] = os.pathsep.join(first + [entry for entry in path if entry not in first])
    return result
