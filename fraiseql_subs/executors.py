"""Calls the executors of other libraries: graphql-core (also for Ariadne) and Strawberry.

None of them is a dependency: a library is imported only if the application uses its schema.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, Protocol

from .schema.enums import EnumTable


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """The input of an executor.

    Attributes:
        query: Text of the document.
        variables: Values of its variables, as the client sent them.
        name: Name of the operation in the document; None: the client sent none.
        extensions: Extensions of the request.
        context: Context value for resolvers.
        root: Root value for resolvers of root fields.
    """

    query: str
    variables: Mapping[str, Any]
    name: str | None
    extensions: Mapping[str, Any]
    context: Any
    root: Any


class SchemaExecutor(Protocol):
    """Runs the operations of a schema.

    Attributes:
        core: The schema as a graphql-core schema.
    """

    core: Any

    def execute(self, operation: Operation) -> Awaitable[Any]:
        """Run a query or mutation; the result is an `ExecutionResult` of graphql-core."""

    def subscribe(self, operation: Operation) -> Awaitable[Any]:
        """Start a subscription; the result is an async iterator of results, or one result."""

    def refuse(self, operation: Operation, message: str) -> Awaitable[list[Any] | None]:
        """Return the executor's own errors for a refused document, without running it.

        None: the executor finds no error. `message` is the error that this package found.
        """


def find_executor(schema: object) -> SchemaExecutor | None:
    """Return the executor of a schema; None: it is not a schema of a supported library."""
    if (core := _core_schema(schema)) is not None:
        return CoreExecutor(core)
    if (core := _core_schema(getattr(schema, "_schema", None))) is not None:
        return StrawberryExecutor(schema, core)
    return None


def is_subscription(operation: Operation) -> bool:
    """Whether the document parses, and its operation is a subscription."""
    from graphql import GraphQLError, OperationType, get_operation_ast, parse

    try:
        node = get_operation_ast(parse(operation.query), operation.name)
    except GraphQLError:
        return False
    return node is not None and node.operation is OperationType.SUBSCRIPTION


def _core_schema(schema: object) -> Any:
    try:
        from graphql import GraphQLSchema
    except ImportError:
        return None
    return schema if isinstance(schema, GraphQLSchema) else None


def enum_tables(core: Any) -> list[EnumTable]:
    """Return the enums of a schema with the values that its resolvers use."""
    from graphql import GraphQLEnumType

    return [
        (name, [(member, known.value) for member, known in graphql_type.values.items()])
        for name, graphql_type in core.type_map.items()
        if isinstance(graphql_type, GraphQLEnumType) and not name.startswith("__")
    ]


def attributes_of(core: Any) -> dict[tuple[str, str], str]:
    """Return the Python attributes of the fields of a schema, by type and field.

    Strawberry and graphene store them: a field may have another name
    (`strawberry.field(name=...)`).
    """
    return {
        (name, field): attribute
        for name, graphql_type in core.type_map.items()
        for field, declared in getattr(graphql_type, "fields", {}).items()
        if (attribute := _attribute_of(declared)) not in (None, field)
    }


def _attribute_of(declared: Any) -> str | None:
    attribute = getattr(_strawberry_field(declared), "python_name", None)
    if attribute is None:
        attribute = _read_by_graphene(getattr(declared, "resolve", None))
    return attribute if isinstance(attribute, str) else None


def _read_by_graphene(resolve: Any) -> str | None:
    """Return the attribute that graphene's own resolver of a field reads; None: it is another.

    graphene gives each field a resolver, in a `partial` with the attribute and its default. One
    with a default is left to the executor, because a missing attribute is null here.
    """
    if getattr(getattr(resolve, "func", None), "__module__", "") != "graphene.types.resolver":
        return None
    attribute, default = resolve.args
    return attribute if default is None else None


def _strawberry_field(declared: Any) -> Any:
    """Return Strawberry's definition of a field; None: it is not a Strawberry field."""
    return (getattr(declared, "extensions", None) or {}).get("strawberry-definition")


def guarded_fields(core: Any) -> set[tuple[str, str]]:
    """Return the fields with resolvers or permissions that only the executor of a schema runs.

    By type and field, without the root types. In Strawberry these are the fields with
    `permission_classes` or extensions; in other schemas those with a resolver, which a directive
    may have added.
    """
    roots = (core.query_type, core.mutation_type, core.subscription_type)
    return {
        (name, field)
        for name, graphql_type in core.type_map.items()
        if not name.startswith("__") and graphql_type not in roots
        for field, declared in getattr(graphql_type, "fields", {}).items()
        if _is_guarded(declared)
    }


