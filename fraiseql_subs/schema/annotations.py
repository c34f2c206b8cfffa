"""Python annotations read as GraphQL types.

`read_hint` turns an annotation into one of five small values; all that is decided about a type is
decided here once, and the printer and the argument converters look at these values only.
"""

from __future__ import annotations

import collections.abc
import enum
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Literal, NoReturn, TypeAlias, Union, get_args, get_origin
from uuid import UUID

import typing_extensions

from fraiseql_subs.errors import SchemaError
from fraiseql_subs.schema.kinds import is_object_class
from fraiseql_subs.schema.markers import Scalar, marker
from fraiseql_subs.types import ID


@dataclass(frozen=True, slots=True)
class ScalarHint:
    """A scalar by its GraphQL name; `scalar` says more of one that the application declares.

    `kind` is then the name of the scalar that its Python class has otherwise.
    """

    name: str
    scalar: Scalar | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class EnumHint:
    """An enum class; its member names are the GraphQL values."""

    cls: type[enum.Enum]


@dataclass(frozen=True, slots=True)
class ObjectHint:
    """A dataclass, TypedDict or pydantic model."""

    cls: type


@dataclass(frozen=True, slots=True)
class UnionHint:
    """One of several object classes."""

    name: str
    members: tuple[ObjectHint, ...]


@dataclass(frozen=True, slots=True)
class ListHint:
    """A list; `container` is the Python class an argument is given as."""

    item: Hint
    container: type = list


@dataclass(frozen=True, slots=True)
class OptionalHint:
    """A type that may be null; all others may not."""

    of: Hint


Hint: TypeAlias = ScalarHint | EnumHint | ObjectHint | UnionHint | ListHint | OptionalHint

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

