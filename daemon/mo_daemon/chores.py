"""Longer jobs that belong to no goal's queue: proofs of gate and agents, repairs, tidying up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mo_daemon import agent_proof, harvest, names
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.services import Services
from mo_daemon.worktrees import Slot
from mo_git.errors import Exit, MoError
from mo_git.git import refs, worktrees
from mo_git.git.files import delete_tree
from mo_git.goal_status import GoalStatus
from mo_git.lifecycle import has_ended, new_goal, replay
from mo_git.model import GoalSpec, Plan

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Chores:
    services: Services
    gatekeeper: Gatekeeper

    async def run(self, verb: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to the request; a MoError is a refusal."""
        match verb:
            case "prove":
                return await self.prove(payload)
            case "recover":
                return await self.recover(payload.get("goal") or "")
            case "agents":
                name = str(payload.get("test") or "")
                if not name:
                    return await agent_proof.listing(self.services)
                return await agent_proof.prove(self.services, name, float(payload.get("seconds") or 120))
            case "flakes":
                return self.forget_flake(str(payload.get("forget") or ""))
            case _:
                return await self.gc(payload)

    async def prove(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Detect and prove the gate on HEAD, before there is a goal (`mo init`)."""
        services = self.services
        head = str(services.repo.pygit.revparse_single("HEAD").id)
        client = payload.get("client") or {}
        given = {"PATH": client.get("path") or "", "VIRTUAL_ENV": client.get("virtual_env") or ""}
        spec = GoalSpec(
            "init",
            "init",
            Plan("init", ()),
            services.now(),
            head,
            gate=payload.get("gate") or None,
            environment={key: value for key, value in given.items() if value},
        )
        goal = new_goal(spec)
        goal.base = head
        command = await self.gatekeeper.command(goal)
        proof = await self.gatekeeper.prove(goal)
        message = "the gate is proved"
        if proof["weak"] and proof.get("red"):
            message = "the gate fails on the base and names no tests: only what makes it pass can land"
        return {"ok": True, "message": message, "gate": command.command, "proof": proof}

    def forget_flake(self, test: str) -> dict[str, Any]:
        """Let a test count as any other again: mended, or never flaky."""
        if not self.services.ledger.forget_flake(test):
            raise MoError(f"no flake is known as {test}", "mo flakes lists the ids", Exit.NOT_FOUND)
        return {"ok": True, "message": f"forgotten: {test}"}

    # -- recover --------------------------------------------------------------------------------------

    async def recover(self, goal_id: str) -> dict[str, Any]:
        """Compare records with git; put integration branches back, keeping what was there."""
        details: list[str] = []
        for goal in list(self.services.goals.values()):
            if goal.started_at is not None and goal_id in ("", goal.id):
                details += await self.services.git(self._put_back, goal)
        details += await self.services.git(self._forget_lost_worktrees)
        message = f"repaired {len(details)}" if details else "records and git agree"
        return {"ok": True, "message": message, "details": details}

    def _put_back(self, goal: GoalStatus) -> list[str]:
        repo = self.services.repo
        branch = names.integration_branch(self.services.settings.git.branch_prefix, goal.id)
        tip = refs.read(repo, names.head(branch))
        if tip == goal.integration or goal.intent is not None:
            return []
        if not repo.exists(goal.integration):
            return [f"{branch}: commit {goal.integration[:12]} is not in the repository any more"]
        kept = ""
        if tip is not None:
            kept = (
                f"; {tip[:12]} is kept as {refs.keep(repo, goal.id, 'integration', len(goal.landings), tip)}"
            )
        if not refs.swap(repo, names.head(branch), goal.integration, tip, "mo: recover"):
            return [f"{branch}: moved again while it was being put back; mo recover {goal.id}"]
        return [f"{branch}: back at {goal.integration[:12]}{kept}"]

    def _forget_lost_worktrees(self) -> list[str]:
        """Administration of mo's worktrees whose directory is gone; others' are never touched."""
        gone = []
        for name, path in worktrees.listing(self.services.repo).items():
            if path.is_relative_to(self.services.state) and not path.exists():
                worktrees.remove(self.services.repo, path)
                gone.append(f"worktree {name}: its directory was gone")
        return gone

    # -- gc -------------------------------------------------------------------------------------------

    async def gc(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Remove worktrees of ended goals, and logs, keep-refs and task branches of old ended ones."""
        dry = bool(payload.get("dry_run"))
        older = self.services.now() - float(payload.get("older_than", 14)) * DAY
        wanted = payload.get("goal") or ""
        ended = [
            goal
            for goal in self._all_goals()
            if has_ended(goal)
            and (goal.id == wanted if wanted else (goal.ended_at or 0) < older)
            and not goal.pending_operations()
        ]
        if wanted and not ended:
            raise MoError(f"{wanted} has not ended", f"mo cancel {wanted} first")
        details, freed = await self.services.git(self._collect_worktrees, ended, dry)
        for goal in ended:
            lines, size = await self.services.git(self._collect, goal, dry)
            details += lines
            freed += size
        what = "would remove" if dry else "removed"
        size_mb = freed / 2**20
        return {
            "ok": True,
            "message": f"{what} {len(details)} things, {size_mb:.1f} MiB",
            "details": details,
            "bytes": freed,
        }

    def _all_goals(self) -> list[GoalStatus]:
        """Also those that ended so long ago that they are no longer in memory."""
        ledger, known = self.services.ledger, self.services.goals
        goals = [known[name] for name in ledger.goal_ids() if name in known]
        for name in ledger.goal_ids():
            spec = ledger.goal(name) if name not in known else None
            if spec is not None:
                goals.append(replay(spec, ledger.facts(name)))
        return goals

    def _collect_worktrees(self, ended: list[GoalStatus], dry: bool) -> tuple[list[str], int]:
        pool, lines, freed = self.services.pool, [], 0
        kept = [slot for goal in ended for slot in self._kept_worktrees(goal).values()]
        for slot in [*pool.unused(), *kept]:
            freed += _size(slot.path)
            lines.append(f"worktree {slot.path}")
            if not dry:
                pool.remove(slot)
        return lines, freed

    def _kept_worktrees(self, goal: GoalStatus) -> dict[str, Slot]:
        """Branch -> the worktree that was kept on it."""
        branches = [task.attempts[-1].branch for task in goal.tasks.values() if task.attempts]
        pool = self.services.pool
        kept = {branch: slot for branch in branches if (slot := pool.kept_on(branch)) is not None}
        for task in goal.tasks.values():  # what a person had when the goal ended
            if lent := pool.lent_to(f"{goal.id}/{task.spec.id}"):
                kept[str((task.lent or {}).get("branch", ""))] = lent[0]
        return kept

    def _collect(self, goal: GoalStatus, dry: bool) -> tuple[list[str], int]:
        """Logs, private directories and keep-refs of a goal, and task branches that integration contains."""
        repo, state, lines, freed = self.services.repo, self.services.state, [], 0
        for what, directory in (
            ("logs", self.services.home.path / "runs" / goal.id),
            ("homes of agents", state / "cells" / goal.id),
            ("sessions of agents", state / "agents" / goal.id),
            ("kept work", harvest.shelf(state, goal.id)),
        ):
            if directory.exists():
                freed += _size(directory)
                lines.append(f"{what} {directory}")
                if not dry:
                    delete_tree(directory)
        prefix = f"{self.services.settings.git.branch_prefix}{goal.id}/"
        kept = self._kept_worktrees(goal)  # gone by now, but for a dry run
        for name, oid in refs.listing(repo, f"refs/heads/{prefix}").items():
            branch = name.removeprefix("refs/heads/")
            if branch == f"{prefix}integration" or not repo.is_ancestor(oid, goal.integration):
                continue
            if branch in kept or worktrees.holder(repo, branch) is None:
                lines.append(f"branch {branch} (contained in integration)")
                if not dry:
                    refs.delete(repo, name, oid)
        for name, oid in refs.listing(repo, f"refs/mo/keep/{goal.id}/").items():
            lines.append(f"kept work {name} ({oid[:10]})")
            if not dry:
                refs.delete(repo, name, oid)
        return lines, freed


def _size(path: Path) -> int:
    """Bytes of the files below a directory; links are not followed."""
    return sum(entry.lstat().st_size for entry in path.rglob("*") if not entry.is_dir())
