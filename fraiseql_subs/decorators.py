"""Declares subscriptions: `subscription`, `passthrough`, and the schema of a manager.

A declaration is checked twice. Its own values are checked when it is created. Checks that need type
hints, which may refer to classes further down in a module, run when `resolve` builds the schema.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar, overload

from fraiseql_subs._core import Call
from fraiseql_subs.definition import Definition
from fraiseql_subs.errors import SchemaError
from fraiseql_subs.schema import SchemaSource, load_sdl
from fraiseql_subs.schema.build import build, serializers
from fraiseql_subs.schema.deprecation import without_warning
from fraiseql_subs.schema.enums import EnumTable, UsedTypes, enum_table
from fraiseql_subs.schema.kinds import is_object_class, names_of
from fraiseql_subs.schema.markers import Scalar
from fraiseql_subs.schema.names import camel_case, check_name
from fraiseql_subs.schema.routing import (
    ArgumentNames,
    check_channel,
    check_event_types,
    check_filter,
    constant_types,
)
from fraiseql_subs.schema.signature import check_parameters

_F = TypeVar("_F", bound=Callable[..., Any])
_B = TypeVar("_B", bound="Callable[[list[Call[Any]]], Sequence[Any] | Awaitable[Sequence[Any]]]")

_ATTRIBUTE = "__subscription__"

MAX_CONCURRENCY = 1024
"""Events of one subscription that may be resolved at once (count)."""


@overload
def subscription(
    fn: None = None,
    /,
    *,
    channel: str | None = None,
    name: str | None = None,
    event_types: Iterable[str] | None = None,
    filter: Mapping[str, Any] | None = None,
    description: str | None = None,
    initial: Callable[..., Any] | None = None,
    concurrency: int = 1,
    timeout: float | None = 30.0,
    shared: bool = False,
    batch: Literal[False] = False,
) -> Callable[[_F], _F]: ...


@overload
def subscription(
    fn: None = None,
    /,
    *,
    channel: str | None = None,
    name: str | None = None,
    event_types: Iterable[str] | None = None,
    filter: Mapping[str, Any] | None = None,
    description: str | None = None,
    initial: Callable[..., Any] | None = None,
    concurrency: int = 1,
    timeout: float | None = 30.0,
    shared: bool = False,
    batch: Literal[True],
    arguments: Mapping[str, Any] | type[Any] | None = None,
) -> Callable[[_B], _B]: ...


@overload
def subscription(
    fn: _F,
    /,
    *,
    channel: str | None = None,
    name: str | None = None,
    event_types: Iterable[str] | None = None,
    filter: Mapping[str, Any] | None = None,
    description: str | None = None,
    initial: Callable[..., Any] | None = None,
    concurrency: int = 1,
    timeout: float | None = 30.0,
    shared: bool = False,
    batch: bool = False,
    arguments: Mapping[str, Any] | type[Any] | None = None,
) -> _F: ...


def subscription(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    channel: str | None = None,
    name: str | None = None,
    event_types: Iterable[str] | None = None,
    filter: Mapping[str, Any] | None = None,
    description: str | None = None,
    initial: Callable[..., Any] | None = None,
    concurrency: int = 1,
    timeout: float | None = 30.0,
    shared: bool = False,
    batch: bool = False,
    arguments: Mapping[str, Any] | type[Any] | None = None,
) -> Any:
    """Declare a function as the resolver of a subscription field.

    The function itself is returned and can be called directly; its attribute `__subscription__` has
    the `Definition`. Parameters are matched by name: `event`, `variables` (arguments by GraphQL
    name, or with the keys of the TypedDict it is annotated with) and `context`; every other
    annotated parameter is a GraphQL argument. Place other decorators below this one: above it they
    would not be called for events, so a manager refuses them.

    Args:
        fn: `async def` or `def` that returns the value of the field for one event, or `SKIP`. Or
            `async def` with `yield`: a source stream, one generator for each client subscription;
            its `finally` runs as soon as the client disconnects. It has no channel and no event,
            and waits at its `yield` while the client does not read the values.
        channel: Channel of the events, or a template with arguments: `"orders.{userId}"`. `{{` and
            `}}` are literal braces. Each value of an argument has one text, in whichever form the
            client writes it: an enum is its value, a moment is in UTC.
        name: GraphQL name of the field; default: the function's name in camelCase.
        event_types: Only events of these types; default: all.
        filter: Values that fields of the event's data must be equal to, by dotted path:
            `{"user_id": "$userId", "region": "eu"}`. Values are compared by the type of the
            argument, or by the class of a constant. `"$name"` is an argument; it is not compared if
            the client leaves it out, and null equals null and absent. `"$$text"` is the text
            `"$text"`.
        description: Text for the schema; default: the docstring of the function.
        initial: `async def` or `def` that returns a value of the field, sent before any event; or
            one with `yield`, whose values are sent in order, each when it is yielded. Its
            parameters are `variables`, `context` and arguments of `fn`, by name. Events published
            before it starts are not delivered, because the state that it reads contains them; all
            events published later follow it. A `Snapshot` says exactly which events follow. A
            `GraphQLError` takes the place of the value. After any other exception, or past
            `timeout`, the client receives an error result once, and the function is called again
            after pauses of up to 30 seconds until it succeeds; events go on.
        concurrency: Events of one subscription resolved at once (count, 1 to 1024). Results are
            still sent in the order of the events.
        timeout: Time limit of one call, or of one value of an `initial` with `yield` (seconds,
            above 0); past it the client receives an error result. None: unlimited. A `def` also
            runs on the event loop, and cannot be ended while it runs.
        shared: Whether subscribers with equal operation and arguments share one call for each
            event, and its result. The function then has no `context`, because the call serves
            several clients.
        batch: Whether one call of the function answers many subscribers: its only parameter
            `calls` is a list of `Call`, and it returns a list with one result for each, in their
            order. A result is the value, `SKIP`, or an exception, which is an error for that
            subscriber; what the function raises is one for all of them. The list has all calls
            that start in one turn of the event loop, at most 1,000; several lists may be resolved
            at once. Results that are one object are serialised once for equal selections. It
            runs with the context variables of the manager's start. It is cancelled when all its
            subscribers have left.
        arguments: With `batch`, the types of the GraphQL arguments by name: `{"userId": int}`.
            `Call.variables` has their values under these names; one that the client left out is
            None. Or a class with a field for each argument, whose defaults are those of the
            arguments: a dataclass, TypedDict or model. `Call.variables` is then an instance of it.

    Raises:
        SchemaError: A value is invalid, or the function cannot be a resolver.
    """

    def declare(function: _F) -> _F:
        where = _check_function(function)
        _check_flag("shared", shared, where)
        _check_flag("batch", batch, where)
        _check_text("description", description, where)
        declared = _check_arguments(arguments, where)
        field = camel_case(function.__name__) if name is None else name
        is_stream = inspect.isasyncgenfunction(inspect.unwrap(function))
        if is_stream:
            given = {"channel": channel, "event_types": event_types, "filter": filter}
            flags = {"shared": shared or None, "batch": batch or None}
            _check_stream(function, {**given, "initial": initial, **flags}, where)
        if shared:
            _check_shared(function, initial, where)
        if batch:
            _check_batch(function, where)
        elif arguments is not None:
            raise SchemaError(
                f"{where}: `arguments` is for batch=True: declare each argument as a parameter, "
                "such as `*, user_id: int`"
            )
        definition = Definition(
            field=check_name(field, where, "choose another name with `name=`"),
            kind="stream" if is_stream else "call",
            channel=None if is_stream else check_channel(channel, where),
            event_types=check_event_types(event_types, where),
            filter=check_filter(filter, where),
            filter_types=constant_types(filter),
            concurrency=_check_concurrency(concurrency, where),
            timeout=None if is_stream else _check_timeout(timeout, where),
            initial=_check_initial(
                initial,
                names_of(declared) if batch else inspect.signature(function).parameters,
                where,
            ),
            shared=shared,
            batch=batch,
            declared=declared,
            description=description,
            function=function,
            module=function.__module__,
        )
        setattr(function, _ATTRIBUTE, definition)
        return function

    return declare if fn is None else declare(fn)


def passthrough(
    name: str,
    type: Any = None,
    *,
    channel: str,
    event_types: Iterable[str] | None = None,
    filter: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | type[Any] | None = None,
    description: str | None = None,
) -> Definition:
    """Declare a subscription field whose value is the data of the event.

    No Python code runs for its events, and equal selections are serialised once for all
    subscribers.

    Args:
        name: GraphQL name of the field.
        type: Type of the field; may be left out if the manager has a `schema=`.
        channel: As in `subscription`.
        event_types: As in `subscription`.
        filter: As in `subscription`.
        arguments: Types of the arguments that `channel` and `filter` use, by name:
            `{"userId": int}`; or a class with a field for each. Not necessary if the manager has a
            `schema=`, whose field must then have them.
        description: Text for the schema; default: none.

    Raises:
        SchemaError: A value is malformed.
    """
    # The text of an error has to be printable.
    where = f'passthrough("{name}")'.encode(errors="backslashreplace").decode()
    _check_text("description", description, where)
    declared = _check_arguments(arguments, where)
    return Definition(
        field=check_name(name, where, "use a GraphQL name such as `orderUpdated`"),
        kind="passthrough",
        channel=check_channel(channel, where),
        event_types=check_event_types(event_types, where),
        filter=check_filter(filter, where),
        filter_types=constant_types(filter),
        description=description,
        returns=type,
        declared=declared,
        module=sys._getframe(1).f_globals.get("__name__", ""),  # noqa: SLF001
    )


def collect(items: Iterable[Callable[..., Any] | Definition | ModuleType]) -> list[Definition]:
    """Return the definitions of decorated functions, passthroughs and modules, in their order.

    A module contributes the subscriptions declared in it, not those that it imports.

    Raises:
        SchemaError: An item is none of these, a module has no subscriptions, or two have the
            same field name.
    """
    if not isinstance(items, Iterable) or isinstance(items, str):
        raise SchemaError(f"subscriptions={items!r}: pass a list, such as `[order_updated]`")
    definitions: dict[str, Definition] = {}
    for definition in (each for item in items for each in _definitions_of(item)):
        other = definitions.setdefault(definition.field, definition)
        if other is not definition:
            raise SchemaError(
                f"{other.where} and {definition.where} are both `Subscription.{definition.field}`: "
                "choose another name for one of them with `name=`"
            )
    return list(definitions.values())


def resolve(
    definitions: Iterable[Definition],
    schema: str | Path | None = None,
    scalars: Iterable[Scalar] = (),
    enums: Iterable[EnumTable] = (),
    enum_values: Mapping[str, list[tuple[str, Any]]] | None = None,
    *,
    given: frozenset[str] | None = None,
) -> tuple[SchemaSource, list[Definition]]:
    """Build the schema, and the definitions that the core reads.

    Args:
        definitions: What `collect` returned.
        schema: None: the schema is built from type hints; the names of arguments in channels and
            filters are checked and converted to GraphQL names. Or SDL, or a file of SDL
            (`load_sdl`): channels and filters use its names, and the core checks them.
        scalars: Custom scalars of a schema in SDL.
        enums: Enum classes of a schema in SDL that the annotations do not use.
        enum_values: Values of the members of enums of a schema in SDL, which arguments have, by the
            name of the enum; None: the names themselves.
        given: Names of the types of an existing schema to which the new types are added; None:
            there is no existing schema.

    Raises:
        SchemaError: A type hint is missing or is not a GraphQL type, an argument is not declared,
            or the file cannot be read.
    """
    definitions = list(definitions)
    if schema is None:
        source = build_schema(definitions, given)
        return source, [_with_graphql_names(definition) for definition in definitions]
    resolved = [dataclasses.replace(definition, typed=False) for definition in definitions]
    for definition in resolved:
        definition.check()
    used = UsedTypes(hint for definition in resolved for hint in definition.hints())
    tables = [*enums, *map(enum_table, used.enums)]
    for definition in resolved:
        for constant in definition.filter_types.values():
            if not isinstance(constant, str) and constant not in tables:
                tables.append(constant)
    source = SchemaSource(
        load_sdl(schema),
        enum_values=dict(enum_values or {}),
        serializers=serializers(scalars),
        published_enums=tables,
        scalar_kinds=used.scalar_kinds,
    )
    return source, resolved


def build_schema(
    definitions: Iterable[Definition], given: frozenset[str] | None = None
) -> SchemaSource:
    """Build the schema from the type hints of the definitions.

    Raises:
        SchemaError: A type hint is missing or is not a GraphQL type.
    """
    return build([definition.root_field() for definition in definitions], given)


def _check_function(function: Callable[..., Any]) -> str:
    """Return the name of a function in errors."""
    if inspect.ismethod(function):
        raise SchemaError(
            f"@subscription is given the method {function.__qualname__}: pass a function without "
            "`self`, such as one that calls the method"
        )
    if not inspect.isfunction(function):
        raise SchemaError(
            f"@subscription is given {function!r}: put it above a function, with its options by "
            'name, such as @subscription(channel="orders")'
        )
    where = f"{function.__qualname__}()"
    first = next(iter(inspect.signature(function).parameters), None)
    if first in ("self", "cls"):
        raise SchemaError(
            f"{where} is a method, as its first parameter is `{first}`: move it out of the class, "
            "or put @staticmethod above @subscription and remove the parameter"
        )
    if inspect.isgeneratorfunction(function):
        raise SchemaError(
            f"{where} is a generator: write a source stream as `async def`, or return the value "
            "for one event and name the channel of the events"
        )
    check_parameters(function, where)
    return where


def _check_stream(function: Callable[..., Any], given: dict[str, Any], where: str) -> None:
    for option, value in given.items():
        if value is not None:
            raise SchemaError(
                f"{where} yields its values, so `{option}` has no meaning: leave it out, or return "
                "the value for one event instead of yielding"
            )
    if "event" in inspect.signature(function).parameters:
        raise SchemaError(
            f"{where} yields its values and receives no events: remove the parameter `event`, or "
            "return the value for one event instead of yielding"
        )


def _check_shared(
    function: Callable[..., Any], initial: Callable[..., Any] | None, where: str
) -> None:
    if "context" in inspect.signature(function).parameters:
        raise SchemaError(
            f"{where} is shared, so one call answers clients with different contexts: remove "
            "the parameter `context`, or shared=True"
        )
    if initial is not None:
        raise SchemaError(
            f"{where} is shared, and an initial value is each client's own: remove `initial`, or "
            "shared=True"
        )


def _check_batch(function: Callable[..., Any], where: str) -> None:
    parameters = inspect.signature(function).parameters
    if list(parameters) != ["calls"] or parameters["calls"].kind is inspect.Parameter.KEYWORD_ONLY:
        raise SchemaError(
            f"{where} has batch=True, so its only parameter is `calls`, a list of `Call`: "
            "remove the others, and declare GraphQL arguments as arguments={...}"
        )


def _check_arguments(arguments: Any, where: str) -> Mapping[str, Any] | type[Any]:
    if arguments is None:
        return {}
    if isinstance(arguments, Mapping):
        return dict(arguments)
    if is_object_class(arguments):
        return arguments  # type: ignore[no-any-return]
    raise SchemaError(
        f'{where}: arguments is {arguments!r}: pass types by name, such as {{"userId": int}}, or a '
        "class with a field for each argument, such as a dataclass"
    )


def _check_initial(
    initial: Callable[..., Any] | None, arguments: Iterable[str], where: str
) -> Callable[..., Any] | None:
    if initial is None:
        return None
    place = f"{where}, initial"
    if not inspect.isroutine(initial):
        raise SchemaError(f"{place}={initial!r}: pass a function that returns the first value")
    check_parameters(initial, place)
    known = {"variables", "context", *arguments} - {"event"}
    for name, parameter in inspect.signature(initial).parameters.items():
        if name not in known and parameter.default is inspect.Parameter.empty:
            raise SchemaError(
                f"{place}: parameter `{name}` is neither `variables` nor `context` nor an argument "
                f"of {where}: remove it, or add a default"
            )
    return initial


def _check_flag(option: str, value: Any, where: str) -> None:
    if not isinstance(value, bool):
        raise SchemaError(f"{where}: {option} is {value!r}: pass True or False")


def _check_text(option: str, value: Any, where: str) -> None:
    if not (value is None or isinstance(value, str)):
        raise SchemaError(f"{where}: {option} is {value!r}: pass a string, or leave it out")


def _check_concurrency(concurrency: Any, where: str) -> int:
    is_count = isinstance(concurrency, int) and not isinstance(concurrency, bool)
    if is_count and 1 <= concurrency <= MAX_CONCURRENCY:
        return int(concurrency)
    raise SchemaError(
        f"{where}: concurrency is {concurrency!r}: pass a whole number from 1 to {MAX_CONCURRENCY}"
    )


def _check_timeout(timeout: Any, where: str) -> float | None:
    if timeout is None:
        return None
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if is_number and 0 < timeout < math.inf:
        return float(timeout)
    raise SchemaError(
        f"{where}: timeout is {timeout!r}: pass a number of seconds above 0, or None for no limit"
    )


def _definitions_of(item: object) -> Iterator[Definition]:
    if isinstance(item, ModuleType):
        yield from _definitions_in(item)
        return
    definition = _definition_of(item)
    if definition is None:
        raise SchemaError(
            f"subscriptions holds {item!r}: pass functions decorated with "
            "@subscription(channel=...), what `passthrough(...)` returned, or modules"
        )
    yield definition


def _definitions_in(module: ModuleType) -> list[Definition]:
    definitions = (_definition_of(value) for value in vars(module).values())
    declared = dict.fromkeys(
        d for d in definitions if d is not None and d.module == module.__name__
    )
    if not declared:
        raise SchemaError(
            f"module {module.__name__} declares no subscriptions: those it imports are not taken; "
            "pass the module that declares them"
        )
    return list(declared)


def _definition_of(item: object) -> Definition | None:
    definition = item if isinstance(item, Definition) else getattr(item, _ATTRIBUTE, None)
    if not isinstance(definition, Definition):
        return None
    if item is not definition:
        _check_outermost(item, definition)
    return definition


def check_bypassed(definitions: Iterable[Definition]) -> None:
    """Refuse a subscription with a decorator above it, which would not be called.

    `@manager.subscription` does not see the decorators above it, so the name in the function's
    module is checked.

    Raises:
        SchemaError: There is one.
    """
    for definition in definitions:
        if definition.function is not None:
            module = sys.modules.get(definition.module)
            known = getattr(module, definition.function.__qualname__, None)
            if getattr(known, _ATTRIBUTE, None) is definition:
                _check_outermost(known, definition)


def _check_outermost(item: Any, definition: Definition) -> None:
    assert definition.function is not None, "passthroughs are no functions"
    # A decorator that only emits deprecation warnings may be above.
    if without_warning(item) is not without_warning(definition.function):
        raise SchemaError(
            f"{definition.where} has a decorator above @subscription, which would not be called"
            " for events: put @subscription on top, above all other decorators"
        )


def _with_graphql_names(definition: Definition) -> Definition:
    remedy = "add a parameter for it, such as `*, {name}: int`"
    if definition.function is None or definition.batch:
        remedy = 'add arguments={{"{name}": int}}'
        if isinstance(definition.declared, type):
            remedy = f"add the field `{{name}}: int` to {definition.declared.__qualname__}"
    names = ArgumentNames(definition.arguments, definition.where, remedy)
    return dataclasses.replace(
        definition,
        channel=definition.channel and names.in_channel(definition.channel),
        filter=names.in_filter(definition.filter),
    )
