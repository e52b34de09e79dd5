"""Scripts of package.json: what `npm test` and its relatives start in the end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mo_daemon.commandline import recognise, words_of


@dataclass(frozen=True, slots=True)
class Script:
    """A script that ends in a test runner: the runner, and the words that start it with what follows.

    `dashes`: the manager hands on only what stands after `--`; `strict`: the script does more than that.
    """

    runner: str
    words: list[str]
    dashes: bool
    strict: bool


def package_scripts(top: Path) -> dict[str, str]:
    """The scripts of package.json; empty where there is none that can be read."""
    try:
        scripts = json.loads((top / "package.json").read_text("utf-8")).get("scripts", {})
    except (OSError, ValueError, AttributeError):
        return {}
    return {str(key): value for key, value in scripts.items() if isinstance(value, str)}


def script_of(words: list[str], at: int, top: Path | None) -> Script | None:
    """What words[at:], a package manager and its arguments, runs last; None where it is no known runner.

    `pnpm vitest` and the like, which start a program and no script, are a script of that name.
    """
    manager = PurePosixPath(words[at]).name
    rest = [word for word in words[at + 1 :] if word not in ("-s", "--silent")]
    if rest[:1] in (["run"], ["run-script"]):
        rest = rest[1:]
    if not rest or rest[0].startswith("-"):
        return None
    scripts = package_scripts(top) if top else {}
    name = "test" if rest[0] in ("t", "tst") else rest[0]
    if name in ("vitest", "jest") and name not in scripts and manager != "npm":
        return Script(name, rest, False, False)
    before, _, last = scripts.get(name, "").rpartition("&&")
    inner = words_of(last.strip()) if last.strip() else None
    found = recognise(inner, 0) if inner else None
    if not inner or not found:
        return None
    strict = bool(before) or f"pre{name}" in scripts or f"post{name}" in scripts
    return Script(found[0], [*inner, *rest], manager == "npm", strict)