_CONTAINERS: dict[Any, type] = {
    list: list,
    set: set,
    frozenset: frozenset,
    tuple: tuple,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Collection: list,
    collections.abc.Iterable: list,
    collections.abc.Set: set,
}

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
        namespace: Names that texts are looked up in: the globals of the module.
        where: Place of the annotation, for the error.

    Raises:
        SchemaError: A name is not known, or the text is no type.
    """
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        hints = typing_extensions.get_type_hints(holder, dict(namespace), include_extras=True)
    except (AttributeError, NameError, SyntaxError, TypeError) as error:
        raise unresolved(where, annotation, error) from error
    return hints["it"]


def unresolved(where: str, annotation: Any, error: Exception) -> SchemaError:
    """Make the error for an annotation whose names cannot be found."""
    return SchemaError(
        f"{where}: the annotation {annotation!r} cannot be resolved ({error}): define or import "
        "its types at module level, not only under TYPE_CHECKING or inside a function"
    )


def read_hint(annotation: Any, where: str) -> Hint:
    """Read a resolved annotation.

    Args:
        annotation: A type without forward references.
        where: Place of the annotation, such as ``"Order.total"``, for the error.

    Raises:
        SchemaError: GraphQL has no such type; the message says what to write instead.
    """
    annotation, alias, scalar = _unwrap(annotation)
    if scalar is not None:
        base = get_args(annotation)[0]
        kind = _SCALARS.get(base) if isinstance(base, collections.abc.Hashable) else None
        return ScalarHint(scalar.name, scalar, kind)
    if not isinstance(annotation, collections.abc.Hashable):
        _refuse(annotation, where, "annotate a type")
    if annotation in (Any, object):
        return OptionalHint(ScalarHint("JSON"))
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _read_union(annotation, alias, where)
    if (origin or annotation) in _CONTAINERS:
        return _read_list(origin or annotation, get_args(annotation), where)
    return _read_named(annotation, origin, where)


def is_nullable(hint: Hint) -> bool:
    """Tell whether a value of the type may be null."""
    return isinstance(hint, OptionalHint)


def nullable(hint: Hint) -> OptionalHint:
    """Return the type with null allowed."""
    return hint if isinstance(hint, OptionalHint) else OptionalHint(hint)


def qualifiers(annotation: Any) -> set[Any]:
    """Return the qualifiers around an annotation, such as `Required` and `NotRequired`."""
    found = set()
    while (origin := get_origin(annotation)) in _QUALIFIERS:
        found.add(origin)
        annotation = get_args(annotation)[0]
    return found


def _unwrap(annotation: Any) -> tuple[Any, str | None, Scalar | None]:
    """Take off what GraphQL does not see.

    Kept are the name of a `type` alias, which names a union, and a scalar of the application.
    """
    alias = None
    while annotation is not ID:
        if (scalar := marker(annotation, Scalar)) is not None:
            return annotation, alias, scalar
        if get_origin(annotation) in _QUALIFIERS:
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif isinstance(annotation, _ALIASES):
            alias = alias or annotation.__name__
            annotation = annotation.__value__
        else:
            break
    return annotation, alias, None


# Until Python 3.14 the alias of typing_extensions and that of the `type` statement differ.
_ALIASES: tuple[Any, ...] = (
    typing_extensions.TypeAliasType,
    getattr(typing, "TypeAliasType", typing_extensions.TypeAliasType),
)


def _read_union(annotation: Any, alias: str | None, where: str) -> Hint:
    members = get_args(annotation)
    present = [member for member in members if member is not type(None)]
    if len(present) == 1:
        hint = read_hint(present[0], where)
    else:
        hints = [read_hint(member, where) for member in present]
        objects = tuple(hint for hint in hints if isinstance(hint, ObjectHint))
        if len(objects) != len(hints):
            _refuse(annotation, where, "a union may hold dataclasses, TypedDicts and models only")
        name = alias or "Or".join(hint.cls.__name__ for hint in objects)
        hint = UnionHint(name, objects)
    return hint if len(present) == len(members) else nullable(hint)


def _read_list(origin: Any, arguments: tuple[Any, ...], where: str) -> Hint:
    if origin is tuple:
        if len(arguments) != 2 or arguments[1] is not Ellipsis:
            _refuse(tuple, where, "a tuple is a list of one type: write `tuple[X, ...]`")
        arguments = arguments[:1]
    if not arguments:
        _refuse(origin, where, "say what it holds: `list[X]`")
    return ListHint(read_hint(arguments[0], where), _CONTAINERS[origin])


def _read_named(annotation: Any, origin: Any, where: str) -> Hint:
    if annotation in _SCALARS:
        return ScalarHint(_SCALARS[annotation])
    # A TypedDict is no class to `issubclass`, so it has to be asked for before `dict` is.
    if is_object_class(annotation):
        return ObjectHint(annotation)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return EnumHint(annotation)
    container = origin or annotation
    if isinstance(container, type) and issubclass(container, collections.abc.Mapping):
        return ScalarHint("JSON")
    _refuse(annotation, where, _remedy(annotation, origin))


def _remedy(annotation: Any, origin: Any) -> str:
    if isinstance(annotation, str | typing_extensions.ForwardRef):
        # Python 3.10 does not look into `list["Order"]`.
        return 'quote the whole annotation, such as "list[Order]"'
    if annotation is type(None):
        return "a field has a value; annotate its type, such as `Order | None`"
    if origin is Literal:
        return "give the values a name: write an `enum.Enum` class"
    if is_object_class(origin):
        return "GraphQL has no generics: subclass it, `class OrderPage(Page[Order])`"
    if origin in (collections.abc.AsyncIterator, collections.abc.AsyncGenerator):
        return "a resolver returns the value for one event; annotate that value's type"
    if isinstance(annotation, type):
        return "make it a dataclass, a TypedDict or a model, or annotate it with a Scalar"
    return "use a dataclass, a TypedDict, an Enum, a list, a scalar, or Any for free JSON"


def _refuse(annotation: Any, where: str, remedy: str) -> NoReturn:
    name = annotation.__qualname__ if isinstance(annotation, type) else repr(annotation)
    raise SchemaError(f"{where}: `{name}` is no GraphQL type: {remedy}")
