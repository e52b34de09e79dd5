"""How facts and goals are written as text, shared by the writer and the reader."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mo_git.model import Fact, GoalSpec
from mo_git.plan import plan_from_data, plan_to_data
from mo_git.simple.item import bulk_from_data, bulk_to_data

FACT_COLUMNS = "seq, at, goal, task, attempt, kind, data"
ANSWERS = f"SELECT {FACT_COLUMNS} FROM facts WHERE kind = ? AND at >= ? ORDER BY seq"
FLAKES = "SELECT test, tree, passed, failed, why, at FROM flakes ORDER BY test, at"


def dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def fact_of(row: tuple[Any, ...]) -> Fact:
    seq, at, goal, task, attempt, kind, data = row
    return Fact(seq, at, goal, task, attempt, kind, json.loads(data))


def facts_of(rows: Iterable[tuple[Any, ...]]) -> list[Fact]:
    return [fact_of(row) for row in rows]


def goal_to_data(spec: GoalSpec) -> dict[str, Any]:
    """A goal as JSON; the same shape travels in the request of `mo do`."""
    return {
        "id": spec.id,
        "title": spec.title,
        "plan": plan_to_data(spec.plan),
        "created_at": spec.created_at,
        "base": spec.base,
        "target": spec.target,
        "deliver": spec.deliver,
        "gate": spec.gate,
        "parallel": spec.parallel,
        "depends_on": spec.depends_on,
        "provider": spec.provider,
        "phase_providers": dict(spec.phase_providers),
        "budget_usd": spec.budget_usd,
        "documents": dict(spec.documents),
        "environment": dict(spec.environment),
        "serialize_overlaps": spec.serialize_overlaps,
        "text": spec.text,
        "wants_plan": spec.wants_plan,
        "approve": spec.approve,
        "ask": spec.ask,
        "bulk": bulk_to_data(spec.bulk),
    }


def goal_from_data(data: Mapping[str, Any]) -> GoalSpec:
    fields = {key: value for key, value in data.items() if key != "plan"}
    fields["bulk"] = bulk_from_data(data.get("bulk"))
    unplanned = bool(data.get("wants_plan") or data.get("bulk"))
    plan = plan_from_data(data["plan"], f"goal {data['id']}", may_be_empty=unplanned)
    return GoalSpec(plan=plan, **fields)
