"""From plain data to a plan, with everything that is wrong said at once.  Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mo_git import dag
from mo_git.errors import Exit, MoError
from mo_git.model import RESERVED_TASK_IDS, AgentOptions, Plan, TaskSpec
from mo_git.plan_refs import wrong_references
from mo_git.plan_schema import output_schema
from mo_git.values import (
    Reader,
    Wrong,
    argv,
    choice,
    command,
    fixes,
    globs,
    kind,
    nearest,
    number,
    printable,
    ref,
    slug,
    text,
    texts,
)

_COUNT = number("a whole number, 1 or more", int, least=1)

AGENT_READERS: Mapping[str, Reader] = {
    "max_turns": _COUNT,
    "effort": choice("low", "medium", "high"),
    "max_budget_usd": number("US dollars, more than 0", float, above=0),
}


def agent_options(value: object) -> AgentOptions:
    """Read a task's `agent`: a table with keys of AGENT_READERS."""
    if not isinstance(value, dict):
        raise Wrong(f"expected a table such as {{ max_turns = 40 }}, found {kind(value)}")
    wrong = [f"{key}: unknown key{nearest(key, AGENT_READERS)}" for key in value if key not in AGENT_READERS]
    values: dict[str, Any] = {}
    for key, read in AGENT_READERS.items():
        if value.get(key) is not None:
            try:
                values[key] = read(value[key])
            except Wrong as found:
                wrong += [f"{key}: {message}" for message in found.args]
    if wrong:
        raise Wrong(*wrong)
    return AgentOptions(**values)


TASK_READERS: Mapping[str, Reader] = {
    "id": slug,
    "title": text,
    "prompt": text,
    "run": argv,
    "from": ref,
    "depends_on": lambda value: tuple(dict.fromkeys(texts(value))),
    "writes": globs,
    "scope": choice("warn", "enforce", "off"),
    "check": command,
    "no_change": choice("ok", "fail"),
    "complexity": choice("simple", "moderate", "complex"),
    "group": slug,
    "when": argv,
    "provider": slug,
    "model": text,
    "timeout": number("a number of seconds greater than 0", float, above=0),
    "max_attempts": _COUNT,
    "priority": number("a whole number", int),
    "output": output_schema,
    "agent": agent_options,
}
OWN_KEYS = ("id", "depends_on", "from")  # of one task, not of all
DEFAULTS_READERS = {key: read for key, read in TASK_READERS.items() if key not in OWN_KEYS}
PLAN_READERS: Mapping[str, Reader] = {
    "goal": text,
    "check": command,
    "error_policy": choice("skip_dependents", "fail_fast"),
    "fixes": fixes,
    "iterations": number("a whole number from 1 to 50", int, least=1, most=50),
    "max_hours": number("a number of hours greater than 0", float, above=0),
}
GOAL_READERS: Mapping[str, Reader] = {
    "id": slug,
    "title": text,
    "base": text,
    "target": text,
    "deliver": choice("branch", "merge"),
    "gate": text,
    "parallel": _COUNT,
    "depends_on": text,
}
FIELDS = {"from": "from_ref"}  # key -> field of TaskSpec, where they differ
# Somebody else has done the work: nothing runs but its check.
NOT_WITH_FROM = (
    *("prompt", "run", "when", "provider", "model", "agent", "output", "timeout", "max_attempts"),
    *("no_change", "complexity", "group"),
)
PLAN_KEYS = (*PLAN_READERS, "groups", "defaults", "task")


