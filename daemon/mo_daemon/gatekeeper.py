"""Who asks for a verdict gets it here: the cache, a free gate worktree, the baseline, the proof.

A verdict belongs to an exact tree, command and environment; *unknown* is never remembered.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mo_daemon import environment, flaky, gate_environment, gate_memory, names
from mo_daemon.containment import GATE_AS_YOU, GATES, SETUP_AS_YOU, Cell, Confinement
from mo_daemon.fingerprint import Fingerprints
from mo_daemon.gate import (
    GREEN,
    NONE,
    RED,
    UNKNOWN,
    GateCommand,
    GateRun,
    GateSlot,
    Provision,
    Started,
    cache_key,
)
from mo_daemon.gate_answers import Answers, Subject
from mo_daemon.gate_metrics import measured
from mo_daemon.gate_proof import Proof, prove
from mo_daemon.gate_remedy import unknown_remedy
from mo_daemon.gate_run import IDS
from mo_daemon.judging import Question, restricted
from mo_daemon.metrics import of_settings
from mo_daemon.provision import Prepared
from mo_daemon.runners import detect
from mo_daemon.services import Services, tail
from mo_daemon.testids import PASSED, Tests
from mo_git import process
from mo_git.errors import Exit, MoError
from mo_git.goal_status import GoalStatus
from mo_git.model import Command, Kind, NewFact

_LOG_END = 65536  # bytes in which a run says what was in its way


class Gatekeeper:
    """One per daemon; at most `gate.parallel` gates at once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._free: list[GateSlot] = []
        self._answers = Answers(services)
        self._made = 0
        self._detected: dict[str, str] = {}  # base commit -> command
        self._tools: dict[tuple[Command, tuple[str, ...]], Fingerprints] = {}

    # -- what to run ----------------------------------------------------------------------------------

    async def command(self, goal: GoalStatus) -> GateCommand:
        """The goal's gate: `--gate`, else `gate.command`, else what the base looks like."""
        settings = self._services.settings
        gate = settings.gate
        text: str = goal.spec.gate or gate.command
        base = goal.base or goal.spec.base
        if not text and base not in self._detected:
            self._detected[base] = await self._detect(goal)
        return GateCommand(
            text or self._detected[base],
            gate.timeout,
            junit=gate.junit,
            keep=gate.keep,
            log_bytes=int(settings.limits.log_mb * 2**20),
            select="" if goal.spec.gate else gate.select,
            metrics=of_settings(settings.metrics),
        )

    async def _detect(self, goal: GoalStatus) -> str:
        async with self._slot() as slot:
            await slot.prepare(goal.base or goal.spec.base)
            found = detect(slot.path)
        if not found:
            raise MoError(
                "no gate: nothing in this repository looks like a test suite",
                "name the command that runs your tests: mo config set gate.command 'pytest -q'; "
                "or say that there is none: mo config set gate.command none",
                Exit.GATE,
            )
        return found[0].command

    def _environment(self, goal: GoalStatus, slot: GateSlot) -> dict[str, str]:
        services = self._services
        return environment.task_environment(
            services.environment(goal),
            goal=goal.id,
            task="integration",
            attempt=0,
            worktree=slot.path,
            common_dir=services.home.common_dir,
            port_base=slot.port_base,
            passed=services.settings.workspace.env_pass,
            guard=None,
        )

    # -- slots ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[GateSlot]:
        async with self._services.gate_turns:
            slot = self._free.pop() if self._free else self._new_slot()
            try:
                yield slot
            finally:
                self._free.append(slot)

    def _new_slot(self) -> GateSlot:
        self._made += 1
        state, number = self._services.state, self._made
        path = state / "gates" / str(number)
        return GateSlot(self._services.repo, path, f"mo-{state.name}-gate-{number}", number)

    def _confinement(
        self, goal: GoalStatus, slot: GateSlot, commit: str, setup: bool = False
    ) -> Confinement | None:
        """What confines the programs of a gate's worktree; None: nothing does.

        Each run has a fresh home, so that none leaves anything to the next one there.
        """
        services = self._services
        containment = services.containment
        if not (containment.setup if setup else containment.gates):
            return None
        branch = names.integration_branch(services.settings.git.branch_prefix, goal.id)
        seen = {names.base_ref(goal.id): goal.base, names.head(branch): commit}

        def cell() -> Cell:
            return containment.cell(
                services.repo,
                f".gates/{slot.path.name}",
                slot.path,
                seen,
                None,
                goal=goal.id,
                cache=GATES,
                fresh=True,
            )

        return Confinement(f"{containment.rules} {GATES}", cell)

    def _provide(self, goal: GoalStatus, slot: GateSlot, env: Mapping[str, str], commit: str) -> Provision:
        name = "setup.log" if slot.number == 1 else f"setup-{slot.number}.log"
        log = self._services.home.gate_dir(goal.id) / name
        confinement = self._confinement(goal, slot, commit, setup=True)

        async def provide(worktree: Path) -> Prepared:
            with self._services.program(
                f"set-up of the gate of {goal.id}", contained=self._services.containment.setup
            ) as token:
                prepared = await self._services.provisioner.prepare(
                    worktree, env=env, token=token, log=log, confinement=confinement
                )
            if not prepared.ok:  # the environment's fault: says nothing about what is gated
                hint = f"correct what it says, or workspace.setup; the log is {log}"
                containment = self._services.containment
                way = containment.remedy(prepared.reason, SETUP_AS_YOU) if confinement else ""
                raise MoError(f"set-up failed: {prepared.reason}", _joined(hint, way), Exit.PERSON)
            return prepared

        return provide

    def _started(self, token: str) -> Started:
        return lambda identity: self._services.program_started(token, identity)

    # -- verdicts -------------------------------------------------------------------------------------

    async def baseline(self, goal: GoalStatus, commit: str) -> Tests | None:
        """Outcomes per test of a good commit; run again where they are no longer remembered.

        Where the settings or the environment changed since the gate was proved, it is proved again first:
        no candidate meets a gate that might notice nothing.
        """
        command = await self.command(goal)
        proved = goal.proof is not None and goal.proof["command"] == command.command
        if not (proved and await self._holds(goal, command)):
            self._services.record([NewFact(goal.id, Kind.GATE_PROVED, await self.prove(goal))])
        return (await self.judge(goal, commit, None)).tests

    async def figures(self, goal: GoalStatus, commit: str) -> Mapping[str, float]:
        """The metrics of a good commit: name -> value; measured again where they are no longer remembered."""
        if not self._services.settings.metrics:
            return {}
        return (await self.judge(goal, commit, None)).metrics

    async def judge(
        self,
        goal: GoalStatus,
        commit: str,
        baseline: Tests | None,
        ids: frozenset[str] | None = None,
        fresh: bool = False,
        touched: frozenset[str] = frozenset(),
    ) -> GateRun:
        """The verdict on a commit's exact tree, from memory or by running the gate.

        With `ids` only these tests are asked about, and only they run where the runner can select: the
        run's `kind` says so.  A run of a few tests never answers for all, a run of all does for a few.
        `fresh`: never from memory.  `touched` are paths that differ from the last good commit: no test in
        one of them is excused by quarantine.  Cancelling ends the gate's processes.
        """
        services = self._services
        command = await self.command(goal)
        tree, key = await services.git(self._tree_and_key, goal, command, commit)
        if command.command == NONE:
            return gate_memory.no_gate(commit, tree)
        quarantined = flaky.quarantined(services, touched) if baseline is not None else frozenset()
        question = Question(baseline, ids or None, quarantined, fresh)
        subject = Subject(commit, key, command.select, commit == goal.integration)
        async with self._answers.asking(subject, question):
            known = self._answers.known(subject, question)
            if known and (question.ids is not None or measured(known, command.metrics)):
                return known
            async with self._slot() as slot:
                run = await self._run(goal, slot, command, commit, question)
                if run.kind == IDS and _selected_nothing(run, baseline):
                    run = await self._run(goal, slot, command, commit, replace(question, ids=None))
            self._answers.learn(subject, run)
        return run

    async def run_on(self, goal: GoalStatus, commit: str, argv: tuple[str, ...], log: Path) -> process.Ending:
        """Run another command (the goal's check) on a commit, in a gate worktree."""
        services = self._services
        async with self._slot() as slot:
            await slot.prepare(commit, services.settings.gate.keep)
            env = self._environment(goal, slot)
            await self._provide(goal, slot, env, commit)(slot.path)
            confinement = self._confinement(goal, slot, commit)
            return await services.run(
                argv,
                cwd=slot.path,
                env=environment.with_local_tools(env, slot.path),
                log=log,
                timeout=services.settings.gate.timeout,
                purpose=f"check {goal.id}",
                cell=await services.git(confinement.cell) if confinement else None,
            )

    async def _run(
        self, goal: GoalStatus, slot: GateSlot, command: GateCommand, commit: str, question: Question
    ) -> GateRun:
        services = self._services
        env = self._environment(goal, slot)
        with services.program(f"gate {goal.id}", contained=services.containment.gates) as token:
            return await slot.run(
                commit,
                command,
                env=env,
                token=token,
                log=services.home.gate_dir(goal.id) / f"gate-{commit[:12]}-{token[:4]}.log",
                question=question,
                provision=self._provide(goal, slot, env, commit),
                started=self._started(token),
                confinement=self._confinement(goal, slot, commit),
            )

    def _tree_and_key(self, goal: GoalStatus, command: GateCommand, commit: str) -> tuple[str, str]:
        tree = self._services.repo.tree_of(commit)
        return tree, "" if command.command == NONE else self._key(goal, command, tree)

    def _key(self, goal: GoalStatus, command: GateCommand, tree: str) -> str:
        """What a verdict belongs to: tree, command, set-up, tools and the environment passed on.

        Reads the file system: for pool threads only.
        """
        services, env = self._services, self._services.environment(goal)
        workspace = services.settings.workspace
        known = (command.command, workspace.setup)
        if known not in self._tools:
            self._tools[known] = Fingerprints((command.command, *workspace.setup))
        passed = {name: env.get(name) for name in workspace.env_pass}
        around = gate_environment.state(command.command, env, services.home.top)
        fingerprint = json.dumps([workspace.setup, passed, self._tools[known].tools(env), around])
        return cache_key(tree, command, env, fingerprint, services.containment.all_rules)

    # -- the proof ------------------------------------------------------------------------------------

    async def is_proved(self, goal: GoalStatus) -> bool:
        """Whether the goal's gate was proved in this environment, by an earlier goal."""
        return await self._holds(goal, await self.command(goal))

    async def _holds(self, goal: GoalStatus, command: GateCommand) -> bool:
        """Whether nothing has to be proved, or this environment's proof is known."""
        services = self._services
        if command.command == NONE or services.settings.gate.proof == "off":
            return True
        return services.ledger.gate_run(await self._proof_key(goal, command)) is not None

    async def _proof_key(self, goal: GoalStatus, command: GateCommand) -> str:
        """A proof outlives its commit, but not a project that is laid out in another way."""

        def key() -> str:
            layout = gate_environment.layout(self._services.home.common_dir, goal.base)
            return "proof " + self._key(goal, replace(command, metrics=()), layout)

        return await self._services.git(key)

    async def prove(self, goal: GoalStatus) -> dict[str, Any]:
        """Baseline on the base, and proof that the gate really tests the tree it is given.

        Returns the data of a GATE_PROVED fact; refuses with the remedy (MoError, code GATE).
        The proof holds for an environment: a later goal with the same command, set-up and PATH only needs
        its baseline.
        """
        services = self._services
        services.containment.forget(goal.id)
        command = await self.command(goal)
        if command.command == NONE:
            return {
                "command": NONE,
                "commit": goal.base,
                "failing": [],
                "weak": True,
                "reason": "no gate (none)",
            }
        if await self._holds(goal, command):
            baseline = await self._known_baseline(goal, command)
        else:
            baseline = (await self._first_proof(goal, command)).baseline
            proof_key = await self._proof_key(goal, command)
            services.ledger.remember_gate(proof_key, {"command": str(command.command)}, services.now())
            key = await services.git(self._key, goal, command, baseline.tree)
            services.ledger.remember_gate(key, gate_memory.dump(baseline), services.now())
        red = baseline.result == RED
        return {
            "command": command.command,
            "commit": goal.base,
            "failing": list(baseline.tests.failing()) if baseline.tests else [],
            "weak": baseline.weak,
            "reason": f"the gate fails on the base already: {baseline.reason}" if red else baseline.reason,
            "hint": self._hint(baseline),
            "red": red,
            "tests": len(baseline.tests.outcomes) if baseline.tests else 0,
            "seconds": round(baseline.seconds, 3),
        }

    async def _known_baseline(self, goal: GoalStatus, command: GateCommand) -> GateRun:
        """The verdict on the base, asked for twice where there is none."""
        run = await self.judge(goal, goal.base, None)
        if run.result == UNKNOWN:
            run = await self.judge(goal, goal.base, None)
        if run.result == UNKNOWN:
            async with self._slot() as slot:
                await slot.prepare(goal.base)
                hint = _joined(unknown_remedy(slot.path, command.command, run), self._hint(run))
            raise MoError(f"gate gives no result on the base: {run.reason}", hint, Exit.GATE)
        return run

    async def _first_proof(self, goal: GoalStatus, command: GateCommand) -> Proof:
        services = self._services
        async with self._slot() as slot:
            env = self._environment(goal, slot)
            with services.program(f"gate proof {goal.id}", contained=services.containment.gates) as token:
                proof = await prove(
                    slot,
                    goal.base,
                    command,
                    env=env,
                    token=token,
                    log_dir=services.home.gate_dir(goal.id),
                    main_top=services.home.top,
                    provision=self._provide(goal, slot, env, goal.base),
                    started=self._started(token),
                    confinement=self._confinement(goal, slot, goal.base),
                )
        if not proof.ok:
            hint = _joined(proof.hint, self._hint(proof.baseline))
            raise MoError(f"gate not proved: {proof.reason}", hint, Exit.GATE)
        return proof

    def _hint(self, run: GateRun) -> str:
        """What to set, where a run that is not green says that the sandbox was in its way."""
        containment = self._services.containment
        if not containment.gates or run.result == GREEN:
            return ""
        return containment.remedy(tail(run.log, _LOG_END), GATE_AS_YOU)


def _selected_nothing(run: GateRun, baseline: Tests | None) -> bool:
    """Whether the runner may not select as mo thinks.

    It ended by itself without a report, or ran none of the tests although some have to be there.
    """
    if run.tests is None:
        return run.exit_code is not None and run.exit_code >= 0
    known = restricted(baseline, run.asked) if baseline else Tests({})
    return not run.tests.outcomes and known.count(PASSED) > 0


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))
