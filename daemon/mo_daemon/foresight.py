"""Looking ahead: what unfinished tasks changed so far, and which of them git could not merge.

All of it beside the event loop, a little at a time: some merges, and at most one look at a worktree in which
an agent works.  New objects go to a directory of their own, which is removed when nothing is left to compare.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from mo_daemon.forecast import Coming, Ranges, Source, Touch, Work, may_conflict, pairs, told
from mo_daemon.threads import in_thread
from mo_git.errors import MoError
from mo_git.git.files import delete_tree
from mo_git.git.glance import beside, glance
from mo_git.git.merge import Merger
from mo_git.git.repo import Repo

GLANCE_SECONDS = 10.0  # between two looks at one worktree, and from an attempt's start to the first
COMPARE_SECONDS = 0.5  # of comparing in one go; what is left comes with the next tick
SHARE = 20  # looks at worktrees take at most this part (1/20) of one processor
PATIENCE = 5.0  # seconds for one git command
MERGES = 5000  # then what they wrote is thrown away
_STEERS = (b"merge", b"binary")  # in attributes: a file is merged otherwise than by lines


class Foresight:
    """What is known of conflicts to come; `directory` is its own, outside of the repository."""

    def __init__(self, repo: Repo, directory: Path) -> None:
        self.coming: tuple[Coming, ...] = ()
        self._directory = directory
        self._objects = directory / "objects"
        self._repo = Repo(repo.common_dir, top=repo.top, beside=self._objects)
        place, env = directory / "merge", beside(repo, self._objects)
        self._merger = Merger(self._repo, place, env=env, patience=PATIENCE)
        self._known: dict[str, Work | None] = {}  # what was found of each source
        self._answers: dict[tuple[str, str], tuple[str, ...]] = {}  # two commits -> paths in conflict
        self._lines: dict[tuple[str, str], Ranges | None] = {}
        self._by_lines: dict[str, bool] = {}  # base -> whether its attributes leave all files to lines
        self._glances: dict[str, float] = {}  # run -> when its worktree was looked at last
        self._rest_until = 0.0  # no look at a worktree before
        self._merges = 0
        self._compared: frozenset[str] = frozenset()
        self._is_behind = False  # there was no time for some pairs
        self._is_made = False  # the directory

    # -- when ---------------------------------------------------------------------------------------------

    def is_due(self, sources: Sequence[Source], now: float) -> bool:
        """Whether a look would find something new: a candidate came or went, or an attempt has gone on."""
        if len(sources) < 2:
            return self._is_made
        if self._is_behind or _ready(sources) != self._compared:
            return True
        return self._next_glance(sources, now) is not None

    def _next_glance(self, sources: Iterable[Source], now: float) -> Source | None:
        """The attempt whose worktree was not looked at for the longest time, if that is long enough."""
        if now < self._rest_until:
            return None
        waited = {one: max(self._glances.get(one.run, 0.0), one.since) for one in sources if one.worktree}
        ripe = [one for one, at in waited.items() if now - at >= GLANCE_SECONDS]
        return min(ripe, key=lambda one: waited[one], default=None)

    # -- looking ------------------------------------------------------------------------------------------

    async def look(self, sources: Sequence[Source], now: Callable[[], float]) -> None:
        """Bring `coming` up to date, as far as there is time."""
        if len(sources) < 2:
            await in_thread(self.close)
            return
        running = self._next_glance(sources, now())
        if running is not None:
            took = await in_thread(self.glance, running)
            self._glances[running.run] = now()
            self._rest_until = now() + SHARE * took
        await in_thread(self.compare, sources)

    def glance(self, source: Source) -> float:
        """Look at the worktree of an attempt; the seconds that it took.  Blocks."""
        start = time.monotonic()
        self._begin()
        index = self._directory / f"index-{source.run.replace('/', '+')}"
        commit = glance(
            self._repo,
            Path(source.worktree),
            source.base,
            index=index,
            objects=self._objects,
            seconds=PATIENCE,
        )
        self._known[source.run] = self._work(source, commit) if commit else None
        return time.monotonic() - start

    def compare(self, sources: Sequence[Source], seconds: float = COMPARE_SECONDS) -> None:
        """Ask git about the pairs that nobody asked about yet.  Blocks, for little more than `seconds`."""
        self._begin()
        until = time.monotonic() + seconds
        for source in sources:
            if source.commit and _key(source) not in self._known:
                self._known[_key(source)] = self._work(source, source.commit)
        self._known = {key: self._known[key] for key in map(_key, sources) if key in self._known}
        found, answers, behind = [], {}, False
        for one, other in pairs([work for work in self._known.values() if work]):
            key = one.commit, other.commit
            answer = self._answers.get(key)
            if answer is None and time.monotonic() < until:
                answer = self._ask(one, other)
            if answer is None:
                behind = True
                continue
            answers[key] = answer
            if paths := told(one, other, answer):
                found.append(Coming((one.name, other.name), paths))
        self._answers, self._is_behind, self._compared = answers, behind, _ready(sources)
        self.coming = tuple(found)

    def _ask(self, one: Work, other: Work) -> tuple[str, ...]:
        """The paths that git finds in conflict; none also where it cannot tell."""
        if not may_conflict(one, other, lambda old, new: self._replaced(one.base, old, new)):
            return ()
        self._merges += 1
        try:
            # The base's attributes: an agent may have written others, and they can start programs.
            return self._merger.merge(one.commit, other.commit, attributes_of=one.base).conflicts
        except MoError:
            return ()

    def _work(self, source: Source, commit: str) -> Work | None:
        """What a commit changed since it left the history of its base."""
        repo = self._repo
        try:
            base = repo.merge_base(source.base, commit) or ""
            changes = repo.changes(base, commit) if base else []
            touched = {one.path: Touch(one.status, one.old, one.new, one.mode) for one in changes}
            gone = (PurePosixPath(path).parents for path, touch in touched.items() if touch.status == "D")
            above = {str(directory) for parents in gone for directory in parents if directory.name}
            emptied = frozenset(path for path in above if not repo.has_path(commit, path))
        except MoError:
            return None
        return Work(source.name, base, commit, touched, emptied) if touched else None

    def _replaced(self, base: str, old: str, new: str) -> Ranges | None:
        """The lines of a blob that another one replaces, where they say whether git can merge it."""
        if base not in self._by_lines:
            files = (self._repo.blob(blob) for _, blob in self._repo.special(base).attributes)
            self._by_lines[base] = not any(word in text for text in files for word in _STEERS)
        if not self._by_lines[base]:
            return None
        if (old, new) not in self._lines:
            self._lines[old, new] = self._repo.replaced_lines(old, new)
        return self._lines[old, new]

    # -- its directory ------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._merges > MERGES:
            self.close()
        if not self._is_made:
            delete_tree(self._directory)  # of an earlier daemon
            self._objects.mkdir(parents=True)
            self._is_made = True

    def close(self) -> None:
        """Forget everything, and leave nothing behind."""
        self._merger.close()
        delete_tree(self._directory)
        for known in (self._known, self._answers, self._lines, self._by_lines, self._glances):
            known.clear()
        self.coming, self._compared = (), frozenset()
        self._merges, self._is_behind, self._is_made = 0, False, False


def _key(source: Source) -> str:
    return source.run or f"{source.name} {source.commit}"


def _ready(sources: Iterable[Source]) -> frozenset[str]:
    return frozenset(_key(source) for source in sources if source.commit)