class Problems:
    """Everything wrong with one source, each as `source: where: key: what`."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._lines: list[str] = []

    def add(self, where: str, key: str, what: str) -> None:
        self._lines.append(printable(": ".join(part for part in (self._source, where, key, what) if part)))

    def refuse_unknown(self, where: str, table: Mapping[str, Any], known: Collection[str]) -> None:
        for key in table:
            if key == "tasks" and "task" in known:
                self.add(where, key, "unknown key: write each task as [[task]] with its id inside")
            elif key not in known:
                self.add(where, key, f"unknown key{nearest(key, known)}")

    def read(self, where: str, table: Mapping[str, Any], readers: Mapping[str, Reader]) -> dict[str, Any]:
        """The good values of a table; a null counts as not given."""
        values = {}
        for key, reader in readers.items():
            if table.get(key) is not None:
                try:
                    values[key] = reader(table[key])
                except Wrong as wrong:
                    for message in wrong.args:
                        self.add(where, key, message)
        return values

    def finish(self) -> None:
        if self._lines:
            count = len(self._lines)
            hint = f"correct {'this' if count == 1 else f'these {count} problems'} in {self._source}"
            raise MoError("\n".join(self._lines), hint, Exit.USAGE)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One [[task]] on its way: what was written (own keys over defaults), and what of it could be used."""

    where: str
    own: Mapping[str, Any]
    written: Mapping[str, Any]
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        written = self.own.get("id")
        return written if isinstance(written, str) else ""

    def spec(self) -> TaskSpec:
        values = {FIELDS.get(key, key): value for key, value in self.values.items()}
        return TaskSpec(**{"id": self.name, **values})


def read_plan(
    data: Mapping[str, Any],
    problems: Problems,
    max_tasks: int | None,
    providers: Collection[str] | None,
) -> Plan:
    """The plan as far as it can be read; all that is wrong goes to `problems`."""
    top = problems.read("", data, PLAN_READERS)
    groups = _read_groups(data.get("groups"), problems)
    defaults = _read_defaults(data.get("defaults"), problems)
    entries = _read_tasks(data.get("task"), defaults, problems)
    if max_tasks is not None and len(entries) > max_tasks:
        problems.add("", "task", f"{len(entries)} tasks, at most {max_tasks} are allowed (planner.max_tasks)")
    known_groups = data["groups"] if isinstance(data.get("groups"), dict) else {}
    for entry in entries:
        _check_work(entry, problems)
        _check_names(entry, known_groups, providers, problems)
    _check_graph(entries, problems)
    tasks = tuple(entry.spec() for entry in entries)
    return Plan(**{"goal": "", **top, "tasks": tasks, "groups": groups})


def _read_groups(table: Any, problems: Problems) -> dict[str, int]:
    if table is None:
        return {}
    if not isinstance(table, dict):
        problems.add("", "groups", f"expected a table of name = number, found {kind(table)}")
        return {}
    for name in table:
        problems.read("[groups]", {name: name}, {name: slug})
    return problems.read("[groups]", table, dict.fromkeys(table, _COUNT))


def _read_defaults(table: Any, problems: Problems) -> Mapping[str, Any]:
    """The [defaults] that can be used, as written."""
    if table is None:
        return {}
    if not isinstance(table, dict):
        problems.add("", "defaults", f"expected a table of task keys, found {kind(table)}")
        return {}
    problems.refuse_unknown("[defaults]", table, TASK_READERS)
    for key in OWN_KEYS:
        if key in table:
            problems.add("[defaults]", key, "belongs to one task, write it there")
    good = problems.read("[defaults]", table, DEFAULTS_READERS)
    return {key: value for key, value in table.items() if key in good}


def _read_tasks(tables: Any, defaults: Mapping[str, Any], problems: Problems) -> list[_Entry]:
    if tables is None:
        return []
    if not isinstance(tables, list):
        problems.add("", "task", f"expected a list of tables: write [[task]], found {kind(tables)}")
        return []
    entries = []
    for place, table in enumerate(tables, 1):
        if isinstance(table, dict):
            entries.append(_read_task(place, table, defaults, problems))
        else:
            problems.add(f"task {place}", "", f"expected a table, found {kind(table)}")
    return entries


