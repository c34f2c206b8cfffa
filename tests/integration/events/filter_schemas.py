"""One subscription field with a filter, in all forms of declaration."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Callable
from typing import Any

import ariadne
import strawberry
from strawberry.scalars import JSON
from support import PATIENCE

from fraiseql_subs import ResponseStream, SubscriptionManager, passthrough, subscription

FILTER = {"v": "$v"}


@dataclasses.dataclass
class Payload:
    n: int


@strawberry.type(name="Payload")
class StrawberryPayload:
    n: int


@dataclasses.dataclass(frozen=True)
class Argument:
    """The type of the argument `v`.

    Attributes:
        hint: In Python.
        sdl: In SDL.
        definitions: Of SDL, what else there is to define.
        enums: Classes of the enums in it.
    """

    hint: Any
    sdl: str
    definitions: str = ""
    enums: tuple[Any, ...] = ()


def _resolver(argument: Argument, options: dict[str, Any]) -> Any:
    """Create a resolver; its argument is required if its SDL type is non-null."""
    is_required = argument.sdl.endswith("!")

    async def found(event, *, v=None):
        return event.data

    if is_required:
        found.__kwdefaults__ = {}
    found.__annotations__ = {"v": argument.hint, "return": Payload}
    return subscription(**options)(found)


def _options(options: dict[str, Any]) -> dict[str, Any]:
    return {"channel": "events", "filter": FILTER, **options}


def _hints_resolver(argument: Argument, options: dict[str, Any]) -> SubscriptionManager:
    return SubscriptionManager([_resolver(argument, _options(options))])


def _hints_passthrough(argument: Argument, options: dict[str, Any]) -> SubscriptionManager:
    arguments = {"v": argument.hint}
    found = passthrough("found", Payload, arguments=arguments, **_options(options))
    return SubscriptionManager([found])


def _sdl(argument: Argument) -> str:
    return f"""
        {argument.definitions}
        type Query {{ ok: Boolean }}
        type Payload {{ n: Int }}
        type Subscription {{ found(v: {argument.sdl}): Payload }}
    """


def _sdl_resolver(argument: Argument, options: dict[str, Any]) -> SubscriptionManager:
    # Its annotations contain the enums.
    found = _resolver(argument, _options(options))
    return SubscriptionManager([found], schema=_sdl(argument))


def _sdl_passthrough(argument: Argument, options: dict[str, Any]) -> SubscriptionManager:
    found = passthrough("found", **_options(options))
    return SubscriptionManager([found], schema=_sdl(argument), enums=argument.enums)


def _strawberry(argument: Argument) -> Any:
    for cls in argument.enums:
        strawberry.enum(cls)

    async def found(self, v=None):
        yield StrawberryPayload(n=0)

    found.__annotations__ = {
        "v": argument.hint | None,
        "return": AsyncGenerator[StrawberryPayload, None],
    }
    members = {"found": strawberry.subscription(found)}
    root = strawberry.type(type("Subscription", (), members))
    return strawberry.Schema(query=StrawberryQuery, subscription=root)


@strawberry.type(name="Query")
class StrawberryQuery:
    ok: JSON


def _strawberry_resolver(argument: Argument, options: dict[str, Any]) -> SubscriptionManager:
    found = _resolver(argument, _options(options))
    return SubscriptionManager([found], schema=_strawberry(argument))


def _strawberry_passthrough(argument: Argument, options: dict[str, Any]) -> SubscriptionManager:
    found = passthrough("found", **_options(options))
    return SubscriptionManager([found], schema=_strawberry(argument))


def _ariadne(argument: Argument) -> Any:
    enums = [ariadne.EnumType(cls.__name__, cls) for cls in argument.enums]
    return ariadne.make_executable_schema(_sdl(argument), *enums)


def _ariadne_resolver(argument: Argument, options: dict[str, Any]) -> SubscriptionManager:
    found = _resolver(argument, _options(options))
    return SubscriptionManager([found], schema=_ariadne(argument))


def _ariadne_passthrough(argument: Argument, options: dict[str, Any]) -> SubscriptionManager:
    found = passthrough("found", **_options(options))
    return SubscriptionManager([found], schema=_ariadne(argument))


SCHEMAS: dict[str, Callable[[Argument, dict[str, Any]], SubscriptionManager]] = {
    "type hints, resolver": _hints_resolver,
    "type hints, passthrough": _hints_passthrough,
    "SDL, resolver": _sdl_resolver,
    "SDL, passthrough": _sdl_passthrough,
    "Strawberry, resolver": _strawberry_resolver,
    "Strawberry, passthrough": _strawberry_passthrough,
    "Ariadne, resolver": _ariadne_resolver,
    "Ariadne, passthrough": _ariadne_passthrough,
}
"""Ways to declare the subscription field `found(v: ...)`; takes the argument and options."""


async def received(
    manager: SubscriptionManager, arguments: str, published: list[Any], channel: str = "events"
) -> list[int]:
    """Return the places of the values, published as `v`, that a subscriber receives.

    The first value must be one of them: it is published again at the end.
    """
    data = [{"n": n, "v": v} for n, v in enumerate(published)]
    async with manager, manager.subscribe(f"subscription {{ found{arguments} {{ n }} }}") as stream:
        await manager.publish_many((channel, item) for item in data)
        await manager.publish(channel, {"n": LAST, "v": published[0]})
        return await until_last(stream)


LAST = -1
"""The `n` of an event that a subscriber is known to receive."""


async def until_last(stream: ResponseStream) -> list[int]:
    """Return the `n` of all results before `LAST`."""
    found: list[int] = []
    while True:
        result = await asyncio.wait_for(anext(stream), PATIENCE)
        assert result.errors is None
        n = result.data["found"]["n"]
        if n == LAST:
            return found
        found.append(n)