def has_permissions(declared: Any) -> bool:
    """Whether a Strawberry field has permission classes or extensions."""
    strawberry = _strawberry_field(declared)
    return bool(
        getattr(strawberry, "permission_classes", None) or getattr(strawberry, "extensions", None)
    )


def _is_guarded(declared: Any) -> bool:
    if _strawberry_field(declared) is not None:
        return has_permissions(declared)
    from graphql import default_field_resolver

    resolve = getattr(declared, "resolve", None)
    if resolve is None or resolve is default_field_resolver:
        return False
    # Own resolvers of Ariadne and graphene only read an attribute.
    if _read_by_graphene(resolve) is not None:
        return False
    return not getattr(resolve, "__module__", "").startswith("ariadne.")


class CoreExecutor:
    """Runs operations with graphql-core, also for schemas of Ariadne."""

    def __init__(self, core: Any) -> None:
        self.core = core

    async def execute(self, operation: Operation) -> Any:
        """Run a query or mutation."""
        from graphql import execute

        return await self._run(execute, operation)

    async def subscribe(self, operation: Operation) -> Any:
        """Start a subscription."""
        from graphql import subscribe

        return await self._run(subscribe, operation)

    async def refuse(self, operation: Operation, message: str) -> list[Any] | None:
        """Parse and validate the document."""
        from graphql import GraphQLError, parse, validate

        try:
            document = parse(operation.query)
        except GraphQLError as error:
            return [error]
        return validate(self.core, document) or None

    async def _run(self, run: Callable[..., Any], operation: Operation) -> Any:
        from graphql import parse

        result = run(
            self.core,
            parse(operation.query),
            root_value=operation.root,
            context_value=operation.context,
            variable_values=dict(operation.variables),
            operation_name=operation.name,
        )
        return await result if inspect.isawaitable(result) else result


class StrawberryExecutor:
    """Runs operations with Strawberry, including its extensions."""

    def __init__(self, schema: Any, core: Any) -> None:
        self.core = core
        self._schema = schema

    async def execute(self, operation: Operation) -> Any:
        """Run a query or mutation."""
        return await self._run(self._schema.execute, operation)

    async def subscribe(self, operation: Operation) -> Any:
        """Start a subscription."""
        results = self._run(self._schema.subscribe, operation)
        return await results if inspect.isawaitable(results) else results

    async def refuse(self, operation: Operation, message: str) -> list[Any] | None:
        """Parse and validate the document with the extensions of the schema."""
        from graphql import GraphQLError

        refusal = GraphQLError(message)
        schema = copy.copy(self._schema)
        # The last extension runs after the others have added their validation rules.
        schema.extensions = [*self._schema.extensions, self._refusing(refusal)]
        try:
            result = await self._run(schema.execute, operation)
        except self._unresolved:
            return None
        errors: list[Any] = list(result.errors or [refusal])
        return None if any(error is refusal for error in errors) else errors

    def _run(self, run: Callable[..., Any], operation: Operation) -> Any:
        options: dict[str, Any] = {}
        # Older versions do not support extensions of requests.
        if "operation_extensions" in inspect.signature(run).parameters:
            options["operation_extensions"] = dict(operation.extensions)
        return run(
            operation.query,
            variable_values=dict(operation.variables),
            context_value=operation.context,
            root_value=operation.root,
            operation_name=operation.name,
            **options,
        )

    @cached_property
    def _unresolved(self) -> tuple[type[Exception], ...]:
        """Strawberry's exceptions for a document without an operation of the name or kind."""
        from strawberry.schema import exceptions

        names = ("CannotGetOperationTypeError", "InvalidOperationTypeError")
        return tuple(getattr(exceptions, name) for name in names if hasattr(exceptions, name))

    def _refusing(self, refusal: Any) -> Any:
        """Return an extension that makes the validation of every document fail."""
        from graphql import validate
        from strawberry.extensions import SchemaExtension

        core = self.core

        class Refusing(SchemaExtension):
            def on_validate(self) -> Any:
                context: Any = self.execution_context
                name = (
                    "pre_execution_errors" if hasattr(context, "pre_execution_errors") else "errors"
                )
                errors = getattr(context, name)
                if errors is None and context.validation_rules:
                    rules = context.validation_rules
                    errors = validate(core, context.graphql_document, rules)
                setattr(context, name, errors or [refusal])
                yield

        return Refusing
