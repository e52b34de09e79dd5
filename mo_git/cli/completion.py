"""`mo completion`: the script that lets a shell complete verbs, options and goals."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

COMPLETE_VARIABLE = "_MO_COMPLETE"


@click.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  mo completion bash > ~/.local/share/bash-completion/completions/mo
    zsh:   mo completion zsh > a file _mo in a directory of $fpath
    fish:  mo completion fish > ~/.config/fish/completions/mo.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows these shells"
    # not kind.source(): for bash that starts bash to look at its version
    script = kind(click.Group(), {}, "mo", COMPLETE_VARIABLE)
    click.echo(script.source_template % script.source_vars())
