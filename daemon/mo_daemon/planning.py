"""From a goal in words to a plan: an agent reads the base and answers, the daemon checks what it says.

The agent looks at the base commit in a worktree of its own, on no branch, and may change nothing.  An answer
that is no valid plan is handed back with what is wrong with it, ANSWERS times in all; then the goal halts.
With `--ask` its answer may be questions, ROUNDS times; the goal waits for a person then.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mo_daemon import environment, harvest, names, progress, templates
from mo_daemon.agents.protocol import Outcome
from mo_daemon.briefing import documents, instructions, shown, taught, unread
from mo_daemon.budget import exhausted
from mo_daemon.classify import GiveUp, next_step
from mo_daemon.decide import may_start
from mo_daemon.expected import expected_of
from mo_daemon.gatekeeper import Gatekeeper
from mo_daemon.harvest import AttemptFailed
from mo_daemon.paid_run import PaidRun, avoided, retry_settings
from mo_daemon.plan_answer import MAX_QUESTIONS, SCHEMA, Answer, distinct, read_answer
from mo_daemon.prompts import bullets, data_block, fill
from mo_daemon.repo_map import repo_map
from mo_daemon.routing import Choice, NoAgent, Wish, route
from mo_daemon.services import Services, tail
from mo_daemon.worktrees import Slot
from mo_git import resources
from mo_git.errors import MoError
from mo_git.goal_status import GoalStatus
from mo_git.model import UNUSABLE, Command, FailureClass, GoalSpec, Kind, NewFact, Phase, Plan
from mo_git.plan import plan_to_data
from mo_git.plan_state import PLANNER

ANSWERS = 3  # how often the planner may answer before a person has to look
ROUNDS = 1  # how often it may ask a person
_ANSWER = "answer.json"
_ANSWER_LIMIT = 20_000
_NO_QUESTIONS = "Nobody answers questions: leave questions empty, decide, and say so in assumptions."
_ASKED_BEFORE = (
    "Your questions were answered, and nobody answers more: leave questions empty, decide what is still "
    "open, and say so in assumptions."
)
_MAY_ASK = (
    "A person answers questions, once, before you plan. Ask only what would change the plan and is not to "
    f"be found in the repository: at most {MAX_QUESTIONS} in questions, and leave tasks empty then. What is "
    "clear enough needs no question: leave questions empty and plan."
)
_DECIDE = "(no answer: decide yourself, and say so in assumptions)"
_NO_REF = "refs/mo/none"  # what the planner may move


def assign_planner(
    services: Services, goal: GoalSpec, avoid: frozenset[str] = frozenset()
) -> Choice | NoAgent:
    """Who plans a goal."""
    return assign_reader(services, goal, Phase.DECOMPOSE, avoid)


def assign_reader(
    services: Services, goal: GoalSpec, phase: Phase, avoid: frozenset[str]
) -> Choice | NoAgent:
    """Who does a phase that only reads."""
    wish = Wish(goal.provider, "", goal.phase_providers.get(phase, ""))
    return route(phase, wish, services.routes, avoid, services.resting())


async def plan_goal(services: Services, gatekeeper: Gatekeeper, goal: GoalStatus) -> None:
    """One run of the planner; every ending is recorded as facts."""
    choice = assign_planner(services, goal.spec, tried(goal.planning.failures))
    n = goal.planning.runs + 1

    async def use(slot: Slot, head: str) -> None:
        assert isinstance(choice, Choice)
        look = Look(services, goal, choice, n, slot, head)
        services.record([look.fact(Kind.PLAN_STARTED, model=choice.model, why=choice.why)])
        prompt = await _prompt(look, gatekeeper, services.agents[choice.agent].reads)
        services.record(await answered(look, prompt, SCHEMA, _ending, _failed))

    await with_slot(services, goal, choice, lambda: goal.needs_plan, use)


async def with_slot(
    services: Services,
    goal: GoalStatus,
    choice: Choice | NoAgent,
    wanted: Callable[[], bool],
    use: Callable[[Slot, str], Awaitable[None]],
) -> None:
    """Give `use` a worktree at the goal's head, and that commit, if it is still `wanted` then.

    That nobody can work there, or that there is no money left, is recorded instead.
    """
    if isinstance(choice, NoAgent):
        services.record([halt(goal, nobody(choice, "plan it" if goal.needs_plan else "verify it"))])
        return
    if spent := exhausted(*services.money(goal), choice.agent):
        services.record([NewFact(goal.id, Kind.BUDGET_SPENT, {"reason": spent})])
        return
    async with services.starting() as ready:
        if not (may_start(goal) and wanted()) or services.is_closed_to(choice.agent):  # any more
            return
        slot, head = services.pool.take_detached(), goal.integration
        try:
            await services.git(services.pool.point, slot, branch=None, commit=head)
            ready()
            await use(slot, head)
        finally:
            services.pool.give_back(slot)


@dataclass(frozen=True, slots=True)
class Look:
    """One run of an agent that reads the goal's head and answers: of the planner, or of the verifier.

    `head` is the commit that it reads: a sync or a rollback may move the branch meanwhile.
    """

    services: Services
    goal: GoalStatus
    choice: Choice
    n: int
    slot: Slot
    head: str
    owner: str = PLANNER
    phase: Phase = Phase.DECOMPOSE

    @property
    def run_dir(self) -> Path:
        return self.services.home.run_dir(self.goal.id, self.owner, self.n)

    def fact(self, kind: Kind, **data: Any) -> NewFact:
        return NewFact(self.goal.id, kind, {"n": self.n, "provider": self.choice.agent, **data})


async def answered(
    look: Look,
    prompt: str,
    schema: Mapping[str, Any],
    ending: Callable[[Look, Outcome], list[NewFact]],
    failed: Callable[[Look, FailureClass, str], list[NewFact]],
) -> list[NewFact]:
    """Run the agent; the facts that its answer, or its failure, leads to, and what it cost."""
    services, goal, choice, slot = look.services, look.goal, look.choice, look.slot
    agent = services.agents[choice.agent]
    name = f"{goal.id}/{look.owner}#{look.n}"
    paid = PaidRun(services, goal, agent, choice.model, look.phase, name)
    branch = names.integration_branch(services.settings.git.branch_prefix, goal.id)
    seen = {names.base_ref(goal.id): goal.base, names.head(branch): look.head}
    try:
        finished = await paid.read(
            prompt,
            schema,
            owner=look.owner,
            worktree=slot.path,
            run_dir=look.run_dir,
            seen=seen,
            env=_environment(look),
        )
    except AttemptFailed as error:
        return failed(look, error.failure, error.reason)
    outcome = finished.outcome
    return [*paid.usage(outcome), *ending(look, outcome)]


async def _prompt(look: Look, gatekeeper: Gatekeeper, reads: frozenset[str]) -> str:
    services, goal = look.services, look.goal
    gate = await gatekeeper.command(goal)
    team = await services.git(harvest.team_files, look.slot.path, unread(reads))
    lessons = await services.git(templates.lessons, services.home, services.environ)
    template = await services.git(templates.load, "plan", services.home, services.environ)
    values = {
        "goal": goal.spec.text.strip() or goal.spec.title,
        "max_tasks": str(services.settings.planner.max_tasks),
        "providers": ", ".join(["auto", *_providers(services)]),
        "ask": f"- {_ask_rule(goal)}\n",
        "map": await the_map(look, gate.command) + taught(lessons),
        "instructions": instructions(team),
        "documents": documents(goal.spec.documents),
        "errors": progress.so_far(goal) + answers(goal) + _handed_back(look),
    }
    return fill(template, values)


async def the_map(look: Look, gate: Command) -> str:
    """The repository at the goal's head; names of files and commits may be an agent's words."""
    found = await look.services.git(repo_map, look.slot.path, look.head, shown(gate))
    return data_block("map of the repository", found)


def _providers(services: Services) -> list[str]:
    """Who a task may name: the agents that can be found."""
    return [name for name, trouble in services.routes.usable.items() if not trouble]


def _ask_rule(goal: GoalStatus) -> str:
    if _may_ask(goal):
        return _MAY_ASK
    return _ASKED_BEFORE if goal.planning.answered else _NO_QUESTIONS


def _may_ask(goal: GoalStatus) -> bool:
    return goal.spec.ask and goal.planning.rounds < ROUNDS


def answers(goal: GoalStatus) -> str:
    """What a person said to the planner's questions, as marked data; empty where nothing was asked."""
    said = [
        data_block(f"answer to question {number}", f"Question: {question}\nAnswer: {answer or _DECIDE}")
        for number, (question, answer) in enumerate(goal.planning.answered, 1)
    ]
    return "\nA person answered your questions:\n" + "".join(said) if said else ""


