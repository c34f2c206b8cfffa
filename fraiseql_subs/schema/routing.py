"""Checks declared channels, filters and event types, and resolves the arguments in them.

The names of arguments are converted to their GraphQL names. Not here: the matching of events, which
is done by the core.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from fraiseql_subs.errors import SchemaError
from fraiseql_subs.schema.classes import Field
from fraiseql_subs.schema.enums import EnumTable, enum_table
from fraiseql_subs.schema.hints import EnumHint, LiteralHint, ScalarHint
from fraiseql_subs.schema.names import is_name

Condition: TypeAlias = tuple[str, bool, Any]
"""Path in the event's data; whether the value is an argument; the argument's name or the value."""

# A doubled brace is a literal brace; a single brace that this does not match is unpaired.
_TEMPLATE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


def check_channel(channel: object, where: str) -> str:
    """Return the channel.

    Raises:
        SchemaError: It is missing, empty or not a string, or a brace in it is not closed.
    """
    if not isinstance(channel, str) or not channel:
        given = "is missing" if channel is None else f"is {channel!r}"
        raise SchemaError(f'{where}: channel {given}: name one, such as channel="orders"')
    rest = _TEMPLATE.sub("", channel)
    if "{" in rest or "}" in rest:
        raise SchemaError(
            f"{where}: channel {channel!r} has a single brace: write `{{userId}}` for an argument, "
            "`{{` and `}}` for braces"
        )
    for match in _TEMPLATE.finditer(channel):
        if match[1] is not None and not is_name(match[1]):
            raise SchemaError(
                f"{where}: channel {channel!r}: {match[1]!r} is not the name of an argument"
            )
    return channel


def check_filter(conditions: object, where: str) -> tuple[Condition, ...]:
    """Return the conditions of a filter.

    Raises:
        SchemaError: It is not a mapping, a path is malformed, or a value has no JSON form.
    """
    if conditions is None:
        return ()
    if not isinstance(conditions, Mapping):
        raise SchemaError(
            f"{where}: filter is {conditions!r}: pass a dict, such as "
            'filter={"user_id": "$userId", "region": "eu"}'
        )
    return tuple(_condition(path, value, where) for path, value in conditions.items())


def constant_types(conditions: object) -> dict[str, str | EnumTable]:
    """Return the types of a filter's constants by path, from their classes.

    A text has no entry: it may be the text of any type.
    """
    if not isinstance(conditions, Mapping):
        return {}
    types: dict[str, str | EnumTable] = {}
    for path, value in conditions.items():
        if isinstance(value, enum.Enum):
            types[path] = enum_table(type(value))
            continue
        known = [name for cls, name in _CONSTANTS if isinstance(value, cls)]
        if known:
            types[path] = known[0]
    return types


# The order matters: in Python a `bool` is an `int`, and a `datetime` is a `date`.
_CONSTANTS: tuple[tuple[type, str], ...] = (
    (bool, "Boolean"),
    (int, "Int"),
    (float, "Float"),
    (Decimal, "Decimal"),
    (datetime, "DateTime"),
    (date, "Date"),
    (time, "Time"),
    (UUID, "UUID"),
)


def check_event_types(event_types: object, where: str) -> tuple[str, ...] | None:
    """Return the event types; None: all.

    Raises:
        SchemaError: They are not strings, a single string, or empty.
    """
    if event_types is None:
        return None
    remedy = 'pass a list, such as event_types=["order.paid"], or leave it out for all'
    if isinstance(event_types, str) or not isinstance(event_types, Iterable):
        raise SchemaError(f"{where}: event_types is {event_types!r}: {remedy}")
    types = tuple(event_types)
    if not types or not all(isinstance(item, str) and item for item in types):
        raise SchemaError(f"{where}: event_types is {types!r}: {remedy}")
    return types


class ArgumentNames:
    """The declared arguments of one field, by GraphQL name and by Python name.

    Args:
        arguments: The arguments.
        where: Name of the declaration, for errors.
        remedy: Text that says how to declare an argument, with `{name}` for its name.
    """

    def __init__(self, arguments: Iterable[Field], where: str, remedy: str) -> None:
        self._known: dict[str, Field] = {}
        for argument in arguments:
            self._known[argument.graphql_name] = argument
        for argument in list(self._known.values()):
            self._known.setdefault(argument.name, argument)
        self._where = where
        self._remedy = remedy

    def in_channel(self, channel: str) -> str:
        """Return the template with the GraphQL names of its arguments.

        Raises:
            SchemaError: An argument is not declared, may be null, or is a list or an object.
        """

        def name(match: re.Match[str]) -> str:
            if match[1] is None:
                return match[0]
            argument = self._find(match[1], f"channel {channel!r}")
            is_text = isinstance(argument.hint, ScalarHint) and argument.hint.name != "JSON"
            if not is_text and not isinstance(argument.hint, EnumHint | LiteralHint):
                raise SchemaError(
                    f"{argument.where}: channel {channel!r} needs it as a part of a name: make it "
                    "a scalar or enum that is not None, or use it in `filter`"
                )
            return f"{{{argument.graphql_name}}}"

        return _TEMPLATE.sub(name, channel)

    def in_filter(self, conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
        """Return the conditions with the GraphQL names of their arguments.

        Raises:
            SchemaError: An argument is not declared.
        """
        return tuple(
            (path, True, self._find(value, f"filter[{path!r}]").graphql_name)
            if is_argument
            else (path, False, value)
            for path, is_argument, value in conditions
        )

    def _find(self, name: str, place: str) -> Field:
        if name in self._known:
            return self._known[name]
        declared = sorted({argument.graphql_name for argument in self._known.values()})
        raise SchemaError(
            f"{self._where}: {place} uses the argument `{name}`, which is not declared "
            f"(declared: {', '.join(declared) or 'none'}): {self._remedy.format(name=name)}"
        )


def _condition(path: object, value: Any, where: str) -> Condition:
    if not isinstance(path, str) or not all(path.split(".")):
        raise SchemaError(
            f"{where}: filter has the key {path!r}: use the path of a field of the event's data, "
            'such as "user_id" or "customer.id"'
        )
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, str) and value.startswith("$$"):
        return path, False, value[1:]
    if isinstance(value, str) and value.startswith("$"):
        return path, True, value[1:]
    if not _is_json(value):
        raise SchemaError(
            f"{where}: filter[{path!r}] is {value!r}, which has no JSON: use a value of the "
            "event's data, or an argument as `$name`"
        )
    return path, False, value


def _is_json(value: object) -> bool:
    if isinstance(value, float | Decimal):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(_is_json(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    return value is None or isinstance(value, str | int | date | time | UUID)
