"""Writes typed dicts for the operations of documents: their variables, and their results.

Not here: whether documents are valid, which the core says before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import FraiseQLSubsError
from .types import SchemaTypes, wrapped
from .writing import Key, one_line_literal, pascal_case

if TYPE_CHECKING:
    from graphql import (
        FieldNode,
        FragmentDefinitionNode,
        GraphQLNamedType,
        GraphQLObjectType,
        OperationDefinitionNode,
        SelectionSetNode,
    )


class RepeatedOperationError(FraiseQLSubsError):
    """Two documents have an operation of one name."""


@dataclass
class _Selected:
    """A field of a result: where it is selected, and whether some clients may not receive it."""

    nodes: list[tuple[FieldNode, bool]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.nodes[0][0].name.value

    @property
    def is_conditional(self) -> bool:
        return all(is_conditional for _, is_conditional in self.nodes)

    @property
    def sets(self) -> list[tuple[SelectionSetNode, bool]]:
        """The selections inside, and whether each may be absent where the field is not."""
        is_only = len(self.nodes) == 1
        return [
            (node.selection_set, is_conditional and not is_only)
            for node, is_conditional in self.nodes
            if node.selection_set is not None
        ]


class DocumentTypes:
    """Writes the types of documents beside those of their schema."""

    def __init__(self, types: SchemaTypes) -> None:
        self._types = types
        self._places: dict[str, str] = {}
        self._fragments: dict[str, FragmentDefinitionNode] = {}

    def write(self, name: str, text: str) -> None:
        """Write the types of the operations of one document.

        Args:
            name: Its file, whose name an operation without a name has.
            text: A valid document.

        Raises:
            RepeatedOperationError: An operation has the name of another one.
        """
        from graphql import FragmentDefinitionNode, OperationDefinitionNode, parse

        definitions = parse(text, no_location=True).definitions
        self._fragments = {
            each.name.value: each
            for each in definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        for each in definitions:
            if isinstance(each, OperationDefinitionNode):
                self._operation(name, each)

    def _operation(self, file: str, operation: OperationDefinitionNode) -> None:
        stem = file.replace("\\", "/").rpartition("/")[2].partition(".")[0]
        given = operation.name.value if operation.name else stem
        prefix = pascal_case(given) or "Document"
        other = self._places.setdefault(prefix, file)
        if other is not file or f"{prefix}Result" in self._places:
            raise RepeatedOperationError(
                f"{file}: the operation {given} has the name of one in {other}: rename one of them"
            )
        self._places[f"{prefix}Result"] = file
        module = self._types.module
        if operation.variable_definitions:
            keys = [self._variable(each) for each in operation.variable_definitions]
            name = module.names.take(f"{prefix}Variables")
            module.typed_dict(name, keys, f"The variables of the {_told(operation, given)}.")
        root = self._types.schema.get_root_type(operation.operation)
        assert root is not None, "the document is valid"
        about = f"The data of a result of the {_told(operation, given)}."
        name = module.names.take(f"{prefix}Result")
        self._object(name, prefix, root, [(operation.selection_set, False)], about)

    def _variable(self, definition: Any) -> Key:
        from graphql import is_non_null_type, type_from_ast

        of = type_from_ast(self._types.schema, definition.type)
        is_required = is_non_null_type(of) and definition.default_value is None
        return Key(definition.variable.name.value, self._types.variable(of), is_required)

    def _object(
        self,
        name: str,
        prefix: str,
        of: GraphQLNamedType,
        sets: list[tuple[SelectionSetNode, bool]],
        about: str,
        typenames: Iterable[str] = (),
    ) -> None:
        """Write the type of an object with certain selections, after those inside it."""
        names = [*typenames] or [of.name]
        keys = []
        for key, selected in self._collect(of, sets).items():
            if selected.name == "__typename":
                written = one_line_literal(names)
            else:
                member = of.fields[selected.name]  # type: ignore[attr-defined]
                added = pascal_case(key)
                # Of the operation OrderUpdated, the field orderUpdated is an OrderUpdated.
                inside = prefix if prefix == added else f"{prefix}{added}"
                written = self._value(inside, member.type, selected)
            keys.append(Key(key, written, not selected.is_conditional))
        self._types.module.typed_dict(name, keys, about)

    def _value(self, prefix: str, of: Any, selected: _Selected) -> str:
        from graphql import is_composite_type

        def named(each: Any) -> str:
            if not is_composite_type(each):
                return self._types.leaf(each.name)
            return self._composite(prefix, each, selected.sets)

        return wrapped(of, named)

    def _composite(self, prefix: str, of: Any, sets: list[tuple[SelectionSetNode, bool]]) -> str:
        """Write the types of the objects of a field; return the type of each."""
        names = []
        groups = self._groups(of, sets)
        for members in groups:
            about = " or ".join(f"`{member.name}`" for member in members)
            suffix = ""
            if len(groups) > 1:
                suffix = f"On{members[0].name}" if len(members) == 1 else "OnOthers"
            name = self._types.module.names.take(f"{prefix}{suffix}")
            self._object(
                name,
                f"{prefix}{suffix}",
                members[0],
                sets,
                f"A selected {about}.",
                [member.name for member in members],
            )
            names.append(name)
        return " | ".join(names) or "Any"

    def _groups(
        self, of: Any, sets: list[tuple[SelectionSetNode, bool]]
    ) -> list[list[GraphQLObjectType]]:
        """Return the types that an object may have, those with equal fields together."""
        from graphql import is_object_type

        if is_object_type(of):
            return [[of]]
        groups: dict[object, list[GraphQLObjectType]] = {}
        for member in self._types.schema.get_possible_types(of):
            shape = tuple(
                (
                    key,
                    selected.name == "__typename" or str(member.fields[selected.name].type),
                    tuple((id(node), conditional) for node, conditional in selected.nodes),
                )
                for key, selected in self._collect(member, sets).items()
            )
            groups.setdefault(shape, []).append(member)
        return [*groups.values()]

    def _collect(
        self, of: GraphQLNamedType, sets: Iterable[tuple[SelectionSetNode, bool]]
    ) -> dict[str, _Selected]:
        """Return the fields that are selected of a type, by their names in the result."""
        found: dict[str, _Selected] = {}
        for selection_set, is_conditional in sets:
            for node, conditional in self._fields(of, selection_set, is_conditional):
                key = node.alias.value if node.alias else node.name.value
                found.setdefault(key, _Selected()).nodes.append((node, conditional))
        return found

    def _fields(
        self, of: GraphQLNamedType, selection_set: SelectionSetNode, is_conditional: bool
    ) -> Iterator[tuple[FieldNode, bool]]:
        from graphql import FieldNode, FragmentSpreadNode

        for each in selection_set.selections:
            inside = is_conditional or _is_conditional(each)
            if isinstance(each, FieldNode):
                yield each, inside
                continue
            fragment: Any = each
            if isinstance(each, FragmentSpreadNode):
                fragment = self._fragments[each.name.value]
            if self._applies(fragment.type_condition, of):
                yield from self._fields(of, fragment.selection_set, inside)

    def _applies(self, condition: Any, of: Any) -> bool:
        from graphql import is_abstract_type

        if condition is None or condition.name.value == of.name:
            return True
        wanted = self._types.schema.type_map[condition.name.value]
        return is_abstract_type(wanted) and self._types.schema.is_sub_type(wanted, of)


def _is_conditional(selection: Any) -> bool:
    return any(each.name.value in ("include", "skip") for each in selection.directives or ())


def _told(operation: OperationDefinitionNode, name: str) -> str:
    return f"{operation.operation.value} `{name}`"
