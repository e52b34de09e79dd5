"""A read-only stand-in for a repository's git directory, made of a few small files.

It holds the refs of one moment, a config without remotes' addresses and credentials, and empty places into
which the real objects and the worktree's own administration are mounted.  Mounting files over single files
of the real directory would not do: git replaces its files by renaming, and the kernel then drops a mount.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from mo_daemon.sandbox import gitconfig
from mo_daemon.sandbox.gitconfig import Setting
from mo_daemon.sandbox.words import View

_COPIED = ("shallow", "info/exclude", "info/attributes", "info/grafts")
_FIXED = (
    Setting("core", "", "bare", "false"),
    Setting("core", "", "logallrefupdates", "false"),
    Setting("gc", "", "auto", "0"),
    Setting("maintenance", "", "auto", "false"),
)


def make_view(
    common_dir: Path, view: Path, *, admin: str, refs: Mapping[str, str], lfs: bool = False
) -> View:
    """Make the view directory, or bring it up to date, and say how it has to be mounted.

    `admin` is the worktree's name below `worktrees/`, `refs` maps full ref names to object ids; `lfs`: the
    user has git-lfs set up.  Reads and writes files only.
    """
    for directory in ("info", "objects", "refs/heads", f"worktrees/{admin}", *(("lfs",) if lfs else ())):
        (view / directory).mkdir(parents=True, exist_ok=True)
    _clear(view, admin, lfs)
    settings = gitconfig.for_repository(_text(common_dir / "config"))
    _write(view / "config", gitconfig.render([*settings, *_FIXED, *(_LFS if lfs else ())]))
    _write(view / "HEAD", "ref: refs/heads/none\n")
    _write(view / "packed-refs", packed_refs(refs))
    for name in _COPIED:
        if text := _text(common_dir / name):
            _write(view / name, text)
    real_admin = common_dir / "worktrees" / admin
    covers = tuple(_covers(view, real_admin))
    stores = [common_dir / "objects", *(config.parent / "objects" for config, _ in covers)]
    others = dict.fromkeys(path for store in stores for path in alternates(store))
    return View(view, common_dir, real_admin, tuple(others), covers)


def _clear(view: Path, admin: str, lfs: bool) -> None:
    """Remove what an earlier view held and this one may not."""
    for name in _COPIED:
        (view / name).unlink(missing_ok=True)
    stale = [path for path in (view / "worktrees").iterdir() if path.name != admin]
    for path in (view / "modules", *stale, *(() if lfs else (view / "lfs",))):
        shutil.rmtree(path, ignore_errors=True)


_LFS = (
    Setting("filter", "lfs", "clean", "git-lfs clean -- %f"),
    Setting("filter", "lfs", "smudge", "git-lfs smudge --skip -- %f"),
    Setting("filter", "lfs", "process", "git-lfs filter-process --skip"),
    Setting("filter", "lfs", "required", "true"),
)


def packed_refs(refs: Mapping[str, str]) -> str:
    """The content of a packed-refs file.  It promises no peeled tags, so git peels them itself."""
    lines = sorted(refs.items(), key=lambda item: os.fsencode(item[0]))
    return "# pack-refs with: sorted \n" + "".join(f"{oid} {name}\n" for name, oid in lines)


def _covers(view: Path, admin: Path) -> Iterator[tuple[Path, Path]]:
    """The configs of a worktree's submodules, which name remotes too, and what stands in for each."""
    for number, config in enumerate(module_configs(admin / "modules")):
        shown = view / "modules" / str(number)
        shown.parent.mkdir(exist_ok=True)
        _write(shown, gitconfig.render(_submodule(_text(config))))
        yield config, shown


def module_configs(modules: Path) -> Iterator[Path]:
    """A submodule's name may have slashes, and it may have submodules itself."""
    stack = [modules]
    while stack:
        directory = stack.pop()
        if (directory / "config").is_file() and (directory / "objects").is_dir():
            yield directory / "config"
            stack.append(directory / "modules")
        elif directory.is_dir():
            stack += [path for path in directory.iterdir() if path.is_dir() and not path.is_symlink()]


def _submodule(text: str) -> list[Setting]:
    """As for a repository, and where its files are."""
    place = [item for item in gitconfig.parse(text) if (item.section, item.key) == ("core", "worktree")]
    return [*gitconfig.for_repository(text), *place, Setting("core", "", "bare", "false")]


def alternates(objects: Path) -> list[Path]:
    """The object stores that a store borrows from, directly or not (gitrepository-layout(5))."""
    found: dict[Path, None] = {}
    stack = [objects]
    while stack:
        store = stack.pop()
        for line in _text(store / "info" / "alternates").splitlines():
            path = Path(os.path.realpath(store / line)) if line and not line.startswith("#") else store
            if path not in found and path != store and path.is_dir():
                found[path] = None
                stack.append(path)
    return list(found)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
