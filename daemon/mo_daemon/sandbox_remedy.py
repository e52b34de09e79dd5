"""What a program's output says about the sandbox that it ran in, and the setting that would help.

Only looks at whether the paths that the output names are there.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path

from mo_git.tomltext import toml_value

_PATH = re.compile(r"(?<![\w.:/-])(?:unix://)?(/[\w.@+~-]+(?:/[\w.@+~-]+)+)")
_SETTINGS = {
    "gate.writable": "it may want to write there",
    "sandbox.read": "it may want to read that, which the sandbox hides",
}
_READ_ONLY = re.compile(r"Read-only file system|EROFS")
_ABSENT = re.compile(
    r"No such file or directory|ENOENT|cannot find|not found|Cannot connect|Connection refused", re.I
)
_OFFLINE = re.compile(
    r"Network is unreachable|ENETUNREACH|Temporary failure in name resolution|Could not resolve host"
    r"|ENOTFOUND|EAI_AGAIN|Connection refused|ECONNREFUSED"
)
_FULL = re.compile(r"No space left on device|ENOSPC")
_NAMESPACES = re.compile(r"bwrap:|unshare|user namespace|clone3?\(", re.I)


def sandbox_remedy(output: str, as_you: str, closed: Collection[Path], *, network: bool) -> str:
    """What to set, for the end of a program's output; empty where nothing speaks of the sandbox.

    `as_you` is the setting that does without a sandbox, `network` whether it is open.  What lies in the
    `closed` directories has to stay hidden.
    """
    return "; ".join(dict.fromkeys(_remedies(output, as_you, closed, network)))


def _remedies(output: str, as_you: str, closed: Collection[Path], network: bool) -> Iterator[str]:
    free = f"mo config set {as_you} false runs it as you, without the sandbox"
    for line in output.splitlines():
        if _READ_ONLY.search(line):
            yield from (_add("gate.writable", _directory(path)) for path in _paths(line, closed))
        elif _ABSENT.search(line):
            for path in _paths(line, closed):
                if path.is_socket():
                    yield f"{path} is a socket, and the sandbox hides those: {free}"
                elif path.exists():
                    yield _add("sandbox.read", path)
        if not network and _OFFLINE.search(line):
            yield "the sandbox cuts the network: mo config set sandbox.network open"
        if _FULL.search(line):
            yield "its temporary directories are small: mo config set sandbox.tmp_mb 4096"
        if _NAMESPACES.search(line):
            yield f"it may want to make a sandbox itself: {free}"


def _paths(line: str, closed: Collection[Path]) -> Iterator[Path]:
    for path in (Path(name.rstrip(".")) for name in _PATH.findall(line)):
        if not any(path.is_relative_to(one) or one.is_relative_to(path) for one in closed):
            yield path


def _directory(path: Path) -> Path:
    """The nearest directory that is there."""
    return next((one for one in (path, *path.parents) if one.is_dir()), path)


def _add(key: str, path: Path) -> str:
    return f"{_SETTINGS[key]}: mo config set {key} {shlex.quote(toml_value([str(path)]))}"
