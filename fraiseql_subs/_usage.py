"""What the subcommands of `fraiseql-subs` share.

Not here: the subcommands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import argparse

    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


class UsageError(Exception):
    """The command line is invalid."""
