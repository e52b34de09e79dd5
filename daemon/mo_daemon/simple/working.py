"""The workers of a job: each claims an item, has it done in a worktree of its own, checks and commits it.

What is accepted is a candidate: `batching` lands it.  What fails is kept, and tried again by its class, as
attempts of tasks are.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mo_daemon import environment, harvest, names, templates
from mo_daemon.agent_run import Deadlines
from mo_daemon.agents.protocol import Job, Outcome
from mo_daemon.briefing import unread
from mo_daemon.budget import exhausted
from mo_daemon.classify import POLICIES, GiveUp
from mo_daemon.containment import Cell, Confinement
from mo_daemon.harvest import AttemptFailed
from mo_daemon.paid_run import PaidRun
from mo_daemon.routing import Choice
from mo_daemon.services import Services
from mo_daemon.simple import keeping
from mo_daemon.simple.bench import Bench, title
from mo_daemon.simple.briefing import brief, feedback
from mo_daemon.simple.checking import VERIFY_LOG, check_item
from mo_daemon.simple.commands import of_item
from mo_daemon.simple.following import what_follows
from mo_daemon.simple.recovering import recover_items
from mo_daemon.worktrees import Slot
from mo_git import resources
from mo_git.errors import MoError
from mo_git.git import provenance, turnaround
from mo_git.git.snapshot import Snapshot
from mo_git.goal_status import GoalStatus
from mo_git.ledger.items import ItemRow
from mo_git.model import UNUSABLE, FailureClass, Kind, NewFact, Phase
from mo_git.simple.item import ItemState

_NO_REF = "refs/mo/none"  # what an item may move

# What an agent can do better in its next attempt, if it is told.
_TOLD = frozenset(failure for failure, policy in POLICIES.items() if policy.rework) | {
    FailureClass.TIMEOUT,
    FailureClass.IDLE,
}


async def run_items(services: Services, goal: GoalStatus) -> None:
    """Do what is queued until nothing is, or the job may not go on; what nobody works on starts again."""
    goal.batch = services.settings.simple.batch
    await recover_items(services, goal)
    plain = await services.git(turnaround.is_plain, services.repo, goal.base)
    bench = Bench(services, goal, plain)
    most = min(goal.spec.parallel or services.settings.simple.workers, bench.left())
    wanted = max(1, min(most, services.settings.orchestrator.max_parallel))
    workers = [asyncio.ensure_future(_Worker(bench).run()) for _ in range(wanted)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
        bench.examiner.close()
        await keeping.keep_candidates(services, goal)


@dataclass
class _Worker:
    """One worker; its worktree stays what it is from item to item."""

    bench: Bench
    slot: Slot | None = None
    base: str = ""  # that the worktree is at, where only commands were at work since
    left: Snapshot | None = None  # what exactly it holds, where that is known
    ready: str = ""  # the base that it was set up for

    def __post_init__(self) -> None:
        self.services, self.goal = self.bench.services, self.bench.goal

    async def run(self) -> None:
        try:
            while found := await self.bench.next():
                row, choice = found
                try:
                    with self.bench.at_work(choice.agent):
                        await self._do(row, choice)
                except MoError as error:  # not the item's fault: the job stops, and the item is as before
                    self.bench.end(row, ItemState.QUEUED, reason=error.message, tries=row.tries - 1)
                    raise
        finally:
            if self.slot is not None:
                self.services.pool.give_back(self.slot)

    async def _do(self, row: ItemRow, choice: Choice) -> None:
        attempt = _Attempt(self, row, choice)
        try:
            await attempt.perform()
        except AttemptFailed as failed:
            await attempt.failed(failed)
        except asyncio.CancelledError:
            await attempt.interrupted()
            raise

    # -- the worktree -----------------------------------------------------------------------------------

    async def prepare(self, base: str, *, by_agent: bool) -> Slot:
        """The worktree at this base, without what the item before left."""
        services = self.services
        slot = self.slot = self.slot or services.pool.take_detached()
        quick = self.base == base and not by_agent
        left, self.left = self.left if self.bench.plain else None, None
        if not quick or not await services.git(turnaround.put_back, services.repo, slot.path, base, left):
            await services.git(services.pool.point, slot, branch=None, commit=base)
        self.base = "" if by_agent else base  # what an agent leaves is looked for thoroughly
        if self.ready != base:
            await self._set_up(slot)
            self.ready = base
        return slot

    async def _set_up(self, slot: Slot) -> None:
        services, goal = self.services, self.goal
        contained = services.containment.setup
        place = f".tasks/{slot.number}"

        def cell() -> Cell:
            make = services.containment.cell
            return make(services.repo, place, slot.path, self.seen(), None, goal=goal.id, fresh=True)

        confinement = Confinement(services.containment.rules, cell) if contained else None
        with services.program(f"set-up of {goal.id}", contained=contained) as token:
            prepared = await services.provisioner.prepare(
                slot.path,
                env=self.environment(slot, "", 0),
                token=token,
                log=self.scratch(slot) / "setup.log",
                confinement=confinement,
            )
        if not prepared.ok:
            raise AttemptFailed(FailureClass.SETUP_FAILED, prepared.reason)

    def seen(self) -> dict[str, str]:
        """The refs that a sandbox shows."""
        goal, prefix = self.goal, self.services.settings.git.branch_prefix
        branch = names.head(names.integration_branch(prefix, goal.id))
        return {names.base_ref(goal.id): goal.base, branch: goal.integration}

    def scratch(self, slot: Slot) -> Path:
        """Logs of what went well are overwritten there: a directory for each item would be too many."""
        return self.services.home.run_dir(self.goal.id, f".worker-{slot.number}", 0)

    def environment(self, slot: Slot, item: str, attempt: int) -> dict[str, str]:
        services = self.services
        return environment.task_environment(
            services.environment(self.goal),
            goal=self.goal.id,
            task=item,
            attempt=attempt,
            worktree=slot.path,
            common_dir=services.home.common_dir,
            port_base=slot.port_base,
            passed=services.settings.workspace.env_pass,
            guard=(resources.path("hooks"), _NO_REF),
        )


class _Attempt:
    """One attempt of one item."""

    def __init__(self, worker: _Worker, row: ItemRow, choice: Choice) -> None:
        self.worker, self.row, self.choice = worker, row, choice
        self.services, self.goal, self.bench = worker.services, worker.goal, worker.bench
        self.name = f"{self.goal.id}/{row.item.id}#{row.attempt}"
        self.slot: Slot | None = None
        self.base = self.goal.base
        self.cost = row.cost_usd

    @property
    def run_dir(self) -> Path:
        """Of an agent each attempt keeps its logs, of a command those that failed."""
        assert self.slot is not None
        return self.kept_dir if self.row.item.by_agent else self.worker.scratch(self.slot)

    @property
    def kept_dir(self) -> Path:
        return self.services.home.run_dir(self.goal.id, self.row.item.id, self.row.attempt)

    async def perform(self) -> None:
        services, item = self.services, self.row.item
        self.base = await services.git(keeping.base_of, services, self.goal, self.row, self._earlier())
        self.slot = await self.worker.prepare(self.base, by_agent=item.by_agent)
        if item.by_agent:
            services.ledger.items.place(self.goal.id, self.row, str(self.slot.path), self.base)
        env = self.worker.environment(self.slot, item.id, self.row.attempt)
        env["MO_TARGET"] = item.targets[0] if item.targets else ""
        self._clear_logs()
        cell = await self._run(env)
        look = harvest.look if item.by_agent else turnaround.look
        found: Snapshot = await services.git(look, services.repo, self.slot.path, self.base)
        if not found.changed:
            self._unchanged()
            return
        await check_item(
            services,
            self.goal,
            item,
            self.base,
            found,
            self.slot.path,
            examiner=self.bench.examiner,
            env=env,
            run_dir=self.run_dir,
            name=self.name,
            seen=self.worker.seen(),
            cell=cell,
        )
        if not (item.by_agent or (self.run_dir / VERIFY_LOG).exists()):  # no command touched it since
            self.worker.left = found
        commit = await services.git(self._commit, found.tree)
        made = {"commit": commit, "base": self.base, "cost_usd": self.cost, "failure": "", "reason": ""}
        self.bench.end(self.row, ItemState.CANDIDATE, **made)

    def _earlier(self) -> list[ItemRow]:
        return self.services.ledger.items.earlier(self.goal.id, self.row.n)

    def _clear_logs(self) -> None:
        if not self.row.item.by_agent:
            for log in self.run_dir.glob("*.log"):
                log.unlink()

    async def _run(self, env: Mapping[str, str]) -> Cell | None:
        """Have it done; the sandbox that it was done in."""
        assert self.slot is not None
        services, item, choice = self.services, self.row.item, self.choice
        agent = services.agents[choice.agent]
        paid = PaidRun(services, self.goal, agent, choice.model, Phase.SIMPLE, self.name)
        state_dir, cell = await paid.enclosure(
            f"worker-{self.slot.number}", self.slot.path, self.worker.seen()
        )
        argv = of_item(item.run, item.targets) if item.run is not None else ()
        job = Job(Phase.SIMPLE, "", self.slot.path, self.run_dir, argv=argv)
        if item.by_agent:
            prompt = await services.git(self._prompt, agent.reads)
            job = replace(
                job,
                prompt=prompt,
                environ=services.environ,
                model=choice.model,
                budget_usd=paid.budget(),
                state_dir=state_dir,
                contained=cell is not None,
            )
        total = item.timeout_seconds or services.settings.simple.timeout
        deadlines = paid.deadlines(total) if item.by_agent else Deadlines(total, total, total)
        env = environment.with_local_tools(env, self.slot.path)
        finished = await paid.perform(job, env, deadlines, cell)
        self._pay(paid, finished.outcome)
        if (failure := finished.outcome.failure) is not None:
            raise AttemptFailed(failure, finished.outcome.reason, retry_at=finished.outcome.retry_at)
        return cell

    def _prompt(self, reads: frozenset[str]) -> str:
        assert self.slot is not None
        services, row = self.services, self.row
        template = templates.load("simple", services.home, services.environ)
        bulk = self.goal.spec.bulk
        return brief(
            template,
            row.item,
            validate=bulk.validate if bulk else (),
            must_change=self._must_change,
            said=feedback(row.failure, row.reason) if row.failure in _TOLD else "",
            team=harvest.team_files(self.slot.path, unread(reads)),
            lessons=templates.lessons(services.home, services.environ),
        )

    @property
    def _must_change(self) -> bool:
        said = self.goal.spec.bulk.no_change if self.goal.spec.bulk else ""
        return said == "fail" or (not said and self.row.item.by_agent)

    def _pay(self, paid: PaidRun, outcome: Outcome) -> None:
        used = paid.usage(outcome)
        self.services.record(used)
        self.cost += sum(fact.data.get("cost_usd", 0.0) for fact in used)

    def _unchanged(self) -> None:
        if self._must_change:
            raise AttemptFailed(FailureClass.NO_CHANGE, "nothing was changed")
        ended = {"cost_usd": self.cost, "failure": "", "reason": "nothing to change"}
        self.bench.end(self.row, ItemState.UNCHANGED, **ended)

    def _commit(self, tree: str) -> str:
        item, model = self.row.item, self.choice.model
        made_by = self.choice.agent + (f"/{model}" if model else "")
        message = provenance.message(title(item), item.instruction, self._trailers(made_by))
        when = int(self.services.now())
        author = self.services.author
        return self.services.repo.commit_tree(
            tree, [self.base], message, when=when, author=author, settled=False
        )

    def _trailers(self, made_by: str) -> dict[str, str]:
        attempt = str(self.row.attempt)
        item = self.row.item.id
        return {"Mo-Goal": self.goal.id, "Mo-Item": item, "Mo-Attempt": attempt, "Mo-Agent": made_by}

    # -- what did not go well -----------------------------------------------------------------------------

    async def failed(self, failed: AttemptFailed) -> None:
        """Keep what it left, and say what follows."""
        services, row, failure = self.services, self.row, failed.failure
        kept = await self._keep()
        values = {"failure": failure, "reason": failed.reason, "kept": kept, "cost_usd": self.cost}
        stop = self._stops(failed)
        if stop or self._somebody_else(failure):
            self.bench.end(row, ItemState.QUEUED, **values, tries=row.tries - 1)
            services.record([stop] if stop else [])
            return
        step = what_follows(services, row, failure, failed.reason, failed.evidence.get("retry_at"))
        values["failures"] = " ".join([*row.failures.split(), failure])
        if isinstance(step, GiveUp):
            self.bench.end(row, ItemState.FAILED, **{**values, "reason": step.why})
        else:
            self.bench.end(row, ItemState.QUEUED, **values, not_before=step.not_before)

    def _stops(self, failed: AttemptFailed) -> NewFact | None:
        """What ends the whole job: set-up that fails, money that is spent, nobody who can work here."""
        reason, agent = failed.reason, self.choice.agent
        if self._is_unusable(failed.failure) and self.bench.gives_up(self.row, agent):
            return NewFact(self.goal.id, Kind.SETUP_FAILED, {"reason": f"{agent} cannot be used: {reason}"})
        if failed.failure is FailureClass.SETUP_FAILED:
            return NewFact(self.goal.id, Kind.SETUP_FAILED, {"reason": f"set-up failed: {reason}"})
        if failed.failure is FailureClass.BUDGET:
            spent = exhausted(*self.services.money(self.goal), self.choice.agent)
            return NewFact(self.goal.id, Kind.BUDGET_SPENT, {"reason": spent or reason})
        return None

    def _is_unusable(self, failure: FailureClass) -> bool:
        """Whether the agent could do no other item either; a model may be the item's own mistake."""
        own = failure is FailureClass.BAD_MODEL and bool(self.row.item.model)
        return self.row.item.by_agent and failure in UNUSABLE and not own

    def _somebody_else(self, failure: FailureClass) -> bool:
        """Whether it goes to another agent, which is no attempt of the item's own."""
        return self._is_unusable(failure) and not self.bench.gives_up(self.row, self.choice.agent)

    async def interrupted(self) -> None:
        """Cancelled, or the daemon stops: it counts as no failure."""
        kept = await self._keep()
        values = {"failure": FailureClass.LOST, "reason": self.goal.cancelling or "the daemon was stopped"}
        self.bench.end(self.row, ItemState.QUEUED, **values, kept=kept, tries=self.row.tries - 1)

    async def _keep(self) -> str:
        """A commit with what it left, which a ref of the job reaches; empty where that is nothing new."""
        if self.slot is None:
            return ""
        if not self.row.item.by_agent and self.run_dir.is_dir():
            self.kept_dir.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(self.run_dir, self.kept_dir, dirs_exist_ok=True)
        self.worker.base = ""
        async with self.bench.keeping:
            return await self.services.git(
                keeping.keep_worktree, self.services, self.goal, self.row, self.slot.path, self.base
            )
