"""Knows whether a command imports a program, and refuses to serve instead of being imported.

Not here: how a command finds a manager (`commands/_target`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .errors import ConfigurationError

_loaded: list[str] = []
"""The modules that are being imported by a command."""


@contextlib.contextmanager
def loading(module: str) -> Iterator[None]:
    """Say that a command imports this module, inside the block."""
    _loaded.append(module)
    try:
        yield
    finally:
        _loaded.remove(module)


def refuse_while_loading(what: str) -> None:
    """Check that no command imports the program at this moment.

    Raises:
        ConfigurationError: A command does: serving would not return to it.
    """
    if _loaded:
        raise ConfigurationError(
            f"{what} is started while `fraiseql-subs` imports {_loaded[-1]}: begin that part of the"
            ' module with `if __name__ == "__main__":`'
        )
