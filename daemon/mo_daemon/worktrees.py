"""The pool of worktrees outside the repository: taken, pointed at a branch, given back, kept for a look.

A slot's directory stays the same for its whole life, so tools that record absolute paths work in it.
Set-up results (see provision) survive a recycle; everything else is cleaned.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mo_daemon import sidecar
from mo_git.git import worktrees
from mo_git.git.repo import Repo


@dataclass(frozen=True, slots=True)
class Slot:
    """One worktree: `number` is unique among the live slots of a repository (ports derive from it)."""

    number: int
    path: Path

    @property
    def name(self) -> str:
        """The worktree's name in git's administration."""
        return f"mo-{self.path.parent.parent.name}-{self.path.parent.name}-{self.number}"[-100:]

    @property
    def port_base(self) -> int:
        return 20000 + 20 * (self.number % 2000)


class Pool:
    """Slots below one directory.  Methods that touch git block: call them in a thread."""

    def __init__(self, repo: Repo, directory: Path) -> None:
        self._repo = repo
        self._directory = directory
        self._busy: set[int] = set()
        self._held: set[int] = set()

    def hold(self, path: str) -> None:
        """Keep an existing slot as it is (a failed task's worktree)."""
        slot = self.slot_at(path)
        if slot and slot.path.exists():
            self._held.add(slot.number)

    def free(self, path: str) -> None:
        """Give a held slot back to the pool."""
        slot = self.slot_at(path)
        if slot:
            self._held.discard(slot.number)

    def slot_at(self, path: str) -> Slot | None:
        place = Path(path)
        if path and place.parent == self._directory and place.name.isdigit():
            return Slot(int(place.name), place)
        return None

    def take(self) -> Slot:
        """The lowest free number: recycled slots first.  Does no git work; call it on the loop's thread."""
        existing = {int(path.name) for path in self._existing()}
        free = sorted(existing - self._busy - self._held)
        number = free[0] if free else self._lowest_new(existing)
        self._busy.add(number)
        return Slot(number, self._directory / str(number))

    def _lowest_new(self, existing: set[int]) -> int:
        used = existing | self._busy | self._held
        return next(number for number in range(1, len(used) + 2) if number not in used)

    def _existing(self) -> Iterable[Path]:
        if not self._directory.is_dir():
            return []
        return [path for path in self._directory.iterdir() if path.name.isdigit() and path.is_dir()]

    def give_back(self, slot: Slot, *, hold: bool = False) -> None:
        self._busy.discard(slot.number)
        if hold:
            self._held.add(slot.number)

    def point(self, slot: Slot, *, branch: str | None, commit: str) -> None:
        """Bring a slot to a commit, on a branch or detached: born or recycled."""
        if _registered(slot.path):
            worktrees.point(self._repo, slot.path, branch=branch, commit=commit)
            worktrees.reset(slot.path, commit, keep=sidecar.clean_patterns(slot.path))
        else:
            self._directory.mkdir(parents=True, exist_ok=True)
            worktrees.birth(self._repo, slot.name, slot.path, branch=branch, commit=commit)

    def detach(self, slot: Slot, commit: str) -> None:
        """Let go of the branch, so that a person can check it out; the files stay."""
        worktrees.point(self._repo, slot.path, branch=None, commit=commit)

    def unused(self) -> list[Slot]:
        """Slots that nothing uses and nobody keeps: what `mo gc` may remove."""
        return [
            Slot(int(path.name), path)
            for path in self._existing()
            if int(path.name) not in self._busy | self._held
        ]

    def held(self) -> list[Slot]:
        return [Slot(number, self._directory / str(number)) for number in sorted(self._held)]

    def remove(self, slot: Slot) -> None:
        worktrees.remove(self._repo, slot.path)
        sidecar.path_of(slot.path).unlink(missing_ok=True)


def _registered(path: Path) -> bool:
    """Whether the directory is a worktree that git still knows."""
    try:
        pointer = (path / ".git").read_text()
    except OSError:
        return False
    return Path(pointer.removeprefix("gitdir: ").strip()).is_dir()
