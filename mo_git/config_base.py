"""What a setting is made of: a section of typed keys, each with its limits and a line of documentation."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Texts = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
]


def _lists_as_tuples(value: Any) -> Any:
    """A table with TOML's lists as tuples; strict types would refuse them."""
    if not isinstance(value, dict):
        return value
    return {name: tuple(one) if isinstance(one, list) else one for name, one in value.items()}


# What a command is for -> the command: text for `sh -c`, or an argv.
Commands = Annotated[dict[str, str | tuple[str, ...]], BeforeValidator(_lists_as_tuples)]


def key(
    default: Any, doc: str, *, guarded: bool = False, allowed: str = "", example: str = "", **limits: Any
) -> Any:
    """A setting.  `guarded`: a tracked file can set it only when the user trusts that file.

    Guarded are commands, and what would loosen the isolation of agents.  `allowed` says in words what the
    limits mean where they do not say it themselves.  `example`: a line of a table with free keys.
    """
    extra: dict[str, Any] = {"guarded": guarded, "allowed": allowed, "example": example}
    return Field(default, description=doc, json_schema_extra=extra, **limits)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
