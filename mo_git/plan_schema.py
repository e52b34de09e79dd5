"""What a task's JSON output has to look like: a small part of JSON Schema, for plans and for values.  Pure.

KEYWORDS are all that a schema may hold, so that what is declared is what is checked.  Nothing is nested
deeper than DEPTH.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from mo_git.values import Wrong, kind, nearest, text

KEYWORDS = ("type", "properties", "required", "items", "enum", "description")
DEPTH = 32
ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def output_schema(value: object) -> Mapping[str, Any] | None:
    """Read a task's `output`: true is any JSON object, false none, a table is the schema of an object."""
    if isinstance(value, bool):
        return dict(ANY_OBJECT) if value else None
    if not isinstance(value, dict):
        raise Wrong(f"expected true or a JSON schema as a table, found {kind(value)}")
    wrong = list(_wrong(value, "", 0))
    if not wrong and value.get("type") != "object":
        wrong = ['a task\'s output is an object: say type = "object"']
    if wrong:
        raise Wrong(*wrong)
    return value


def _wrong(schema: object, place: str, depth: int) -> Iterator[str]:
    """What keeps a schema from being used, each as `place: what`."""
    at = f"{place}: " if place else ""
    if not isinstance(schema, dict):
        yield f"{at}expected a schema as a table, found {kind(schema)}"
        return
    if depth > DEPTH:
        yield f"{at}nested too deeply"
        return
    for key in schema:
        if key not in KEYWORDS:
            known = f"{nearest(key, KEYWORDS)} (known: {', '.join(KEYWORDS)})"
            yield f'{at}no keyword "{key}"{known}'
    yield from (f"{at}{said}" for said in _wrong_words(schema))
    inner = schema.get("properties", {})
    if isinstance(inner, dict):
        for name, one in inner.items():
            yield from _wrong(one, f"{place}.{name}".lstrip("."), depth + 1)
    else:
        yield f"{at}properties: expected a table, found {kind(inner)}"
    if "items" in schema:
        yield from _wrong(schema["items"], f"{place}[]", depth + 1)


def _wrong_words(schema: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the keywords that hold no further schema."""
    types = schema.get("type", [])
    for name in types if isinstance(types, list) else [types]:
        if not isinstance(name, str) or name not in _TYPES:
            close = nearest(name, _TYPES) if isinstance(name, str) else ""
            yield f"type: expected some of {', '.join(_TYPES)}, found {_shown(name)}{close}"
    if "type" in schema and types == []:
        yield "type: is empty"
    names = schema.get("properties")
    for name in _listed(schema, "required"):
        if not isinstance(name, str):
            yield f"required: expected names, found {kind(name)}"
        elif isinstance(names, dict) and name not in names:
            yield f'required: "{name}" is not in properties{nearest(name, names)}'
    if "enum" in schema and not schema["enum"]:
        yield "enum: is empty"
    for value in _listed(schema, "enum"):
        if not isinstance(value, str | int | float) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            yield f"enum: expected texts, numbers, true or false, found {kind(value)}"
    for key in ("required", "enum"):
        if not isinstance(schema.get(key, []), list):
            yield f"{key}: expected a list, found {kind(schema[key])}"
    yield from _wrong_texts(schema)


def _wrong_texts(schema: Mapping[str, Any]) -> Iterator[str]:
    """Texts that no file can take."""
    if not isinstance(schema.get("description", ""), str):
        yield f"description: expected text, found {kind(schema['description'])}"
    names = schema.get("properties")
    texts = [schema.get("description"), *_listed(schema, "enum"), *_listed(schema, "required")]
    for one in [*texts, *(names if isinstance(names, dict) else ())]:
        try:
            text(one) if isinstance(one, str) else None
        except Wrong as wrong:
            yield str(wrong)


def _listed(schema: Mapping[str, Any], key: str) -> list[Any]:
    value = schema.get(key, [])
    return value if isinstance(value, list) else []


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else kind(value)


# -- values -------------------------------------------------------------------------------------------


def violations(value: Any, schema: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """What keeps a value from fitting a schema that `output_schema` let through, each as `place: what`."""
    at = f"{place}: " if place else ""
    types = schema.get("type")
    names = types if isinstance(types, list) else [types] if types else []
    if names and not any(_is(value, name) for name in names):
        yield f"{at}expected {' or '.join(names)}, found {_type_of(value)}"
        return
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        yield f"{at}is none of the values in enum"
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                yield f'{at}"{name}" is missing'
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from violations(value[name], inner, f"{place}.{name}".lstrip("."))
    if isinstance(value, list) and "items" in schema:
        for number, one in enumerate(value):
            yield from violations(one, schema["items"], f"{place}[{number}]")


def too_deep(value: Any, depth: int = 0) -> bool:
    """Whether a value is nested deeper than DEPTH."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth >= DEPTH or any(too_deep(one, depth + 1) for one in inner)


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])


def _same(value: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _type_of(value: Any) -> str:
    return next(name for name in ("boolean", *_TYPES) if _is(value, name))
