"""The worktree of an attempt: on its base, with the work that it goes on from, and set up."""

from __future__ import annotations

from collections.abc import Mapping

from mo_daemon import environment, execution, guarding, harvest, names, outputs, resolving, sidecar
from mo_daemon.attempt_context import Attempt
from mo_daemon.classify import salvages
from mo_daemon.containment import SETUP_AS_YOU, Cell, Confinement
from mo_daemon.harvest import AttemptFailed
from mo_daemon.routing import Choice
from mo_daemon.services import Services
from mo_daemon.worktrees import Slot
from mo_git import resources
from mo_git.errors import MoError
from mo_git.git import refs, worktrees
from mo_git.git.binary import Git
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.model import FailureClass


def attempt_in(
    services: Services, goal: GoalStatus, task: TaskStatus, choice: Choice, base: str, slot: Slot, n: int
) -> Attempt:
    """The things of an attempt in this slot, with the environment of its programs."""
    branch = names.task_branch(services.settings.git.branch_prefix, goal.id, task.spec.id)
    run_dir = services.home.run_dir(goal.id, task.spec.id, n)
    env = environment.task_environment(
        services.environment(goal),
        goal=goal.id,
        task=task.spec.id,
        attempt=n,
        worktree=slot.path,
        common_dir=services.home.common_dir,
        port_base=slot.port_base,
        passed=services.settings.workspace.env_pass,
        guard=(resources.path("hooks"), names.head(branch)),
    )
    env["MO_STRAY"] = str(guarding.stray_file(run_dir))
    if task.spec.output is not None:
        env[outputs.VARIABLE] = str(slot.path / outputs.FILE)
    agent = services.agents[choice.agent]
    return Attempt(services, goal, task, agent, choice.model, n, base, slot, env, run_dir)


def prepare_worktree(attempt: Attempt) -> None:
    """Worktree on the task's branch, with the work that the attempt goes on from."""
    put_on_branch(attempt)
    if attempt.task.spec.output is not None:
        outputs.refuse_own(attempt.slot.path)
    if attempt.conflict is not None:
        resolving.lay_out(attempt.conflict, attempt.slot.path)
        return
    attempt.goes_on = _salvage(attempt)
    if attempt.goes_on and attempt.task.spec.output is not None:
        outputs.clear(attempt.slot.path)


def put_on_branch(attempt: Attempt) -> None:
    """Task branch at the base (an earlier attempt's tip is kept first), worktree on that branch."""
    repo, ref = attempt.services.repo, names.head(attempt.branch)
    _keep_what_lies_there(attempt)
    tip = refs.read(repo, ref)
    if tip is not None:
        holder = worktrees.holder(repo, attempt.branch)
        if holder is not None and holder != attempt.slot.path:
            hint = f"git -C {holder} switch --detach, then mo resume {attempt.goal.id}"
            raise MoError(f"branch {attempt.branch} is checked out in {holder}", hint)
        if not repo.is_ancestor(tip, attempt.base):
            refs.keep(repo, attempt.goal.id, attempt.task.spec.id, attempt.n - 1, tip)
    if tip != attempt.base and not refs.swap(repo, ref, attempt.base, tip, f"mo: start {attempt.name}"):
        raise MoError(f"cannot make branch {attempt.branch}: another branch is in its way")
    attempt.services.pool.point(attempt.slot, branch=attempt.branch, commit=attempt.base)


def _salvage(attempt: Attempt) -> bool:
    """Bring the work of the attempt before into the worktree; False where that is not possible or not wanted.

    What it changed is done once more on the new base: as it was kept it would take back what landed since.
    """
    kept = _own_work(attempt) if attempt.agent.can_rework else None
    tree = None
    if kept:
        before = attempt.task.attempts[-2].base
        tree = attempt.services.merger.replay(attempt.base, kept, before).tree
    if tree is None:
        return False
    lay_out(attempt, tree)
    return True


def lay_out(attempt: Attempt, tree: str) -> None:
    """Files and index as in a tree; HEAD stays."""
    Git(attempt.slot.path)("read-tree", "--reset", "-u", tree)


def tidy(attempt: Attempt) -> None:
    """Back to the files that were looked at: what a check left beside them is no work of the agent."""
    keep = sidecar.clean_patterns(attempt.slot.path)
    git = Git(attempt.slot.path)
    git("read-tree", "--reset", "-u", attempt.tree)
    git("clean", "-ffdq", *(part for pattern in keep for part in ("-e", pattern)))


def _own_work(attempt: Attempt) -> str | None:
    """The commit with what the task has so far: left by the attempt before, or refused by the gate."""
    attempts = attempt.task.attempts
    earlier = attempts[-2] if len(attempts) > 1 else None
    if earlier and salvages(earlier.failure, earlier.kept, whole=earlier.reviews > 0):
        return refs.read(attempt.services.repo, earlier.kept)
    refused = attempt.task.red is not None or (earlier is not None and earlier.sent_back)
    return attempt.task.commit if refused else None


def _keep_what_lies_there(attempt: Attempt) -> None:
    """A worktree that was kept may hold a person's try, or work whose end was never recorded."""
    services, task = attempt.services, attempt.task
    if services.pool.is_kept(attempt.slot):
        base = task.attempts[-2].base if len(task.attempts) > 1 else attempt.base
        when = int(services.now())
        harvest.keep(
            services.repo, attempt.slot.path, base, attempt.goal.id, task.spec.id, attempt.n - 1, when
        )


async def provision(attempt: Attempt) -> None:
    services = attempt.services
    with services.program(f"set-up of {attempt.name}", contained=services.containment.setup) as token:
        prepared = await services.provisioner.prepare(
            attempt.slot.path,
            env=attempt.env,
            token=token,
            log=attempt.run_dir / "setup.log",
            confinement=setup_confinement(attempt),
        )
    if not prepared.ok:
        containment = services.containment
        way = containment.remedy(prepared.reason, SETUP_AS_YOU) if containment.setup else ""
        reason = "; ".join(filter(None, (prepared.reason, way)))
        raise AttemptFailed(FailureClass.SETUP_FAILED, reason)


def setup_confinement(attempt: Attempt) -> Confinement | None:
    """Set-up has a home of its own each time: what it leaves there, no agent would find."""
    services = attempt.services
    if not services.containment.setup:
        return None

    def cell() -> Cell:
        return services.containment.cell(
            services.repo,
            f".tasks/{attempt.slot.number}",
            attempt.slot.path,
            execution.refs_seen(attempt),
            None,
            goal=attempt.goal.id,
            fresh=True,
        )

    return Confinement(services.containment.rules, cell)


def verify_base(
    services: Services, goal: GoalStatus, task: TaskStatus, base: str, upon: Mapping[str, str]
) -> None:
    """A task starts from a tree that contains what it depends on: asked of git, not of the records."""
    for dependency in task.spec.depends_on:
        landed = upon.get(dependency) or goal.tasks[dependency].landed_commit
        if landed and not services.repo.is_ancestor(landed, base):
            raise MoError(
                f"{goal.id}/{task.spec.id}: its base {base[:10]} lacks {dependency} ({landed[:10]})"
            )
