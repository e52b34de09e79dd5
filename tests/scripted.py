"""A scripted agent: what it plans, does and says is written down before; its prompts are kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.driver import Mo

_PROGRAM = """\
import json, pathlib, re, sys, time
here = pathlib.Path(__file__).parent
prompt = sys.stdin.read()
script = json.loads((here / "script.json").read_text())
phase = "plan" if prompt.startswith("Break a goal") else "work"
phase = "verify" if prompt.startswith("Say whether a goal") else phase
while phase == "verify" and (here / "hold").exists():
    time.sleep(0.05)
n = len(list(here.glob(phase + "-*"))) + 1
(here / f"{phase}-{n}").write_text(prompt)
if phase == "work":
    for path, text in json.loads(re.search(r"\\[\\[write (.*?)\\]\\]", prompt)[1]).items():
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(path).write_text(text)
    answer = script.get("said", "done")
else:
    answers = script[phase]
    if isinstance(answers, dict):
        answer = [answers[found] for found in answers if re.search(found, prompt)][-1]
    else:
        answer = answers[min(n, len(answers)) - 1]
    answer = answer if isinstance(answer, str) else json.dumps(answer)
print(json.dumps({"said": answer, "usd": 1.0}) if script["jsonl"] else answer)
"""


Answers = Sequence[Any] | Mapping[str, Any]  # one after the other, the last one repeated; or by the prompt


def use(mo: Mo, plans: Answers, verdicts: Answers, said: str = "done", **tables: Any) -> None:
    """Settings with an agent `mine` that does everything.

    Answers by the prompt are named by regular expressions; the last one that is found there counts.
    """
    place = _place(mo)
    place.mkdir(exist_ok=True)
    (place / "agent.py").write_text(_PROGRAM)
    lines = tables.get("agent", {}).get("output") == "jsonl"  # each run costs a dollar then
    script = {"plan": plans, "verify": verdicts, "said": said, "jsonl": lines}
    (place / "script.json").write_text(json.dumps(script))
    entry = {
        "kind": "generic",
        "argv": [sys.executable, str(place / "agent.py")],
        "execution_security_mode": "trusted_local",
    }
    known: dict[str, Mapping[str, Any]] = {
        "gate": {"command": "none"},
        "retry": {"base_seconds": 0.01},
        "routing": {"default_provider": "mine"},
        "agents.mine": {**entry, **tables.pop("agent", {})},
    }
    mo.configure(**{**known, **tables})


def _place(mo: Mo) -> Path:
    return mo.repo.path.parent / "scripted"


def prompts(mo: Mo, phase: str) -> list[str]:
    """What the agent was told, oldest first; `phase` is plan, work or verify."""
    count = len(list(_place(mo).glob(f"{phase}-*")))
    return [(_place(mo) / f"{phase}-{number}").read_text() for number in range(1, count + 1)]


def task(name: str, files: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """A planned task that writes files."""
    prompt = f"Do it. [[write {json.dumps(files)}]]"
    base = {"id": name, "title": name, "prompt": prompt, "depends_on": [], "writes": [], "check": ""}
    return {**base, "complexity": "moderate", "provider": "auto", **more}


def planned(*tasks: Any) -> dict[str, Any]:
    return {"questions": [], "assumptions": [], "tasks": list(tasks)}


def verdict(progress: int, *missing: str) -> dict[str, Any]:
    """Done where nothing is missing."""
    return {"done": not missing, "progress": progress, "missing": list(missing), "summary": "looked at"}
