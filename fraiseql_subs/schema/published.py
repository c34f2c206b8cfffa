"""Serialises the scalars of the application in published objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from fraiseql_subs.errors import SchemaError
from fraiseql_subs.schema.annotations import read_hint
from fraiseql_subs.schema.computed import computed_fields
from fraiseql_subs.schema.generics import member_hints, parameters
from fraiseql_subs.schema.hints import Hint, ListHint, ObjectHint, OptionalHint, ScalarHint

Serialize: TypeAlias = Callable[[Any], Any]

ScalarFields: TypeAlias = dict[str, Serialize]
"""Functions that convert the values of fields to JSON, by their Python names."""


def scalar_fields(cls: type) -> ScalarFields | Callable[[Any], ScalarFields | None] | None:
    """Return the fields of a class with a `Scalar` that has `serialize`; None: there are none.

    For a generic class, return a function that returns them for one of its objects.
    """
    if parameters(cls):
        return lambda value: _read(*_made_as(value))
    return _read(cls, ())


def _made_as(value: Any) -> tuple[type, tuple[Any, ...]]:
    """Return the class and type arguments of an object that was created as `Page[Order](...)`."""
    made_as = getattr(value, "__orig_class__", None)
    return type(value), getattr(made_as, "__args__", ())


def _read(cls: type, arguments: tuple[Any, ...]) -> ScalarFields | None:
    serializers: ScalarFields = {}
    for name, annotation in _annotations(cls, arguments).items():
        try:
            serialize = _serializer(read_hint(annotation, name))
        except SchemaError:
            # A published class need not be a GraphQL type.
            continue
        if serialize is not None:
            serializers[name] = serialize
    return serializers or None


def _annotations(cls: type, arguments: tuple[Any, ...]) -> dict[str, Any]:
    try:
        hints = member_hints(cls, arguments)
        owner = ObjectHint(cls, arguments, cls.__name__)
        computed = {name: field.returns(owner) for name, field in computed_fields(cls).items()}
    except (AttributeError, NameError, SchemaError, SyntaxError, TypeError):
        return {}
    infos = getattr(cls, "model_computed_fields", {})
    return {**hints, **computed, **{name: info.return_type for name, info in infos.items()}}


def _serializer(hint: Hint) -> Serialize | None:
    if isinstance(hint, OptionalHint):
        return _serializer(hint.of)
    if isinstance(hint, ListHint):
        serialize = _serializer(hint.item)
        return None if serialize is None else _of_items(serialize)
    return hint.scalar.serialize if isinstance(hint, ScalarHint) and hint.scalar else None


def _of_items(serialize: Serialize) -> Serialize:
    # Lazily: the reader bounds the number of items.
    return lambda items: (None if item is None else serialize(item) for item in items)
