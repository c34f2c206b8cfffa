"""Writes a function for each subscription with a channel, which publishes an event for it.

Not here: the types of data (`types`).
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...definition import Definition
from .types import SchemaTypes
from .writing import (
    WIDTH,
    Key,
    docstring,
    literal,
    pascal_case,
    quoted,
    snake_case,
)

_ARGUMENT = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")

_PARAMETERS = (
    "publisher",
    "channel",
    "data",
    "event_type",
    "tenant_id",
    "event_id",
    "connection",
)
"""Names that the functions use."""


@dataclass(frozen=True)
class PublisherOptions:
    """How events are published.

    Attributes:
        is_sync: Whether functions block, and take a `SyncPublisher`.
        has_tenants: Whether each event belongs to a tenant.
        has_transactions: Whether an event can be part of a transaction.
        enum_texts: What publishing makes of the members of enums, by the enum's name.
        data: Types of data that the user has named, by field.
    """

    is_sync: bool
    has_tenants: bool
    has_transactions: bool
    enum_texts: Mapping[str, Mapping[str, Any]]
    data: Mapping[str, str]


class Publishers:
    """Writes publishing functions beside the types of their schema."""

    def __init__(self, types: SchemaTypes, options: PublisherOptions) -> None:
        self._types = types
        self._options = options
        self._tables: dict[str, str] = {}

    def write(self, definitions: Iterable[Definition]) -> None:
        """Write a function for each subscription that has a channel."""
        for definition in definitions:
            if definition.channel is not None:
                self._write(definition, definition.channel)

    def _write(self, definition: Definition, channel: str) -> None:
        module, options = self._types.module, self._options
        root = self._types.schema.subscription_type
        assert root is not None, "it has the subscription"
        of = root.fields[definition.field]
        data = options.data.get(definition.field) or self._data(definition, of)
        taken = set(_PARAMETERS)
        parameters, filled = [], []
        for name in dict.fromkeys(match[1] for match in _ARGUMENT.finditer(channel) if match[1]):
            written, value = self._argument(of.args[name].type, _parameter(name, taken))
            parameters.append(written)
            filled.append(f"{quoted(name)}: {value}")
        parameters += self._event_type(definition)
        passed = ["event_type=" + self._passed_type(definition), "event_id=event_id"]
        if options.has_tenants:
            parameters.append("tenant_id: str")
            passed.append("tenant_id=tenant_id")
        parameters.append("event_id: str | None = None")
        if options.has_transactions:
            parameters.append("connection: object = None")
            passed.append("connection=connection")
        publisher = "fraiseql_subs.Publisher | fraiseql_subs.SubscriptionManager"
        if options.is_sync:
            publisher = "fraiseql_subs.SyncPublisher"
        module.use(publisher, data, *(each.partition(": ")[2] for each in parameters))
        name = module.names.take(f"publish_{snake_case(definition.field)}")
        about = f"Publish an event for the subscription `{definition.field}`.\n\n"
        about += f"Its channel is `{channel}`."
        module.add(
            f"{'' if options.is_sync else 'async '}def {name}(",
            f"    publisher: {publisher},",
            f"    data: {data},",
            "    *,",
            *(f"    {line}" for each in parameters for line in f"{each},".splitlines()),
            ") -> fraiseql_subs.Receipt:",
            *docstring(about, "    "),
            *_channel(channel, filled),
            f"    return {'' if options.is_sync else 'await '}publisher.publish(",
            "        channel,",
            "        data,",
            *(f"        {each}," for each in passed),
            "    )",
        )

    def _data(self, definition: Definition, of: Any) -> str:
        """Return the type of the data, with the keys that only the filter reads."""
        from graphql import get_named_type, is_list_type, is_object_type

        named: Any = get_named_type(of.type)
        written = self._types.data(of.type)
        inner = of.type.of_type if written[-6:] != "| None" else of.type
        if not is_object_type(named) or is_list_type(inner):
            return written
        known = {key.name for key in self._types.object_keys(named)}
        added: dict[str, Key] = {}
        for path, is_argument, value in definition.filter:
            head, *rest = path.split(".")
            if head in known or not head.isidentifier() or keyword.iskeyword(head):
                continue
            kind = "Any"
            if rest:
                kind = "dict[str, Any]"
            elif is_argument:
                kind = self._types.data(of.args[value].type)
            added.setdefault(head, Key(head, kind, description="What the filter compares."))
        if not added:
            return written
        base = self._types.names[named.name]
        name = self._types.module.names.take(f"{pascal_case(definition.field)}Data")
        about = f"The data of an event for the subscription `{definition.field}`."
        self._types.module.typed_dict(name, [*added.values()], about, base)
        return written.replace(base, name, 1)

    def _argument(self, of: Any, name: str) -> tuple[str, str]:
        """Return a parameter for an argument of the channel, and the value that it passes."""
        from graphql import get_named_type, is_enum_type

        named: Any = get_named_type(of)
        if is_enum_type(named):
            return f"{name}: {self._types.names[named.name]}", self._enum_text(named, name)
        kind = "str | int" if named.name == "ID" else self._types.python_class(named.name)
        kind = self._types.scalars.get(named.name, kind or "str")
        # An `int` is a `float` for type checkers, and has another text.
        return f"{name}: {kind}", f"float({name})" if kind == "float" else name

    def _enum_text(self, named: Any, name: str) -> str:
        texts = {
            member: value if isinstance(value, str | int | float) else member
            for member, value in self._options.enum_texts.get(named.name, {}).items()
            if member in named.values
        }
        if all(member == text for member, text in texts.items()):
            return name
        if named.name not in self._tables:
            enum = self._types.names[named.name]
            table = self._types.module.names.take(f"{snake_case(enum).upper()}_IN_CHANNELS")
            self._tables[named.name] = table
            lines = [f"    {quoted(member)}: {_constant(text)}," for member, text in texts.items()]
            of = " | ".join(sorted({type(text).__name__ for text in texts.values()}))
            self._types.module.add(f"{table}: dict[{enum}, {of}] = {{", *lines, "}")
        return f"{self._tables[named.name]}[{name}]"

    @staticmethod
    def _event_type(definition: Definition) -> list[str]:
        types = definition.event_types
        if types is None:
            return ["event_type: str | None = None"]
        return [] if len(types) == 1 else [f"event_type: {literal(types)}"]

    @staticmethod
    def _passed_type(definition: Definition) -> str:
        types = definition.event_types
        return quoted(types[0]) if types is not None and len(types) == 1 else "event_type"


def _constant(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else repr(value)


def _parameter(name: str, taken: set[str]) -> str:
    free = snake_case(name)
    while free in taken or not free.isidentifier() or keyword.iskeyword(free):
        free = f"{free}_" if free.isidentifier() else f"_{free}"
    taken.add(free)
    return free


def _channel(channel: str, filled: list[str]) -> list[str]:
    if not filled:
        return [f"    channel = {quoted(channel.replace('{{', '{').replace('}}', '}'))}"]
    start = f"    channel = fraiseql_subs.channel_name({quoted(channel)}, "
    line = f"{start}{{{', '.join(filled)}}})"
    if len(line) <= WIDTH:
        return [line]
    return [
        "    channel = fraiseql_subs.channel_name(",
        f"        {quoted(channel)},",
        "        {",
        *(f"            {each}," for each in filled),
        "        },",
        "    )",
    ]
