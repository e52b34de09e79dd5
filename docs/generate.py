"""Write docs/cli.md from the commands' own help; `--check` only says whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mo_git.cli import cli
from mo_git.errors import Exit

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 100

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


def page() -> str:
    codes = "".join(f"| {code.value} | {MEANINGS[code]} |\n" for code in Exit)
    root = click.Context(cli, info_name="mo", terminal_width=WIDTH, max_content_width=WIDTH)
    return f"{HEAD}{codes}\n{section(cli, root, 2).rstrip()}\n"


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        fresh = PAGE.exists() and PAGE.read_text() == page()
        if not fresh:
            print(f"{PAGE.name} is not up to date: make docs", file=sys.stderr)
        return 0 if fresh else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
