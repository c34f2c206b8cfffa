"""The command `fraiseql-subs load`: passes its arguments to Rust.

Not here: its options. Rust declares them and parses them.
"""

from __future__ import annotations

import click

from .. import _core


@click.command(
    "load",
    short_help="Load a graphql-transport-ws server, and check what it delivers.",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> int:
    """Load a graphql-transport-ws server, and check what it delivers."""
    return _core.load(list(arguments))
