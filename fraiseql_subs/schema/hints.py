"""The GraphQL types that this package reads from annotations."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from fraiseql_subs.schema.markers import Scalar


@dataclass(frozen=True, slots=True)
class ScalarHint:
    """A scalar by its GraphQL name.

    Attributes:
        name: GraphQL name.
        scalar: The application's declaration; None for a scalar of this package.
        kind: Name of the built-in scalar for the Python class of `scalar`; None: there is none.
        values: The allowed values of a `Literal`; empty: any value.
        mapping: Annotations of the keys and values of a `dict`, which is JSON in GraphQL; None: it
            is another type.
    """

    name: str
    scalar: Scalar | None = None
    kind: str | None = None
    values: tuple[Any, ...] = ()
    mapping: tuple[Any, Any] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class EnumHint:
    """An enum class; its member names are the GraphQL values.

    Attributes:
        cls: The class.
        only: The allowed members of a `Literal`; empty: any member.
    """

    cls: type[enum.Enum]
    only: tuple[enum.Enum, ...] = ()

    @property
    def name(self) -> str:
        """GraphQL name."""
        return self.cls.__name__


@dataclass(frozen=True, slots=True)
class LiteralHint:
    """A `Literal` of strings with a `type` alias: an enum of these strings."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ObjectHint:
    """A class with fields.

    Attributes:
        cls: The class; for `Page[Order]` the class `Page`.
        arguments: Its type arguments; empty: it has none.
        name: GraphQL name.
    """

    cls: type
    arguments: tuple[Any, ...]
    name: str

    @property
    def where(self) -> str:
        """Name of the class in errors."""
        return self.name if self.arguments else self.cls.__qualname__


@dataclass(frozen=True, slots=True)
class UnionHint:
    """One of several object classes."""

    name: str
    members: tuple[ObjectHint, ...]


@dataclass(frozen=True, slots=True)
class ListHint:
    """A list; `container` is the Python class of an argument of this type."""

    item: Hint
    container: type = list


@dataclass(frozen=True, slots=True)
class OptionalHint:
    """A nullable type; all other hints are non-null."""

    of: Hint


Hint: TypeAlias = (
    ScalarHint | EnumHint | LiteralHint | ObjectHint | UnionHint | ListHint | OptionalHint
)


def is_nullable(hint: Hint) -> bool:
    """Whether a value of the type may be null."""
    return isinstance(hint, OptionalHint)


def nullable(hint: Hint) -> OptionalHint:
    """Return the nullable form of a type."""
    return hint if isinstance(hint, OptionalHint) else OptionalHint(hint)


def innermost(hint: Hint) -> Hint:
    """Return the named type inside lists and nullability."""
    while isinstance(hint, OptionalHint | ListHint):
        hint = hint.of if isinstance(hint, OptionalHint) else hint.item
    return hint


def merged(first: Hint, second: Hint) -> Hint | None:
    """Return the type that has the values of both; None: there is none."""
    if isinstance(first, ScalarHint) and isinstance(second, ScalarHint):
        if first.mapping != second.mapping:
            first = replace(first, mapping=None)
    if first == second:
        return first
    if isinstance(first, ScalarHint) and isinstance(second, ScalarHint):
        if first.name == second.name and first.scalar == second.scalar:
            both = first.values and second.values and dict.fromkeys(first.values + second.values)
            return replace(first, values=tuple(both or ()))
        if {first.name, second.name} == {"Int", "Float"}:
            return ScalarHint("Float")
    if isinstance(first, EnumHint) and isinstance(second, EnumHint) and first.cls is second.cls:
        only = first.only and second.only and dict.fromkeys(first.only + second.only)
        return EnumHint(first.cls, tuple(only or ()))
    if isinstance(first, ListHint) and isinstance(second, ListHint) and first.item == second.item:
        return first
    # A union of all JSON types is an annotation for arbitrary JSON.
    is_json = _JSON in (first, second) and _is_json(first) and _is_json(second)
    return _JSON if is_json else None


_JSON = ScalarHint("JSON")


def _is_json(hint: Hint) -> bool:
    return isinstance(hint, ListHint) or (isinstance(hint, ScalarHint) and hint.scalar is None)
