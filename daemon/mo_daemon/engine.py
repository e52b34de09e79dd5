"""The engine: tick = take requests, snapshot, decide, perform, publish.

Level-triggered: an event only means "look again".  Recovery is the first tick after a start.  Facts are
recorded here and nowhere else, on the event loop's thread; jobs do the work and end in facts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from mo_daemon import requests
from mo_daemon.attempt import recover_attempt, run_attempt
from mo_daemon.chores import Chores
from mo_daemon.decide import (
    CheckGoal,
    FinishGoal,
    Job,
    Land,
    Limits,
    Operate,
    PrepareGoal,
    Record,
    RecoverAttempt,
    RecoverLanding,
    StartAttempt,
    Stop,
    decide,
    next_wake,
)
from mo_daemon.finishing import check_goal, finish_goal
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.landing import Lander
from mo_daemon.operations import Operator
from mo_daemon.preparing import prepare_goal
from mo_daemon.resources import reap_orphans, reason_to_hold
from mo_daemon.services import Services
from mo_git import views
from mo_git.config import Config
from mo_git.errors import Exit, MoError
from mo_git.ledger.writer import LedgerFull
from mo_git.lifecycle import GoalStatus, apply, has_ended, new_goal, replay
from mo_git.model import Fact, GoalSpec, Kind, NewFact

log = logging.getLogger("mo")

STATUS_INTERVAL = 0.1  # seconds between two versions of status.json


class Engine:
    """Owns the goals' status and the running jobs."""

    def __init__(self, services: Services, about: Mapping[str, Any], reload: Callable[[], None]) -> None:
        self.services = services
        self.goals: dict[str, GoalStatus] = dict(services.goals)
        services.goals = self.goals
        services.record = self.record
        self.gatekeeper = Gatekeeper(services)
        self.lander = Lander(services, self.gatekeeper)
        self.operator = Operator(services, self.lander)
        self.chores = Chores(services, self.gatekeeper)
        self.stopping = False
        self.active_at = services.now()
        self._about = about
        self._reload = reload
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._unwritten: list[NewFact] = []
        self._last_published: tuple[Any, ...] = ()
        self._troubles: dict[str, tuple[int, float]] = {}  # job key -> failures in a row, not before
        for goal in list(self.goals.values()):
            self._load_earlier(goal.spec)
        self._seq = max((goal.last_seq for goal in self.goals.values()), default=0)

    # -- facts ----------------------------------------------------------------------------------------

    def record(self, facts: Iterable[NewFact], *, durable: bool = False) -> Sequence[Fact]:
        """Write facts and let them take effect.

        With a full disk, facts of finished work wait in memory and nothing new starts; a durable fact
        guards an effect, so it raises LedgerFull and the effect does not happen.
        """
        new = list(facts)
        if not new:
            return []
        if self._unwritten and not durable:
            self._unwritten += new
            return []
        try:
            recorded = self.services.ledger.append(new, self.services.now(), durable=durable)
        except LedgerFull as error:
            if durable:
                raise
            log.error("%s; %s", error.message, error.hint)
            self._unwritten += new
            return []
        self._take_effect(recorded)
        return recorded

    def _take_effect(self, recorded: Sequence[Fact]) -> None:
        for fact in recorded:
            self._seq = fact.seq
            goal = self.goals[fact.goal]
            effect = apply(goal, fact)
            where = f"{fact.goal}/{fact.task}#{fact.attempt}" if fact.task else fact.goal
            log.info("%s %s%s", where, fact.kind, "" if effect else " (late, no effect)")
            if fact.kind == Kind.OPERATION_ENDED:
                answer = {key: value for key, value in fact.data.items() if key != "request"}
                self.services.ledger.settle_request(fact.data["request"], answer, fact.at)
        self._wake.set()

    def _flush(self) -> bool:
        """Write what waited for disk space; False while there is none."""
        if self._unwritten:
            waiting, self._unwritten = self._unwritten, []
            self.record(waiting)
        return not self._unwritten

    # -- what requests may ask (requests.Desk) --------------------------------------------------------

    def has_goal(self, goal_id: str) -> bool:
        return goal_id in self.goals or self.services.ledger.has_goal(goal_id)

    def goal(self, goal_id: str) -> GoalStatus:
        """A goal, also one that ended long ago and is no longer in memory."""
        if goal_id not in self.goals:
            spec = self.services.ledger.goal(goal_id)
            if spec is None:
                raise MoError(f"no goal {goal_id}", "mo status lists the goals", Exit.NOT_FOUND)
            self.goals[goal_id] = replay(spec, self.services.ledger.facts(goal_id))
        return self.goals[goal_id]

    def adopt(self, spec: GoalSpec) -> None:
        self._load_earlier(spec)
        recorded = self.services.ledger.add_goal(spec, self.services.now())
        self.goals[spec.id] = new_goal(spec)
        self._take_effect(recorded)

    def _load_earlier(self, spec: GoalSpec) -> None:
        """A goal that this one waits for has to be in the snapshot, however long ago it ended."""
        if spec.depends_on and self.has_goal(spec.depends_on):
            self.goal(spec.depends_on)

    def check_settings(self) -> Config:
        """Read the configuration again; a broken one is refused and the last good one stays."""
        self._reload()
        return self.services.settings

    def stop_job(self, key: str) -> None:
        job = self._jobs.get(key)
        if job is not None:
            job.cancel()

    def start_chore(self, request: str, verb: str, payload: Mapping[str, Any]) -> None:
        async def chore() -> None:
            try:
                answer = await self.chores.run(verb, payload)
            except MoError as error:
                answer = requests.refusal(error)
            self.services.ledger.settle_request(request, answer, self.services.now())

        self._start(frozenset({f"chore {request}"}), "", chore())

    # -- the tick -------------------------------------------------------------------------------------

    async def run(self, idle_seconds: Callable[[], float]) -> None:
        """Tick until told to stop, or until nothing was to do for `idle_seconds`."""
        while not self.stopping:
            self._wake.clear()
            self.tick()
            if self.services.now() - self.active_at > idle_seconds() and self.is_idle():
                log.info("nothing to do: ending")
                return
            await self._sleep()

    async def _sleep(self) -> None:
        """Until something changed, the next retry is due, or the next scan."""
        now = self.services.now()
        seconds = self.services.settings.orchestrator.tick_seconds
        due = next_wake(self.goals, now)
        if due is not None:
            seconds = min(seconds, due - now)
        try:
            await asyncio.wait_for(self._wake.wait(), max(seconds, 0.001))
        except TimeoutError:
            reap_orphans()

    def look(self) -> None:
        """Something may have changed; safe from the loop's thread only."""
        self._wake.set()

    def tick(self) -> None:
        """One look at everything."""
        if self._flush():
            self._try_requests()
            for action in decide(self.goals, frozenset(self._jobs), self._limits(), self.services.now()):
                if isinstance(action, Record):
                    self.record(action.facts)
                elif isinstance(action, Stop):
                    self.stop_job(action.key)
                elif not self.stopping and not self._is_held_back(action.keys):
                    self._start(action.keys, action.goal, self._perform(action))
        if self._jobs or not self.is_idle():
            self.active_at = self.services.now()
        self._publish()

    def is_idle(self) -> bool:
        """No job, and no goal that mo could go on with by itself."""
        return not self._jobs and all(
            (has_ended(goal) and not goal.pending_operations()) or goal.paused for goal in self.goals.values()
        )

    def _limits(self) -> Limits:
        settings = self.services.settings.orchestrator
        hold = reason_to_hold(
            [self.services.home.top, self.services.state],
            min_free_gb=settings.min_free_disk_gb,
            max_load_per_cpu=settings.max_load_per_cpu,
        )
        return Limits(settings.max_parallel, hold)

    def _try_requests(self) -> None:
        try:
            self._take_requests()
        except LedgerFull as error:
            log.error("%s; requests wait in the inbox", error.message)

    def _take_requests(self) -> None:
        """Inbox -> ledger -> answer.  Recorded before the file goes, carried out once."""
        found, bad = self.services.home.requests()
        for name in bad:
            log.error("request %s cannot be read; it is in .mo/inbox/.bad", name)
        ledger, now = self.services.ledger, self.services.now()
        for request in found:
            ledger.record_request(request.name, request.verb, request.payload, now)
            self.services.home.forget(request.name)
        if not found and self._leftovers_taken:
            return
        self._leftovers_taken = True
        for name, verb, payload in ledger.unsettled():
            if self._is_under_way(name):
                continue
            answer = requests.handle(self, name, verb, payload)
            if answer is not None:
                ledger.settle_request(name, answer, now)

    _leftovers_taken = False  # requests that an earlier daemon recorded but did not answer

    def _is_under_way(self, name: str) -> bool:
        return f"chore {name}" in self._jobs or any(name in goal.operations for goal in self.goals.values())

    # -- jobs -----------------------------------------------------------------------------------------

    def _perform(self, job: Job) -> Coroutine[Any, Any, None]:
        services, goal = self.services, self.goals[job.goal]
        match job:
            case PrepareGoal():
                return prepare_goal(services, self.gatekeeper, goal)
            case StartAttempt():
                return run_attempt(services, goal, goal.tasks[job.task])
            case RecoverAttempt():
                return recover_attempt(services, goal, goal.tasks[job.task])
            case Land():
                return self.lander.land(goal, job.tasks[0])
            case RecoverLanding():
                return self.lander.recover(goal)
            case Operate():
                return self._operate(goal, job.request)
            case CheckGoal():
                return check_goal(services, self.gatekeeper, goal)
            case FinishGoal():
                return finish_goal(services, goal)

    async def _operate(self, goal: GoalStatus, request: str) -> None:
        await self.operator.operate(goal, goal.operations[request])

    def _give_up_operations(self, goal_id: str) -> None:
        """After a bug, whoever waits for an answer gets one."""
        error = MoError("an error inside mo; see .mo/log/daemon.log")
        for operation in self.goals[goal_id].pending_operations():
            data = {"request": operation.request, **requests.refusal(error)}
            self.record([NewFact(goal_id, Kind.OPERATION_ENDED, data)])

    def _start(self, keys: frozenset[str], goal: str, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._guarded(keys, goal, job))
        for key in keys:
            self._jobs[key] = task

    async def _guarded(self, keys: frozenset[str], goal: str, job: Coroutine[Any, Any, None]) -> None:
        """The boundary of every job: what it did not expect halts its goal with the reason."""
        name = min(keys)
        trouble = True
        try:
            await job
            trouble = False
        except asyncio.CancelledError:
            log.info("stopped: %s", name)
        except LedgerFull as error:
            log.error("%s: %s", name, error.message)
        except MoError as error:
            log.warning("%s: %s (%s)", name, error.message, error.hint)
            self._halt(goal, f"{error.message}; {error.hint}" if error.hint else error.message)
        except Exception:
            log.exception("bug in job %s", name)
            if goal:
                self._give_up_operations(goal)
            self._halt(goal, f"an error inside mo ({name}); see .mo/log/daemon.log")
        finally:
            for key in keys:
                self._jobs.pop(key, None)
                self._note_trouble(key, trouble)
            self._wake.set()

    def _note_trouble(self, key: str, trouble: bool) -> None:
        """A job that keeps failing unexpectedly must not be started in a tight loop."""
        if not trouble:
            self._troubles.pop(key, None)
            return
        count = self._troubles.get(key, (0, 0.0))[0] + 1
        self._troubles[key] = (count, self.services.now() + min(60.0, 0.5 * 2**count))

    def _is_held_back(self, keys: frozenset[str]) -> bool:
        now = self.services.now()
        return any(self._troubles.get(key, (0, 0.0))[1] > now for key in keys)

    def _halt(self, goal: str, reason: str) -> None:
        if goal:
            self.record([NewFact(goal, Kind.SETUP_FAILED, {"reason": reason})])

    # -- status ---------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Replace status.json where something changed."""
        state = (self._seq, frozenset(self._jobs), bool(self._unwritten), len(self.goals))
        if state == self._last_published:
            return
        limits = self._limits()
        document = views.status_document(
            list(self.goals.values()),
            seq=self._seq,
            daemon=self._about,
            limits={"parallel": limits.parallel, "hold": limits.hold},
        )
        try:
            self.services.home.write_status(document)
            self._last_published = state
        except MoError as error:
            log.error("%s", error.message)

    # -- ending ---------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Start nothing more."""
        self.stopping = True
        self._wake.set()

    async def end_jobs(self, seconds: float) -> None:
        """End running work within `seconds`; its work is kept and recorded."""
        jobs = set(self._jobs.values())
        for job in jobs:
            job.cancel()
        if jobs:
            await asyncio.wait(jobs, timeout=seconds)
        self._flush()
        self._publish()
