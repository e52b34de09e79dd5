"""`mo show`: one goal, task or attempt in full."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from mo_git import views
from mo_git.breakers import LONGEST, Breaker, fold
from mo_git.cli import Context
from mo_git.cli.context import emit_json, json_option, open_home, open_reader, say, use_color
from mo_git.cli.ids import ID, LAST, find_attempt, find_task, resolve_goal, split
from mo_git.errors import Exit, MoError
from mo_git.goal_status import Attempt, GoalStatus, Spent, TaskStatus
from mo_git.home import Home
from mo_git.model import Command, GoalState
from mo_git.text import clock, count, counts, duration, money, one_line, paint, printable, state_color, table

_LAST_GATES = 5
_LAST_CHANGES = 10
_NO_ANSWER = "(left to the planner)"


@click.command(name="show")
@click.argument("what", default=LAST, type=ID, metavar="[ID]")
@click.option("--prompt", is_flag=True, help="Print what the agent was told, exactly as it was sent.")
@json_option
@click.pass_obj
def command(obj: Context, what: str, prompt: bool) -> None:
    """Show one goal, task or attempt in full.

    ID is GOAL, GOAL/TASK or GOAL/TASK#N (the Nth attempt); the newest goal where none is named.
    """
    goal_text, task_text, number = split(what)
    home = open_home(obj)
    reader = open_reader(home)
    try:
        goal = reader.goal(resolve_goal(reader, goal_text))
        breakers = fold(reader.answers(time.time() - LONGEST))
    finally:
        reader.close()
    if not task_text:
        if prompt:
            raise MoError("--prompt is about a task", f"mo show {goal.id}/TASK --prompt", Exit.USAGE)
        _show_goal(obj, goal, breakers)
        return
    task = find_task(goal, task_text)
    if prompt:
        _show_prompt(obj, home, goal, task, find_attempt(goal, task, number))
    elif number is None:
        _show_task(obj, goal, task, breakers)
    else:
        attempt = find_attempt(goal, task, number)
        assert attempt is not None, "a numbered attempt is found or refused"
        _show_attempt(obj, goal, task, attempt)


# -- a goal -------------------------------------------------------------------------------------------


def _show_goal(obj: Context, goal: GoalStatus, breakers: Mapping[str, Breaker]) -> None:
    if obj.json:
        emit_json(views.goal_document(goal, breakers, time.time()))
        return
    color = use_color(obj)
    state = paint(goal.state, state_color(goal.state), color)
    lines = [f"{goal.id}  {state}  {one_line(goal.spec.title, 80)}", *_facts(goal), ""]
    lines.append("no plan yet" if goal.needs_plan else _what(goal, color))
    asked = goal.planning.questions if goal.awaits_answers else ()
    lines += _section("the planner asks", [[one_line(said, 200)] for said in asked])
    lines += _section(
        "answered", [[one_line(f"{q} {a or _NO_ANSWER}", 200)] for q, a in goal.planning.answered]
    )
    lines += _section("assumed by the planner", [[one_line(said, 200)] for said in goal.planning.assumptions])
    lines += _section("landings", _landings(goal))
    lines += _section("gates", _gates(goal))
    lines += _section(
        "iterations" if goal.most_iterations > 1 else "metrics", [_score(score) for score in goal.scores]
    )
    verdict = goal.iterations.verdict
    missing = verdict["missing"] if verdict and goal.state is not GoalState.DONE else ()
    lines += _section("missing, by the last look", [[one_line(one, 300)] for one in missing])
    lines += _section("conflicts", [_conflict(conflict) for conflict in goal.conflicts])
    changes = [[one_line(views.change_line(data), 300), one_line(data["do"], 300)] for data in goal.changes]
    lines += _section("changed in the repository", changes[-_LAST_CHANGES:])
    lines += _section("needs you", [[str(need["why"]), str(need["do"])] for need in views.needs(goal)])
    say(obj, "\n".join(lines))


def _what(goal: GoalStatus, color: bool) -> str:
    """Its tasks; of a job, how far its items are."""
    if goal.items is None:
        return views.graph_text(goal, color)
    items = counts({str(state): number for state, number in goal.items.items()})
    return f"{items or 'no items yet'}   mo simple show {goal.id}"


def _facts(goal: GoalStatus) -> list[str]:
    base, integration = goal.base or goal.spec.base, goal.integration
    rows = [["base", base[:10] + (f" on {goal.spec.target}" if goal.spec.target else "")]]
    if integration and integration != base:
        rows.append(["integration", f"{integration[:10]}, {count(len(goal.landings), 'landing')}"])
    if goal.most_iterations > 1:
        rows.append(["iteration", f"{goal.iterations.current} of {goal.most_iterations}"])
    if goal.spec.depends_on:
        rows.append(["after", goal.spec.depends_on])
    if goal.started_at is not None and goal.ended_at is not None:
        rows.append(["took", duration(goal.ended_at - goal.started_at)])
    if goal.estimate and goal.estimate["agents"]:
        rows.append(["expected", views.estimate_text(goal.estimate, full=True)])
    if cost := _cost(goal.total()):
        rows.append(["cost", cost])
    if goal.reason:
        rows.append(["reason", one_line(goal.reason)])
    return table([[f"  {name}", said] for name, said in rows])


def _section(title: str, rows: list[list[str]]) -> list[str]:
    return ["", title, *table([["  " + row[0], *row[1:]] for row in rows])] if rows else []


def _landings(goal: GoalStatus) -> list[list[str]]:
    return [
        [
            str(landing.get("seq", "")),
            str(landing["commit"])[:7],
            clock(landing["at"]),
            ", ".join(landing.get("tasks", ())) or one_line(str(landing.get("purpose", ""))),
        ]
        for landing in goal.landings
    ]


def _gates(goal: GoalStatus) -> list[list[str]]:
    rows = []
    for gate in goal.gates[-_LAST_GATES:]:
        tests = gate.get("tests") or {}
        said = [f"{tests[key]} {key}" for key in ("passed", "failed", "missing", "flaky") if tests.get(key)]
        said += ["cached"] if gate.get("cached") else [duration(gate["seconds"])] if "seconds" in gate else []
        said += [_values(gate["metrics"])] if gate.get("metrics") else []
        said += [f"({one_line(', '.join(gate['failed_ids'][:3]))})"] if gate.get("failed_ids") else []
        said += [one_line(gate["reason"], 80)] if gate.get("reason") and not gate.get("failed_ids") else []
        about = ", ".join(gate.get("tasks", ()))
        rows.append([str(gate.get("commit", ""))[:7], str(gate.get("result", "")), about, ", ".join(said)])
    return rows


def _score(score: Mapping[str, Any]) -> list[str]:
    values = _values(score["metrics"])
    if "score" in score:
        values = ", ".join(filter(None, (f"score {score['score']:.2f}", values)))
    number = f"{score['iteration']}: " if "score" in score else ""
    return [
        number + str(score["commit"])[:7],
        str(score["verdict"]).replace("_", " "),
        values,
        one_line(score["reason"]),
    ]


def _values(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in metrics.items())


def _conflict(conflict: object) -> list[str]:
    assert isinstance(conflict, dict)
    others = f"with {', '.join(conflict['with'])}" if conflict.get("with") else ""
    return [str(conflict["task"]), others, one_line(", ".join(conflict.get("paths", ())))]


# -- a task, an attempt -------------------------------------------------------------------------------


def _show_task(obj: Context, goal: GoalStatus, task: TaskStatus, breakers: Mapping[str, Breaker]) -> None:
    document = views.task_document(goal, task, breakers, time.time())
    if obj.json:
        emit_json({"v": 1, "task": {"goal": goal.id, **document}})
        return
    state = goal.task_state(task)
    spec = task.spec
    painted = paint(state, state_color(state), use_color(obj))
    lines = [f"{goal.id}/{spec.id}  {painted}  {one_line(spec.title, 80)}".rstrip()]
    rows = [
        ["reason", one_line(task.reason)],
        ["waits for", _waits(document["waits"])],
        ["after", ", ".join(spec.depends_on)],
        ["run", _command(spec.run)],
        ["from", one_line(spec.from_ref)],
        ["check", _command(spec.check)],
        ["writes", ", ".join(spec.writes or ())],
        ["branch", document["branch"] if task.attempts else ""],
        ["candidate", task.commit[:10]],
        ["landed as", task.landed_commit[:10]],
        ["changed", one_line(", ".join(task.paths), 400)],
        ["accepted", one_line(", ".join(document["accepted"]), 400)],
        ["worktree", document["worktree"] or ""],
    ]
    lines += table([[f"  {name}", said] for name, said in rows if said])
    if spec.prompt:
        lines += ["", *(f"  {line}" for line in printable(spec.prompt).strip().splitlines())]
    attempts = [[f"#{attempt.n}", *_attempt_cells(attempt)] for attempt in task.attempts]
    lines += _section("attempts", attempts)
    output = "" if task.output is None else json.dumps(task.output, indent=2, ensure_ascii=False)
    lines += _section("review", _verdict(task))
    lines += _section("reported", [[line] for line in printable(task.summary).strip().splitlines()])
    lines += _section("output", [[line] for line in printable(output).splitlines()])
    needs = [need for need in views.needs(goal) if need["task"] == spec.id]
    lines += [f"\nnext: {need['do']}" for need in needs]
    say(obj, "\n".join(lines))


def _verdict(task: TaskStatus) -> list[list[str]]:
    """What the last review of its work came to."""
    if task.review is None:
        return []
    words = str(task.review["verdict"]).replace("_", " ")
    rows = [[f"{words} by {task.review['by'] or 'a person'}", one_line(str(task.review["summary"]), 400)]]
    for found in task.review["findings"]:
        place = one_line(found["path"], 200) + (f":{found['line']}" if found["line"] else "")
        rows.append([f"{place} [{found['severity']}]".strip(), one_line(found["comment"], 400)])
    return rows


def _waits(waits: Mapping[str, Any] | None) -> str:
    """What it waits for, and until when."""
    if waits is None:
        return ""
    until = f", until {clock(waits['until'], time.time())}" if waits["until"] else ""
    return one_line(waits["why"], 300) + until


def _command(command: Command | None) -> str:
    if command is None:
        return ""
    import shlex

    return one_line(command if isinstance(command, str) else shlex.join(command))


def _attempt_cells(attempt: Attempt) -> list[str]:
    took = "" if attempt.ended_at is None else duration(attempt.ended_at - attempt.started_at)
    why = ": ".join(part for part in (attempt.failure, one_line(attempt.reason)) if part)
    return [attempt.state, clock(attempt.started_at), took, why]


def _cost(spent: Spent) -> str:
    """Empty where no agent was at work."""
    if not (spent.cost_usd or spent.input_tokens or spent.output_tokens):
        return ""
    return f"{money(spent.cost_usd)}, {spent.input_tokens:,} tokens in, {spent.output_tokens:,} out"


def _show_prompt(
    obj: Context, home: Home, goal: GoalStatus, task: TaskStatus, attempt: Attempt | None
) -> None:
    """The file as it was sent, byte for byte."""
    name = f"{goal.id}/{task.spec.id}"
    file = home.run_dir(goal.id, task.spec.id, attempt.n if attempt else 1) / "prompt.md"
    try:
        sent = file.read_bytes()
    except OSError:
        if not task.spec.by_agent:
            raise MoError(f"{name} is no agent's task: nobody was told anything", f"mo show {name}") from None
        hint = "it has not started yet, or mo gc removed its files"
        raise MoError(f"{name} has no prompt", hint, Exit.NOT_FOUND) from None
    if obj.json:
        emit_json({"v": 1, "task": name, "prompt": sent.decode("utf-8", "replace")})
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(sent)


def _show_attempt(obj: Context, goal: GoalStatus, task: TaskStatus, attempt: Attempt) -> None:
    documents = views.task_document(goal, task)["attempts"]
    document = next(one for one in documents if one["n"] == attempt.n)
    if obj.json:
        emit_json({"v": 1, "attempt": {"goal": goal.id, "task": task.spec.id, **document}})
        return
    state, started, took, why = _attempt_cells(attempt)
    rows = [
        ["state", state],
        ["reason", why],
        ["base", attempt.base[:10]],
        ["agent", " ".join(filter(None, (attempt.provider, attempt.model)))],
        ["chosen by", attempt.chosen],
        ["cost", _cost(attempt.spent)],
        ["branch", attempt.branch],
        ["started", started],
        ["took", took],
        ["exit code", "" if attempt.exit_code is None else str(attempt.exit_code)],
        ["kept as", attempt.kept],
        ["log", f"mo logs {goal.id}/{task.spec.id}#{attempt.n}"],
    ]
    lines = [f"{goal.id}/{task.spec.id}#{attempt.n}"]
    say(obj, "\n".join(lines + table([[f"  {name}", said] for name, said in rows if said])))
