"""Candidates become part of the integration branch: merge off every checkout, gate, compare-and-swap.

The exact commit that the gate saw is the one the branch is moved to, and only from the head it was merged
onto.  An intent is recorded durably before the ref moves, so a kill in between is finished or dropped by
what the ref says afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mo_daemon import doubts, gate_metrics, names, objections, queue
from mo_daemon.attempt import author
from mo_daemon.gate import GREEN, UNKNOWN, GateRun
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.metrics import is_metric, of_settings
from mo_daemon.services import Services, tail
from mo_daemon.testids import Tests
from mo_daemon.threads import to_the_end
from mo_git.errors import Exit, MoError
from mo_git.git import provenance, refs
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.model import Kind, NewFact


@dataclass(frozen=True, slots=True)
class Lander:
    """Lands commits of goals; one landing per goal at a time (the engine sees to that)."""

    services: Services
    gatekeeper: Gatekeeper

    # -- the serial queue -----------------------------------------------------------------------------

    async def land(self, goal: GoalStatus, task_id: str) -> None:
        """Land one candidate, or record why not."""
        services, task = self.services, goal.tasks[task_id]
        await services.git(self.check_head, goal)
        merge = await services.git(services.merger.merge, goal.integration, task.commit)
        if merge.tree is None:
            await self._conflict(goal, task, merge.conflicts)
            return
        commit = await services.git(self._merge_commit, goal, task, merge.tree)
        data = {"commit": commit, "head": goal.integration}
        services.record([_about(goal, task, Kind.GATE_STARTED, **data)])
        try:
            run = await self._judge(goal, commit, task_id)
            held = await self._objection(goal, task, commit, run)
        except asyncio.CancelledError:
            services.record([_about(goal, task, Kind.GATE_DROPPED, why="stopped")])
            raise
        if held:
            services.record([_about(goal, task, Kind.HELD, **held)])
        elif run.result == GREEN:
            landed = _about(goal, task, Kind.LANDED, commit=commit, tree=run.tree)
            await self.advance(goal, commit, run.tree, [task_id], "task", [landed])
        else:
            services.record([_about(goal, task, Kind.EJECTED, **evidence(run))])

    async def _judge(self, goal: GoalStatus, commit: str, task_id: str) -> GateRun:
        """Gate against the present head's outcomes; an unknown verdict is asked for once more."""
        run = await self.gate(goal, commit, [task_id])
        if queue.meaning(run.result, unknown_before=0) is queue.Meaning.AGAIN:
            run = await self.gate(goal, commit, [task_id])
        return run

    async def gate(self, goal: GoalStatus, commit: str, tasks: Sequence[str]) -> GateRun:
        """The full gate on a commit that contains these candidates, recorded."""
        baseline = await self._expected(goal, tasks)
        run = await self.gatekeeper.judge(goal, commit, baseline)
        before = await self.gatekeeper.figures(goal, goal.integration)
        run = gate_metrics.compared(run, before, of_settings(self.services.settings.metrics))
        self.record_gate(goal, run, tasks)
        return run

    async def _expected(self, goal: GoalStatus, tasks: Sequence[str]) -> Tests | None:
        """The head's outcomes, without what a person accepted of these tasks."""
        baseline = await self.gatekeeper.baseline(goal, goal.integration)
        return doubts.expected(baseline, [goal.tasks[name] for name in tasks])

    async def _objection(
        self, goal: GoalStatus, task: TaskStatus, commit: str, run: GateRun
    ) -> dict[str, Any] | None:
        """Why a person has to look before the candidate lands or is ejected: the data of a HELD fact."""
        if run.result == UNKNOWN:
            return {"reason": f"the gate gives no verdict: {run.reason}", "log": str(run.log)}
        if run.result != GREEN:
            held = await objections.of_regression(self.services, task, run)
            return {**held, "log": str(run.log)} if held else None
        baseline = await self._expected(goal, [task.spec.id])
        second = await objections.of_inputs(self.services, self.gatekeeper, goal, task, commit, baseline)
        if second is None:
            return None
        self.record_gate(goal, second.run, [task.spec.id], inputs=goal.integration)
        return {**second.held, "log": str(second.run.log)} if second.held else None

    def record_gate(self, goal: GoalStatus, run: GateRun, tasks: Sequence[str], **more: Any) -> None:
        data = {**run.document(tasks), **more, "log": str(run.log)}
        self.services.record([NewFact(goal.id, Kind.GATE_RUN, data)])

    async def _conflict(self, goal: GoalStatus, task: TaskStatus, paths: Sequence[str]) -> None:
        """Once: do the task again on the new base.  A second time: a person has to look."""
        others = await self.services.git(self._conflicting, goal, task, paths)
        data: dict[str, Any] = {"with": others, "paths": list(paths)}
        if task.redone:
            fact = _about(goal, task, Kind.CONFLICT, **data, resolution="person")
        else:
            beside = f" with {', '.join(others)}" if others else ""
            why = f"conflict in {', '.join(paths)}{beside}: done again on the new base"
            fact = _about(
                goal,
                task,
                Kind.RETRY_SCHEDULED,
                not_before=self.services.now(),
                why=why,
                redo=True,
                conflict={**data, "resolution": "redo"},
            )
        self.services.record([fact])

    def _conflicting(self, goal: GoalStatus, task: TaskStatus, paths: Sequence[str]) -> list[str]:
        base = task.attempts[-1].base
        landed = [
            (other.spec.id, other.paths)
            for landing in goal.landings
            for other in (goal.tasks[name] for name in landing["tasks"])
        ]
        contained = {
            name: self.services.repo.is_ancestor(goal.tasks[name].landed_commit, base) for name, _ in landed
        }
        return queue.conflicting_with(paths, landed, contained)

    def _merge_commit(self, goal: GoalStatus, task: TaskStatus, tree: str) -> str:
        """--no-ff, first parent integration, dated as its newest parent: equal merges are equal objects."""
        repo = self.services.repo
        trailers = {"Mo-Goal": goal.id, "Mo-Task": task.spec.id, "Mo-Attempt": str(task.attempt)}
        message = provenance.message(f"Land {task.spec.id}: {task.spec.title or task.spec.id}", "", trailers)
        when = repo.newest_time(goal.integration, task.commit)
        return repo.commit_tree(
            tree, [goal.integration, task.commit], message, when=when, author=author(self.services.settings)
        )

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


def _about(goal: GoalStatus, task: TaskStatus, kind: Kind, **data: Any) -> NewFact:
    return NewFact(goal.id, kind, data, task.spec.id, task.attempt)


def _dropped_gates(goal: GoalStatus, why: str) -> list[NewFact]:
    return [
        _about(goal, task, Kind.GATE_DROPPED, why=why)
        for task in goal.tasks.values()
        if task.state == "gating"
    ]


def evidence(run: GateRun) -> dict[str, Any]:
    """Why a red gate put a candidate out: failing ids and the end of the log."""
    ids = list(run.failed_ids)
    if ids and not any(is_metric(one) for one in ids):
        more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
        why = "gate red: " + ", ".join(ids[:3]) + more
    else:
        why = f"gate red: {run.reason}"
    return {
        "why": why,
        "evidence": {"commit": run.commit, "failed_ids": ids, "log": str(run.log), "log_tail": tail(run.log)},
    }
