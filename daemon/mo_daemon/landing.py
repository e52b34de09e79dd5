"""Candidates become part of the integration branch: merge off every checkout, gate, compare-and-swap.

The exact commit that the gate saw is the one the branch is moved to, and only from the head it was merged
onto.  An intent is recorded durably before the ref moves, so a kill in between is finished or dropped by
what the ref says afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mo_daemon import names, setbacks
from mo_daemon.gate import GateRun
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.services import Services, tail
from mo_daemon.setbacks import about
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

    # -- what cannot land -----------------------------------------------------------------------------

    async def red(self, goal: GoalStatus, task: TaskStatus, found: Mapping[str, Any]) -> None:
        """A candidate that the gate speaks against."""
        self.services.record(setbacks.red(self.services, goal, task, found))

    def record_gate(self, goal: GoalStatus, run: GateRun, tasks: Sequence[str]) -> None:
        self.services.record([NewFact(goal.id, Kind.GATE_RUN, {**run.document(tasks), "log": str(run.log)})])

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
    why = f"gate red: {listed(ids) if ids else run.reason}"
    return {
        "why": why,
        "evidence": {"commit": run.commit, "failed_ids": ids, "log": str(run.log), "log_tail": tail(run.log)},
    }
