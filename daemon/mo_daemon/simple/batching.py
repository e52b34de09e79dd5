"""Accepted items land in batches: put on the integration head in memory, gated together, one commit each.

`queue.step` decides, as it does for tasks: a red batch is searched, who breaks it leaves, the rest lands.
The rows say durably what is about to land before the branch moves, so that a kill in between lands nothing
twice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from mo_daemon import inputs, objections, queue
from mo_daemon.classify import GiveUp
from mo_daemon.gate import GateRun
from mo_daemon.gate_run import FULL
from mo_daemon.landing import Lander, evidence
from mo_daemon.queue import Blame, Candidate, Probe, Seen
from mo_daemon.services import Services
from mo_daemon.simple import keeping
from mo_daemon.simple.bench import count
from mo_daemon.simple.following import what_follows
from mo_daemon.simple.recovering import recover_items
from mo_daemon.simple.stack import Stack
from mo_daemon.verdicts import listed
from mo_git.git.merge import Merge
from mo_git.goal_status import GoalStatus
from mo_git.ledger.items import ItemRow
from mo_git.model import FailureClass, GoalState
from mo_git.simple.item import ItemState

RISK = 1 / 400  # of an item, before anything is known: most bulk edits are harmless
CONFLICTS = 3  # times that an item is done again since others changed the same


async def land_items(lander: Lander, goal: GoalStatus) -> None:
    """Land what was accepted so far."""
    services = lander.services
    settle_rows(services, goal)
    await services.git(lander.check_head, goal)
    await lander.gatekeeper.baseline(goal, goal.integration)
    batch = _Batch(lander, goal)
    while await batch.advance():
        pass


def settle_rows(services: Services, goal: GoalStatus) -> None:
    """What an earlier daemon was about to land has landed, or has not: the branch says which."""
    rows = services.ledger.items
    for head in rows.landings(goal.id):
        if any(landing["commit"] == head for landing in goal.landings):
            count(goal, ItemState.CANDIDATE, ItemState.LANDED, rows.land(goal.id, head))
    rows.drop_intent(goal.id)


@dataclass
class _Batch:
    """`order` is what is gated together, in landing order; `seen` is about the present head."""

    lander: Lander
    goal: GoalStatus
    order: list[Candidate] = field(default_factory=list)
    rows: dict[str, ItemRow] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    runs: dict[Probe, GateRun] = field(default_factory=dict)
    selects: bool = True
    out: int = 0  # members that had to leave so far
    gone: list[str] = field(default_factory=list)  # commits that do not land, and are kept

    def __post_init__(self) -> None:
        self.services = self.lander.services
        self.stack = Stack(self.services.repo, self.services.merger, self.goal, self.services.author)

    async def advance(self) -> bool:
        """One look and what follows; False when nothing is left to do, or something else comes first."""
        if self._makes_way():
            return False
        if not self.order:
            await self._board()
        if not self.order:
            return False
        step = queue.step(self.order, self.seen, [], 1, self.selects)
        if step.land:
            return await self._land(step.land)
        if step.eject or step.hold:
            for blame in step.eject:
                self._eject(blame)
            for name in step.hold:
                self._refuse(self.rows[name], "the gate gives no result with it")
            self._leave([*(blame.task for blame in step.eject), *step.hold])
            await self._keep()
            return True
        for probe in step.probes[:1]:
            await self._ask(probe)
        return bool(step.probes)

    def _makes_way(self) -> bool:
        goal = self.goal
        halted = goal.blocked is not None and goal.blocked[0] is GoalState.HALTED
        return goal.paused or halted or bool(goal.cancelling or goal.pending_operations())

    # -- who is in it -----------------------------------------------------------------------------------

    async def _board(self) -> None:
        """The candidates that merge one after another onto the head."""
        self.seen, self.runs, self.rows = [], {}, {}
        self.stack.restart(self.goal.integration)
        landed = (self.goal.items or {}).get(ItemState.LANDED, 0)
        risk = (1 + self.out) / (1 / RISK + self.out + landed)
        command = await self.lander.gatekeeper.command(self.goal)
        steering = objections.inputs_of(self.services.settings, command)
        rows, most = self.services.ledger.items, self.services.settings.simple.batch
        waiting = rows.rows(self.goal.id, [ItemState.CANDIDATE], limit=most)
        for row in list(waiting):
            name = str(row.n)
            earlier = rows.earlier(self.goal.id, row.n)
            if any(other.state in (ItemState.QUEUED, ItemState.RUNNING) for other in earlier):
                self._again(row, "an earlier item with the same target is done again")
                continue
            needs = frozenset(str(other.n) for other in earlier if other.state is ItemState.CANDIDATE)
            if not needs <= self.rows.keys():
                continue  # it waits for these, too
            made = await self.services.git(self.stack.add, name, row)
            if isinstance(made, Merge):
                if not self.order:
                    self._conflict(row, made)
                continue  # else it waits until those that it conflicts with have landed, or left
            solo = bool(inputs.touches(self.stack.paths(name), steering))
            if solo and self.order:
                break
            one = Candidate(name, 0, row.item.priority, row.ended_at or 0.0, risk, needs, solo=solo)
            self.order.append(one)
            self.rows[name] = row
            if solo:
                break
        await self._keep()

    async def _keep(self) -> None:
        """Nothing of what had to leave is lost."""
        if self.gone:
            await self.services.git(keeping.keep, self.services, self.goal, *self.gone)
            self.gone = []

    def _leave(self, gone: Collection[str]) -> None:
        """Take members out, with those that were built on them."""
        out = set(gone)
        for one in self.order:
            if one.needs & out and one.task not in out:
                out.add(one.task)
                self._again(self.rows[one.task], "an earlier item with the same target did not land")
        self.order = [one for one in self.order if one.task not in out]
        self.seen = queue.without(self.seen, tuple(out))
        self.runs = {probe: run for probe, run in self.runs.items() if not out.intersection(probe.members)}
        self.out += len(out)

    # -- asking the gate ----------------------------------------------------------------------------------

    async def _ask(self, probe: Probe) -> None:
        made = await self.services.git(self.stack.commit, probe.members)
        if isinstance(made, Merge):
            self.seen.append(Seen(probe, "conflict"))
            return
        whole = any(one.probe.members == probe.members for one in self.seen if one.probe.ids is None)
        again = probe.again > 0 or (whole and probe.ids is not None)  # from memory it is no new evidence
        gatekeeper = self.lander.gatekeeper
        baseline = await gatekeeper.baseline(self.goal, self.goal.integration)
        touched = frozenset(path for name in probe.members for path in self.stack.paths(name))
        run = await gatekeeper.judge(self.goal, made, baseline, probe.ids, fresh=again, touched=touched)
        self.lander.record_gate(self.goal, run, [], items=len(probe.members))
        if probe.ids is not None and run.kind == FULL:  # the runner can't select: all tests ran
            self.selects = False
            full = [one.probe for one in self.seen if one.probe.ids is None]
            probe = Probe(probe.members, None, sum(one.members == probe.members for one in full))
        self.runs[probe] = run
        self.seen.append(Seen(probe, run.result, frozenset(run.failed_ids)))

    # -- what follows ---------------------------------------------------------------------------------------

    async def _land(self, members: tuple[str, ...]) -> bool:
        """Move integration over these members; False where somebody else moved it."""
        goal, services, rows = self.goal, self.services, self.services.ledger.items
        made = await services.git(self.stack.commits, members)
        assert isinstance(made, list)
        commits = {self.rows[name].n: commit for name, commit in zip(members, made)}
        head = made[-1]
        tree = await services.git(services.repo.tree_of, head)
        rows.intend(goal.id, head, commits)
        await self.lander.advance(goal, head, tree, [], f"{len(members)} items", [])
        if goal.integration != head:
            rows.drop_intent(goal.id)
            return False
        count(goal, ItemState.CANDIDATE, ItemState.LANDED, rows.land(goal.id, head))
        self.order = [one for one in self.order if one.task not in members]
        self.seen = queue.after_landing(self.seen, members)
        runs = [(queue.stripped(probe, members), run) for probe, run in self.runs.items()]
        self.runs = {probe: run for probe, run in runs if probe}
        self.stack.landed(head)
        return True

    def _eject(self, blame: Blame) -> None:
        """A member that breaks the gate: an agent may mend its work, a command would do the same again."""
        row = self.rows[blame.task]
        red = [run for probe, run in self.runs.items() if run.result == "red" and blame.task in probe.members]
        why = f"gate red: {listed(sorted(blame.ids))}" if blame.ids else evidence(red[-1])["why"]
        if blame.partner:
            why += f" (together with item {self.rows[blame.partner].item.id})"
        self._refuse(row, why)

    def _refuse(self, row: ItemRow, why: str, failure: FailureClass = FailureClass.GATE_RED) -> None:
        step = what_follows(self.services, row, failure, why)
        values = {"failure": failure, "reason": why, "failures": " ".join([*row.failures.split(), failure])}
        if isinstance(step, GiveUp):
            self._move(row, ItemState.FAILED, **{**values, "reason": step.why}, kept=row.commit)
        else:
            self._move(row, ItemState.QUEUED, **values, kept=row.commit, not_before=step.not_before)

    def _conflict(self, row: ItemRow, merge: Merge) -> None:
        """What landed since changed the same: it is done again on top of that."""
        why = "conflict in " + ", ".join(merge.conflicts or merge.messages)
        failures = row.failures.split()
        values = {"failure": FailureClass.CONFLICT, "reason": why, "kept": row.commit}
        values["failures"] = " ".join([*failures, FailureClass.CONFLICT])
        done = failures.count(FailureClass.CONFLICT) >= CONFLICTS
        self._move(row, ItemState.FAILED if done else ItemState.QUEUED, **values)

    def _again(self, row: ItemRow, why: str) -> None:
        """It was built on what did not land."""
        self._move(row, ItemState.QUEUED, reason=why, failure=FailureClass.CONFLICT, tries=row.tries - 1)

    def _move(self, row: ItemRow, state: ItemState, **values: object) -> None:
        self.gone.append(row.commit)
        if self.services.ledger.items.put(
            self.goal.id, row.n, ItemState.CANDIDATE, state, **values, commit=""
        ):
            count(self.goal, ItemState.CANDIDATE, state)


def retry_items(services: Services, goal: GoalStatus) -> int:
    """What failed, or was given up, starts again; how many items that are."""
    again = services.ledger.items.retry(goal.id, [ItemState.FAILED, ItemState.CANCELLED])
    goal.items = services.ledger.items.counts(goal.id)
    return again


async def cancel_items(services: Services, goal: GoalStatus) -> None:
    """The job is given up: what has not landed ends, what was accepted is kept."""
    settle_rows(services, goal)
    await recover_items(services, goal)
    await keeping.keep_candidates(services, goal)
    services.ledger.items.cancel(goal.id, goal.cancelling, services.now())
    goal.items = services.ledger.items.counts(goal.id)
