"""The things of one attempt, handed from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mo_daemon import names
from mo_daemon.agents.protocol import Agent
from mo_daemon.containment import Cell
from mo_daemon.resolving import Conflict
from mo_daemon.services import Services
from mo_daemon.worktrees import Slot
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.model import PERSON, Kind, NewFact, Phase


@dataclass
class Attempt:
    """The things of one attempt."""

    services: Services
    goal: GoalStatus
    task: TaskStatus
    agent: Agent
    model: str  # empty: the agent's own default
    n: int
    base: str
    slot: Slot
    env: Mapping[str, str]
    run_dir: Path
    cell: Cell | None = None
    state_dir: Path | None = None
    goes_on: bool = False  # the work of the attempt before is in the worktree
    tree: str = ""  # of the files that were looked at last
    asked: str = ""  # what a reviewer wants corrected, as marked data: the agent's next run is about that
    conflict: Conflict | None = None  # what it resolves, instead of doing the task
    turns: int = 0  # of its agent, so far
    by_hand: bool = False  # a person made what is in the worktree

    @property
    def branch(self) -> str:
        return names.task_branch(self.services.settings.git.branch_prefix, self.goal.id, self.task.spec.id)

    @property
    def made_by(self) -> str:
        """For the trailers of its commit: provider/model."""
        if self.by_hand:
            return PERSON
        return self.agent.name + (f"/{self.model}" if self.model else "")

    @property
    def phase(self) -> Phase:
        return Phase.EXECUTE if self.conflict is None else Phase.RESOLVE

    @property
    def needs_nobody(self) -> bool:
        """A conflict of files that commands rebuild, or one that is none any more."""
        return self.conflict is not None and not self.conflict.paths

    @property
    def name(self) -> str:
        return f"{self.goal.id}/{self.task.spec.id}#{self.n}"

    def fact(self, kind: Kind, **data: Any) -> NewFact:
        return NewFact(self.goal.id, kind, data, self.task.spec.id, self.n)
