"""The tripwire of one repository: who may have made a difference, what is put back, who is told.

One snapshot is shared by all.  Each look compares with the look before, so whoever made a difference ran in
between; the shorter that is, the fewer they are.  Only where it was one attempt alone, that attempt has
failed.  Looks wait for each other, and one that began after it was asked for serves all who asked.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mo_daemon.sandbox.blame import OWN_REFS, Claims, Finding, judge
from mo_daemon.sandbox.tripwire import Expected, Snapshot, differences, look, take
from mo_daemon.sandbox.undo import Shelf, is_in_use, undo
from mo_git.git import refs
from mo_git.git.repo import Repo

_SHELF = "foreign"  # beside the tasks of a goal: refs/mo/keep/GOAL/foreign/N, runs/GOAL/foreign/N


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look found in one piece: what it is, what became of it, what to type.

    `goals` are those to be told; `ran` names the programs that may have done it.
    """

    what: str
    remedy: str
    ran: tuple[str, ...]
    goals: tuple[str, ...]

    @property
    def data(self) -> Mapping[str, object]:
        return {"what": self.what, "ran": list(self.ran), "do": self.remedy}


class Lookout:
    """Blocking, for any thread.  `slots` holds mo's own worktrees, `runs` what is kept of goals."""

    def __init__(self, repo: Repo, slots: Path, runs: Path) -> None:
        self._repo, self._slots, self._runs = repo, slots, runs
        self._turn = threading.Lock()
        self._lock = threading.Lock()  # of what follows
        self._running: dict[str, str] = {}  # token -> purpose, of programs outside of a sandbox
        self._ended: list[str] = []  # tokens that ended since the last look
        self._watched: set[str] = set()  # attempts that ask for their breaches
        self._breaches: dict[str, list[str]] = {}
        self._seen: list[Seen] = []
        self._last: Snapshot | None = None
        self._begun = 0

    # -- who runs -------------------------------------------------------------------------------------

    def enter(self, token: str, purpose: str) -> None:
        """A program starts that could change the repository."""
        with self._lock:
            self._running[token] = purpose

    def leave(self, token: str) -> None:
        """It has ended; it counts until the next look is over."""
        with self._lock:
            if token in self._running:
                self._ended.append(token)

    def watch(self, attempt: str) -> None:
        """What this attempt alone can have done is held for it."""
        with self._lock:
            self._watched.add(attempt)

    def unwatch(self, attempt: str) -> list[str]:
        """What it did, in words."""
        with self._lock:
            self._watched.discard(attempt)
            return self._breaches.pop(attempt, [])

    def seen(self) -> list[Seen]:
        """What is to be told and was not taken yet."""
        with self._lock:
            found, self._seen = self._seen, []
        return found

    # -- looking --------------------------------------------------------------------------------------

    def look(self, claims: Claims) -> None:
        """Compare with the last look; put back and note what is found."""
        asked = self._begun
        with self._turn:
            if self._begun > asked:
                return
            self._begun += 1
            with self._lock:
                ended = list(self._ended)
                ran = set(self._running.values())
            over = self._repo.moves.over()
            now, before = take(self._repo.common_dir, self._last), self._last
            moved = self._repo.moves.values()
            with self._lock:
                ran |= set(self._running.values())
            self._last = now
            if before is not None:
                pending = set(moved) - {move.name for move in over}
                found = (
                    judge(self._repo, difference, now, before, claims)
                    for difference in differences(before, now, Expected(moved, pending))
                )
                self._take_up([one for one in found if one], tuple(sorted(ran)), claims, before)
            self._repo.moves.forget(over)
            with self._lock:
                self._ended = [token for token in self._ended if token not in ended]
                for token in ended:
                    del self._running[token]

    def _take_up(
        self, found: Iterable[Finding], ran: tuple[str, ...], claims: Claims, before: Snapshot
    ) -> None:
        touched = set()
        for finding in found:
            name = finding.difference.name
            owner = claims.refs.get(name) or _goal_of_ref(name)
            if not ran and not owner:
                continue  # only a person can have done it
            if ran == (claims.at_work.get(name),):
                continue  # its own branch
            if not ran or not finding.foreign or is_in_use(self._repo, name, self._slots):
                self._tell(finding.text, finding.remedy, ran, owner)
                continue
            goal = _goal_of(ran[0])
            assert self._last is not None
            left = undo(self._repo, finding, self._shelf(goal), index_moved=self._last.index != before.index)
            touched.add(name)
            said = f"{finding.text} ({'put back' if not left else f'not put back: {left}'})"
            with self._lock:
                alone = ran[0] if len(ran) == 1 and ran[0] in self._watched else ""
                if alone:
                    self._breaches.setdefault(alone, []).append(said)
            if not alone:
                self._tell(said, finding.remedy if left else "", ran, owner)
        self._look_again(touched)

    def _tell(self, what: str, remedy: str, ran: tuple[str, ...], owner: str) -> None:
        goals = {_goal_of(purpose) for purpose in ran} | ({owner} if owner else set())
        with self._lock:
            self._seen.append(Seen(what, remedy, ran, tuple(sorted(goals))))

    def _shelf(self, goal: str) -> Shelf:
        def keep(oid: str) -> str:
            return refs.keep(self._repo, goal, _SHELF, self._begun, oid)

        return Shelf(keep, self._runs / goal / _SHELF / str(self._begun))

    def _look_again(self, names: Collection[str]) -> None:
        """What was put back is no difference next time; moves of refs are noted where they are made."""
        assert self._last is not None
        for name in names:
            if not name.startswith("refs/"):
                files = {key: file for key, file in self._last.files.items() if key != name}
                if (file := look(self._repo.common_dir, name)) is not None:
                    files[name] = file
                self._last = replace(self._last, files=files)


def _goal_of(purpose: str) -> str:
    """A program's purpose ends in GOAL, GOAL/TASK or GOAL/TASK#N."""
    return purpose.rsplit(" ", 1)[-1].partition("/")[0]


def _goal_of_ref(name: str) -> str:
    parts = name.removeprefix(OWN_REFS).split("/") if name.startswith(OWN_REFS) else []
    return parts[1] if parts[:1] == ["keep"] and len(parts) > 1 else parts[0] if parts else ""
