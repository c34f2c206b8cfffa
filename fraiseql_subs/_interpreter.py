"""Refuses subinterpreters: the threads of the core serve one interpreter, the main one."""

from __future__ import annotations

import importlib
from typing import Any


def refuse_subinterpreters() -> None:
    """Check that this is the main interpreter.

    Raises:
        ImportError: It is not.
    """
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            interpreters: Any = importlib.import_module(name)
        except ImportError:
            continue
        # Some Pythons return the id beside other things, some as a kind of integer.
        current, main = interpreters.get_current(), interpreters.get_main()
        if current != main:
            raise ImportError(
                "fraiseql_subs runs in the main interpreter only: import it there, and use threads "
                "or processes in place of subinterpreters"
            )
        return


refuse_subinterpreters()
