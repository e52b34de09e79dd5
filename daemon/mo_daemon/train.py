"""A goal's train: candidates are merged in memory, gated together, and land, leave, or wait for a person.

`queue.step` says what to do, purely, from what the gate said so far; this carries it out.  New candidates get
on while the train runs.  The evidence is kept in memory only: after a restart the verdicts that were
remembered are asked for again, and cost nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mo_daemon import names, queue, riders, setbacks
from mo_daemon.chain import Chain
from mo_daemon.forecast import counts
from mo_daemon.gate import GREEN, RED, UNKNOWN, GateRun
from mo_daemon.gate_run import FULL
from mo_daemon.landing import Lander, evidence
from mo_daemon.metrics import is_metric
from mo_daemon.queue import Blame, Candidate, Probe, Seen
from mo_daemon.setbacks import about
from mo_daemon.testids import PASSED, Regression
from mo_daemon.verdicts import listed
from mo_git.flakes import flakes
from mo_git.git import refs
from mo_git.git.merge import Merge
from mo_git.goal_status import IN_QUEUE, GoalStatus, TaskStatus
from mo_git.model import GoalState, Kind

LOOK_SECONDS = 1.0  # how often a train with a free gate looks for new candidates
NOT_BY_CHANCE = 1e-5  # how often a test vanishes, or a metric falls, by itself
CONFLICT = "conflict"  # a verdict: these members do not merge


async def run_train(lander: Lander, goal: GoalStatus) -> None:
    """Land what can land; ends when nothing is left that could, or when something else has to come first."""
    await lander.services.git(lander.check_head, goal)
    await lander.gatekeeper.baseline(goal, goal.integration)  # who comes while it runs rides along
    train = _Train(lander, goal)
    try:
        while await train.advance():
            pass
    except asyncio.CancelledError:
        train.why = "stopped"
        raise
    finally:
        await train.end()


@dataclass
class _Train:
    """`order` is what rides, in landing order; `seen` and `running` are about the present head."""

    lander: Lander
    goal: GoalStatus
    why: str = "another train takes it"
    order: list[Candidate] = field(default_factory=list)
    aboard: dict[str, str] = field(default_factory=dict)  # member -> the commit that it got on with
    seen: list[Seen] = field(default_factory=list)
    running: dict[asyncio.Task[GateRun], Probe] = field(default_factory=dict)
    runs: dict[Probe, GateRun] = field(default_factory=dict)
    selects: bool = True  # whether the gate can run some tests only; seen when it could not

    def __post_init__(self) -> None:
        self.services = self.lander.services
        self.chain = Chain(self.services, self.goal)

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(one.task for one in self.order)

    # -- one round ------------------------------------------------------------------------------------

    async def advance(self) -> bool:
        """One look and what follows from it; False when the train has nothing more to do."""
        await self._leave(self._gone())
        if not self._makes_way():
            await self._board()
        if not self.order:
            return False
        slots = 0 if self._makes_way() else self.services.settings.gate.parallel
        running = list(self.running.values())
        step = queue.step(self.order, self.seen, running, max(1, slots), self.selects, await self._rates())
        await self._cancel(step.cancel.__contains__)
        if step.land:
            return await self._land(step.land)
        if step.eject or step.hold:
            for blame in step.eject:
                await self._eject(blame)
            for name in step.hold:
                self._hold(name)
            await self._leave([*(blame.task for blame in step.eject), *step.hold])
            return True
        started = [await self._start(probe) for probe in step.probes[: max(0, slots - len(self.running))]]
        if not self.running:
            return any(started)
        await self._wait(slots)
        return True

    def _makes_way(self) -> bool:
        """A person wants something of the goal: what runs is looked at, and nothing more is started."""
        goal = self.goal
        halted = goal.blocked is not None and goal.blocked[0] is GoalState.HALTED
        return goal.paused or halted or bool(goal.cancelling or goal.pending_operations())

    def _gone(self) -> list[str]:
        """Members that left the queue by themselves: skipped, cancelled, done again."""
        tasks = self.goal.tasks
        return [
            name
            for name in self.members
            if tasks[name].state not in IN_QUEUE or tasks[name].commit != self.aboard[name]
        ]

    # -- who rides ------------------------------------------------------------------------------------

    async def _board(self) -> None:
        """Candidates that came since then get on, behind those that ride."""
        risks = riders.learnt_risks(self.services.goals)
        steering = await self.lander.steering(self.goal)
        waiting = riders.riders(self.goal, risks, steering, counts(self.services.coming))
        by_name = {one.task: one for one in waiting}
        self.order = [by_name.get(one.task, one) for one in self.order]  # what is learnt changes the risks
        if by_name.keys() == self.aboard.keys():
            return
        lined_up = queue.line_up(waiting, self.services.settings.converge.window)
        if not self.seen and not self.running:  # nothing is known yet: the best order is free
            self.order, self.aboard = [], {}
        for name in lined_up:
            one = by_name[name]
            if self.order and (queue.rides_alone(one) or queue.rides_alone(self.order[0])):
                break
            if name not in self.aboard and one.needs <= self.aboard.keys() and await self._gets_on(name):
                self.order.append(one)
                self.aboard[name] = self.goal.tasks[name].commit

    async def _gets_on(self, name: str) -> bool:
        """Whether a candidate merges behind the others; where it does not even alone, it is mended."""
        task = self.goal.tasks[name]
        if riders.is_stale(self.goal, task) and not await self._rebase(task):
            return False
        made = await self._commit((*self.members, name))
        if not isinstance(made, Merge):
            return True
        alone = await self._commit((name,))
        if isinstance(alone, Merge):
            await self.lander.conflict(self.goal, task, alone)
        return False  # else it waits until those that it conflicts with have landed, or left

    async def _rebase(self, task: TaskStatus) -> bool:
        """The same work on the present head: what it was built on landed in another form."""
        goal, services = self.goal, self.services
        merge = await services.git(
            services.merger.replay, goal.integration, task.commit, task.attempts[-1].base
        )
        if merge.tree is None:
            services.record(setbacks.done_again(services, goal, task, merge))
            return False
        commit = await services.git(self._moved, task, merge.tree)
        data = {"commit": commit, "tree": merge.tree, "base": goal.integration}
        services.record([about(goal, task, Kind.REBASED, **data)])
        return True

    def _moved(self, task: TaskStatus, tree: str) -> str:
        """The commit of a task on another base, on its branch; the earlier one is kept by a ref."""
        services, repo, goal = self.services, self.services.repo, self.goal
        message = repo.commit(task.commit).message
        when = repo.newest_time(goal.integration, task.commit)
        commit = repo.commit_tree(tree, [goal.integration], message, when=when, author=services.author)
        refs.keep(repo, goal.id, task.spec.id, task.attempt, task.commit)
        branch = names.task_branch(services.settings.git.branch_prefix, goal.id, task.spec.id)
        refs.swap(repo, names.head(branch), commit, task.commit, f"mo: {task.spec.id} on another base")
        return commit

    async def _leave(self, gone: Sequence[str]) -> None:
        """Take members out, with those that need them; what is known without them stays."""
        out = set(gone)
        for one in self.order:  # in landing order, so what a member needs is decided before it
            if one.needs & out:
                out.add(one.task)
        if not out:
            return
        await self._cancel(lambda probe: bool(out.intersection(probe.members)))
        self._get_off(out)
        self.seen = queue.without(self.seen, tuple(out))
        self.runs = {probe: run for probe, run in self.runs.items() if not out.intersection(probe.members)}
        self._drop(out, "what it was built on left the queue")

    def _get_off(self, which: Collection[str]) -> None:
        self.order = [one for one in self.order if one.task not in which]
        self.aboard = {name: commit for name, commit in self.aboard.items() if name not in which}

    def _drop(self, which: Collection[str], why: str) -> None:
        tasks = [self.goal.tasks[name] for name in which]
        self.services.record(
            [about(self.goal, task, Kind.GATE_DROPPED, why=why) for task in tasks if task.state == "gating"]
        )

    # -- asking the gate ------------------------------------------------------------------------------

    async def _commit(self, members: tuple[str, ...]) -> str | Merge:
        return await self.services.git(self.chain.commit, members)

    async def _start(self, probe: Probe) -> bool:
        """Begin a gate run; or note that these members do not merge."""
        made = await self._commit(probe.members)
        if isinstance(made, Merge):
            self.seen.append(Seen(probe, CONFLICT))
            return True
        head = self.goal.integration
        waiting = [self.goal.tasks[name] for name in probe.members]
        self.services.record(
            [
                about(self.goal, task, Kind.GATE_STARTED, commit=made, head=head)
                for task in waiting
                if task.state == "candidate"
            ]
        )
        run = asyncio.get_running_loop().create_task(self._ask(probe, made))
        self.running[run] = probe
        return True

    async def _ask(self, probe: Probe, commit: str) -> GateRun:
        whole = any(one.probe.members == probe.members for one in self.seen if one.probe.ids is None)
        again = probe.again > 0 or (
            whole and probe.ids is not None
        )  # what is known already is no new evidence
        return await self.lander.judge(self.goal, commit, probe.members, probe.ids, fresh=again)

    async def _wait(self, slots: int) -> None:
        """Until a run has ended; with a gate free, until there may be new candidates."""
        patience = LOOK_SECONDS if len(self.running) < slots else None
        done, _ = await asyncio.wait(self.running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        ended = {task: self.running.pop(task) for task in done}
        await asyncio.gather(*done)  # what one raises is raised here
        for task, probe in ended.items():
            run = task.result()
            self.lander.record_gate(self.goal, run, probe.members)
            if probe.ids is not None and run.kind == FULL:  # the runner can't select: all tests ran
                self.selects = False
                full = [one.probe for one in self.seen if one.probe.ids is None]
                probe = Probe(probe.members, None, sum(one.members == probe.members for one in full))
            self.runs[probe] = run
            self.seen.append(Seen(probe, run.result, frozenset(run.failed_ids)))

    async def _rates(self) -> dict[str, float]:
        """How often the tests that are looked into fail by themselves, as far as is known."""
        failed = frozenset[str]().union(*(one.bad for one in self.seen))
        if not failed:
            return {}
        baseline = await self.lander.gatekeeper.baseline(self.goal, self.goal.integration)
        known = {flake.test: flake.rate for flake in flakes(self.services.ledger.flakes_seen())}
        rate = riders.rate_of_steady(self.services.goals)
        rates = {test: rate for test in failed if baseline and baseline.outcomes.get(test) == PASSED}
        worse = [run.regression for run in self.runs.values() if run.regression]
        gone = {test for one in worse for test in (*one.missing, *one.newly_skipped)}
        rates |= dict.fromkeys(gone | {test for test in failed if is_metric(test)}, NOT_BY_CHANCE)
        return {**rates, **{test: known[test] for test in failed & known.keys()}}

    async def _cancel(self, decided: Callable[[Probe], bool]) -> None:
        """End runs whose answer is not needed any more."""
        ending = [task for task, probe in self.running.items() if decided(probe)]
        for task in ending:
            del self.running[task]
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    # -- what follows ---------------------------------------------------------------------------------

    async def _land(self, members: tuple[str, ...]) -> bool:
        """Move integration over these members; False where somebody else moved it."""
        goal, facts = self.goal, []
        for count, name in enumerate(members, 1):
            commit = await self._commit(members[:count])
            assert isinstance(commit, str)
            of = await self.services.git(self.services.repo.tree_of, commit)
            facts.append(about(goal, goal.tasks[name], Kind.LANDED, commit=commit, tree=of))
        solo = self.order[0].solo and len(members) == 1
        if solo and (
            held := await self.lander.weakened(goal, goal.tasks[members[0]], facts[0].data["commit"])
        ):
            self.services.record([about(goal, goal.tasks[members[0]], Kind.HELD, **held)])
        if self._gone():
            return True
        self._note_flakes(members)
        head, tree = facts[-1].data["commit"], facts[-1].data["tree"]
        await self.lander.advance(goal, head, tree, members, "task", facts)
        if goal.integration != head:
            return False
        await self._cancel(lambda probe: queue.stripped(probe, members) is None)
        self._get_off(members)
        self.seen = queue.after_landing(self.seen, members)
        running = {run: queue.stripped(probe, members) for run, probe in self.running.items()}
        self.running = {run: probe for run, probe in running.items() if probe}
        runs = [(queue.stripped(probe, members), run) for probe, run in self.runs.items()]
        self.runs = {probe: run for probe, run in runs if probe}
        self.chain.landed(members, head)
        return True

    def _note_flakes(self, members: tuple[str, ...]) -> None:
        """Where each full run failed by other tests: what the verdict is that they give together."""
        runs = [run for probe, run in self.runs.items() if probe.members == members and probe.ids is None]
        if any(run.result == GREEN for run in runs):
            return
        failed = sorted({one for run in runs for one in run.failed_ids})
        reason = f"no test failed in all of {len(runs)} runs; flaky: {listed(failed)}"
        both = replace(runs[0], result=GREEN, regression=Regression(), reason=reason, flaky=tuple(failed))
        self.lander.record_gate(self.goal, both, members)

    async def _eject(self, blame: Blame) -> None:
        run = self._witness(blame)
        if run.regression and blame.ids:
            run = replace(run, regression=run.regression.among(blame.ids))
        found = _blamed(evidence(run), blame)
        await self.lander.red(self.goal, self.goal.tasks[blame.task], run, found)

    def _witness(self, blame: Blame) -> GateRun:
        """The run that shows best what a member is blamed for: of that set, of these tests, the latest."""

        def shows(probe: Probe, run: GateRun) -> tuple[bool, int]:
            return probe.members == blame.probe.members, len(blame.ids.intersection(run.failed_ids))

        red = [
            (probe, run)
            for probe, run in self.runs.items()
            if run.result == RED and blame.task in probe.members
        ]
        return max(reversed(red), key=lambda one: shows(*one))[1]

    def _hold(self, name: str) -> None:
        silent = [(probe, run) for probe, run in self.runs.items() if run.result == UNKNOWN]
        about_it = [(len(probe.members), run) for probe, run in silent if name in probe.members]
        run = min(about_it, key=lambda one: one[0])[1]  # the smaller the set, the surer it is about this one
        reason = f"the gate gives no verdict: {run.reason}"
        task = self.goal.tasks[name]
        self.services.record([about(self.goal, task, Kind.HELD, reason=reason, log=str(run.log))])

    async def end(self) -> None:
        """End what runs; whoever still rides waits for the next train."""
        await self._cancel(lambda _: True)
        if self.goal.intent is None:
            self._drop(self.members, self.why)


def _blamed(found: Mapping[str, Any], blame: Blame) -> dict[str, Any]:
    """Evidence with the ids that speak against this member, and the partner that it fails with."""
    why, details = found["why"], dict(found["evidence"])
    if blame.ids:
        details["failed_ids"] = sorted(blame.ids)
        if not any(is_metric(one) for one in blame.ids):  # of a metric the run says from what to what
            why = "gate red: " + listed(details["failed_ids"])
    if blame.partner:
        details["partner"] = blame.partner
        why += f" (only together with {blame.partner})"
    return {"why": why, "evidence": details}
