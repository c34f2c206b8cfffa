"""Finds the Python enums and scalars for a schema that was not built from type hints.

A schema in SDL has only the names of an enum's members. Published is the value of a member, so the
classes are searched for in the annotations.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, TypeAlias

from fraiseql_subs.errors import ConfigurationError, SchemaError
from fraiseql_subs.schema.classes import fields_of
from fraiseql_subs.schema.hints import (
    EnumHint,
    Hint,
    ListHint,
    ObjectHint,
    OptionalHint,
    ScalarHint,
    UnionHint,
)

EnumTable: TypeAlias = tuple[str, list[tuple[str, Any]]]
"""Name of an enum, and its members as (name, value)."""


def enum_table(cls: type[enum.Enum]) -> EnumTable:
    """Return the members of a class."""
    return cls.__name__, [(member.name, member.value) for member in cls]


def check_enums(enums: Iterable[Any]) -> list[type[enum.Enum]]:
    """Return the enum classes in the `enums=` of a manager.

    Raises:
        ConfigurationError: One is not an enum class.
    """
    classes = list(enums)
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, enum.Enum)):
            raise ConfigurationError(f"enums holds {cls!r}: pass classes, such as enums=[Status]")
    return classes


class UsedTypes:
    """The enums and custom scalars in annotations.

    Attributes:
        enums: The enum classes, each once.
        scalar_kinds: For custom scalars with the values of another scalar, the name of that scalar.
    """

    def __init__(self, hints: Iterable[Hint]) -> None:
        self.enums: list[type[enum.Enum]] = []
        self.scalar_kinds: dict[str, str] = {}
        self._seen: set[ObjectHint] = set()
        for hint in hints:
            self._add(hint)

    def _add(self, hint: Hint) -> None:
        if isinstance(hint, OptionalHint):
            self._add(hint.of)
        elif isinstance(hint, ListHint):
            self._add(hint.item)
        elif isinstance(hint, UnionHint):
            for member in hint.members:
                self._add(member)
        elif isinstance(hint, ObjectHint):
            self._add_object(hint)
        elif isinstance(hint, EnumHint):
            if hint.cls not in self.enums:
                self.enums.append(hint.cls)
        elif isinstance(hint, ScalarHint) and hint.kind is not None:
            self.scalar_kinds.setdefault(hint.name, hint.kind)

    def _add_object(self, hint: ObjectHint) -> None:
        if hint in self._seen:
            return
        self._seen.add(hint)
        try:
            fields = fields_of(hint)
        except SchemaError:
            # With a schema in SDL a class need not be a GraphQL type.
            return
        for field in fields:
            self._add(field.hint)
