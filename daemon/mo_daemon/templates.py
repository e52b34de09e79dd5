"""The texts of prompts: built in, or the team's own below `.mo/prompts/`; and what earlier work taught."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import mo_git
from mo_git import trust
from mo_git.home import Home

BUILT_IN = Path(mo_git.__file__).parent / "prompts"
LESSONS = "lessons.md"
LESSONS_LIMIT = 4000  # characters; the newest stand at the end


def load(name: str, home: Home, environ: Mapping[str, str]) -> str:
    """The template of a phase: the team's own, else the built-in one."""
    own = _own(f"prompts/{name}.md", home, environ)
    return (BUILT_IN / f"{name}.md").read_text(encoding="utf-8") if own is None else own


def lessons(home: Home, environ: Mapping[str, str]) -> str:
    """The end of `.mo/lessons.md`; empty where there is none that counts."""
    return (_own(LESSONS, home, environ) or "").strip()[-LESSONS_LIMIT:]


def _own(relative: str, home: Home, environ: Mapping[str, str]) -> str | None:
    """A file below `.mo/` that speaks to agents.  One that git tracks counts only when the user trusts it."""
    try:
        content = (home.path / relative).read_bytes()
    except OSError:
        return None
    judge = trust.judge(home.common_dir, trust.tracked(home.top), environ=environ)
    return content.decode("utf-8", "replace") if judge(relative, content) else None
