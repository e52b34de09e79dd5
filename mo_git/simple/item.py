"""The words of simple mode: an item, and where it stands.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any

from mo_git.model import Bulk, Command


class ItemState(StrEnum):
    """Where an item stands; `queued` is also one that waits for its next attempt."""

    QUEUED = "queued"
    RUNNING = "running"
    CANDIDATE = "candidate"  # accepted and committed, waits for the gate
    LANDED = "landed"
    UNCHANGED = "unchanged"  # nothing was to do
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN_ITEM = frozenset({ItemState.QUEUED, ItemState.RUNNING, ItemState.CANDIDATE})


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a manifest.

    `targets` are paths relative to the repository's root, with slashes, of files or directories that the item
    may change; `run` is an argv in which `{target}` stands for the first target and `{targets}`, as a word of
    its own, for all of them.  Exactly one of `instruction` (for an agent) and `run` is given.
    """

    id: str
    targets: tuple[str, ...] = ()
    instruction: str = ""
    run: tuple[str, ...] | None = None
    provider: str = ""
    model: str = ""
    priority: int = 0
    timeout_seconds: float | None = None
    max_attempts: int | None = None
    verify_commands: tuple[Command, ...] = ()
    require_patterns: tuple[str, ...] = ()
    allowed_side_files: tuple[str, ...] = ()
    bucket: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by_agent(self) -> bool:
        return self.run is None


_DEFAULTS: Mapping[str, Any] = {
    one.name: one.default if one.default is not MISSING else {} for one in fields(Item)
}


def item_to_data(item: Item) -> dict[str, Any]:
    """An item as JSON, without what it does not say."""
    return {name: value for name in _DEFAULTS if (value := getattr(item, name)) != _DEFAULTS[name]}


def item_from_data(data: Mapping[str, Any]) -> Item:
    return Item(**{name: _frozen(value) for name, value in data.items()})


def bulk_to_data(bulk: Bulk | None) -> dict[str, Any] | None:
    if bulk is None:
        return None
    lists = {"validate": list(bulk.validate), "agents": list(bulk.agents)}
    return {"items": bulk.items, "no_change": bulk.no_change, **lists}


def bulk_from_data(data: Mapping[str, Any] | None) -> Bulk | None:
    return None if data is None else Bulk(**{name: _frozen(value) for name, value in data.items()})


def _frozen(value: Any) -> Any:
    """JSON's lists as tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
