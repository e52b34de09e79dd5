"""Plain commands: the task's `run` argv, never a shell string."""

from __future__ import annotations

import signal
from pathlib import Path

from mo_daemon.agents.protocol import Judgement
from mo_git.model import FailureClass, TaskSpec
from mo_git.process import Ending


class CommandAgent:
    name = "command"
    can_rework = False

    def argv(self, task: TaskSpec, worktree: Path, run_dir: Path) -> tuple[str, ...]:
        assert task.run is not None
        return task.run

    def judge(self, ending: Ending, last_line: str) -> Judgement:
        said = f": {last_line}" if last_line else ""
        if ending.timed_out:
            return Judgement(FailureClass.TIMEOUT, f"timed out after {ending.seconds:.0f} s{said}")
        if ending.code < 0:
            return Judgement(FailureClass.CRASH, f"killed by {signal.Signals(-ending.code).name}{said}")
        if ending.code:
            return Judgement(FailureClass.CRASH, f"exit code {ending.code}{said}")
        return Judgement(None)
