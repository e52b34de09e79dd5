"""The pool of worktrees outside the repository: taken, pointed at a branch, given back, kept for a look.

A slot's directory stays the same for its whole life, so tools that record absolute paths work in it.
Set-up results (see provision) survive a recycle; everything else is cleaned.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mo_daemon import sidecar
from mo_git.git import worktrees
from mo_git.git.layout import read_text
from mo_git.git.repo import Repo


@dataclass(frozen=True, slots=True)
class Slot:
    """One worktree: `number` is unique among the live slots of a repository (ports derive from it)."""

    number: int
    path: Path
    name: str  # the worktree's name in git's administration

    @property
    def port_base(self) -> int:
        return 20000 + 20 * (self.number % 2000)


class Pool:
    """Slots below one directory.  Methods that touch git block: call them in a thread.

    A slot on a branch is in use, or kept for a person's look; a slot given back is detached.  That is read
    from the worktrees themselves, so it holds across restarts.  A slot that is lent belongs to a person until
    it is taken back, whatever its HEAD says: a file beside it says so.
    """

    def __init__(self, repo: Repo, directory: Path) -> None:
        self._repo = repo
        self._directory = directory
        self._busy: set[int] = set()
        existing = self._existing()
        self._lent = {slot.number: lent for slot in existing if (lent := _read_lent(slot.path))}
        self._held = {slot.number for slot in existing if _branch_of(slot.path)}

    def _slot(self, number: int) -> Slot:
        return Slot(number, self._directory / str(number), f"mo-{self._directory.parent.name}-{number}")

    def _existing(self) -> list[Slot]:
        if not self._directory.is_dir():
            return []
        return [
            self._slot(int(path.name))
            for path in self._directory.iterdir()
            if path.name.isdigit() and path.is_dir()
        ]

    def kept_on(self, branch: str) -> Slot | None:
        """The slot that was left on this branch."""
        kept = (self._slot(number) for number in sorted(self._held - self._lent.keys()))
        return next((slot for slot in kept if _branch_of(slot.path) == branch), None)

    def hold(self, path: str) -> None:
        """Keep a slot whatever its HEAD says: an attempt that nobody runs any more left its work there."""
        self._held |= {slot.number for slot in self._existing() if str(slot.path) == path}

    def held_at(self, path: str) -> Slot | None:
        """The kept slot with this directory."""
        held = (self._slot(number) for number in self._held)
        return next((slot for slot in held if str(slot.path) == path), None)

    def is_kept(self, slot: Slot) -> bool:
        """Whether the slot is on a branch, so that what it holds may still be wanted."""
        return bool(_branch_of(slot.path))

    def take(self, branch: str) -> Slot:
        """The slot that was left on the branch, else the lowest free number: recycled slots first.

        Does no git work; call it on the loop's thread.
        """
        slot = self.kept_on(branch) or self._next_free()
        self._held.discard(slot.number)
        self._busy.add(slot.number)
        return slot

    def take_detached(self) -> Slot:
        """A free slot for a look at a commit, on no branch; call it on the loop's thread."""
        slot = self._next_free()
        self._busy.add(slot.number)
        return slot

    def _next_free(self) -> Slot:
        taken = self._busy | self._held | self._lent.keys()
        existing = {slot.number for slot in self._existing()}
        free = existing - taken
        if free:
            return self._slot(min(free))
        used = existing | taken
        return self._slot(next(number for number in range(1, len(used) + 2) if number not in used))

    def give_back(self, slot: Slot, *, hold: bool = False) -> None:
        """Free again; with `hold` it stays as it is until it is taken for its branch, or collected."""
        self._busy.discard(slot.number)
        if hold:
            self._held.add(slot.number)
        else:
            self._held.discard(slot.number)

    def point(self, slot: Slot, *, branch: str | None, commit: str) -> None:
        """Bring a slot to a commit, on a branch or (None) on none: born or recycled."""
        if _admin_of(slot.path) is not None:
            worktrees.point(self._repo, slot.path, branch=branch, commit=commit)
            worktrees.reset(slot.path, commit, keep=sidecar.clean_patterns(slot.path))
        else:
            self._directory.mkdir(parents=True, exist_ok=True)
            worktrees.birth(self._repo, slot.name, slot.path, branch=branch, commit=commit)

    def detach(self, slot: Slot, commit: str) -> None:
        """Let go of the branch, so that a person can check it out; the files stay."""
        if _admin_of(slot.path) is not None:
            worktrees.point(self._repo, slot.path, branch=None, commit=commit)

    # -- a person's ------------------------------------------------------------------------------------

    def lend(self, slot: Slot, to: str, base: str = "") -> None:
        """Leave a slot to a person; `to` says for which task (GOAL/TASK).

        `base` is the commit that the work there starts from; empty while mo still makes it.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        _lent_file(slot.path).write_text(f"{to} {base}")
        self._lent[slot.number] = to, base
        self._busy.discard(slot.number)

    def lent_to(self, name: str) -> tuple[Slot, str] | None:
        """The slot that a person has for this task, and its base."""
        found = ((number, base) for number, (to, base) in self._lent.items() if to == name)
        return next(((self._slot(number), base) for number, base in found), None)

    def lent(self) -> list[str]:
        """The tasks (GOAL/TASK) that a person has a slot for."""
        return [to for to, _ in self._lent.values()]

    def take_back(self, slot: Slot) -> None:
        """The person has done with it: it is in use, until it is given back to the pool."""
        _lent_file(slot.path).unlink(missing_ok=True)
        self._lent.pop(slot.number, None)
        self._busy.add(slot.number)

    # -- tidying up ------------------------------------------------------------------------------------

    def unused(self) -> list[Slot]:
        """Slots that nothing uses and nobody keeps: what `mo gc` may remove."""
        used = self._busy | self._held | self._lent.keys()
        return [slot for slot in self._existing() if slot.number not in used]

    def remove(self, slot: Slot) -> None:
        """Remove a slot for good."""
        worktrees.remove(self._repo, slot.path)
        sidecar.path_of(slot.path).unlink(missing_ok=True)
        _lent_file(slot.path).unlink(missing_ok=True)
        self._lent.pop(slot.number, None)
        self._held.discard(slot.number)


def _lent_file(path: Path) -> Path:
    return path.with_name(path.name + ".lent")


def _read_lent(path: Path) -> tuple[str, str] | None:
    """For which task a person has a worktree, and its base; None where nobody has it."""
    try:
        to, _, base = _lent_file(path).read_text().partition(" ")
    except OSError:
        return None
    return to, base


def _admin_of(path: Path) -> Path | None:
    """The administration of a worktree that git still knows; None also where its making was cut short."""
    try:
        text = read_text(path / ".git")
    except OSError:
        return None
    admin = Path(text.removeprefix("gitdir: ").removesuffix("\n"))
    whole = text.startswith("gitdir: ") and text.endswith("\n") and admin.is_absolute()
    return admin if whole and admin.is_dir() else None


def _branch_of(path: Path) -> str:
    """The branch that a worktree is on; empty when it is detached."""
    admin = _admin_of(path)
    try:
        head = read_text(admin / "HEAD") if admin else ""
    except OSError:
        head = ""
    prefix = "ref: refs/heads/"
    return head.removeprefix(prefix).strip() if head.startswith(prefix) else ""
