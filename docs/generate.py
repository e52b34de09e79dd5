"""Write what docs/ says about the code from the code itself; `--check` only says whether it is up to date.

`cli.md` is made as a whole, `design.md` between its marks `<!-- from the code: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import ast
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click

from mo_daemon.classify import POLICIES, SAME_WAY, Policy
from mo_git.cli import cli
from mo_git.errors import Exit
from mo_git.ledger.schema import migrate
from mo_git.lifecycle import ARROWS
from mo_git.model import TaskState

HERE = Path(__file__).parent
ROOT = HERE.parent
COMMANDS = HERE / "cli.md"
DESIGN = HERE / "design.md"
WIDTH = 100
_BLOCK = re.compile(r"(<!-- from the code: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)

MEANINGS = {
    Exit.OK: "all is well",
    Exit.FAILED: "a goal or a task failed",
    Exit.USAGE: "the command line or a plan is wrong",
    Exit.DAEMON: "the daemon can't be reached",
    Exit.AGENT: "no agent, or it is not logged in",
    Exit.PERSON: "something waits for a person",
    Exit.NOT_FOUND: "no such goal, task, repository or file",
    Exit.CONFIG: "the settings are invalid or not trusted",
    Exit.GATE: "the gate is red",
    Exit.BUDGET: "a budget or a rate limit is used up",
    Exit.INTERRUPTED: "interrupted",
}

HEAD = """# Commands

Written by `make docs` from the commands' own help.

Ids: a goal's id, any unique beginning of it, or `@last`; `GOAL/TASK` names a task, `GOAL/TASK#2` its
second attempt.

| exit code | meaning |
|---|---|
"""


# -- cli.md -------------------------------------------------------------------------------------------


def section(command: click.Command, context: click.Context, depth: int) -> str:
    """The help of a command and of what is below it."""
    title = f"{'#' * min(depth, 4)} {context.command_path}"
    text = f"{title}\n\n```\n{command.get_help(context)}\n```\n\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if (child := command.get_command(context, name)) and not child.hidden:
                inner = click.Context(child, context, name, terminal_width=WIDTH, max_content_width=WIDTH)
                text += section(child, inner, depth + 1)
    return text


def commands() -> str:
    codes = "".join(f"| {code.value} | {MEANINGS[code]} |\n" for code in Exit)
    root = click.Context(
        cli,
        info_name="mo",
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=cli.context_settings["help_option_names"],
    )
    return f"{HEAD}{codes}\n{section(cli, root, 2).rstrip()}\n"


# -- the tables of design.md --------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def arrows() -> str:
    """The transition table of tasks."""
    order = list(TaskState)

    def rows() -> Iterator[Sequence[str]]:
        for kind, (sources, target) in ARROWS.items():
            states = ", ".join(sorted(sources, key=order.index))
            yield f"`{kind}`", states, str(target) if target else "(stays)"

    return table(("fact", "counts in the states", "the task is then"), rows())


def policies() -> str:
    """What follows from each failure class."""

    def times(policy: Policy) -> str:
        if policy.times == 0:
            return "never"
        if policy.times is None:
            return "up to the attempt limit"
        if policy.times == SAME_WAY:
            return "`retry.same_way` times in a row"
        return "once" if policy.times == 1 else f"{policy.times} times in a row"

    rows = (
        (f"`{failure}`", times(policy), *("yes" if flag else "" for flag in (policy.backoff, policy.rework)))
        for failure, policy in POLICIES.items()
    )
    return table(("class", "tried again", "after a growing wait", "only by an agent that can rework"), rows)


def ledger() -> str:
    """The tables of the ledger and their columns, as the migrations make them."""
    database = sqlite3.connect(":memory:")
    try:
        migrate(database)
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: [row[1] for row in database.execute(f"PRAGMA table_info({name})")] for name in names}
    finally:
        database.close()
    own = {name: columns for name, columns in found.items() if not name.startswith(("_", "sqlite_"))}
    return table(("table", "columns"), ((f"`{name}`", ", ".join(columns)) for name, columns in own.items()))


def modules() -> str:
    """Every module with the first paragraph of its docstring, by package."""
    text = ""
    for top in ("mo_git", "daemon/mo_daemon"):
        text += "".join(_package(path.parent) for path in sorted((ROOT / top).rglob("__init__.py")))
    return text.rstrip() + "\n"


def _package(place: Path) -> str:
    text = f"**`{place.relative_to(ROOT)}/`**: {_said(place / '__init__.py')}\n\n"
    files = sorted(path for path in place.glob("*.py") if path.name != "__init__.py")
    return text + "".join(f"- `{path.stem}`: {_said(path)}\n" for path in files) + "\n"


def _said(path: Path) -> str:
    """The first paragraph of a module's docstring on one line."""
    found = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(found.partition("\n\n")[0].split())


BLOCKS: Mapping[str, Callable[[], str]] = {
    "arrows": arrows,
    "policies": policies,
    "ledger": ledger,
    "modules": modules,
}


def design(page: str) -> str:
    """The page with its generated parts made anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{BLOCKS[found[2]]()}\n{found[3]}", page)


def main(arguments: list[str]) -> int:
    wanted = {COMMANDS: commands(), DESIGN: design(DESIGN.read_text())}
    if arguments == ["--check"]:
        old = [path.name for path, text in wanted.items() if not path.exists() or path.read_text() != text]
        if old:
            print(f"not up to date: {', '.join(old)}: make docs", file=sys.stderr)
        return 1 if old else 0
    for path, text in wanted.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
