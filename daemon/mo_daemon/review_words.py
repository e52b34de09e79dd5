"""Verdicts and evidence in words: for the reviewer, for the agent that corrects, for people.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mo_daemon.prompts import data_block
from mo_daemon.verdict import CHECK, Evidence, Finding, Verdict
from mo_git.text import one_line


def asked(verdict: Verdict, evidence: Evidence) -> str:
    """What the agent is to change, as marked data."""
    text = "\n".join([verdict.summary, *finding_lines(verdict.findings)])
    who = "what its check says" if verdict.by == CHECK else f"what the reviewer ({verdict.by}) asks for"
    log = data_block("the end of the check's log", evidence.log, 6000) if evidence.check == "failed" else ""
    return data_block(who, text) + log


def known(evidence: Evidence) -> str:
    """What a reviewer is told of the work besides the diff."""
    said = {"passed": "The task's own check passed on exactly these files.", "failed": "The check FAILED."}
    lines = [said.get(evidence.check, "The task has no check of its own; tests run later, before it lands.")]
    if evidence.outside:
        lines.append(f"Changed beyond what the task announced: {', '.join(evidence.outside[:20])}")
    return "\n".join(lines)


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """One line or more for each finding: place, severity, comment."""
    lines = []
    for finding in findings:
        place = finding.path + (f":{finding.line}" if finding.line else "")
        lines.append(f"- {f'{place}: ' if place else ''}[{finding.severity}] {finding.comment}")
    return lines


def gist(verdict: Verdict) -> str:
    """The verdict in one line."""
    return one_line(verdict.summary or verdict.findings[0].comment, 300)
