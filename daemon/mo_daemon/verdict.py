"""A reviewer's verdict: its JSON schema, how an answer is read, and what evidence makes of it.  Pure.

A verdict is an opinion; what was measured is not.  Evidence lowers a verdict and never raises it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from mo_git.errors import MoError

MAX_FINDINGS = 50
COMMENT_LENGTH = 2000  # characters of one comment, and of the summary
CHECK = "check"  # who gave a verdict that nobody was asked for
SEVERITIES = ("minor", "major", "critical")


class Word(StrEnum):
    """What becomes of the work, best first."""

    APPROVE = "approve"
    REQUEST_CHANGES = "request_changes"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.  `path` is empty where no file is meant, `line` 0 where no line is."""

    comment: str
    path: str = ""
    line: int = 0
    severity: str = "major"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`by` is a provider, or CHECK; `lowered` says why evidence made it worse, empty: it did not."""

    word: Word
    summary: str
    findings: tuple[Finding, ...] = ()
    by: str = ""
    lowered: str = ""

    def data(self) -> dict[str, Any]:
        """As it stands in a fact."""
        findings = [asdict(finding) for finding in self.findings]
        said = {"verdict": str(self.word), "by": self.by, "summary": self.summary, "findings": findings}
        return said | ({"lowered": self.lowered} if self.lowered else {})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the work besides opinions.

    `check`: passed | failed, empty where the task has none; `log` is the end of what it printed.  `outside`
    are changed paths beyond what the task said it would write.
    """

    check: str = ""
    log: str = ""
    outside: tuple[str, ...] = ()


# Every key is required: strict structured output of some providers knows no optional ones.
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "verdict": {"type": "string", "enum": [str(word) for word in Word]},
        "summary": {"type": "string", "description": "one or two sentences"},
        "findings": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "path": {"type": "string", "description": "file in the repository; may be empty"},
                    "line": {"type": "integer", "description": "line of the new file; 0: the whole file"},
                    "severity": {"type": "string", "enum": list(SEVERITIES)},
                    "comment": {"type": "string", "description": "what is wrong, and what would be right"},
                },
                "required": ["path", "line", "severity", "comment"],
            },
        },
    },
    "required": ["verdict", "summary", "findings"],
}


def read_verdict(answer: Any, by: str) -> Verdict:
    """The verdict in an answer of the reviewer `by`; MoError says what is wrong with it."""
    if not isinstance(answer, dict):
        raise MoError("the verdict is not a JSON object")
    word, found = answer.get("verdict"), answer.get("findings", [])
    if word not in list(Word):
        raise MoError(f"the verdict is {word!r}, not one of {', '.join(Word)}")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise MoError("the findings are not a list of objects")
    findings = tuple(_finding(one) for one in found[:MAX_FINDINGS])
    summary = str(answer.get("summary") or "").strip()[:COMMENT_LENGTH]
    if word != Word.APPROVE and not (summary or findings):
        raise MoError("the verdict asks for changes and does not say which")
    return Verdict(Word(word), summary, findings, by)


def _finding(data: Mapping[str, Any]) -> Finding:
    line, severity = data.get("line"), data.get("severity")
    return Finding(
        str(data.get("comment") or "").strip()[:COMMENT_LENGTH],
        str(data.get("path") or "").strip()[:400],
        line if isinstance(line, int) and line > 0 else 0,
        severity if severity in SEVERITIES else "major",
    )


def capped(verdict: Verdict, evidence: Evidence) -> Verdict:
    """The verdict as far as evidence allows it: what is red, or critical, is not approved."""
    if verdict.word is not Word.APPROVE:
        return verdict
    critical = any(finding.severity == "critical" for finding in verdict.findings)
    if evidence.check == "failed":
        lowered = "the check is red"
    elif critical:
        lowered = "a critical finding is not approved"
    else:
        return verdict
    return replace(verdict, word=Word.REQUEST_CHANGES, lowered=lowered)


def of_evidence(evidence: Evidence, reason: str) -> Verdict | None:
    """What evidence alone says, before anybody is asked; None: it leaves the verdict open."""
    best = capped(Verdict(Word.APPROVE, reason, by=CHECK), evidence)
    return None if best.word is Word.APPROVE else best
