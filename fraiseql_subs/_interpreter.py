"""Refuses subinterpreters: the threads of the core serve the main interpreter only."""

from __future__ import annotations

import importlib
from typing import Any


def refuse_subinterpreters() -> None:
    """Check that this is the main interpreter.

    Raises:
        ImportError: It is a subinterpreter.
    """
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            interpreters: Any = importlib.import_module(name)
        except ImportError:
            continue
        # Some versions of Python return the id in a tuple, some as an integer-like object.
        current, main = interpreters.get_current(), interpreters.get_main()
        if current != main:
            raise ImportError(
                "fraiseql_subs runs in the main interpreter only: import it there, and use threads "
                "or processes in place of subinterpreters"
            )
        return


refuse_subinterpreters()
