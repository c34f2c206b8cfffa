"""Prints collected types as SDL, the GraphQL schema definition language."""

from __future__ import annotations

from collections.abc import Iterable

from fraiseql_subs.schema import descriptions
from fraiseql_subs.schema.classes import MISSING, Field
from fraiseql_subs.schema.hints import (
    EnumHint,
    Hint,
    ListHint,
    LiteralHint,
    ObjectHint,
    OptionalHint,
    nullable,
)
from fraiseql_subs.schema.literals import literal, quote
from fraiseql_subs.schema.markers import Scalar
from fraiseql_subs.schema.registry import CUSTOM_SCALARS, TypeRegistry

# GraphQL requires a query root with a field, but such a schema has nothing to query.
QUERY = '''"""This schema has subscriptions only."""
type Query {
  _empty: Boolean
}'''


class Printer:
    """Prints the types of one registry."""

    def __init__(self, types: TypeRegistry) -> None:
        self._types = types

    def types(self) -> list[str]:
        """Print every collected type, scalars first."""
        types = self._types
        return [
            *(_scalar(name, scalar) for name, scalar in sorted(types.scalars.items())),
            *(_enum(hint) for hint in types.enums.values()),
            *(
                f"union {name} = {' | '.join(member.name for member in union.members)}"
                for name, union in types.unions.items()
            ),
            *(self._object(name, fields) for name, fields in types.objects.items()),
            *(self._input(name, fields) for name, fields in types.inputs.items()),
        ]

    def subscription_field(
        self,
        name: str,
        arguments: Iterable[Field],
        returns: Hint,
        description: str | None,
        deprecation: str | None,
    ) -> str:
        """Print one field of the subscription root."""
        printed = [self._argument(argument) for argument in arguments]
        text = f"{name}({', '.join(printed)})" if printed else name
        text = f"{text}: {self._type(returns, is_input=False)}"
        return _described(description, f"{text}{_deprecated(deprecation)}")

    def _object(self, name: str, fields: list[Field]) -> str:
        lines = [
            _described(
                field.description,
                f"{field.graphql_name}: {self._type(field.hint, is_input=False)}"
                f"{_deprecated(field.deprecation)}",
            )
            for field in fields
        ]
        return _block(self._description(name), f"type {name}", lines)

    def _input(self, name: str, fields: list[Field]) -> str:
        lines = [_described(field.description, self._input_value(field)) for field in fields]
        return _block(self._description(name), f"input {name}", lines)

    def _description(self, name: str) -> str | None:
        owner = self._types.owners[name]
        hint = owner[0] if isinstance(owner, tuple) else owner
        return descriptions.of_class(hint.cls) if isinstance(hint, ObjectHint) else None

    def _argument(self, argument: Field) -> str:
        text = self._input_value(argument)
        return f"{quote(argument.description)} {text}" if argument.description else text

    def _input_value(self, field: Field) -> str:
        hint = field.hint
        if field.default is MISSING and not field.required:
            # A factory creates the default, so the schema cannot contain it.
            hint = nullable(hint)
        text = f"{field.graphql_name}: {self._type(hint, is_input=True)}"
        # A default of None is not printed: with `= null`, an omitted argument would count as
        # passed.
        if field.default is not MISSING and field.default is not None:
            text = f"{text} = {literal(field.default, field.hint, field.where)}"
        return f"{text}{_deprecated(field.deprecation)}"

    def _type(self, hint: Hint, *, is_input: bool) -> str:
        if isinstance(hint, OptionalHint):
            return self._type(hint.of, is_input=is_input).removesuffix("!")
        if isinstance(hint, ListHint):
            return f"[{self._type(hint.item, is_input=is_input)}]!"
        if isinstance(hint, ObjectHint):
            return f"{self._types.input_name(hint) if is_input else hint.name}!"
        return f"{hint.name}!"


def subscription_root(fields: list[str]) -> list[str]:
    """Print the subscription root; a manager without subscriptions has none."""
    return [_block(None, "type Subscription", fields)] if fields else []


def _scalar(name: str, scalar: Scalar | None) -> str:
    if scalar is None:
        return _described(CUSTOM_SCALARS[name], f"scalar {name}")
    url = scalar.specified_by
    specified = "" if url is None else f" @specifiedBy(url: {quote(url)})"
    return _described(scalar.description, f"scalar {name}{specified}")


def _deprecated(reason: str | None) -> str:
    return "" if reason is None else f" @deprecated(reason: {quote(reason)})"


def _enum(hint: EnumHint | LiteralHint) -> str:
    if isinstance(hint, LiteralHint):
        return _block(None, f"enum {hint.name}", hint.values)
    names = [member.name for member in hint.cls]
    return _block(descriptions.of_class(hint.cls), f"enum {hint.name}", names)


def _block(description: str | None, head: str, lines: Iterable[str]) -> str:
    body = "\n".join(f"  {line}" for entry in lines for line in entry.split("\n"))
    return _described(description, f"{head} {{\n{body}\n}}")


def _described(description: str | None, text: str) -> str:
    if not description:
        return text
    escaped = description.replace('"""', '\\"""')
    return f'"""\n{escaped}\n"""\n{text}'
