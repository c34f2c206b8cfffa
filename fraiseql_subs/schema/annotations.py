"""Reads Python annotations as GraphQL types.

`read_hint` converts an annotation to one of a few small values (`hints`). All decisions about a
type are made here; the printer and the argument converters use only these values.
"""

from __future__ import annotations

import collections
import collections.abc
import enum
import sys
import types
import typing
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin
from uuid import UUID

import typing_extensions

from fraiseql_subs.errors import SchemaError
from fraiseql_subs.schema.generics import (
    Substitution,
    element_of,
    parameters,
    parametrised,
    substitute,
)
from fraiseql_subs.schema.hints import (
    EnumHint,
    Hint,
    ListHint,
    LiteralHint,
    ObjectHint,
    OptionalHint,
    ScalarHint,
    UnionHint,
    is_nullable,
    merged,
    nullable,
)
from fraiseql_subs.schema.kinds import is_object_class
from fraiseql_subs.schema.markers import Scalar, marker
from fraiseql_subs.schema.names import is_enum_value
from fraiseql_subs.types import ID, Skip

__all__ = ["evaluate", "qualifiers", "read_hint", "read_return_hint", "unresolved", "unwrapped"]

_SCALARS: dict[Any, str] = {
    int: "Int",
    float: "Float",
    str: "String",
    bool: "Boolean",
    ID: "ID",
    datetime: "DateTime",
    date: "Date",
    time: "Time",
    UUID: "UUID",
    Decimal: "Decimal",
}

# Python classes of list arguments. Any other iterable with an item type is also a list.
_CONTAINERS: dict[Any, type] = {
    list: list,
    set: set,
    frozenset: frozenset,
    tuple: tuple,
    collections.deque: collections.deque,
    collections.abc.Set: frozenset,
    collections.abc.MutableSet: set,
}

_LITERALS: dict[type, str] = {str: "String", int: "Int", bool: "Boolean"}

_QUALIFIERS = (
    typing_extensions.Annotated,
    typing_extensions.Required,
    typing_extensions.NotRequired,
    typing_extensions.ReadOnly,
    typing_extensions.Final,
)


def evaluate(annotation: Any, namespace: Mapping[str, Any], where: str) -> Any:
    """Resolve the forward references of one annotation.

    Args:
        annotation: A type, or its text.
        namespace: Names for annotations that are texts: the globals of the module.
        where: Location of the annotation, for the error.

    Raises:
        SchemaError: A name is unknown, or the text is not a type.
    """
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        hints = typing_extensions.get_type_hints(holder, dict(namespace), include_extras=True)
    except (AttributeError, NameError, SyntaxError, TypeError) as error:
        raise unresolved(where, annotation, error) from error
    return hints["it"]


def unresolved(where: str, annotation: Any, error: Exception) -> SchemaError:
    """Return the error for an annotation with unknown names."""
    return SchemaError(
        f"{where}: the annotation {annotation!r} cannot be resolved ({error}): define or import "
        "its types at module level, not only under TYPE_CHECKING or inside a function"
    )


def read_hint(annotation: Any, where: str) -> Hint:
    """Read a resolved annotation.

    Args:
        annotation: A type without forward references.
        where: Location of the annotation, such as ``"Order.total"``, for the error.

    Raises:
        SchemaError: GraphQL has no such type; the message says what to write instead.
    """
    try:
        return _read(annotation, where)
    except RecursionError:
        _refuse(annotation, where, "it contains itself without end: annotate Any for free JSON")


def _read(annotation: Any, where: str) -> Hint:
    annotation, alias, scalar = _unwrap(annotation, where)
    if scalar is not None:
        base = get_args(annotation)[0]
        kind = _SCALARS.get(base) if isinstance(base, collections.abc.Hashable) else None
        return ScalarHint(scalar.name, scalar, kind=kind)
    if not isinstance(annotation, collections.abc.Hashable):
        _refuse(annotation, where, "annotate a type")
    if annotation in (Any, object):
        return OptionalHint(ScalarHint("JSON"))
    if isinstance(annotation, TypeVar):
        return _read_variable(annotation, annotation, where)
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _read_union(annotation, alias, where)
    if origin is Literal:
        return _read_literal(annotation, alias, where)
    return _read_named(annotation, origin, alias, where)


def read_return_hint(annotation: Any, where: str) -> Hint:
    """Read the return annotation of a resolver: `Order | Skip` is an `Order`.

    Raises:
        SchemaError: GraphQL has no such type; the message says what to write instead.
    """
    if get_origin(annotation) in (Union, types.UnionType):
        members = get_args(annotation)
        sent = [member for member in members if member is not Skip]
        if sent and len(sent) != len(members):
            annotation = Union[tuple(sent)]  # noqa: UP007 - of a list
    return read_hint(annotation, where)


