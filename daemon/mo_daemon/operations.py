"""What a person asks of a goal's branch: land it on its target, catch up with the target, take work back.

The target branch only ever moves by fast-forward to a gated commit: in the worktree that holds it (git's
own `merge --ff-only`, so uncommitted work in the way refuses), else by compare-and-swap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mo_daemon import names
from mo_daemon.landing import Lander, evidence
from mo_daemon.services import Services
from mo_daemon.simple import bench
from mo_daemon.stepping_in import step_in
from mo_daemon.testids import Tests
from mo_git import dag
from mo_git.errors import Exit, MoError
from mo_git.git import provenance, refs, worktrees
from mo_git.git.fast_forward import FastForward, Refusal
from mo_git.git.merge import Merge
from mo_git.goal_status import STEPPING_IN, GoalStatus, Operation
from mo_git.ledger.writer import LedgerFull
from mo_git.model import Kind, NewFact, TaskState
from mo_git.simple.item import ItemState

_TAKEN_BACK = {"why": "taken back by a person", "evidence": {}, "taken_back": True}
RACES = 5  # times that the target may move under a landing before it gives up


@dataclass(frozen=True, slots=True)
class Operator:
    """Carries out land, sync and rollback, take and give.  A MoError is a refusal: nothing moved."""

    services: Services
    lander: Lander

    async def operate(self, goal: GoalStatus, operation: Operation) -> dict[str, Any]:
        """Perform, record the end, return the outcome document for whoever asked."""
        arguments = operation.arguments
        if operation.name in STEPPING_IN:
            return await step_in(self.services, goal, operation)
        try:
            match operation.name:
                case "land":
                    result = await self.land(goal, arguments.get("onto", ""))
                case "sync":
                    result = await self.sync(goal, goal.spec.target)
                case _:
                    result = await self.rollback(goal, operation)
        except LedgerFull:
            raise  # it stays requested, and is carried out when there is room
        except MoError as error:
            code = error.code.name.lower()
            result = {"ok": False, "code": code, "message": error.message, "hint": error.hint}
        if goal.operations[operation.request].result is None:
            self.services.record([_ended(goal, operation, result)])
        return result

    # -- land -----------------------------------------------------------------------------------------

    async def land(self, goal: GoalStatus, onto: str) -> dict[str, Any]:
        target = onto or goal.spec.target
        if not target:
            raise MoError(
                f"{goal.id} was made on a detached HEAD and has no target branch",
                f"mo land {goal.id} --onto BRANCH",
                Exit.USAGE,
            )
        if not goal.landings:
            raise MoError(f"nothing of {goal.id} has landed yet", f"mo status {goal.id}")
        await self.services.git(self.lander.check_head, goal)
        for _ in range(RACES):
            tip = await self.services.git(self._tip, target)
            if await self.services.git(self.services.repo.is_ancestor, goal.integration, tip):
                return self._landed(goal, target, tip, tip)
            if not await self.services.git(self.services.repo.is_ancestor, tip, goal.integration):
                await self.sync(goal, target)
            elif await self.services.git(self._forward, target, tip, goal.integration):
                return self._landed(goal, target, tip, goal.integration)
        raise MoError(f"{target} kept moving while {goal.id} was being landed", f"mo land {goal.id}")

    def _tip(self, target: str) -> str:
        tip = refs.read(self.services.repo, names.head(target))
        if tip is None:
            raise MoError(f"there is no branch {target}", "mo land GOAL --onto BRANCH", Exit.NOT_FOUND)
        return tip

    def _forward(self, target: str, tip: str, commit: str) -> bool:
        """Fast-forward; False where the branch moved meanwhile."""
        holder = worktrees.holder(self.services.repo, target)
        if holder is None:
            return refs.swap(self.services.repo, names.head(target), commit, tip, "mo: land")
        result = worktrees.fast_forward(holder, commit)
        if result.moved:
            return True
        if result.refusal is Refusal.NOT_FAST_FORWARD:
            return False
        raise _in_the_way(target, holder, result)

    def _landed(self, goal: GoalStatus, target: str, before: str, after: str) -> dict[str, Any]:
        missing = [task.spec.id for task in goal.tasks.values() if not task.satisfied]
        landed = sum(task.state is TaskState.LANDED for task in goal.tasks.values())
        share = f"{landed} of {len(goal.tasks)} tasks"
        if goal.items is not None:
            landed, total = goal.items.get(ItemState.LANDED, 0), sum(goal.items.values())
            share = f"{landed} of {total} items"
        moved = (
            f"{target}: {before[:10]}..{after[:10]}"
            if before != after
            else f"{target} contains {goal.id} already"
        )
        details = [f"not in it: {', '.join(missing)}"] if missing else []
        return {
            "ok": True,
            "message": f"{moved} ({share})",
            "details": details,
            "target": target,
            "commit": after,
            "missing": missing,
        }

    # -- sync -----------------------------------------------------------------------------------------

    async def sync(self, goal: GoalStatus, target: str) -> dict[str, Any]:
        """Merge the target's tip into integration, as a gated landing."""
        services = self.services
        await services.git(self.lander.check_head, goal)
        tip = await services.git(self._tip, target)
        if await services.git(services.repo.is_ancestor, tip, goal.integration):
            return {"ok": True, "message": f"{goal.id} contains {target} ({tip[:10]}) already"}
        merge = await services.git(services.merger.merge, goal.integration, tip)
        trouble = "change the same lines" if merge.conflicts else "cannot be merged"
        tree = _tree_or_refuse(
            merge, f"{target} and {goal.id} {trouble}", _by_hand(goal, target, self._prefix)
        )
        message = provenance.message(f"Merge {target} into {goal.id}", "", {"Mo-Goal": goal.id})
        commit = await services.git(self._commit, tree, [goal.integration, tip], message)
        touched = await services.git(services.repo.changed_paths, goal.integration, commit)
        baseline = await self.lander.gatekeeper.baseline(goal, goal.integration)
        expected = _without_touched(baseline, touched)
        await self._gate_and_advance(
            goal, commit, expected, "sync", [], [], f"{target} merged into {goal.id}"
        )
        return {"ok": True, "message": f"{goal.id} now contains {target} ({tip[:10]}), gate green"}

    @property
    def _prefix(self) -> str:
        return self.services.settings.git.branch_prefix

    def _commit(self, tree: str, parents: Sequence[str], message: str) -> str:
        when = self.services.repo.newest_time(*parents)
        return self.services.repo.commit_tree(
            tree, list(parents), message, when=when, author=self.services.author
        )

    async def _gate_and_advance(
        self,
        goal: GoalStatus,
        commit: str,
        baseline: Tests | None,
        purpose: str,
        tasks: Sequence[str],
        facts: Sequence[NewFact],
        what: str,
    ) -> None:
        touched = frozenset(
            await self.services.git(self.services.repo.changed_paths, goal.integration, commit)
        )
        run = await self.lander.gatekeeper.judge(goal, commit, baseline, touched=touched)
        self.lander.record_gate(goal, run, tasks)
        if run.result != "green":
            raise MoError(f"{what}: {evidence(run)['why']}", f"log: {run.log}", Exit.GATE)
        before = len(goal.landings)
        await self.lander.advance(goal, commit, run.tree, [], purpose, facts)
        if len(goal.landings) == before:
            raise MoError(f"the integration branch of {goal.id} moved meanwhile", f"mo recover {goal.id}")

    # -- rollback -------------------------------------------------------------------------------------

    async def rollback(self, goal: GoalStatus, operation: Operation) -> dict[str, Any]:
        """Take tasks back on top of integration, gated; integration never moves backwards.

        Its end is recorded with the landing: done a second time, it would be refused.
        """
        services, arguments = self.services, operation.arguments
        await services.git(self.lander.check_head, goal)
        if arguments.get("item"):
            return await self._take_back_item(goal, operation, arguments["item"])
        if arguments.get("task"):
            tasks = self._with_dependents(goal, arguments["task"], bool(arguments.get("with_dependents")))
            title = f"Take back {', '.join(tasks)}"
        else:
            tasks = await services.git(self._landed_after, goal, arguments.get("to", ""))
            title = f"Go back to {arguments['to'][:12]}"
        tree = await services.git(self._reverted, goal, tasks)
        message = provenance.message(title, "", {"Mo-Goal": goal.id})
        commit = await services.git(self._commit, tree, [goal.integration], message)
        baseline = await self._expected_without(goal, tasks)
        result = {"ok": True, "message": f"took back {', '.join(tasks)}; gate green", "commit": commit}
        facts = [NewFact(goal.id, Kind.EJECTED, _TAKEN_BACK, task) for task in tasks]
        facts.append(_ended(goal, operation, result))
        await self._gate_and_advance(goal, commit, baseline, "rollback", tasks, facts, title)
        return result

    async def _take_back_item(self, goal: GoalStatus, operation: Operation, name: str) -> dict[str, Any]:
        """Take one landed item of a job back, on top, gated."""
        services, rows = self.services, self.services.ledger.items
        row = rows.find(goal.id, name)
        if row is None:
            raise MoError(f"{goal.id} has no item {name}", f"mo simple show {goal.id}", Exit.NOT_FOUND)
        if row.state is not ItemState.LANDED:
            raise MoError(f"item {name} has not landed: it is {row.state}", f"mo simple show {goal.id}")
        merge = await services.git(services.merger.revert_tree, goal.integration, row.landed)
        hint = "take back the later items with the same target first"
        tree = _tree_or_refuse(merge, f"{name} cannot be taken back alone", hint)
        title = f"Take back item {name}"
        message = provenance.message(title, "", {"Mo-Goal": goal.id})
        commit = await services.git(self._commit, tree, [goal.integration], message)
        gatekeeper = self.lander.gatekeeper
        baseline = await gatekeeper.baseline(goal, goal.integration)
        before = await gatekeeper.baseline(goal, services.repo.parents(row.landed)[0])
        result = {"ok": True, "message": f"took back item {name}; gate green", "commit": commit}
        facts = [_ended(goal, operation, result)]
        expected = _known_before(baseline, before)
        await self._gate_and_advance(goal, commit, expected, "rollback", [], facts, title)
        if rows.put(goal.id, row.n, ItemState.LANDED, ItemState.CANCELLED, reason="taken back by a person"):
            bench.count(goal, ItemState.LANDED, ItemState.CANCELLED)
        return result

    async def restore(self, goal: GoalStatus, good: str, why: str, score: Mapping[str, Any]) -> None:
        """Put exactly the tree of a good commit on top, gated; what landed after it is ejected with `why`.

        `score` is the data of the GOAL_SCORED fact that comes with it; its commit is the new one.
        """
        services = self.services
        await services.git(self.lander.check_head, goal)
        tasks = await services.git(self._landed_after, goal, good)
        tree = await services.git(services.repo.tree_of, good)
        title = f"Go back to {good[:12]}"
        message = provenance.message(title, why, {"Mo-Goal": goal.id})
        commit = await services.git(self._commit, tree, [goal.integration], message)
        baseline = await self.lander.gatekeeper.baseline(goal, good)
        taken = {"why": why, "evidence": {"commit": goal.integration, "metrics": dict(score["metrics"])}}
        facts = [NewFact(goal.id, Kind.EJECTED, taken, task) for task in tasks]
        facts.append(NewFact(goal.id, Kind.GOAL_SCORED, {**score, "commit": commit}))
        await self._gate_and_advance(goal, commit, baseline, "deterioration", tasks, facts, title)

    def _with_dependents(self, goal: GoalStatus, task_id: str, allowed: bool) -> list[str]:
        """Landed tasks to take back, newest landing first."""
        task = goal.tasks.get(task_id)
        if task is None:
            raise MoError(f"{goal.id} has no task {task_id}", f"mo show {goal.id}", Exit.NOT_FOUND)
        if task.state is not TaskState.LANDED:
            raise MoError(f"{goal.id}/{task_id} has not landed: it is {task.state}", f"mo status {goal.id}")
        dependents = dag.dependents(goal.plan.tasks)[task_id]
        landed = [name for name in self._in_landing_order(goal) if name in dependents]
        if landed and not allowed:
            raise MoError(
                f"landed tasks depend on {task_id}: {', '.join(landed)}",
                f"mo rollback {goal.id}/{task_id} --with-dependents takes them back too",
            )
        return [*reversed(landed), task_id]

    def _in_landing_order(self, goal: GoalStatus) -> list[str]:
        """Tasks that are in integration now, oldest landing first."""
        return [name for name, _ in self._landed_with(goal)]

    def _landed_with(self, goal: GoalStatus) -> list[tuple[str, str]]:
        """(task, commit of its last landing) for what is in integration now, oldest first."""
        last = {name: at for at, landing in enumerate(goal.landings) for name in landing["tasks"]}
        return [
            (name, landing["commit"])
            for at, landing in enumerate(goal.landings)
            for name in landing["tasks"]
            if last[name] == at and goal.tasks[name].state is TaskState.LANDED
        ]

    def _landed_after(self, goal: GoalStatus, commit: str) -> list[str]:
        good = [goal.base, *(landing["commit"] for landing in goal.landings)]
        if commit not in good:
            raise MoError(
                f"{commit[:12] or 'no commit'} is not a good commit of {goal.id}",
                f"git log --first-parent mo/{goal.id}/integration; each of those passed the gate",
                Exit.NOT_FOUND,
            )
        later = set(good[good.index(commit) + 1 :])
        tasks = [name for name, landing in reversed(self._landed_with(goal)) if landing in later]
        if not tasks:
            raise MoError(f"no task landed after {commit[:12]}", f"mo show {goal.id}")
        return tasks

    def _reverted(self, goal: GoalStatus, tasks: Sequence[str]) -> str:
        """The tree of integration without these tasks' landings; what was merged from the target stays."""
        repo, head = self.services.repo, goal.integration
        tree = repo.tree_of(head)
        for name in tasks:
            merge = self.services.merger.revert_tree(head, goal.tasks[name].landed_commit)
            hint = f"take back what landed on top of it first, or mo rollback {goal.id} --to COMMIT"
            tree = _tree_or_refuse(merge, f"{name} cannot be taken back alone", hint)
            head = repo.commit_tree(tree, [head], "step of a rollback", when=repo.newest_time(head))
        return tree

    async def _expected_without(self, goal: GoalStatus, tasks: Sequence[str]) -> Tests | None:
        """Outcomes of the head, without the tests that the tasks brought."""
        gatekeeper = self.lander.gatekeeper
        head = await gatekeeper.baseline(goal, goal.integration)
        oldest = goal.tasks[tasks[-1]].landed_commit
        before = await gatekeeper.baseline(goal, self.services.repo.parents(oldest)[0])
        return _known_before(head, before)


