"""A schema built from type hints."""

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
    """A schema and how its values are found in Python objects.

    Attributes:
        sdl: The schema in the GraphQL schema definition language.
        sources: Attribute or key in Python by (GraphQL type, GraphQL field), for the fields where
            it differs from the GraphQL name: ``{("Order", "userId"): "user_id"}``.
        attributes: As `sources`, for fields that are also read by their GraphQL names.
        enum_values: Members of each GraphQL enum as (GraphQL name, value in Python): the member's
            `.value` when it is a string, number or boolean, otherwise its name.
        published_enums: Enums in Python by name, which may be that of a GraphQL enum; their members
            as (name, value), of which the value is published.
        scalar_kinds: Of custom scalars with the values of another, such as `Decimal`, the name of
            that one.
        serializers: What makes JSON of the values of custom scalars, by GraphQL name.
        classes: Object types that are members of unions, by their class in Python, and by
            `Page[Order]` for what is made of a generic class.
        guarded: Fields by (GraphQL type, GraphQL field) whose resolvers or permissions are run by
            the executor of a given schema alone, so that declared subscriptions cannot select them.
        deprecated: Names in Python of fields that are deprecated.
        tags: Values that a field of such a type has in JSON, by (GraphQL type, GraphQL field), for
            fields that are a `Literal`: they tell the members of a union apart.
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
        where: Place of the declaration, for errors.
        returns: Type of the field.
        arguments: Arguments in the order of their declaration.
        description: Text for the schema.
        deprecation: Why it is deprecated; None: it is not.
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
        given: Names of the types of a schema that what is built is added to; None: it stands
            alone.

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
    """Return what makes JSON of the values of scalars, by name."""
    return {scalar.name: scalar.serialize for scalar in scalars if scalar.serialize is not None}


def scalar_value(name: str, value: Any) -> Any:
    """Return what an argument is for a member of an enum: its value, or its name without a scalar.

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
        # Of a pydantic model it is a class itself.
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
