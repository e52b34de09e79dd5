"""`mo simple`: many independent items, each done in a worktree of its own."""

from __future__ import annotations

import click

_SUBCOMMANDS = ("scan", "run", "status", "show", "resume", "retry", "cancel", "revert")


class _Group(click.Group):
    """Imports the module of a subcommand when that is called: looking does not pay for making jobs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in ("scan", "run"):
            from mo_git.cli import simple_run

            return simple_run.scan if cmd_name == "scan" else simple_run.run
        if cmd_name in ("status", "show"):
            from mo_git.cli import simple_look

            return simple_look.status if cmd_name == "status" else simple_look.show
        if cmd_name in _SUBCOMMANDS:
            from mo_git.cli import simple_act

            found: click.Command = getattr(simple_act, cmd_name)
            return found
        return None


@click.group(name="simple", cls=_Group)
def command() -> None:
    """Do many independent items, each in a worktree of its own.

    An item is a line of a manifest, or a file with words or a command for all of them.  Each accepted item is
    a commit on the job's integration branch; mo land brings them to yours.  JOB is the latest job where none
    is named.
    """
