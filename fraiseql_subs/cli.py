"""The command `fraiseql-subs`: passes the arguments to its subcommands.

Not here: the subcommands themselves.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from . import _core, postgres_command, publish_command
from ._usage import UsageError
from .publish_command import INTERRUPTED

if TYPE_CHECKING:
    from ._usage import Commands

    Run: TypeAlias = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The arguments after the command's name; default: those of the process.

    Returns:
        The exit status: 0 for success, 1 for a failure, 2 for an invalid command line, 130 after
        Ctrl-C; see the subcommands for others.
    """
    parser = argparse.ArgumentParser(
        prog="fraiseql-subs", description="GraphQL subscriptions for Python, run by Rust."
    )
    commands = parser.add_subparsers(metavar="command", required=True)
    _add_load(commands)
    publish_command.add(commands)
    postgres_command.add(commands)
    options = parser.parse_args(arguments)
    run: Run = options.run
    try:
        return run(options)
    except UsageError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED


def _add_load(commands: Commands) -> None:
    # Rust declares and parses the options of this subcommand, so argparse must not.
    command = commands.add_parser(
        "load",
        help="load a graphql-transport-ws server, and check what it delivers",
        add_help=False,
        prefix_chars="\0",
    )
    command.add_argument("arguments", nargs=argparse.REMAINDER)
    command.set_defaults(run=_load)


def _load(options: argparse.Namespace) -> int:
    return _core.load(options.arguments)
