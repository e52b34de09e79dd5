"""Which paths a task's `writes` cover."""

from __future__ import annotations

import pytest

from mo_daemon.scope import matching, outside

PATHS = ["README.md", "docs/README.md", "docs/a/b.md", "src/auth/x.py", "src/auth", "src/authx.py", "#notes"]

CASES = [
    (["src/auth/**"], ["README.md", "docs/README.md", "docs/a/b.md", "src/auth", "src/authx.py", "#notes"]),
    (["src/auth"], ["README.md", "docs/README.md", "docs/a/b.md", "src/authx.py", "#notes"]),
    (["src/auth/"], ["README.md", "docs/README.md", "docs/a/b.md", "src/auth", "src/authx.py", "#notes"]),
    (["README.md"], PATHS[1:]),
    (["*.md"], ["src/auth/x.py", "src/auth", "src/authx.py", "#notes"]),
    (["docs/*.md"], ["README.md", "docs/a/b.md", "src/auth/x.py", "src/auth", "src/authx.py", "#notes"]),
    (["**/x.py", "#*"], ["README.md", "docs/README.md", "docs/a/b.md", "src/auth", "src/authx.py"]),
    (["#notes"], PATHS[:-1]),
    (["**"], []),
    ([], PATHS),
]


@pytest.mark.parametrize(("writes", "left"), CASES)
def test_outside(writes: list[str], left: list[str]) -> None:
    assert outside(PATHS, writes) == left


def test_matching_reads_lines_as_gitignore_does() -> None:
    lines = ["# a comment", "", ".env*", "!.env.example", "/build/", "node_modules"]
    paths = [
        ".env",
        ".env.example",
        "sub/.env.local",
        "build/",
        "sub/build/",
        "a/node_modules/",
        "# a comment",
    ]
    assert matching(paths, lines) == [".env", "sub/.env.local", "build/", "a/node_modules/"]
