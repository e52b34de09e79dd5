"""Candidates become part of the integration branch: merge off every checkout, gate, compare-and-swap.

The exact commit that the gate saw is the one the branch is moved to, and only from the head it was merged
onto.  An intent is recorded durably before the ref moves, so a kill in between is finished or dropped by
what the ref says afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mo_daemon import doubts, gate_metrics, inputs, names, objections, setbacks
from mo_daemon.gate import GateRun
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.metrics import is_metric, of_settings
from mo_daemon.services import Services, tail
from mo_daemon.setbacks import about
from mo_daemon.testids import Tests
from mo_daemon.threads import to_the_end
from mo_daemon.verdicts import listed
from mo_git.errors import Exit, MoError
from mo_git.git import refs
from mo_git.git.merge import Merge
from mo_git.git.settle import settle
from mo_git.goal_status import IN_QUEUE, GoalStatus, TaskStatus
from mo_git.model import Kind, NewFact


@dataclass(frozen=True, slots=True)
class Lander:
    """Moves integration branches; one landing per goal at a time (the engine sees to that)."""

    services: Services
    gatekeeper: Gatekeeper

    # -- asking the gate ------------------------------------------------------------------------------

    async def judge(
        self,
        goal: GoalStatus,
        commit: str,
        tasks: Sequence[str],
        ids: frozenset[str] | None = None,
        *,
        fresh: bool = False,
    ) -> GateRun:
        """The gate on a commit that contains these candidates, compared with the integration head."""
        if ids and any(is_metric(one) for one in ids):  # only a full gate measures
            ids = None
        touched = frozenset(path for name in tasks for path in goal.tasks[name].paths)
        baseline = await self._expected(goal, tasks)
        run = await self.gatekeeper.judge(goal, commit, baseline, ids, fresh=fresh, touched=touched)
        before = await self.gatekeeper.figures(goal, goal.integration)
        return gate_metrics.compared(run, before, of_settings(self.services.settings.metrics))

    async def _expected(self, goal: GoalStatus, tasks: Sequence[str]) -> Tests | None:
        """The head's outcomes, without what a person accepted of these tasks."""
        baseline = await self.gatekeeper.baseline(goal, goal.integration)
        return doubts.expected(baseline, [goal.tasks[name] for name in tasks])

    async def steering(self, goal: GoalStatus) -> list[str]:
        """The candidates that change how the gate runs: they have to ride alone."""
        command = await self.gatekeeper.command(goal)
        wanted = objections.inputs_of(self.services.settings, command)
        waiting = [task for task in goal.tasks.values() if task.state in IN_QUEUE]
        return [task.spec.id for task in waiting if inputs.touches(task.paths, wanted)]

    async def weakened(self, goal: GoalStatus, task: TaskStatus, commit: str) -> dict[str, Any] | None:
        """Of a green candidate that changes how the gate runs: why a person has to look, data of HELD."""
        baseline = await self._expected(goal, [task.spec.id])
        second = await objections.of_inputs(self.services, self.gatekeeper, goal, task, commit, baseline)
        if second is None:
            return None
        self.record_gate(goal, second.run, [task.spec.id], inputs=goal.integration)
        return {**second.held, "log": str(second.run.log)} if second.held else None

    def record_gate(self, goal: GoalStatus, run: GateRun, tasks: Sequence[str], **more: Any) -> None:
        data = {**run.document(tasks), **more, "log": str(run.log)}
        self.services.record([NewFact(goal.id, Kind.GATE_RUN, data)])

    # -- what cannot land -----------------------------------------------------------------------------

    async def red(self, goal: GoalStatus, task: TaskStatus, run: GateRun, found: Mapping[str, Any]) -> None:
        """A candidate that the gate speaks against, by a run and `found`, the evidence."""
        if held := await objections.of_regression(self.services, task, run):
            facts = [about(goal, task, Kind.HELD, **held, log=str(run.log))]
        else:
            facts = setbacks.red(self.services, goal, task, found)
        self.services.record(facts)

    async def conflict(self, goal: GoalStatus, task: TaskStatus, merge: Merge) -> None:
        """A candidate that does not merge into integration."""
        self.services.record(await setbacks.conflict(self.services, goal, task, merge, goal.integration))

    # -- moving the branch ----------------------------------------------------------------------------

    async def advance(
        self,
        goal: GoalStatus,
        commit: str,
        tree: str,
        tasks: Sequence[str],
        purpose: str,
        facts: Sequence[NewFact],
    ) -> None:
        """Move integration from its head to a gated commit: intent, ref, facts.  Not interruptible."""
        await to_the_end(self._advance(goal, commit, tree, tasks, purpose, facts))

    async def _advance(
        self,
        goal: GoalStatus,
        commit: str,
        tree: str,
        tasks: Sequence[str],
        purpose: str,
        facts: Sequence[NewFact],
    ) -> None:
        services = self.services
        intent = {
            "commit": commit,
            "tree": tree,
            "head": goal.integration,
            "tasks": list(tasks),
            "purpose": purpose,
            "facts": [[fact.kind, fact.task, fact.attempt, dict(fact.data)] for fact in facts],
        }
        await services.git(settle, services.repo, commit, goal.integration)
        if any(goal.tasks[name].state not in IN_QUEUE for name in tasks):
            return  # a person took one of them out meanwhile
        services.record([NewFact(goal.id, Kind.LANDING_INTENT, intent)], durable=True)
        moved = await services.git(self._swap, goal, commit)
        if moved:
            await self._landed(goal)
        else:
            self._drop(goal, "the integration branch moved meanwhile")

    def _swap(self, goal: GoalStatus, commit: str) -> bool:
        branch = names.integration_branch(self.services.settings.git.branch_prefix, goal.id)
        return refs.swap(
            self.services.repo, names.head(branch), commit, goal.integration, f"mo: landing {commit[:12]}"
        )

    async def _landed(self, goal: GoalStatus) -> None:
        """Record what the intent said would follow; `good/N` marks every green landing."""
        services, intent = self.services, goal.intent
        assert intent is not None
        number = len(goal.landings) + 1
        name = names.good_ref(goal.id, number)
        await services.git(refs.create, services.repo, name, intent["commit"])
        landing = {
            "seq": number,
            "commit": intent["commit"],
            "tree": intent["tree"],
            "tasks": intent["tasks"],
            "purpose": intent["purpose"],
        }
        facts = [NewFact(goal.id, Kind(kind), data, task, n) for kind, task, n, data in intent["facts"]]
        landing["commits"] = {fact.task: fact.data["commit"] for fact in facts if fact.kind is Kind.LANDED}
        services.record([NewFact(goal.id, Kind.LANDING, landing), *facts])

    def _drop(self, goal: GoalStatus, why: str) -> None:
        intent = goal.intent
        assert intent is not None
        facts = [NewFact(goal.id, Kind.LANDING_DROPPED, {"commit": intent["commit"], "why": why})]
        facts += _dropped_gates(goal, why)
        self.services.record(facts)

    async def recover(self, goal: GoalStatus) -> None:
        """After a restart: an intent whose ref moved is finished, any other is dropped; gates start again."""
        if goal.intent is None:
            self.services.record(_dropped_gates(goal, "the daemon ended while the gate ran"))
            return
        tip = await self.services.git(self.head, goal)
        if tip == goal.intent["commit"]:
            await self._landed(goal)
        else:
            self._drop(goal, "the daemon ended before the branch was moved")

    # -- looking at the branch ------------------------------------------------------------------------

    def head(self, goal: GoalStatus) -> str | None:
        branch = names.integration_branch(self.services.settings.git.branch_prefix, goal.id)
        return refs.read(self.services.repo, names.head(branch))

    def check_head(self, goal: GoalStatus) -> None:
        """The integration branch must be where mo left it: anything else is not gated."""
        tip = self.head(goal)
        if tip != goal.integration:
            where = tip[:12] if tip else "gone"
            raise MoError(
                f"the integration branch of {goal.id} is at {where}, mo left it at {goal.integration[:12]}",
                f"mo recover {goal.id} puts it back (what is there now is kept), then mo resume {goal.id}",
                Exit.PERSON,
            )


def _dropped_gates(goal: GoalStatus, why: str) -> list[NewFact]:
    return [
        about(goal, task, Kind.GATE_DROPPED, why=why)
        for task in goal.tasks.values()
        if task.state == "gating"
    ]


def evidence(run: GateRun) -> dict[str, Any]:
    """Why a red gate put a candidate out: failing ids and the end of the log."""
    ids = list(run.failed_ids)
    measured = any(is_metric(one) for one in ids)  # of a metric the reason says from what to what
    why = f"gate red: {listed(ids) if ids and not measured else run.reason}"
    return {
        "why": why,
        "evidence": {"commit": run.commit, "failed_ids": ids, "log": str(run.log), "log_tail": tail(run.log)},
    }
