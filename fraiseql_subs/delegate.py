"""Schemas with an executor of their own: graphql-core, and Strawberry and Ariadne built on it.

What no declared subscription serves is handed to that executor, on the event loop; documents have
been validated against limits and schema before. graphql-core is not a dependency: it is there
where a schema of it is.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from ._client_errors import client_error, fault_of, formatted, masked_error
from ._faults import faults
from ._resolving import close_stream
from .definition import Bound, Definition
from .errors import ConfigurationError, SchemaError, ValidationError
from .types import Context

ContextGetter: TypeAlias = Callable[[Context], Any]
"""Gives, or is a coroutine that gives, the context value of an executor for one operation."""


class Executor(Protocol):
    """What runs operations of a schema."""

    sdl: str

    def execute(self, request: Mapping[str, Any], context: Any) -> Awaitable[Any]:
        """Run a query or mutation; gives an `ExecutionResult` of graphql-core."""

    def subscribe(self, request: Mapping[str, Any], context: Any) -> Awaitable[Any]:
        """Start a subscription; gives an async iterator of results, or one result with errors."""


@dataclasses.dataclass(frozen=True, eq=False)
class Delegate(Definition):
    """Has operations run by the executor of a schema; a definition without a field.

    Attributes:
        executor: Runs the operations.
        context_getter: Makes the executor's context value from a `Context`; None: it is the
            `Context` itself.
        debug: Whether clients are told what resolvers raised.
    """

    executor: Executor = dataclasses.field(kw_only=True)
    context_getter: ContextGetter | None = dataclasses.field(kw_only=True)
    debug: bool = dataclasses.field(default=False, kw_only=True)

    def bind(self, variables: dict[str, Any], context: Context) -> Bound:
        """Return what gives the responses of one operation; `variables` holds the request."""
        return Bound(lambda: self._responses(variables, context))

    async def _responses(
        self, request: dict[str, Any], context: Context
    ) -> AsyncIterator[dict[str, Any]]:
        value: Any = context
        if self.context_getter is not None:
            value = self.context_getter(context)
            if inspect.isawaitable(value):
                value = await value
        if request["type"] != "subscription":
            yield self._response(await self.executor.execute(request, value))
            return
        results = await self.executor.subscribe(request, value)
        if not hasattr(results, "__aiter__"):
            errors = [self._error(error) for error in results.errors or ()]
            message = errors[0]["message"] if errors else "the subscription gave no results"
            raise ValidationError(message, errors or None)
        try:
            async for result in results:
                yield self._response(result)
        finally:
            # The source stream ends with its client, not when it is next asked for an event.
            await close_stream(results, "the given schema")

    def _response(self, result: Any) -> dict[str, Any]:
        response: dict[str, Any] = {}
        if result.errors:
            response["errors"] = [self._error(error) for error in result.errors]
        response["data"] = result.data
        if result.extensions:
            response["extensions"] = result.extensions
        return response

    def _error(self, error: Any) -> dict[str, Any]:
        """Return what the client is told of an error; what it is not told is logged."""
        told = client_error(error)
        fault = fault_of(error)
        if fault is not None:
            # By name, as the aliases of clients would make many faults of one.
            nodes = getattr(error, "nodes", None)
            name = getattr(nodes[0], "name", None) if nodes else None
            where = "an operation" if name is None else f"the resolver of {name.value}"
            path = ".".join(map(str, getattr(error, "path", None) or ()))
            faults.raised(f"{where} in the given schema raised", fault, path or None)
            if self.debug:
                return formatted(error)
        return masked_error(error) if told is None else told


def read_schema(
    schema: object, context_getter: ContextGetter | None, debug: bool = False
) -> str | Path | Delegate | None:
    """Read what a manager is given as its schema.

    Raises:
        SchemaError: It is no schema of any kind that is known.
        ConfigurationError: A `context_getter` has no executor to make a context for.
    """
    if schema is None or isinstance(schema, str | Path):
        if context_getter is not None:
            raise ConfigurationError(
                "context_getter is for the executor of a Strawberry, Ariadne or graphql-core"
                " schema: leave it out, or pass such a schema"
            )
        return schema
    if (core := _core_schema(schema)) is not None:
        executor: Executor = _CoreExecutor(core)
    elif (core := _core_schema(getattr(schema, "_schema", None))) is not None:
        executor = _StrawberryExecutor(schema, core)
    else:
        raise SchemaError(
            f"schema={schema!r} is no schema: pass SDL, a Path, or a schema of Strawberry, Ariadne"
            " or graphql-core"
        )
    return Delegate(
        field="",
        kind="delegate",
        channel=None,
        executor=executor,
        context_getter=context_getter,
        debug=debug,
    )


def _core_schema(schema: object) -> Any:
    try:
        from graphql import GraphQLSchema
    except ImportError:
        return None
    return schema if isinstance(schema, GraphQLSchema) else None


def _print(schema: Any) -> str:
    from graphql import print_schema

    return print_schema(schema)


class _CoreExecutor:
    """Runs operations with graphql-core."""

    def __init__(self, schema: Any) -> None:
        self.sdl = _print(schema)
        self._schema = schema

    async def execute(self, request: Mapping[str, Any], context: Any) -> Any:
        from graphql import execute

        result = execute(
            self._schema,
            self._parse(request),
            context_value=context,
            variable_values=request["variables"],
            operation_name=request["operationName"],
        )
        return await result if inspect.isawaitable(result) else result

    async def subscribe(self, request: Mapping[str, Any], context: Any) -> Any:
        from graphql import subscribe

        results: Any = subscribe(
            self._schema,
            self._parse(request),
            context_value=context,
            variable_values=request["variables"],
            operation_name=request["operationName"],
        )
        return await results if inspect.isawaitable(results) else results

    @staticmethod
    def _parse(request: Mapping[str, Any]) -> Any:
        from graphql import parse

        return parse(request["query"])


class _StrawberryExecutor:
    """Runs operations with Strawberry, its extensions included."""

    def __init__(self, schema: Any, core: Any) -> None:
        self.sdl = _print(core)
        self._schema = schema

    def execute(self, request: Mapping[str, Any], context: Any) -> Awaitable[Any]:
        return self._run(self._schema.execute, request, context)

    def subscribe(self, request: Mapping[str, Any], context: Any) -> Awaitable[Any]:
        return self._run(self._schema.subscribe, request, context)

    @staticmethod
    def _run(run: Any, request: Mapping[str, Any], context: Any) -> Awaitable[Any]:
        result: Awaitable[Any] = run(
            request["query"],
            variable_values=request["variables"],
            context_value=context,
            operation_name=request["operationName"],
        )
        return result
