"""The command line: a lazy group, one file per verb.

`--help` and completion show the table below without importing any verb, so that no verb pays for another.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from mo_git import __version__
from mo_git.errors import Exit, MoError

# verb -> (module below mo_git.cli, one line of help); a test holds the lines to the verbs' own help
VERBS: dict[str, tuple[str, str]] = {
    "init": ("init", "Make .mo/, find and prove the gate, check git."),
    "do": ("do", "Queue a goal and follow it."),
    "plan": ("plan", "Check a plan, or let an agent make one, and show it; runs no task."),
    "status": ("status", "Show goals, tasks and what needs a person."),
    "show": ("show", "Show one goal, task or attempt in full."),
    "graph": ("graph", "Draw the DAG of a goal."),
    "logs": ("logs", "Print what the daemon, a goal or an attempt wrote."),
    "diff": ("diff", "Show what a task or a goal changes."),
    "cost": ("cost", "Show what agents cost, in dollars and tokens."),
    "flakes": ("flakes", "Show tests that pass and fail on the same tree."),
    "lessons": ("lessons", "Show what agents are taught, and what repeated failures suggest."),
    "review": (
        "review",
        "Show what waits for you; approve it, reject it, say what to change, answer a planner.",
    ),
    "attach": ("attach", "Watch a task's agent at work, and tell it something."),
    "edit": ("edit", "Change a task that has not begun, or a plan that waits."),
    "take": ("take", "Take a task over: its agent stops, its worktree is yours."),
    "give": ("give", "Give a task back: what you made is checked and becomes its candidate."),
    "simple": ("simple", "Do many independent items, each in a worktree of its own."),
    "queue": ("queue", "Put branches through the gate onto a target branch, or look at what waits."),
    "land": ("land", "Move the target branch to the goal's green integration commit."),
    "sync": ("sync", "Merge the target branch into a goal, gated."),
    "rollback": ("rollback", "Undo a task, or go back to a good commit, on top of integration."),
    "retry": ("retry", "Start failed tasks of a goal again."),
    "skip": ("skip", "Count a task as done for its dependents."),
    "cancel": ("cancel", "Stop a goal; its work is kept."),
    "pause": ("pause", "Start nothing new in a goal; what runs finishes."),
    "resume": ("resume", "Go on with a paused or halted goal."),
    "recover": ("recover", "Compare the records with git and repair what differs."),
    "gc": ("gc", "Remove worktrees, logs and keep-refs that are no longer needed."),
    "daemon": ("daemon", "Start, stop or look at the background daemon."),
    "agents": ("agents", "Show the agents found here, log in, and prove that one works."),
    "config": ("config", "Show, check and change settings."),
    "trust": ("trust", "Let commands of this repository's tracked settings run."),
    "doctor": ("doctor", "Check git, the repository, the gate, the agents and the daemon."),
    "db": ("db", "Look into the ledger (the tool of sqlite-utils, read-only)."),
    "demo": ("demo", "See it work: a scratch repository, a plan of tasks, a real gate."),
    "completion": ("completion", "Print the completion script of a shell."),
}


@dataclass
class Context:
    """What every verb gets as `obj`."""

    cwd: Path
    json: bool = False
    no_input: bool = False
    color: str = "auto"  # auto | always | never
    verbose: int = 0
    quiet: bool = False


class LazyGroup(click.Group):
    """Imports a verb's module when the verb is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"mo_git.cli.{VERBS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        verbs = [
            CompletionItem(verb, help=line)
            for verb, (_, line) in VERBS.items()
            if verb.startswith(incomplete)
        ]
        return verbs or click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, 1) if args else []
            if near:
                raise click.UsageError(f"{error.message} Did you mean '{near[0]}'?", ctx) from None
            raise


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-C",
    "directory",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Run as if started in DIR.",
)
@click.option("--json", "as_json", is_flag=True, help="Print documents (and errors) as JSON.")
@click.option(
    "--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Colour output."
)
@click.option("--no-input", is_flag=True, help="Never ask; a missing answer is an error.")
@click.option("-v", "--verbose", count=True, help="Say more.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what matters.")
@click.version_option(__version__, prog_name="mo")
@click.pass_context
def cli(
    ctx: click.Context, directory: Path, as_json: bool, color: str, no_input: bool, verbose: int, quiet: bool
) -> None:
    """One goal, many tasks in git worktrees, one green branch.

    mo turns a plan into a DAG of tasks, runs each in its own worktree and branch, merges them in order and
    gates every step on your tests.  Your branch and checkout move only when you say so (mo land).
    """
    if not directory.is_dir():
        raise MoError(f"no such directory: {directory}", code=Exit.USAGE)
    ctx.obj = Context(directory.resolve(), as_json, no_input, color, verbose, quiet)