def _known_before(head: Tests | None, before: Tests | None) -> Tests | None:
    """Outcomes of the head, of those tests that were there before, too."""
    if head is None or before is None:
        return head
    return Tests({name: outcome for name, outcome in head.outcomes.items() if name in before.outcomes})


def _ended(goal: GoalStatus, operation: Operation, result: Mapping[str, Any]) -> NewFact:
    data = {"request": operation.request, "operation": operation.name, **result}
    return NewFact(goal.id, Kind.OPERATION_ENDED, data)


def _tree_or_refuse(merge: Merge, what: str, hint: str) -> str:
    if merge.tree is None:
        raise MoError(f"{what}: {', '.join(merge.conflicts or merge.messages)}", hint, Exit.PERSON)
    return merge.tree


def _by_hand(goal: GoalStatus, target: str, prefix: str) -> str:
    branch = names.integration_branch(prefix, goal.id)
    return f"merge by hand: git switch {target} && git merge {branch}"


def _in_the_way(target: str, holder: Path, result: FastForward) -> MoError:
    """A refusal that names what is in the way, and what to do about it."""
    listed = ", ".join(result.paths[:5]) + (
        f" and {len(result.paths) - 5} more" if len(result.paths) > 5 else ""
    )
    match result.refusal:
        case Refusal.DIRTY:
            return MoError(
                f"{target} cannot move: uncommitted changes in {holder} are in the way: {listed}",
                "commit or stash them, then mo land again; nothing was changed",
            )
        case Refusal.UNTRACKED:
            return MoError(
                f"{target} cannot move: untracked files in {holder} are in the way: {listed}",
                "add or move them away, then mo land again; nothing was changed",
            )
        case Refusal.OPERATION:
            ways = "reset" if result.detail == "bisect" else "--continue or --abort"
            return MoError(
                f"{target} cannot move: a {result.detail} is in progress in {holder}",
                f"finish it (git {result.detail} {ways}), then mo land again",
            )
        case Refusal.LOCKED:
            return MoError(
                f"{target} cannot move: another git command is at work in {holder}",
                f"mo land again when it has ended; if none runs: rm {listed}",
            )
        case _:
            return MoError(f"{target} cannot move in {holder}: {result.detail}", "see what git says above")


def _without_touched(baseline: Tests | None, touched: Sequence[str]) -> Tests | None:
    """A person may delete or rename tests on the target: ids of files that it touches may go missing."""
    if baseline is None:
        return None
    stems = {PurePosixPath(path).stem for path in touched}
    return Tests(
        {
            name: outcome
            for name, outcome in baseline.outcomes.items()
            if not stems.intersection(name.replace("::", "/").replace(".", "/").split("/"))
        }
    )
