"""Whose a difference is: surely not the user's, doubtful, or what people do all day.

Files do not tell who wrote them.  What people do all day is never put back and never blamed on a task: a
branch that moved by git's own commands (its reflog says so), new branches and tags, fetches, stashes, remotes
and other ordinary settings.  What steers mo, and what makes git run programs, is nobody's to change while
tasks run.  What is left is told, with the command that puts it back.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mo_daemon.sandbox import gitconfig
from mo_daemon.sandbox.gitconfig import Setting
from mo_daemon.sandbox.tripwire import HEAD, HEAD_LOG, STASH_LOG, Difference, File, Snapshot, stamp_of
from mo_git.errors import MoError
from mo_git.git import refs
from mo_git.git.repo import Repo

OWN_REFS = "refs/mo/"
_NOTES = "refs/notes/mo"
_REFLOG_TAIL = 65536  # bytes

# section, subsection (* stands for any), keys: settings by which git runs a program, or reads other settings
_PROGRAMS = (
    ("alias", "", "*"),
    ("alias", "*", "command"),
    ("browser", "*", "cmd path"),
    ("core", "", "alternaterefscommand askpass editor fsmonitor gitproxy hookspath pager sshcommand"),
    ("credential", "", "helper"),
    ("credential", "*", "helper"),
    ("diff", "", "external"),
    ("diff", "*", "command textconv"),
    ("difftool", "*", "cmd path"),
    ("filter", "*", "clean process smudge"),
    ("gpg", "", "program"),
    ("gpg", "*", "program defaultkeycommand"),
    ("include", "", "path"),
    ("includeif", "*", "path"),
    ("interactive", "", "difffilter"),
    ("man", "*", "cmd path"),
    ("merge", "*", "driver"),
    ("mergetool", "*", "cmd path"),
    ("pager", "", "*"),
    ("remote", "*", "receivepack uploadpack vcs"),
    ("sequence", "", "editor"),
    ("submodule", "*", "update"),
    ("trailer", "*", "cmd command"),
    ("uploadpack", "", "packobjectshook"),
)
_SWITCHES = frozenset({"", "true", "false", "yes", "no", "on", "off", "0", "1"})
_ONLY_WITH_MARK = frozenset({"alias", "submodule"})  # their values are programs behind an exclamation mark


@dataclass(frozen=True, slots=True)
class Claims:
    """What mo has in hand: `refs` that only the daemon moves (ref -> goal), and the branches of attempts that
    are `at_work` (ref -> attempt), which may move them as they like."""

    refs: Mapping[str, str]
    at_work: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference that is told.  `foreign`: surely not the user's, to be put back.

    `text` says in words what it is, `remedy` is a command that puts it back, where there is one.  `settings`:
    only these settings of a config file are meant, others in it changed as well.
    """

    difference: Difference
    text: str
    foreign: bool
    remedy: str = ""
    settings: tuple[str, ...] = ()


def judge(
    repo: Repo, difference: Difference, now: Snapshot, before: Snapshot, claims: Claims
) -> Finding | None:
    """None for what people do all day."""
    name = difference.name
    if name.startswith("refs/"):
        return _ref(repo, difference, now, claims)
    if name == HEAD:
        return _head(repo.common_dir, difference, now, before)
    if name == STASH_LOG:
        return _stash(difference)
    if name.split("/")[0] == "modules" and _is_new_module(name, before):
        return None
    if name.endswith(("config", "config.worktree")) and "/hooks/" not in f"/{name}":
        return _config(difference)
    return Finding(difference, difference.text, True)


# -- refs ---------------------------------------------------------------------------------------------


def _ref(repo: Repo, difference: Difference, now: Snapshot, claims: Claims) -> Finding | None:
    name, before, after = difference.name, difference.before, difference.after
    assert not isinstance(before, File)
    assert not isinstance(after, File)
    if name in claims.at_work:
        return Finding(difference, difference.text, True) if after is None else None
    if name.startswith(OWN_REFS) or name in claims.refs:
        person = after is not None and is_explained(repo.common_dir, name, before or "", after) is True
        remedy = (
            f"mo recover {claims.refs[name]}" if name in claims.refs and name.endswith("/integration") else ""
        )
        return Finding(difference, difference.text, not person, remedy)
    ordinary = before is None or not name.startswith(("refs/heads/", "refs/tags/", _NOTES))
    if name.startswith("refs/replace/"):
        return Finding(difference, difference.text, False, _back(name, before, after))
    if ordinary or (after is None and _is_elsewhere(repo, before or "", now)):
        return None
    if after is not None and is_explained(repo.common_dir, name, before or "", after) is not False:
        return None
    return Finding(difference, difference.text, False, _back(name, before, after))


def _is_elsewhere(repo: Repo, commit: str, now: Snapshot) -> bool:
    """Whether a removed ref was renamed, or is merged into what is checked out."""
    if commit in now.refs.values():
        return True
    head = refs.read(repo, HEAD)
    try:
        return head is not None and repo.is_ancestor(commit, head)
    except MoError:  # no commit
        return False


