"""What changes from one commit or tree to another, as text."""

from __future__ import annotations

from pathlib import Path

from mo_git.git.binary import Git

# A user's own diff settings must change neither paths nor what is run.
PLAIN = ("core.quotePath=false", "diff.noprefix=false", "diff.mnemonicPrefix=false")
NO_PROGRAMS = ("--no-ext-diff", "--no-textconv")


def patch(top: Path, base: str, other: str) -> str:
    """The unified diff of two commits or trees, as text."""
    git = Git(top, config=PLAIN)
    return git("diff", *NO_PROGRAMS, "--no-color", "-M", base, other, "--").text
