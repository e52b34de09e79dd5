"""What a plan is expected to take, before a daemon has it: settings, options and what was done here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mo_git import trust, views
from mo_git.cli.goals import Options
from mo_git.errors import MoError
from mo_git.git.layout import discover
from mo_git.home import Home
from mo_git.ledger import looking
from mo_git.model import Fact, Phase, Plan, TaskSpec

if TYPE_CHECKING:
    from mo_git.config import Config

_AUTO = ("", "auto")


def expected_of(plan: Plan, options: Options, cwd: Path) -> dict[str, Any]:
    """The data of a `views.estimate.Estimate`; outside of a repository by the defaults of the settings.

    Which agent `auto` means is not looked up on this machine: it is the phase's default.
    """
    if all(not task.by_agent for task in plan.tasks):  # nothing below is needed, nor cheap
        nobody = views.estimate(plan, lambda task: ("", ""), (), limit=0, budget_usd=0)
        return views.estimate_data(nobody)
    home = _home(cwd)
    settings = _settings(home)
    history = _history(home)
    most = settings.orchestrator.max_parallel
    limit = settings.budget.goal_usd if options.budget_usd is None else options.budget_usd

    def who(task: TaskSpec) -> tuple[str, str]:
        flag = options.phase_providers.get(Phase.EXECUTE, "")
        named = (options.provider, task.provider, flag, settings.routing.default_provider)
        provider = next(
            (name for name in named if name not in _AUTO), settings.routing.phase_defaults.execute
        )
        entry = settings.roster.get(provider)
        return provider, task.model or (getattr(entry.models, task.complexity) if entry else "")

    found = views.estimate(plan, who, history, limit=min(most, options.parallel or most), budget_usd=limit)
    return views.estimate_data(found)


def _home(cwd: Path) -> Home | None:
    try:
        layout = discover(cwd)
    except MoError:
        return None
    return Home(layout.top, layout.common_dir)


def _settings(home: Home | None) -> Config:
    from mo_git.config import Config, load

    if home is None:
        return Config()
    judge = trust.judge(home.common_dir, trust.tracked(home.top), environ=os.environ)
    return load(home.path, environ=os.environ, trusted=judge).config


def _history(home: Home | None) -> Sequence[Fact]:
    reader = looking.open_reader(home.database) if home else None
    if reader is None:
        return ()
    try:
        return reader.usage()
    finally:
        reader.close()