def _back(name: str, before: str | None, after: str | None) -> str:
    if before is None:
        return f"git update-ref -d {shlex.quote(name)} {after}"
    return f"git update-ref {shlex.quote(name)} {before}"


def is_explained(common_dir: Path, name: str, before: str, after: str) -> bool | None:
    """Whether the reflog says how a ref got from one value to another; None where it has no reflog.

    git's own commands say what they did; `git update-ref` and `git symbolic-ref` leave that empty.
    """
    lines = _reflog(common_dir, name)
    for line in reversed(lines or ()):  # OLD NEW WHO WHEN, a tab, what was done
        new = line[41:81]
        if new in (after, before):
            return new == after and "\t" in line
    return None if lines is None else False


def _reflog(common_dir: Path, name: str) -> list[str] | None:
    try:
        with (common_dir / "logs" / name).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _REFLOG_TAIL))
            return file.read().decode("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None


def _head(common_dir: Path, difference: Difference, now: Snapshot, before: Snapshot) -> Finding | None:
    """git writes a reflog, and then HEAD; only for a branch without commits there is none."""
    lines = _reflog(common_dir, HEAD)
    logged = before.head_log != stamp_of(common_dir / HEAD_LOG)
    if not lines or (logged and "\t" in lines[-1]):
        return None
    old, new = (
        item.text.strip() if isinstance(item, File) else "" for item in (difference.before, difference.after)
    )
    target = old.removeprefix("ref: ")
    remedy = (
        f"git symbolic-ref HEAD {shlex.quote(target)}"
        if old.startswith("ref: ")
        else f"git switch --detach {old}"
    )
    place = new.removeprefix("ref: ")
    text = f"HEAD of the main checkout was switched to {place}" if place else difference.text
    return Finding(difference, text, place == new or place in now.refs, remedy)


def _stash(difference: Difference) -> Finding | None:
    """One stash goes whenever somebody applies it; several at once do not."""
    gone = [*_stashes(difference.before)]
    left = set(_stashes(difference.after))
    gone = [oid for oid in gone if oid not in left]
    if len(gone) < 2:
        return None
    return Finding(
        difference,
        f"{len(gone)} stashes were dropped",
        False,
        "; ".join(f"git stash store {oid}" for oid in gone),
    )


def _stashes(file: str | File | None) -> Iterable[str]:
    return [line[41:81] for line in file.text.splitlines()] if isinstance(file, File) else []


# -- settings -----------------------------------------------------------------------------------------


def _is_new_module(name: str, before: Snapshot) -> bool:
    """A submodule that was not there: whoever made it made its config and hooks, too."""
    parts = name.split("/")
    above = ("/".join([*parts[:size], "config"]) for size in range(len(parts) - 1, 1, -1))
    return not any(config in before.files for config in above)


def _config(difference: Difference) -> Finding | None:
    old, new = (
        list(gitconfig.parse(item.text)) if isinstance(item, File) else []
        for item in (difference.before, difference.after)
    )
    planted = [setting for setting in (Counter(new) - Counter(old)) if runs_something(setting)]
    if planted:
        names = dict.fromkeys(sorted(name_of(setting) for setting in planted))
        others = {
            name_of(setting) for setting in (*(Counter(new) - Counter(old)), *(Counter(old) - Counter(new)))
        }
        text = f"{', '.join(names)} was set in {difference.name}"
        return Finding(difference, text, True, settings=() if others <= names.keys() else tuple(names))
    changed = [
        setting
        for setting in (Counter(old) - Counter(new))
        if setting.section == "remote" and setting.key in ("url", "pushurl") and _is_in(setting, new)
    ]
    if not changed:
        return None
    text = f"{', '.join(name_of(setting) for setting in changed)} was changed in {difference.name}"
    remedy = "; ".join(
        f"git config {name_of(setting)} {shlex.quote(setting.value or '')}" for setting in changed
    )
    return Finding(difference, text, False, remedy)


def _is_in(setting: Setting, settings: Iterable[Setting]) -> bool:
    return any(name_of(other) == name_of(setting) for other in settings)


def runs_something(setting: Setting) -> bool:
    """Whether git would run a program, or read more settings, because of this one."""
    value = (setting.value or "").strip()
    if value.lower() in _SWITCHES:
        return False
    if setting.section in _ONLY_WITH_MARK and not value.startswith("!"):
        return False
    return any(
        setting.section == section
        and fnmatchcase("*" if setting.subsection else "", sub)
        and (keys == "*" or setting.key in keys.split())
        for section, sub, keys in _PROGRAMS
    )


def name_of(setting: Setting) -> str:
    """As `git config` takes it."""
    return ".".join(part for part in (setting.section, setting.subsection, setting.key) if part)
