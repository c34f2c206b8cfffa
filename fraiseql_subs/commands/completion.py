"""The command `fraiseql-subs completion`: prints what a shell needs to complete the command."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_EPILOG = """\b
Examples:
  fraiseql-subs completion bash >>~/.bashrc
  fraiseql-subs completion zsh >>~/.zshrc
  fraiseql-subs completion fish >~/.config/fish/completions/fraiseql-subs.fish
"""


@click.command("completion", epilog=_EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script with which SHELL completes this command."""
    root = context.find_root()
    completion = get_completion_class(shell)
    assert completion is not None, "click completes for these shells"
    name = "fraiseql-subs"
    script = completion(root.command, {}, name, "_FRAISEQL_SUBS_COMPLETE")
    click.echo(script.source())
