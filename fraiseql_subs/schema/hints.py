"""GraphQL types as this package reads them from annotations."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from fraiseql_subs.schema.markers import Scalar


@dataclass(frozen=True, slots=True)
class ScalarHint:
    """A scalar by its GraphQL name.

    Attributes:
        name: GraphQL name.
        scalar: What the application declares of it; None for one that this package provides.
        kind: Name of the scalar that the Python class of `scalar` has otherwise; None: it has none.
        values: The only values there are, of a `Literal`; empty: any.
    """

    name: str
    scalar: Scalar | None = None
    kind: str | None = None
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class EnumHint:
    """An enum class; its member names are the GraphQL values.

    Attributes:
        cls: The class.
        only: The only members there are, of a `Literal`; empty: any.
    """

    cls: type[enum.Enum]
    only: tuple[enum.Enum, ...] = ()

    @property
    def name(self) -> str:
        """GraphQL name."""
        return self.cls.__name__


@dataclass(frozen=True, slots=True)
class LiteralHint:
    """A `Literal` of strings that a `type` alias names: an enum whose values are the strings."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ObjectHint:
    """A class with fields.

    Attributes:
        cls: The class; of `Page[Order]` the class `Page`.
        arguments: What its type parameters stand for; empty: it has none.
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
    """A list; `container` is the Python class an argument is given as."""

    item: Hint
    container: type = list


@dataclass(frozen=True, slots=True)
class OptionalHint:
    """A type that may be null; all others may not."""

    of: Hint


Hint: TypeAlias = (
    ScalarHint | EnumHint | LiteralHint | ObjectHint | UnionHint | ListHint | OptionalHint
)


def is_nullable(hint: Hint) -> bool:
    """Tell whether a value of the type may be null."""
    return isinstance(hint, OptionalHint)


def nullable(hint: Hint) -> OptionalHint:
    """Return the type with null allowed."""
    return hint if isinstance(hint, OptionalHint) else OptionalHint(hint)


def innermost(hint: Hint) -> Hint:
    """Take lists and nullability off a type."""
    while isinstance(hint, OptionalHint | ListHint):
        hint = hint.of if isinstance(hint, OptionalHint) else hint.item
    return hint


def merged(first: Hint, second: Hint) -> Hint | None:
    """Return the one type that has the values of both; None: there is none."""
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
    # A union of what JSON consists of is how free JSON is spelled.
    is_json = _JSON in (first, second) and _is_json(first) and _is_json(second)
    return _JSON if is_json else None


_JSON = ScalarHint("JSON")


def _is_json(hint: Hint) -> bool:
    return isinstance(hint, ListHint) or (isinstance(hint, ScalarHint) and hint.scalar is None)