def unwrapped(annotation: Any, where: str) -> Any:
    """Return an annotation without `Annotated` and aliases around it.

    Raises:
        SchemaError: The value of an alias cannot be resolved.
    """
    return _unwrap(annotation, where)[0]


def qualifiers(annotation: Any) -> set[Any]:
    """Return the qualifiers around an annotation, such as `Required` and `NotRequired`."""
    around = set()
    while (origin := get_origin(annotation)) in _QUALIFIERS:
        around.add(origin)
        annotation = get_args(annotation)[0]
    return around


def _unwrap(annotation: Any, where: str) -> tuple[Any, str | None, Scalar | None]:
    """Remove the parts of an annotation that GraphQL does not have.

    Return also the name of a `type` alias, for a type that has no name, and a scalar of the
    application.
    """
    alias = None
    while annotation is not ID:
        if _is_json_value(annotation):
            return Any, None, None
        if (scalar := marker(annotation, Scalar)) is not None:
            return annotation, alias, scalar
        origin = get_origin(annotation)
        if origin in _QUALIFIERS or _is_mapped(origin):
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif isinstance(origin, _ALIASES):
            # A generic alias has no single name: different arguments make different types.
            given = zip(origin.__type_params__, get_args(annotation), strict=False)
            annotation = _value_of(origin, dict(given), where)
        elif isinstance(annotation, _ALIASES):
            alias = alias or annotation.__name__
            annotation = _value_of(annotation, {}, where)
        else:
            break
    return annotation, alias, None


# Before Python 3.14 the alias class of typing_extensions is not that of the `type` statement.
_ALIASES: tuple[Any, ...] = (
    typing_extensions.TypeAliasType,
    getattr(typing, "TypeAliasType", typing_extensions.TypeAliasType),
)


def _value_of(alias: Any, arguments: Substitution, where: str) -> Any:
    try:
        value = alias.__value__
    except (AttributeError, NameError, SyntaxError, TypeError) as error:
        raise unresolved(where, alias, error) from error
    return substitute(_evaluated(value, alias, where), arguments)


def _evaluated(annotation: Any, owner: Any, where: str) -> Any:
    """Resolve the annotation of an alias or a type variable if it is a text."""
    if not isinstance(annotation, str | typing_extensions.ForwardRef):
        return annotation
    module = sys.modules.get(owner.__module__)
    return evaluate(annotation, {} if module is None else vars(module), where)


def _is_mapped(origin: Any) -> bool:
    """Whether this is SQLAlchemy's `Mapped`, the wrapper of a column's type."""
    name = getattr(origin, "__name__", "")
    return name == "Mapped" and origin.__module__.startswith("sqlalchemy.")


def _is_json_value(annotation: Any) -> bool:
    """Whether this is pydantic's type of any JSON value, an alias that contains itself."""
    known = getattr(sys.modules.get("pydantic"), "JsonValue", None)
    return known is not None and annotation is known


def _read_variable(variable: Any, generic: Any, where: str) -> Hint:
    """Read a type variable without an argument: its default, or its bound."""
    has_default = getattr(variable, "has_default", None)
    if has_default is not None and has_default():
        return read_hint(_evaluated(variable.__default__, variable, where), where)
    if variable.__bound__ is not None:
        return read_hint(_evaluated(variable.__bound__, variable, where), where)
    _refuse(generic, where, "say what it holds where it is used, such as `Page[Order]`")


def _read_union(annotation: Any, alias: str | None, where: str) -> Hint:
    hints = [
        read_hint(member, where) for member in get_args(annotation) if member is not type(None)
    ]
    is_null = len(hints) < len(get_args(annotation)) or any(is_nullable(hint) for hint in hints)
    hints = [hint.of if isinstance(hint, OptionalHint) else hint for hint in hints]
    hint = _one_of(hints, alias, annotation, where)
    return nullable(hint) if is_null else hint


def _one_of(hints: list[Hint], alias: str | None, annotation: Any, where: str) -> Hint:
    if len(hints) == 1:
        return hints[0]
    flat = [part for hint in hints for part in (_members(hint) or [hint])]
    objects = list(dict.fromkeys(hint for hint in flat if isinstance(hint, ObjectHint)))
    if len(objects) == len(flat):
        if len(objects) == 1:
            return objects[0]
        return UnionHint(alias or "Or".join(hint.name for hint in objects), tuple(objects))
    hint: Hint | None = flat[0]
    for other in flat[1:]:
        hint = merged(hint, other) if hint is not None else None
    if hint is None:
        _refuse(annotation, where, "a union may hold dataclasses, TypedDicts and models only")
    if isinstance(hint, ScalarHint) and hint.values:
        return _named_literal(hint, alias)
    return hint


