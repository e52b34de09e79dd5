"""Names of branches and hidden refs (short names of branches start with `git.branch_prefix`)."""

from __future__ import annotations


def task_branch(prefix: str, goal: str, task: str) -> str:
    return f"{prefix}{goal}/{task}"


def integration_branch(prefix: str, goal: str) -> str:
    return f"{prefix}{goal}/integration"


def head(branch: str) -> str:
    return f"refs/heads/{branch}"


def base_ref(goal: str) -> str:
    return f"refs/mo/{goal}/base"


def from_ref(goal: str, task: str) -> str:
    """What holds the commit of a `from` task."""
    return f"refs/mo/{goal}/from/{task}"


def good_ref(goal: str, number: int) -> str:
    return f"refs/mo/{goal}/good/{number}"
