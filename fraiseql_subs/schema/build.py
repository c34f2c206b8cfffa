"""Builds a schema from type hints."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fraiseql_subs.schema.classes import Field
from fraiseql_subs.schema.enums import EnumTable, enum_table
from fraiseql_subs.schema.hints import EnumHint, Hint, LiteralHint, ObjectHint, ScalarHint
from fraiseql_subs.schema.kinds import is_model_class
from fraiseql_subs.schema.markers import Scalar
from fraiseql_subs.schema.printer import QUERY, Printer, subscription_root
from fraiseql_subs.schema.registry import TypeRegistry


@dataclass(frozen=True, slots=True)
class SchemaSource:
    """A schema, and where its values are in Python objects.

    Attributes:
        sdl: The schema in the GraphQL schema definition language.
        sources: Attribute or key in Python by (GraphQL type, GraphQL field), for the fields where
            it differs from the GraphQL name: ``{("Order", "userId"): "user_id"}``.
        attributes: As `sources`, for fields that are also read by their GraphQL names.
        enum_values: Members of each GraphQL enum as (GraphQL name, value in Python): the member's
            `.value` if it is a string, number or boolean, otherwise its name.
        published_enums: Python enums by name, which may be the name of a GraphQL enum; their
            members as (name, value). The value is published.
        scalar_kinds: For custom scalars with the values of another scalar, such as `Decimal`, the
            name of that scalar.
        serializers: Functions that convert the values of custom scalars to JSON, by GraphQL name.
        classes: Object types that are members of unions, by their Python class, and by
            `Page[Order]` for a generic class.
        guarded: Fields by (GraphQL type, GraphQL field) with resolvers or permissions that only the
            executor of an existing schema runs, so that declared subscriptions cannot select them.
        deprecated: Python names of deprecated fields.
        tags: JSON values of `Literal` fields, by (GraphQL type, GraphQL field): they distinguish
            the members of a union.
    """

    sdl: str
    sources: dict[tuple[str, str], str] = field(default_factory=dict)
    attributes: dict[tuple[str, str], str] = field(default_factory=dict)
    enum_values: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)
    serializers: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    published_enums: list[EnumTable] = field(default_factory=list)
    scalar_kinds: dict[str, str] = field(default_factory=dict)
    classes: dict[Any, list[str]] = field(default_factory=dict)
    guarded: set[tuple[str, str]] = field(default_factory=set)
    deprecated: set[str] = field(default_factory=set)
    tags: dict[tuple[str, str], list[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SubscriptionField:
    """One field of the subscription root.

    Attributes:
        name: GraphQL name.
        where: Location of the declaration, for errors.
        returns: Type of the field.
        arguments: Arguments in the order of their declaration.
        description: Text for the schema.
        deprecation: Reason of the deprecation; None: not deprecated.
    """

    name: str
    where: str
    returns: Hint
    arguments: tuple[Field, ...] = ()
    description: str | None = None
    deprecation: str | None = None


def build(fields: Sequence[SubscriptionField], given: frozenset[str] | None = None) -> SchemaSource:
    """Build the schema that has these subscription fields.

    Args:
        fields: The fields of the subscription root.
        given: Names of the types of an existing schema to which the new types are added; None:
            there is none.

    Raises:
        SchemaError: A type cannot be part of a GraphQL schema, or two have one name.
    """
    types = TypeRegistry(given or frozenset())
    for root in fields:
        types.add_output(root.returns, root.where)
    for root in fields:
        for argument in root.arguments:
            types.add_input(argument.hint, argument.where)
    printer = Printer(types)
    lines = [
        printer.subscription_field(
            root.name, root.arguments, root.returns, root.description, root.deprecation
        )
        for root in fields
    ]
    query = [QUERY] if given is None else []
    return SchemaSource(
        sdl="\n\n".join([*printer.types(), *query, *subscription_root(lines)]) + "\n",
        sources={
            (name, member.graphql_name): member.name
            for name, members in types.objects.items()
            for member in members
            if member.graphql_name != member.name
        },
        enum_values={
            name: [(member.name, scalar_value(member.name, member)) for member in hint.cls]
            for name, hint in types.enums.items()
            if isinstance(hint, EnumHint)
        },
        serializers=serializers(scalar for scalar in types.scalars.values() if scalar is not None),
        published_enums=[
            enum_table(hint.cls) for hint in types.enums.values() if isinstance(hint, EnumHint)
        ],
        scalar_kinds=types.scalar_kinds,
        classes=_classes(types),
        deprecated={
            member.name
            for members in types.objects.values()
            for member in members
            if member.deprecation is not None
        },
        tags=_tags(types),
    )


def serializers(scalars: Iterable[Scalar]) -> dict[str, Callable[[Any], Any]]:
    """Return the functions that convert values of scalars to JSON, by name."""
    return {scalar.name: scalar.serialize for scalar in scalars if scalar.serialize is not None}


def scalar_value(name: str, value: Any) -> Any:
    """Return the argument for a member of an enum: its value, or its name if that is not a scalar.

    Args:
        name: GraphQL name of the member.
        value: The member, or its value.
    """
    if isinstance(value, enum.Enum):
        value = value.value
    return value if isinstance(value, str | int | float) else name


def _members(types: TypeRegistry) -> Iterable[ObjectHint]:
    return {
        member.name: member for hint in types.unions.values() for member in hint.members
    }.values()


def _classes(types: TypeRegistry) -> dict[Any, list[str]]:
    classes: dict[Any, list[str]] = {}
    for hint in _members(types):
        classes.setdefault(hint.cls, []).append(hint.name)
        # For a pydantic model, the class itself is already specialised.
        if hint.arguments and not is_model_class(hint.cls):
            classes.setdefault(hint.cls[hint.arguments], []).append(hint.name)  # type: ignore[index]
    return classes


def _tags(types: TypeRegistry) -> dict[tuple[str, str], list[Any]]:
    return {
        (hint.name, member.graphql_name): values
        for hint in _members(types)
        for member in types.objects.get(hint.name, ())
        if (values := _literals(member.hint))
    }


def _literals(hint: Hint) -> list[Any]:
    if isinstance(hint, ScalarHint | LiteralHint):
        return list(hint.values)
    return (
        [scalar_value(member.name, member) for member in hint.only]
        if isinstance(hint, EnumHint)
        else []
    )