def _members(hint: Hint) -> tuple[ObjectHint, ...]:
    return hint.members if isinstance(hint, UnionHint) else ()


def _read_literal(annotation: Any, alias: str | None, where: str) -> Hint:
    values = tuple(dict.fromkeys(get_args(annotation)))
    present = tuple(value for value in values if value is not None)
    classes = {type(value) for value in present}
    if len(classes) != 1:
        _refuse(annotation, where, "its values have to be of one kind: strings, numbers, members")
    (cls,) = classes
    hint: Hint
    if issubclass(cls, enum.Enum):
        hint = EnumHint(cls, present)
    elif cls in _LITERALS:
        hint = _named_literal(ScalarHint(_LITERALS[cls], values=present), alias)
    else:
        _refuse(annotation, where, "use strings, whole numbers or members of an enum")
    return hint if len(present) == len(values) else nullable(hint)


def _named_literal(hint: ScalarHint, alias: str | None) -> Hint:
    """Return an enum for a named literal of strings that are GraphQL names."""
    is_enum = hint.name == "String" and all(is_enum_value(value) for value in hint.values)
    return LiteralHint(alias, hint.values) if alias and is_enum else hint


def _read_named(annotation: Any, origin: Any, alias: str | None, where: str) -> Hint:
    if annotation in _SCALARS:
        return ScalarHint(_SCALARS[annotation])
    # `issubclass` does not accept a TypedDict, so it has to be checked before `dict`.
    if is_object_class(origin or annotation):
        return _read_object(annotation, alias, where)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return EnumHint(annotation)
    container = origin or annotation
    if isinstance(container, type) and issubclass(container, collections.abc.Mapping):
        arguments = get_args(annotation)
        key, value = arguments if len(arguments) == 2 else (str, Any)
        return ScalarHint("JSON", mapping=(key, value))
    if container is tuple:
        _check_tuple(get_args(annotation), where)
    element = element_of(annotation)
    if element is not None:
        return ListHint(read_hint(element, where), _CONTAINERS.get(container, list))
    _refuse(annotation, where, _remedy(annotation, origin))


def _read_object(annotation: Any, alias: str | None, where: str) -> ObjectHint:
    cls, name, arguments = parametrised(annotation)
    if not arguments:
        for parameter in parameters(cls):
            if isinstance(parameter, TypeVar):
                _read_variable(parameter, cls, where)
        return ObjectHint(cls, (), name)
    names = [_name_of(read_hint(argument, where)) for argument in arguments]
    return ObjectHint(cls, arguments, alias or "".join([*names, name]))


def _name_of(hint: Hint) -> str:
    """Return the part that a type argument adds to the name of a generic class."""
    if isinstance(hint, OptionalHint):
        return f"Optional{_name_of(hint.of)}"
    if isinstance(hint, ListHint):
        return f"{_name_of(hint.item)}List"
    return hint.name


def _check_tuple(arguments: tuple[Any, ...], where: str) -> None:
    if len(arguments) != 2 or arguments[1] is not Ellipsis:
        _refuse(tuple, where, "a tuple is a list of one type: write `tuple[X, ...]`")


def _remedy(annotation: Any, origin: Any) -> str:
    if isinstance(annotation, str | typing_extensions.ForwardRef):
        # Python 3.10 does not resolve the text in `list["Order"]`.
        return 'quote the whole annotation, such as "list[Order]"'
    if annotation is type(None):
        return "a field has a value; annotate its type, such as `Order | None`"
    if (origin or annotation) in _STREAMS:
        return "a resolver returns the value for one event; annotate that value's type"
    if isinstance(annotation, type) and issubclass(annotation, collections.abc.Iterable):
        if not issubclass(annotation, str | bytes | bytearray):
            return "say what it holds: `list[X]`"
    if isinstance(annotation, type):
        return "make it a dataclass, a TypedDict or a model, or annotate it with a Scalar"
    return "use a dataclass, a TypedDict, an Enum, a list, a scalar, or Any for free JSON"


_STREAMS = (
    collections.abc.AsyncIterable,
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
)


def _refuse(annotation: Any, where: str, remedy: str) -> NoReturn:
    name = annotation.__qualname__ if isinstance(annotation, type) else repr(annotation)
    raise SchemaError(f"{where}: `{name}` is not a GraphQL type: {remedy}")
