"""What the engine needs of an agent: how to start it, and what its ending means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mo_git.model import FailureClass, TaskSpec
from mo_git.process import Ending


@dataclass(frozen=True, slots=True)
class Judgement:
    """`failure` is None for a good ending; the tree and the check still decide what it is worth."""

    failure: FailureClass | None
    reason: str = ""


class Agent(Protocol):
    """One kind of program.  `can_rework`: it can read why its work was refused, and try otherwise."""

    name: str
    can_rework: bool

    def argv(self, task: TaskSpec, worktree: Path, run_dir: Path) -> tuple[str, ...]:
        """The program to start in the worktree."""
        ...

    def judge(self, ending: Ending, last_line: str) -> Judgement:
        """What exit code and last line of output say."""
        ...
