"""Where programs live that a run needs although their surroundings are hidden."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mo_daemon.sandbox.mounts import contains, is_dir, is_file, real
from mo_git.git.binary import Git

_BINARIES = frozenset({"bin", "sbin", ".bin", "shims", "scripts"})
_IGNORED = frozenset(
    {"node_modules", ".venv", "venv", ".tox", ".nox", ".direnv", ".pixi", "__pypackages__", ".yarn"}
)


def of_checkout(main_top: Path) -> tuple[Path, ...]:
    """The ignored directories of a checkout that hold tool chains: virtual environments, node_modules.

    Asks git, which walks the checkout: as slow as `git status`, so keep the answer.
    """
    listed = Git(main_top)(
        "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory", check=False
    )
    paths = (main_top / os.fsdecode(name) for name in listed.out.split(b"\0") if name.endswith(b"/"))
    return tuple(path for path in paths if _is_toolchain(path))


def _is_toolchain(path: Path) -> bool:
    if path.is_symlink():
        return False
    return path.name in _IGNORED or is_file(path / "pyvenv.cfg")


def roots(
    argv: Iterable[str],
    env: Mapping[str, str],
    *,
    closed: Iterable[Path],
    homes: Iterable[Path],
    untrusted: Iterable[Path] = (),
) -> Iterator[Path]:
    """Directories to show so that PATH, the virtual environment and the program itself work.

    Of DIR/bin that is DIR, unless a home or something closed lies in it.  What lies in something closed is
    left out.  Of a hidden directory of a home, such as ~/.tool/bin, only the programs are shown.  Nothing
    is followed from `untrusted` directories: whoever may write there could name any other.
    """
    shut = [real(path) for path in closed]
    own = [real(path) for path in homes]
    for directory in _directories(argv, env, [real(path) for path in untrusted]):
        if any(contains(path, directory) for path in shut):
            continue
        wide = directory.parent if directory.name.lower() in _BINARIES else directory
        too_wide = len(wide.parts) < 3 or any(contains(wide, path) for path in (*shut, *own))
        hidden = wide.parent in own and wide.name.startswith(".") and not is_file(wide / "pyvenv.cfg")
        yield directory if too_wide or hidden else wide


def _directories(argv: Iterable[str], env: Mapping[str, str], untrusted: Iterable[Path]) -> Iterator[Path]:
    """Real directories that hold programs; those behind links and interpreters included."""

    def trusted(path: Path) -> bool:
        places = (real(path.parent) / path.name, real(path))
        return not any(contains(bad, place) for bad in untrusted for place in places)

    named = [Path(entry) for entry in env.get("PATH", "").split(os.pathsep) if entry.startswith("/")]
    if environment := env.get("VIRTUAL_ENV"):
        named.append(Path(environment) / "bin")
    found = {real(path): None for path in named if is_dir(path) and trusted(path)}
    for word in list(argv)[:1]:
        program = shutil.which(word, path=env.get("PATH"))
        if program and trusted(Path(program).absolute()):
            found |= {real(Path(program).absolute().parent): None, real(program).parent: None}
    yield from found
    yield from {base: None for path in found if (base := _interpreter(path.parent)) is not None}


def _interpreter(environment: Path) -> Path | None:
    """The directory of the interpreter that a virtual environment was made from (PEP 405)."""
    try:
        lines = (environment / "pyvenv.cfg").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    settings = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    home = settings.get("home", "")
    return real(home) if home.startswith("/") and is_dir(Path(home)) else None