def _handed_back(look: Look) -> str:
    """What was wrong with the last answer; empty for the first one."""
    refusals = look.goal.planning.refusals
    if not refusals:
        return ""
    last = refusals[-1]
    file = look.services.home.run_dir(look.goal.id, PLANNER, last["n"]) / _ANSWER
    return (
        "\nYour last answer was not a valid plan. Answer again, with all of this corrected:\n"
        + data_block("what is wrong", bullets(last["errors"]))
        + data_block("the last answer", tail(file, _ANSWER_LIMIT), _ANSWER_LIMIT)
    )


def _environment(look: Look) -> Mapping[str, str]:
    services = look.services
    env = environment.task_environment(
        services.environment(look.goal),
        goal=look.goal.id,
        task="",
        attempt=look.n,
        worktree=look.slot.path,
        common_dir=services.home.common_dir,
        port_base=look.slot.port_base,
        passed=services.settings.workspace.env_pass,
        guard=(resources.path("hooks"), _NO_REF),
    )
    return environment.with_local_tools(env, look.slot.path)


# -- endings ------------------------------------------------------------------------------------------


def _ending(look: Look, outcome: Outcome) -> list[NewFact]:
    if outcome.failure is FailureClass.INVALID_OUTPUT:
        return _refused(look, [outcome.reason], outcome.summary)
    if outcome.failure is not None:
        return _failed(look, outcome.failure, outcome.reason, outcome.retry_at)
    said = outcome.summary if outcome.structured is None else outcome.structured
    settings = look.services.settings.planner
    try:
        answer = read_answer(
            said,
            look.goal.spec.title,
            max_tasks=settings.max_tasks,
            providers=_providers(look.services),
        )
    except MoError as error:
        return _refused(look, error.message.splitlines(), said)
    if answer.plan:
        return _planned(look, answer)
    if _may_ask(look.goal):
        return [look.fact(Kind.PLAN_ASKED, questions=list(answer.questions))]
    return _refused(look, [_ask_rule(look.goal)], said)


