"""Checks the JSON of events: each value must be of the JSON type that its annotation asks for.

Nothing is converted that has another type: `"5"` and `True` are no `int`, and `"no"` is no `bool`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeAlias

Converter: TypeAlias = Callable[[Any], Any]

FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading data of a wrong type raises, in classes and scalars of applications too."""


def free(value: Any) -> Any:
    """Copy JSON of any type, as the data of an event are shared and read-only."""
    if isinstance(value, dict):
        return {key: free(item) for key, item in value.items()}
    if isinstance(value, list):
        return [free(item) for item in value]
    return value


def array(value: Any) -> list[Any]:
    """Return a value that is a JSON array."""
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is not a list")
    return value


def json_object(value: Any) -> dict[str, Any]:
    """Return a value that is a JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is not an object")
    return value


def named(place: str, convert: Converter, value: Any) -> Any:
    """Convert a member of an object or list; errors say where it is."""
    try:
        return convert(value)
    except FAULTS as error:
        raise ValueError(f"{place}: {error}") from error


def whole(value: Any) -> int:
    """Return an `int`; 5.0 is one, as some languages write whole numbers so."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is not a whole number")
    return value


def number(value: Any) -> float:
    """Return a `float`; a whole number is one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def text(value: Any) -> str:
    """Return a `str`."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def true_or_false(value: Any) -> bool:
    """Return a `bool`."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false")
    return value


def identifier(value: Any) -> str:
    """Return an `ID`: a text, or a whole number as text."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{value!r} is not an ID: a text or a whole number")
    return str(value)


def of_scalar(parse: Converter | None) -> Converter:
    """Return the converter of a scalar of the application."""
    return free if parse is None else lambda value: parse(free(value))


def member(convert: Converter) -> Converter:
    """Return a converter to members of an enum that does not take `True` for 1."""

    def checked(value: Any) -> Any:
        if not isinstance(value, str | int | float):
            # An enum with values that are no JSON scalars.
            return convert(free(value))
        found = convert(value)
        if isinstance(found, Enum) and isinstance(found.value, int | float):
            if isinstance(value, bool) != isinstance(found.value, bool):
                raise ValueError(f"{value!r} is not a valid {type(found).__name__}")
        return found

    return checked


SCALARS: dict[str, Converter] = {
    "Boolean": true_or_false,
    "Float": number,
    "ID": identifier,
    "Int": whole,
    "String": text,
}
"""Of the scalars of GraphQL."""


def mapping(key: Converter, value: Converter, *, nullable: bool) -> Converter:
    """Return a converter of objects with any keys, whose values are of one type."""

    def convert(values: Any) -> dict[Any, Any]:
        made = {}
        for name, item in json_object(values).items():
            if item is None and not nullable:
                raise ValueError(f"{name} is null")
            made[named(name, key, name)] = None if item is None else named(name, value, item)
        return made

    return convert


def items(container: type, item: Converter, *, nullable: bool) -> Converter:
    """Return a converter of arrays whose items are of one type."""

    def convert(values: Any) -> Any:
        made = []
        for index, each in enumerate(array(values)):
            if each is None and not nullable:
                raise ValueError(f"item {index} is null")
            made.append(None if each is None else named(f"item {index}", item, each))
        return made if container is list else container(made)

    return convert
