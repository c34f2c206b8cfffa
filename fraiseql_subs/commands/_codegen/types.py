"""Writes the types of a schema: typed dicts for objects and input objects, literals for enums.

Objects are as they are published, so their keys are those that events have. Not here: what
documents receive (`documents`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .writing import Key, Module, one_line_literal

if TYPE_CHECKING:
    from graphql import (
        GraphQLEnumType,
        GraphQLInputObjectType,
        GraphQLInterfaceType,
        GraphQLNamedType,
        GraphQLObjectType,
        GraphQLSchema,
        GraphQLUnionType,
    )

BUILT_IN = {"Int": "int", "Float": "float", "String": "str", "Boolean": "bool", "ID": "str"}

_KINDS = {
    "datetime": "datetime",
    "timestamp": "datetime",
    "date": "date",
    "time": "time",
    "uuid": "UUID",
    "guid": "UUID",
    "decimal": "Decimal",
    "bigdecimal": "Decimal",
    "bigint": "int",
    "long": "int",
    "int64": "int",
}
"""Classes of Python by names of scalars in lower case."""


@dataclass
class SchemaTypes:
    """The types of a schema in a generated module.

    Attributes:
        module: What they are written to.
        schema: The schema.
        keys: Keys of published objects by type and field, where they are not the field's name.
        scalar_kinds: Scalars with the values of another one.
        scalars: Types of scalars that the user has named.
    """

    module: Module
    schema: GraphQLSchema
    keys: Mapping[tuple[str, str], str] = field(default_factory=dict)
    scalar_kinds: Mapping[str, str] = field(default_factory=dict)
    scalars: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        roots = (
            self.schema.query_type,
            self.schema.mutation_type,
            self.schema.subscription_type,
        )
        self._written: dict[str, GraphQLNamedType] = {
            name: each
            for name, each in self.schema.type_map.items()
            if each not in roots and not name.startswith("__")
        }
        self.names = {name: self.module.names.take(name) for name in self._composite()}
        self._members = {
            member.name
            for each in self._written.values()
            if self._is_abstract(each)
            for member in self.schema.get_possible_types(each)  # type: ignore[arg-type]
        }

    def _composite(self) -> list[str]:
        from graphql import is_scalar_type

        return [name for name, each in self._written.items() if not is_scalar_type(each)]

    @staticmethod
    def _is_abstract(each: object) -> bool:
        from graphql import is_abstract_type

        return is_abstract_type(each)

    def write(self) -> None:
        """Write all types."""
        from graphql import is_enum_type, is_input_object_type, is_object_type

        types: list[Any] = [self._written[name] for name in self.names]
        for each in types:
            if is_enum_type(each):
                self._enum(each)
        for each in types:
            if is_input_object_type(each):
                self._input(each)
            elif is_object_type(each):
                self._object(each)
        for each in types:
            if self._is_abstract(each):
                self._abstract(each)

    def _enum(self, each: GraphQLEnumType) -> None:
        about = _about(f"The enum `{each.name}`.", each.description)
        self.module.literal(self.names[each.name], each.values, about)

    def _input(self, each: GraphQLInputObjectType) -> None:
        from graphql import is_required_input_field

        keys = [
            Key(
                name,
                self.variable(member.type),
                is_required_input_field(member),
                member.description,
            )
            for name, member in each.fields.items()
        ]
        about = _about(f"The input object `{each.name}`.", each.description)
        self.module.typed_dict(self.names[each.name], keys, about)

    def _object(self, each: GraphQLObjectType) -> None:
        about = _about(f"A published `{each.name}`.", each.description)
        self.module.typed_dict(self.names[each.name], self.object_keys(each), about)

    def object_keys(self, each: GraphQLObjectType) -> list[Key]:
        """Return the keys of a published object."""
        from graphql import is_non_null_type

        keys = [
            Key(
                self.keys.get((each.name, name), name),
                self.data(member.type),
                is_non_null_type(member.type),
                member.description,
            )
            for name, member in each.fields.items()
        ]
        if each.name in self._members:
            keys.insert(0, Key("__typename", one_line_literal([each.name]), is_required=False))
        return keys

    def _abstract(self, each: GraphQLInterfaceType | GraphQLUnionType) -> None:
        members = [self.names[member.name] for member in self.schema.get_possible_types(each)]
        written = f'"{" | ".join(members)}"' if members else "Any"
        about = _about(f"A published object of `{each.name}`.", each.description)
        self.module.alias(self.names[each.name], written, about)

    def data(self, of: Any) -> str:
        """Return the type of a published value."""
        return self._wrapped(of, self._data)

    def variable(self, of: Any) -> str:
        """Return the type of a variable, or a part of it."""
        return self._wrapped(of, self.leaf)

    def _wrapped(self, of: Any, named: Any) -> str:
        return wrapped(of, lambda each: str(named(each.name)))

    def _data(self, name: str) -> str:
        """Return the type of a published value, which may be one of Python."""
        if name in self.names:
            return self.names[name]
        if name in self.scalars:
            return self.scalars[name]
        if name == "ID":
            return "str | int"
        kind = self.scalar_kinds.get(name, name)
        if kind in BUILT_IN:
            return BUILT_IN[kind]
        known = _KINDS.get(kind.lower())
        return f"{known} | str" if known else "Any"

    def python_class(self, name: str) -> str | None:
        """Return the class of Python of a scalar; None: it is unknown."""
        kind = self.scalar_kinds.get(name, name)
        return BUILT_IN.get(kind) or _KINDS.get(kind.lower())

    def leaf(self, name: str) -> str:
        """Return the type of a value in JSON that has no selection."""
        if name in self.names:
            return self.names[name]
        if name in self.scalars:
            return self.scalars[name]
        kind = self.scalar_kinds.get(name, name)
        if kind in BUILT_IN:
            return BUILT_IN[kind]
        known = _KINDS.get(kind.lower())
        return "Any" if known is None else "int | str" if known == "int" else "str"


def wrapped(of: Any, named: Any) -> str:
    """Return a type with its lists, and None where it may be null."""
    from graphql import is_list_type, is_non_null_type

    if is_non_null_type(of):
        return _not_null(of.of_type, named)
    written = _not_null(of, named)
    if written == "Any" or written.endswith("| None"):
        return written
    assert not is_list_type(of) or written.startswith("list["), written
    return f"{written} | None"


def _not_null(of: Any, named: Any) -> str:
    from graphql import is_list_type

    if is_list_type(of):
        return f"list[{wrapped(of.of_type, named)}]"
    return str(named(of))


def _about(first: str, description: str | None) -> str:
    return f"{first}\n\n{description}" if description else first
