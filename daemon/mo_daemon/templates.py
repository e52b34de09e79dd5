"""The texts of prompts: built in, or the team's own below `.mo/prompts/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import mo_git
from mo_git import trust
from mo_git.home import Home

BUILT_IN = Path(mo_git.__file__).parent / "prompts"


def load(name: str, home: Home, environ: Mapping[str, str]) -> str:
    """The template of a phase.  A git-tracked override counts only when the user trusts it."""
    own = home.path / "prompts" / f"{name}.md"
    try:
        content = own.read_bytes()
    except OSError:
        return (BUILT_IN / f"{name}.md").read_text(encoding="utf-8")
    judge = trust.judge(home.common_dir, trust.tracked(home.top), environ=environ)
    if judge(f"prompts/{name}.md", content):
        return content.decode("utf-8", "replace")
    return (BUILT_IN / f"{name}.md").read_text(encoding="utf-8")
