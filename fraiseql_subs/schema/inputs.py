"""Converts JSON to the Python types of a resolver's annotations: arguments, and data of events.

For arguments the core has already done the GraphQL coercion. This module creates the Python
objects: members of enums, dates, instances of classes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, TypeAlias
from uuid import UUID

from fraiseql_subs.errors import SchemaError
from fraiseql_subs.schema import json_values
from fraiseql_subs.schema.annotations import read_hint
from fraiseql_subs.schema.classes import Field, fields_of
from fraiseql_subs.schema.hints import (
    EnumHint,
    Hint,
    ListHint,
    LiteralHint,
    ObjectHint,
    OptionalHint,
    ScalarHint,
    is_nullable,
)
from fraiseql_subs.schema.iso import parse_date, parse_date_time, parse_time
from fraiseql_subs.schema.kinds import is_model_class, is_typeddict

Converter: TypeAlias = Callable[[Any], Any]
"""Converts one JSON value that is not null; raises `ValueError` with a text for the client."""


def converter(hint: Hint) -> Converter | None:
    """Return a function that converts arguments of the type; None: no conversion is needed.

    Raises:
        SchemaError: A field of an input class has no GraphQL type.
    """
    return _converter(hint, _Reading(of_event=False))


def event_converter(hint: Hint, where: str) -> Converter:
    """Return a function that makes a value of the type of the data of an event.

    Keys of the data are the names in Python or in GraphQL. No coercion has found what is missing or
    of another type.

    Args:
        hint: The type.
        where: Location of its annotation, for errors.

    Raises:
        SchemaError: JSON does not say how to make a value of it, such as of a union.
    """
    return _event_converter(hint, _Reading(of_event=True), where)


@dataclasses.dataclass(slots=True)
class _Reading:
    """How values are read, and the classes that are known so far."""

    of_event: bool
    known: list[_ClassConverter] = dataclasses.field(default_factory=list)


def _converter(hint: Hint, reading: _Reading) -> Converter | None:
    if isinstance(hint, OptionalHint):
        return _converter(hint.of, reading)
    if isinstance(hint, ListHint):
        return _list(hint, reading)
    if isinstance(hint, EnumHint):
        return _enum(hint)
    if isinstance(hint, ObjectHint):
        return _class(hint, reading)
    if not isinstance(hint, ScalarHint):
        return None
    if hint.values:
        return _one_of(hint.values)
    return _SCALARS.get(hint.name) if hint.scalar is None else hint.scalar.parse


def _event_converter(hint: Hint, reading: _Reading, where: str) -> Converter:
    if isinstance(hint, OptionalHint):
        return _event_converter(hint.of, reading, where)
    if isinstance(hint, ListHint):
        item = _event_converter(hint.item, reading, where)
        return json_values.items(hint.container, item, nullable=is_nullable(hint.item))
    if isinstance(hint, EnumHint):
        return json_values.member(_enum(hint))
    if isinstance(hint, ObjectHint):
        return _class(hint, reading)
    if isinstance(hint, LiteralHint):
        return _one_of(hint.values)
    if not isinstance(hint, ScalarHint):
        raise SchemaError(
            f"{where}: the data of an event do not say which member of a union they are: annotate "
            "`Event`, and make the object in the resolver"
        )
    if hint.scalar is not None:
        return json_values.of_scalar(hint.scalar.parse)
    if hint.values:
        return _one_of(hint.values)
    if hint.mapping is not None:
        return _mapping(*hint.mapping, reading, where)
    return _EVENT_SCALARS[hint.name]


def _mapping(key: Any, value: Any, reading: _Reading, where: str) -> Converter:
    keys = read_hint(key, where)
    if isinstance(keys, ScalarHint) and keys.name in ("Int", "Float", "Boolean"):
        raise SchemaError(f"{where}: the keys of JSON are texts: annotate `dict[str, ...]`")
    values = read_hint(value, where)
    return json_values.mapping(
        _event_converter(keys, reading, where),
        _event_converter(values, reading, where),
        nullable=is_nullable(values),
    )


def _class(hint: ObjectHint, reading: _Reading) -> _ClassConverter:
    converter = next((known for known in reading.known if known.hint == hint), None)
    if converter is None:
        converter = _ClassConverter(hint, of_event=reading.of_event)
        # Added before its fields are read: they may refer to it.
        reading.known.append(converter)
        converter.read_fields(reading)
    return converter


def _list(hint: ListHint, reading: _Reading) -> Converter | None:
    item, container = _converter(hint.item, reading), hint.container
    if item is None:
        return None if container is list else container

    def convert(values: list[Any]) -> Any:
        return container([None if value is None else item(value) for value in values])

    return convert


def _one_of(values: tuple[Any, ...]) -> Converter:
    def convert(value: Any) -> Any:
        for known in values:
            if value == known and isinstance(value, bool) == isinstance(known, bool):
                return known
        raise ValueError(f"{value!r} is not one of {', '.join(map(repr, values))}")

    return convert


def _enum(hint: EnumHint) -> Converter:
    convert = _member(hint.cls)
    if not hint.only:
        return convert
    check = _one_of(hint.only)
    return lambda value: check(convert(value))


def _member(cls: type[Enum]) -> Converter:
    members = cls.__members__

    def convert(value: Any) -> Enum:
        # The core passes the member's value, or its name if the value has no JSON form or the
        # schema is SDL.
        try:
            return cls(value)
        except ValueError:
            if value in members:
                return members[value]
            raise

    return convert


class _ClassConverter:
    """Creates instances of a dataclass or model, and dicts with the keys of a TypedDict."""

    def __init__(self, hint: ObjectHint, *, of_event: bool) -> None:
        self.hint = hint
        self._of_event = of_event
        self._make = _maker(hint.cls)
        self._fields: list[tuple[Field, Converter | None]] = []

    def read_fields(self, reading: _Reading) -> None:
        fields = [field for field in fields_of(self.hint) if field.is_input]
        for field in fields:
            if reading.of_event:
                convert: Converter | None = _event_converter(field.hint, reading, field.where)
            else:
                convert = _converter(field.hint, reading)
            self._fields.append((field, convert))

    def __call__(self, value: dict[str, Any]) -> Any:
        members: dict[str, Any] = {}
        if self._of_event:
            json_values.json_object(value)
        for field, convert in self._fields:
            name = field.graphql_name
            if self._of_event and field.name in value:
                name = field.name
            item = value.get(name)
            if item is not None:
                members[field.input_name] = self._member(name, convert, item)
            elif self._of_event and field.required and not is_nullable(field.hint):
                raise ValueError(f"{field.name} is missing")
            elif field.required or (name in value and is_nullable(field.hint)):
                members[field.input_name] = None
        return self._make(members)

    def _member(self, name: str, convert: Converter | None, item: Any) -> Any:
        if convert is None:
            return item
        if self._of_event:
            return json_values.named(name, convert, item)
        try:
            return convert(item)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def _maker(cls: Any) -> Converter:
    if is_typeddict(cls):
        return _same
    if is_model_class(cls):
        return _model(cls)
    return lambda members: cls(**members)


def _same(value: Any) -> Any:
    return value


def _model(cls: Any) -> Converter:
    def make(members: dict[str, Any]) -> Any:
        try:
            return cls.model_validate(members)
        except ValueError as error:
            if not hasattr(error, "errors"):
                raise
            # pydantic's text is for programmers: it contains the input and a link to its site.
            problems = (
                ": ".join([*map(str, detail["loc"]), detail["msg"]]) for detail in error.errors()
            )
            raise ValueError("; ".join(problems)) from error

    return make


def _parser(parse: Callable[[str], Any], what: str) -> Converter:
    def convert(value: Any) -> Any:
        try:
            return parse(value)
        except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{value!r} is not {what}") from error

    return convert


def _decimal(value: str | int | float) -> Decimal:
    number = Decimal(str(value))
    if not math.isfinite(number):
        raise InvalidOperation
    return number


_SCALARS: dict[str, Converter] = {
    # A whole number in a Float arrives as `int`, and an ID of digits as text.
    "Int": _parser(int, "a whole number"),
    "Float": _parser(float, "a number"),
    "Date": _parser(parse_date, "a date such as 2024-01-31"),
    "DateTime": _parser(parse_date_time, "a moment in ISO 8601 such as 2024-01-31T12:00:00Z"),
    "Decimal": _parser(_decimal, "a decimal number such as 12.50"),
    "Time": _parser(parse_time, "a time of day such as 12:00:00"),
    "UUID": _parser(UUID, "a UUID"),
}

# Those of text read nothing but text.
_EVENT_SCALARS: dict[str, Converter] = {**_SCALARS, **json_values.SCALARS, "JSON": json_values.free}
