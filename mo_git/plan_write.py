"""Plans back to data and to an editable file.  Pure."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from mo_git.model import AgentOptions, Plan, TaskSpec
from mo_git.tomltext import toml_line

KEYS = {"from_ref": "from"}  # field -> key of a plan, where they differ


def plan_to_data(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-able data that `plan_from_data` reads back to an equal plan; defaults left out."""
    data = _changed(plan)
    data["task"] = [_changed(task) for task in plan.tasks]
    return data


def _changed(item: Plan | TaskSpec | AgentOptions) -> dict[str, Any]:
    """Fields that differ from their default, in the order of the class, as plain data."""
    data: dict[str, Any] = {}
    for field in fields(item):
        value = getattr(item, field.name)
        if field.name != "tasks" and value != field.default and value != {}:
            data[KEYS.get(field.name, field.name)] = _plain(value)
    return data


def _plain(value: Any) -> Any:
    if isinstance(value, AgentOptions):
        return _changed(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return dict(value) if hasattr(value, "items") else value


def plan_to_toml(plan: Plan) -> str:
    """The plan as a file to edit; `parse_plan` reads it back to an equal plan."""
    data = plan_to_data(plan)
    tasks, groups = data.pop("task"), data.pop("groups", {})
    blocks = [[toml_line(key, value) for key, value in data.items()]]
    if groups:
        blocks.append(["[groups]", *(toml_line(name, size) for name, size in groups.items())])
    blocks += [["[[task]]", *(toml_line(key, value) for key, value in task.items())] for task in tasks]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"
