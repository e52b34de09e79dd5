"""The engine: tick = take requests, snapshot, decide, perform, publish.

Level-triggered: an event only means "look again".  Recovery is the first tick after a start.  Facts are
recorded here and nowhere else, on the event loop's thread; jobs do the work and end in facts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mo_daemon import execution, guarding, requests
from mo_daemon.actions import (
    CancelItems,
    CheckGoal,
    FinishGoal,
    Job,
    Land,
    LandItems,
    Operate,
    PlanGoal,
    PrepareGoal,
    Record,
    RecoverAttempt,
    RecoverLanding,
    RunItems,
    StartAttempt,
    Stop,
    VerifyGoal,
)
from mo_daemon.adoption import start_attempt
from mo_daemon.attempt import recover_attempt
from mo_daemon.book import Book
from mo_daemon.chores import Chores
from mo_daemon.decide import decide
from mo_daemon.expected import expected_of
from mo_daemon.finishing import check_goal, finish_goal
from mo_daemon.forecast import still, unfinished
from mo_daemon.foresight import Foresight
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.landing import Lander
from mo_daemon.limiting import Limiting
from mo_daemon.limits import Limits
from mo_daemon.notifier import Notifier
from mo_daemon.operations import Operator
from mo_daemon.planning import assign_planner, plan_goal
from mo_daemon.preparing import prepare_goal
from mo_daemon.publishing import Publisher
from mo_daemon.resources import reap_orphans
from mo_daemon.routing import Choice, NoAgent
from mo_daemon.services import Services, out_of_space
from mo_daemon.simple.batching import cancel_items, land_items, retry_items
from mo_daemon.simple.recovering import hold_worktrees
from mo_daemon.simple.working import run_items
from mo_daemon.stepping_in import reclaim
from mo_daemon.train import run_train
from mo_daemon.verifying import verify_goal
from mo_daemon.wake import next_wake
from mo_git import process
from mo_git.config import Config
from mo_git.errors import Exit, MoError
from mo_git.goal_status import AT_WORK, GoalStatus
from mo_git.ledger.writer import LedgerBroken, LedgerFull
from mo_git.lifecycle import stands_still
from mo_git.model import GoalSpec, Kind, NewFact, TaskSpec, TaskState

log = logging.getLogger("mo")

_AHEAD = "look ahead"  # key of the job that looks for conflicts to come
_TELL = "notify"  # key of the job that tells people what has happened
_LOOK = "look"  # key of the job that compares the repository with the last look
LAST_SECONDS = 6.0  # for work that did not end in time when the daemon stops


@dataclass(slots=True)
class _Asked:
    """What one request leads to; recorded together with its answer."""

    goals: list[GoalSpec] = field(default_factory=list)
    facts: list[NewFact] = field(default_factory=list)


class Engine:
    """Owns the goals' status and the running jobs."""

    def __init__(self, services: Services, about: Mapping[str, Any], reload: Callable[[], None]) -> None:
        self.services = services
        self.notifier = Notifier(services)
        self.book = Book(services.ledger, services.goals, services.now, self.look, self.notifier.take)
        self.goals = services.goals = self.book.goals
        services.breakers = self.book.breakers
        services.record = self.book.record
        self.gatekeeper = Gatekeeper(services)
        self.lander = Lander(services, self.gatekeeper)
        self.operator = Operator(services, self.lander)
        self.chores = Chores(services, self.gatekeeper)
        self.foresight = Foresight(services.repo, services.state / "forecast")
        self.stopping = False
        self.active_at = services.now()
        self._limiting = Limiting(services)
        self._publisher = Publisher(services, about)
        self._reload = reload
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._told: dict[str, float] = {}  # job key -> when it was told to stop, monotonic
        self._wake = asyncio.Event()
        # why, and the jobs that are tried again
        self._no_room: tuple[str, frozenset[str]] = ("", frozenset())
        self._asked = _Asked()
        self._complaint = ""
        self._looked_at = 0.0
        self._troubles: dict[str, tuple[int, float]] = {}  # job key -> failures in a row, not before
        for goal in list(self.goals.values()):
            self.book.load_earlier(goal.spec)
            for task in goal.tasks.values():
                if task.state in AT_WORK | {TaskState.TAKEN}:
                    services.pool.hold(task.worktree)
            hold_worktrees(services, goal)
        reclaim(services)

    # -- what requests may ask (requests.Desk) --------------------------------------------------------

    def has_goal(self, goal_id: str) -> bool:
        return self.book.has_goal(goal_id)

    def goal(self, goal_id: str) -> GoalStatus:
        return self.book.goal(goal_id)

    def adopt(self, spec: GoalSpec) -> None:
        self.book.load_earlier(spec)
        self._asked.goals.append(spec)
        expected = None if spec.wants_plan else expected_of(self.services, spec, spec.plan)
        self._asked.facts.append(NewFact(spec.id, Kind.GOAL_CREATED, {"estimate": expected}))

    def record(self, facts: list[NewFact]) -> None:
        """Takes effect together with the answer to the request."""
        self._asked.facts += facts

    def check_settings(self) -> Config:
        """Read the configuration again; a broken one is refused and the last good one stays."""
        self._reload()
        return self.services.settings

    def assign(self, spec: GoalSpec, task: TaskSpec | None) -> Choice | NoAgent:
        if task is None:
            return assign_planner(self.services, spec)
        return execution.assign(self.services, spec, task)

    def retry_items(self, goal: GoalStatus) -> int:
        return retry_items(self.services, goal)

    def stop_job(self, key: str) -> None:
        """Each tick may ask for it: told twice at once, a job could not record how it ended."""
        job, now = self._jobs.get(key), time.monotonic()
        if job is not None and now - self._told.get(key, now - LAST_SECONDS) >= LAST_SECONDS:
            self._told[key] = now
            job.cancel()

    def start_chore(self, request: str, verb: str, payload: Mapping[str, Any]) -> None:
        async def chore() -> None:
            try:
                answer = await self.chores.run(verb, payload)
            except MoError as error:
                answer = requests.refusal(error)
            self.book.write([], durable=True, answers={request: answer})

        self._start(frozenset({f"chore {request}"}), "", chore())

    # -- the tick -------------------------------------------------------------------------------------

    async def run(
        self, idle_seconds: Callable[[], float], is_ours: Callable[[], bool] = lambda: True
    ) -> None:
        """Tick until told to stop, or until nothing was to do for `idle_seconds`.

        MoError where the daemon can't go on: `is_ours` says whether this is still the daemon of the
        repository.
        """
        while not self.stopping:
            self._wake.clear()
            if not is_ours():
                message = f"{self.services.home.path} was removed or replaced: the daemon ends"
                raise MoError(message, "the work is in git: branches mo/*, refs/mo/*", Exit.DAEMON)
            self.tick()
            if self.book.broken:
                raise self.book.broken
            if self.services.now() - self.active_at > idle_seconds() and self.is_idle():
                log.info("nothing to do: ending")
                return
            await self._sleep()

    async def _sleep(self) -> None:
        """Until something changed, the next retry is due, or the next scan."""
        now = self.services.now()
        seconds = self.services.settings.orchestrator.tick_seconds
        due = next_wake(self.goals, now, self.services.breakers)
        if due is not None:
            seconds = min(seconds, due - now)
        if (left := self._publisher.seconds_left()) is not None:
            seconds = min(seconds, left)
        try:
            await asyncio.wait_for(self._wake.wait(), max(seconds, 0.001))
        except TimeoutError:
            reap_orphans()

    def look(self) -> None:
        """Something may have changed; safe from the loop's thread only."""
        self._wake.set()

    def tick(self) -> None:
        """One look at everything."""
        answered = False
        if self.book.is_writable():
            answered = self._try_requests()
            for action in decide(self.goals, frozenset(self._jobs), self._limits(), self.services.now()):
                if isinstance(action, Record):
                    self.book.record(action.facts)
                elif isinstance(action, Stop):
                    self.stop_job(action.key)
                elif not self.stopping and not self._is_held_back(action.keys):
                    self._start(action.keys, action.goal, self._perform(action))
        if not self.stopping:
            self._look_out()
            self._look_ahead()
            if self.notifier.is_due and _TELL not in self._jobs:
                self._start(frozenset({_TELL}), "", self.notifier.deliver())
        if self._jobs or not self.is_idle():
            self.active_at = self.services.now()
        self._publish(at_once=answered)

    def _look_out(self) -> None:
        """While anything runs, whether the repository is as the daemon left it: once a tick, never two."""
        due = self._looked_at + self.services.settings.orchestrator.tick_seconds
        if self._jobs and _LOOK not in self._jobs and time.monotonic() >= due:
            self._looked_at = time.monotonic()
            self._start(frozenset({_LOOK}), "", guarding.look(self.services))

    def _look_ahead(self) -> None:
        """Where something changed, which tasks will conflict; off the loop, and one job at a time."""
        sources = unfinished(self.goals.values()) if self.services.settings.converge.forecast else []
        due = _AHEAD not in self._jobs and self.foresight.is_due(sources, self.services.now())
        if due and not self._is_held_back(frozenset({_AHEAD})):
            self._start(frozenset({_AHEAD}), "", self.foresight.look(sources, self.services.now))
        self.services.coming = still(self.foresight.coming, sources)

    def is_idle(self) -> bool:
        """No job, and no goal that mo could go on with by itself."""
        return not self._jobs and all(
            goal.paused or (stands_still(goal) and not goal.pending_operations())
            for goal in self.goals.values()
        )

    def _limits(self) -> Limits:
        message, keys = self._no_room
        full = message if self._is_held_back(keys) else ""
        return self._limiting.limits(self.book.why_not() or full, is_idle=self.is_idle())

    def _try_requests(self) -> bool:
        try:
            return self._take_requests()
        except LedgerBroken:
            raise
        except LedgerFull as error:
            self._leftovers_taken = False
            self.book.note_full(error)
        except MoError as error:
            self._complain(f"{error.message}; {error.hint}")
        return False

    def _take_requests(self) -> bool:
        """Inbox -> ledger -> answer.  Recorded before the file goes, carried out once.  Whether any came."""
        found, bad = self.services.home.requests()
        for name in bad:
            log.error("request %s cannot be read; it is in .mo/inbox/.bad", name)
        ledger, now = self.services.ledger, self.services.now()
        for request in found:
            ledger.record_request(request.name, request.verb, request.payload, now)
            self.services.home.forget(request.name)
        if not found and self._leftovers_taken:
            return False
        self._leftovers_taken = True
        for name, verb, payload in ledger.unsettled():
            if not self._is_under_way(name):
                self._carry_out(name, verb, payload)
        return True

    _leftovers_taken = False  # requests that an earlier daemon recorded but did not answer

    def _complain(self, message: str) -> None:
        """Log what may stay true for long only once."""
        if message != self._complaint:
            log.error("%s", message)
        self._complaint = message

    def _is_under_way(self, name: str) -> bool:
        return f"chore {name}" in self._jobs or any(name in goal.operations for goal in self.goals.values())

    def _carry_out(self, name: str, verb: str, payload: Mapping[str, Any]) -> None:
        """What a request leads to is recorded together with its answer, so it happens once."""
        self._asked = asked = _Asked()
        answer = requests.handle(self, name, verb, payload)
        answers = {} if answer is None else {name: answer}
        if answers or asked.facts:
            self.book.write(asked.facts, durable=True, goals=asked.goals, answers=answers)

    # -- jobs -----------------------------------------------------------------------------------------

    def _perform(self, job: Job) -> Coroutine[Any, Any, None]:
        services, goal = self.services, self.goals[job.goal]
        match job:
            case PrepareGoal():
                return prepare_goal(services, self.gatekeeper, goal)
            case PlanGoal():
                return plan_goal(services, self.gatekeeper, goal)
            case VerifyGoal():
                return verify_goal(services, self.gatekeeper, goal)
            case StartAttempt():
                reclaim(services)
                return start_attempt(services, self.gatekeeper, goal, goal.tasks[job.task])
            case RecoverAttempt():
                return recover_attempt(services, goal, goal.tasks[job.task])
            case Land():
                return run_train(self.lander, goal)
            case RecoverLanding():
                return self.lander.recover(goal)
            case Operate():
                return self._operate(goal, job.request)
            case CheckGoal():
                return check_goal(services, self.gatekeeper, goal)
            case FinishGoal():
                return finish_goal(services, self.operator, goal)
            case RunItems():
                return run_items(services, goal)
            case LandItems():
                return land_items(self.lander, goal)
            case CancelItems():
                return cancel_items(services, goal)

    async def _operate(self, goal: GoalStatus, request: str) -> None:
        await self.operator.operate(goal, goal.operations[request])

    def _give_up(self, job: str, goal: str) -> None:
        """After a bug, whoever waits for an answer gets one."""
        answer = requests.refusal(MoError("an error inside mo; see .mo/log/daemon.log"))
        with suppress(LedgerFull, LedgerBroken):
            if job.startswith("chore "):
                self.book.write([], durable=True, answers={job.removeprefix("chore "): answer})
            for operation in self.goals[goal].pending_operations() if goal else ():
                data = {"request": operation.request, **answer}
                self.book.record([NewFact(goal, Kind.OPERATION_ENDED, data)])

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
        except LedgerBroken as error:
            self.book.broken = error
        except LedgerFull as error:
            trouble = False  # it is tried again as soon as there is room
            self._leftovers_taken = self._leftovers_taken and bool(goal)
            self.book.note_full(error)
        except MoError as error:
            log.warning("%s: %s (%s)", name, error.message, error.hint)
            if out_of_space(error):
                self._no_room = (error.message, keys)
            else:
                self._halt(goal, f"{error.message}; {error.hint}" if error.hint else error.message)
        except Exception as error:
            log.exception("bug in job %s", name)
            if out_of_space(error):
                self._no_room = (f"{name}: {error}", keys)
            else:
                self._give_up(name, goal)
                self._halt(goal, f"an error inside mo ({name}); see .mo/log/daemon.log")
        finally:
            for key in keys:
                self._jobs.pop(key, None)
                self._told.pop(key, None)
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
        with suppress(LedgerBroken):  # ends the daemon by itself
            if goal:
                self.book.record([NewFact(goal, Kind.SETUP_FAILED, {"reason": reason})])

    # -- status ---------------------------------------------------------------------------------------

    def _publish(self, *, at_once: bool) -> None:
        jobs = self._jobs.keys() - {_LOOK, _AHEAD, _TELL}
        try:
            self._publisher.publish(self.book.seq, jobs, self._limits(), at_once=at_once)
        except MoError as error:
            self._complain(error.message)

    # -- ending ---------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Start nothing more."""
        self.stopping = True
        self._wake.set()

    async def end_jobs(self, seconds: float) -> None:
        """End running work within `seconds`; its work is kept and recorded.

        What is still at it then (a long teardown) is told once more, and gets a few seconds.
        """
        for patience in (seconds, LAST_SECONDS):
            jobs = set(self._jobs.values())
            for job in jobs:
                job.cancel()
            if jobs:
                await asyncio.wait(jobs, timeout=patience)
        self.services.merger.close()
        self.foresight.close()
        process.end_orphans()
        self.book.finish()
        self._publish(at_once=True)