def _read_task(
    place: int, table: Mapping[str, Any], defaults: Mapping[str, Any], problems: Problems
) -> _Entry:
    own = {key: value for key, value in table.items() if value is not None}
    name = own.get("id")
    where = f'task "{name}"' if isinstance(name, str) and name else f"task {place}"
    problems.refuse_unknown(where, own, TASK_READERS)
    if name is None:
        problems.add(where, "id", "is missing")
    # A task that says itself what it does takes no prompt, command or provider of the other kind.
    unwanted = {"run": ("prompt", "provider", "agent"), "prompt": ("run",), "from": NOT_WITH_FROM}
    dropped = {key for mine, others in unwanted.items() if mine in own for key in others}
    written = {**{key: value for key, value in defaults.items() if key not in dropped}, **own}
    return _Entry(where, own, written, problems.read(where, written, TASK_READERS))


def _check_work(entry: _Entry, problems: Problems) -> None:
    """Exactly one of prompt and run, and a provider that fits it."""
    if "from" in entry.written:
        for key in NOT_WITH_FROM:
            if key in entry.written:
                problems.add(entry.where, key, "stands beside from: nothing is done there, leave it out")
        return
    has_run = "run" in entry.written
    prompt = entry.written.get("prompt", "")
    has_prompt = bool(prompt.strip()) if isinstance(prompt, str) else True
    provider = entry.values.get("provider", "auto")
    if has_run and has_prompt:
        problems.add(entry.where, "run", "stands beside prompt: a task has one of them")
    elif not has_run and not has_prompt:
        problems.add(entry.where, "prompt", "is missing or empty: a task needs prompt, run = [...] or from")
    elif has_run and provider not in ("auto", "command"):
        problems.add(entry.where, "provider", f'"{provider}" cannot run = [...]: leave provider out')
    elif has_prompt and provider == "command":
        problems.add(entry.where, "provider", '"command" takes run = [...], not a prompt')
    options = entry.values.get("agent", AgentOptions())
    if has_run and "agent" in entry.written:
        problems.add(entry.where, "agent", "a command has no agent: leave it out")
    elif provider == "codex" and options.max_turns is not None:
        problems.add(entry.where, "agent", "max_turns: codex knows no such limit, timeout holds for all")


def _check_names(
    entry: _Entry, groups: Collection[str], providers: Collection[str] | None, problems: Problems
) -> None:
    """Names that must be declared elsewhere: the group, the provider."""
    group, provider = entry.values.get("group"), entry.values.get("provider")
    if group and group not in groups:
        problems.add(entry.where, "group", f'no "{group}" in [groups]{nearest(group, groups)}')
    if provider and providers is not None and provider not in providers:
        known = f"{nearest(provider, providers)} (known: {', '.join(providers)})"
        problems.add(entry.where, "provider", f'no provider "{provider}"{known}')


def _check_graph(entries: Sequence[_Entry], problems: Problems) -> None:
    """Ids are unique, dependencies exist, and no task waits for itself."""
    known: dict[str, _Entry] = {}
    for entry in entries:
        if entry.name in known:
            problems.add(entry.where, "id", "is used twice: ids are unique in a plan")
        elif entry.name in RESERVED_TASK_IDS:
            problems.add(entry.where, "id", "is reserved, use another name")
        if entry.name:
            known.setdefault(entry.name, entry)
    tasks = []
    for entry in entries:
        for other in entry.values.get("depends_on", ()):
            if other == entry.name:
                problems.add(entry.where, "depends_on", "names the task itself")
            elif other not in known:
                problems.add(entry.where, "depends_on", f'no task "{other}"{nearest(other, known)}')
        if known.get(entry.name) is entry:
            needed = tuple(other for other in entry.values.get("depends_on", ()) if other != entry.name)
            tasks.append(replace(entry.spec(), depends_on=needed))
    while cycle := dag.find_cycle(tasks):
        problems.add(f'task "{cycle[0]}"', "depends_on", f"cycle: {' -> '.join(cycle)}")
        tasks = [task for task in tasks if task.id not in cycle]
    for name, what in wrong_references(tasks):
        problems.add(known[name].where, "prompt", what)
