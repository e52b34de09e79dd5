"""What the agent of an item is told: what to do, where, what is checked, and why it failed before.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mo_daemon.briefing import instructions, shown, taught
from mo_daemon.prompts import bullets, data_block, fill
from mo_git.model import Command, FailureClass
from mo_git.simple.item import Item

# What an agent can do about a failure; the others are not of its making.
_ADVICE: Mapping[str, str] = {
    FailureClass.NO_CHANGE: "Change the files that the item is about.",
    FailureClass.SCOPE: "Change only the files that may be changed, and keep those that the item is about.",
    FailureClass.SECRETS: "Write no credential into a file, not even an example of one.",
    FailureClass.INVALID_OUTPUT: "Leave files that can be parsed, and nothing in them that does not belong.",
    FailureClass.CHECK_FAILED: "Make what is checked pass; do not weaken it.",
    FailureClass.GATE_RED: "Make the project's tests pass with it; do not weaken them.",
    FailureClass.TIMEOUT: "Keep to what is asked, and start nothing that goes on running.",
    FailureClass.IDLE: "Start nothing that waits for input or goes on running.",
}


def brief(
    template: str,
    item: Item,
    *,
    validate: Sequence[Command] = (),
    must_change: bool = True,
    said: str = "",
    team: Mapping[str, str] | None = None,
    lessons: str = "",
) -> str:
    """The prompt of an item.  `validate`: the job's own commands; `said`: the `feedback` of its last attempt.

    `must_change`: whether an item that changes nothing has failed; `team`: instruction files of the
    repository that the agent does not read by itself.
    """
    values = {
        "instruction": item.instruction.strip(),
        "targets": _places(item),
        "checks": bullets(_checks(item, validate, must_change)),
        "feedback": said,
        "instructions": instructions(team or {}),
        "lessons": taught(lessons),
    }
    return fill(template, values)


def feedback(failure: str, reason: str) -> str:
    """What the next attempt is told of the one that failed: its class, why, and what to do about it."""
    advice = _ADVICE.get(failure, "")
    return (
        "\nAn earlier attempt at this item was not accepted, and what it did is not there any more.\n"
        + data_block(f"why not ({failure})", reason)
        + (f"\n{advice}\n" if advice else "")
    )


def _places(item: Item) -> str:
    beside = f" It may also change: {', '.join(item.allowed_side_files)}." if item.allowed_side_files else ""
    if item.targets:
        return f"The item is about: {', '.join(item.targets)}. Change only that.{beside}"
    return f"Change only what the item asks for.{beside}"


def _checks(item: Item, validate: Sequence[Command], must_change: bool) -> list[str]:
    only = "only what may be changed has changed" if item.targets else "no file of mo or of git has changed"
    checks = ["something has changed"] if must_change else []
    checks += [only, "files can be parsed; they hold no conflict markers and no credentials"]
    checks += [f"this regular expression matches in what changed: {one}" for one in item.require_patterns]
    checks += [f"this passes: {shown(one)}" for one in (*item.verify_commands, *validate)]
    return checks
