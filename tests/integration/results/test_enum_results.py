"""Enums whose value is not their name, as results: members, values and names are published."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator
from typing import Any

import ariadne
import graphql
import pytest
import strawberry

from fraiseql_subs import SubscriptionManager, passthrough, subscription


class Colour(enum.Enum):
    RED = "r"
    GREEN = 2
    BLUE = (0, 0, 1)


@strawberry.enum
class Size(enum.Enum):
    SMALL = strawberry.enum_value("s", name="LITTLE")


SDL = """
    enum Colour { RED GREEN BLUE }
    type Query { ok: Boolean }
    type Subscription {
        colour: Colour
        again(of: Colour): Colour
        other(of: Colour = GREEN): Colour
    }
"""


def of_sdl() -> Any:
    return SDL


def of_ariadne() -> Any:
    return ariadne.make_executable_schema(SDL, ariadne.EnumType("Colour", Colour))


def of_graphql_core() -> Any:
    schema = graphql.build_schema(SDL)
    for name, value in schema.type_map["Colour"].values.items():
        value.value = Colour[name].value
    return schema


def of_strawberry() -> Any:
    strawberry.enum(Colour)

    @strawberry.type
    class Query:
        ok: bool

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def colour(self) -> AsyncGenerator[Colour | None, None]:
            yield None

        @strawberry.subscription
        async def again(self, of: Colour | None = None) -> AsyncGenerator[Colour | None, None]:
            yield None

        @strawberry.subscription
        async def other(self, of: Colour = Colour.GREEN) -> AsyncGenerator[Colour | None, None]:
            yield None

    return strawberry.Schema(query=Query, subscription=Subscription)


SCHEMAS = {
    "SDL": of_sdl,
    "Ariadne": of_ariadne,
    "graphql-core": of_graphql_core,
    "Strawberry": of_strawberry,
}


@subscription(channel="colours")
async def again(event, *, of: Colour | None = None):
    assert of is None or isinstance(of, Colour)
    return Colour(tuple(event.data) if isinstance(event.data, list) else event.data)


@subscription(channel="colours")
async def other(event, *, of: Colour = Colour.RED):
    return of


def manager_of(schema: str) -> SubscriptionManager:
    colour = passthrough("colour", channel="colours")
    return SubscriptionManager([colour, again, other], schema=SCHEMAS[schema](), enums=[Colour])


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("member", Colour, ids=lambda member: member.name)
async def test_a_passthrough_of_a_member_is_its_name(schema, member):
    manager = manager_of(schema)
    async with manager, manager.subscribe("subscription { colour }") as stream:
        for published in (member, member.value, member.name):
            await manager.publish("colours", published)
            result = await anext(stream)
            assert (result.data, result.errors) == ({"colour": member.name}, None)


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("member", Colour, ids=lambda member: member.name)
async def test_a_resolver_takes_and_returns_members(schema, member):
    manager = manager_of(schema)
    document = f"subscription {{ again(of: {member.name}) }}"
    async with manager, manager.subscribe(document) as stream:
        await manager.publish("colours", member)
        result = await anext(stream)
        assert (result.data, result.errors) == ({"again": member.name}, None)


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_the_default_of_the_schema_is_a_member(schema):
    manager = manager_of(schema)
    async with manager, manager.subscribe("subscription { other }") as stream:
        await manager.publish("colours", "RED")
        result = await anext(stream)
        assert (result.data, result.errors) == ({"other": "GREEN"}, None)


async def test_what_is_no_value_of_an_enum_is_an_error():
    manager = manager_of("SDL")
    async with manager, manager.subscribe("subscription { colour }") as stream:
        await manager.publish("colours", "mauve")
        (error,) = (await anext(stream)).errors
        assert 'Enum "Colour" cannot represent' in error["message"]


async def test_the_value_of_strawberry_stands_for_the_name_that_it_gives():
    @strawberry.type
    class Query:
        ok: bool

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def size(self, of: Size | None = None) -> AsyncGenerator[Size, None]:
            yield Size.SMALL

    @subscription(channel="sizes", filter={"size": "$of"}, name="size")
    async def sized(event, *, of: Size):
        return of

    schema = strawberry.Schema(query=Query, subscription=Subscription)
    manager = SubscriptionManager([sized], schema=schema)
    async with manager, manager.subscribe("subscription { size(of: LITTLE) }") as stream:
        await manager.publish("sizes", {"size": Size.SMALL})
        assert (await anext(stream)).data == {"size": "LITTLE"}


async def test_an_enum_of_a_schema_that_subscriptions_are_added_to_is_the_schemas():
    strawberry.enum(Colour)

    @strawberry.type
    class Query:
        colour: Colour | None = None

    @subscription(channel="colours", filter={"colour": "$of"})
    async def painted(event, *, of: Colour) -> Colour:
        return of

    manager = SubscriptionManager([painted], schema=strawberry.Schema(query=Query))
    async with manager, manager.subscribe("subscription { painted(of: GREEN) }") as stream:
        await manager.publish("colours", {"colour": Colour.RED})
        await manager.publish("colours", {"colour": Colour.GREEN})
        result = await anext(stream)
        assert (result.data, result.errors) == ({"painted": "GREEN"}, None)
