"""Runs queries, mutations and subscriptions with the executor of an existing schema.

Operations that no declared subscription serves go to the executor, on the event loop, including
introspection. A document that this package refuses is passed to it too, so that its own errors and
hooks apply, but the document is not run. A document past the limits does not reach it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from ._causes import add_cause
from ._client_errors import client_error, fault_of, formatted, is_of_input, masked_error
from ._core import INTERNAL_ERROR
from ._faults import faults
from ._resolving import close_stream
from .definition import Bound, Definition
from .executors import Operation, SchemaExecutor, is_subscription
from .types import Context

ContextGetter: TypeAlias = Callable[[Context], Any]
"""Returns the context value of an executor for one operation; may be async."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """The response that the core sends for one result of an executor.

    Attributes:
        response: A GraphQL response; for a refusal a list of errors.
        is_refusal: Whether it ends the operation without data.
        has_failed: Whether it has errors that the client did not cause.
        status: Status code of the HTTP response; None: the default.
        headers: Additional headers of that response.
    """

    response: Any
    is_refusal: bool = False
    has_failed: bool = False
    status: int | None = None
    headers: Sequence[tuple[str, str]] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Delegate(Definition):
    """Runs operations with the executor of a schema; a definition without a field.

    Attributes:
        executor: Runs the operations.
        context_getter: Returns the executor's context value for a `Context`; None: it is the
            `Context` itself.
        root_value: First parameter of resolvers of root fields, or a function, async or not, that
            takes a `Context` and returns it.
        debug: Whether clients receive the text of exceptions that are otherwise masked.
    """

    executor: SchemaExecutor = dataclasses.field(kw_only=True)
    context_getter: ContextGetter | None = dataclasses.field(kw_only=True)
    root_value: Any = dataclasses.field(kw_only=True, default=None)
    debug: bool = dataclasses.field(kw_only=True, default=False)

    def bind(
        self, variables: dict[str, Any], context: Context | None, names: Iterable[str] = ()
    ) -> Bound:
        """Return a function that yields the replies to one operation of a request, `variables`."""
        return Bound(lambda: self._replies(variables, context or Context()))

    async def _replies(
        self, request: dict[str, Any], context: Context
    ) -> AsyncGenerator[Reply, None]:
        what = "a context_getter or root_value raised"
        try:
            operation = await self._operation(request, context)
            what = "an operation of the given schema raised"
            if request["type"] == "subscription":
                replies = self._streamed(operation)
            else:
                replies = self._answered(request, operation)
            async with contextlib.aclosing(replies):
                async for reply in replies:
                    yield self._headed(reply, context)
        except Exception as exception:
            yield self._headed(self._failed(exception, request, what), context)

    async def _operation(self, request: dict[str, Any], context: Context) -> Operation:
        value: Any = context
        if self.context_getter is not None:
            value = await _awaited(self.context_getter(context))
        root = self.root_value
        if callable(root):
            root = await _awaited(root(context))
        return Operation(
            query=request["query"],
            variables=request["variables"],
            name=request["operationName"],
            extensions=request["extensions"],
            context=value,
            root=root,
        )

    async def _answered(
        self, request: dict[str, Any], operation: Operation
    ) -> AsyncGenerator[Reply, None]:
        if request["type"] == "refused":
            message = request["errors"][0]["message"]
            errors: list[Any] | None = None
            # The executor does not know the subscriptions that were added to its schema.
            if not (self.partial and is_subscription(operation)):
                errors = await self.executor.refuse(operation, message)
            told = request["errors"] if errors is None else [self._error(error) for error in errors]
            yield Reply(told, is_refusal=True)
            return
        reply = self._reply(await self.executor.execute(operation))
        # The executor accepts the document, but does not know the subscriptions added here.
        if "introspection" in request and not reply.is_refusal and "errors" not in reply.response:
            reply = Reply(request["introspection"])
        yield reply

    async def _streamed(self, operation: Operation) -> AsyncGenerator[Reply, None]:
        results = await self.executor.subscribe(operation)
        if not hasattr(results, "__aiter__"):
            yield self._reply(results)
            return
        try:
            async for result in results:
                yield self._reply(result)
        finally:
            # The source stream ends as soon as the client disconnects, not at its next event.
            await close_stream(results, "the given schema")

    def _headed(self, reply: Reply, context: Context) -> Reply:
        """Add the status and headers that resolvers have set for the HTTP response."""
        # Not `response`, which would create a head that no resolver has used.
        head = context._response  # noqa: SLF001
        if head is None:
            return reply
        return dataclasses.replace(
            reply,
            status=head.status or reply.status,
            headers=head.headers.multi_items(),
        )

    def _failed(self, exception: Exception, request: Mapping[str, Any], what: str) -> Reply:
        """End an operation that could not be started or completed."""
        add_cause(exception)
        error = client_error(exception)
        if error is not None:
            return Reply([error], is_refusal=True)
        kind, name = request["type"], request["name"]
        kind = "operation" if kind == "refused" else kind
        # The client chooses the name, so it must not be part of the key of the fault.
        faults.raised(what, exception, f"{kind} {name}" if name else f"{kind} without a name")
        message = f"{type(exception).__name__}: {exception}" if self.debug else INTERNAL_ERROR
        return Reply([{"message": message}], is_refusal=True, status=500)

    def _reply(self, result: Any) -> Reply:
        errors = [self._error(error) for error in result.errors or ()]
        # An error without a path is an error of the request.
        if errors and result.data is None and not any("path" in error for error in errors):
            return Reply(errors, is_refusal=True)
        response: dict[str, Any] = {}
        if errors:
            response["errors"] = errors
        response["data"] = result.data
        if result.extensions:
            response["extensions"] = result.extensions
        has_failed = any(not is_of_input(error) for error in result.errors or ())
        return Reply(response, has_failed=has_failed)

    def _error(self, error: Any) -> dict[str, Any]:
        """Return the error that the client receives; log the error if it is masked."""
        told = client_error(error)
        fault = fault_of(error)
        if fault is not None:
            # By field name, because the aliases of clients would make many faults of one.
            nodes = getattr(error, "nodes", None)
            name = getattr(nodes[0], "name", None) if nodes else None
            where = "an operation" if name is None else f"the resolver of {name.value}"
            path = ".".join(map(str, getattr(error, "path", None) or ()))
            faults.raised(f"{where} in the given schema raised", fault, path or None)
            if self.debug:
                return formatted(error)
        return masked_error(error) if told is None else told


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
