"""Writes Python values as GraphQL literals: the defaults of arguments and input fields."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any, NoReturn
from uuid import UUID

from fraiseql_subs.errors import SchemaError
from fraiseql_subs.schema.classes import MISSING, fields_of
from fraiseql_subs.schema.hints import (
    EnumHint,
    Hint,
    ListHint,
    LiteralHint,
    ObjectHint,
    OptionalHint,
    ScalarHint,
    UnionHint,
)
from fraiseql_subs.schema.inputs import converter
from fraiseql_subs.schema.markers import Scalar
from fraiseql_subs.schema.names import is_name

# Allowed classes for defaults of built-in scalars. `bool` is an `int` in Python, not in GraphQL.
_BUILT_IN: dict[str, tuple[type, ...]] = {
    "Int": (int,),
    "Float": (int, float),
    "String": (str,),
    "Boolean": (bool,),
    "ID": (str,),
}


def literal(value: Any, hint: Hint, where: str) -> str:
    """Write `value` as a literal of the type `hint`.

    Raises:
        SchemaError: The value is not of the type, or has no literal.
    """
    if isinstance(hint, OptionalHint):
        return "null" if value is None else literal(value, hint.of, where)
    if isinstance(hint, ListHint):
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            _refuse(value, where)
        return f"[{', '.join(literal(item, hint.item, where) for item in value)}]"
    if isinstance(hint, EnumHint):
        if not isinstance(value, hint.cls) or (hint.only and value not in hint.only):
            _refuse(value, where)
        return value.name
    if isinstance(hint, LiteralHint):
        if value not in hint.values:
            _refuse(value, where)
        return str(value)
    if isinstance(hint, ObjectHint):
        return _object(value, hint, where)
    if isinstance(hint, UnionHint):
        _refuse(value, where)
    return _scalar(value, hint, where)


def quote(text: str) -> str:
    """Write a text as a GraphQL string; its escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)


def _object(value: Any, hint: ObjectHint, where: str) -> str:
    is_mapping = isinstance(value, Mapping)
    if not is_mapping and not isinstance(value, hint.cls):
        _refuse(value, where)
    parts = []
    for field in fields_of(hint):
        item = value.get(field.name, MISSING) if is_mapping else getattr(value, field.name)
        if item is not MISSING and field.is_input:
            parts.append(f"{field.graphql_name}: {literal(item, field.hint, where)}")
    return f"{{{', '.join(parts)}}}"


def _scalar(value: Any, hint: ScalarHint, where: str) -> str:
    if hint.scalar is not None:
        return _json(_serialized(value, hint.scalar, where), where)
    if hint.name == "JSON":
        return _json(value, where)
    classes = _BUILT_IN.get(hint.name)
    if classes is None:
        text = _plain(value)
        convert = converter(hint)
        try:
            if convert is None or not isinstance(text, str) or convert(text) is None:
                _refuse(value, where)
        except ValueError:
            _refuse(value, where)
        return quote(text)
    if not isinstance(value, classes) or (isinstance(value, bool) and bool not in classes):
        _refuse(value, where)
    if hint.values and value not in hint.values:
        _refuse(value, where)
    return _json(value, where)


def _serialized(value: Any, scalar: Scalar, where: str) -> Any:
    """Return the JSON form of a default, the same as in results."""
    if scalar.serialize is None:
        return value
    try:
        return scalar.serialize(value)
    except Exception as error:
        raise SchemaError(
            f"{where}: `{scalar.name}` cannot serialize the default {value!r} "
            f"({type(error).__name__}: {error}): use a value of its type, or None"
        ) from error


def _plain(value: Any) -> Any:
    """Return a value without a native JSON form in its form in results."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | UUID) else value


def _json(value: Any, where: str) -> str:
    value = _plain(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) and is_name(key) for key in value):
            _refuse(value, where)
        return f"{{{', '.join(f'{key}: {_json(item, where)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(_json(item, where) for item in value)}]"
    is_finite = not isinstance(value, float) or math.isfinite(value)
    if value is None or (isinstance(value, str | int | float) and is_finite):
        return quote(value) if isinstance(value, str) else json.dumps(value)
    _refuse(value, where)


def _refuse(value: Any, where: str) -> NoReturn:
    raise SchemaError(
        f"{where}: the default {value!r} cannot be written in the schema as a value of the "
        "annotated type: use None and fill it in inside the function"
    )
