"""Collects the named types of a schema from the hints of its fields."""

from __future__ import annotations

import enum

from fraiseql_subs.errors import SchemaError
from fraiseql_subs.schema.classes import Field, fields_of
from fraiseql_subs.schema.hints import (
    EnumHint,
    Hint,
    LiteralHint,
    ObjectHint,
    ScalarHint,
    UnionHint,
    innermost,
)
from fraiseql_subs.schema.markers import Scalar
from fraiseql_subs.schema.names import check_name, is_enum_value

_ROOTS = frozenset({"Query", "Mutation", "Subscription"})
_BUILT_IN_SCALARS = frozenset({"Int", "Float", "String", "Boolean", "ID"})

CUSTOM_SCALARS = {
    "Date": "A day in ISO 8601, such as `2024-01-31`.",
    "DateTime": "A moment in ISO 8601, such as `2024-01-31T12:00:00Z`.",
    "Decimal": "A decimal number without loss, as a string such as `12.50`.",
    "JSON": "Any JSON value.",
    "Time": "A time of day in ISO 8601, such as `12:00:00`.",
    "UUID": "A UUID, such as `123e4567-e89b-12d3-a456-426614174000`.",
}

_RESERVED = _ROOTS | _BUILT_IN_SCALARS | CUSTOM_SCALARS.keys()


class TypeRegistry:
    """Types in the order of their first use; add all outputs before the inputs.

    Args:
        given: Names of types that the schema already has; they are not collected.

    Attributes:
        scalars: Used custom scalars by name; None for those of this package.
        scalar_kinds: For custom scalars with the values of another scalar, the name of that scalar.
        enums: Enum classes and named literals, by GraphQL name.
        unions: Unions by GraphQL name.
        objects: Fields of the object types by GraphQL name.
        inputs: Fields of the input objects by GraphQL name.
        owners: The owner of each GraphQL name: a type, or (type, "input").
    """

    def __init__(self, given: frozenset[str] = frozenset()) -> None:
        self._given = given
        self.scalars: dict[str, Scalar | None] = {}
        self.scalar_kinds: dict[str, str] = {}
        self.enums: dict[str, EnumHint | LiteralHint] = {}
        self.unions: dict[str, UnionHint] = {}
        self.objects: dict[str, list[Field]] = {}
        self.inputs: dict[str, list[Field]] = {}
        self.owners: dict[str, object] = {}

    def add_output(self, hint: Hint, where: str) -> None:
        """Collect the types that a value of the type contains.

        Raises:
            SchemaError: A type cannot be part of the schema.
        """
        hint = innermost(hint)
        if isinstance(hint, UnionHint):
            if hint.name in self._given:
                return
            if self._is_new(hint.name, hint, where):
                self.unions[hint.name] = hint
            for member in hint.members:
                self.add_output(member, where)
        elif isinstance(hint, ObjectHint):
            if hint.name in self._given:
                return
            if self._is_new(hint.name, hint, where):
                # Added before its fields are read: they may refer to it.
                self.objects[hint.name] = []
                fields = self.objects[hint.name] = fields_of(hint, is_output=True)
                for field in fields:
                    self.add_output(field.hint, field.where)
        else:
            self._add_leaf(hint, where)

    def add_input(self, hint: Hint, where: str) -> None:
        """Collect the types that an argument of the type contains.

        Raises:
            SchemaError: A type cannot be part of the schema, or is a union.
        """
        hint = innermost(hint)
        if isinstance(hint, UnionHint):
            raise SchemaError(
                f"{where}: GraphQL has no unions in arguments: use one dataclass with optional "
                "fields, or one argument for each"
            )
        if isinstance(hint, ObjectHint):
            name = self.input_name(hint)
            if name in self._given:
                return
            if self._is_new(name, (hint, "input"), where):
                fields = self.inputs[name] = [f for f in fields_of(hint) if f.is_input]
                for field in fields:
                    self.add_input(field.hint, field.where)
        else:
            self._add_leaf(hint, where)

    def input_name(self, hint: ObjectHint) -> str:
        """Return the name of a class as input: `<Name>Input` if it is also an object type."""
        is_output = self.owners.get(hint.name) == hint
        return f"{hint.name}Input" if is_output else hint.name

    def _add_leaf(self, hint: Hint, where: str) -> None:
        if isinstance(hint, EnumHint):
            if hint.name in self._given:
                return
            whole = EnumHint(hint.cls)
            if self._is_new(hint.name, whole, where):
                _check_members(hint.cls, where)
                self.enums[hint.name] = whole
        elif isinstance(hint, LiteralHint):
            if hint.name not in self._given and self._is_new(hint.name, hint, where):
                self.enums[hint.name] = hint
        elif isinstance(hint, ScalarHint):
            if hint.scalar is not None:
                self._add_scalar(hint.scalar, where)
                if hint.kind is not None:
                    self.scalar_kinds.setdefault(hint.name, hint.kind)
            elif hint.name in CUSTOM_SCALARS:
                self._add_scalar(None, where, hint.name)

    def _add_scalar(self, scalar: Scalar | None, where: str, name: str = "") -> None:
        name = name if scalar is None else scalar.name
        if name in self._given:
            return
        if name not in self.scalars:
            if name in self.owners:
                raise SchemaError(
                    f"{where}: the schema has another type named `{name}`: rename the scalar"
                )
            self.scalars[name] = scalar
        elif self.scalars[name] != scalar:
            raise SchemaError(
                f"{where}: the schema has another scalar named `{name}`: use one `Scalar` for both"
            )

    def _is_new(self, name: str, owner: object, where: str) -> bool:
        known = self.owners.get(name)
        if known == owner:
            return False
        check_name(
            name,
            where,
            "rename the class, or name what is made of a generic one with `type Name = ...`",
        )
        if known is not None or name in _RESERVED or name in self.scalars:
            raise SchemaError(
                f"{where}: the schema has another type named `{name}`: rename the class, or name "
                "what is made of a generic class with `type Name = ...`"
            )
        self.owners[name] = owner
        return True


def _check_members(cls: type[enum.Enum], where: str) -> None:
    members = list(cls)
    if not members:
        raise SchemaError(f"{where}: the enum {cls.__qualname__} has no members")
    for member in members:
        place = f"{cls.__qualname__}.{member.name}"
        check_name(member.name, place, "rename the member")
        if not is_enum_value(member.name):
            raise SchemaError(f"{place}: GraphQL forbids this name in an enum: rename the member")
