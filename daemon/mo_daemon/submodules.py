"""Submodules in worktrees: which commits they are at, and filling them without the network.

Linked worktrees have no submodules of their own.  Git clones each one again for every worktree, from the
network; here they are cloned from the copy that the main checkout already has, and the repository's shared
configuration is never written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mo_daemon import copying
from mo_git.errors import MoError
from mo_git.git.binary import Git
from mo_git.git.layout import git_dir_of

_GITLINK = b"160000"
_LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}


@dataclass(frozen=True, slots=True)
class _Place:
    """A repository that may hold submodules: where it is checked out for mo, and where the user has it.

    `top` and `git_dir` are the worktree's own; `main_top` and `main_modules` the user's checkout and the
    directory in which its submodules' repositories lie (either may be missing).
    """

    top: Path
    git_dir: Path
    main_top: Path
    main_modules: Path


def known(repository: Path, commit: str) -> dict[str, str]:
    """Path -> commit id of every submodule that a commit (any revision) names."""
    found = {}
    for line in Git(repository)("ls-tree", "-r", "-z", "--full-tree", commit).out.split(b"\0"):
        head, _, path = line.partition(b"\t")
        fields = head.split()
        if fields and fields[0] == _GITLINK:
            found[os.fsdecode(path)] = fields[2].decode()
    return found


def populate(main_top: Path, common_dir: Path, worktree: Path) -> tuple[str, ...]:
    """Bring every submodule of a worktree, nested ones too, to the commit that its superproject names.

    Changes of tracked files in them are thrown away, ignored files stay.  Returns the paths that had to be
    cloned.  Raises MoError where one can't be had.
    """
    if not (worktree / ".gitmodules").is_file():
        return ()
    return tuple(_fill(_Place(worktree, git_dir_of(worktree), main_top, common_dir / "modules"), ""))


def _fill(place: _Place, prefix: str) -> list[str]:
    cloned: list[str] = []
    links = known(place.top, "HEAD")
    for name, settings in _declared(place.top).items():
        path = settings.get("path", "")
        if path not in links or settings.get("update") == "none" or _setting(place, name, "update") == "none":
            continue
        if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            raise MoError(f"the submodule name {name} leaves the repository", "rename it in .gitmodules")
        inner = _Place(
            place.top / path,
            place.git_dir / "modules" / name,
            place.main_top / path,
            place.main_modules / name / "modules",
        )
        _detach_strangers(inner.top, place.git_dir / "modules")
        if _bring(place, inner, name, path, prefix + path):
            cloned.append(prefix + path)
        if (inner.top / ".gitmodules").is_file():
            cloned += _fill(inner, f"{prefix}{path}/")
    return cloned


def _declared(top: Path) -> Mapping[str, Mapping[str, str]]:
    """Name -> settings of each submodule in `.gitmodules`; later lines win, as git reads them."""
    listed = Git(top)("config", "-z", "-f", ".gitmodules", "--list").out
    found: dict[str, dict[str, str]] = {}
    for item in listed.split(b"\0"):
        key, _, value = os.fsdecode(item).partition("\n")
        if key.startswith("submodule.") and key.count(".") >= 2:
            name, _, setting = key.removeprefix("submodule.").rpartition(".")
            found.setdefault(name, {})[setting] = value
    return found


def _setting(place: _Place, name: str, key: str) -> str:
    """What the user's own configuration says about a submodule."""
    done = Git(place.top)("config", "--get", f"submodule.{name}.{key}", check=False)
    return done.text.strip() if done.code == 0 else ""


def _detach_strangers(directory: Path, modules: Path) -> None:
    """Remove every `.git` below a submodule that does not point into this worktree's own modules.

    Git would read the configuration of such a repository, and run what it says, as soon as it looks there.
    """
    if directory.is_symlink() or not directory.is_dir():
        copying.remove(directory)
        return
    for entry in list(copying.entries(directory)):
        if entry.name.lower() == ".git" and not _points_into(Path(entry.path), modules):
            copying.remove(Path(entry.path))


def _points_into(pointer: Path, modules: Path) -> bool:
    if pointer.is_symlink() or not pointer.is_file():
        return False
    try:
        return git_dir_of(pointer.parent).is_relative_to(modules.resolve())
    except MoError:
        return False


def _bring(place: _Place, inner: _Place, name: str, path: str, shown: str) -> bool:
    """Check one submodule out at its commit; whether it had to be cloned.

    Three tries: what the slot has, a fresh clone of the user's copy, a fresh clone of the URL.
    """
    source = _local_source(inner)
    tries = [(source, False)] if (inner.git_dir / "HEAD").is_file() else []
    tries += [(source, True), (None, True)] if source else [(None, True)]
    error = ""
    for origin, fresh in tries:
        if fresh:
            copying.remove(inner.git_dir)
            for entry in list(inner.top.iterdir()) if inner.top.is_dir() else []:
                copying.remove(entry)
        error = _update(place, inner, name, path, origin)
        if not error:
            Git(inner.top)("clean", "-ffdq")
            return fresh
    raise MoError(
        f"cannot fill the submodule {shown}: {error}",
        "run `git submodule update --init --recursive` in the main checkout, then try again",
    )


def _local_source(inner: _Place) -> Path | None:
    """Where the user's copy of a submodule's repository lies, if there is one."""
    stored = inner.main_modules.parent
    if (stored / "HEAD").is_file():
        return stored
    return inner.main_top if (inner.main_top / ".git" / "HEAD").is_file() else None


def _update(place: _Place, inner: _Place, name: str, path: str, source: Path | None) -> str:
    """Run git's own update from one source; an empty string, or what git said."""
    settings = [f"submodule.{name}.active=true"]
    config = inner.git_dir / "config"
    if source:
        settings += ["protocol.file.allow=always", f"submodule.{name}.url={source}"]
        if config.is_file():
            _point(place, config, str(source))
    update = ("submodule", "--quiet", "update", "--checkout", "--force", "--", path)
    done = Git(place.top, config=settings, env=_LITERAL)(*update, check=False)
    if source and config.is_file():
        # Nested relative URLs follow from it, and an agent's push must not reach the user's copy.
        stored = (source / ".git" if (source / ".git").is_dir() else source) / "config"
        url = Git(place.top)("config", "-f", str(stored), "--get", "remote.origin.url", check=False)
        _point(place, config, url.text.strip() if url.code == 0 else "")
    return "" if done.code == 0 else _cause(done.error_text) or f"git ended with {done.code}"


def _cause(said: str) -> str:
    """The line that tells why: the first fatal one, since git goes on to say what follows from it."""
    lines = said.splitlines()
    fatal = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
    return (fatal or lines or [""])[0]


def _point(place: _Place, config: Path, url: str) -> None:
    Git(place.top)("config", "-f", str(config), "remote.origin.url", url)
