"""Drawings of a DAG: for the terminal, as Mermaid, as Graphviz dot, as data.

The terminal drawing is a spanning tree, one line per task: a task hangs below the deepest task it depends
on, and names the others it waits for ("also after").  Dependencies that follow from others are left out
there (transitive reduction); Mermaid, dot and data hold every dependency as written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mo_git import dag
from mo_git.goal_status import GoalStatus, TaskStatus
from mo_git.model import Plan, TaskSpec, TaskState
from mo_git.text import MARKS, one_line, paint, state_color

Source = Plan | GoalStatus
_STYLES = {  # SGR colour of a state -> (fill, border) for drawings with areas
    "32": ("#d9f2d9", "#2e8b57"),
    "36": ("#d6ecfa", "#2a7ab0"),
    "33": ("#fff3cd", "#b8860b"),
    "31": ("#f8d7da", "#b02a37"),
    "2": ("#eeeeee", "#888888"),
    "": ("#ffffff", "#555555"),
}
_CLASSES = {"32": "good", "36": "work", "33": "wait", "31": "bad", "2": "idle", "": "plain"}


def _tasks(source: Source) -> tuple[TaskSpec, ...]:
    return source.tasks if isinstance(source, Plan) else source.plan.tasks


def _states(source: Source) -> dict[str, TaskState]:
    if isinstance(source, Plan):
        return {}
    return {task_id: source.task_state(task) for task_id, task in source.tasks.items()}


# -- terminal -----------------------------------------------------------------------------------------


def graph_text(source: Source, color: bool = False) -> str:
    """One line per task.  `├─` and `└─` lead to tasks that wait for the one above, `↓` to an only one."""
    tasks = _tasks(source)
    parents, others = _spanning(tasks)
    drawn = _draw(tasks, parents)
    width = max((len(prefix) + 2 + len(task_id) for prefix, task_id in drawn), default=0)
    titles = {task.id: one_line(task.title, 60) for task in tasks}
    states = _states(source)
    lines = []
    for prefix, task_id in drawn:
        state = states.get(task_id)
        mark, code = MARKS[state] if state else ("○", "")
        name = f"{prefix}{paint(mark, code, color)} {task_id}"
        name += " " * (width - len(prefix) - 2 - len(task_id))
        cells = [titles[task_id]] if not isinstance(source, GoalStatus) else _said(source, task_id, color)
        if others[task_id]:
            cells.append(paint(f"also after {', '.join(others[task_id])}", "2", color))
        lines.append("  ".join([name, *(cell for cell in cells if cell)]).rstrip())
    return "\n".join(lines)


def _said(goal: GoalStatus, task_id: str, color: bool) -> list[str]:
    task = goal.tasks[task_id]
    state = goal.task_state(task)
    width = max(len(goal.task_state(other)) for other in goal.tasks.values())
    return [paint(state.ljust(width), state_color(state), color), detail(task)]


def detail(task: TaskStatus) -> str:
    """What is worth a few words next to a task's state."""
    if task.state is TaskState.LANDED:
        return task.landed_commit[:7]
    if task.reason:
        return one_line(task.reason, 80)
    return f"attempt {task.attempt}" if task.attempt > 1 else ""


def _spanning(tasks: Sequence[TaskSpec]) -> tuple[dict[str, str | None], dict[str, list[str]]]:
    """(task -> the one it hangs below, task -> the others that it has to be said to wait for)."""
    depth = {task_id: level for level, ids in enumerate(dag.levels(tasks)) for task_id in ids}
    above = dag.ancestors(tasks)
    parents: dict[str, str | None] = {}
    others: dict[str, list[str]] = {}
    for task in tasks:
        direct = [
            one
            for one in dict.fromkeys(task.depends_on)
            if one in depth and not any(one in above[other] for other in task.depends_on if other in above)
        ]
        # of equally deep ones the last in the file: what a join waits for then stands above it
        parent = max(reversed(direct), key=depth.__getitem__, default=None)
        parents[task.id] = parent
        others[task.id] = [one for one in direct if one != parent]
    return parents, others


def _draw(tasks: Sequence[TaskSpec], parents: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """(what stands before the mark, task id) per line, from the top."""
    children: dict[str | None, list[str]] = {}
    for task in tasks:
        children.setdefault(parents[task.id], []).append(task.id)
    lines: list[tuple[str, str]] = []
    # prefix of the line itself, prefix of what hangs below it
    stack = [("", "", task_id) for task_id in reversed(children.get(None, []))]
    while stack:
        prefix, below, task_id = stack.pop()
        lines.append((prefix, task_id))
        hanging = children.get(task_id, [])
        if len(hanging) == 1:
            stack.append((f"{below}↓ ", below, hanging[0]))
        else:
            for child in reversed(hanging):
                last = child == hanging[-1]
                branch, rest = ("└─ ", "   ") if last else ("├─ ", "│  ")
                stack.append((below + branch, below + rest, child))
    return lines


# -- for other programs -------------------------------------------------------------------------------


def graph_mermaid(source: Source) -> str:
    """A Mermaid flowchart.  Nodes are numbered: task ids may be words that Mermaid reserves."""
    tasks, states = _tasks(source), _states(source)
    number = {task.id: f"t{index}" for index, task in enumerate(tasks, 1)}
    lines = ["flowchart TD"]
    for task in tasks:
        state = states.get(task.id)
        label = "<br/>".join(
            _mermaid(part) for part in (task.id, one_line(task.title, 60), state or "") if part
        )
        lines.append(f'  {number[task.id]}["{label}"]')
    lines += [
        f"  {number[one]} --> {number[task.id]}" for task in tasks for one in task.depends_on if one in number
    ]
    used: dict[str, list[str]] = {}
    for task_id, state in states.items():
        used.setdefault(state_color(state), []).append(number[task_id])
    for code, nodes in used.items():
        fill, border = _STYLES[code]
        lines.append(f"  classDef {_CLASSES[code]} fill:{fill},stroke:{border},color:#111111")
        lines.append(f"  class {','.join(nodes)} {_CLASSES[code]}")
    return "\n".join(lines)


def _mermaid(text: str) -> str:
    for char, entity in (("#", "#35;"), ("&", "#amp;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(char, entity)
    return text


def graph_dot(source: Source) -> str:
    """A Graphviz digraph."""
    tasks, states = _tasks(source), _states(source)
    known = {task.id for task in tasks}
    lines = ["digraph plan {", '  node [shape=box, style="rounded,filled", fillcolor="#ffffff"];']
    for task in tasks:
        state = states.get(task.id)
        parts = (task.id, one_line(task.title, 60), state or "")
        label = "\\n".join(_dot(part) for part in parts if part)
        fill, border = _STYLES[state_color(state) if state else ""]
        lines.append(f'  "{_dot(task.id)}" [label="{label}", fillcolor="{fill}", color="{border}"];')
    lines += [
        f'  "{_dot(one)}" -> "{_dot(task.id)}";' for task in tasks for one in task.depends_on if one in known
    ]
    return "\n".join([*lines, "}"])


def _dot(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def graph_document(source: Source) -> dict[str, Any]:
    """Tasks, edges from a dependency to its dependent, and the levels that may run side by side."""
    tasks, states = _tasks(source), _states(source)
    return {
        "v": 1,
        "goal": source.id if isinstance(source, GoalStatus) else None,
        "tasks": [
            {
                "id": task.id,
                "title": task.title,
                "depends_on": list(task.depends_on),
                "state": states.get(task.id),
            }
            for task in tasks
        ],
        "edges": [[one, task.id] for task in tasks for one in task.depends_on],
        "levels": dag.levels(tasks),
    }