def _planned(look: Look, answer: Answer) -> list[NewFact]:
    """What a goal file said about the goal itself stays; ids of a further iteration are new ones."""
    assert answer.plan is not None
    tasks = distinct(answer.plan.tasks, look.goal.tasks, look.goal.iterations.current)
    if look.goal.iterations.escalated:
        tasks = tuple(replace(task, complexity="complex") for task in tasks)
    plan = replace(look.goal.spec.plan, tasks=tasks)
    more = {} if look.services.containment.gates else _unconfined(plan)
    return [
        look.fact(
            Kind.PLANNED,
            plan=plan_to_data(plan),
            assumptions=list(answer.assumptions),
            estimate=expected_of(look.services, look.goal.spec, plan),
            **more,
        )
    ]


def _unconfined(plan: Plan) -> dict[str, list[str]]:
    """Whose checks are an agent's commands that would run as the person, where no sandbox holds them."""
    tasks = [task.id for task in plan.tasks if task.check is not None]
    return {"unconfined": tasks} if tasks else {}


def _refused(look: Look, errors: Sequence[str], said: Any) -> list[NewFact]:
    text = said if isinstance(said, str) else json.dumps(said, indent=1, ensure_ascii=False)
    (look.run_dir / _ANSWER).write_text(text, encoding="utf-8", errors="replace")
    facts = [look.fact(Kind.PLAN_REFUSED, errors=list(errors))]
    if len(look.goal.planning.refusals) + 1 >= ANSWERS:
        why = errors[0] if len(errors) == 1 else f"{errors[0]} (and {len(errors) - 1} more)"
        facts.append(halt(look.goal, f"no valid plan in {ANSWERS} answers of {look.choice.agent}: {why}"))
    return facts


def _failed(look: Look, failure: FailureClass, reason: str, stated: float | None = None) -> list[NewFact]:
    return unanswered(look, Kind.PLAN_FAILED, look.goal.planning.failures, failure, reason, stated)


def unanswered(
    look: Look,
    kind: Kind,
    earlier: Sequence[Mapping[str, Any]],
    failure: FailureClass,
    reason: str,
    stated: float | None = None,
) -> list[NewFact]:
    """What a run without an answer leads to: another one later, by somebody else, or a goal that stops.

    `kind` is that of the fact that tells it, `earlier` the data of those before.
    """
    services, goal, now = look.services, look.goal, look.services.now()
    provider, what = look.choice.agent, "plan it" if look.owner == PLANNER else "verify it"

    def fact(not_before: float) -> NewFact:
        return look.fact(kind, **{"class": failure}, reason=reason, not_before=not_before)

    if failure is FailureClass.BUDGET:
        return [fact(now), NewFact(goal.id, Kind.BUDGET_SPENT, {"reason": reason})]
    if failure in UNUSABLE:
        avoid = tried(earlier) | {provider}
        other = assign_reader(services, goal.spec, look.phase, avoid)
        if isinstance(other, Choice) and other.agent not in avoid:
            return [fact(now)]
        return [fact(now), halt(goal, nobody(NoAgent({provider: reason}), what))]
    step = next_step(
        failure,
        reason,
        [one["class"] for one in earlier],
        retry_settings(services),
        attempts=len(earlier) + 1,
        max_attempts=None,
        can_rework=True,
        now=now,
        jitter=services.jitter(),
        stated=stated,
    )
    if isinstance(step, GiveUp):
        doing = "planning" if look.owner == PLANNER else "verifying"
        return [fact(now), halt(goal, f"{doing} failed: {step.why}")]
    return [fact(step.not_before)]


def tried(failures: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Agents to leave alone after these failures (data of facts)."""
    return avoided([(one["provider"], one["class"]) for one in failures])


def nobody(choice: NoAgent, what: str) -> str:
    """The reason of a goal that no agent can plan or verify."""
    return f"no agent can {what}: " + "; ".join(f"{name}: {why}" for name, why in choice.reasons.items())


def halt(goal: GoalStatus, reason: str) -> NewFact:
    return NewFact(goal.id, Kind.SETUP_FAILED, {"reason": reason})
