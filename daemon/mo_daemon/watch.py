"""Events of the file system that say "look again"; never needed, only faster than the next scan.

Watches die silently: a directory that is deleted and made again is not seen any more, and inotify may be
out of watches.  So `alive` is asked on every scan and a dead watch is made anew.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from watchdog.events import DirModifiedEvent, FileCreatedEvent, FileMovedEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver


class _Handler(FileSystemEventHandler):
    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def on_any_event(self, event: object) -> None:
        self._look()


class Watch:
    """Calls `look` (from another thread) when something appears in a directory."""

    def __init__(self, directory: Path, look: Callable[[], None]) -> None:
        self._directory = directory
        self._handler = _Handler(look)
        self._observer: BaseObserver | None = None
        self._inode = 0

    def ensure(self) -> bool:
        """Start, or start again where the watch died; False where the platform refuses (scans go on)."""
        try:
            inode = self._directory.stat().st_ino
        except OSError:
            self.stop()
            return False
        if self._observer and self._alive() and inode == self._inode:
            return True
        self.stop()
        observer = Observer()
        try:
            observer.schedule(
                self._handler,
                str(self._directory),
                event_filter=[FileCreatedEvent, FileMovedEvent, DirModifiedEvent],
            )
            observer.start()
        except OSError:
            return False
        self._observer, self._inode = observer, inode
        return True

    def _alive(self) -> bool:
        assert self._observer is not None
        return self._observer.is_alive() and all(emitter.is_alive() for emitter in self._observer.emitters)

    def stop(self) -> None:
        if self._observer:
            self._observer.stop()
            self._observer.join(1)
            self._observer = None
