"""Python values as GraphQL literals: the defaults of arguments and input fields."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from fraiseql_subs.errors import SchemaError
from fraiseql_subs.schema.annotations import (
    EnumHint,
    Hint,
    ListHint,
    ObjectHint,
    OptionalHint,
    ScalarHint,
    UnionHint,
)
from fraiseql_subs.schema.classes import MISSING, fields_of
from fraiseql_subs.schema.names import is_name

# Classes a default of a built-in scalar may have. `bool` is an `int` to Python, not to GraphQL.
_BUILT_IN: dict[str, tuple[type, ...]] = {
    "Int": (int,),
    "Float": (int, float),
    "String": (str,),
    "Boolean": (bool,),
    "ID": (str,),
}


def literal(value: Any, hint: Hint, where: str) -> str:
    """Spell `value` as a literal of the type `hint`.

    Raises:
        SchemaError: The value is not of the type, or has no literal.
    """
    if isinstance(hint, OptionalHint):
        return "null" if value is None else literal(value, hint.of, where)
    if isinstance(hint, ListHint):
        if not isinstance(value, list | tuple | set | frozenset):
            _refuse(value, where)
        return f"[{', '.join(literal(item, hint.item, where) for item in value)}]"
    if isinstance(hint, EnumHint):
        if not isinstance(value, hint.cls):
            _refuse(value, where)
        return value.name
    if isinstance(hint, ObjectHint):
        return _object(value, hint, where)
    if isinstance(hint, UnionHint):
        _refuse(value, where)
    return _scalar(value, hint, where)


def quote(text: str) -> str:
    """Spell a text as a GraphQL string; its escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)


def _object(value: Any, hint: ObjectHint, where: str) -> str:
    is_mapping = isinstance(value, Mapping)
    if not is_mapping and not isinstance(value, hint.cls):
        _refuse(value, where)
    parts = []
    for field in fields_of(hint.cls):
        item = value.get(field.name, MISSING) if is_mapping else getattr(value, field.name)
        if item is not MISSING and field.is_input:
            parts.append(f"{field.graphql_name}: {literal(item, field.hint, where)}")
    return f"{{{', '.join(parts)}}}"


def _scalar(value: Any, hint: ScalarHint, where: str) -> str:
    if hint.name == "JSON":
        return _json(value, where)
    classes = _BUILT_IN.get(hint.name)
    if classes is None:
        return quote(value.isoformat() if hasattr(value, "isoformat") else str(value))
    if not isinstance(value, classes) or (isinstance(value, bool) and bool not in classes):
        _refuse(value, where)
    return _json(value, where)


def _json(value: Any, where: str) -> str:
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) and is_name(key) for key in value):
            _refuse(value, where)
        return f"{{{', '.join(f'{key}: {_json(item, where)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
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
