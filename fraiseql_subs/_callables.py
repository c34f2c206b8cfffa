"""Checks, at the declaration of a function, that it accepts the arguments of its later calls."""

from __future__ import annotations

import inspect
from typing import Any

from .errors import ConfigurationError


def check_callable(place: str, function: Any, *parameters: str) -> None:
    """Refuse a value that cannot be called with these positional parameters.

    Raises:
        ConfigurationError: It is not a function, or has another signature.
    """
    expected = f"({', '.join(parameters)})"
    if not callable(function):
        raise ConfigurationError(f"{place} is {function!r}: pass a function of {expected}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        # Some functions written in C have no signature.
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
