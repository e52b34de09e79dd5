"""The one error that reaches a person, and the exit codes that scripts rely on."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of `mo` (docs/cli.md lists them)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DAEMON = 3
    AGENT = 4
    PERSON = 5
    NOT_FOUND = 6
    CONFIG = 7
    GATE = 8
    BUDGET = 9
    INTERRUPTED = 130


class MoError(Exception):
    """Something a person has to know: what is wrong, and what to type next.

    `message` is one sentence without a final full stop, `hint` the remedy (may be empty),
    `code` the exit code.  Raised only for expected trouble; a bug raises anything else.
    """

    def __init__(self, message: str, hint: str = "", code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code

    def document(self) -> dict[str, object]:
        """The error as `--json` prints it."""
        return {"error": {"code": self.code.name.lower(), "message": self.message, "hint": self.hint}}
