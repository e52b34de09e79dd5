"""The words of the sandbox: what is protected, what one run has of its own, how a program is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Profile(StrEnum):
    STANDARD = "standard"  # the file system is readable, secrets and the repository are not
    STRICT = "strict"  # system directories and what the settings name, nothing else


class Purpose(StrEnum):
    AGENT = "agent"
    CHECK = "check"
    GATE = "gate"
    SETUP = "setup"


@dataclass(frozen=True, slots=True)
class Tier:
    """What this machine can do: `name` is sandbox or guard, `reason` and `remedy` say why it is not more.

    `options` are those of bwrap's options that came with later versions and that this one has.
    """

    name: str
    reason: str = ""
    remedy: str = ""
    bwrap: Path | None = None
    version: str = ""
    options: frozenset[str] = frozenset()

    @property
    def contained(self) -> bool:
        return self.name == "sandbox"


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings.  Paths may start with `~`; `writable` is for checks, gates and set-up, not for agents."""

    mode: str = "auto"  # auto | required | off
    profile: Profile = Profile.STANDARD
    network: bool = True
    hide: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    tmp_mb: int = 512  # of memory, for each of /tmp, /var/tmp and /dev/shm


@dataclass(frozen=True, slots=True)
class Places:
    """What a repository has on this machine, as absolute paths.

    `states` are directories of mo that no program may see (its state of this and of other repositories).
    `homes` are the user's home directories, the one of HOME first.  `toolchains` are the ignored
    directories of the main checkout that stay readable (`toolchains.of_checkout`).
    """

    main_top: Path
    common_dir: Path
    states: tuple[Path, ...]
    homes: tuple[Path, ...]
    toolchains: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """The part of a repository that a run sees in place of its git directory (see `view.make_view`).

    `admin` is the worktree's administration directory, `objects` the object stores of others that are
    needed too, `covers` are (file, what is shown instead).
    """

    path: Path
    common_dir: Path
    admin: Path
    objects: tuple[Path, ...] = ()
    covers: tuple[tuple[Path, Path], ...] = ()


@dataclass(frozen=True, slots=True)
class Room:
    """What one run has of its own.  `home` and `cache` exist and are the run's to write.

    `frozen` are paths in the worktree that stay read-only besides its `.git` (pointers of submodules).
    """

    worktree: Path
    home: Path
    cache: Path
    view: View | None = None
    frozen: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A command line and the whole environment to start it with."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
