"""Documents that others rely on, held to docs/schemas/: the keywords that those schemas use, nothing more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parents[1] / "docs" / "schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
KEYWORDS = frozenset(
    {
        *("$schema", "$id", "$defs", "$ref", "title", "type", "const", "enum", "anyOf", "not", "minimum"),
        *("properties", "required", "additionalProperties", "propertyNames", "items"),
    }
)


@cache
def schema(name: str) -> dict[str, Any]:
    """A schema of docs/schemas/ by name, without its ending."""
    loaded: dict[str, Any] = json.loads((DIRECTORY / f"{name}.json").read_text())
    return loaded


def problems(name: str, document: object) -> list[str]:
    """What keeps a document from being valid, each as `path: what`."""
    return list(_check(schema(name), document, "$", schema(name)))


def _check(rule: Any, value: object, path: str, root: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(rule, bool):
        if not rule:
            yield f"{path}: not allowed"
        return
    if unknown := set(rule) - KEYWORDS:
        raise ValueError(f"keywords that this check doesn't know: {unknown}")
    if "$ref" in rule:
        yield from _check(root["$defs"][rule["$ref"].removeprefix("#/$defs/")], value, path, root)
    if "type" in rule and not _is_a(value, rule["type"]):
        yield f"{path}: {json.dumps(value)} is not of type {rule['type']}"
        return
    if "const" in rule and value != rule["const"]:
        yield f"{path}: {json.dumps(value)} is not {json.dumps(rule['const'])}"
    if "enum" in rule and value not in rule["enum"]:
        yield f"{path}: {json.dumps(value)} is not one of {rule['enum']}"
    if "minimum" in rule and isinstance(value, int | float) and value < rule["minimum"]:
        yield f"{path}: {value} is less than {rule['minimum']}"
    if "not" in rule and not list(_check(rule["not"], value, path, root)):
        yield f"{path}: {json.dumps(value)} is excluded"
    if "anyOf" in rule:
        branches = [list(_check(branch, value, path, root)) for branch in rule["anyOf"]]
        if all(branches):
            yield from min(branches, key=len)
    if isinstance(value, dict):
        yield from _check_object(rule, value, path, root)
    if isinstance(value, list) and "items" in rule:
        for index, item in enumerate(value):
            yield from _check(rule["items"], item, f"{path}[{index}]", root)


def _check_object(
    rule: Mapping[str, Any], value: Mapping[str, object], path: str, root: Mapping[str, Any]
) -> Iterator[str]:
    yield from (f"{path}: {key} is missing" for key in rule.get("required", []) if key not in value)
    for key, item in value.items():
        yield from _check(rule.get("propertyNames", True), key, f"{path}.{key}", root)
        inner = rule.get("properties", {}).get(key, rule.get("additionalProperties", True))
        yield from _check(inner, item, f"{path}.{key}", root)


def _is_a(value: object, names: str | list[str]) -> bool:
    wanted = [names] if isinstance(names, str) else names
    if isinstance(value, bool):
        return "boolean" in wanted
    return any(isinstance(value, TYPES[name]) for name in wanted)
