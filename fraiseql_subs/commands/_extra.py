"""Says what to install where a subcommand needs more than the package.

Not here: the packages, which are in the extra `cli`.
"""

from __future__ import annotations

import importlib.util

import click


def require(module: str, what: str) -> None:
    """Check that a module is installed.

    Args:
        module: Its name.
        what: What needs it.

    Raises:
        click.ClickException: It is not; the error has the command that installs it.
    """
    if importlib.util.find_spec(module) is None:
        raise click.ClickException(
            f"{what} needs {module}, which is not installed: pip install 'fraiseql-subs[cli]'"
        )
