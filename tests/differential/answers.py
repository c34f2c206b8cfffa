"""Runs a case with graphql-js, graphql-core and this package, the last with each kind of value."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import math
import subprocess
from collections.abc import AsyncIterator, Iterable
from typing import Any

import graphql
from case import Answer, Case, read
from support import PATIENCE
from support.paths import SCRIPTS

from fraiseql_subs import (
    Limits,
    SubscriptionManager,
    ValidationError,
    passthrough,
    subscription,
)

DRIVER = SCRIPTS / "reference.mjs"

UNLIMITED = Limits(
    max_depth=None, max_complexity=None, max_aliases=None, max_directives=None, max_tokens=None
)

WAYS = ("event", "dicts", "objects")
"""An event's JSON without Python; dicts and lists of a resolver; objects with attributes."""


def run_driver(request: dict[str, Any]) -> list[str]:
    """Run graphql-js, in one process: one line of JSON for each item."""
    done = subprocess.run(
        ["node", DRIVER], input=json.dumps(request), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # Not `splitlines`, which splits at more line ends than JSON escapes.
    return done.stdout.rstrip("\n").split("\n")


def ask_js(cases: Iterable[Case]) -> list[Answer]:
    """Run a case with graphql-js."""
    requests = [
        {
            "sdl": case.sdl,
            "document": case.document,
            "variables": case.variables,
            "operationName": case.operation,
            "value": _spelled(case.value),
        }
        for case in cases
    ]
    return [read(line) for line in run_driver({"cases": requests})]


def _spelled(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        name = "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
        return {"$number": name}
    if isinstance(value, list):
        return [_spelled(item) for item in value]
    if isinstance(value, dict):
        return {key: _spelled(item) for key, item in value.items()}
    return value


@functools.lru_cache(maxsize=64)
def core_schema(sdl: str) -> graphql.GraphQLSchema:
    """Build a schema whose field `echo` returns its arguments."""
    schema = graphql.build_schema(sdl)
    root = schema.subscription_type
    if root is not None and "echo" in root.fields:
        root.fields["echo"].resolve = lambda source, info, **arguments: arguments
    return schema


async def ask_core(case: Case) -> Answer:
    """Run a case with graphql-core."""
    return await ask_core_with(core_schema(case.sdl), case)


async def ask_core_with(schema: graphql.GraphQLSchema, case: Case) -> Answer:
    """Run a case with graphql-core, with an existing schema."""
    try:
        document = graphql.parse(case.document)
    except graphql.GraphQLSyntaxError as error:
        return _core_answer(None, [error])
    if errors := graphql.validate(schema, document):
        return _core_answer(None, errors)
    fields = () if schema.subscription_type is None else schema.subscription_type.fields
    root = dict.fromkeys(fields, case.value)

    async def source(*_: Any, **arguments: Any) -> AsyncIterator[Any]:
        yield root

    request: dict[str, Any] = {
        "root_value": root,
        "variable_values": case.variables,
        "operation_name": case.operation,
    }
    operation = graphql.get_operation_ast(document, case.operation)
    if operation is None or operation.operation != graphql.OperationType.SUBSCRIPTION:
        result: Any = graphql.execute(schema, document, **request)
    else:
        result = graphql.subscribe(schema, document, subscribe_field_resolver=source, **request)
    if inspect.isawaitable(result):
        result = await result
    if hasattr(result, "__anext__"):
        result = await anext(result)
        return _core_answer(result.data, result.errors, is_executed=True)
    # An execution error has a path. A request error has none, and there are no data.
    is_query = operation is None or operation.operation != graphql.OperationType.SUBSCRIPTION
    errors = result.errors or []
    is_executed = is_query and all(error.path for error in errors)
    return _core_answer(result.data, errors, is_executed=is_executed)


def _core_answer(
    data: Any, errors: list[graphql.GraphQLError] | None, *, is_executed: bool = False
) -> Answer:
    response: dict[str, Any] = {"data": data} if is_executed else {}
    if errors:
        response["errors"] = [error.formatted for error in errors]
    # The marker of a missing variable has no JSON form.
    return read(json.dumps(response, default=lambda undefined: None))


class Ours:
    """Runs cases of one schema with this package, for one kind of value."""

    def __init__(self, sdl: str, way: str) -> None:
        self.schema = core_schema(sdl)
        self._way = way
        self._case: Case | None = None
        root = self.schema.subscription_type
        fields = [] if root is None else [self._field(name) for name in root.fields]
        self.manager = SubscriptionManager(fields, schema=sdl, limits=UNLIMITED, workers=1)

    def _field(self, name: str) -> Any:
        if name == "echo":

            @subscription(name=name, channel="values")
            def echo(event: Any, variables: dict[str, Any]) -> Any:
                return variables

            return echo
        if self._way == "event":
            return passthrough(name, channel="values")
        assert self.schema.subscription_type is not None
        field_type = self.schema.subscription_type.fields[name].type

        @subscription(name=name, channel="values")
        def resolver(event: Any) -> Any:
            assert self._case is not None
            value = self._case.value
            return value if self._way == "dicts" else as_object(self.schema, field_type, value)

        return resolver

    async def ask(self, case: Case) -> Answer:
        """Subscribe, publish one event and read the bytes of its response."""
        self._case = case
        executor = self.manager.executor
        try:
            id = await executor.register_subscription(case.document, case.variables, case.operation)
            await executor.publish_event("values", case.value if self._way == "event" else None)
            response = await executor.next_event(id)
            await executor.complete_subscription(id)
        except ValidationError as error:
            return read(json.dumps({"errors": error.errors}))
        assert response is not None
        return read(response)


def as_object(schema: graphql.GraphQLSchema, declared: Any, value: Any) -> Any:
    """Convert dicts to objects with attributes, where the type has fields."""
    declared = graphql.get_nullable_type(declared)
    if isinstance(declared, graphql.GraphQLList) and isinstance(value, list):
        return tuple(as_object(schema, declared.of_type, item) for item in value)
    if not isinstance(value, dict) or not graphql.is_composite_type(declared):
        return value
    # The type of an object is the name of its class.
    name = value.get("__typename", "Unnamed")
    concrete = declared if graphql.is_object_type(declared) else schema.get_type(str(name))
    fields = getattr(concrete, "fields", {})
    members = {
        key: as_object(schema, fields[key].type, item) if key in fields else item
        for key, item in value.items()
        if key != "__typename"
    }
    return type(str(name), (), members)()


def can_carry(way: str, case: Case) -> bool:
    """Whether this kind of value can represent the case: an event contains JSON."""
    return way != "event" or _spelled(case.value) == case.value


async def ask_ours(cases: Iterable[Case]) -> dict[tuple[Case, str], Answer | Exception]:
    """Run a case with this package, for each kind of value that can represent it."""
    answers: dict[tuple[Case, str], Answer | Exception] = {}
    by_schema: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        for way in WAYS:
            by_schema.setdefault((case.sdl, way), []).append(case)
    for (sdl, way), group in by_schema.items():
        ours = Ours(sdl, way)
        async with ours.manager:
            for case in group:
                if not can_carry(way, case):
                    continue
                try:
                    answers[case, way] = await asyncio.wait_for(ours.ask(case), PATIENCE)
                except Exception as error:
                    answers[case, way] = error
    return answers
