"""Reads the `schema=` of a manager: SDL, or a schema with its own executor."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from . import decorators
from ._callables import check_callable
from .definition import Definition
from .delegate import ContextGetter, Delegate
from .errors import ConfigurationError, SchemaError
from .executors import (
    attributes_of,
    enum_tables,
    find_executor,
    guarded_fields,
    has_permissions,
)
from .schema import SchemaSource, load_sdl
from .schema.build import scalar_value
from .schema.enums import EnumTable
from .schema.markers import Scalar


def read_schema(
    schema: object,
    context_getter: ContextGetter | None,
    root_value: Any = None,
    *,
    debug: bool = False,
) -> str | Delegate | None:
    """Read the `schema=` of a manager; return SDL as text.

    Raises:
        SchemaError: It is not a schema of a supported kind.
        ConfigurationError: A `context_getter` or `root_value` is set without an executor, or cannot
            be called with a `Context`.
    """
    if schema is None or isinstance(schema, str | Path):
        for name, value in (("context_getter", context_getter), ("root_value", root_value)):
            if value is not None:
                raise ConfigurationError(
                    f"{name} is for the executor of a Strawberry, Ariadne or graphql-core"
                    " schema: leave it out, or pass such a schema"
                )
        # The line break marks it as SDL for later calls.
        return None if schema is None else f"{load_sdl(schema)}\n"
    executor = find_executor(schema)
    if executor is None:
        raise SchemaError(
            f"schema={schema!r} is not a schema: pass SDL, a Path, or a schema of Strawberry,"
            " Ariadne or graphql-core"
        )
    if context_getter is not None:
        check_callable("context_getter", context_getter, "context")
    if callable(root_value):
        check_callable("root_value", root_value, "context")
    return Delegate(
        field="",
        kind="delegate",
        channel=None,
        executor=executor,
        context_getter=context_getter,
        root_value=root_value,
        debug=debug,
    )


def add_subscriptions(
    delegate: Delegate,
    definitions: Sequence[Definition],
    scalars: Iterable[Scalar],
    enums: Iterable[EnumTable],
) -> tuple[SchemaSource, list[Definition]]:
    """Build the served schema, and the definitions that the core reads.

    A schema with a `Subscription` type has to contain the declared fields. To a schema without one,
    they are added, built from their type hints; types that it already has are used unchanged.

    Raises:
        SchemaError: The declarations do not fit the schema.
    """
    from graphql import print_schema

    core = delegate.executor.core
    sdl = print_schema(core)
    known = enum_tables(core)
    tables = [*known, *enums]
    values = {
        name: [(member, scalar_value(member, value)) for member, value in members]
        for name, members in known
    }
    if core.subscription_type is not None or not definitions:
        source, resolved = decorators.resolve(definitions, sdl, scalars, tables, values)
        _check_permissions(core, definitions)
        source = dataclasses.replace(
            source, attributes=attributes_of(core), guarded=guarded_fields(core)
        )
        return source, [*resolved, delegate]
    if "Subscription" in core.type_map:
        raise SchemaError(
            "the schema has a type named `Subscription` that is not its subscription type: rename"
            " it, so that subscriptions can be added"
        )
    given = frozenset(core.type_map)
    added, resolved = decorators.resolve(definitions, None, scalars, given=given)
    parts = [sdl, added.sdl]
    if sdl.lstrip().startswith("schema") or "\nschema " in sdl:
        parts.append("extend schema {\n  subscription: Subscription\n}")
    source = dataclasses.replace(
        added,
        sdl="\n\n".join(parts),
        attributes=attributes_of(core),
        guarded=guarded_fields(core),
        enum_values={**values, **added.enum_values},
        published_enums=[*tables, *added.published_enums],
    )
    return source, [*resolved, dataclasses.replace(delegate, partial=True)]


def _check_permissions(core: Any, definitions: Iterable[Definition]) -> None:
    """Refuse a declared field that has permissions in the schema, which would not be checked.

    The declared function replaces the resolver of the schema, and so its permissions.

    Raises:
        SchemaError: There is one.
    """
    fields = getattr(core.subscription_type, "fields", {})
    for definition in definitions:
        if has_permissions(fields.get(definition.field)):
            raise SchemaError(
                f"`{core.subscription_type.name}.{definition.field}` has permission_classes or"
                " extensions in the schema, which are not run for a declared subscription: remove"
                " them there, and protect it with Security(rbac=RBAC(subscriptions=...)) or in its"
                " function"
            )
