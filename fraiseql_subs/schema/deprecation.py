"""Calls and reads deprecated members (PEP 702) without a warning.

The warning is for other Python code. Clients find the deprecation in the schema.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Modules whose `deprecated` wraps a function; later versions have `warnings` in C and in Python.
_MODULES = ("typing_extensions", "warnings", "_py_warnings")


def without_warning(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that `@deprecated` wraps; any other function unchanged."""
    while True:
        inner = getattr(function, "__wrapped__", None)
        if inner is None or getattr(function, "__globals__", {}).get("__name__") not in _MODULES:
            return function
        function = inner


def read(instance: object, name: str) -> Any:
    """Return a deprecated attribute without a warning; `NotImplemented`: it is not deprecated."""
    own = getattr(instance, "__dict__", None)
    if own is not None and name in own:
        return own[name]
    for owner in type(instance).__mro__:
        member = vars(owner).get(name)
        if isinstance(member, property) and member.fget is not None:
            return without_warning(member.fget)(instance)
        if member is not None:
            break
    return NotImplemented
