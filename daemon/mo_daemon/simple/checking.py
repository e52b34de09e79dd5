"""What an item left is validated in its worktree: contents in a thread, commands in the sandbox of checks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mo_daemon import environment
from mo_daemon.containment import Cell
from mo_daemon.harvest import AttemptFailed
from mo_daemon.services import Services, out_of_space
from mo_daemon.simple import validation
from mo_daemon.simple.examiner import Examiner
from mo_git import process
from mo_git.git.snapshot import Snapshot
from mo_git.goal_status import GoalStatus
from mo_git.model import FailureClass
from mo_git.simple.item import Item

VERIFY_LOG = "verify.log"


async def check_item(
    services: Services,
    goal: GoalStatus,
    item: Item,
    base: str,
    found: Snapshot,
    worktree: Path,
    *,
    examiner: Examiner,
    env: Mapping[str, str],
    run_dir: Path,
    name: str,
    seen: Mapping[str, str],
    cell: Cell | None,
) -> None:
    """AttemptFailed for what must not be committed.

    `name` is the attempt's for people, `seen` are the refs that a sandbox shows, and `cell` is the one of the
    agent, where it had one.
    """
    rules = validation.rules_of(services.settings)
    statuses = found.statuses
    await services.git(validation.look, services.repo, base, found.tree, statuses, item, rules, examiner)
    files = validation.checked_by_command(statuses, rules)
    job = goal.spec.bulk.validate if goal.spec.bulk else ()
    if not (files or item.verify_commands or job):
        return
    if cell is None and services.containment.gates:
        make = services.containment.cell
        label = f"{goal.id}/verify-{worktree.name}"
        cell = await services.git(make, services.repo, label, worktree, seen, None)

    async def run(argv: tuple[str, ...], target: str) -> process.Ending:
        try:
            return await services.run(
                argv,
                cwd=worktree,
                env={**environment.with_local_tools(env, worktree), "MO_TARGET": target},
                log=run_dir / VERIFY_LOG,
                timeout=services.settings.simple.verify_timeout,
                purpose=name,
                cell=cell,
            )
        except OSError as error:
            if out_of_space(error):
                raise
            reason = f"cannot start {argv[0]}: {error.strerror or error}"
            raise AttemptFailed(FailureClass.CHECK_FAILED, f"verify: {reason}", check="verify") from None

    await validation.verify(item, job, run, run_dir / VERIFY_LOG, files)
