"""Checks that a function can be called as it will be, where it is declared."""

from __future__ import annotations

import inspect
from typing import Any

from .errors import ConfigurationError


def check_callable(place: str, function: Any, *parameters: str) -> None:
    """Refuse what cannot be called with these parameters, by position.

    Raises:
        ConfigurationError: It is no function, or has another signature.
    """
    expected = f"({', '.join(parameters)})"
    if not callable(function):
        raise ConfigurationError(f"{place} is {function!r}: give a function of {expected}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        # Not every function that is written in C tells its own.
        return
    try:
        signature.bind(*parameters)
    except TypeError as error:
        name = getattr(function, "__qualname__", type(function).__qualname__)
        bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        taken = signature.replace(parameters=bare, return_annotation=signature.empty)
        raise ConfigurationError(
            f"{place} is called with {expected}, but {name} takes {taken}: {error}"
        ) from None
