"""The command `fraiseql-subs`: its subcommands, its version, and its exit status.

Not here: the subcommands themselves. Each is a module beside this one, imported when it runs.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Sequence

import click

from .._core import __version__
from ._output import checking_output
from ._status import INTERRUPTED

_SUBCOMMANDS = (
    "serve",
    "schema",
    "validate",
    "codegen",
    "subscribe",
    "publish",
    "top",
    "postgres",
    "load",
    "completion",
)


class _Subcommands(click.Group):
    """Imports a subcommand only when it is used, so that others start without what it needs."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_SUBCOMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _SUBCOMMANDS:
            return None
        command = importlib.import_module(f"{__package__}.{name}").command
        assert isinstance(command, click.Command), name
        return command


@click.group(
    cls=_Subcommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="The exit status is 0 for success, 1 for a failure, 2 for an invalid command line, 130"
    " after Ctrl-C; `fraiseql-subs COMMAND --help` names others.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def fraiseql_subs() -> None:
    """GraphQL subscriptions for Python, run by Rust."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The arguments after the command's name; default: those of the process.

    Returns:
        The exit status: 0 for success, 1 for a failure, 2 for an invalid command line, 130 after
        Ctrl-C; see the subcommands for others.
    """
    return checking_output(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        status = fraiseql_subs.main(arguments, "fraiseql-subs", standalone_mode=False)
    except click.ClickException as error:
        # The status says the rest.
        with contextlib.suppress(OSError):
            error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return status if isinstance(status, int) else 0
